//! Between formats, and from and to integers. SDM vol. 1, 4.9.1.1 (integer indefinite), 11.5.2.1.

use super::nan::{note_denormals, propagate};
use super::round::{round, rounds_up, shift_right_sticky};
use super::{Env, Format, Kind, Rounding, Unpacked, flag};

/// Size of a signed integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntWidth {
    /// 16 bits.
    I16,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

impl IntWidth {
    const fn bits(self) -> u32 {
        match self {
            Self::I16 => 16,
            Self::I32 => 32,
            Self::I64 => 64,
        }
    }
}

/// Converts to another format.
#[must_use]
pub fn convert<From: Format, To: Format>(env: &mut Env, a: From::Bits) -> To::Bits {
    let a = From::operand(env, a);
    if let Some(nan) = propagate::<To>(env, &a, &a) {
        return nan;
    }
    note_denormals(env, &[&a]);
    finite::<To>(env, &a)
}

/// Converts a value of extended precision to a narrower format, as the x87 unit stores it: a denormal is only tiny.
#[must_use]
pub fn narrow<To: Format>(env: &mut Env, a: &Unpacked) -> To::Bits {
    match propagate::<To>(env, a, a) {
        Some(nan) => nan,
        None => finite::<To>(env, a),
    }
}

fn finite<To: Format>(env: &mut Env, a: &Unpacked) -> To::Bits {
    match a.kind {
        Kind::Zero => To::zero(a.sign),
        Kind::Infinity => To::infinity(a.sign),
        _ => round::<To>(env, a.sign, a.exp, u128::from(a.sig) << 64),
    }
}

/// From a signed integer.
#[must_use]
pub fn from_int<F: Format>(env: &mut Env, value: i64) -> F::Bits {
    finite::<F>(env, &Unpacked::integer(value))
}

impl Unpacked {
    /// An integer.
    #[must_use]
    pub const fn integer(value: i64) -> Self {
        let magnitude = value.unsigned_abs();
        if magnitude == 0 {
            return Self { sign: false, kind: Kind::Zero, exp: 0, sig: 0 };
        }
        let shift = magnitude.leading_zeros();
        Self { sign: value < 0, kind: Kind::Normal, exp: 63 - shift as i32, sig: magnitude << shift }
    }
}

/// To a signed integer, in the low bits of the answer. What does not fit, infinities and NaNs are invalid and give the
/// integer indefinite: the sign bit alone.
#[must_use]
pub fn to_int<F: Format>(env: &mut Env, a: F::Bits, rounding: Rounding, width: IntWidth) -> u64 {
    let a = F::operand(env, a);
    let sign_bit = 1u64 << (width.bits() - 1);
    // Of the 128 bits the upper half is the integer, the lower the fraction.
    let fixed = match a.kind {
        Kind::Zero => 0,
        Kind::Normal | Kind::Denormal if a.exp < 64 => {
            shift_right_sticky(u128::from(a.sig) << 64, (63 - a.exp) as u32)
        }
        _ => {
            env.raise(flag::INVALID);
            return sign_bit;
        }
    };
    let (whole, rest) = ((fixed >> 64) as u64, fixed << 64);
    let up = rounds_up(rounding, a.sign, whole & 1 != 0, rest);
    env.rounded_up = up;
    let magnitude = u128::from(whole) + u128::from(up);
    let limit = u128::from(sign_bit) - u128::from(!a.sign);
    if magnitude > limit {
        env.raise(flag::INVALID);
        return sign_bit;
    }
    if rest != 0 {
        env.raise(flag::INEXACT);
    }
    let value = magnitude as u64;
    let signed = if a.sign { value.wrapping_neg() } else { value };
    signed & (sign_bit << 1).wrapping_sub(1)
}
