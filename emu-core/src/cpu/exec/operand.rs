//! Operands of a decoded instruction: registers by name, effective addresses, memory by width.

use crate::access::Width;
use crate::cpu::mmu::is_canonical;
use crate::cpu::regs::{CODE_PAGE, RSP, Seg};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{Instruction, OpKind, Register};

/// Number of a general register of any width (AH-BH give RAX-RBX).
#[inline]
pub(crate) fn gpr_index(register: Register) -> usize {
    register.full_register().number()
}

/// Width of a general register.
#[inline]
pub(crate) fn gpr_width(register: Register) -> Width {
    Width::from_bytes(register.size()).unwrap_or(Width::B8)
}

/// Width of operand `n`, a general register, an immediate or memory.
#[inline]
pub(crate) fn operand_width(insn: &Instruction, n: u32) -> Width {
    match insn.op_kind(n) {
        OpKind::Register => gpr_width(insn.op_register(n)),
        OpKind::Memory => Width::from_bytes(insn.memory_size().size()).unwrap_or(Width::B8),
        _ => Width::B1,
    }
}

/// Whether it is AH, CH, DH or BH.
#[inline]
pub(crate) fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}

impl Cpu {
    /// A general or segment register by name, zero-extended.
    pub(crate) fn reg(&self, register: Register) -> u64 {
        if let Some(seg) = Seg::from_iced(register) {
            return u64::from(self.seg(seg).selector);
        }
        let full = self.regs[gpr_index(register)];
        if is_high_byte(register) { full >> 8 & 0xff } else { full & gpr_width(register).mask() }
    }

    /// Sets a general register by name: 32-bit writes clear the upper half, narrower ones leave the rest.
    pub(crate) fn set_reg(&mut self, register: Register, value: u64) {
        let full = &mut self.regs[gpr_index(register)];
        *full = match gpr_width(register) {
            Width::B1 if is_high_byte(register) => *full & !0xff00 | (value & 0xff) << 8,
            Width::B1 => *full & !0xff | value & 0xff,
            Width::B2 => *full & !0xffff | value & 0xffff,
            Width::B4 => value & 0xffff_ffff,
            Width::B8 => value,
        };
    }

    /// Sets the low `width` of a general register by number, by the rules for partial registers; a byte is the low one.
    pub(crate) fn set_gpr_part(&mut self, index: u8, width: Width, value: u64) {
        let full = &mut self.regs[(index & 15) as usize];
        *full = match width {
            Width::B1 => *full & !0xff | value & 0xff,
            Width::B2 => *full & !0xffff | value & 0xffff,
            Width::B4 => value & 0xffff_ffff,
            Width::B8 => value,
        };
    }

    /// Base of a segment where it counts: 64-bit mode uses only those of FS and GS.
    pub(crate) fn seg_base_if_used(&self, seg: Seg) -> u64 {
        if self.code_size() == CodeSize::Bits64 && !matches!(seg, Seg::Fs | Seg::Gs) {
            0
        } else {
            self.seg_base(seg)
        }
    }

    /// Cuts an address made from the memory operand's to the instruction's address size.
    pub(crate) fn cut_address(&self, insn: &Instruction, at: u64) -> u64 {
        at & self.address_mask(insn)
    }

    /// Mask of the instruction's address size.
    pub(crate) fn address_mask(&self, insn: &Instruction) -> u64 {
        address_mask(insn, self.code_size())
    }

    /// Effective address of the memory operand: the offset in its segment, cut to the address size.
    pub(crate) fn effective_address(&self, insn: &Instruction) -> u64 {
        let disp = insn.memory_displacement64();
        if insn.is_ip_rel_memory_operand() {
            // The decoder was given page offsets as addresses, so its answer is relative to the code page.
            let at = self.regs[CODE_PAGE as usize].wrapping_add(disp);
            return if insn.memory_base() == Register::EIP { at & 0xffff_ffff } else { at };
        }
        let base = insn.memory_base();
        let index = insn.memory_index();
        let mut at = disp;
        if base != Register::None {
            at = at.wrapping_add(self.regs[gpr_index(base)]);
        }
        if index != Register::None && !index.is_vector_register() {
            at = at
                .wrapping_add(self.regs[gpr_index(index)].wrapping_mul(u64::from(insn.memory_index_scale())));
        }
        at & address_mask(insn, self.code_size())
    }

    /// Segment of the memory operand. 64-bit mode ignores overrides by ES, CS, SS and DS; what is left of a segment there is
    /// whether a bad address raises #SS or #GP.
    pub(crate) fn operand_segment(&self, insn: &Instruction) -> Seg {
        let seg = Seg::from_iced(insn.memory_segment()).unwrap_or(Seg::Ds);
        if self.code_size() != CodeSize::Bits64 || matches!(seg, Seg::Fs | Seg::Gs) {
            seg
        } else if matches!(insn.memory_base(), Register::RSP | Register::RBP | Register::ESP | Register::EBP)
        {
            Seg::Ss
        } else {
            Seg::Ds
        }
    }

    /// Segment and offset of the memory operand.
    pub(crate) fn memory_operand(&self, insn: &Instruction) -> (Seg, u64) {
        (self.operand_segment(insn), self.effective_address(insn))
    }

    /// Value of operand `n`, a general or segment register, an immediate or memory of `width`, zero-extended to
    /// `width`.
    pub(crate) fn read_operand(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
        width: Width,
    ) -> Result<u64, Fault> {
        match insn.op_kind(n) {
            OpKind::Register => Ok(self.reg(insn.op_register(n)) & width.mask()),
            OpKind::Memory => {
                let (seg, offset) = self.memory_operand(insn);
                self.load(bus, seg, offset, width)
            }
            _ => Ok(insn.immediate(n) & width.mask()),
        }
    }

    /// As [`Self::read_operand`] for an operand that is going to be written back: memory faults as a write.
    pub(crate) fn read_for_update(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
        width: Width,
    ) -> Result<u64, Fault> {
        if insn.op_kind(n) == OpKind::Memory {
            let (seg, offset) = self.memory_operand(insn);
            self.load_for_update(bus, seg, offset, width)
        } else {
            self.read_operand(bus, insn, n, width)
        }
    }

    /// Writes operand `n`, a general register or memory of `width`.
    pub(crate) fn write_operand(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
        width: Width,
        value: u64,
    ) -> Result<(), Fault> {
        if insn.op_kind(n) == OpKind::Memory {
            let (seg, offset) = self.memory_operand(insn);
            self.store(bus, seg, offset, width, value)
        } else {
            self.set_reg(insn.op_register(n), value);
            Ok(())
        }
    }

    /// Pushes `width` bytes. RSP changes only if the store succeeds.
    pub(crate) fn push(&mut self, bus: &mut dyn CpuBus, width: Width, value: u64) -> Result<(), Fault> {
        let sp = self.stack_offset(width.bytes().wrapping_neg());
        self.store(bus, Seg::Ss, sp, width, value)?;
        self.set_stack_pointer(sp);
        Ok(())
    }

    /// Pops `width` bytes.
    pub(crate) fn pop(&mut self, bus: &mut dyn CpuBus, width: Width) -> Result<u64, Fault> {
        let value = self.load(bus, Seg::Ss, self.stack_offset(0), width)?;
        let sp = self.stack_offset(width.bytes());
        self.set_stack_pointer(sp);
        Ok(value)
    }

    /// SP, ESP or RSP plus `delta`, cut to the stack's width.
    pub(crate) fn stack_offset(&self, delta: u64) -> u64 {
        self.regs[RSP as usize].wrapping_add(delta) & self.stack_width().mask()
    }

    /// Sets SP, ESP or RSP, by the stack's width.
    pub(crate) fn set_stack_pointer(&mut self, value: u64) {
        let rsp = self.regs[RSP as usize];
        self.regs[RSP as usize] = match self.stack_width() {
            Width::B8 => value,
            Width::B4 => value & 0xffff_ffff,
            Width::B1 | Width::B2 => rsp & !0xffff | value & 0xffff,
        };
    }

    /// Where a near branch leads: the decoder's page-relative target made absolute and cut to the operand size.
    pub(crate) fn branch_target(&self, insn: &Instruction) -> u64 {
        let target = self.regs[CODE_PAGE as usize].wrapping_add(insn.near_branch_target());
        match insn.op0_kind() {
            OpKind::NearBranch16 => target & 0xffff,
            OpKind::NearBranch32 => target & 0xffff_ffff,
            _ => target,
        }
    }

    /// Makes `rip` the next instruction if it is one that this mode can fetch: canonical, or inside CS.
    pub(crate) fn branch_to(&mut self, rip: u64) -> Result<(), Fault> {
        let valid = if self.code_size() == CodeSize::Bits64 {
            is_canonical(rip)
        } else {
            rip <= u64::from(self.seg(Seg::Cs).limit)
        };
        if !valid {
            return Err(Fault::GP0);
        }
        self.next_rip = rip;
        Ok(())
    }
}

/// Mask of the instruction's address size.
fn address_mask(insn: &Instruction, code: CodeSize) -> u64 {
    let by_register = |register: Register| match register.size() {
        2 => Some(0xffff),
        4 => Some(0xffff_ffff),
        8 => Some(u64::MAX),
        _ => None,
    };
    by_register(insn.memory_base()).or_else(|| by_register(insn.memory_index())).unwrap_or({
        match insn.memory_displ_size() {
            2 => 0xffff,
            4 if code != CodeSize::Bits64 => 0xffff_ffff,
            _ => u64::MAX,
        }
    })
}
