//! XCHG, XADD, CMPXCHG and its wide forms. LOCK needs nothing: one processor runs at a time. SDM vol. 2.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::{Flags, bit};
use crate::cpu::mmu::Intent;
use crate::cpu::regs::{RAX, RBX, RCX, RDX};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Xchg => xchg,
        Mnemonic::Xadd => xadd,
        Mnemonic::Cmpxchg => cmpxchg,
        Mnemonic::Cmpxchg8b => cmpxchg8b,
        Mnemonic::Cmpxchg16b => cmpxchg16b,
        _ => return None,
    })
}

fn xchg(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let (first, second) = (cpu.read_for_update(bus, insn, 0, width)?, cpu.read_operand(bus, insn, 1, width)?);
    cpu.write_operand(bus, insn, 0, width, second)?;
    cpu.set_reg(insn.op1_register(), first);
    Ok(())
}

fn xadd(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let dest = cpu.read_for_update(bus, insn, 0, width)?;
    let source = cpu.reg(insn.op1_register());
    let sum = dest.wrapping_add(source) & width.mask();
    if insn.op0_kind() == OpKind::Memory {
        cpu.write_operand(bus, insn, 0, width, sum)?;
        cpu.set_reg(insn.op1_register(), dest);
    } else {
        // With one register for both, the sum stays.
        cpu.set_reg(insn.op1_register(), dest);
        cpu.set_reg(insn.op0_register(), sum);
    }
    cpu.flags = Flags::add(width, dest, source, sum);
    Ok(())
}

fn cmpxchg(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let dest = cpu.read_for_update(bus, insn, 0, width)?;
    let accumulator = cpu.gpr(RAX) & width.mask();
    let source = cpu.reg(insn.op1_register());
    let equal = accumulator == dest;
    // Memory is written either way; a register only if it changes.
    let value = if equal { source } else { dest };
    if equal || insn.op0_kind() == OpKind::Memory {
        cpu.write_operand(bus, insn, 0, width, value)?;
    }
    if !equal {
        cpu.set_gpr_part(RAX, width, dest);
    }
    let difference = accumulator.wrapping_sub(dest) & width.mask();
    cpu.flags = Flags::sub(width, accumulator, dest, difference);
    Ok(())
}

fn set_zf(cpu: &mut Cpu, zf: bool) {
    let flags = cpu.flags.bits() & !bit::ZF | if zf { bit::ZF } else { 0 };
    cpu.flags = Flags::from_bits(flags);
}

fn cmpxchg8b(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let dest = cpu.load_for_update(bus, seg, at, Width::B8)?;
    let pair = |high: u8, low: u8| cpu.gpr(high) << 32 | cpu.gpr(low) & 0xffff_ffff;
    let (expected, new) = (pair(RDX, RAX), pair(RCX, RBX));
    let equal = dest == expected;
    cpu.store(bus, seg, at, Width::B8, if equal { new } else { dest })?;
    if !equal {
        cpu.set_gpr(RAX, dest & 0xffff_ffff);
        cpu.set_gpr(RDX, dest >> 32);
    }
    set_zf(cpu, equal);
    Ok(())
}

fn cmpxchg16b(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    // Comes first, even where the address is not canonical.
    if !cpu.seg_base_if_used(seg).wrapping_add(at).is_multiple_of(16) {
        return Err(Fault::GP0);
    }
    let lin = cpu.linear(seg, at, 16, Intent::Update)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, 16, Intent::Update, context)?;
    let mut bytes = [0; 16];
    cpu.load_bytes_lin(bus, lin, &mut bytes, context)?;
    let dest = u128::from_le_bytes(bytes);
    let pair = |high: u8, low: u8| u128::from(cpu.gpr(high)) << 64 | u128::from(cpu.gpr(low));
    let (expected, new) = (pair(RDX, RAX), pair(RCX, RBX));
    let equal = dest == expected;
    cpu.store_bytes_lin(bus, lin, &if equal { new } else { dest }.to_le_bytes(), context)?;
    if !equal {
        cpu.set_gpr(RAX, dest as u64);
        cpu.set_gpr(RDX, (dest >> 64) as u64);
    }
    set_zf(cpu, equal);
    Ok(())
}
