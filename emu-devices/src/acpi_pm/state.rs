//! What of power management is saved, and its values after reset.

use super::Config;
use super::spec::{
    CONTROL_KEPT, ENABLE_VALID, RESET_CPU, RESET_FULL, RESET_SYSTEM, SCI_ENABLE, STATUS_VALID,
};
use crate::RestoreError;
use serde::{Deserialize, Serialize};

/// Power management.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcpiPmState {
    /// PM1 status.
    pub status: u16,
    /// PM1 enable.
    pub enable: u16,
    /// PM1 control, the bits that are kept.
    pub control: u16,
    /// GPE0 enable.
    pub gpe_enable: u64,
    /// SMI command and the byte beside it.
    pub smi: [u8; 2],
    /// Reset control.
    pub reset: u8,
    /// So many changes of the timer's most significant bit are in the status already.
    pub halves: u64,
    /// The SCI pin.
    pub sci: bool,
}

impl AcpiPmState {
    pub(super) fn reset(config: &Config) -> Self {
        let control = if config.acpi_at_reset { SCI_ENABLE } else { 0 };
        Self { control, ..Self::default() }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "ACPI power management", what);
        unless(self.status & !STATUS_VALID == 0, "reserved status bits")?;
        unless(self.enable & !ENABLE_VALID == 0, "reserved enable bits")?;
        unless(self.control & !CONTROL_KEPT == 0, "reserved control bits")?;
        unless(self.reset & !(RESET_CPU | RESET_SYSTEM | RESET_FULL) == 0, "reserved reset bits")?;
        unless(self.halves < 1 << 60, "a timer out of range")
    }
}
