//! The x87 registers as plain state: FXSAVE and FXRSTOR move them, nothing computes with them yet. SDM vol. 1, 8.1.

use serde::{Deserialize, Serialize};

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
    /// Opcode of the last instruction, 11 bits.
    pub opcode: u16,
    /// Where the last instruction was.
    pub instruction: u64,
    /// Its CS.
    pub instruction_segment: u16,
    /// Where its memory operand was.
    pub operand: u64,
    /// That one's segment.
    pub operand_segment: u16,
    /// Significands of the physical registers R0-R7.
    pub significands: [u64; 8],
    /// Their signs and exponents.
    pub exponents: [u16; 8],
}

impl X87 {
    /// After power-up or RESET (SDM vol. 3A, table 9-1): zeros in all registers.
    pub const RESET: Self = Self {
        control: 0x0040,
        status: 0,
        valid: 0xff,
        opcode: 0,
        instruction: 0,
        instruction_segment: 0,
        operand: 0,
        operand_segment: 0,
        significands: [0; 8],
        exponents: [0; 8],
    };

    /// The physical register that ST(`n`) is.
    #[must_use]
    pub const fn physical(&self, n: usize) -> usize {
        ((self.status >> 11) as usize + n) & 7
    }
}
