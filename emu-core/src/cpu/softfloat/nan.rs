//! NaNs that come in, and the NaN that comes out of an invalid operation. SDM vol. 1, table 4-7, the column of SSE.

use super::{Env, Format, Kind, Unpacked, flag};

/// The result if an operand is a NaN: the first one that is, made quiet.
pub(super) fn propagate<F: Format>(env: &mut Env, a: &Unpacked, b: &Unpacked) -> Option<F::Bits> {
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    if a.kind == Kind::SignalingNan || b.kind == Kind::SignalingNan {
        env.raise(flag::INVALID);
    }
    let nan = if a.is_nan() { a } else { b };
    Some(F::quiet_nan(nan.sign, nan.sig))
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
