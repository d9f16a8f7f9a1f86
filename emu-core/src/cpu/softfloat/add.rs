//! Sums and differences.

use super::nan::{invalid, note_denormals, propagate};
use super::round::{round, shift_right_sticky};
use super::{Env, Format, Kind, Operation, Rounding, Unpacked};

/// `a + b`.
#[must_use]
pub fn add<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    sum::<F>(env, a, b, false)
}

/// `a - b`.
#[must_use]
pub fn sub<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    sum::<F>(env, a, b, true)
}

fn sum<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits, negate: bool) -> F::Bits {
    let operation = if negate { Operation::Sub(a, b) } else { Operation::Add(a, b) };
    if let Some(result) = F::native(env, operation) {
        return result;
    }
    let (a, b) = (F::operand(env, a), F::operand(env, b));
    sum_values::<F>(env, a, b, negate)
}

/// `a + b`, or `a - b` if `negate`, of operands in any formats.
#[must_use]
pub fn sum_values<F: Format>(env: &mut Env, a: Unpacked, mut b: Unpacked, negate: bool) -> F::Bits {
    if let Some(nan) = propagate::<F>(env, &a, &b) {
        return nan;
    }
    b.sign ^= negate;
    if a.kind == Kind::Infinity && b.kind == Kind::Infinity && a.sign != b.sign {
        return invalid::<F>(env);
    }
    note_denormals(env, &[&a, &b]);
    match (a.kind, b.kind) {
        (Kind::Infinity, _) => F::infinity(a.sign),
        (_, Kind::Infinity) => F::infinity(b.sign),
        (Kind::Zero, Kind::Zero) => F::zero(if a.sign == b.sign { a.sign } else { zero_sign(env) }),
        (Kind::Zero, _) => round::<F>(env, b.sign, b.exp, u128::from(b.sig) << 64),
        (_, Kind::Zero) => round::<F>(env, a.sign, a.exp, u128::from(a.sig) << 64),
        _ => sum_of_numbers::<F>(env, &a, &b),
    }
}

/// Sign of a difference of equals (SDM vol. 1, 4.8.3.1).
pub(super) fn zero_sign(env: &Env) -> bool {
    env.rounding == Rounding::Down
}

fn sum_of_numbers<F: Format>(env: &mut Env, a: &Unpacked, b: &Unpacked) -> F::Bits {
    let parts = |value: &Unpacked| (value.sign, value.exp, u128::from(value.sig) << 64);
    add_aligned::<F>(env, parts(a), parts(b))
}

/// The sum of two numbers other than zero, each a sign, an exponent and a significand with bit 127 set, whose lowest bit is not.
pub(super) fn add_aligned<F: Format>(env: &mut Env, a: (bool, i32, u128), b: (bool, i32, u128)) -> F::Bits {
    let larger_first = (a.1, a.2) >= (b.1, b.2);
    let ((sign, exp, large), (other_sign, other_exp, small)) = if larger_first { (a, b) } else { (b, a) };
    // One bit is left free above for the carry; what alignment moves out stays visible below.
    let top = large >> 1;
    let low = shift_right_sticky(small >> 1, (exp - other_exp) as u32);
    let total = if sign == other_sign { top + low } else { top - low };
    if total == 0 {
        return F::zero(zero_sign(env));
    }
    let shift = total.leading_zeros();
    round::<F>(env, sign, exp + 1 - shift as i32, total << shift)
}
