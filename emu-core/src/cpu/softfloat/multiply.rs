//! Products.

use super::nan::{invalid, note_denormals, propagate};
use super::round::round;
use super::{Env, Format, Kind, Operation, Unpacked};

/// `a * b`.
#[must_use]
pub fn mul<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    if let Some(result) = F::native(env, Operation::Mul(a, b)) {
        return result;
    }
    let (a, b) = (F::operand(env, a), F::operand(env, b));
    mul_values::<F>(env, a, b)
}

/// `a * b` of operands in any formats.
#[must_use]
pub fn mul_values<F: Format>(env: &mut Env, a: Unpacked, b: Unpacked) -> F::Bits {
    if let Some(nan) = propagate::<F>(env, &a, &b) {
        return nan;
    }
    let sign = a.sign ^ b.sign;
    match (a.kind, b.kind) {
        (Kind::Infinity, Kind::Zero) | (Kind::Zero, Kind::Infinity) => return invalid::<F>(env),
        _ => note_denormals(env, &[&a, &b]),
    }
    match (a.kind, b.kind) {
        (Kind::Infinity, _) | (_, Kind::Infinity) => F::infinity(sign),
        (Kind::Zero, _) | (_, Kind::Zero) => F::zero(sign),
        _ => {
            let product = u128::from(a.sig) * u128::from(b.sig);
            let shift = product.leading_zeros();
            round::<F>(env, sign, a.exp + b.exp + 1 - shift as i32, product << shift)
        }
    }
}
