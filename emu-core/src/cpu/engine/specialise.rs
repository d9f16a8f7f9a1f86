//! From a decoded instruction to an operation: hot ones get a handler compiled for their operands, all others the slow
//! handler with their function from [`exec`].
//!
//! Nothing is decided here about what an instruction does. Whether the fast builder may try it depends on addressing
//! alone: flat 64-bit addresses and stacks; registers in every mode.

use super::block::{Handler, ModeKey, Op, SlowForm};
use super::jit::{self, EmitFn};
use super::{dispatch, vectors};
use crate::access::Width;
use crate::cpu::exec::{self, gpr_index, gpr_width, is_high_byte};
use crate::cpu::regs::{CODE_PAGE, Seg, ZERO};
use crate::cpu::sem::width::{B1, B2, B4, B8, W};
use crate::cpu::sem::{Sem, SlowFn, alu, branch, moves, run_slow, shift};
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

/// An operation and what it does when the fast way is closed.
pub(super) struct Decoded {
    pub(super) op: Op,
    pub(super) slow: SlowForm,
    /// The fast way is open, and that of a [`Sem`].
    pub(super) hot: bool,
}

/// The instances of a hot instruction.
#[derive(Clone, Copy)]
struct Hot {
    fast: Handler,
    slow: SlowFn,
    emit: EmitFn,
}

fn hot<S: Sem>() -> Hot {
    Hot { fast: dispatch::fast::<S>, slow: run_slow::<S>, emit: jit::emit::<S> }
}

/// The operation for `insn`, decoded with its offset in the code page as its address.
pub(super) fn specialise(insn: &Instruction, mode: ModeKey) -> Decoded {
    let Some(hot) = choose(insn, mode) else {
        let mut decoded = cold(insn, SlowForm::Exec(exec::lookup(insn.code()).unwrap_or(exec::undefined)));
        if let Some(fast) = vector(insn, mode) {
            decoded.op = Op { run: fast.handler, ..operation(insn) };
        }
        return decoded;
    };
    let mut op = operation(insn);
    let is_odd = is_odd(insn, mode);
    op.run = if is_odd { dispatch::slow } else { hot.fast };
    Decoded { op, slow: SlowForm::Sem(hot.slow), hot: !is_odd }
}

/// How a hot instruction is compiled, where its fast way is open.
pub(super) fn emitter(insn: &Instruction, mode: ModeKey) -> Option<EmitFn> {
    choose(insn, mode).filter(|_| !is_odd(insn, mode)).map(|hot| hot.emit)
}

/// Whether a hot instruction's addresses are not for the fast way.
fn is_odd(insn: &Instruction, mode: ModeKey) -> bool {
    let address_is_odd = if insn.mnemonic() == Mnemonic::Lea {
        !covers_result(insn)
    } else {
        accesses_memory(insn) && !plain_address(insn, mode)
    };
    let stack_is_odd = insn.is_stack_instruction() && !mode.is_64();
    address_is_odd || stack_is_odd
}

/// The fast form of a vector instruction, where the way to it is open.
pub(super) fn vector(insn: &Instruction, mode: ModeKey) -> Option<vectors::Hot> {
    let address_is_odd = accesses_memory(insn) && !plain_address(insn, mode);
    vectors::fast_form(insn).filter(|_| !address_is_odd)
}

/// Whether anything but #UD stands behind an instruction.
#[cfg(test)]
pub(super) fn implemented(insn: &Instruction, mode: ModeKey) -> bool {
    choose(insn, mode).is_some() || exec::lookup(insn.code()).is_some()
}

/// An operation that always takes its slow form.
pub(super) fn cold(insn: &Instruction, slow: SlowForm) -> Decoded {
    let op = Op {
        run: dispatch::slow,
        imm: 0,
        aux: 0,
        dst: ZERO,
        src: ZERO,
        base: ZERO,
        index: ZERO,
        seg_base: ZERO,
        scale: 0,
        offset: insn.ip() as u16,
    };
    Decoded { op, slow, hot: false }
}

/// Hints have a memory operand that they do not access.
fn accesses_memory(insn: &Instruction) -> bool {
    insn.op_kinds().any(|kind| kind == OpKind::Memory) && !is_hint(insn.mnemonic())
}

/// Whether the address is a sum of full registers in a flat 64-bit space.
fn plain_address(insn: &Instruction, mode: ModeKey) -> bool {
    let (base, index) = (insn.memory_base(), insn.memory_index());
    if !mode.is_64() || index.is_vector_register() {
        return false;
    }
    match (base, index) {
        (Register::RIP, _) => true,
        (Register::None, Register::None) => insn.memory_displ_size() == 8,
        (Register::None, register) | (register, _) => register.size() == 8,
    }
}

/// Whether LEA's address is at least as wide as its result: then cutting the one to the other is all there is to do.
fn covers_result(insn: &Instruction) -> bool {
    let registers = insn.memory_base().size().max(insn.memory_index().size());
    let address = if registers == 0 { insn.memory_displ_size() as usize } else { registers };
    address >= insn.op0_register().size()
}

/// Fills in the operands, by the rules in [`Op`].
fn operation(insn: &Instruction) -> Op {
    let mut op = cold(insn, SlowForm::Exec(exec::undefined)).op;
    let mut memory = false;
    for n in 0..insn.op_count() {
        match insn.op_kind(n) {
            OpKind::Register => {
                let slot = slot(insn.op_register(n));
                if n == 0 {
                    op.dst = slot;
                }
                // PUSH, JMP and CALL read their only operand.
                op.src = slot;
            }
            OpKind::Memory => {
                memory = true;
                address(insn, &mut op);
            }
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                op.imm = insn.near_branch_target();
                op.aux = insn.next_ip();
            }
            _ if memory => op.aux = insn.immediate(n),
            _ => op.imm = insn.immediate(n),
        }
    }
    match insn.mnemonic() {
        // CALL through a register or memory.
        Mnemonic::Call => op.aux = insn.next_ip(),
        Mnemonic::Ret => op.imm += 8,
        _ if condition(insn).is_some() && insn.op_count() > 0 && insn.op0_kind() != OpKind::NearBranch64 => {
            op.aux = condition(insn).map_or(0, u64::from);
        }
        _ => {}
    }
    op
}

fn address(insn: &Instruction, op: &mut Op) {
    let slot_of = |register: Register| match register {
        Register::None => ZERO,
        Register::RIP | Register::EIP => CODE_PAGE,
        register => gpr_index(register) as u8,
    };
    op.imm = insn.memory_displacement64();
    op.base = slot_of(insn.memory_base());
    op.index = slot_of(insn.memory_index());
    op.scale = insn.memory_index_scale().trailing_zeros() as u8;
    op.seg_base = match Seg::from_iced(insn.memory_segment()) {
        Some(seg @ (Seg::Fs | Seg::Gs)) => seg.base_slot(),
        Some(Seg::Es | Seg::Cs | Seg::Ss | Seg::Ds) | None => ZERO,
    };
}

/// A general register's place, of which bytes are numbered twice as finely; a vector register's number.
fn slot(register: Register) -> u8 {
    if register.is_vector_register() {
        return register.number() as u8;
    }
    if !register.is_gpr() {
        return ZERO;
    }
    let index = gpr_index(register) as u8;
    if register.is_gpr8() { index * 2 + u8::from(is_high_byte(register)) } else { index }
}

/// The condition's four bits, as in the opcode; iced counts them from 1 in the same order.
fn condition(insn: &Instruction) -> Option<u8> {
    (insn.condition_code() as u8).checked_sub(1)
}

/// Picks the instance of `$sem`, in which `$s` stands for the width.
macro_rules! sized {
    ($width:expr, $s:ident => $sem:ty) => {
        match $width {
            Width::B1 => {
                type $s = B1;
                hot::<$sem>()
            }
            Width::B2 => {
                type $s = B2;
                hot::<$sem>()
            }
            Width::B4 => {
                type $s = B4;
                hot::<$sem>()
            }
            Width::B8 => {
                type $s = B8;
                hot::<$sem>()
            }
        }
    };
}

/// How the operands lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Reg,
    Mem,
    RegReg,
    RegImm,
    RegMem,
    MemReg,
    MemImm,
    RegRegImm,
    RegMemImm,
}

fn form(insn: &Instruction) -> Option<Form> {
    #[derive(PartialEq, Eq)]
    enum Kind {
        Reg,
        Mem,
        Imm,
    }
    let kind = |n: u32| match insn.op_kind(n) {
        OpKind::Register => insn.op_register(n).is_gpr().then_some(Kind::Reg),
        OpKind::Memory => Some(Kind::Mem),
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(Kind::Imm),
        _ => None,
    };
    Some(match insn.op_count() {
        1 if kind(0)? == Kind::Reg => Form::Reg,
        1 if kind(0)? == Kind::Mem => Form::Mem,
        2 => match (kind(0)?, kind(1)?) {
            (Kind::Reg, Kind::Reg) => Form::RegReg,
            (Kind::Reg, Kind::Imm) => Form::RegImm,
            (Kind::Reg, Kind::Mem) => Form::RegMem,
            (Kind::Mem, Kind::Reg) => Form::MemReg,
            (Kind::Mem, Kind::Imm) => Form::MemImm,
            _ => return None,
        },
        3 => match (kind(0)?, kind(1)?, kind(2)?) {
            (Kind::Reg, Kind::Reg, Kind::Imm) => Form::RegRegImm,
            (Kind::Reg, Kind::Mem, Kind::Imm) => Form::RegMemImm,
            _ => return None,
        },
        _ => return None,
    })
}

/// Width of operand `n`.
fn width(insn: &Instruction, n: u32) -> Option<Width> {
    match insn.op_kind(n) {
        OpKind::Register => Some(gpr_width(insn.op_register(n))),
        OpKind::Memory => Width::from_bytes(insn.memory_size().size()),
        _ => None,
    }
}

/// Instructions that do nothing that this machine models. The opcodes 0F 18 to 0F 1F do nothing on a processor without
/// the extension that uses them: MPX, shadow stacks (which unwinders probe for with RDSSP), CLDEMOTE.
fn is_hint(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Nop
            | Mnemonic::Pause
            | Mnemonic::Endbr32
            | Mnemonic::Endbr64
            | Mnemonic::Reservednop
            | Mnemonic::Rdsspd
            | Mnemonic::Rdsspq
            | Mnemonic::Cldemote
            | Mnemonic::Bndcl
            | Mnemonic::Bndcn
            | Mnemonic::Bndcu
            | Mnemonic::Bndldx
            | Mnemonic::Bndmk
            | Mnemonic::Bndmov
            | Mnemonic::Bndstx
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
            | Mnemonic::Prefetchw
            | Mnemonic::Prefetchwt1
            | Mnemonic::Prefetchit0
            | Mnemonic::Prefetchit1
            | Mnemonic::Prefetch
            | Mnemonic::Lfence
            | Mnemonic::Mfence
            | Mnemonic::Sfence
            | Mnemonic::Lea
    )
}

fn choose(insn: &Instruction, mode: ModeKey) -> Option<Hot> {
    match insn.mnemonic() {
        Mnemonic::Add => binary::<alu::Add>(insn),
        Mnemonic::Or => binary::<alu::Or>(insn),
        Mnemonic::Adc => binary::<alu::Adc>(insn),
        Mnemonic::Sbb => binary::<alu::Sbb>(insn),
        Mnemonic::And => binary::<alu::And>(insn),
        Mnemonic::Sub => binary::<alu::Sub>(insn),
        Mnemonic::Xor => binary::<alu::Xor>(insn),
        Mnemonic::Cmp => binary::<alu::Cmp>(insn),
        Mnemonic::Test => binary::<alu::Test>(insn),
        Mnemonic::Inc => unary::<alu::Inc>(insn),
        Mnemonic::Dec => unary::<alu::Dec>(insn),
        Mnemonic::Neg => unary::<alu::Neg>(insn),
        Mnemonic::Not => unary::<alu::Not>(insn),
        Mnemonic::Shl | Mnemonic::Sal => shifted::<shift::Shl>(insn),
        Mnemonic::Shr => shifted::<shift::Shr>(insn),
        Mnemonic::Sar => shifted::<shift::Sar>(insn),
        Mnemonic::Rol => shifted::<shift::Rol>(insn),
        Mnemonic::Ror => shifted::<shift::Ror>(insn),
        Mnemonic::Imul => multiplied(insn),
        Mnemonic::Mov => moved(insn),
        Mnemonic::Movzx => widened(insn, hot_zero),
        Mnemonic::Movsx | Mnemonic::Movsxd => widened(insn, hot_sign),
        Mnemonic::Lea => Some(sized!(width(insn, 0)?, S => moves::Lea<S>)),
        Mnemonic::Push | Mnemonic::Pop => stacked(insn, mode),
        Mnemonic::Cbw => Some(hot::<moves::Widen<B2, B1>>()),
        Mnemonic::Cwde => Some(hot::<moves::Widen<B4, B2>>()),
        Mnemonic::Cdqe => Some(hot::<moves::Widen<B8, B4>>()),
        Mnemonic::Cwd => Some(hot::<moves::Spread<B2>>()),
        Mnemonic::Cdq => Some(hot::<moves::Spread<B4>>()),
        Mnemonic::Cqo => Some(hot::<moves::Spread<B8>>()),
        Mnemonic::Jmp | Mnemonic::Call | Mnemonic::Ret => branched(insn, mode),
        mnemonic if is_hint(mnemonic) => Some(hot::<moves::Nop>()),
        _ => conditional(insn),
    }
}

fn binary<O: alu::Binary>(insn: &Instruction) -> Option<Hot> {
    let width = width(insn, 0)?;
    match form(insn)? {
        Form::RegReg => Some(sized!(width, S => alu::RegReg<O, S>)),
        Form::RegImm => Some(sized!(width, S => alu::RegImm<O, S>)),
        Form::RegMem => Some(sized!(width, S => alu::RegMem<O, S>)),
        Form::MemReg => Some(sized!(width, S => alu::MemReg<O, S>)),
        Form::MemImm => Some(sized!(width, S => alu::MemImm<O, S>)),
        Form::Reg | Form::Mem | Form::RegRegImm | Form::RegMemImm => None,
    }
}

fn unary<O: alu::Unary>(insn: &Instruction) -> Option<Hot> {
    let width = width(insn, 0)?;
    match insn.op0_kind() {
        OpKind::Register => Some(sized!(width, S => alu::Reg<O, S>)),
        _ => Some(sized!(width, S => alu::Mem<O, S>)),
    }
}

fn shifted<K: shift::Kind>(insn: &Instruction) -> Option<Hot> {
    let width = width(insn, 0)?;
    match form(insn)? {
        Form::RegImm => Some(sized!(width, S => shift::RegImm<K, S>)),
        Form::MemImm => Some(sized!(width, S => shift::MemImm<K, S>)),
        Form::RegReg => Some(sized!(width, S => shift::RegCl<K, S>)),
        Form::MemReg => Some(sized!(width, S => shift::MemCl<K, S>)),
        Form::Reg | Form::Mem | Form::RegMem | Form::RegRegImm | Form::RegMemImm => None,
    }
}

fn multiplied(insn: &Instruction) -> Option<Hot> {
    let width = width(insn, 0)?;
    match form(insn)? {
        Form::RegReg => Some(sized!(width, S => alu::MulReg<S>)),
        Form::RegMem => Some(sized!(width, S => alu::MulMem<S>)),
        Form::RegRegImm => Some(sized!(width, S => alu::MulRegImm<S>)),
        Form::RegMemImm => Some(sized!(width, S => alu::MulMemImm<S>)),
        // The one-operand form has a double-width product.
        Form::Reg | Form::Mem | Form::RegImm | Form::MemReg | Form::MemImm => None,
    }
}

fn moved(insn: &Instruction) -> Option<Hot> {
    let width = width(insn, 0)?;
    match form(insn)? {
        Form::RegReg => Some(sized!(width, S => moves::MovRegReg<S>)),
        Form::RegImm => Some(sized!(width, S => moves::MovRegImm<S>)),
        Form::RegMem => Some(sized!(width, S => moves::MovRegMem<S>)),
        Form::MemReg => Some(sized!(width, S => moves::MovMemReg<S>)),
        Form::MemImm => Some(sized!(width, S => moves::MovMemImm<S>)),
        Form::Reg | Form::Mem | Form::RegRegImm | Form::RegMemImm => None,
    }
}

/// By widths of destination and source.
fn widened(insn: &Instruction, pick: fn(bool, Width, Width) -> Hot) -> Option<Hot> {
    let memory = insn.op1_kind() == OpKind::Memory;
    Some(pick(memory, width(insn, 0)?, width(insn, 1)?))
}

fn hot_zero(memory: bool, to: Width, from: Width) -> Hot {
    fn pick<D: W>(memory: bool, from: Width) -> Hot {
        if memory { sized!(from, S => moves::ZeroMem<D, S>) } else { sized!(from, S => moves::ZeroReg<D, S>) }
    }
    match to {
        Width::B1 | Width::B2 => pick::<B2>(memory, from),
        Width::B4 => pick::<B4>(memory, from),
        Width::B8 => pick::<B8>(memory, from),
    }
}

fn hot_sign(memory: bool, to: Width, from: Width) -> Hot {
    fn pick<D: W>(memory: bool, from: Width) -> Hot {
        if memory { sized!(from, S => moves::SignMem<D, S>) } else { sized!(from, S => moves::SignReg<D, S>) }
    }
    match to {
        Width::B1 | Width::B2 => pick::<B2>(memory, from),
        Width::B4 => pick::<B4>(memory, from),
        Width::B8 => pick::<B8>(memory, from),
    }
}

/// PUSH and POP of what is not a segment register; POP to memory computes its address after the pop and is cold.
fn stacked(insn: &Instruction, mode: ModeKey) -> Option<Hot> {
    let width = Width::from_bytes(insn.stack_pointer_increment().unsigned_abs() as usize)?;
    // In 16-bit code iced says 2 for a 16-bit push, as everywhere: the width is the operand's in every mode.
    debug_assert!(width != Width::B8 || mode.is_64());
    match (insn.mnemonic(), insn.op0_kind()) {
        (Mnemonic::Push, OpKind::Register) if insn.op0_register().is_gpr() => {
            Some(sized!(width, S => moves::PushReg<S>))
        }
        (Mnemonic::Push, OpKind::Memory) => Some(sized!(width, S => moves::PushMem<S>)),
        (Mnemonic::Push, OpKind::Register) => None,
        (Mnemonic::Push, _) => Some(sized!(width, S => moves::PushImm<S>)),
        (Mnemonic::Pop, OpKind::Register) if insn.op0_register().is_gpr() => {
            Some(sized!(width, S => moves::PopReg<S>))
        }
        _ => None,
    }
}

/// Near branches of 64-bit mode; the others check CS's limit and cut RIP.
fn branched(insn: &Instruction, mode: ModeKey) -> Option<Hot> {
    if !mode.is_64() {
        return None;
    }
    let register = insn.op0_kind() == OpKind::Register;
    match insn.mnemonic() {
        Mnemonic::Jmp if insn.is_jmp_short_or_near() => Some(hot::<branch::Jmp>()),
        Mnemonic::Jmp if insn.is_jmp_near_indirect() && register => Some(hot::<branch::JmpReg>()),
        Mnemonic::Jmp if insn.is_jmp_near_indirect() => Some(hot::<branch::JmpMem>()),
        Mnemonic::Call if insn.is_call_near() => Some(hot::<branch::Call>()),
        Mnemonic::Call if insn.is_call_near_indirect() && register => Some(hot::<branch::CallReg>()),
        Mnemonic::Call if insn.is_call_near_indirect() => Some(hot::<branch::CallMem>()),
        Mnemonic::Ret => Some(hot::<branch::Ret>()),
        _ => None,
    }
    .filter(|_| !has_16_bit_operand(insn))
}

/// An operand-size prefix that shortens a near branch: honoured by some processors only, and cold.
fn has_16_bit_operand(insn: &Instruction) -> bool {
    insn.op0_kind() == OpKind::NearBranch16
        || (insn.op0_kind() == OpKind::Register && insn.op0_register().size() == 2)
        || (insn.op0_kind() == OpKind::Memory && insn.memory_size().size() == 2)
        || matches!(insn.code(), Code::Retnw | Code::Retnw_imm16)
}

/// Jcc, CMOVcc and SETcc; only they have a condition, besides LOOPcc.
fn conditional(insn: &Instruction) -> Option<Hot> {
    let cc = condition(insn)?;
    if insn.op_count() == 1 && insn.op0_kind() == OpKind::NearBranch64 && insn.is_jcc_short_or_near() {
        return Some(jcc(cc));
    }
    match form(insn)? {
        Form::Reg => Some(hot::<moves::SetReg>()),
        Form::Mem => Some(hot::<moves::SetMem>()),
        Form::RegReg => Some(sized!(width(insn, 0)?, S => moves::CmovReg<S>)),
        Form::RegMem => Some(sized!(width(insn, 0)?, S => moves::CmovMem<S>)),
        Form::RegImm | Form::MemReg | Form::MemImm | Form::RegRegImm | Form::RegMemImm => None,
    }
}

fn jcc(cc: u8) -> Hot {
    macro_rules! by_condition {
        ($($n:literal)*) => {
            match cc & 15 {
                $($n => hot::<branch::Jcc<$n>>(),)*
                _ => hot::<branch::Jcc<15>>(),
            }
        };
    }
    by_condition!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}
