//! SHL, SHR, SAR, ROL, ROR by one, an immediate or CL. SDM vol. 2B, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR".

use super::width::{B8, W};
use super::{Builder, Flow, Sem, Shift};
use crate::access::Width;
use crate::cpu::engine::Op;
use crate::cpu::regs::RCX;
use std::marker::PhantomData;

/// A shift known at compile time.
pub(crate) trait Kind {
    /// Which.
    const KIND: Shift;
}

macro_rules! kinds {
    ($($name:ident = $kind:ident),*) => {$(
        #[doc = concat!("See [`Shift::", stringify!($kind), "`].")]
        pub(crate) struct $name;
        impl Kind for $name {
            const KIND: Shift = Shift::$kind;
        }
    )*};
}

kinds!(Shl = Left, Shr = Right, Sar = Arithmetic, Rol = RotateLeft, Ror = RotateRight);

/// Counts are taken modulo 64 for quadwords, else 32.
const fn count_mask(width: Width) -> u64 {
    if matches!(width, Width::B8) { 63 } else { 31 }
}

#[inline(always)]
fn count_in_cl<B: Builder>(b: &mut B, width: Width) -> B::V {
    let rcx = b.reg(RCX, B8::W);
    let mask = b.imm(count_mask(width));
    b.and(rcx, mask)
}

/// `shift reg, imm`.
pub(crate) struct RegImm<K, S>(PhantomData<(K, S)>);
impl<K: Kind, S: W> Sem for RegImm<K, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let count = b.imm(op.imm & count_mask(S::W));
        let value = b.reg(op.dst, S::W);
        let result = b.shift(K::KIND, S::W, value, count);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `shift reg, cl`.
pub(crate) struct RegCl<K, S>(PhantomData<(K, S)>);
impl<K: Kind, S: W> Sem for RegCl<K, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let count = count_in_cl(b, S::W);
        let value = b.reg(op.dst, S::W);
        let result = b.shift(K::KIND, S::W, value, count);
        b.set_reg(op.dst, S::W, result);
        Ok(Flow::Next)
    }
}

/// `shift [mem], imm`.
pub(crate) struct MemImm<K, S>(PhantomData<(K, S)>);
impl<K: Kind, S: W> Sem for MemImm<K, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let count = b.imm(op.aux & count_mask(S::W));
        b.update(op, S::W, |b, value| b.shift(K::KIND, S::W, value, count))?;
        Ok(Flow::Next)
    }
}

/// `shift [mem], cl`.
pub(crate) struct MemCl<K, S>(PhantomData<(K, S)>);
impl<K: Kind, S: W> Sem for MemCl<K, S> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let count = count_in_cl(b, S::W);
        b.update(op, S::W, |b, value| b.shift(K::KIND, S::W, value, count))?;
        Ok(Flow::Next)
    }
}
