//! MOV, MOVZX, MOVSX, LEA, PUSH, POP, CMOVcc, SETcc, the CBW and CWD families, NOP.

use super::width::W;
use super::{Builder, Flow, Sem};
use crate::access::Width;
use crate::cpu::engine::Op;
use crate::cpu::flags::Condition;
use crate::cpu::regs::{RAX, RDX};
use std::marker::PhantomData;

macro_rules! sem {
    ($(#[$doc:meta])* $name:ident<$($p:ident),*>, |$b:ident, $op:ident| $body:block) => {
        $(#[$doc])*
        pub(crate) struct $name<$($p),*>(PhantomData<($($p,)*)>);
        impl<$($p: W),*> Sem for $name<$($p),*> {
            #[inline(always)]
            fn run<B: Builder>($b: &mut B, $op: &Op) -> Result<Flow<B::V>, B::Stop> {
                $body
                Ok(Flow::Next)
            }
        }
    };
}

sem! { /// `mov reg, reg`.
MovRegReg<S>, |b, op| {
    let value = b.reg(op.src, S::W);
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `mov reg, imm`.
MovRegImm<S>, |b, op| {
    let value = b.imm(op.imm & S::W.mask());
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `mov reg, [mem]`.
MovRegMem<S>, |b, op| {
    let value = b.load(op, S::W)?;
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `mov [mem], reg`.
MovMemReg<S>, |b, op| {
    let value = b.reg(op.src, S::W);
    b.store(op, S::W, value)?;
} }
sem! { /// `mov [mem], imm`.
MovMemImm<S>, |b, op| {
    let value = b.imm(op.aux & S::W.mask());
    b.store(op, S::W, value)?;
} }
sem! { /// `movzx dst, reg`.
ZeroReg<D, S>, |b, op| {
    let value = b.reg(op.src, S::W);
    b.set_reg(op.dst, D::W, value);
} }
sem! { /// `movzx dst, [mem]`.
ZeroMem<D, S>, |b, op| {
    let value = b.load(op, S::W)?;
    b.set_reg(op.dst, D::W, value);
} }
sem! { /// `movsx dst, reg`.
SignReg<D, S>, |b, op| {
    let value = b.reg(op.src, S::W);
    let value = b.sext(value, S::W);
    let value = b.cut(value, D::W);
    b.set_reg(op.dst, D::W, value);
} }
sem! { /// `movsx dst, [mem]`.
SignMem<D, S>, |b, op| {
    let value = b.load(op, S::W)?;
    let value = b.sext(value, S::W);
    let value = b.cut(value, D::W);
    b.set_reg(op.dst, D::W, value);
} }
sem! { /// `lea dst, [mem]`.
Lea<D>, |b, op| {
    let value = b.offset(op);
    let value = b.cut(value, D::W);
    b.set_reg(op.dst, D::W, value);
} }
sem! { /// `push reg`.
PushReg<S>, |b, op| {
    let value = b.reg(op.src, S::W);
    b.push(S::W, value)?;
} }
sem! { /// `push imm`.
PushImm<S>, |b, op| {
    let value = b.imm(op.imm & S::W.mask());
    b.push(S::W, value)?;
} }
sem! { /// `push [mem]`.
PushMem<S>, |b, op| {
    let value = b.load(op, S::W)?;
    b.push(S::W, value)?;
} }
sem! { /// `pop reg`.
PopReg<S>, |b, op| {
    let value = b.pop(S::W)?;
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `cmovcc dst, reg`: a 32-bit destination is extended even if nothing moves.
CmovReg<S>, |b, op| {
    let condition = b.condition(Condition(op.aux as u8));
    let new = b.reg(op.src, S::W);
    let old = b.reg(op.dst, S::W);
    let value = b.select(condition, new, old);
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `cmovcc dst, [mem]`: memory is read in any case.
CmovMem<S>, |b, op| {
    let new = b.load(op, S::W)?;
    let condition = b.condition(Condition(op.aux as u8));
    let old = b.reg(op.dst, S::W);
    let value = b.select(condition, new, old);
    b.set_reg(op.dst, S::W, value);
} }
sem! { /// `setcc reg`.
SetReg<>, |b, op| {
    let condition = b.condition(Condition(op.aux as u8));
    let (one, zero) = (b.imm(1), b.imm(0));
    let value = b.select(condition, one, zero);
    b.set_reg(op.dst, Width::B1, value);
} }
sem! { /// `setcc [mem]`.
SetMem<>, |b, op| {
    let condition = b.condition(Condition(op.aux as u8));
    let (one, zero) = (b.imm(1), b.imm(0));
    let value = b.select(condition, one, zero);
    b.store(op, Width::B1, value)?;
} }
sem! { /// CBW, CWDE, CDQE: AL, AX or EAX into the register of `D`.
Widen<D, S>, |b, _op| {
    // AL is byte register 0, which is also RAX's number.
    let value = b.reg(RAX, S::W);
    let value = b.sext(value, S::W);
    let value = b.cut(value, D::W);
    b.set_reg(RAX, D::W, value);
} }
sem! { /// CWD, CDQ, CQO: the sign of RAX into RDX.
Spread<S>, |b, _op| {
    let value = b.reg(RAX, S::W);
    let value = b.sext(value, S::W);
    let value = b.sign(value);
    let value = b.cut(value, S::W);
    b.set_reg(RDX, S::W, value);
} }
sem! { /// NOP, PAUSE, hints.
Nop<>, |_b, _op| {} }
