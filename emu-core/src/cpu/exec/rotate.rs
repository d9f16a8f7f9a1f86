//! RCL, RCR, SHLD, SHRD. SDM vol. 2B.
//!
//! Where the manual leaves OF undefined (counts above one) it is computed as for the last single step.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::Flags;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Rcl => |cpu, bus, insn| rotate(cpu, bus, insn, rcl),
        Mnemonic::Rcr => |cpu, bus, insn| rotate(cpu, bus, insn, rcr),
        Mnemonic::Shld => |cpu, bus, insn| double_shift(cpu, bus, insn, true),
        Mnemonic::Shrd => |cpu, bus, insn| double_shift(cpu, bus, insn, false),
        _ => return None,
    })
}

/// A rotated value, and CF and OF.
struct Rotated {
    value: u64,
    cf: bool,
    of: bool,
}

/// Rotates by a count that is not zero; `bool` is CF before.
type Rotate = fn(Width, u64, u32, bool) -> Rotated;

fn count_mask(width: Width) -> u64 {
    if width == Width::B8 { 63 } else { 31 }
}

fn bit(value: u64, index: u32) -> bool {
    value >> index & 1 != 0
}

fn rotate(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, rotate: Rotate) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let count = (cpu.read_operand(bus, insn, 1, Width::B1)? & count_mask(width)) as u32;
    let value = cpu.read_for_update(bus, insn, 0, width)?;
    if count == 0 {
        // The destination is still written: a 32-bit register loses its upper half.
        return cpu.write_operand(bus, insn, 0, width, value);
    }
    let rotated = rotate(width, value, count, cpu.flags.cf());
    cpu.write_operand(bus, insn, 0, width, rotated.value)?;
    cpu.flags = cpu.flags.with_cf_of(rotated.cf, rotated.of);
    Ok(())
}

/// Through CF: a rotation of one bit more than the operand has.
fn through_carry(width: Width, value: u64, left: u32, cf: bool) -> (u64, bool) {
    let bits = width.bits() + 1;
    let left = left % bits;
    let all = u128::from(value) | u128::from(cf) << (bits - 1);
    let turned = if left == 0 { all } else { all << left | all >> (bits - left) };
    (turned as u64 & width.mask(), turned >> (bits - 1) & 1 != 0)
}

fn rcl(width: Width, value: u64, count: u32, cf: bool) -> Rotated {
    let (value, cf) = through_carry(width, value, count, cf);
    Rotated { value, cf, of: bit(value, width.bits() - 1) != cf }
}

fn rcr(width: Width, value: u64, count: u32, cf: bool) -> Rotated {
    let bits = width.bits() + 1;
    let (value, cf) = through_carry(width, value, bits - count % bits, cf);
    Rotated { value, cf, of: bit(value, width.bits() - 1) != bit(value, width.bits() - 2) }
}

fn double_shift(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, left: bool) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let count = (cpu.read_operand(bus, insn, 2, Width::B1)? & count_mask(width)) as u32;
    let filler = cpu.read_operand(bus, insn, 1, width)?;
    let value = cpu.read_for_update(bus, insn, 0, width)?;
    if count == 0 {
        return cpu.write_operand(bus, insn, 0, width, value);
    }
    let (result, cf) =
        if left { shift_left(width, value, filler, count) } else { shift_right(width, value, filler, count) };
    cpu.write_operand(bus, insn, 0, width, result)?;
    let top = width.bits() - 1;
    cpu.flags = Flags::result_with(width, result, cf, bit(result, top) != bit(value, top));
    Ok(())
}

/// The value, then the filler, then (for a 16-bit operand shifted by more than 16, which is undefined) the value again.
fn shift_left(width: Width, value: u64, filler: u64, count: u32) -> (u64, bool) {
    let bits = width.bits();
    if width == Width::B8 {
        return (value << count | filler >> (64 - count), bit(value, 64 - count));
    }
    let wide = u128::from(value) << (2 * bits) | u128::from(filler) << bits | u128::from(value);
    let shifted = wide << count;
    ((shifted >> (2 * bits)) as u64 & width.mask(), shifted >> (3 * bits) & 1 != 0)
}

/// Likewise to the other side.
fn shift_right(width: Width, value: u64, filler: u64, count: u32) -> (u64, bool) {
    let bits = width.bits();
    if width == Width::B8 {
        return (value >> count | filler << (64 - count), bit(value, count - 1));
    }
    let wide = u128::from(value) << (2 * bits) | u128::from(filler) << bits | u128::from(value);
    ((wide >> count) as u64 & width.mask(), wide >> (count - 1) & 1 != 0)
}
