//! Numbers with 128 bits of significand, for the inside of transcendental functions. Operations cut off what does not fit, so
//! each errs by a few units of the last place; no infinities, no NaNs, no flags.

use super::round::round;
use super::{Env, Extended, F80, Unpacked, flag};

/// `sig * 2^(exp - 127)`. Bit 127 of `sig` is set unless the number is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide {
    sign: bool,
    exp: i32,
    sig: u128,
}

impl Wide {
    pub(super) const ZERO: Self = Self { sign: false, exp: 0, sig: 0 };
    pub(super) const ONE: Self = Self::new(0, 1 << 127);
    pub(super) const PI: Self = Self::new(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1);
    pub(super) const LN_2: Self = Self::new(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af);
    pub(super) const LOG2_E: Self = Self::new(0, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88);

    /// A positive number with a normalised significand.
    pub(super) const fn new(exp: i32, sig: u128) -> Self {
        Self { sign: false, exp, sig }
    }

    /// A number other than zero that was taken apart.
    pub(super) const fn of(value: &Unpacked) -> Self {
        Self { sign: value.sign, exp: value.exp, sig: (value.sig as u128) << 64 }
    }

    /// `value * 2^exp`.
    pub(super) fn scaled(value: u128, exp: i32) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let shift = value.leading_zeros();
        Self::new(exp + 127 - shift as i32, value << shift)
    }

    pub(super) fn integer(value: i32) -> Self {
        Self::scaled(value.unsigned_abs().into(), 0).with_sign(value < 0)
    }

    pub(super) const fn with_sign(self, sign: bool) -> Self {
        Self { sign, ..self }
    }

    pub(super) const fn negated(self) -> Self {
        self.with_sign(!self.sign)
    }

    pub(super) const fn is_zero(&self) -> bool {
        self.sig == 0
    }

    pub(super) const fn is_negative(&self) -> bool {
        self.sign && !self.is_zero()
    }

    /// Plus or minus a power of two.
    pub(super) const fn is_power_of_two(&self) -> bool {
        self.sig == 1 << 127
    }

    pub(super) const fn exp(&self) -> i32 {
        self.exp
    }

    /// A unit of the last place towards minus or plus infinity.
    pub(super) fn nudged(self, down: bool) -> Self {
        self.plus(Self::new(self.exp - 126, 1 << 127).with_sign(down))
    }

    /// Whether it is nearer to the next power of two than to its own, as a factor.
    pub(super) const fn is_in_upper_half(&self) -> bool {
        /// The square root of two, cut to 64 bits.
        const SQRT_2: u64 = 0xb504_f333_f9de_6484;
        (self.sig >> 64) as u64 > SQRT_2
    }

    /// Times a power of two.
    pub(super) const fn shifted(self, by: i32) -> Self {
        Self { exp: self.exp + by, ..self }
    }

    pub(super) fn times(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return Self::ZERO;
        }
        let high = high_product(self.sig, other.sig);
        let shift = high.leading_zeros();
        let exp = self.exp + other.exp + 1 - shift as i32;
        Self { sign: self.sign ^ other.sign, exp, sig: high << shift }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let (large, small) =
            if (self.exp, self.sig) >= (other.exp, other.sig) { (self, other) } else { (other, self) };
        let distance = (large.exp - small.exp) as u32;
        // A bit is kept free for the carry.
        let low = (small.sig >> 1).checked_shr(distance).unwrap_or(0);
        let top = large.sig >> 1;
        let total = if large.sign == small.sign { top + low } else { top - low };
        Self::scaled(total, large.exp - 126).with_sign(large.sign)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// The divisor is not zero.
    pub(super) fn over(self, other: Self) -> Self {
        if self.is_zero() {
            return Self::ZERO;
        }
        // Schoolbook, a bit at a time.
        let divisor = other.sig;
        let (mut rest, mut quotient, mut exp) = (self.sig, 0u128, self.exp - other.exp);
        let mut carry = false;
        if rest < divisor {
            carry = rest >> 127 != 0;
            rest <<= 1;
            exp -= 1;
        }
        for _ in 0..128 {
            quotient <<= 1;
            if carry || rest >= divisor {
                rest = rest.wrapping_sub(divisor);
                quotient |= 1;
            }
            carry = rest >> 127 != 0;
            rest <<= 1;
        }
        Self { sign: self.sign ^ other.sign, exp, sig: quotient }
    }

    /// Of a positive number.
    pub(super) fn sqrt(self) -> Self {
        // The upper half of the bits, and one step of Newton's for the lower.
        let odd = self.exp & 1;
        let radicand = self.sig >> (1 - odd);
        let guess = Self::scaled(radicand.isqrt(), (self.exp - odd) / 2 - 63);
        guess.plus(self.over(guess)).shifted(-1)
    }

    /// Rounds to the format of the registers. The number is taken for inexact, as all values of these functions are that are
    /// not special cases.
    pub(super) fn round(self, env: &mut Env) -> Extended {
        debug_assert!(!self.is_zero(), "special cases are handled before");
        let result = round::<F80>(env, self.sign, self.exp, self.sig | 1);
        env.flags |= flag::INEXACT;
        result
    }

    /// Rounds a number that is not cut off anywhere: a tie is one. Processors report it as inexact all the same.
    pub(super) fn round_whole(self, env: &mut Env) -> Extended {
        let mut told = *env;
        let _ = self.round(&mut told);
        let result = round::<F80>(env, self.sign, self.exp, self.sig);
        env.flags = told.flags;
        result
    }
}

/// The upper 128 bits of a product, but for carries out of the lowest parts.
fn high_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (first, second) = (a_high * b_low, a_low * b_high);
    let middle = ((a_low * b_low) >> 64) + (first & LOW) + (second & LOW);
    a_high * b_high + (first >> 64) + (second >> 64) + (middle >> 64)
}
