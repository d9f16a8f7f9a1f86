//! NaNs that come in, and the NaN that comes out of an invalid operation. SDM vol. 1, table 4-7.

use super::{Env, Format, Kind, NanChoice, Unpacked, flag};

/// The result if an operand is a NaN: one that is, made quiet; or if one is no number at all.
pub(super) fn propagate<F: Format>(env: &mut Env, a: &Unpacked, b: &Unpacked) -> Option<F::Bits> {
    if a.kind == Kind::Unsupported || b.kind == Kind::Unsupported {
        return Some(invalid::<F>(env));
    }
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    if a.kind == Kind::SignalingNan || b.kind == Kind::SignalingNan {
        env.raise(flag::INVALID);
    }
    let second = match env.nans {
        _ if !a.is_nan() => true,
        NanChoice::First => false,
        NanChoice::Larger => b.is_nan() && weight(b) > weight(a),
    };
    let nan = if second { b } else { a };
    Some(F::quiet_nan(nan.sign, nan.sig))
}

/// What makes one NaN preferred to another.
fn weight(nan: &Unpacked) -> (bool, u64, bool) {
    (nan.kind == Kind::QuietNan, nan.sig, !nan.sign)
}

/// The result of an invalid operation.
pub(super) fn invalid<F: Format>(env: &mut Env) -> F::Bits {
    env.raise(flag::INVALID);
    F::indefinite()
}

/// Reports denormal operands.
pub(super) fn note_denormals(env: &mut Env, operands: &[&Unpacked]) {
    if operands.iter().any(|operand| operand.kind == Kind::Denormal) {
        env.raise(flag::DENORMAL);
    }
}
