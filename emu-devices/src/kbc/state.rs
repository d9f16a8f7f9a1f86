//! What of the keyboard controller is saved, and its values after reset.

use super::spec::MODE_RESET;
use crate::RestoreError;
use serde::{Deserialize, Serialize};

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KbcState {
    /// Its RAM; byte 0 is the command byte.
    pub ram: [u8; 32],
    /// What the data port reads.
    pub output: u8,
    /// And that nobody has read it.
    pub full: bool,
    /// The byte in the output buffer stands for a device that did not answer.
    pub timeout: bool,
    /// The last write was a command.
    pub commanded: bool,
    /// The command whose data byte is to come.
    pub waiting: Option<u8>,
    /// A20 gate.
    pub a20: bool,
    /// Fast reset bit of port 0x92.
    pub fast_reset: bool,
    /// The interrupt pin.
    pub irq: bool,
}

impl KbcState {
    /// As firmware leaves it: self-test passed, A20 open.
    pub(super) fn reset() -> Self {
        let mut ram = [0; 32];
        ram[0] = MODE_RESET;
        Self {
            ram,
            output: 0,
            full: false,
            timeout: false,
            commanded: false,
            waiting: None,
            a20: true,
            fast_reset: false,
            irq: false,
        }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let takes_data = |command: u8| matches!(command, 0x60..0x80 | 0xd1..=0xd4);
        RestoreError::unless(
            self.waiting.is_none_or(takes_data),
            "8042",
            "a command that takes no data waits for it",
        )
    }
}
