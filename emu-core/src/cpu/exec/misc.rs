//! Single flags, LAHF and SAHF, and the decimal adjustments that 64-bit mode has not. SDM vol. 2.

use super::Exec;
use crate::access::Width;
use crate::cpu::flags::{Flags, bit};
use crate::cpu::regs::RAX;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Clc => |cpu, _, _| set_cf(cpu, |_| false),
        Mnemonic::Stc => |cpu, _, _| set_cf(cpu, |_| true),
        Mnemonic::Cmc => |cpu, _, _| set_cf(cpu, |cf| !cf),
        Mnemonic::Cld => |cpu, _, _| set_df(cpu, false),
        Mnemonic::Std => |cpu, _, _| set_df(cpu, true),
        Mnemonic::Lahf => lahf,
        Mnemonic::Sahf => sahf,
        Mnemonic::Salc => salc,
        Mnemonic::Daa => |cpu, _, _| decimal(cpu, true),
        Mnemonic::Das => |cpu, _, _| decimal(cpu, false),
        Mnemonic::Aaa => |cpu, _, _| ascii(cpu, true),
        Mnemonic::Aas => |cpu, _, _| ascii(cpu, false),
        Mnemonic::Aam => aam,
        Mnemonic::Aad => aad,
        Mnemonic::Movnti => movnti,
        Mnemonic::Clflush | Mnemonic::Clflushopt => clflush,
        _ => return None,
    })
}

fn set_cf(cpu: &mut Cpu, change: fn(bool) -> bool) -> Result<(), Fault> {
    let cf = change(cpu.flags.cf());
    // OF stays: CF is not part of it here.
    cpu.flags = cpu.flags.with_cf(cf);
    Ok(())
}

fn set_df(cpu: &mut Cpu, down: bool) -> Result<(), Fault> {
    cpu.system_flags = cpu.system_flags & !bit::DF | if down { bit::DF } else { 0 };
    Ok(())
}

/// The flags that LAHF and SAHF move: all arithmetic ones but OF.
const LOW: u64 = bit::ARITHMETIC & 0xff;

fn lahf(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    let flags = cpu.flags.bits() & LOW | bit::ONE;
    let rax = cpu.gpr(RAX) & !0xff00 | flags << 8;
    cpu.set_gpr(RAX, rax);
    Ok(())
}

fn sahf(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    let loaded = cpu.gpr(RAX) >> 8 & LOW;
    cpu.flags = Flags::from_bits(cpu.flags.bits() & !LOW | loaded);
    Ok(())
}

/// D6, undocumented: AL becomes all copies of CF.
fn salc(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    let value = if cpu.flags.cf() { 0xff } else { 0 };
    cpu.set_gpr_part(RAX, Width::B1, value);
    Ok(())
}

/// Flags of a byte result with AF and CF as given; OF, undefined, clear.
fn byte_flags(cpu: &mut Cpu, result: u64, af: bool, cf: bool) {
    let mut flags = Flags::result_with(Width::B1, result & 0xff, cf, false).bits();
    if af {
        flags |= bit::AF;
    }
    cpu.flags = Flags::from_bits(flags);
}

/// DAA and DAS.
fn decimal(cpu: &mut Cpu, add: bool) -> Result<(), Fault> {
    let old = cpu.gpr(RAX) & 0xff;
    let (old_cf, old_af) = (cpu.flags.cf(), cpu.flags.af());
    let step = |value: u64, by: u64| if add { value.wrapping_add(by) } else { value.wrapping_sub(by) };
    let mut al = old;
    let mut cf = false;
    let af = old & 0xf > 9 || old_af;
    if af {
        let moved = step(al, 6);
        cf = old_cf || moved > 0xff;
        al = moved & 0xff;
    }
    let high = old > 0x99 || old_cf;
    if high {
        al = step(al, 0x60) & 0xff;
        cf = true;
    } else if add {
        cf = false;
    }
    cpu.set_gpr_part(RAX, Width::B1, al);
    byte_flags(cpu, al, af, cf);
    Ok(())
}

/// AAA and AAS.
fn ascii(cpu: &mut Cpu, add: bool) -> Result<(), Fault> {
    let ax = cpu.gpr(RAX) & 0xffff;
    let adjust = ax & 0xf > 9 || cpu.flags.af();
    let moved = match (adjust, add) {
        (true, true) => ax.wrapping_add(0x106),
        (true, false) => ax.wrapping_sub(0x106),
        (false, _) => ax,
    };
    let ax = moved & 0xff0f;
    cpu.set_gpr_part(RAX, Width::B2, ax);
    byte_flags(cpu, ax & 0xff, adjust, adjust);
    Ok(())
}

fn aam(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let base = u64::from(insn.immediate8());
    let al = cpu.gpr(RAX) & 0xff;
    let high = al.checked_div(base).ok_or(Fault::DIVIDE)?;
    let low = al % base;
    cpu.set_gpr_part(RAX, Width::B2, high << 8 | low);
    byte_flags(cpu, low, false, false);
    Ok(())
}

fn aad(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let base = u64::from(insn.immediate8());
    let ax = cpu.gpr(RAX) & 0xffff;
    let al = (ax & 0xff).wrapping_add((ax >> 8) * base) & 0xff;
    cpu.set_gpr_part(RAX, Width::B2, al);
    byte_flags(cpu, al, false, false);
    Ok(())
}

/// A store past the caches, which are not modelled.
fn movnti(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = super::operand_width(insn, 1);
    let value = cpu.read_operand(bus, insn, 1, width)?;
    cpu.write_operand(bus, insn, 0, width, value)
}

/// Without caches there is nothing to flush; the line must be readable all the same.
fn clflush(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, 1, crate::cpu::mmu::Intent::Read)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, 1, crate::cpu::mmu::Intent::Read, context)
}
