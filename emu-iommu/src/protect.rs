//! Protected memory regions: one below and one above 4 GiB that no DMA may touch, so that software can prepare the tables
//! before it switches remapping on (VT-d specification, 10.4.16 to 10.4.20).
//!
//! What is guarded are addresses that reach memory as they are: all of them while remapping is off, and those of devices
//! that pass through. Of remapped requests the specification lets hardware choose; this unit leaves them to the tables.
//! A blocked request is a master abort, not a remapping fault: nothing is recorded.

use crate::Vtd;
use crate::config::IommuConfig;
use crate::spec::register::*;
use crate::state::{RestoreError, count};
use emu_core::device::{DmaFault, Env};
use emu_core::trace::TraceEvent;
use emu_core::{Bdf, Iova};
use serde::{Deserialize, Serialize};

/// The registers. Base and limit hold the bits that are not decoded as alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectedRegions {
    /// PMEN.EPM; PRS follows it at once.
    pub enabled: bool,
    /// PLMBASE and PLMLIMIT.
    pub low: [u32; 2],
    /// PHMBASE and PHMLIMIT.
    pub high: [u64; 2],
}

impl ProtectedRegions {
    pub(crate) fn validate(&self, config: &IommuConfig) -> Result<(), RestoreError> {
        let mut written = Self::default();
        written.write_enable(config, if self.enabled { EPM } else { 0 });
        for (offset, value) in [(PLMBASE, self.low[0]), (PLMLIMIT, self.low[1])] {
            written.write_low(config, offset, value);
        }
        for (offset, value) in [(PHMBASE, self.high[0]), (PHMLIMIT, self.high[1])] {
            written.write_high(config, offset, value);
        }
        if written == *self { Ok(()) } else { Err(RestoreError("reserved bits of protected memory regions")) }
    }

    pub(crate) const fn status(&self) -> u32 {
        if self.enabled { EPM | PRS } else { 0 }
    }

    pub(crate) const fn write_enable(&mut self, config: &IommuConfig, value: u32) {
        self.enabled = value & EPM != 0 && (config.protected_low || config.protected_high);
    }

    pub(crate) fn write_low(&mut self, config: &IommuConfig, offset: u64, value: u32) {
        if config.protected_low {
            self.low[usize::from(offset == PLMLIMIT)] = value & !(PROTECTED_GRAIN as u32 - 1);
        }
    }

    pub(crate) fn write_high(&mut self, config: &IommuConfig, offset: u64, value: u64) {
        if config.protected_high {
            self.high[usize::from(offset == PHMLIMIT)] =
                value & !(PROTECTED_GRAIN - 1) & !config.beyond_host();
        }
    }

    /// Whether `address` may not be touched. A limit's undecoded bits count as ones; a limit below its base
    /// is no region.
    pub(crate) fn cover(&self, config: &IommuConfig, address: u64) -> bool {
        let region = |base, limit| (base..=limit | (PROTECTED_GRAIN - 1)).contains(&address);
        let low = || config.protected_low && region(self.low[0].into(), self.low[1].into());
        let high = || config.protected_high && region(self.high[0], self.high[1]);
        self.enabled && (low() || high())
    }
}

impl Vtd {
    /// Lets an untranslated request pass, unless it is for a protected region.
    pub(crate) fn guard(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        write: bool,
    ) -> Result<(), DmaFault> {
        if !self.state.protected.cover(&self.config, iova.0) {
            return Ok(());
        }
        count(&mut self.state.stats.protected);
        env.trace(self.slot(), TraceEvent::ProtectedMemory { bdf, iova, write });
        Err(DmaFault::NoMemory)
    }
}
