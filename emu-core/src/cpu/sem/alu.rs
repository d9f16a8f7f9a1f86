//! ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NEG, NOT, IMUL with two or three operands.

use super::width::W;
use super::{Builder, Flow, Sem};
use crate::access::Width;
use crate::cpu::engine::Op;
use std::marker::PhantomData;

/// A two-operand operation.
pub(crate) trait Binary {
    /// Whether it keeps its result.
    const KEEPS: bool;
    /// Computes the result, cut to the width, and sets flags.
    fn apply<B: Builder>(b: &mut B, width: Width, x: B::V, y: B::V) -> B::V;
}

macro_rules! binary {
    ($(#[$doc:meta])* $name:ident, $keeps:literal, |$b:ident, $w:ident, $x:ident, $y:ident| $body:block) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Binary for $name {
            const KEEPS: bool = $keeps;
            #[inline(always)]
            fn apply<B: Builder>($b: &mut B, $w: Width, $x: B::V, $y: B::V) -> B::V $body
        }
    };
}

binary! { /// ADD.
Add, true, |b, w, x, y| {
    let sum = b.add(x, y);
    let result = b.cut(sum, w);
    b.flags_add(w, x, y, result);
    result
} }
binary! { /// ADC.
Adc, true, |b, w, x, y| {
    let carry = b.carry();
    let sum = b.add(x, y);
    let sum = b.add(sum, carry);
    let result = b.cut(sum, w);
    b.flags_add(w, x, y, result);
    result
} }
binary! { /// SUB.
Sub, true, |b, w, x, y| {
    let difference = b.sub(x, y);
    let result = b.cut(difference, w);
    b.flags_sub(w, x, y, result);
    result
} }
binary! { /// SBB.
Sbb, true, |b, w, x, y| {
    let carry = b.carry();
    let difference = b.sub(x, y);
    let difference = b.sub(difference, carry);
    let result = b.cut(difference, w);
    b.flags_sub(w, x, y, result);
    result
} }
binary! { /// CMP.
Cmp, false, |b, w, x, y| { Sub::apply(b, w, x, y) } }
binary! { /// AND.
And, true, |b, w, x, y| {
    let result = b.and(x, y);
    b.flags_logic(w, result);
    result
} }
binary! { /// TEST.
Test, false, |b, w, x, y| { And::apply(b, w, x, y) } }
binary! { /// OR.
Or, true, |b, w, x, y| {
    let result = b.or(x, y);
    b.flags_logic(w, result);
    result
} }
binary! { /// XOR.
Xor, true, |b, w, x, y| {
    let result = b.xor(x, y);
    b.flags_logic(w, result);
    result
} }

/// `op reg, reg`.
pub(crate) struct RegReg<O, S>(PhantomData<(O, S)>);
impl<O: Binary, S: W> Sem for RegReg<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.reg(op.dst, S::W);
        let y = b.reg(op.src, S::W);
        let result = O::apply(b, S::W, x, y);
        if O::KEEPS {
            b.set_reg(op.dst, S::W, result);
        }
        Ok(Flow::Next)
    }
}

/// `op reg, imm`.
pub(crate) struct RegImm<O, S>(PhantomData<(O, S)>);
impl<O: Binary, S: W> Sem for RegImm<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.reg(op.dst, S::W);
        let y = b.imm(op.imm & S::W.mask());
        let result = O::apply(b, S::W, x, y);
        if O::KEEPS {
            b.set_reg(op.dst, S::W, result);
        }
        Ok(Flow::Next)
    }
}

/// `op reg, [mem]`.
pub(crate) struct RegMem<O, S>(PhantomData<(O, S)>);
impl<O: Binary, S: W> Sem for RegMem<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let y = b.load(op, S::W)?;
        let x = b.reg(op.dst, S::W);
        let result = O::apply(b, S::W, x, y);
        if O::KEEPS {
            b.set_reg(op.dst, S::W, result);
        }
        Ok(Flow::Next)
    }
}

#[inline(always)]
fn mem_op<O: Binary, B: Builder>(b: &mut B, op: &Op, width: Width, y: B::V) -> Result<Flow<B::V>, B::Stop> {
    if O::KEEPS {
        b.update(op, width, |b, x| O::apply(b, width, x, y))?;
    } else {
        let x = b.load(op, width)?;
        O::apply(b, width, x, y);
    }
    Ok(Flow::Next)
}

/// `op [mem], reg`.
pub(crate) struct MemReg<O, S>(PhantomData<(O, S)>);
impl<O: Binary, S: W> Sem for MemReg<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let y = b.reg(op.src, S::W);
        mem_op::<O, B>(b, op, S::W, y)
    }
}

/// `op [mem], imm`.
pub(crate) struct MemImm<O, S>(PhantomData<(O, S)>);
impl<O: Binary, S: W> Sem for MemImm<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let y = b.imm(op.aux & S::W.mask());
        mem_op::<O, B>(b, op, S::W, y)
    }
}

/// A one-operand operation.
pub(crate) trait Unary {
    /// Computes the result and sets flags.
    fn apply<B: Builder>(b: &mut B, width: Width, x: B::V) -> B::V;
}

macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, |$b:ident, $w:ident, $x:ident| $body:block) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn apply<B: Builder>($b: &mut B, $w: Width, $x: B::V) -> B::V $body
        }
    };
}

unary! { /// INC.
Inc, |b, w, x| {
    let one = b.imm(1);
    let sum = b.add(x, one);
    let result = b.cut(sum, w);
    b.flags_inc(w, x, result);
    result
} }
unary! { /// DEC.
Dec, |b, w, x| {
    let one = b.imm(1);
    let difference = b.sub(x, one);
    let result = b.cut(difference, w);
    b.flags_dec(w, x, result);
    result
} }
unary! { /// NEG.
Neg, |b, w, x| {
    let zero = b.imm(0);
    Sub::apply(b, w, zero, x)
} }
unary! { /// NOT.
Not, |b, w, x| {
    let ones = b.imm(w.mask());
    b.xor(x, ones)
} }

/// `op reg`.
pub(crate) struct Reg<O, S>(PhantomData<(O, S)>);
impl<O: Unary, S: W> Sem for Reg<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.reg(op.dst, S::W);
        let result = O::apply(b, S::W, x);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `op [mem]`.
pub(crate) struct Mem<O, S>(PhantomData<(O, S)>);
impl<O: Unary, S: W> Sem for Mem<O, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        b.update(op, S::W, |b, x| O::apply(b, S::W, x))?;
        Ok(Flow::Next)
    }
}

/// `imul dst, reg`.
pub(crate) struct MulReg<S>(PhantomData<S>);
impl<S: W> Sem for MulReg<S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.reg(op.dst, S::W);
        let y = b.reg(op.src, S::W);
        let result = b.multiply(S::W, x, y);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `imul dst, [mem]`.
pub(crate) struct MulMem<S>(PhantomData<S>);
impl<S: W> Sem for MulMem<S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let y = b.load(op, S::W)?;
        let x = b.reg(op.dst, S::W);
        let result = b.multiply(S::W, x, y);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `imul dst, reg, imm`.
pub(crate) struct MulRegImm<S>(PhantomData<S>);
impl<S: W> Sem for MulRegImm<S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.reg(op.src, S::W);
        let y = b.imm(op.imm & S::W.mask());
        let result = b.multiply(S::W, x, y);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `imul dst, [mem], imm`.
pub(crate) struct MulMemImm<S>(PhantomData<S>);
impl<S: W> Sem for MulMemImm<S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let x = b.load(op, S::W)?;
        let y = b.imm(op.aux & S::W.mask());
        let result = b.multiply(S::W, x, y);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}
