//! Formats: how bits spell a number. SDM vol. 1, 4.8.2 and table 4-3.

use super::{Env, Operation, Relation, native};
use std::fmt::Debug;

/// What sort of value an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Zero.
    Zero,
    /// Not zero, and below the smallest normal number.
    Denormal,
    /// An ordinary number.
    Normal,
    /// Infinity.
    Infinity,
    /// A NaN that spreads quietly.
    QuietNan,
    /// A NaN that is an invalid operand.
    SignalingNan,
    /// Bits of extended precision that no longer spell anything (SDM vol. 1, 8.2.2): an invalid operand.
    Unsupported,
}

/// A value taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Negative.
    pub sign: bool,
    /// Its sort.
    pub kind: Kind,
    /// Power of two that bit 63 of the significand stands for, if it is a number other than zero.
    pub exp: i32,
    /// Significand, left-aligned and normalised; of a NaN, the payload below the integer bit.
    pub sig: u64,
}

impl Unpacked {
    /// Either sort of NaN.
    #[must_use]
    pub const fn is_nan(&self) -> bool {
        matches!(self.kind, Kind::QuietNan | Kind::SignalingNan)
    }

    /// A number other than zero.
    #[must_use]
    pub const fn is_finite_nonzero(&self) -> bool {
        matches!(self.kind, Kind::Normal | Kind::Denormal)
    }
}

/// A binary format.
pub trait Format {
    /// What holds a value.
    type Bits: Copy + Eq + Debug;
    /// Bits of the significand with the integer bit, at most 64.
    const PRECISION: u32;
    /// Exponent of the largest numbers, and the bias.
    const EXP_MAX: i32;
    /// Exponent of the smallest normal number.
    const EXP_MIN: i32 = 1 - Self::EXP_MAX;

    /// What is added to the exponent of a result that is too small, and taken from that of one that is too large, where the
    /// exception is unmasked and there is a result all the same (SDM vol. 1, 8.5.4, 8.5.5).
    const WRAP: Option<i32> = None;

    /// Bits that results are rounded to.
    #[must_use]
    fn precision(_: &Env) -> u32 {
        Self::PRECISION
    }

    /// Takes a value apart.
    fn unpack(bits: Self::Bits) -> Unpacked;

    /// Puts a value together from the biased exponent and the left-aligned significand with its integer bit.
    fn pack(sign: bool, biased: u32, sig: u64) -> Self::Bits;

    /// The biased exponent of infinities and NaNs.
    #[must_use]
    fn biased_max() -> u32 {
        (2 * Self::EXP_MAX + 1) as u32
    }

    /// Zero.
    #[must_use]
    fn zero(sign: bool) -> Self::Bits {
        Self::pack(sign, 0, 0)
    }

    /// Infinity.
    #[must_use]
    fn infinity(sign: bool) -> Self::Bits {
        Self::pack(sign, Self::biased_max(), 1 << 63)
    }

    /// The largest finite number that results are rounded to.
    #[must_use]
    fn largest(env: &Env, sign: bool) -> Self::Bits {
        Self::pack(sign, Self::biased_max() - 1, u64::MAX << (64 - Self::precision(env)))
    }

    /// A quiet NaN with the payload of `sig`.
    #[must_use]
    fn quiet_nan(sign: bool, sig: u64) -> Self::Bits {
        Self::pack(sign, Self::biased_max(), sig | 3 << 62)
    }

    /// The answer to an invalid operation: the NaN that the manual calls indefinite (SDM vol. 1, 4.8.3.7).
    #[must_use]
    fn indefinite() -> Self::Bits {
        Self::quiet_nan(true, 0)
    }

    /// The host's own result, where nothing tells it from ours.
    #[must_use]
    #[inline(always)]
    fn native(_: &Env, _: Operation<Self::Bits>) -> Option<Self::Bits> {
        None
    }

    /// The host's own comparison, likewise.
    #[must_use]
    #[inline(always)]
    fn native_order(_: Self::Bits, _: Self::Bits) -> Option<Relation> {
        None
    }

    /// A value with the other sign.
    #[must_use]
    fn negated(bits: Self::Bits) -> Self::Bits;

    /// Takes an operand apart; a denormal counts as zero if the environment says so.
    #[must_use]
    fn operand(env: &Env, bits: Self::Bits) -> Unpacked {
        let value = Self::unpack(bits);
        if value.kind == Kind::Denormal && env.denormals_are_zeros {
            Unpacked { kind: Kind::Zero, exp: 0, sig: 0, ..value }
        } else {
            value
        }
    }
}

/// An IEEE 754 format with a hidden integer bit, in the low bits of a word.
#[derive(Clone, Copy, Debug)]
pub struct Ieee<const EXP: u32, const FRACTION: u32>;

/// Half precision.
pub type F16 = Ieee<5, 10>;
/// Single precision.
pub type F32 = Ieee<8, 23>;
/// Double precision.
pub type F64 = Ieee<11, 52>;

impl<const EXP: u32, const FRACTION: u32> Format for Ieee<EXP, FRACTION> {
    type Bits = u64;
    const PRECISION: u32 = FRACTION + 1;
    const EXP_MAX: i32 = (1 << (EXP - 1)) - 1;

    #[inline]
    fn unpack(bits: u64) -> Unpacked {
        let sign = bits >> (EXP + FRACTION) & 1 != 0;
        let biased = (bits >> FRACTION) as u32 & ((1 << EXP) - 1);
        let fraction = bits << (64 - FRACTION) >> 1;
        let (kind, exp, sig) = if biased == 0 {
            if fraction == 0 {
                (Kind::Zero, 0, 0)
            } else {
                let shift = fraction.leading_zeros();
                (Kind::Denormal, Self::EXP_MIN - shift as i32, fraction << shift)
            }
        } else if biased == Self::biased_max() {
            let kind = match (fraction, fraction >> 62) {
                (0, _) => Kind::Infinity,
                (_, 0) => Kind::SignalingNan,
                _ => Kind::QuietNan,
            };
            (kind, 0, fraction | 1 << 63)
        } else {
            (Kind::Normal, biased as i32 - Self::EXP_MAX, fraction | 1 << 63)
        };
        Unpacked { sign, kind, exp, sig }
    }

    #[inline(always)]
    fn native(env: &Env, operation: Operation<u64>) -> Option<u64> {
        match (EXP, FRACTION) {
            (8, 23) => native::single(env, operation),
            (11, 52) => native::double(env, operation),
            _ => None,
        }
    }

    #[inline(always)]
    fn native_order(a: u64, b: u64) -> Option<Relation> {
        match (EXP, FRACTION) {
            (8, 23) => native::order_of_singles(a, b),
            (11, 52) => native::order_of_doubles(a, b),
            _ => None,
        }
    }

    fn negated(bits: u64) -> u64 {
        bits ^ 1 << (EXP + FRACTION)
    }

    #[inline]
    fn pack(sign: bool, biased: u32, sig: u64) -> u64 {
        u64::from(sign) << (EXP + FRACTION) | u64::from(biased) << FRACTION | sig << 1 >> (64 - FRACTION)
    }
}
