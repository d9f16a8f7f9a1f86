//! Quotients.

use super::nan::{invalid, note_denormals, propagate};
use super::round::round;
use super::{Env, Format, Kind, Operation, Unpacked, flag};

/// `a / b`.
#[must_use]
pub fn div<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    if let Some(result) = F::native(env, Operation::Div(a, b)) {
        return result;
    }
    let (a, b) = (F::operand(env, a), F::operand(env, b));
    div_values::<F>(env, a, b)
}

/// `a / b` of operands in any formats.
#[must_use]
pub fn div_values<F: Format>(env: &mut Env, a: Unpacked, b: Unpacked) -> F::Bits {
    if let Some(nan) = propagate::<F>(env, &a, &b) {
        return nan;
    }
    let sign = a.sign ^ b.sign;
    match (a.kind, b.kind) {
        (Kind::Infinity, Kind::Infinity) | (Kind::Zero, Kind::Zero) => return invalid::<F>(env),
        (Kind::Normal | Kind::Denormal, Kind::Zero) => {
            env.raise(flag::ZERO_DIVIDE);
            return F::infinity(sign);
        }
        _ => note_denormals(env, &[&a, &b]),
    }
    match (a.kind, b.kind) {
        (Kind::Infinity, _) => F::infinity(sign),
        (Kind::Zero, _) | (_, Kind::Infinity) => F::zero(sign),
        _ => quotient::<F>(env, sign, &a, &b),
    }
}

fn quotient<F: Format>(env: &mut Env, sign: bool, a: &Unpacked, b: &Unpacked) -> F::Bits {
    let divisor = u128::from(b.sig);
    let dividend = u128::from(a.sig) << 64;
    // 64 or 65 bits, and two more from the remainder: enough to round 64.
    let (whole, rest) = (dividend / divisor, dividend % divisor);
    let (more, rest) = ((rest << 2) / divisor, (rest << 2) % divisor);
    let quotient = whole << 2 | more;
    let shift = quotient.leading_zeros();
    // Bit 66 stands for the difference of the exponents.
    let exp = a.exp - b.exp + 61 - shift as i32;
    round::<F>(env, sign, exp, quotient << shift | u128::from(rest != 0))
}
