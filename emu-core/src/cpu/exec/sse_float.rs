//! SSE and SSE2 floating-point arithmetic on packed and scalar operands, and the way every floating-point instruction
//! goes: compute, set MXCSR's flags, stop if one is unmasked. SDM vol. 1, 11.5; vol. 2.

use super::Exec;
use super::xmm::{by_halves, first, join, lanes, source};
use crate::cpu::control::cr4;
use crate::cpu::softfloat::{Env, F32, F64, add, div, max, min, mul, reciprocal, reciprocal_sqrt, sqrt, sub};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

impl Cpu {
    /// Computes as MXCSR says and sets its flags; without a result, and with #XM, if one of them is unmasked.
    pub(super) fn with_float<T>(&mut self, compute: impl FnOnce(&mut Env) -> T) -> Result<T, Fault> {
        let mut env = Env::from_mxcsr(self.vectors.mxcsr);
        let result = compute(&mut env);
        self.vectors.mxcsr |= u32::from(env.reported());
        if env.stops() { Err(self.simd_fault()) } else { Ok(result) }
    }

    /// #XM, or #UD for a system that does not know it (SDM vol. 3A, 2.5, CR4.OSXMMEXCPT).
    fn simd_fault(&self) -> Fault {
        if self.cr4 & cr4::OSXMMEXCPT != 0 { Fault::SIMD } else { Fault::UNDEFINED }
    }
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    add_and_multiply(code)
        .or_else(|| divide_and_root(code))
        .or_else(|| min_and_max(code))
        .or_else(|| approximate(code))
}

/// The four forms of an operation: packed and scalar, single and double.
macro_rules! packed {
    ($bytes:literal, $op:expr) => {
        |cpu, bus, insn| packed::<$bytes>(cpu, bus, insn, $op)
    };
}
macro_rules! scalar {
    ($bytes:literal, $op:expr) => {
        |cpu, bus, insn| scalar::<$bytes>(cpu, bus, insn, $op)
    };
}

fn add_and_multiply(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Addps_xmm_xmmm128 => packed!(4, add::<F32>),
        Code::Addpd_xmm_xmmm128 => packed!(8, add::<F64>),
        Code::Addss_xmm_xmmm32 => scalar!(4, add::<F32>),
        Code::Addsd_xmm_xmmm64 => scalar!(8, add::<F64>),
        Code::Subps_xmm_xmmm128 => packed!(4, sub::<F32>),
        Code::Subpd_xmm_xmmm128 => packed!(8, sub::<F64>),
        Code::Subss_xmm_xmmm32 => scalar!(4, sub::<F32>),
        Code::Subsd_xmm_xmmm64 => scalar!(8, sub::<F64>),
        Code::Mulps_xmm_xmmm128 => packed!(4, mul::<F32>),
        Code::Mulpd_xmm_xmmm128 => packed!(8, mul::<F64>),
        Code::Mulss_xmm_xmmm32 => scalar!(4, mul::<F32>),
        Code::Mulsd_xmm_xmmm64 => scalar!(8, mul::<F64>),
        _ => return None,
    })
}

fn divide_and_root(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Divps_xmm_xmmm128 => packed!(4, div::<F32>),
        Code::Divpd_xmm_xmmm128 => packed!(8, div::<F64>),
        Code::Divss_xmm_xmmm32 => scalar!(4, div::<F32>),
        Code::Divsd_xmm_xmmm64 => scalar!(8, div::<F64>),
        Code::Sqrtps_xmm_xmmm128 => packed!(4, |env, _, b| sqrt::<F32>(env, b)),
        Code::Sqrtpd_xmm_xmmm128 => packed!(8, |env, _, b| sqrt::<F64>(env, b)),
        Code::Sqrtss_xmm_xmmm32 => scalar!(4, |env, _, b| sqrt::<F32>(env, b)),
        Code::Sqrtsd_xmm_xmmm64 => scalar!(8, |env, _, b| sqrt::<F64>(env, b)),
        _ => return None,
    })
}

fn min_and_max(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Minps_xmm_xmmm128 => packed!(4, min::<F32>),
        Code::Minpd_xmm_xmmm128 => packed!(8, min::<F64>),
        Code::Minss_xmm_xmmm32 => scalar!(4, min::<F32>),
        Code::Minsd_xmm_xmmm64 => scalar!(8, min::<F64>),
        Code::Maxps_xmm_xmmm128 => packed!(4, max::<F32>),
        Code::Maxpd_xmm_xmmm128 => packed!(8, max::<F64>),
        Code::Maxss_xmm_xmmm32 => scalar!(4, max::<F32>),
        Code::Maxsd_xmm_xmmm64 => scalar!(8, max::<F64>),
        _ => return None,
    })
}

fn approximate(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Rcpps_xmm_xmmm128 => packed!(4, |_, _, b| reciprocal(b)),
        Code::Rcpss_xmm_xmmm32 => scalar!(4, |_, _, b| reciprocal(b)),
        Code::Rsqrtps_xmm_xmmm128 => packed!(4, |_, _, b| reciprocal_sqrt(b)),
        Code::Rsqrtss_xmm_xmmm32 => scalar!(4, |_, _, b| reciprocal_sqrt(b)),
        _ => return None,
    })
}

/// Every two lanes of the sources to one of the result; the flags of all are reported together.
pub(super) fn packed<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    mut op: impl FnMut(&mut Env, u64, u64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let result = cpu.with_float(|env| {
        by_halves(insn, |half| {
            let both = lanes::<BYTES>(a[half]).zip(lanes::<BYTES>(b[half]));
            join::<BYTES>(both.map(|(a, b)| op(env, a, b)))
        })
    })?;
    cpu.set_result(insn, result);
    Ok(())
}

/// The low lane; the others are those of the first source.
pub(super) fn scalar<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: impl FnOnce(&mut Env, u64, u64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [b, _] = cpu.read_unaligned(bus, insn, source(insn))?;
    let a = cpu.xmm(first(insn));
    let result = cpu.with_float(|env| op(env, low::<BYTES>(a), low::<BYTES>(b)))?;
    cpu.set_result(insn, [with_low::<BYTES>(a, result), 0]);
    Ok(())
}

/// The low lane.
pub(super) fn low<const BYTES: usize>(value: u128) -> u64 {
    if BYTES == 8 { value as u64 } else { value as u64 & 0xffff_ffff }
}

/// `value` with the low lane that `lane` starts with.
pub(super) fn with_low<const BYTES: usize>(value: u128, lane: u64) -> u128 {
    value >> (BYTES * 8) << (BYTES * 8) | u128::from(lane) & ((1 << (BYTES * 8)) - 1)
}

/// Neighbours of the first source, then neighbours of the second, each pair to one lane.
pub(super) fn packed_pairs<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: fn(&mut Env, u64, u64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let result = cpu.with_float(|env| {
        by_halves(insn, |half| {
            let pairs = [a[half], b[half]].into_iter().flat_map(|vector| {
                let second = lanes::<BYTES>(vector).skip(1).step_by(2);
                lanes::<BYTES>(vector).step_by(2).zip(second)
            });
            join::<BYTES>(pairs.map(|(a, b)| op(env, a, b)))
        })
    })?;
    cpu.set_result(insn, result);
    Ok(())
}
