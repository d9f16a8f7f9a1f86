//! The IOMMU: an Intel VT-d remapping unit, legacy and scalable mode, as one chip with one register page.
//!
//! DMA is translated by root, context and second-level tables through a context cache and an IOTLB; interrupts are
//! remapped by the interrupt remap table through its own cache; faults are recorded and reported by message. Caches
//! are real: a stale entry serves the old mapping until it is invalidated or makes room. The unit does not know what
//! stands before it (devices and their ports) nor behind it (memory's decoder, local APICs).
//!
//! Everything is from the Intel Virtualization Technology for Directed I/O Architecture Specification, revision 3.x.

mod cache;
mod config;
mod fault;
mod interrupt;
mod invalidate;
mod mmio;
mod paging;
mod posted;
mod protect;
mod queue;
pub mod spec;
mod state;
pub mod testing;
#[cfg(test)]
mod tests;
mod translate;
mod view;
mod walk;

pub use cache::{Cache, Cached, Geometry, Policy};
pub use config::{
    CacheConfig, ConfigError, IommuConfig, IotlbConfig, PagingCacheConfig, ScalableConfig, Timing,
};
pub use interrupt::{InterruptEntry, Irte};
pub use paging::{PagingCaches, PagingEntry, paging_cache_name};
pub use protect::ProtectedRegions;
pub use queue::{QueueStage, QueueWork};
pub use spec::fault::{fault_reason_text, is_interrupt_reason};
pub use spec::info::{RegisterInfo, register_info};
pub use spec::register::register_name;
pub use state::{MessageRegisters, RestoreError, Stats, VtdState};
pub use translate::{ContextEntry, DmaRequest, IotlbEntry, PasidCacheEntry, PasidPrefix, Translated};
pub use view::{
    DEBUGFS_FILES, DeviceView, Range, RegisterView, TableEntry, TruePage, Truth, WalkLine, linux_fault_line,
    linux_reason,
};
pub use walk::{Context, PasidEntry, Rights, Space};

use emu_core::Slot;
use emu_core::device::Env;
use emu_core::mem::PhysMem;

/// Event: the queue's stage is over.
const QUEUE_DUE: u32 = 0;
/// Event: the command in CCMD is done.
const CCMD_DUE: u32 = 1;
/// Event: the command in IOTLB is done.
const IOTLB_DUE: u32 = 2;

/// The unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vtd {
    /// Which of the machine's units.
    unit: u8,
    config: IommuConfig,
    state: VtdState,
}

impl Vtd {
    /// After reset.
    pub fn new(config: IommuConfig) -> Result<Self, ConfigError> {
        Self::numbered(0, config)
    }

    /// One of several in a machine: the trace names it by its number.
    pub fn numbered(unit: u8, config: IommuConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let state = VtdState::reset(&config);
        Ok(Self { unit, config, state })
    }

    /// Who the trace says did it.
    const fn slot(&self) -> Slot {
        Slot::Iommu(self.unit)
    }

    /// The machine's reset line: registers and caches start over, the counters go on.
    pub fn reset(&mut self) {
        let stats = self.state.stats;
        self.state = VtdState { stats, ..VtdState::reset(&self.config) };
    }

    /// One of its events is due. Events that were void by then, as after a reset, do nothing.
    pub fn on_event(&mut self, env: &mut Env<'_>, mem: &mut PhysMem, token: u32) {
        match token {
            QUEUE_DUE => self.queue_due(env, mem),
            CCMD_DUE => self.ccmd_due(env),
            IOTLB_DUE => self.iotlb_due(env),
            _ => {}
        }
    }

    /// How it was built.
    #[must_use]
    pub const fn config(&self) -> &IommuConfig {
        &self.config
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &VtdState {
        &self.state
    }

    /// Goes on from a snapshot of a unit of the same configuration.
    pub fn restore(&mut self, state: VtdState) -> Result<(), RestoreError> {
        state.validate(&self.config)?;
        self.state = state;
        Ok(())
    }

    /// What it has counted.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.state.stats
    }

    /// The context cache, set by set.
    pub fn context_entries(&self) -> impl Iterator<Item = Cached<'_, ContextEntry>> {
        self.state.contexts.iter()
    }

    /// The PASID cache, set by set.
    pub fn pasid_entries(&self) -> impl Iterator<Item = Cached<'_, PasidCacheEntry>> {
        self.state.pasids.iter()
    }

    /// The IOTLB, set by set.
    pub fn iotlb_entries(&self) -> impl Iterator<Item = Cached<'_, IotlbEntry>> {
        self.state.iotlb.iter()
    }

    /// The paging-structure caches, the lowest level first: the level whose entries a cache keeps, and what it has.
    pub fn paging_entries(&self) -> impl Iterator<Item = (u8, Cached<'_, PagingEntry>)> {
        self.state.paging.iter()
    }

    /// The interrupt-entry cache.
    pub fn interrupt_entries(&self) -> impl Iterator<Item = Cached<'_, InterruptEntry>> {
        self.state.interrupts.iter()
    }
}
