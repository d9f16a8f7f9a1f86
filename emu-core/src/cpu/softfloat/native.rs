//! Shortcuts through the host's own arithmetic, for singles and doubles, where it gives the same bits and has no flag to report that
//! is not reported already.
//!
//! IEEE 754 fixes the result of these operations on ordinary numbers, rounded to nearest, on every host. What is left are the flags:
//! with operands that are neither denormal nor special and a result that is well inside the normal range only inexactness can
//! come of it, and that is in MXCSR as a rule: it sticks from the first operation on that rounds.

use super::{Env, F32, F64, Ieee, Relation, Rounding};
use std::cmp::Ordering;

/// What the host can do for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<T> {
    /// The sum.
    Add(T, T),
    /// The difference.
    Sub(T, T),
    /// The product.
    Mul(T, T),
    /// The quotient.
    Div(T, T),
    /// The first two multiplied, and the third added.
    Fused(T, T, T),
    /// The square root.
    Root(T),
}

impl Env {
    /// Whether results are rounded to nearest and inexact ones have nothing to report.
    #[inline(always)]
    fn rounds_quietly(&self) -> bool {
        self.inexact_reported && self.rounding == Rounding::Nearest
    }
}

macro_rules! native {
    ($compute:ident, $order:ident, $format:ty, $float:ty, $bits:ty) => {
        /// The result, if the shortcut applies.
        #[inline(always)]
        pub(super) fn $compute(env: &Env, operation: Operation<u64>) -> Option<u64> {
            type F = $format;
            let number = |bits: u64| <$float>::from_bits(bits as $bits);
            let ordinary = |all: &[u64]| all.iter().all(|bits| F::is_ordinary(*bits));
            if !env.rounds_quietly() {
                return None;
            }
            // Zero is a result of ordinary operands only where it is exact, but for products and quotients that are too small.
            let (result, may_be_zero) = match operation {
                Operation::Add(a, b) if ordinary(&[a, b]) => (number(a) + number(b), true),
                Operation::Sub(a, b) if ordinary(&[a, b]) => (number(a) - number(b), true),
                Operation::Mul(a, b) if ordinary(&[a, b]) => {
                    (number(a) * number(b), number(a) == 0.0 || number(b) == 0.0)
                }
                Operation::Div(a, b) if ordinary(&[a, b]) && number(b) != 0.0 => {
                    (number(a) / number(b), number(a) == 0.0)
                }
                Operation::Fused(a, b, c) if ordinary(&[a, b, c]) => {
                    (number(a).mul_add(number(b), number(c)), false)
                }
                Operation::Root(a) if ordinary(&[a]) && number(a) >= 0.0 => (number(a).sqrt(), true),
                _ => return None,
            };
            let bits = u64::from(result.to_bits());
            (F::is_inside(bits) || result == 0.0 && may_be_zero).then_some(bits)
        }

        /// How two ordinary numbers compare: nothing is reported of them, however results are rounded.
        #[inline(always)]
        pub(super) fn $order(a: u64, b: u64) -> Option<Relation> {
            type F = $format;
            let [x, y] = [a, b].map(|bits| <$float>::from_bits(bits as $bits));
            let relation = match x.partial_cmp(&y)? {
                Ordering::Less => Relation::Less,
                Ordering::Equal => Relation::Equal,
                Ordering::Greater => Relation::Greater,
            };
            (F::is_ordinary(a) && F::is_ordinary(b)).then_some(relation)
        }
    };
}

native!(single, order_of_singles, F32, f32, u32);
native!(double, order_of_doubles, F64, f64, u64);

impl<const EXP: u32, const FRACTION: u32> Ieee<EXP, FRACTION> {
    const fn biased(bits: u64) -> u64 {
        bits >> FRACTION & ((1 << EXP) - 1)
    }

    /// A normal number or zero.
    #[inline(always)]
    const fn is_ordinary(bits: u64) -> bool {
        let biased = Self::biased(bits);
        let is_zero = bits & ((1 << (EXP + FRACTION)) - 1) == 0;
        (biased != 0 && biased != (1 << EXP) - 1) || is_zero
    }

    /// A number that neither overflow nor underflow has had a part in.
    #[inline(always)]
    const fn is_inside(bits: u64) -> bool {
        let biased = Self::biased(bits);
        biased > 1 && biased != (1 << EXP) - 1
    }
}
