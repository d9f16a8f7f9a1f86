//! Square roots.

use super::nan::{invalid, note_denormals, propagate};
use super::round::round;
use super::{Env, Format, Kind, Operation, Unpacked};

/// The square root of `a`.
#[must_use]
pub fn sqrt<F: Format>(env: &mut Env, a: F::Bits) -> F::Bits {
    if let Some(result) = F::native(env, Operation::Root(a)) {
        return result;
    }
    let a = F::operand(env, a);
    if let Some(nan) = propagate::<F>(env, &a, &a) {
        return nan;
    }
    match a.kind {
        Kind::Zero => F::zero(a.sign),
        _ if a.sign => invalid::<F>(env),
        Kind::Infinity => F::infinity(false),
        _ => {
            note_denormals(env, &[&a]);
            root::<F>(env, &a)
        }
    }
}

fn root<F: Format>(env: &mut Env, a: &Unpacked) -> F::Bits {
    // An odd exponent gives one power of two to the significand, so that half the exponent is whole.
    let odd = a.exp & 1 != 0;
    let radicand = u128::from(a.sig) << if odd { 64 } else { 63 };
    let mut root = radicand.isqrt();
    let mut rest = radicand - root * root;
    // 64 bits so far; two more by hand are enough to round 64.
    for _ in 0..2 {
        rest <<= 2;
        let trial = root << 2 | 1;
        root <<= 1;
        if rest >= trial {
            rest -= trial;
            root |= 1;
        }
    }
    round::<F>(env, false, a.exp.div_euclid(2), root << 62 | u128::from(rest != 0))
}
