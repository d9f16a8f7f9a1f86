//! JMP, Jcc, CALL and RET within the segment, in 64-bit mode. Other modes check limits and cut RIP: see `exec::branch`.

use super::width::{B8, W};
use super::{Builder, Flow, Sem};
use crate::cpu::engine::Op;
use crate::cpu::flags::Condition;

/// `jmp rel`.
pub(crate) struct Jmp;
impl Sem for Jmp {
    #[inline(always)]
    fn run<B: Builder>(_: &mut B, _: &Op) -> Result<Flow<B::V>, B::Stop> {
        Ok(Flow::Taken)
    }
}

/// `jcc rel`, each condition its own type.
pub(crate) struct Jcc<const CC: u8>;
impl<const CC: u8> Sem for Jcc<CC> {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, _: &Op) -> Result<Flow<B::V>, B::Stop> {
        let condition = b.condition(Condition(CC));
        Ok(b.choose(condition))
    }
}

/// `call rel`.
pub(crate) struct Call;
impl Sem for Call {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.rip(op.imm);
        b.target(to)?;
        let back = b.rip(op.aux);
        b.push(B8::W, back)?;
        Ok(Flow::Taken)
    }
}

/// `jmp reg`.
pub(crate) struct JmpReg;
impl Sem for JmpReg {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.reg(op.src, B8::W);
        b.target(to)?;
        Ok(Flow::To(to))
    }
}

/// `jmp [mem]`.
pub(crate) struct JmpMem;
impl Sem for JmpMem {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.load(op, B8::W)?;
        b.target(to)?;
        Ok(Flow::To(to))
    }
}

/// `call reg`.
pub(crate) struct CallReg;
impl Sem for CallReg {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.reg(op.src, B8::W);
        b.target(to)?;
        let back = b.rip(op.aux);
        b.push(B8::W, back)?;
        Ok(Flow::To(to))
    }
}

/// `call [mem]`.
pub(crate) struct CallMem;
impl Sem for CallMem {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.load(op, B8::W)?;
        b.target(to)?;
        let back = b.rip(op.aux);
        b.push(B8::W, back)?;
        Ok(Flow::To(to))
    }
}

/// `ret` and `ret imm`: `Op::imm` counts the return address too.
pub(crate) struct Ret;
impl Sem for Ret {
    #[inline(always)]
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop> {
        let to = b.top()?;
        b.target(to)?;
        b.release(op.imm);
        Ok(Flow::To(to))
    }
}
