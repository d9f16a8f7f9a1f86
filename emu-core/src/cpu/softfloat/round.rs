//! Rounding: from a significand of any length to a format, with overflow and underflow. SDM vol. 1, 4.8.4, 4.9.1.4-6.

use super::{Env, Format, Rounding, flag};

/// Shifts right; what falls out stays visible in the lowest bit.
#[inline]
pub(super) const fn shift_right_sticky(value: u128, shift: u32) -> u128 {
    if shift == 0 {
        value
    } else if shift > 127 {
        (value != 0) as u128
    } else {
        value >> shift | (value << (128 - shift) != 0) as u128
    }
}

/// Whether to add one to the last place: `rest` is what is cut off, left-aligned.
#[inline]
pub(super) const fn rounds_up(rounding: Rounding, sign: bool, odd: bool, rest: u128) -> bool {
    const HALF: u128 = 1 << 127;
    match rounding {
        Rounding::Nearest => rest > HALF || rest == HALF && odd,
        Rounding::Down => sign && rest != 0,
        Rounding::Up => !sign && rest != 0,
        Rounding::Zero => false,
    }
}

/// A significand cut to a format's precision: left-aligned, without its integer bit if it was rounded up to the next
/// power of two.
struct Cut {
    sig: u64,
    carry: bool,
    inexact: bool,
    up: bool,
}

#[inline]
fn cut<F: Format>(env: &Env, sign: bool, sig: u128) -> Cut {
    let precision = F::precision(env);
    let kept = (sig >> (128 - precision)) as u64;
    let rest = sig << precision;
    let up = rounds_up(env.rounding, sign, kept & 1 != 0, rest);
    let aligned = kept << (64 - precision);
    let (sig, carry) = aligned.overflowing_add(u64::from(up) << (64 - precision));
    Cut { sig, carry, inexact: rest != 0, up }
}

/// Rounds a number other than zero to the format. Bit 127 of `sig` is set and stands for `exp`; its lowest bit may be
/// sticky.
#[inline]
pub(super) fn round<F: Format>(env: &mut Env, sign: bool, exp: i32, sig: u128) -> F::Bits {
    let rounded = cut::<F>(env, sign, sig);
    env.rounded_up = rounded.up;
    let inexact = if rounded.inexact { flag::INEXACT } else { 0 };
    // Tininess is detected after rounding, as if the exponent had no bounds.
    let exp_after = exp + i32::from(rounded.carry);
    if exp_after < F::EXP_MIN {
        return tiny::<F>(env, sign, exp, sig, &rounded);
    }
    if exp_after > F::EXP_MAX {
        return too_large::<F>(env, sign, exp_after, &rounded);
    }
    // A number just below the normal range may become normal only because rounding with fewer bits, as a denormal would
    // be, carries too: both then give the smallest normal number.
    env.raise(inexact);
    F::pack(sign, (exp_after + F::EXP_MAX) as u32, rounded.sig | 1 << 63)
}

/// A result whose exponent is moved back into range, for a handler that knows by how much; or `beyond`, which is no
/// longer exact, if that is not enough. Formats without such results get `beyond` for what nobody will see.
fn wrapped<F: Format>(env: &mut Env, sign: bool, exp: i32, sig: u64, beyond: F::Bits) -> F::Bits {
    if F::WRAP.is_none() {
        beyond
    } else if (F::EXP_MIN..=F::EXP_MAX).contains(&exp) {
        F::pack(sign, (exp + F::EXP_MAX) as u32, sig | 1 << 63)
    } else {
        env.raise(flag::INEXACT);
        env.rounded_up = exp > F::EXP_MAX;
        beyond
    }
}

fn too_large<F: Format>(env: &mut Env, sign: bool, exp: i32, rounded: &Cut) -> F::Bits {
    if env.is_unmasked(flag::OVERFLOW) {
        env.raise(flag::OVERFLOW | if rounded.inexact { flag::INEXACT } else { 0 });
        let moved = exp - F::WRAP.unwrap_or(0);
        return wrapped::<F>(env, sign, moved, rounded.sig, F::infinity(sign));
    }
    env.raise(flag::OVERFLOW | flag::INEXACT);
    let away = match env.rounding {
        Rounding::Nearest => true,
        Rounding::Down => sign,
        Rounding::Up => !sign,
        Rounding::Zero => false,
    };
    env.rounded_up = away;
    if away { F::infinity(sign) } else { F::largest(env, sign) }
}

fn tiny<F: Format>(env: &mut Env, sign: bool, exp: i32, sig: u128, unbounded: &Cut) -> F::Bits {
    if env.is_unmasked(flag::UNDERFLOW) {
        env.raise(flag::UNDERFLOW | if unbounded.inexact { flag::INEXACT } else { 0 });
        let moved = exp + i32::from(unbounded.carry) + F::WRAP.unwrap_or(0);
        return wrapped::<F>(env, sign, moved, unbounded.sig, F::zero(sign));
    }
    if env.flush_to_zero {
        env.raise(flag::UNDERFLOW | flag::INEXACT);
        return F::zero(sign);
    }
    let denormal = shift_right_sticky(sig, (F::EXP_MIN - exp) as u32);
    let rounded = cut::<F>(env, sign, denormal);
    env.rounded_up = rounded.up;
    if rounded.inexact {
        env.raise(flag::UNDERFLOW | flag::INEXACT);
    }
    // Rounded up to the smallest normal number, the significand has its integer bit again.
    F::pack(sign, (rounded.sig >> 63) as u32, rounded.sig)
}
