//! What of the I/O APIC is saved, and its values after reset (82093AA data sheet, 3.2.4).

use super::spec::{PINS, RTE_MASKED, RTE_REMOTE_IRR, RTE_WRITABLE};
use crate::RestoreError;
use serde::{Deserialize, Serialize};

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoapicState {
    /// IOREGSEL.
    pub select: u8,
    /// Identification, 4 bits.
    pub id: u8,
    /// Boot configuration, bit 0.
    pub boot: u32,
    /// Redirection table.
    pub entries: [u64; PINS],
    /// Which sources are asserted, a bit for each pin.
    pub asserted: u32,
}

impl IoapicState {
    /// After reset: everything masked.
    pub(super) fn reset(id: u8) -> Self {
        Self { select: 0, id: id & 0xf, boot: 1, entries: [RTE_MASKED; PINS], asserted: 0 }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "I/O APIC", what);
        unless(self.id < 16, "an id of more than 4 bits")?;
        unless(self.boot < 2, "reserved boot configuration bits")?;
        unless(self.asserted >> PINS == 0, "more pins than there are")?;
        let reserved = |rte: &u64| rte & !(RTE_WRITABLE | RTE_REMOTE_IRR) != 0;
        unless(!self.entries.iter().any(reserved), "reserved bits in a redirection entry")
    }
}
