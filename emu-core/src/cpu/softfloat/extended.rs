//! Double extended precision, the format of the x87 registers: 80 bits with a visible integer bit. SDM vol. 1, 4.2.2, 8.2.

use super::{Env, Format, Kind, Unpacked};
use serde::{Deserialize, Serialize};

/// A value in a register, as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extended {
    /// Bit 15 is the sign, the others the biased exponent.
    pub sign_exponent: u16,
    /// With the integer bit at the top.
    pub significand: u64,
}

impl Extended {
    /// From ten bytes of memory.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, e0, e1] = bytes;
        Self {
            sign_exponent: u16::from_le_bytes([e0, e1]),
            significand: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        }
    }

    /// As ten bytes of memory.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.significand.to_le_bytes();
        let [e0, e1] = self.sign_exponent.to_le_bytes();
        [s0, s1, s2, s3, s4, s5, s6, s7, e0, e1]
    }

    /// Negative.
    #[must_use]
    pub const fn sign(self) -> bool {
        self.sign_exponent >> 15 != 0
    }
}

/// Double extended precision.
#[derive(Clone, Copy, Debug)]
pub struct F80;

impl Format for F80 {
    type Bits = Extended;
    const PRECISION: u32 = 64;
    const EXP_MAX: i32 = 16383;
    const WRAP: Option<i32> = Some(24576);

    fn precision(env: &Env) -> u32 {
        env.precision
    }

    fn negated(bits: Extended) -> Extended {
        Extended { sign_exponent: bits.sign_exponent ^ 0x8000, ..bits }
    }

    #[inline]
    fn unpack(bits: Extended) -> Unpacked {
        let biased = i32::from(bits.sign_exponent & 0x7fff);
        let sig = bits.significand;
        let has_integer_bit = sig >> 63 != 0;
        let (kind, exp, sig) = match (biased, sig) {
            (0, 0) => (Kind::Zero, 0, 0),
            (0, _) => {
                let shift = sig.leading_zeros();
                (Kind::Denormal, Self::EXP_MIN - shift as i32, sig << shift)
            }
            _ if !has_integer_bit => (Kind::Unsupported, 0, sig),
            (0x7fff, _) => {
                let kind = match (sig << 1, sig >> 62 & 1) {
                    (0, _) => Kind::Infinity,
                    (_, 0) => Kind::SignalingNan,
                    _ => Kind::QuietNan,
                };
                (kind, 0, sig)
            }
            _ => (Kind::Normal, biased - Self::EXP_MAX, sig),
        };
        Unpacked { sign: bits.sign(), kind, exp, sig }
    }

    #[inline]
    fn pack(sign: bool, biased: u32, sig: u64) -> Extended {
        Extended { sign_exponent: u16::from(sign) << 15 | biased as u16, significand: sig }
    }
}
