//! The arithmetic flags, kept as what they were computed from and materialised when somebody looks.
//!
//! Three words represent every combination of CF, PF, AF, ZF, SF and OF without remembering which operation made them:
//! a result, a vector of the carries out of each bit, and a correction for flags loaded as such. The other bits of
//! RFLAGS are plain. Bit positions: Intel SDM vol. 1, figure 3-8.

use crate::access::Width;
use serde::{Deserialize, Serialize};

/// Bits of RFLAGS.
pub mod bit {
    /// Carry.
    pub const CF: u64 = 1 << 0;
    /// Always one.
    pub const ONE: u64 = 1 << 1;
    /// Even parity of the low byte.
    pub const PF: u64 = 1 << 2;
    /// Carry out of bit 3.
    pub const AF: u64 = 1 << 4;
    /// Zero.
    pub const ZF: u64 = 1 << 6;
    /// Sign.
    pub const SF: u64 = 1 << 7;
    /// Trap after each instruction.
    pub const TF: u64 = 1 << 8;
    /// Interrupts enabled.
    pub const IF: u64 = 1 << 9;
    /// String operations go down.
    pub const DF: u64 = 1 << 10;
    /// Signed overflow.
    pub const OF: u64 = 1 << 11;
    /// I/O privilege level.
    pub const IOPL: u64 = 3 << 12;
    /// Nested task.
    pub const NT: u64 = 1 << 14;
    /// Resume: no instruction breakpoint on the next instruction.
    pub const RF: u64 = 1 << 16;
    /// Virtual-8086 mode.
    pub const VM: u64 = 1 << 17;
    /// Alignment check, or SMAP override.
    pub const AC: u64 = 1 << 18;
    /// Virtual interrupt flag.
    pub const VIF: u64 = 1 << 19;
    /// Virtual interrupt pending.
    pub const VIP: u64 = 1 << 20;
    /// CPUID can be used if this can be changed.
    pub const ID: u64 = 1 << 21;
    /// The six arithmetic flags.
    pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
    /// Every bit that exists, except [`ONE`].
    pub const ALL: u64 = ARITHMETIC | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;
}

/// The arithmetic flags, unevaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The result, sign-extended from its width.
    result: u64,
    /// Carry out of each bit, left-aligned: bit 63 is CF, bit 62 the carry into the sign bit.
    carries: u64,
    /// Bits 7:0 the operands' exclusive or (for AF), 15:8 a correction of the byte PF looks at, 16 one of SF.
    adjust: u64,
}

/// Sign-extends a value of `width`.
#[must_use]
#[inline(always)]
pub const fn sign_extend(value: u64, width: Width) -> u64 {
    let unused = 64 - width.bits();
    ((value << unused) as i64 >> unused) as u64
}

impl Flags {
    /// Where compiled code finds the result, the carries and the correction.
    pub(super) const WORDS: [usize; 3] = [
        std::mem::offset_of!(Self, result),
        std::mem::offset_of!(Self, carries),
        std::mem::offset_of!(Self, adjust),
    ];

    /// From bits of RFLAGS; others are ignored.
    #[must_use]
    pub const fn from_bits(rflags: u64) -> Self {
        let cf = rflags & 1;
        let of = rflags >> 11 & 1;
        // A result whose low byte is zero has even parity and no sign; the corrections do the rest.
        let result = (rflags & bit::ZF == 0) as u64 * 0x100;
        let parity = (rflags & bit::PF == 0) as u64;
        let adjust = (rflags & bit::AF) | parity << 8 | (rflags >> 7 & 1) << 16;
        Self { result, carries: cf << 63 | (cf ^ of) << 62, adjust }
    }

    /// Carry.
    #[must_use]
    #[inline(always)]
    pub const fn cf(&self) -> bool {
        self.carries >> 63 != 0
    }

    /// Parity.
    #[must_use]
    #[inline(always)]
    pub const fn pf(&self) -> bool {
        ((self.result ^ self.adjust >> 8) as u8).count_ones() & 1 == 0
    }

    /// Auxiliary carry.
    #[must_use]
    #[inline(always)]
    pub const fn af(&self) -> bool {
        (self.result ^ self.adjust) & bit::AF != 0
    }

    /// Zero.
    #[must_use]
    #[inline(always)]
    pub const fn zf(&self) -> bool {
        self.result == 0
    }

    /// Sign.
    #[must_use]
    #[inline(always)]
    pub const fn sf(&self) -> bool {
        (self.result >> 63 ^ self.adjust >> 16) & 1 != 0
    }

    /// Overflow.
    #[must_use]
    #[inline(always)]
    pub const fn of(&self) -> bool {
        (self.carries ^ self.carries << 1) >> 63 != 0
    }

    /// The six bits at their places in RFLAGS.
    #[must_use]
    pub const fn bits(&self) -> u64 {
        self.cf() as u64
            | (self.pf() as u64) << 2
            | (self.af() as u64) << 4
            | (self.zf() as u64) << 6
            | (self.sf() as u64) << 7
            | (self.of() as u64) << 11
    }

    /// After `result = a + b (+ carry)`, all in `width` and zero-extended.
    #[must_use]
    #[inline(always)]
    pub const fn add(width: Width, a: u64, b: u64, result: u64) -> Self {
        let carries = (a & b) | ((a | b) & !result);
        Self {
            result: sign_extend(result, width),
            carries: carries << (64 - width.bits()),
            adjust: (a ^ b) & 0xff,
        }
    }

    /// After `result = a - b (- borrow)`, all in `width` and zero-extended.
    #[must_use]
    #[inline(always)]
    pub const fn sub(width: Width, a: u64, b: u64, result: u64) -> Self {
        let borrows = (!a & b) | ((!a ^ b) & result);
        Self {
            result: sign_extend(result, width),
            carries: borrows << (64 - width.bits()),
            adjust: (a ^ b) & 0xff,
        }
    }

    /// After AND, OR, XOR, TEST: CF and OF clear; AF, undefined on hardware, clear.
    #[must_use]
    #[inline(always)]
    pub const fn logic(width: Width, result: u64) -> Self {
        let result = sign_extend(result, width);
        Self { result, carries: 0, adjust: result & 0xff }
    }

    /// ZF, SF and PF from `result`, AF clear, CF and OF as given: shifts and multiplications.
    #[must_use]
    #[inline(always)]
    pub const fn result_with(width: Width, result: u64, cf: bool, of: bool) -> Self {
        let mut flags = Self::logic(width, result);
        flags.carries = (cf as u64) << 63 | ((cf ^ of) as u64) << 62;
        flags
    }

    /// These flags with another CF.
    #[must_use]
    #[inline(always)]
    pub const fn with_cf(self, cf: bool) -> Self {
        let of = self.of();
        Self { carries: (cf as u64) << 63 | ((cf ^ of) as u64) << 62, ..self }
    }

    /// These flags with other CF and OF: rotates.
    #[must_use]
    #[inline(always)]
    pub const fn with_cf_of(self, cf: bool, of: bool) -> Self {
        Self { carries: (cf as u64) << 63 | ((cf ^ of) as u64) << 62, ..self }
    }
}

/// The sixteen conditions of Jcc, SETcc and CMOVcc, by the low four bits of the opcode (SDM vol. 1, appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Condition(pub u8);

impl Condition {
    /// Whether it holds.
    #[must_use]
    #[inline(always)]
    pub const fn holds(self, flags: &Flags) -> bool {
        let base = match self.0 >> 1 & 7 {
            0 => flags.of(),
            1 => flags.cf(),
            2 => flags.zf(),
            3 => flags.cf() | flags.zf(),
            4 => flags.sf(),
            5 => flags.pf(),
            6 => flags.sf() ^ flags.of(),
            _ => flags.zf() | (flags.sf() ^ flags.of()),
        };
        base ^ (self.0 & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives_a_round_trip() {
        for n in 0..64u64 {
            let bits = (n & 1) | (n & 2) << 1 | (n & 4) << 2 | (n & 8) << 3 | (n & 16) << 3 | (n & 32) << 6;
            assert_eq!(Flags::from_bits(bits).bits(), bits, "{bits:#x}");
            let flipped = Flags::from_bits(bits).with_cf(bits & bit::CF == 0);
            assert_eq!(flipped.bits(), bits ^ bit::CF, "{bits:#x}");
        }
    }

    /// The textbook definitions, for bytes, over all operands.
    #[test]
    fn byte_sums_and_differences_match_the_textbook() {
        for a in 0..=255u64 {
            for b in 0..=255u64 {
                for carry in 0..=1u64 {
                    let sum = (a + b + carry) & 0xff;
                    let textbook = |cf: bool, of: bool, af: bool, r: u64| {
                        u64::from(cf)
                            | u64::from((r as u8).count_ones().is_multiple_of(2)) << 2
                            | u64::from(af) << 4
                            | u64::from(r == 0) << 6
                            | (r >> 7 & 1) << 7
                            | u64::from(of) << 11
                    };
                    let of = (a ^ sum) & (b ^ sum) & 0x80 != 0;
                    let want = textbook(a + b + carry > 0xff, of, (a & 15) + (b & 15) + carry > 15, sum);
                    assert_eq!(Flags::add(Width::B1, a, b, sum).bits(), want, "{a}+{b}+{carry}");
                    let difference = a.wrapping_sub(b + carry) & 0xff;
                    let of = (a ^ b) & (a ^ difference) & 0x80 != 0;
                    let want = textbook(a < b + carry, of, a & 15 < (b & 15) + carry, difference);
                    assert_eq!(Flags::sub(Width::B1, a, b, difference).bits(), want, "{a}-{b}-{carry}");
                }
            }
        }
    }
}
