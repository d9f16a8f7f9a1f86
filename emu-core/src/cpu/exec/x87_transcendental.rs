//! x87 exponentials, logarithms and trigonometric functions: where operands come from and results go. SDM vol. 1, 8.3.7-8.3.9;
//! vol. 2A.

use super::Exec;
use super::x87::x87;
use crate::cpu::softfloat::{
    Angle, Env, Extended, F80, Format, Wanted, atan2, exp2_minus_1, trigonometric, y_log2, y_log2_plus_1,
};
use crate::cpu::x87::status;
use crate::cpu::{Cpu, Fault};
use iced_x86::{Code, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::F2xm1 => x87!(|cpu, _, _| exponential(cpu)),
        Mnemonic::Fyl2x => x87!(|cpu, _, _| of_two(cpu, y_log2)),
        Mnemonic::Fyl2xp1 => x87!(|cpu, _, _| of_two(cpu, y_log2_plus_1)),
        Mnemonic::Fpatan => x87!(|cpu, _, _| of_two(cpu, atan2)),
        Mnemonic::Fsin => x87!(|cpu, _, _| trigonometry(cpu, Wanted::Sine)),
        Mnemonic::Fcos => x87!(|cpu, _, _| trigonometry(cpu, Wanted::Cosine)),
        Mnemonic::Fsincos => x87!(|cpu, _, _| trigonometry(cpu, Wanted::Both)),
        Mnemonic::Fptan => x87!(|cpu, _, _| trigonometry(cpu, Wanted::Tangent)),
        _ => return None,
    })
}

fn exponential(cpu: &mut Cpu) -> Result<(), Fault> {
    let result = match cpu.x87.get(0) {
        Some(a) => {
            let mut env = cpu.x87_env().exact();
            let result = exp2_minus_1(&mut env, a);
            cpu.x87.finish(&env, result)
        }
        None => cpu.x87.underflow(),
    };
    cpu.x87.put(0, result, false);
    Ok(())
}

/// Of ST(1) and ST(0); the result goes to ST(1), then the stack is popped.
fn of_two(cpu: &mut Cpu, op: fn(&mut Env, Extended, Extended) -> Extended) -> Result<(), Fault> {
    let result = match (cpu.x87.get(1), cpu.x87.get(0)) {
        (Some(y), Some(x)) => {
            let mut env = cpu.x87_env().exact();
            let result = op(&mut env, y, x);
            cpu.x87.finish(&env, result)
        }
        _ => cpu.x87.underflow(),
    };
    cpu.x87.put(1, result, true);
    Ok(())
}

fn trigonometry(cpu: &mut Cpu, wanted: Wanted) -> Result<(), Fault> {
    let pushes = matches!(wanted, Wanted::Both | Wanted::Tangent);
    cpu.x87.set_condition(status::C2, false);
    let Some(a) = cpu.x87.get(0) else {
        if let Some(indefinite) = cpu.x87.underflow() {
            cpu.x87.set(0, indefinite);
            if pushes {
                cpu.x87.push(indefinite);
            }
        }
        return Ok(());
    };
    if pushes && !cpu.x87.has_room() {
        // Both results are what stands for no value.
        let masked = cpu.x87.masks_invalid();
        cpu.x87.push_if_room(|_| None);
        if masked {
            cpu.x87.set(1, F80::indefinite());
        }
        return Ok(());
    }
    let mut env = cpu.x87_env().exact();
    let angle = trigonometric(&mut env, a, wanted);
    cpu.x87.report(&env);
    let (sine, cosine) = match angle {
        Angle::Values(sine, cosine) => (sine, cosine),
        Angle::OutOfRange => {
            cpu.x87.set_condition(status::C2, true);
            return Ok(());
        }
    };
    if env.stops_before() {
        return Ok(());
    }
    cpu.x87.set(0, if wanted == Wanted::Cosine { cosine } else { sine });
    if pushes {
        cpu.x87.push(cosine);
    }
    Ok(())
}
