//! Approximate reciprocals of single precision (SDM vol. 2B, RCPPS and RSQRTPS).
//!
//! The manual bounds the relative error by 1.5 * 2^-12 and leaves the bits to the processor; processors differ. Here
//! the result is the true value rounded to 13 significant bits, halves up, which errs by at most 2^-13. MXCSR has no
//! say and no flag is raised; denormal operands are zeros, tiny results become zeros.

use super::{F32, Format, Kind};

/// Significant bits of the results.
const BITS: u32 = 13;

/// About `1 / a`.
#[must_use]
pub fn reciprocal(a: u64) -> u64 {
    let value = F32::unpack(a);
    match value.kind {
        Kind::QuietNan | Kind::SignalingNan | Kind::Unsupported => F32::quiet_nan(value.sign, value.sig),
        Kind::Zero | Kind::Denormal => F32::infinity(value.sign),
        Kind::Infinity => F32::zero(value.sign),
        // Of 64 to 65 bits.
        Kind::Normal => rounded(value.sign, -value.exp, (1 << 127) / u128::from(value.sig), 64),
    }
}

/// About `1 / sqrt(a)`.
#[must_use]
pub fn reciprocal_sqrt(a: u64) -> u64 {
    let value = F32::unpack(a);
    match value.kind {
        Kind::QuietNan | Kind::SignalingNan | Kind::Unsupported => F32::quiet_nan(value.sign, value.sig),
        Kind::Zero | Kind::Denormal => F32::infinity(value.sign),
        _ if value.sign => F32::indefinite(),
        Kind::Infinity => F32::zero(false),
        Kind::Normal => {
            // 1 / sqrt(m * 2^e) = sqrt(2^s / m) * 2^-((e + s) / 2), where s makes e + s even.
            let odd = (value.exp & 1).unsigned_abs();
            let radicand = ((1 << 127) / u128::from(value.sig)) << (62 + odd);
            rounded(false, -((value.exp + odd as i32) / 2), radicand.isqrt(), 63)
        }
    }
}

/// Rounds `sig`, whose bit `unit` stands for `exp`, to [`BITS`].
fn rounded(sign: bool, exp: i32, sig: u128, unit: u32) -> u64 {
    let top = 127 - sig.leading_zeros();
    let half = (sig >> (top - BITS)) as u64;
    let kept = (half + 1) >> 1;
    let carry = kept >> BITS;
    let exp = exp + top as i32 - unit as i32 + carry as i32;
    if exp < F32::EXP_MIN {
        return F32::zero(sign);
    }
    F32::pack(sign, (exp + F32::EXP_MAX) as u32, kept << (64 - BITS) | 1 << 63)
}
