//! A product and a sum with one rounding. SDM vol. 1, 14.5.2.

use super::add::{add_aligned, zero_sign};
use super::nan::{invalid, note_denormals};
use super::round::round;
use super::{Env, Format, Kind, Operation, Unpacked, flag};

/// Which signs are turned before the sum is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The product's.
    pub product: bool,
    /// The addend's.
    pub addend: bool,
}

/// Multiplicand times multiplier plus addend. A NaN keeps its sign.
#[must_use]
pub fn fused_multiply_add<F: Format>(env: &mut Env, operands: [F::Bits; 3], signs: Signs) -> F::Bits {
    let [x, y, z] = operands;
    let (x, z) =
        (if signs.product { F::negated(x) } else { x }, if signs.addend { F::negated(z) } else { z });
    if let Some(result) = F::native(env, Operation::Fused(x, y, z)) {
        return result;
    }
    let [a, b, mut c] = operands.map(|bits| F::operand(env, bits));
    if let Some(nan) = propagate::<F>(env, [&a, &b, &c]) {
        return nan;
    }
    c.sign ^= signs.addend;
    let sign = a.sign ^ b.sign ^ signs.product;
    let is = |kind: Kind| a.kind == kind || b.kind == kind;
    let infinite = is(Kind::Infinity);
    if infinite && (is(Kind::Zero) || c.kind == Kind::Infinity && c.sign != sign) {
        return invalid::<F>(env);
    }
    note_denormals(env, &[&a, &b, &c]);
    if infinite {
        return F::infinity(sign);
    }
    let is_zero = is(Kind::Zero);
    match c.kind {
        Kind::Infinity => F::infinity(c.sign),
        Kind::Zero if is_zero => F::zero(if sign == c.sign { sign } else { zero_sign(env) }),
        Kind::Zero => {
            let (exp, sig) = product(&a, &b);
            round::<F>(env, sign, exp, sig)
        }
        _ if is_zero => round::<F>(env, c.sign, c.exp, u128::from(c.sig) << 64),
        _ => {
            let (exp, sig) = product(&a, &b);
            add_aligned::<F>(env, (sign, exp, sig), (c.sign, c.exp, u128::from(c.sig) << 64))
        }
    }
}

/// The exact product of two numbers, normalised.
fn product(a: &Unpacked, b: &Unpacked) -> (i32, u128) {
    let product = u128::from(a.sig) * u128::from(b.sig);
    let shift = product.leading_zeros();
    (a.exp + b.exp + 1 - shift as i32, product << shift)
}

/// The first operand that is a NaN, made quiet. An invalid product beside a quiet addend goes unreported.
fn propagate<F: Format>(env: &mut Env, operands: [&Unpacked; 3]) -> Option<F::Bits> {
    let nan = operands.into_iter().find(|operand| operand.is_nan())?;
    if operands.iter().any(|operand| operand.kind == Kind::SignalingNan) {
        env.raise(flag::INVALID);
    }
    Some(F::quiet_nan(nan.sign, nan.sig))
}
