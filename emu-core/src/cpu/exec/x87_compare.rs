//! x87 comparisons: to condition codes, to EFLAGS, with zero, and what sort of thing ST(0) is. SDM vol. 1, 8.3.6; vol. 2A.

use super::Exec;
use super::x87::{index, x87};
use crate::cpu::flags::{Flags, bit};
use crate::cpu::softfloat::{F80, Format, Kind, Relation, Unpacked, relate};
use crate::cpu::x87::status;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Fcom | Mnemonic::Ficom => x87!(|cpu, bus, insn| compare(cpu, bus, insn, true, 0)),
        Mnemonic::Fcomp | Mnemonic::Ficomp => x87!(|cpu, bus, insn| compare(cpu, bus, insn, true, 1)),
        Mnemonic::Fcompp => x87!(|cpu, bus, insn| compare(cpu, bus, insn, true, 2)),
        Mnemonic::Fucom => x87!(|cpu, bus, insn| compare(cpu, bus, insn, false, 0)),
        Mnemonic::Fucomp => x87!(|cpu, bus, insn| compare(cpu, bus, insn, false, 1)),
        Mnemonic::Fucompp => x87!(|cpu, bus, insn| compare(cpu, bus, insn, false, 2)),
        Mnemonic::Fcomi => x87!(|cpu, _, insn| to_flags(cpu, insn, true, 0)),
        Mnemonic::Fcomip => x87!(|cpu, _, insn| to_flags(cpu, insn, true, 1)),
        Mnemonic::Fucomi => x87!(|cpu, _, insn| to_flags(cpu, insn, false, 0)),
        Mnemonic::Fucomip => x87!(|cpu, _, insn| to_flags(cpu, insn, false, 1)),
        Mnemonic::Ftst => x87!(|cpu, _, _| with_zero(cpu)),
        Mnemonic::Fxam => x87!(|cpu, _, _| examine(cpu)),
        _ => return None,
    })
}

/// How ST(0) relates to another value, if both are there; nothing if an unmasked exception came before.
fn relation(cpu: &mut Cpu, other: Option<Unpacked>, signals: bool) -> Option<Relation> {
    let (Some(a), Some(b)) = (cpu.x87.get(0).map(F80::unpack), other) else {
        return cpu.x87.underflow().map(|_| Relation::Unordered);
    };
    let mut env = cpu.x87_env();
    let relation = relate(&mut env, &a, &b, signals);
    cpu.x87.finish(&env, relation)
}

fn set_conditions(cpu: &mut Cpu, relation: Relation) {
    let set = match relation {
        Relation::Greater => 0,
        Relation::Less => status::C0,
        Relation::Equal => status::C3,
        Relation::Unordered => status::C0 | status::C2 | status::C3,
    };
    cpu.x87.set_condition(status::C0 | status::C2 | status::C3, false);
    cpu.x87.set_condition(set, true);
}

fn compare(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    signals: bool,
    pops: u32,
) -> Result<(), Fault> {
    let other = match insn.op_count() {
        // FCOMPP compares with ST(1).
        0 => cpu.x87.get(1).map(F80::unpack),
        _ if insn.op0_kind() == OpKind::Memory => Some(cpu.x87_memory(bus, insn)?),
        _ => cpu.x87.get(index(insn.op1_register())).map(F80::unpack),
    };
    if let Some(relation) = relation(cpu, other, signals) {
        set_conditions(cpu, relation);
        (0..pops).for_each(|_| cpu.x87.pop());
    }
    Ok(())
}

fn to_flags(cpu: &mut Cpu, insn: &Instruction, signals: bool, pops: u32) -> Result<(), Fault> {
    let other = cpu.x87.get(index(insn.op1_register())).map(F80::unpack);
    if let Some(relation) = relation(cpu, other, signals) {
        cpu.flags = Flags::from_bits(match relation {
            Relation::Greater => 0,
            Relation::Less => bit::CF,
            Relation::Equal => bit::ZF,
            Relation::Unordered => bit::ZF | bit::PF | bit::CF,
        });
        (0..pops).for_each(|_| cpu.x87.pop());
    }
    Ok(())
}

fn with_zero(cpu: &mut Cpu) -> Result<(), Fault> {
    if let Some(relation) = relation(cpu, Some(Unpacked::integer(0)), true) {
        set_conditions(cpu, relation);
    }
    Ok(())
}

fn examine(cpu: &mut Cpu) -> Result<(), Fault> {
    let bits = cpu.x87.registers[cpu.x87.physical(0)];
    let class = match F80::unpack(bits).kind {
        _ if cpu.x87.get(0).is_none() => status::C3 | status::C0,
        Kind::Unsupported => 0,
        Kind::QuietNan | Kind::SignalingNan => status::C0,
        Kind::Normal => status::C2,
        Kind::Infinity => status::C2 | status::C0,
        Kind::Zero => status::C3,
        Kind::Denormal => status::C3 | status::C2,
    };
    cpu.x87.set_condition(status::C0 | status::C2 | status::C3, false);
    cpu.x87.set_condition(class, true);
    cpu.x87.set_condition(status::C1, bits.sign());
    Ok(())
}
