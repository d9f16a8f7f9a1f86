//! LOOP, JCXZ, and near branches outside of 64-bit mode or with a 16-bit operand: RIP is cut and checked against CS's limit.
//! SDM vol. 2.

use super::Exec;
use crate::access::Width;
use crate::cpu::flags::Condition;
use crate::cpu::regs::{RCX, Seg};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    let mut insn = Instruction::default();
    insn.set_code(code);
    Some(match code.mnemonic() {
        Mnemonic::Loop => |cpu, _, insn| count_and_branch(cpu, insn, |_| true),
        Mnemonic::Loope => |cpu, _, insn| count_and_branch(cpu, insn, |cpu| cpu.flags.zf()),
        Mnemonic::Loopne => |cpu, _, insn| count_and_branch(cpu, insn, |cpu| !cpu.flags.zf()),
        Mnemonic::Jcxz => |cpu, _, insn| branch_if_zero(cpu, insn, Width::B2),
        Mnemonic::Jecxz => |cpu, _, insn| branch_if_zero(cpu, insn, Width::B4),
        Mnemonic::Jrcxz => |cpu, _, insn| branch_if_zero(cpu, insn, Width::B8),
        Mnemonic::Jmp if code.is_jmp_short_or_near() => jump,
        Mnemonic::Jmp if code.is_jmp_near_indirect() => jump_indirect,
        Mnemonic::Call if code.is_call_near() => call,
        Mnemonic::Call if code.is_call_near_indirect() => call_indirect,
        Mnemonic::Ret => ret,
        _ if code.is_jcc_short_or_near() => conditional,
        _ => return None,
    })
}

fn branch(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let target = cpu.branch_target(insn);
    cpu.branch_to(target)
}

/// The counter has the address size, which iced shows in the code.
fn counter_width(insn: &Instruction) -> Width {
    match insn.code() {
        Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => Width::B2,
        Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX => Width::B8,
        _ => Width::B4,
    }
}

fn count_and_branch(cpu: &mut Cpu, insn: &Instruction, condition: fn(&Cpu) -> bool) -> Result<(), Fault> {
    let width = counter_width(insn);
    let count = cpu.gpr(RCX).wrapping_sub(1) & width.mask();
    if count != 0 && condition(cpu) {
        branch(cpu, insn)?;
    }
    cpu.set_gpr_part(RCX, width, count);
    Ok(())
}

fn branch_if_zero(cpu: &mut Cpu, insn: &Instruction, width: Width) -> Result<(), Fault> {
    if cpu.gpr(RCX) & width.mask() == 0 { branch(cpu, insn) } else { Ok(()) }
}

fn conditional(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let condition = Condition((insn.condition_code() as u8).wrapping_sub(1));
    if condition.holds(&cpu.flags) { branch(cpu, insn) } else { Ok(()) }
}

fn jump(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    branch(cpu, insn)
}

/// Width of the target, and of what CALL pushes and RET pops.
fn branch_width(insn: &Instruction) -> Width {
    match insn.op0_kind() {
        OpKind::Register => super::gpr_width(insn.op0_register()),
        OpKind::Memory => Width::from_bytes(insn.memory_size().size()).unwrap_or(Width::B8),
        OpKind::NearBranch16 => Width::B2,
        OpKind::NearBranch32 => Width::B4,
        _ => Width::B8,
    }
}

fn jump_indirect(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let target = cpu.read_operand(bus, insn, 0, branch_width(insn))?;
    cpu.branch_to(target)
}

/// The target is checked before anything is pushed; a push that faults takes the branch back.
fn call_to(cpu: &mut Cpu, bus: &mut dyn CpuBus, target: u64, width: Width) -> Result<(), Fault> {
    let back = cpu.next_rip;
    cpu.branch_to(target)?;
    cpu.push(bus, width, back & width.mask())
}

fn call(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let target = cpu.branch_target(insn);
    call_to(cpu, bus, target, branch_width(insn))
}

fn call_indirect(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = branch_width(insn);
    let target = cpu.read_operand(bus, insn, 0, width)?;
    call_to(cpu, bus, target, width)
}

fn ret(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = match insn.code() {
        Code::Retnw | Code::Retnw_imm16 => Width::B2,
        Code::Retnd | Code::Retnd_imm16 => Width::B4,
        _ => Width::B8,
    };
    debug_assert!(width != Width::B8 || cpu.code_size() == CodeSize::Bits64);
    let at = cpu.stack_offset(0);
    let target = cpu.load(bus, Seg::Ss, at, width)?;
    cpu.branch_to(target)?;
    let release = if insn.op_count() > 0 { insn.immediate(0) } else { 0 };
    let sp = cpu.stack_offset(width.bytes() + release);
    cpu.set_stack_pointer(sp);
    Ok(())
}
