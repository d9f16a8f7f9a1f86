//! FMA: a product and a sum, rounded once. SDM vol. 1, 14.5; vol. 2.
//!
//! The opcode says all: its upper digit which operand is which, its lower which signs are turned and whether the operands are
//! scalars.

use super::Exec;
use super::sse_float::{low, with_low};
use super::xmm::{Halves, by_halves, join, lanes};
use crate::cpu::softfloat::{Env, F32, F64, Signs, fused_multiply_add};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, CpuidFeature, Instruction};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if code.cpuid_features() != [CpuidFeature::FMA] {
        return None;
    }
    let is_scalar = code.op_code().op_code() & 0xf > 8 && code.op_code().op_code() & 1 != 0;
    Some(match (is_scalar, code.op_code().w()) {
        (false, 0) => packed::<4>,
        (false, _) => packed::<8>,
        (true, 0) => scalar::<4>,
        (true, _) => scalar::<8>,
    })
}

/// Signs of the product and the addend, in even lanes and in odd ones.
fn signs(insn: &Instruction) -> [Signs; 2] {
    let add = Signs { product: false, addend: false };
    let subtract = Signs { addend: true, ..add };
    match insn.code().op_code().op_code() & 0xf {
        6 => [subtract, add],
        7 => [add, subtract],
        8 | 9 => [add; 2],
        0xa | 0xb => [subtract; 2],
        0xc | 0xd => [Signs { product: true, ..add }; 2],
        _ => [Signs { product: true, ..subtract }; 2],
    }
}

/// Multiplicand, multiplier and addend, of the three operands as the instruction orders them.
fn in_order<T: Copy>(insn: &Instruction, [one, two, three]: [T; 3]) -> [T; 3] {
    match insn.code().op_code().op_code() >> 4 {
        0x9 => [one, three, two],
        0xa => [two, one, three],
        _ => [two, three, one],
    }
}

fn operands(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<[Halves; 3], Fault> {
    cpu.check_vector(insn)?;
    let third = cpu.read_unaligned(bus, insn, 2)?;
    Ok(in_order(insn, [cpu.halves(insn.op0_register()), cpu.halves(insn.op1_register()), third]))
}

fn compute<const BYTES: usize>(env: &mut Env, operands: [u64; 3], signs: Signs) -> u64 {
    if BYTES == 4 {
        fused_multiply_add::<F32>(env, operands, signs)
    } else {
        fused_multiply_add::<F64>(env, operands, signs)
    }
}

fn packed<const BYTES: usize>(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let [a, b, c] = operands(cpu, bus, insn)?;
    let signs = signs(insn);
    let result = cpu.with_float(|env| {
        by_halves(insn, |half| {
            let all = lanes::<BYTES>(a[half]).zip(lanes::<BYTES>(b[half])).zip(lanes::<BYTES>(c[half]));
            join::<BYTES>(
                all.enumerate().map(|(lane, ((a, b), c))| compute::<BYTES>(env, [a, b, c], signs[lane & 1])),
            )
        })
    })?;
    cpu.set_result(insn, result);
    Ok(())
}

/// The low lane; the others are the destination's.
fn scalar<const BYTES: usize>(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let values = operands(cpu, bus, insn)?.map(|[vector, _]| low::<BYTES>(vector));
    let result = cpu.with_float(|env| compute::<BYTES>(env, values, signs(insn)[0]))?;
    cpu.set_result(insn, [with_low::<BYTES>(cpu.xmm(insn.op0_register()), result), 0]);
    Ok(())
}
