//! A DMA request on its way: context cache, IOTLB, and the walk when they have nothing (VT-d specification, 3.4, 3.7,
//! 6.2). A translation once cached is used until it is invalidated or makes room, whatever the tables say by then.

use crate::Vtd;
use crate::cache::Cache;
use crate::config::IommuConfig;
use crate::fault::Request;
use crate::paging::PagingEntry;
use crate::spec::fault::{ADDRESS_WIDTH, INTERRUPT_ADDRESS};
use crate::spec::register::TE;
use crate::spec::table::{INTERRUPT_RANGE, TT_PASS_THROUGH};
use crate::state::{Stats, count};
use crate::walk::{self, Context, ContextFault, Leaf, Observer, PagingFault, Step, Table, permission_fault};
use emu_core::device::{DmaFault, Env};
use emu_core::mem::PhysMem;
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE, Slot, VirtDuration};
use serde::{Deserialize, Serialize};

/// A translated address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Where the byte lies.
    pub gpa: Gpa,
    /// Bytes from there on that the same translation is good for.
    pub page_len_left: u64,
    /// What the lookup cost.
    pub latency: VirtDuration,
}

/// An entry of the context cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextEntry {
    /// Whose it is.
    pub source: Bdf,
    /// The entry as it was read; zero where it could not be.
    pub context: Context,
    /// 0 for a good entry. In caching mode faulty ones are kept too: the fault reason.
    pub fault: u8,
}

impl ContextEntry {
    /// The domain that invalidations know it by: faulty entries are in domain 0 (6.2.2).
    #[must_use]
    pub const fn domain(&self) -> u16 {
        if self.fault == 0 { self.context.domain() } else { 0 }
    }

    pub(crate) fn is_valid(&self, config: &IommuConfig) -> bool {
        self.fault != 0 || walk::check_context(config, self.context).is_none()
    }
}

/// An entry of the IOTLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IotlbEntry {
    /// Domain.
    pub domain: u16,
    /// First address of the page.
    pub iova: Iova,
    /// Where it lies.
    pub gpa: Gpa,
    /// 12, 21 or 30.
    pub page_shift: u8,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// 0 for a translation. In caching mode faults are kept too: a reason other than of permission.
    pub fault: u8,
}

impl IotlbEntry {
    pub(crate) const fn is_valid(&self) -> bool {
        matches!(self.page_shift, 12 | 21 | 30) && self.iova.0 & self.low_bits() == 0
    }

    /// Whether it is the entry for the page of `1 << shift` bytes that `iova` is in.
    pub(crate) const fn answers(&self, domain: u16, iova: Iova, shift: u8) -> bool {
        self.page_shift == shift && self.domain == domain && (self.iova.0 ^ iova.0) >> shift == 0
    }

    /// Whether any page of the entry's lies in the `2^shift` bytes around `iova`.
    pub(crate) const fn overlaps(&self, iova: Iova, shift: u32) -> bool {
        let low = if shift > self.page_shift as u32 { shift } else { self.page_shift as u32 };
        (self.iova.0 ^ iova.0) >> low == 0
    }

    const fn low_bits(&self) -> u64 {
        (1 << self.page_shift) - 1
    }

    /// Where `iova`, which is in its page, lies.
    const fn place(&self, iova: Iova) -> Gpa {
        self.gpa.plus(iova.0 & self.low_bits())
    }

    /// Bytes from `iova` on that it is good for: to the end of its page, or to where a large one reaches the
    /// interrupt range.
    fn reach(&self, iova: Iova) -> u64 {
        let to_end = self.low_bits() + 1 - (iova.0 & self.low_bits());
        match INTERRUPT_RANGE.start().checked_sub(self.place(iova).0) {
            Some(to_range) => to_end.min(to_range),
            None => to_end,
        }
    }

    fn refuses(&self, iova: Iova, write: bool) -> Option<u8> {
        match self.fault {
            0 if !(if write { self.write } else { self.read }) => Some(permission_fault(write)),
            0 if INTERRUPT_RANGE.contains(&self.place(iova).0) => Some(INTERRUPT_ADDRESS),
            0 => None,
            fault => Some(fault),
        }
    }
}

/// What of a source id chooses its set: the function's bits alone would put all devices in one.
pub(crate) fn context_key(source: Bdf) -> u64 {
    u64::from(source.0 ^ source.0 >> 3)
}

/// What of a page chooses its set.
pub(crate) fn iotlb_key(domain: u16, iova: Iova, shift: u8) -> u64 {
    iova.0 >> shift ^ u64::from(domain)
}

/// Asks for every page size.
fn look_up(iotlb: &mut Cache<IotlbEntry>, domain: u16, iova: Iova) -> Option<IotlbEntry> {
    [12, 21, 30].into_iter().find_map(|shift| {
        let set = iotlb.set_of(iotlb_key(domain, iova, shift));
        iotlb.find(set, |entry| entry.answers(domain, iova, shift))
    })
}

/// Traces and counts what a walk reads, and keeps the tables that it passes.
struct Watch<'w, 'e> {
    env: &'w mut Env<'e>,
    reads: &'w mut u64,
    bdf: Bdf,
    tables: [Option<Table>; 4],
}

impl Observer for Watch<'_, '_> {
    fn read(&mut self, step: Step) {
        count(self.reads);
        trace_step(self.env, self.bdf, step);
    }

    fn leads_to(&mut self, table: Table) {
        self.tables[usize::from(table.level)] = Some(table);
    }
}

/// A request that was refused: what the fault is made of.
struct Refused {
    reason: u8,
    silent: bool,
    cause: RecordId,
}

impl Vtd {
    /// Translates one access of `bdf`. The answer is good for `page_len_left` bytes.
    pub fn translate(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        bdf: Bdf,
        iova: Iova,
        write: bool,
    ) -> Result<Translated, DmaFault> {
        if self.state.status & TE == 0 {
            self.guard(env, bdf, iova, write)?;
            return Ok(identity(iova, VirtDuration::ZERO));
        }
        if INTERRUPT_RANGE.contains(&iova.0) {
            // A write is an interrupt request, for the board to carry to the remapper. Nothing can be read there.
            if write {
                return Ok(identity(iova, VirtDuration::ZERO));
            }
            self.fault(env, Request::Dma { bdf, iova, write }, INTERRUPT_ADDRESS, false);
            return Err(DmaFault::Remapping(INTERRUPT_ADDRESS));
        }
        let before = self.state.stats;
        let found = self.look_up_context(env, mem, bdf).and_then(|(context, lookup)| {
            let silent = context.fault_processing_disabled();
            let refused = |reason, cause| Refused { reason, silent, cause };
            if walk::too_wide(&self.config, context, iova) {
                return Err(refused(ADDRESS_WIDTH, lookup));
            }
            if context.translation_type() == TT_PASS_THROUGH {
                return Ok(None);
            }
            self.look_up_page(env, mem, bdf, context, iova, write)
                .map(Some)
                .map_err(|(reason, cause)| refused(reason, cause))
        });
        let latency = self.latency_since(&before);
        match found {
            Ok(None) => self.guard(env, bdf, iova, write).map(|()| identity(iova, latency)),
            Ok(Some(entry)) => {
                Ok(Translated { gpa: entry.place(iova), page_len_left: entry.reach(iova), latency })
            }
            Err(Refused { reason, silent, cause }) => {
                let request = Request::Dma { bdf, iova, write };
                env.on_behalf_of(cause, |env| self.fault(env, request, reason, silent));
                Err(DmaFault::Remapping(reason))
            }
        }
    }

    /// What a translation has cost that began when the counters stood so.
    fn latency_since(&self, before: &Stats) -> VirtDuration {
        let stats = &self.state.stats;
        let lookups = |stats: &Stats| stats.paging_hits.wrapping_add(stats.paging_misses);
        let lookups = lookups(stats).wrapping_sub(lookups(before));
        let reads = stats.walk_reads.wrapping_sub(before.walk_reads);
        self.config.timing.translation(lookups, reads)
    }

    /// The context of `bdf` and the record of its lookup.
    fn look_up_context(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        bdf: Bdf,
    ) -> Result<(Context, RecordId), Refused> {
        let set = self.state.contexts.set_of(context_key(bdf));
        if let Some(entry) = self.state.contexts.find(set, |entry| entry.source == bdf) {
            count(&mut self.state.stats.context_hits);
            let domain = entry.domain();
            let id = env.trace(Slot::Iommu, TraceEvent::ContextLookup { bdf, hit: true, domain });
            let silent = entry.context.fault_processing_disabled();
            return match entry.fault {
                0 => Ok((entry.context, id)),
                reason => Err(Refused { reason, silent, cause: id }),
            };
        }
        count(&mut self.state.stats.context_misses);
        let id = env.trace(Slot::Iommu, TraceEvent::ContextLookup { bdf, hit: false, domain: 0 });
        env.on_behalf_of(id, |env| self.fetch_context(env, mem, bdf))
            .map(|context| (context, id))
            .map_err(|ContextFault { reason, silent }| Refused { reason, silent, cause: id })
    }

    fn fetch_context(&mut self, env: &mut Env<'_>, mem: &PhysMem, bdf: Bdf) -> Result<Context, ContextFault> {
        let Self { config, state } = self;
        let mut last = [0; 2];
        let mut see = |step: Step| {
            count(&mut state.stats.walk_reads);
            last = step.entry;
            trace_step(env, bdf, step);
        };
        let found = walk::context(config, Gpa(state.root), mem, bdf, &mut see);
        let entry = match found {
            Ok(context) => ContextEntry { source: bdf, context, fault: 0 },
            Err(fault) if config.caching_mode => {
                // Of the entry only FPD matters, and that only of a context entry.
                let silent = if fault.silent { last } else { [0; 2] };
                ContextEntry { source: bdf, context: Context(silent), fault: fault.reason }
            }
            Err(_) => return found,
        };
        let set = state.contexts.set_of(context_key(bdf));
        let inserted = state.contexts.insert(set, entry, |old| old.source == bdf);
        if let Some(old) = inserted.evicted {
            count(&mut state.stats.context_evictions);
            env.trace(Slot::Iommu, TraceEvent::ContextEvict { bdf: old.source, set, way: inserted.way });
        }
        found
    }

    /// The translation of `iova`, or the reason there is none and the record that showed it.
    fn look_up_page(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        bdf: Bdf,
        context: Context,
        iova: Iova,
        write: bool,
    ) -> Result<IotlbEntry, (u8, RecordId)> {
        let domain = context.domain();
        if let Some(entry) = look_up(&mut self.state.iotlb, domain, iova) {
            count(&mut self.state.stats.iotlb_hits);
            let gpa = entry.place(iova);
            let id = env.trace(Slot::Iommu, TraceEvent::IotlbHit { bdf, domain, iova, gpa });
            return match entry.refuses(iova, write) {
                None => Ok(entry),
                Some(reason) => Err((reason, id)),
            };
        }
        count(&mut self.state.stats.iotlb_misses);
        let id = env.trace(Slot::Iommu, TraceEvent::IotlbMiss { bdf, domain, iova });
        env.on_behalf_of(id, |env| self.fetch_page(env, mem, bdf, context, iova, write))
            .map_err(|reason| (reason, id))
    }

    fn fetch_page(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        bdf: Bdf,
        context: Context,
        iova: Iova,
        write: bool,
    ) -> Result<IotlbEntry, u8> {
        let domain = context.domain();
        let start = self.start_of_walk(env, domain, context.top(), iova);
        let reads = &mut self.state.stats.walk_reads;
        let mut watch = Watch { env, reads, bdf, tables: [None; 4] };
        let found = walk::second_level(&self.config, mem, start, iova, write, &mut watch);
        let tables = watch.tables;
        self.cache_tables(env, domain, iova, tables);
        match found {
            Ok(Leaf { gpa, shift, read, write: writable }) => {
                let page = Iova(iova.0 >> shift << shift);
                let entry = IotlbEntry {
                    domain,
                    iova: page,
                    gpa,
                    page_shift: shift,
                    read,
                    write: writable,
                    fault: 0,
                };
                if let Some(reason) = entry.refuses(iova, write) {
                    return Err(reason);
                }
                self.cache_page(env, entry);
                Ok(entry)
            }
            Err(PagingFault { reason, for_any_access }) => {
                if for_any_access && self.config.caching_mode {
                    // The reason of a page that is not present depends on who asks.
                    let fault = if reason == permission_fault(write) { 0 } else { reason };
                    let (page_shift, gpa) = (12, Gpa(0));
                    let iova = iova.page_base();
                    let entry =
                        IotlbEntry { domain, iova, gpa, page_shift, read: false, write: false, fault };
                    self.cache_page(env, entry);
                }
                Err(reason)
            }
        }
    }

    /// Where a walk for `iova` may begin: at the lowest table that a paging-structure cache knows, else at the `top`.
    fn start_of_walk(&mut self, env: &mut Env<'_>, domain: u16, top: Table, iova: Iova) -> Table {
        if !self.state.paging.exist() {
            return top;
        }
        let Some(entry) = self.state.paging.find(domain, iova, top.level) else {
            count(&mut self.state.stats.paging_misses);
            return top;
        };
        count(&mut self.state.stats.paging_hits);
        let PagingEntry { iova, level, table, .. } = entry;
        env.trace(Slot::Iommu, TraceEvent::PagingHit { domain, iova, level, table });
        entry.leads_to()
    }

    /// Keeps what a walk has passed, from the top down.
    fn cache_tables(&mut self, env: &mut Env<'_>, domain: u16, iova: Iova, tables: [Option<Table>; 4]) {
        for table in tables.into_iter().rev().flatten() {
            let entry = PagingEntry::new(domain, iova, table);
            let Some(inserted) = self.state.paging.insert(entry) else { continue };
            let (level, way) = (entry.level, inserted.way);
            if let Some(PagingEntry { domain, iova, .. }) = inserted.evicted {
                count(&mut self.state.stats.paging_evictions);
                env.trace(Slot::Iommu, TraceEvent::PagingEvict { domain, iova, level, way });
            }
            let PagingEntry { iova, table, .. } = entry;
            env.trace(Slot::Iommu, TraceEvent::PagingInsert { domain, iova, level, table, way });
        }
    }

    fn cache_page(&mut self, env: &mut Env<'_>, entry: IotlbEntry) {
        let IotlbEntry { domain, iova, gpa, page_shift, .. } = entry;
        let iotlb = &mut self.state.iotlb;
        let set = iotlb.set_of(iotlb_key(domain, iova, page_shift));
        let same =
            |old: &IotlbEntry| old.domain == domain && old.iova == iova && old.page_shift == page_shift;
        let inserted = iotlb.insert(set, entry, same);
        let way = inserted.way;
        if let Some(old) = inserted.evicted {
            count(&mut self.state.stats.iotlb_evictions);
            let (domain, iova) = (old.domain, old.iova);
            env.trace(Slot::Iommu, TraceEvent::IotlbEvict { domain, iova, set, way });
        }
        env.trace(Slot::Iommu, TraceEvent::IotlbInsert { domain, iova, gpa, page_shift, set, way });
    }
}

fn identity(iova: Iova, latency: VirtDuration) -> Translated {
    Translated { gpa: Gpa(iova.0), page_len_left: PAGE_SIZE - iova.page_offset(), latency }
}

fn trace_step(env: &mut Env<'_>, bdf: Bdf, step: Step) {
    let Step { level, gpa, entry } = step;
    env.trace(Slot::Iommu, TraceEvent::WalkStep { bdf, level, entry_gpa: gpa, entry });
}
