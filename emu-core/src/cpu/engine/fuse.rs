//! Pairs of instructions that one handler does: a comparison or a count, and the conditional branch behind it. Nearly all conditional
//! branches follow the instruction whose flags they test, and a handler less to find is what that saves.
//!
//! The branch keeps its own operation and handler: what makes the first instruction take its slow form, or a run end between the
//! two, goes on there.

use super::block::Handler;
use super::dispatch;
use crate::access::Width;
use crate::cpu::sem::width::{B1, B4, B8};
use crate::cpu::sem::{Sem, alu, branch};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The handler of both, if they are such a pair. The first one's operands are for the fast path.
pub(super) fn fused(first: &Instruction, second: &Instruction) -> Option<Handler> {
    if !second.is_jcc_short_or_near() {
        return None;
    }
    // iced counts the conditions from 1, in the order of the opcode.
    let condition = (second.condition_code() as u8).checked_sub(1)?;
    match first.mnemonic() {
        Mnemonic::Cmp => compared::<alu::Cmp>(first, condition),
        Mnemonic::Test => compared::<alu::Test>(first, condition),
        Mnemonic::Dec => counted::<alu::Dec>(first, condition),
        Mnemonic::Inc => counted::<alu::Inc>(first, condition),
        Mnemonic::Sub => computed::<alu::Sub>(first, condition),
        Mnemonic::Add => computed::<alu::Add>(first, condition),
        Mnemonic::And => computed::<alu::And>(first, condition),
        _ => None,
    }
}

/// Operands, as far as they matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Register,
    Memory,
    Immediate,
}

fn kind(insn: &Instruction, n: u32) -> Option<Kind> {
    match insn.op_kind(n) {
        OpKind::Register => insn.op_register(n).is_gpr().then_some(Kind::Register),
        OpKind::Memory => Some(Kind::Memory),
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(Kind::Immediate),
        _ => None,
    }
}

fn width(insn: &Instruction) -> Option<Width> {
    match kind(insn, 0)? {
        Kind::Register => Width::from_bytes(insn.op0_register().size()),
        Kind::Memory => Width::from_bytes(insn.memory_size().size()),
        Kind::Immediate => None,
    }
}

fn compared<O: alu::Binary>(insn: &Instruction, condition: u8) -> Option<Handler> {
    match width(insn)? {
        Width::B1 => by_form::<
            alu::RegReg<O, B1>,
            alu::RegImm<O, B1>,
            alu::RegMem<O, B1>,
            alu::MemReg<O, B1>,
            alu::MemImm<O, B1>,
        >(insn, condition),
        Width::B4 => by_form::<
            alu::RegReg<O, B4>,
            alu::RegImm<O, B4>,
            alu::RegMem<O, B4>,
            alu::MemReg<O, B4>,
            alu::MemImm<O, B4>,
        >(insn, condition),
        Width::B8 => by_form::<
            alu::RegReg<O, B8>,
            alu::RegImm<O, B8>,
            alu::RegMem<O, B8>,
            alu::MemReg<O, B8>,
            alu::MemImm<O, B8>,
        >(insn, condition),
        Width::B2 => None,
    }
}

fn by_form<RR: Sem, RI: Sem, RM: Sem, MR: Sem, MI: Sem>(
    insn: &Instruction,
    condition: u8,
) -> Option<Handler> {
    Some(match (kind(insn, 0)?, kind(insn, 1)?) {
        (Kind::Register, Kind::Register) => with_branch::<RR>(condition),
        (Kind::Register, Kind::Immediate) => with_branch::<RI>(condition),
        (Kind::Register, Kind::Memory) => with_branch::<RM>(condition),
        (Kind::Memory, Kind::Register) => with_branch::<MR>(condition),
        (Kind::Memory, Kind::Immediate) => with_branch::<MI>(condition),
        _ => return None,
    })
}

/// Of a register.
fn counted<O: alu::Unary>(insn: &Instruction, condition: u8) -> Option<Handler> {
    match (kind(insn, 0)?, width(insn)?) {
        (Kind::Register, Width::B4) => Some(with_branch::<alu::Reg<O, B4>>(condition)),
        (Kind::Register, Width::B8) => Some(with_branch::<alu::Reg<O, B8>>(condition)),
        _ => None,
    }
}

/// On registers.
fn computed<O: alu::Binary>(insn: &Instruction, condition: u8) -> Option<Handler> {
    match (kind(insn, 0)?, kind(insn, 1)?, width(insn)?) {
        (Kind::Register, Kind::Register, Width::B4) => Some(with_branch::<alu::RegReg<O, B4>>(condition)),
        (Kind::Register, Kind::Register, Width::B8) => Some(with_branch::<alu::RegReg<O, B8>>(condition)),
        (Kind::Register, Kind::Immediate, Width::B4) => Some(with_branch::<alu::RegImm<O, B4>>(condition)),
        (Kind::Register, Kind::Immediate, Width::B8) => Some(with_branch::<alu::RegImm<O, B8>>(condition)),
        _ => None,
    }
}

fn with_branch<A: Sem>(condition: u8) -> Handler {
    macro_rules! by_condition {
        ($($n:literal)*) => {
            match condition & 15 {
                $($n => dispatch::pair::<A, branch::Jcc<$n>>,)*
                _ => dispatch::pair::<A, branch::Jcc<15>>,
            }
        };
    }
    by_condition!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}
