//! What of the unit is saved, and its values after reset.

use crate::cache::Cache;
use crate::config::IommuConfig;
use crate::interrupt::InterruptEntry;
use crate::paging::PagingCaches;
use crate::protect::ProtectedRegions;
use crate::queue::QueueWork;
use crate::spec::register::*;
use crate::spec::scalable::TTM;
use crate::translate::{ContextEntry, IotlbEntry, PasidCacheEntry, context_key, iotlb_key, pasid_key};
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};

/// What the unit has counted since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// Translations that the IOTLB had.
    pub iotlb_hits: u64,
    /// Translations that it had not.
    pub iotlb_misses: u64,
    /// Translations that made room for others.
    pub iotlb_evictions: u64,
    /// Entries of root, context and paging tables read from memory.
    pub walk_reads: u64,
    /// Context entries that the context cache had.
    pub context_hits: u64,
    /// Context entries that it had not.
    pub context_misses: u64,
    /// PASID entries that the PASID cache had.
    pub pasid_hits: u64,
    /// PASID entries that it had not.
    pub pasid_misses: u64,
    /// PASID entries that made room for others.
    pub pasid_evictions: u64,
    /// Context entries that made room for others.
    pub context_evictions: u64,
    /// Walks that a paging-structure cache shortened.
    pub paging_hits: u64,
    /// Walks that none could shorten, of a unit that has such caches.
    pub paging_misses: u64,
    /// Paging-structure entries that made room for others.
    pub paging_evictions: u64,
    /// Invalidations carried out, of any cache.
    pub invalidations: u64,
    /// Requests for protected memory regions.
    pub protected: u64,
    /// Requests refused, recorded or not.
    pub faults: u64,
    /// Interrupt entries that the cache had.
    pub interrupt_hits: u64,
    /// Interrupt entries that it had not.
    pub interrupt_misses: u64,
    /// Interrupt entries that made room for others.
    pub interrupt_evictions: u64,
    /// Interrupts posted to a descriptor.
    pub posted: u64,
}

/// One of the two events that the unit itself sends as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRegisters {
    /// IM and IP.
    pub control: u32,
    /// Message data.
    pub data: u32,
    /// Message address.
    pub address: u32,
    /// Upper address: destination bits 31:8.
    pub upper: u32,
}

impl MessageRegisters {
    const RESET: Self = Self { control: IM, data: 0, address: 0, upper: 0 };

    fn is_valid(&self) -> bool {
        self.control & !(IM | IP) == 0 && self.address & 3 == 0
    }
}

/// The unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VtdState {
    /// GSTS.
    pub status: u32,
    /// RTADDR as written.
    pub rtaddr: u64,
    /// The root table in use: RTADDR when SRTP was last given.
    pub root: u64,
    /// IRTA as written.
    pub irta: u64,
    /// The interrupt table in use: IRTA when SIRTP was last given.
    pub interrupt_table: u64,
    /// CCMD.
    pub ccmd: u64,
    /// IVA.
    pub iva: u64,
    /// IOTLB.
    pub iotlb_command: u64,
    /// FSTS: the sticky bits PFO, IQE, ICE, ITE. The others follow from the records.
    pub fault_status: u32,
    /// The fault event's FECTL, FEDATA, FEADDR, FEUADDR.
    pub fault_event: MessageRegisters,
    /// Fault recording registers, low and high half.
    pub fault_records: Vec<[u64; 2]>,
    /// Where the next fault is recorded.
    pub fault_next: u16,
    /// IQH.
    pub queue_head: u64,
    /// IQT.
    pub queue_tail: u64,
    /// IQA.
    pub queue: u64,
    /// IQERCD.
    pub queue_error: u64,
    /// What the queue is at.
    pub queue_work: QueueWork,
    /// When the command in CCMD is done, while ICC is set.
    pub ccmd_due: VirtTime,
    /// When the command in IOTLB is done, while IVT is set.
    pub iotlb_due: VirtTime,
    /// ICS.
    pub completion_status: u32,
    /// The invalidation completion event's IECTL, IEDATA, IEADDR, IEUADDR.
    pub completion_event: MessageRegisters,
    /// PMEN and the registers of the protected memory regions.
    pub protected: ProtectedRegions,
    /// Context cache.
    pub contexts: Cache<ContextEntry>,
    /// PASID cache.
    pub pasids: Cache<PasidCacheEntry>,
    /// IOTLB.
    pub iotlb: Cache<IotlbEntry>,
    /// Paging-structure caches.
    pub paging: PagingCaches,
    /// Interrupt-entry cache.
    pub interrupts: Cache<InterruptEntry>,
    /// Counters.
    pub stats: Stats,
}

/// A state that no run of the unit could have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VT-d: {0} in the saved state")]
pub struct RestoreError(pub &'static str);

impl VtdState {
    /// After reset.
    pub(crate) fn reset(config: &IommuConfig) -> Self {
        Self {
            status: 0,
            rtaddr: 0,
            root: 0,
            irta: 0,
            interrupt_table: 0,
            ccmd: 0,
            iva: 0,
            iotlb_command: 0,
            fault_status: 0,
            fault_event: MessageRegisters::RESET,
            fault_records: vec![[0; 2]; usize::from(config.fault_records)],
            fault_next: 0,
            queue_head: 0,
            queue_tail: 0,
            queue: 0,
            queue_error: 0,
            queue_work: QueueWork::default(),
            ccmd_due: VirtTime::ZERO,
            iotlb_due: VirtTime::ZERO,
            completion_status: 0,
            completion_event: MessageRegisters::RESET,
            protected: ProtectedRegions::default(),
            contexts: Cache::new(config.context_geometry()),
            pasids: Cache::new(config.pasid_geometry()),
            iotlb: Cache::new(config.iotlb_geometry()),
            paging: PagingCaches::new(config),
            interrupts: Cache::new(config.interrupt_geometry()),
            stats: Stats::default(),
        }
    }

    /// Refuses what the unit could not have come to.
    pub(crate) fn validate(&self, config: &IommuConfig) -> Result<(), RestoreError> {
        let unless = |ok: bool, what| if ok { Ok(()) } else { Err(RestoreError(what)) };
        let statuses = TE | SRTP | QIE | IRE | SIRTP | CFI;
        unless(self.status & !statuses == 0, "reserved status bits")?;
        let mode = if config.scalable.is_some() { TTM } else { 0 };
        unless((self.rtaddr | self.root) & 0xfff & !mode == 0, "a misaligned root table")?;
        let table_bits = 0xfff & !(IRTA_EIME | IRTA_S);
        unless((self.irta | self.interrupt_table) & table_bits == 0, "reserved interrupt table bits")?;
        unless(self.fault_status & !(PFO | IQE | ICE | ITE) == 0, "reserved fault status bits")?;
        unless(self.fault_event.is_valid() && self.completion_event.is_valid(), "reserved event bits")?;
        unless(self.fault_records.len() == usize::from(config.fault_records), "other fault records")?;
        unless(self.fault_next < config.fault_records, "a fault record that does not exist")?;
        unless((self.queue_head | self.queue_tail) & !QUEUE_POINTER == 0, "a misaligned queue pointer")?;
        unless(self.completion_status & !IWC == 0, "reserved completion status bits")?;
        self.protected.validate(config)?;
        let contexts = |set, entry: &ContextEntry| {
            entry.is_valid(config) && set == self.contexts.set_of(context_key(entry.source))
        };
        unless(self.contexts.is_valid(config.context_geometry(), contexts), "another context cache")?;
        let pasids = |set, entry: &PasidCacheEntry| {
            entry.is_valid(config) && set == self.pasids.set_of(pasid_key(entry.source, entry.pasid))
        };
        unless(self.pasids.is_valid(config.pasid_geometry(), pasids), "another PASID cache")?;
        let iotlb = |set, entry: &IotlbEntry| {
            entry.is_valid()
                && set
                    == self.iotlb.set_of(iotlb_key(entry.domain, entry.space, entry.iova, entry.page_shift))
        };
        unless(self.iotlb.is_valid(config.iotlb_geometry(), iotlb), "another IOTLB")?;
        unless(self.paging.is_valid(config), "other paging-structure caches")?;
        unless(self.interrupts.is_valid(config.interrupt_geometry(), |_, _| true), "another interrupt cache")
    }
}

/// Counts one more; a counter that was restored at its end stays there.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
