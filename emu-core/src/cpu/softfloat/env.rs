//! What an operation is told (rounding, masks, how denormals count) and what it reports (exception flags).

/// Exception flags, at their places in MXCSR and in the x87 status word (SDM vol. 1, figure 10-3).
pub mod flag {
    /// Invalid operation.
    pub const INVALID: u8 = 1 << 0;
    /// A denormal operand.
    pub const DENORMAL: u8 = 1 << 1;
    /// Division of something finite by zero.
    pub const ZERO_DIVIDE: u8 = 1 << 2;
    /// Too large.
    pub const OVERFLOW: u8 = 1 << 3;
    /// Too small.
    pub const UNDERFLOW: u8 = 1 << 4;
    /// Rounded.
    pub const INEXACT: u8 = 1 << 5;
    /// Those found by looking at the operands, before anything is computed.
    pub const BEFORE: u8 = INVALID | DENORMAL | ZERO_DIVIDE;
    /// All.
    pub const ALL: u8 = 0x3f;
}

/// Rounding control (SDM vol. 1, table 4-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
    /// Towards zero.
    Zero,
}

impl Rounding {
    /// From the two bits of rounding control.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// Control and status of a run of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// How results are rounded.
    pub rounding: Rounding,
    /// Denormal operands count as zeros.
    pub denormals_are_zeros: bool,
    /// Tiny results become zeros. Never set while underflow is unmasked.
    pub flush_to_zero: bool,
    /// Exceptions that are not masked.
    pub unmasked: u8,
    /// Exceptions so far.
    pub flags: u8,
    /// Bits that results of extended precision are rounded to: 64, 53 or 24 (SDM vol. 1, table 8-2).
    pub precision: u32,
    /// Which of two NaNs an operation answers with.
    pub nans: NanChoice,
    /// The result was rounded away from zero: C1 of the x87 unit.
    pub rounded_up: bool,
    /// An inexact result changes nothing: it is masked, and was reported before.
    pub inexact_reported: bool,
}

/// Which of two NaN operands an operation answers with (SDM vol. 1, table 4-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanChoice {
    /// SSE: the first.
    First,
    /// x87: a quiet one rather than a signaling one, then the one with the larger significand, then the positive one.
    Larger,
}

impl Env {
    /// As MXCSR says, with no exceptions so far.
    #[must_use]
    pub const fn from_mxcsr(mxcsr: u32) -> Self {
        let unmasked = !(mxcsr >> 7) as u8 & flag::ALL;
        Self {
            rounding: Rounding::from_bits(mxcsr >> 13),
            denormals_are_zeros: mxcsr & 1 << 6 != 0,
            flush_to_zero: mxcsr & 1 << 15 != 0 && unmasked & flag::UNDERFLOW == 0,
            unmasked,
            flags: 0,
            precision: 64,
            nans: NanChoice::First,
            rounded_up: false,
            inexact_reported: mxcsr & flag::INEXACT as u32 != 0 && unmasked & flag::INEXACT == 0,
        }
    }

    /// As the x87 control word says (SDM vol. 1, 8.1.5), with no exceptions so far.
    #[must_use]
    pub const fn from_control_word(control: u16) -> Self {
        Self {
            rounding: Rounding::from_bits(control as u32 >> 10),
            denormals_are_zeros: false,
            flush_to_zero: false,
            unmasked: !control as u8 & flag::ALL,
            flags: 0,
            precision: match control >> 8 & 3 {
                0 => 24,
                2 => 53,
                _ => 64,
            },
            nans: NanChoice::Larger,
            rounded_up: false,
            inexact_reported: false,
        }
    }

    /// The same with results of full precision: precision control is for basic arithmetic only.
    #[must_use]
    pub const fn exact(self) -> Self {
        Self { precision: 64, ..self }
    }

    /// Whether the operands alone raise an unmasked exception: nothing is computed.
    #[must_use]
    pub const fn stops_before(&self) -> bool {
        self.flags & self.unmasked & flag::BEFORE != 0
    }

    /// The flags to report. An unmasked exception that the operands alone give rise to stops the instruction before
    /// anything is computed, so what computing would have found stays unreported (SDM vol. 1, 11.5.1).
    #[must_use]
    pub const fn reported(&self) -> u8 {
        if self.stops_before() { self.flags & flag::BEFORE } else { self.flags }
    }

    /// Whether a reported exception is unmasked: there is no result.
    #[must_use]
    pub const fn stops(&self) -> bool {
        self.reported() & self.unmasked != 0
    }

    pub(super) fn raise(&mut self, flags: u8) {
        self.flags |= flags;
    }

    pub(super) const fn is_unmasked(&self, flag: u8) -> bool {
        self.unmasked & flag != 0
    }
}
