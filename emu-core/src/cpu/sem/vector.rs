//! Hot SSE instructions: the fast way only. What it does not allow is left to the function in `exec`, before anything has changed;
//! both do the same, with the same lane operations.

use crate::cpu::Cpu;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::engine::Op;
use crate::cpu::mmu::{fast_load_bytes, fast_store_bytes};
use crate::cpu::softfloat::{Env, F32, F64, add, div, mul, sqrt, sub};

/// A hot instruction on vector registers.
pub(crate) trait Vector {
    /// Does it, or nothing: then the slow form has to.
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()>;
}

/// Where the source is.
pub(crate) trait Source {
    /// Its low 4, 8 or 16 bytes, the rest zero.
    fn read<const BYTES: usize>(cpu: &Cpu, op: &Op) -> Option<[u64; 2]>;
}

/// A register.
pub(crate) struct Register;
/// Memory, of any alignment.
pub(crate) struct Memory;
/// Memory that has to lie on 16 bytes.
pub(crate) struct Aligned;

fn address(cpu: &Cpu, op: &Op) -> u64 {
    let index = cpu.regs[op.index as usize] << (op.scale & 3);
    let offset = cpu.regs[op.base as usize].wrapping_add(index).wrapping_add(op.imm);
    offset.wrapping_add(cpu.regs[op.seg_base as usize])
}

impl Source for Register {
    #[inline(always)]
    fn read<const BYTES: usize>(cpu: &Cpu, op: &Op) -> Option<[u64; 2]> {
        let [low, high] = cpu.low_half(op.src);
        Some(match BYTES {
            4 => [low & 0xffff_ffff, 0],
            8 => [low, 0],
            _ => [low, high],
        })
    }
}

impl Source for Memory {
    #[inline(always)]
    fn read<const BYTES: usize>(cpu: &Cpu, op: &Op) -> Option<[u64; 2]> {
        let mut bytes = [[0; 8]; 2];
        fast_load_bytes(&cpu.mmu, address(cpu, op), &mut bytes.as_flattened_mut()[..BYTES])?;
        Some(bytes.map(u64::from_le_bytes))
    }
}

impl Source for Aligned {
    #[inline(always)]
    fn read<const BYTES: usize>(cpu: &Cpu, op: &Op) -> Option<[u64; 2]> {
        if address(cpu, op).is_multiple_of(16) { Memory::read::<BYTES>(cpu, op) } else { None }
    }
}

impl Cpu {
    /// Nothing unless SSE is on and the registers are the running task's.
    #[inline(always)]
    fn vectors_ready(&self) -> Option<()> {
        let ready = self.cr0 & (cr0::EM | cr0::TS) == 0 && self.cr4 & cr4::OSFXSR != 0;
        ready.then_some(())
    }

    #[inline(always)]
    fn low_half(&self, register: u8) -> [u64; 2] {
        let [low, high, ..] = self.vectors.ymm[(register & 15) as usize];
        [low, high]
    }

    #[inline(always)]
    fn set_low_half(&mut self, register: u8, [low, high]: [u64; 2]) {
        let ymm = &mut self.vectors.ymm[(register & 15) as usize];
        ymm[0] = low;
        ymm[1] = high;
    }
}

/// Moves of whole registers, and of 4 or 8 bytes that clear the rest.
pub(crate) struct Load<const BYTES: usize, S>(std::marker::PhantomData<S>);

impl<const BYTES: usize, S: Source> Vector for Load<BYTES, S> {
    #[inline(always)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let value = S::read::<BYTES>(cpu, op)?;
        cpu.set_low_half(op.dst, value);
        Some(())
    }
}

/// MOVSS and MOVSD between registers: what is above stays.
pub(crate) struct Merge<const BYTES: usize>;

impl<const BYTES: usize> Vector for Merge<BYTES> {
    #[inline(always)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let [low, _] = cpu.low_half(op.src);
        let [old, high] = cpu.low_half(op.dst);
        cpu.set_low_half(op.dst, [merged::<BYTES>(old, low), high]);
        Some(())
    }
}

/// A scalar under the rest of a quadword.
#[inline(always)]
fn merged<const BYTES: usize>(old: u64, low: u64) -> u64 {
    if BYTES == 4 { old & !0xffff_ffff | low & 0xffff_ffff } else { low }
}

/// Stores of the low 4, 8 or 16 bytes.
pub(crate) struct Store<const BYTES: usize, const ALIGNED: bool>;

impl<const BYTES: usize, const ALIGNED: bool> Vector for Store<BYTES, ALIGNED> {
    #[inline(always)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let at = address(cpu, op);
        if ALIGNED && !at.is_multiple_of(16) {
            return None;
        }
        let bytes = cpu.low_half(op.src).map(u64::to_le_bytes);
        fast_store_bytes(&cpu.mmu, at, &bytes.as_flattened()[..BYTES])
    }
}

/// A bitwise operation on all of a register.
pub(crate) trait Bitwise {
    /// Of a quadword.
    fn apply(a: u64, b: u64) -> u64;
}

/// PXOR and relatives.
pub(crate) struct Xor;
/// PAND and relatives.
pub(crate) struct And;
/// PANDN and relatives.
pub(crate) struct AndNot;
/// POR and relatives.
pub(crate) struct Or;

macro_rules! bitwise {
    ($($name:ident: $a:ident, $b:ident => $result:expr;)*) => {
        $(impl Bitwise for $name {
            #[inline(always)]
            fn apply($a: u64, $b: u64) -> u64 {
                $result
            }
        })*
    };
}

bitwise! {
    Xor: a, b => a ^ b;
    And: a, b => a & b;
    AndNot: a, b => !a & b;
    Or: a, b => a | b;
}

/// A bitwise instruction.
pub(crate) struct Logic<O, S>(std::marker::PhantomData<(O, S)>);

impl<O: Bitwise, S: Source> Vector for Logic<O, S> {
    #[inline(always)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let b = S::read::<16>(cpu, op)?;
        let a = cpu.low_half(op.dst);
        cpu.set_low_half(op.dst, [O::apply(a[0], b[0]), O::apply(a[1], b[1])]);
        Some(())
    }
}

/// An arithmetic operation on singles and doubles.
pub(crate) trait Arithmetic {
    /// On singles.
    fn single(env: &mut Env, a: u64, b: u64) -> u64;
    /// On doubles.
    fn double(env: &mut Env, a: u64, b: u64) -> u64;
}

/// ADD.
pub(crate) struct Add;
/// SUB.
pub(crate) struct Sub;
/// MUL.
pub(crate) struct Mul;
/// DIV.
pub(crate) struct Div;
/// SQRT, of the source.
pub(crate) struct Sqrt;

macro_rules! arithmetic {
    ($($name:ident: $env:ident, $a:ident, $b:ident => $single:expr, $double:expr;)*) => {
        $(impl Arithmetic for $name {
            #[inline(always)]
            fn single($env: &mut Env, $a: u64, $b: u64) -> u64 {
                $single
            }
            #[inline(always)]
            fn double($env: &mut Env, $a: u64, $b: u64) -> u64 {
                $double
            }
        })*
    };
}

arithmetic! {
    Add: env, a, b => add::<F32>(env, a, b), add::<F64>(env, a, b);
    Sub: env, a, b => sub::<F32>(env, a, b), sub::<F64>(env, a, b);
    Mul: env, a, b => mul::<F32>(env, a, b), mul::<F64>(env, a, b);
    Div: env, a, b => div::<F32>(env, a, b), div::<F64>(env, a, b);
    Sqrt: env, _a, b => sqrt::<F32>(env, b), sqrt::<F64>(env, b);
}

/// Computes, unless an unmasked exception comes of it.
#[inline(always)]
fn compute<T>(cpu: &mut Cpu, body: impl FnOnce(&mut Env) -> T) -> Option<T> {
    let mut env = Env::from_mxcsr(cpu.vectors.mxcsr);
    let result = body(&mut env);
    if env.stops() {
        return None;
    }
    cpu.vectors.mxcsr |= u32::from(env.reported());
    Some(result)
}

/// The low lane of 4 or 8 bytes.
pub(crate) struct Scalar<O, const BYTES: usize, S>(std::marker::PhantomData<(O, S)>);

impl<O: Arithmetic, const BYTES: usize, S: Source> Vector for Scalar<O, BYTES, S> {
    // Not part of the handler: that has to end in a jump, so nothing of its own may be lent by address.
    #[inline(never)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let [b, _] = S::read::<BYTES>(cpu, op)?;
        let [a, high] = cpu.low_half(op.dst);
        let result =
            compute(
                cpu,
                |env| {
                    if BYTES == 4 { O::single(env, a & 0xffff_ffff, b) } else { O::double(env, a, b) }
                },
            )?;
        cpu.set_low_half(op.dst, [merged::<BYTES>(a, result), high]);
        Some(())
    }
}

/// All lanes of 4 or 8 bytes.
pub(crate) struct Packed<O, const BYTES: usize, S>(std::marker::PhantomData<(O, S)>);

impl<O: Arithmetic, const BYTES: usize, S: Source> Vector for Packed<O, BYTES, S> {
    // Not part of the handler: that has to end in a jump, so nothing of its own may be lent by address.
    #[inline(never)]
    fn run(cpu: &mut Cpu, op: &Op) -> Option<()> {
        cpu.vectors_ready()?;
        let b = S::read::<16>(cpu, op)?;
        let a = cpu.low_half(op.dst);
        let result = compute(cpu, |env| {
            let mut quad = |n: usize| {
                if BYTES == 8 {
                    return O::double(env, a[n], b[n]);
                }
                let low = O::single(env, a[n] & 0xffff_ffff, b[n] & 0xffff_ffff);
                low | O::single(env, a[n] >> 32, b[n] >> 32) << 32
            };
            [quad(0), quad(1)]
        })?;
        cpu.set_low_half(op.dst, result);
        Some(())
    }
}
