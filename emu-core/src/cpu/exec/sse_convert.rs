//! SSE and SSE2 conversions between integers, singles and doubles. Those from and to MMX registers are in
//! `mmx`. SDM vol. 2.

use super::Exec;
use super::operand_width;
use super::sse_float::{low, packed, scalar, with_low};
use super::xmm::{by_halves, first, join, lanes, signed, source};
use crate::access::Width;
use crate::cpu::flags::sign_extend;
use crate::cpu::softfloat::{Env, F32, F64, Format, IntWidth, Rounding, convert, from_int, to_int};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    general(code).or_else(|| vector(code))
}

/// From and to general registers, and between scalars.
fn general(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Cvtsi2ss_xmm_rm32 | Code::Cvtsi2ss_xmm_rm64 => from_general::<F32, 4>,
        Code::Cvtsi2sd_xmm_rm32 | Code::Cvtsi2sd_xmm_rm64 => from_general::<F64, 8>,
        Code::Cvtss2si_r32_xmmm32 | Code::Cvtss2si_r64_xmmm32 => {
            |cpu, bus, insn| to_general::<F32, 4>(cpu, bus, insn, current)
        }
        Code::Cvtsd2si_r32_xmmm64 | Code::Cvtsd2si_r64_xmmm64 => {
            |cpu, bus, insn| to_general::<F64, 8>(cpu, bus, insn, current)
        }
        Code::Cvttss2si_r32_xmmm32 | Code::Cvttss2si_r64_xmmm32 => {
            |cpu, bus, insn| to_general::<F32, 4>(cpu, bus, insn, truncation)
        }
        Code::Cvttsd2si_r32_xmmm64 | Code::Cvttsd2si_r64_xmmm64 => {
            |cpu, bus, insn| to_general::<F64, 8>(cpu, bus, insn, truncation)
        }
        Code::Cvtss2sd_xmm_xmmm32 => single_to_double,
        Code::Cvtsd2ss_xmm_xmmm64 => double_to_single,
        _ => return None,
    })
}

/// Between vectors.
fn vector(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Cvtdq2ps_xmm_xmmm128 => {
            |cpu, bus, insn| packed::<4>(cpu, bus, insn, |env, _, b| from_int::<F32>(env, signed::<4>(b)))
        }
        Code::Cvtps2dq_xmm_xmmm128 => {
            |cpu, bus, insn| packed::<4>(cpu, bus, insn, |env, _, b| to_i32::<F32>(env, b, current))
        }
        Code::Cvttps2dq_xmm_xmmm128 => {
            |cpu, bus, insn| packed::<4>(cpu, bus, insn, |env, _, b| to_i32::<F32>(env, b, truncation))
        }
        Code::Cvtpd2dq_xmm_xmmm128 => {
            |cpu, bus, insn| narrow(cpu, bus, insn, |env, a| to_i32::<F64>(env, a, current))
        }
        Code::Cvttpd2dq_xmm_xmmm128 => {
            |cpu, bus, insn| narrow(cpu, bus, insn, |env, a| to_i32::<F64>(env, a, truncation))
        }
        Code::Cvtpd2ps_xmm_xmmm128 => |cpu, bus, insn| narrow(cpu, bus, insn, convert::<F64, F32>),
        Code::Cvtdq2pd_xmm_xmmm64 => {
            |cpu, bus, insn| widen(cpu, bus, insn, |env, a| from_int::<F64>(env, signed::<4>(a)))
        }
        Code::Cvtps2pd_xmm_xmmm64 => |cpu, bus, insn| widen(cpu, bus, insn, convert::<F32, F64>),
        _ => return None,
    })
}

/// The rounding of an instruction without its own.
fn current(env: &Env) -> Rounding {
    env.rounding
}

/// The rounding of the CVTT instructions.
fn truncation(_: &Env) -> Rounding {
    Rounding::Zero
}

fn to_i32<F: Format<Bits = u64>>(env: &mut Env, a: u64, rounding: fn(&Env) -> Rounding) -> u64 {
    to_int::<F>(env, a, rounding(env), IntWidth::I32)
}

fn from_general<F: Format<Bits = u64>, const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let width = operand_width(insn, source(insn));
    let integer = sign_extend(cpu.read_operand(bus, insn, source(insn), width)?, width);
    let result = cpu.with_float(|env| from_int::<F>(env, integer as i64))?;
    cpu.set_result(insn, [with_low::<BYTES>(cpu.xmm(first(insn)), result), 0]);
    Ok(())
}

fn to_general<F: Format<Bits = u64>, const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    rounding: fn(&Env) -> Rounding,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let source = low::<BYTES>(cpu.read_unaligned(bus, insn, 1)?[0]);
    let width = if operand_width(insn, 0) == Width::B8 { IntWidth::I64 } else { IntWidth::I32 };
    let result = cpu.with_float(|env| to_int::<F>(env, source, rounding(env), width))?;
    cpu.set_reg(insn.op0_register(), result);
    Ok(())
}

fn single_to_double(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    scalar::<8>(cpu, bus, insn, |env, _, b| convert::<F32, F64>(env, b & 0xffff_ffff))
}

fn double_to_single(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let double = low::<8>(cpu.read_unaligned(bus, insn, source(insn))?[0]);
    let result = cpu.with_float(|env| convert::<F64, F32>(env, double))?;
    cpu.set_result(insn, [with_low::<4>(cpu.xmm(first(insn)), result), 0]);
    Ok(())
}

/// Two quadwords to two doublewords, or four to four; what is above them is cleared.
fn narrow(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: impl Fn(&mut Env, u64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let source = cpu.read_vector(bus, insn, 1)?;
    let wide = insn.op1_register().is_ymm() || insn.memory_size().size() == 32;
    let from = lanes::<8>(source[0]).chain(lanes::<8>(source[1])).take(if wide { 4 } else { 2 });
    let result = cpu.with_float(|env| join::<4>(from.map(|lane| op(env, lane))))?;
    cpu.set_result(insn, [result, 0]);
    Ok(())
}

/// The low two or four doublewords to as many quadwords.
fn widen(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: impl Fn(&mut Env, u64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [source, _] = cpu.read_unaligned(bus, insn, 1)?;
    let result = cpu.with_float(|env| {
        by_halves(insn, |half| join::<8>(lanes::<4>(source).skip(2 * half).take(2).map(|lane| op(env, lane))))
    })?;
    cpu.set_result(insn, result);
    Ok(())
}
