//! Stack frames: ENTER, LEAVE, PUSHA, POPA, POP to memory; and BOUND, XLAT. SDM vol. 2.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::sign_extend;
use crate::cpu::mmu::Intent;
use crate::cpu::regs::{RAX, RBP, RBX, RSP, Seg};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pop_rm16 | Code::Pop_rm32 | Code::Pop_rm64 => pop_to_memory,
        Code::Enterw_imm16_imm8 => |cpu, bus, insn| enter(cpu, bus, insn, Width::B2),
        Code::Enterd_imm16_imm8 => |cpu, bus, insn| enter(cpu, bus, insn, Width::B4),
        Code::Enterq_imm16_imm8 => |cpu, bus, insn| enter(cpu, bus, insn, Width::B8),
        Code::Leavew => |cpu, bus, _| leave(cpu, bus, Width::B2),
        Code::Leaved => |cpu, bus, _| leave(cpu, bus, Width::B4),
        Code::Leaveq => |cpu, bus, _| leave(cpu, bus, Width::B8),
        Code::Pushaw => |cpu, bus, _| push_all(cpu, bus, Width::B2),
        Code::Pushad => |cpu, bus, _| push_all(cpu, bus, Width::B4),
        Code::Popaw => |cpu, bus, _| pop_all(cpu, bus, Width::B2),
        Code::Popad => |cpu, bus, _| pop_all(cpu, bus, Width::B4),
        _ if code.mnemonic() == Mnemonic::Bound => bound,
        _ if code.mnemonic() == Mnemonic::Xlatb => xlat,
        _ => return None,
    })
}

/// An address that uses RSP sees it after the pop.
fn pop_to_memory(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let before = cpu.gpr(RSP);
    let value = cpu.pop(bus, width)?;
    cpu.write_operand(bus, insn, 0, width, value).inspect_err(|_| cpu.set_gpr(RSP, before))
}

fn enter(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    let (size, level) = (insn.immediate(0), insn.immediate(1) & 31);
    let mask = cpu.stack_width().mask();
    let mut sp = cpu.stack_offset(0);
    let mut push = |cpu: &mut Cpu, bus: &mut dyn CpuBus, value: u64| -> Result<u64, Fault> {
        sp = sp.wrapping_sub(width.bytes()) & mask;
        cpu.store(bus, Seg::Ss, sp, width, value & width.mask())?;
        Ok(sp)
    };
    let mut display = cpu.gpr(RBP);
    let frame = push(cpu, bus, display)?;
    for _ in 1..level {
        display = display.wrapping_sub(width.bytes());
        let outer = cpu.load(bus, Seg::Ss, display & mask, width)?;
        push(cpu, bus, outer)?;
    }
    if level > 0 {
        push(cpu, bus, frame)?;
    }
    finish_enter(cpu, bus, width, frame, sp, size)
}

/// Probes the new top of stack as a write, then moves RBP and RSP.
fn finish_enter(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    width: Width,
    frame: u64,
    sp: u64,
    size: u64,
) -> Result<(), Fault> {
    let top = sp.wrapping_sub(size) & cpu.stack_width().mask();
    let lin = cpu.linear(Seg::Ss, top, width.bytes(), Intent::Write)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, width.bytes(), Intent::Write, context)?;
    cpu.set_gpr_part(RBP, width, frame);
    cpu.set_stack_pointer(top);
    Ok(())
}

fn leave(cpu: &mut Cpu, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
    let mask = cpu.stack_width().mask();
    let frame = cpu.gpr(RBP) & mask;
    let rbp = cpu.load(bus, Seg::Ss, frame, width)?;
    cpu.set_stack_pointer(frame.wrapping_add(width.bytes()) & mask);
    cpu.set_gpr_part(RBP, width, rbp);
    Ok(())
}

fn push_all(cpu: &mut Cpu, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
    // All eight as they are before; RDI ends up on top. The last to be written may fault, so all are tried first.
    let slot = |cpu: &Cpu, register: u8| {
        cpu.stack_offset((u64::from(register) + 1).wrapping_mul(width.bytes()).wrapping_neg())
    };
    let context = cpu.data_context();
    for register in 0..8 {
        let lin = cpu.linear(Seg::Ss, slot(cpu, register), width.bytes(), Intent::Write)?;
        cpu.check_alignment(lin, width.bytes())?;
        cpu.probe(bus, lin, width.bytes(), Intent::Write, context)?;
    }
    for register in 0..8 {
        let value = cpu.gpr(register);
        cpu.store(bus, Seg::Ss, slot(cpu, register), width, value)?;
    }
    let bottom = slot(cpu, 7);
    cpu.set_stack_pointer(bottom);
    Ok(())
}

fn pop_all(cpu: &mut Cpu, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
    let mut values = [0; 8];
    for (index, value) in (0..).zip(&mut values) {
        let at = cpu.stack_offset(index * width.bytes());
        *value = cpu.load(bus, Seg::Ss, at, width)?;
    }
    let sp = cpu.stack_offset(8 * width.bytes());
    for (register, value) in (0..8u8).rev().zip(values) {
        if register != RSP {
            cpu.set_gpr_part(register, width, value);
        }
    }
    cpu.set_stack_pointer(sp);
    Ok(())
}

fn bound(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let (seg, at) = cpu.memory_operand(insn);
    let lower = cpu.load(bus, seg, at, width)?;
    let upper_at = cpu.cut_address(insn, at.wrapping_add(width.bytes()));
    let upper = cpu.load(bus, seg, upper_at, width)?;
    let signed = |value: u64| sign_extend(value, width) as i64;
    let index = signed(cpu.reg(insn.op0_register()));
    if index < signed(lower) || index > signed(upper) { Err(Fault::BOUND) } else { Ok(()) }
}

/// AL indexes the table at rBX, by the address size.
fn xlat(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    debug_assert_eq!(insn.op0_kind(), OpKind::Memory);
    let seg = cpu.operand_segment(insn);
    let mask = match insn.memory_base().size() {
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    };
    let at = cpu.gpr(RBX).wrapping_add(cpu.gpr(RAX) & 0xff) & mask;
    let value = cpu.load(bus, seg, at, Width::B1)?;
    cpu.set_gpr_part(RAX, Width::B1, value);
    Ok(())
}
