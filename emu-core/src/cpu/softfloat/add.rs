//! Sums and differences.

use super::nan::{invalid, note_denormals, propagate};
use super::round::{round, shift_right_sticky};
use super::{Env, Format, Kind, Rounding, Unpacked};

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
fn zero_sign(env: &Env) -> bool {
    env.rounding == Rounding::Down
}

fn sum_of_numbers<F: Format>(env: &mut Env, a: &Unpacked, b: &Unpacked) -> F::Bits {
    let (large, small) = if (a.exp, a.sig) >= (b.exp, b.sig) { (a, b) } else { (b, a) };
    // One bit is left free above for the carry, 63 below for what alignment moves out.
    let top = u128::from(large.sig) << 63;
    let low = shift_right_sticky(u128::from(small.sig) << 63, (large.exp - small.exp) as u32);
    let total = if a.sign == b.sign { top + low } else { top - low };
    if total == 0 {
        return F::zero(zero_sign(env));
    }
    let shift = total.leading_zeros();
    round::<F>(env, large.sign, large.exp + 1 - shift as i32, total << shift)
}
