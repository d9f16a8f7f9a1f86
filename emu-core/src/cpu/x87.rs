//! The x87 registers: eight of 80 bits that form a stack, control, status, tags, and where the last instruction was. What
//! computes with them is in `exec`. SDM vol. 1, 8.1.
//!
//! Selectors of the last instruction and operand are not kept (CPUID says so: the bit that deprecates FCS and FDS), and its
//! opcode and operand are those of the last instruction with an unmasked exception (CPUID: FDP_EXCPTN_ONLY).

use super::softfloat::{Extended, F80, Format, Kind, flag};
use serde::{Deserialize, Serialize};

/// Bits of the status word (figure 8-4). The lowest six are the exception flags.
pub(crate) mod status {
    /// Stack fault: an invalid operation that C1 tells more of.
    pub(crate) const SF: u16 = 1 << 6;
    /// Error summary: an unmasked exception waits.
    pub(crate) const ES: u16 = 1 << 7;
    /// Condition codes.
    pub(crate) const C0: u16 = 1 << 8;
    /// Rounded up, or the stack overflowed.
    pub(crate) const C1: u16 = 1 << 9;
    /// Unordered, or not finished.
    pub(crate) const C2: u16 = 1 << 10;
    /// Where the top of the stack is, three bits.
    pub(crate) const TOP: u32 = 11;
    /// Equal.
    pub(crate) const C3: u16 = 1 << 14;
    /// Mirrors [`ES`].
    pub(crate) const B: u16 = 1 << 15;
}

/// The control word after FNINIT: extended precision, everything masked.
const CONTROL_INIT: u16 = 0x037f;
/// Bits of the control word that exist; bit 6 is always set.
const CONTROL_BITS: u16 = 0x1f3f;
const CONTROL_ONE: u16 = 1 << 6;

/// The x87 registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct X87 {
    /// Control word.
    pub control: u16,
    /// Status word.
    pub status: u16,
    /// A bit for each physical register that is not empty.
    pub valid: u8,
    /// Opcode of the last instruction with an unmasked exception, 11 bits.
    pub opcode: u16,
    /// Where the last instruction was.
    pub instruction: u64,
    /// Where the memory operand of the last one with an unmasked exception was.
    pub operand: u64,
    /// The physical registers R0-R7.
    pub registers: [Extended; 8],
}

impl X87 {
    /// After power-up or RESET (SDM vol. 3A, table 9-1): zeros in all registers.
    pub const RESET: Self = Self {
        control: CONTROL_ONE,
        status: 0,
        valid: 0xff,
        opcode: 0,
        instruction: 0,
        operand: 0,
        registers: [Extended { sign_exponent: 0, significand: 0 }; 8],
    };

    /// FNINIT. The registers keep what is in them, but are empty.
    pub(crate) fn init(&mut self) {
        *self = Self { control: CONTROL_INIT, valid: 0, registers: self.registers, ..Self::RESET };
    }

    /// Loads the control word; unmasking may make an old exception wait.
    pub(crate) fn set_control(&mut self, control: u16) {
        self.control = control & CONTROL_BITS | CONTROL_ONE;
        self.summarize();
    }

    /// Loads the status word.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status;
        self.summarize();
    }

    fn summarize(&mut self) {
        let waits = self.status & !self.control & u16::from(flag::ALL) != 0;
        self.status &= !(status::ES | status::B);
        if waits {
            self.status |= status::ES | status::B;
        }
    }

    /// Adds exception flags.
    pub(crate) fn raise(&mut self, flags: u16) {
        self.status |= flags;
        self.summarize();
    }

    /// Whether an exception waits.
    pub(crate) const fn waits(&self) -> bool {
        self.status & status::ES != 0
    }

    /// Whether invalid operations are masked.
    pub(crate) const fn masks_invalid(&self) -> bool {
        self.control & flag::INVALID as u16 != 0
    }

    /// Sets or clears condition codes.
    pub(crate) fn set_condition(&mut self, bits: u16, set: bool) {
        self.status = if set { self.status | bits } else { self.status & !bits };
    }

    /// The physical register that is the top of the stack.
    #[must_use]
    pub const fn top(&self) -> usize {
        (self.status >> status::TOP) as usize & 7
    }

    pub(crate) fn set_top(&mut self, top: usize) {
        self.status = self.status & !(7 << status::TOP) | (top as u16 & 7) << status::TOP;
    }

    /// The physical register that ST(`n`) is.
    #[must_use]
    pub const fn physical(&self, n: usize) -> usize {
        (self.top() + n) & 7
    }

    /// What is in ST(`n`); nothing if it is empty.
    pub(crate) const fn get(&self, n: usize) -> Option<Extended> {
        let physical = self.physical(n);
        if self.valid & 1 << physical == 0 { None } else { Some(self.registers[physical]) }
    }

    /// Puts a value into ST(`n`).
    pub(crate) fn set(&mut self, n: usize, value: Extended) {
        let physical = self.physical(n);
        self.registers[physical] = value;
        self.valid |= 1 << physical;
    }

    /// Makes ST(`n`) empty.
    pub(crate) fn free(&mut self, n: usize) {
        self.valid &= !(1 << self.physical(n));
    }

    /// Takes the top off.
    pub(crate) fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top() + 1);
    }

    /// Puts a value on top of the stack, over whatever was there.
    pub(crate) fn push(&mut self, value: Extended) {
        self.set_top(self.top() + 7);
        self.set(0, value);
    }

    /// The tag word as FSTENV stores it: two bits for each physical register (figure 8-7).
    #[must_use]
    pub fn tag_word(&self) -> u16 {
        let tag = |n: usize| match F80::unpack(self.registers[n]).kind {
            _ if self.valid & 1 << n == 0 => 3,
            Kind::Normal => 0,
            Kind::Zero => 1,
            Kind::Denormal | Kind::Infinity | Kind::QuietNan | Kind::SignalingNan | Kind::Unsupported => 2,
        };
        (0..8).fold(0, |word, n| word | tag(n) << (2 * n))
    }

    /// Loads the tag word; only emptiness counts.
    pub fn set_tag_word(&mut self, word: u16) {
        self.valid = (0..8).fold(0, |valid, n| valid | u8::from(word >> (2 * n) & 3 != 3) << n);
    }
}
