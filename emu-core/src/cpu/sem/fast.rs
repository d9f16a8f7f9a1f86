//! The fast builder: plain computation, and memory through TLB tags. What the tags do not allow it refuses before it has
//! changed anything; the slow builder then does the instruction from the start.

use super::{Builder, Flow, Shift};
use crate::access::Width;
use crate::cpu::Cpu;
use crate::cpu::engine::Op;
use crate::cpu::flags::{Condition, Flags, sign_extend};
use crate::cpu::mmu::{Mmu, fast_load, fast_store, fast_update, is_canonical};
use crate::cpu::regs::{CODE_PAGE, RSP};

/// Works on the processor alone.
pub(crate) struct Fast<'a>(pub(crate) &'a mut Cpu);

/// The access needs the slow path.
pub(crate) struct Miss;

impl AsRef<Mmu> for Fast<'_> {
    #[inline(always)]
    fn as_ref(&self) -> &Mmu {
        &self.0.mmu
    }
}

impl Fast<'_> {
    #[inline(always)]
    fn address(&mut self, op: &Op) -> u64 {
        self.offset(op).wrapping_add(self.0.regs[op.seg_base as usize])
    }
}

impl Builder for Fast<'_> {
    type V = u64;
    type C = bool;
    type Stop = Miss;

    #[inline(always)]
    fn imm(&mut self, value: u64) -> u64 {
        value
    }

    #[inline(always)]
    fn reg(&mut self, slot: u8, width: Width) -> u64 {
        get_reg(self.0, slot, width)
    }

    #[inline(always)]
    fn set_reg(&mut self, slot: u8, width: Width, value: u64) {
        set_reg(self.0, slot, width, value);
    }

    #[inline(always)]
    fn offset(&mut self, op: &Op) -> u64 {
        let regs = &self.0.regs;
        let index = regs[op.index as usize] << (op.scale & 3);
        regs[op.base as usize].wrapping_add(index).wrapping_add(op.imm)
    }

    #[inline(always)]
    fn load(&mut self, op: &Op, width: Width) -> Result<u64, Miss> {
        let at = self.address(op);
        fast_load(&self.0.mmu, at, width).ok_or(Miss)
    }

    #[inline(always)]
    fn store(&mut self, op: &Op, width: Width, value: u64) -> Result<(), Miss> {
        let at = self.address(op);
        fast_store(&self.0.mmu, at, width, value).ok_or(Miss)
    }

    #[inline(always)]
    fn update(
        &mut self,
        op: &Op,
        width: Width,
        change: impl FnOnce(&mut Self, u64) -> u64,
    ) -> Result<(), Miss> {
        let at = self.address(op);
        fast_update(self, at, width, change).ok_or(Miss)
    }

    #[inline(always)]
    fn push(&mut self, width: Width, value: u64) -> Result<(), Miss> {
        let sp = self.0.regs[RSP as usize].wrapping_sub(width.bytes());
        fast_store(&self.0.mmu, sp, width, value).ok_or(Miss)?;
        self.0.regs[RSP as usize] = sp;
        Ok(())
    }

    #[inline(always)]
    fn pop(&mut self, width: Width) -> Result<u64, Miss> {
        let sp = self.0.regs[RSP as usize];
        let value = fast_load(&self.0.mmu, sp, width).ok_or(Miss)?;
        self.0.regs[RSP as usize] = sp.wrapping_add(width.bytes());
        Ok(value)
    }

    #[inline(always)]
    fn top(&mut self) -> Result<u64, Miss> {
        fast_load(&self.0.mmu, self.0.regs[RSP as usize], Width::B8).ok_or(Miss)
    }

    #[inline(always)]
    fn target(&mut self, rip: u64) -> Result<(), Miss> {
        if is_canonical(rip) { Ok(()) } else { Err(Miss) }
    }

    #[inline(always)]
    fn release(&mut self, bytes: u64) {
        self.0.regs[RSP as usize] = self.0.regs[RSP as usize].wrapping_add(bytes);
    }

    #[inline(always)]
    fn add(&mut self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    #[inline(always)]
    fn sub(&mut self, a: u64, b: u64) -> u64 {
        a.wrapping_sub(b)
    }

    #[inline(always)]
    fn and(&mut self, a: u64, b: u64) -> u64 {
        a & b
    }

    #[inline(always)]
    fn or(&mut self, a: u64, b: u64) -> u64 {
        a | b
    }

    #[inline(always)]
    fn xor(&mut self, a: u64, b: u64) -> u64 {
        a ^ b
    }

    #[inline(always)]
    fn cut(&mut self, value: u64, width: Width) -> u64 {
        value & width.mask()
    }

    #[inline(always)]
    fn sext(&mut self, value: u64, width: Width) -> u64 {
        sign_extend(value, width)
    }

    #[inline(always)]
    fn sign(&mut self, value: u64) -> u64 {
        (value as i64 >> 63) as u64
    }

    #[inline(always)]
    fn carry(&mut self) -> u64 {
        u64::from(self.0.flags.cf())
    }

    #[inline(always)]
    fn condition(&mut self, condition: Condition) -> bool {
        condition.holds(&self.0.flags)
    }

    #[inline(always)]
    fn select(&mut self, condition: bool, yes: u64, no: u64) -> u64 {
        if condition { yes } else { no }
    }

    #[inline(always)]
    fn choose(&mut self, taken: bool) -> Flow<u64> {
        if taken { Flow::Taken } else { Flow::NotTaken }
    }

    #[inline(always)]
    fn flags_add(&mut self, width: Width, a: u64, b: u64, result: u64) {
        self.0.flags = Flags::add(width, a, b, result);
    }

    #[inline(always)]
    fn flags_sub(&mut self, width: Width, a: u64, b: u64, result: u64) {
        self.0.flags = Flags::sub(width, a, b, result);
    }

    #[inline(always)]
    fn flags_logic(&mut self, width: Width, result: u64) {
        self.0.flags = Flags::logic(width, result);
    }

    #[inline(always)]
    fn flags_inc(&mut self, width: Width, a: u64, result: u64) {
        let cf = self.0.flags.cf();
        self.0.flags = Flags::add(width, a, 1, result).with_cf(cf);
    }

    #[inline(always)]
    fn flags_dec(&mut self, width: Width, a: u64, result: u64) {
        let cf = self.0.flags.cf();
        self.0.flags = Flags::sub(width, a, 1, result).with_cf(cf);
    }

    #[inline(always)]
    fn shift(&mut self, kind: Shift, width: Width, value: u64, count: u64) -> u64 {
        shift(self.0, kind, width, value, count)
    }

    #[inline(always)]
    fn multiply(&mut self, width: Width, a: u64, b: u64) -> u64 {
        multiply(self.0, width, a, b)
    }

    #[inline(always)]
    fn rip(&mut self, page_offset: u64) -> u64 {
        self.0.regs[CODE_PAGE as usize].wrapping_add(page_offset)
    }
}

#[inline(always)]
pub(super) fn get_reg(cpu: &Cpu, slot: u8, width: Width) -> u64 {
    match width {
        Width::B1 => cpu.regs[(slot >> 1) as usize] >> ((slot & 1) * 8) & 0xff,
        Width::B2 | Width::B4 => cpu.regs[slot as usize] & width.mask(),
        Width::B8 => cpu.regs[slot as usize],
    }
}

#[inline(always)]
pub(super) fn set_reg(cpu: &mut Cpu, slot: u8, width: Width, value: u64) {
    match width {
        Width::B1 => {
            let shift = (slot & 1) * 8;
            let full = &mut cpu.regs[(slot >> 1) as usize];
            *full = *full & !(0xff << shift) | (value & 0xff) << shift;
        }
        Width::B2 => {
            let full = &mut cpu.regs[slot as usize];
            *full = *full & !0xffff | value & 0xffff;
        }
        Width::B4 | Width::B8 => cpu.regs[slot as usize] = value,
    }
}

/// Where hardware leaves OF undefined (counts above one) we compute it as for a count of one on the last step: SHL from
/// the last bit shifted out and the new sign, SHR and SAR from the operand's sign before that step. AF is cleared.
#[inline(always)]
pub(super) fn shift(cpu: &mut Cpu, kind: Shift, width: Width, value: u64, count: u64) -> u64 {
    if count == 0 {
        return value;
    }
    let bits = u64::from(width.bits());
    let top = bits - 1;
    let (result, cf, of) = match kind {
        Shift::Left => {
            let wide = u128::from(value) << count;
            let result = wide as u64 & width.mask();
            let cf = wide >> bits & 1 != 0;
            (result, cf, (result >> top & 1 != 0) != cf)
        }
        Shift::Right => {
            let cf = value >> (count - 1) & 1 != 0;
            let result = if count > 63 { 0 } else { value >> count };
            // For a count of one this is the operand's sign; further shifts have brought in a zero.
            (result, cf, count == 1 && value >> top != 0)
        }
        Shift::Arithmetic => {
            let signed = sign_extend(value, width) as i64;
            let cf = signed >> (count - 1) & 1 != 0;
            ((signed >> count) as u64 & width.mask(), cf, false)
        }
        Shift::RotateLeft | Shift::RotateRight => {
            return rotate(cpu, kind == Shift::RotateLeft, width, value, count);
        }
    };
    cpu.flags = Flags::result_with(width, result, cf, of);
    result
}

/// Of the flags only CF and OF change, also where whole turns leave the value as it was. OF, undefined on hardware for counts above
/// one, is that of the last step.
#[inline(always)]
fn rotate(cpu: &mut Cpu, left: bool, width: Width, value: u64, count: u64) -> u64 {
    let bits = u64::from(width.bits());
    let by = if left { count % bits } else { (bits - count % bits) % bits };
    let result = if by == 0 { value } else { (value << by | value >> (bits - by)) & width.mask() };
    let bit = |at: u64| result >> at & 1 != 0;
    let (cf, other) = if left { (bit(0), bit(bits - 1)) } else { (bit(bits - 1), bit(bits - 2)) };
    cpu.flags = cpu.flags.with_cf_of(cf, cf != other);
    result
}

/// CF and OF say that the product did not fit; ZF, SF and PF, undefined on hardware, follow the result.
#[inline(always)]
pub(super) fn multiply(cpu: &mut Cpu, width: Width, a: u64, b: u64) -> u64 {
    let product = i128::from(sign_extend(a, width) as i64) * i128::from(sign_extend(b, width) as i64);
    let result = product as u64 & width.mask();
    let lost = i128::from(sign_extend(result, width) as i64) != product;
    cpu.flags = Flags::result_with(width, result, lost, lost);
    result
}
