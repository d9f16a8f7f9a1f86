//! The address map: which device register block answers a guest-physical address.
//!
//! RAM and ROM are [`super::PhysMem`]'s; this is everything else. Regions never overlap; the board lays them anew when
//! a BAR moves.

use crate::addr::Gpa;
use crate::slot::Slot;
use serde::{Deserialize, Serialize};

/// A block of device registers in memory space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First address.
    pub base: Gpa,
    /// Bytes.
    pub len: u64,
    /// Who answers.
    pub slot: Slot,
    /// Which of the chip's own register blocks, by the chip's numbering (a BAR's number, say).
    pub bar: u8,
}

impl Region {
    fn last(&self) -> u64 {
        self.base.0.saturating_add(self.len - 1)
    }
}

/// All regions, sorted by base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressMap {
    regions: Vec<Region>,
}

impl AddressMap {
    /// Adds a region; `Err` is the region that is already there, and nothing changes. Empty regions are ignored.
    pub fn add(&mut self, region: Region) -> Result<(), Region> {
        if region.len == 0 {
            return Ok(());
        }
        if let Some(there) =
            self.regions.iter().find(|r| r.base.0 <= region.last() && region.base.0 <= r.last())
        {
            return Err(*there);
        }
        let at = self.regions.partition_point(|r| r.base < region.base);
        self.regions.insert(at, region);
        Ok(())
    }

    /// Removes every region of `slot`'s register block `bar`.
    pub fn remove(&mut self, slot: Slot, bar: u8) {
        self.regions.retain(|r| r.slot != slot || r.bar != bar);
    }

    /// Who answers at `gpa`, and at what offset.
    #[must_use]
    pub fn find(&self, gpa: Gpa) -> Option<(Region, u64)> {
        let after = self.regions.partition_point(|r| r.base <= gpa);
        let region = self.regions[..after].last()?;
        (gpa.0 <= region.last()).then(|| (*region, gpa.0 - region.base.0))
    }

    /// The regions in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }
}
