//! Rounding to an integer that stays a floating-point number; powers of two put to and taken from a number.

use super::nan::{invalid, note_denormals, propagate};
use super::round::{round, rounds_up, shift_right_sticky};
use super::{Env, Extended, F80, Format, Kind, Unpacked, flag, from_int};

/// The nearest integer in the direction of the environment's rounding.
#[must_use]
pub fn round_to_integer<F: Format>(env: &mut Env, bits: F::Bits) -> F::Bits {
    let a = F::operand(env, bits);
    if let Some(nan) = propagate::<F>(env, &a, &a) {
        return nan;
    }
    note_denormals(env, &[&a]);
    match a.kind {
        Kind::Zero => F::zero(a.sign),
        Kind::Normal | Kind::Denormal if a.exp < 63 => {
            let fixed = shift_right_sticky(u128::from(a.sig) << 64, (63 - a.exp) as u32);
            let (whole, rest) = ((fixed >> 64) as u64, fixed << 64);
            if rest == 0 {
                return bits;
            }
            env.raise(flag::INEXACT);
            env.rounded_up = rounds_up(env.rounding, a.sign, whole & 1 != 0, rest);
            let magnitude = Unpacked::integer((whole + u64::from(env.rounded_up)) as i64);
            if magnitude.kind == Kind::Zero {
                return F::zero(a.sign);
            }
            // 2^63 does not fit a positive integer, but its exponent and significand are right all the same.
            F::pack(a.sign, (magnitude.exp + F::EXP_MAX) as u32, magnitude.sig)
        }
        _ => bits,
    }
}

/// `a * 2^n`, where `n` is `b` cut to an integer: FSCALE.
#[must_use]
pub fn scale(env: &mut Env, a: Extended, b: Extended) -> Extended {
    let (a, b) = (F80::unpack(a), F80::unpack(b));
    if let Some(nan) = propagate::<F80>(env, &a, &b) {
        return nan;
    }
    match (a.kind, b.kind, b.sign) {
        (Kind::Zero, Kind::Infinity, false) | (Kind::Infinity, Kind::Infinity, true) => {
            return invalid::<F80>(env);
        }
        _ => note_denormals(env, &[&a, &b]),
    }
    match (a.kind, b.kind, b.sign) {
        (Kind::Infinity, _, _) | (_, Kind::Infinity, false) => F80::infinity(a.sign),
        (Kind::Zero, _, _) | (_, Kind::Infinity, true) => F80::zero(a.sign),
        _ => round::<F80>(env, a.sign, a.exp + truncated(&b), u128::from(a.sig) << 64),
    }
}

/// The integer part of a number, as far as it matters to an exponent.
fn truncated(value: &Unpacked) -> i32 {
    const FAR: i32 = 1 << 16;
    let magnitude = match value.kind {
        Kind::Normal if value.exp > 16 => FAR,
        Kind::Normal if value.exp >= 0 => (value.sig >> (63 - value.exp)) as i32,
        _ => 0,
    };
    if value.sign { -magnitude } else { magnitude }
}

/// Exponent and significand of `a`, each a number of its own: FXTRACT.
#[must_use]
pub fn extract(env: &mut Env, a: Extended) -> (Extended, Extended) {
    let value = F80::unpack(a);
    if let Some(nan) = propagate::<F80>(env, &value, &value) {
        return (nan, nan);
    }
    note_denormals(env, &[&value]);
    match value.kind {
        Kind::Zero => {
            env.raise(flag::ZERO_DIVIDE);
            (F80::infinity(true), a)
        }
        Kind::Infinity => (F80::infinity(false), a),
        _ => {
            let exponent = from_int::<F80>(&mut env.exact(), i64::from(value.exp));
            (exponent, F80::pack(value.sign, F80::EXP_MAX as u32, value.sig))
        }
    }
}
