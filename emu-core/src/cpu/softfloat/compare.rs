//! Comparisons, minimum and maximum.

use super::nan::note_denormals;
use super::{Env, Format, Kind, Unpacked, flag};
use std::cmp::Ordering;

/// How two values relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first is less.
    Less,
    /// Equal; zeros are, whatever their signs.
    Equal,
    /// The first is greater.
    Greater,
    /// One is a NaN.
    Unordered,
}

/// Compares. If `signals`, any NaN is an invalid operand, not only a signaling one.
#[must_use]
pub fn compare<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits, signals: bool) -> Relation {
    if let Some(relation) = F::native_order(a, b) {
        return relation;
    }
    let (a, b) = (F::operand(env, a), F::operand(env, b));
    relate(env, &a, &b, signals)
}

/// Compares operands in any formats.
#[must_use]
pub fn relate(env: &mut Env, a: &Unpacked, b: &Unpacked, signals: bool) -> Relation {
    if a.kind == Kind::Unsupported || b.kind == Kind::Unsupported {
        env.raise(flag::INVALID);
        return Relation::Unordered;
    }
    if a.is_nan() || b.is_nan() {
        if signals || a.kind == Kind::SignalingNan || b.kind == Kind::SignalingNan {
            env.raise(flag::INVALID);
        }
        return Relation::Unordered;
    }
    note_denormals(env, &[a, b]);
    match key(a).cmp(&key(b)) {
        Ordering::Less => Relation::Less,
        Ordering::Equal => Relation::Equal,
        Ordering::Greater => Relation::Greater,
    }
}

/// Orders everything but NaNs: the magnitude, negated if negative.
fn key(value: &Unpacked) -> (i64, i128) {
    let (exp, sig) = match value.kind {
        Kind::Zero => return (0, 0),
        Kind::Infinity => (i64::from(u32::MAX), 0),
        // Positive for every exponent of every format.
        _ => (i64::from(value.exp) + (1 << 20), i128::from(value.sig)),
    };
    if value.sign { (-exp, -sig) } else { (exp, sig) }
}

/// The lesser of two. The second if either is a NaN or both are zeros (SDM vol. 2B, MINPS).
#[must_use]
pub fn min<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    choose::<F>(env, a, b, Relation::Less)
}

/// The greater of two. The second if either is a NaN or both are zeros (SDM vol. 2B, MAXPS).
#[must_use]
pub fn max<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits) -> F::Bits {
    choose::<F>(env, a, b, Relation::Greater)
}

fn choose<F: Format>(env: &mut Env, a: F::Bits, b: F::Bits, first_if: Relation) -> F::Bits {
    let (left, right) = (F::operand(env, a), F::operand(env, b));
    let first = relate(env, &left, &right, true) == first_if;
    let (bits, value) = if first { (a, left) } else { (b, right) };
    // What counted as zero is one in the result too.
    if value.kind == Kind::Zero { F::zero(value.sign) } else { bits }
}
