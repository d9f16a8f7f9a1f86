//! Exact remainders: FPREM and FPREM1. SDM vol. 2A.

use super::nan::{invalid, note_denormals, propagate};
use super::round::round;
use super::{Env, Extended, F80, Format, Kind, Unpacked};

/// How the quotient is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotient {
    /// Towards zero: FPREM, as the 8087 did it.
    Truncated,
    /// To nearest: FPREM1, as IEEE 754 wants it.
    Nearest,
}

/// What a step of a remainder gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    /// The remainder, or what is left to be reduced.
    pub value: Extended,
    /// How far it came.
    pub reduction: Reduction,
}

/// How far a reduction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// To the end; with the low bits of the quotient.
    Complete(u64),
    /// What is left must be reduced again.
    Partial,
    /// Nowhere: an operand was no number.
    Void,
}

/// Reduces `a` by `b`. If their exponents differ by 64 or more, only in part.
#[must_use]
pub fn remainder(env: &mut Env, a_bits: Extended, b: Extended, rounding: Quotient) -> Remainder {
    let (a, b) = (F80::unpack(a_bits), F80::unpack(b));
    let void = |value| Remainder { value, reduction: Reduction::Void };
    let complete = |value| Remainder { value, reduction: Reduction::Complete(0) };
    if let Some(nan) = propagate::<F80>(env, &a, &b) {
        return void(nan);
    }
    if a.kind == Kind::Infinity || b.kind == Kind::Zero {
        return void(invalid::<F80>(env));
    }
    note_denormals(env, &[&a, &b]);
    let difference = a.exp - b.exp;
    let is_smaller = match rounding {
        Quotient::Truncated => difference < 0,
        Quotient::Nearest => difference < -1,
    };
    if a.kind == Kind::Zero {
        return complete(a_bits);
    }
    if b.kind == Kind::Infinity || is_smaller {
        // Rounds nothing, but tells an unmasked handler of a denormal.
        return complete(round::<F80>(env, a.sign, a.exp, u128::from(a.sig) << 64));
    }
    reduce(env, &a, &b, difference, rounding)
}

fn reduce(env: &mut Env, a: &Unpacked, b: &Unpacked, difference: i32, rounding: Quotient) -> Remainder {
    // A partial reduction takes 32 to 63 bits off the difference.
    let partial = difference >= 64;
    let bits = if partial { 32 + difference % 32 } else { difference };
    // Both in units of half the divisor's last place.
    let dividend = u128::from(a.sig) << (bits + 1);
    let divisor = u128::from(b.sig) << 1;
    let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
    let mut sign = a.sign;
    let twice = rest << 1;
    let up = twice > divisor || twice == divisor && quotient & 1 != 0;
    if !partial && rounding == Quotient::Nearest && up {
        quotient += 1;
        rest = divisor - rest;
        sign = !sign;
    }
    let value = if rest == 0 {
        F80::zero(a.sign)
    } else {
        let shift = rest.leading_zeros();
        // Bit 64 of the rest stands for the exponent of the divisor that was used.
        round::<F80>(env, sign, b.exp + difference - bits + 63 - shift as i32, rest << shift)
    };
    let reduction = if partial { Reduction::Partial } else { Reduction::Complete(quotient as u64) };
    Remainder { value, reduction }
}
