//! x87 arithmetic: sums, products, quotients, roots, remainders, rounding, scaling, signs. SDM vol. 1, 8.3.5-8.3.6; vol. 2A.

use super::Exec;
use super::x87::{index, x87};
use crate::cpu::softfloat::{
    Env, Extended, F80, Format, Quotient, Reduction, Unpacked, div_values, extract, mul_values, remainder,
    round_to_integer, scale, sqrt, sum_values,
};
use crate::cpu::x87::status;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// The destination and the other operand to a result.
type Binary = fn(&mut Env, Unpacked, Unpacked) -> Extended;

pub(super) fn lookup(code: Code) -> Option<Exec> {
    basic(code.mnemonic()).or_else(|| further(code.mnemonic()))
}

macro_rules! binary {
    ($op:expr) => {
        x87!(|cpu, bus, insn| binary(cpu, bus, insn, $op, false))
    };
    ($op:expr, pop) => {
        x87!(|cpu, bus, insn| binary(cpu, bus, insn, $op, true))
    };
}

fn basic(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fadd | Mnemonic::Fiadd => binary!(|env, a, b| sum_values::<F80>(env, a, b, false)),
        Mnemonic::Faddp => binary!(|env, a, b| sum_values::<F80>(env, a, b, false), pop),
        Mnemonic::Fsub | Mnemonic::Fisub => binary!(|env, a, b| sum_values::<F80>(env, a, b, true)),
        Mnemonic::Fsubp => binary!(|env, a, b| sum_values::<F80>(env, a, b, true), pop),
        Mnemonic::Fsubr | Mnemonic::Fisubr => binary!(|env, a, b| sum_values::<F80>(env, b, a, true)),
        Mnemonic::Fsubrp => binary!(|env, a, b| sum_values::<F80>(env, b, a, true), pop),
        Mnemonic::Fmul | Mnemonic::Fimul => binary!(mul_values::<F80>),
        Mnemonic::Fmulp => binary!(mul_values::<F80>, pop),
        Mnemonic::Fdiv | Mnemonic::Fidiv => binary!(div_values::<F80>),
        Mnemonic::Fdivp => binary!(div_values::<F80>, pop),
        Mnemonic::Fdivr | Mnemonic::Fidivr => binary!(|env, a, b| div_values::<F80>(env, b, a)),
        Mnemonic::Fdivrp => binary!(|env, a, b| div_values::<F80>(env, b, a), pop),
        _ => return None,
    })
}

fn further(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fsqrt => x87!(|cpu, _, _| unary(cpu, cpu.x87_env(), sqrt::<F80>)),
        Mnemonic::Frndint => x87!(|cpu, _, _| unary(cpu, cpu.x87_env().exact(), round_to_integer::<F80>)),
        Mnemonic::Fabs => x87!(|cpu, _, _| sign(cpu, |word| word & 0x7fff)),
        Mnemonic::Fchs => x87!(|cpu, _, _| sign(cpu, |word| word ^ 0x8000)),
        Mnemonic::Fscale => x87!(|cpu, _, _| scaled(cpu)),
        Mnemonic::Fxtract => x87!(|cpu, _, _| extracted(cpu)),
        Mnemonic::Fprem => x87!(|cpu, _, _| reduced(cpu, Quotient::Truncated)),
        Mnemonic::Fprem1 => x87!(|cpu, _, _| reduced(cpu, Quotient::Nearest)),
        _ => return None,
    })
}

fn binary(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: Binary,
    pop: bool,
) -> Result<(), Fault> {
    let (dest, other) = if insn.op0_kind() == OpKind::Memory {
        (0, Some(cpu.x87_memory(bus, insn)?))
    } else {
        (index(insn.op0_register()), cpu.x87.get(index(insn.op1_register())).map(F80::unpack))
    };
    let result = match (cpu.x87.get(dest).map(F80::unpack), other) {
        (Some(a), Some(b)) => {
            let mut env = cpu.x87_env();
            let result = op(&mut env, a, b);
            cpu.x87.finish(&env, result)
        }
        _ => cpu.x87.underflow(),
    };
    cpu.x87.put(dest, result, pop);
    Ok(())
}

fn unary(cpu: &mut Cpu, mut env: Env, op: fn(&mut Env, Extended) -> Extended) -> Result<(), Fault> {
    let result = match cpu.x87.get(0) {
        Some(a) => {
            let result = op(&mut env, a);
            cpu.x87.finish(&env, result)
        }
        None => cpu.x87.underflow(),
    };
    cpu.x87.put(0, result, false);
    Ok(())
}

/// Changes the sign of anything, be it a number or not.
fn sign(cpu: &mut Cpu, change: fn(u16) -> u16) -> Result<(), Fault> {
    cpu.x87.set_condition(status::C1, false);
    let result = match cpu.x87.get(0) {
        Some(a) => Some(Extended { sign_exponent: change(a.sign_exponent), ..a }),
        None => cpu.x87.underflow(),
    };
    cpu.x87.put(0, result, false);
    Ok(())
}

fn scaled(cpu: &mut Cpu) -> Result<(), Fault> {
    let result = match (cpu.x87.get(0), cpu.x87.get(1)) {
        (Some(a), Some(b)) => {
            let mut env = cpu.x87_env().exact();
            let result = scale(&mut env, a, b);
            cpu.x87.finish(&env, result)
        }
        _ => cpu.x87.underflow(),
    };
    cpu.x87.put(0, result, false);
    Ok(())
}

fn extracted(cpu: &mut Cpu) -> Result<(), Fault> {
    let Some(a) = cpu.x87.get(0) else {
        if let Some(indefinite) = cpu.x87.underflow() {
            cpu.x87.set(0, indefinite);
            cpu.x87.push(indefinite);
        }
        return Ok(());
    };
    let mut env = cpu.x87_env();
    let (exponent, significand) = extract(&mut env, a);
    // Without room both are what stands for no value.
    let exponent = cpu.x87.has_room().then_some(exponent);
    cpu.x87.push_if_room(|x87| x87.finish(&env, significand));
    if let Some(top) = cpu.x87.get(1)
        && exponent.is_none()
        && cpu.x87.masks_invalid()
    {
        debug_assert_eq!(top, a);
        cpu.x87.set(1, F80::indefinite());
    } else if let Some(exponent) = exponent
        && !env.stops_before()
    {
        cpu.x87.set(1, exponent);
    }
    Ok(())
}

/// The quotient's low bits go to C0, C3 and C1; C2 asks to go on.
fn reduced(cpu: &mut Cpu, rounding: Quotient) -> Result<(), Fault> {
    cpu.x87.set_condition(status::C2, false);
    let (Some(a), Some(b)) = (cpu.x87.get(0), cpu.x87.get(1)) else {
        let result = cpu.x87.underflow();
        cpu.x87.put(0, result, false);
        return Ok(());
    };
    let mut env = cpu.x87_env().exact();
    let step = remainder(&mut env, a, b, rounding);
    if let Some(value) = cpu.x87.finish(&env, step.value) {
        cpu.x87.set(0, value);
        cpu.x87.set_condition(status::C2, step.reduction == Reduction::Partial);
        let quotient = match step.reduction {
            Reduction::Complete(quotient) => quotient,
            Reduction::Partial => 0,
            Reduction::Void => return Ok(()),
        };
        for (condition, bit) in [(status::C0, 2), (status::C3, 1), (status::C1, 0)] {
            cpu.x87.set_condition(condition, quotient >> bit & 1 != 0);
        }
    }
    Ok(())
}
