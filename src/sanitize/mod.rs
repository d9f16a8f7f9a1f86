//! The IOMMU sanitizer: watches how a guest treats its VT-d unit, and reports what real hardware punishes only sometimes.
//!
//! It is an observer. It hears the trace's records, is told of writes to table memory and of each translation, and holds what the
//! unit answered against the tables as they are in memory. Nothing of it is machine state, nothing it does can be
//! noticed by the guest, and a run has the same records and the same state hash with it as without.
//! `docs/sanitizer.md` says what each finding means and where its knowledge ends.

mod asks;
mod entry;
mod fault;
mod finding;
mod pending;
mod tables;
#[cfg(test)]
mod tests;
mod told;

pub use fault::{Explained, Refusal};
pub use finding::{Finding, Findings, Kind, Severity};
pub use told::Sanitized;

use asks::Asks;
use emu_core::mem::PhysMem;
use emu_core::trace::{Granularity, IommuCache, RecordId, TraceEvent, TraceRecord};
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE, Slot, VirtDuration, VirtTime};
use emu_iommu::spec::{irte, register, scalable, table};
use emu_iommu::{Truth, Vtd};
use entry::{IRT, Place};
use fault::cache_name;
use pending::{Meanwhile, Pending, Waiting};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tables::{Change, Tables};

/// Where in a run something happened, in the words of the position grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The next record then.
    pub record: RecordId,
    /// Virtual time.
    pub time: VirtTime,
    /// Instructions retired.
    pub insns: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "insns={} record={} ({})", self.insns, self.record.0, self.time)
    }
}

/// Who writes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The processor, by the instruction at that address.
    Cpu {
        /// RIP.
        rip: u64,
    },
    /// A device's DMA.
    Device(Bdf),
    /// The unit: accessed and dirty bits, status of wait descriptors; or a register of it.
    Unit,
}

/// Who wrote something and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Moment,
    /// The record on whose behalf.
    pub cause: Option<RecordId>,
}

/// A translation that a device got, or did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) bdf: Bdf,
    pub(crate) iova: Iova,
    pub(crate) write: bool,
    /// Where the unit said that the byte lies.
    pub(crate) answer: Option<Gpa>,
    pub(crate) at: Moment,
}

/// Records kept to tell what led to a finding.
const RECENT: usize = 1 << 16;
/// Causes told of one finding.
const CHAIN_MAX: usize = 12;
/// Faults that are explained in full.
const FAULTS_MAX: usize = 64;
/// A change that has waited so long at the end of a run was forgotten, not put off: twice what Linux waits.
const FORGOTTEN: VirtDuration = VirtDuration(20_000_000_000);

/// The observer.
#[derive(Debug, Default)]
pub struct Sanitizer {
    /// The number of the unit that it watches.
    unit: u8,
    tables: Tables,
    waiting: Waiting,
    asks: Asks,
    findings: Findings,
    faults: Vec<Explained>,
    recent: BTreeMap<RecordId, TraceRecord>,
    /// The tables that the registers named when they were looked at last.
    root: u64,
    interrupt_table: u64,
    /// Contexts taken away, their devices to be looked at.
    detached: Vec<Pending>,
    /// What the walk in progress is for, and whose DMA it was that a descriptor came by.
    walk: Option<(u16, Iova)>,
    reader: Option<Bdf>,
    /// Devices that use large pages or none at all.
    large: BTreeSet<(Bdf, u64, u8)>,
    passing: BTreeSet<Bdf>,
}

impl Sanitizer {
    /// Begins to watch a unit and the memory that its tables are in. `foreknown` are the [`Self::table_pages`] of an earlier run of the
    /// same scenario: with them it is known who wrote entries before anything led to them.
    pub(crate) fn new(unit: u8, vtd: &Vtd, mem: &mut PhysMem, foreknown: BTreeSet<u64>) -> Self {
        let mut sanitizer = Self { unit, tables: Tables::foreknowing(mem, foreknown), ..Self::default() };
        sanitizer.learn_root(vtd, mem);
        sanitizer.learn_interrupt_table(vtd, mem);
        sanitizer.tables.hold_all();
        sanitizer
    }

    fn learn_root(&mut self, vtd: &Vtd, mem: &mut PhysMem) -> Place {
        self.root = vtd.state().root;
        let legacy = self.root & scalable::TTM == scalable::TTM_LEGACY;
        let place = Place::top(if legacy { entry::ROOT } else { entry::SCALABLE_ROOT });
        if self.root != 0 {
            self.tables.learn(mem, Gpa(self.root & table::ADDRESS), place, None);
        }
        place
    }

    fn learn_interrupt_table(&mut self, vtd: &Vtd, mem: &mut PhysMem) {
        self.interrupt_table = vtd.state().interrupt_table;
        let base = Gpa(self.interrupt_table & table::ADDRESS);
        let bytes = (2u64 << (self.interrupt_table & register::IRTA_S)) * irte::IRTE_LEN;
        if self.interrupt_table == 0 {
            return;
        }
        for offset in (0..bytes).step_by(PAGE_SIZE as usize) {
            let place = Place { iova: Iova(offset / irte::IRTE_LEN), ..Place::top(IRT) };
            self.tables.learn(mem, base.plus(offset), place, None);
        }
    }

    /// Memory has writes to tell of, all of them by one.
    pub(crate) fn wrote(&mut self, mem: &mut PhysMem, by: Writer) {
        for write in mem.take_watched_writes() {
            if let Some(pending) = self.waiting.of_page(write.gpa.page_base())
                && by.actor != Actor::Unit
                && !matches!(by.actor, Actor::Device(_))
            {
                let what = format!("{} was written to", write.gpa);
                note(&mut pending.rewritten, what, || chain(&self.recent, by.cause));
            }
            for change in self.tables.written(mem, write.gpa, write.len, by) {
                self.changed(mem, change, by);
            }
        }
    }

    fn changed(&mut self, mem: &mut PhysMem, change: Change, by: Writer) {
        let Change { at, place, old, new, held } = change;
        self.tables.follow(mem, &change);
        if place.cache() == IommuCache::Iotlb {
            self.asks.forget(place.iova);
        }
        if held {
            if let Some(page) = self.waiting.changed(&change, by) {
                mem.watch(page, true);
            }
            return;
        }
        let is_context = matches!(place.level, entry::CONTEXT | entry::SCALABLE_CONTEXT);
        if entry::is_present(place.level, &old) && !entry::is_present(place.level, &new) {
            self.tables.forget_below(mem, at);
            if is_context {
                let mut waiting = Waiting::default();
                waiting.changed(&change, by);
                self.detached.extend(waiting.take_all());
            }
        }
    }

    /// What has been traced since the last call, in order.
    pub(crate) fn hear(&mut self, records: Vec<TraceRecord>, vtd: &Vtd, mem: &mut PhysMem) {
        for record in records {
            self.recent.insert(record.id, record);
            if self.recent.len() > RECENT {
                self.recent.pop_first();
            }
            self.hear_one(&record, vtd, mem);
        }
    }

    fn hear_one(&mut self, record: &TraceRecord, vtd: &Vtd, mem: &mut PhysMem) {
        let at = Moment { record: record.id, time: record.time, insns: record.insns };
        if matches!(record.source, Slot::Iommu(other) if other != self.unit) {
            return;
        }
        match record.event {
            TraceEvent::MmioWrite { .. } if record.source == Slot::Iommu(self.unit) => {
                self.registers(vtd, mem, at);
            }
            TraceEvent::IotlbMiss { domain, iova, .. } => self.walk = Some((domain, iova)),
            TraceEvent::ContextLookup { .. } => self.walk = None,
            TraceEvent::WalkStep { bdf, level, entry_gpa, entry } => {
                self.walked(vtd, mem, at, bdf, level, entry_gpa, entry[0]);
            }
            TraceEvent::Invalidate { cache, what, .. } => self.invalidated(mem, cache, what, at),
            TraceEvent::IrteLookup { bdf, index, hit, entry } => {
                self.interrupted(vtd, mem, at, bdf, index, hit.then_some(entry), entry);
            }
            TraceEvent::RemapFault { bdf, address, reason, write, recorded }
                if self.faults.len() < FAULTS_MAX =>
            {
                let refusal = Refusal { bdf, address, reason, write, recorded };
                self.faults.push(Explained::new(vtd, mem, &self.tables, refusal, at));
            }
            TraceEvent::DmaRead { bdf, .. } => self.reader = Some(bdf),
            TraceEvent::DescFetch { ring, iova, raw, .. } => {
                if let Some(bdf) = self.reader {
                    self.asks.fetched(bdf, ring, iova, raw);
                }
            }
            _ => {}
        }
    }

    /// A register was written: other tables may be in use.
    fn registers(&mut self, vtd: &Vtd, mem: &mut PhysMem, at: Moment) {
        let by = Writer { actor: Actor::Unit, at, cause: Some(at.record) };
        let (root, interrupts) = (self.root, self.interrupt_table);
        if vtd.state().root != root {
            let place = self.learn_root(vtd, mem);
            self.waiting.taken_over(place, Gpa(root), Gpa(self.root), by);
        }
        if vtd.state().interrupt_table != interrupts {
            self.learn_interrupt_table(vtd, mem);
            let place = Place::top(IRT);
            self.waiting.taken_over(place, Gpa(interrupts), Gpa(self.interrupt_table), by);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "they are a record's fields")]
    fn walked(&mut self, vtd: &Vtd, mem: &mut PhysMem, at: Moment, bdf: Bdf, level: u8, gpa: Gpa, low: u64) {
        let mut gpa = gpa;
        if level == entry::SCALABLE_ROOT && u64::from(bdf.devfn()) >= scalable::CONTEXTS {
            gpa = gpa.plus(8);
        }
        let missed = self.waiting.at(gpa).filter(|pending| {
            !pending.reported && !pending.is_removal() && pending.needs.has(pending.place.cache())
        });
        if let Some(pending) = missed {
            pending.reported = true;
            let pending = pending.clone();
            let what = format!(
                "{} was read anew for {bdf}, but {} still may have the one before: {:#x}, now {:#x}",
                gpa,
                pending.needs.names(),
                pending.old[0],
                pending.new[0]
            );
            let finding =
                self.finding(Kind::MissingInvalidation, Severity::Error, Some(bdf), what, &pending, at);
            self.findings.add(finding);
        }
        let present = entry::is_present(level, &[low, 0, 0, 0, 0, 0, 0, 0]);
        if present || vtd.config().caching_mode {
            let (domain, iova) = self.walk.map_or((None, Iova(0)), |(domain, iova)| (Some(domain), iova));
            let mut place = Place { source: Some(bdf), domain, ..Place::top(level) };
            if place.cache() == IommuCache::Iotlb {
                let low = (place.shift() + 9).min(63);
                place.iova = Iova(iova.0 >> low << low);
            }
            self.tables.walked(mem, gpa, level, place);
        }
    }

    fn invalidated(&mut self, mem: &mut PhysMem, cache: IommuCache, what: Granularity, at: Moment) {
        // Whether an entry leads to a table does not matter to what is let go: too little is kept rather than too much.
        self.tables.release(|place| place.cache() == cache && place.is_named(cache, what, true));
        for pending in self.waiting.invalidated(cache, what) {
            self.unwatch(mem, &pending);
            if pending.is_removal() {
                self.tables.forget_below(mem, pending.at);
            }
            let span = at.time.since(pending.writer.at.time);
            self.tell_of_window(&pending, Severity::Window, span, at);
            if pending.is_removal() && matches!(pending.place.level, entry::CONTEXT | entry::SCALABLE_CONTEXT)
            {
                self.detached.push(pending);
            }
        }
    }

    fn unwatch(&self, mem: &mut PhysMem, pending: &Pending) {
        if let Some(page) = pending.old_page()
            && !self.waiting.watches(page)
            && self.tables.level_of(page).is_none()
        {
            mem.watch(page, false);
        }
    }

    /// What happened between a change and its invalidation.
    fn tell_of_window(&mut self, pending: &Pending, severity: Severity, span: VirtDuration, at: Moment) {
        let over =
            if severity == Severity::Window { "was not invalidated yet" } else { "was never invalidated" };
        if pending.is_removal()
            && !pending.reported
            && let Some(used) = &pending.used
        {
            let kind = stale_kind(pending.place.cache());
            let what = format!("{}: the mapping was gone and {over}", used.what);
            let mut finding = self.finding(kind, severity, pending.place.source, what, pending, at);
            finding.chain.clone_from(&used.chain);
            (finding.count, finding.longest) = (used.count, Some(span));
            self.findings.add(finding);
        }
        if let Some(rewritten) = pending.rewritten.as_ref().filter(|_| !pending.reported) {
            let what = format!(
                "{}, which {} can still reach at {}: its mapping was gone and {over}",
                rewritten.what,
                pending.place.source.map_or_else(|| "a device".to_owned(), |bdf| bdf.to_string()),
                pending.place.iova,
            );
            let mut finding =
                self.finding(Kind::ReusedPage, severity, pending.place.source, what, pending, at);
            finding.chain.clone_from(&rewritten.chain);
            (finding.count, finding.longest) = (rewritten.count, Some(span));
            self.findings.add(finding);
        }
    }

    /// An interrupt entry answered; `cached` if a cache gave it.
    #[allow(clippy::too_many_arguments, reason = "they are a record's fields")]
    fn interrupted(
        &mut self,
        vtd: &Vtd,
        mem: &mut PhysMem,
        at: Moment,
        bdf: Bdf,
        index: u32,
        cached: Option<[u64; 2]>,
        answered: [u64; 2],
    ) {
        let gpa = Gpa(vtd.state().interrupt_table & table::ADDRESS).plus(u64::from(index) * irte::IRTE_LEN);
        self.check_taken_over(IRT, bdf, at);
        if entry::is_open(answered) {
            let what = format!("interrupt entry {index} lets every device send it; {bdf} did");
            let finding = Finding {
                entry: Some(gpa),
                writer: self.tables.writer(gpa),
                chain: self.chain(Some(at.record)),
                ..plain(Kind::UnverifiedInterrupt, Severity::Error, Some(bdf), what, at)
            };
            self.findings.add(finding);
        }
        let there = [mem.read_u64(gpa), mem.read_u64(gpa.plus(8))];
        let [Ok(low), Ok(high)] = there else { return };
        let of = |[low, high]: [u64; 2]| entry::essence(IRT, &[low, high, 0, 0, 0, 0, 0, 0]);
        match cached {
            Some(entry) if of(entry) != of([low, high]) => {
                let what = format!("interrupt entry {index} was served as it was before it changed");
                self.stale(IommuCache::InterruptEntry, gpa, bdf, what, at, true);
            }
            Some(_) => {}
            None => self.walked(vtd, mem, at, bdf, IRT, gpa, answered[0]),
        }
    }

    /// A cache has answered otherwise than its table does. A removal that waits for its invalidation is told of when that comes, or
    /// does not.
    fn stale(&mut self, cache: IommuCache, near: Gpa, bdf: Bdf, what: String, at: Moment, served: bool) {
        let kind = stale_kind(cache);
        let chain = self.chain(self.last_lookup(at));
        let Some(pending) = self.waiting.at(near) else {
            let finding = Finding {
                entry: Some(near),
                writer: self.tables.writer(near),
                chain,
                ..plain(kind, Severity::Error, Some(bdf), what, at)
            };
            return self.findings.add(finding);
        };
        if pending.is_removal() && served {
            return note(&mut pending.used, what, || chain);
        }
        pending.reported = true;
        let pending = pending.clone();
        let mut finding = self.finding(kind, Severity::Error, Some(bdf), what, &pending, at);
        finding.chain = chain;
        self.findings.add(finding);
    }

    /// A device has used a translation, or was refused one.
    pub(crate) fn dma(&mut self, vtd: &Vtd, mem: &PhysMem, used: Use) {
        let Use { bdf, iova, write, answer, at } = used;
        let Some(truth) = vtd.truth(mem, bdf, iova, write) else { return };
        let level = if self.root & scalable::TTM == 0 { entry::ROOT } else { entry::SCALABLE_ROOT };
        self.check_taken_over(level, bdf, at);
        self.check_answer(&truth, used);
        if let (Some(gpa), true) = (answer, write) {
            self.check_target(vtd, gpa, used);
        }
        self.check_width(&truth, used);
    }

    fn check_answer(&mut self, truth: &Truth, used: Use) {
        let Use { bdf, iova, write, answer, at } = used;
        let there = truth.page.ok().map(|page| page.gpa);
        let routed =
            [IommuCache::Context, IommuCache::Pasid].into_iter().find(|cache| truth.stale.contains(cache));
        if there == answer && routed.is_none() {
            return;
        }
        let cache = routed.unwrap_or(IommuCache::Iotlb);
        let near = self.changed_entry(cache, truth, used).unwrap_or(Gpa(0));
        let how = if write { "a write" } else { "a read" };
        let said = |place: Option<Gpa>| place.map_or_else(|| "nothing".to_owned(), |gpa| gpa.to_string());
        let by = truth.stale.first().copied().unwrap_or(cache);
        let what = format!(
            "{how} of {iova} went to {} by the {}, and the tables say {}",
            said(answer),
            cache_name(by),
            said(there)
        );
        self.stale(cache, near, bdf, what, at, answer.is_some());
    }

    /// The entry whose change a cache has missed.
    fn changed_entry(&mut self, cache: IommuCache, truth: &Truth, used: Use) -> Option<Gpa> {
        let on_the_way = truth.steps.iter().rev().map(|step| step.gpa);
        let waits =
            on_the_way.clone().find(|gpa| self.waiting.at(*gpa).is_some_and(|p| p.place.cache() == cache));
        let elsewhere = || {
            let of_source = |pending: &Pending| {
                pending.place.cache() == cache
                    && if cache == IommuCache::Iotlb {
                        pending.covers(used.iova)
                    } else {
                        pending.place.source == Some(used.bdf)
                    }
            };
            self.waiting.find(of_source).map(|pending| pending.at)
        };
        waits.or_else(elsewhere).or_else(|| on_the_way.clone().next())
    }

    /// A table was taken over and the caches of the one before may still answer.
    fn check_taken_over(&mut self, level: u8, bdf: Bdf, at: Moment) {
        let found = self.waiting.find(|p| p.is_register() && p.place.level == level && !p.reported);
        let Some(pending) = found else { return };
        pending.reported = true;
        let pending = pending.clone();
        let what = format!(
            "the table at {} is in use since {}, and the {} was not invalidated as a whole",
            pending.at,
            pending.writer.at,
            pending.needs.names()
        );
        let mut finding =
            self.finding(Kind::MissingInvalidation, Severity::Error, Some(bdf), what, &pending, at);
        (finding.entry, finding.writer) = (None, None);
        self.findings.add(finding);
    }

    /// A DMA must not land in the unit's own structures.
    fn check_target(&mut self, vtd: &Vtd, gpa: Gpa, used: Use) {
        let queue = vtd.state().queue;
        let of_queue = gpa.0.wrapping_sub(queue & table::ADDRESS) < PAGE_SIZE << (queue & register::IQA_QS);
        let what = match self.tables.level_of(gpa) {
            Some(IRT) => "the interrupt remap table",
            Some(_) => "a table of the unit's own",
            None if of_queue && queue != 0 => "the invalidation queue",
            None => return,
        };
        let what = format!("a write of {} landed at {gpa}, in {what}", used.iova);
        let finding = Finding {
            chain: self.chain(self.last_lookup(used.at)),
            ..plain(Kind::ReusedPage, Severity::Error, Some(used.bdf), what, used.at)
        };
        self.findings.add(finding);
    }

    /// A mapping should allow what was asked for, and no more.
    fn check_width(&mut self, truth: &Truth, used: Use) {
        let Use { bdf, iova, at, .. } = used;
        let Ok(page) = truth.page else { return };
        if page.passes {
            if self.passing.insert(bdf) {
                let what = format!("addresses of {bdf} pass through: it can reach all memory");
                self.findings.add(plain(Kind::WideMapping, Severity::Note, Some(bdf), what, at));
            }
            return;
        }
        if page.shift > 12 {
            self.large.insert((bdf, iova.0 >> page.shift << page.shift, page.shift));
        }
        let Some(asked) = self.asks.of(bdf, iova) else { return };
        let extra = match () {
            () if page.write && !asked.write => "may be written, and the device was asked only to read it",
            () if page.read && !asked.read => "may be read, and the device was asked only to write it",
            () => return,
        };
        let leaf = truth.steps.last().map(|step| step.gpa);
        let what = format!("the page at {} {extra}", Iova(iova.0 & !(PAGE_SIZE - 1)));
        let finding = Finding {
            entry: leaf,
            writer: leaf.and_then(|leaf| self.tables.writer(leaf)),
            chain: self.chain(self.last_lookup(at)),
            ..plain(Kind::WideMapping, Severity::Note, Some(bdf), what, at)
        };
        self.findings.add(finding);
    }

    /// A chip was called: devices whose contexts are gone should not master the bus any more.
    pub(crate) fn look_at_devices(&mut self, at: Moment, masters: impl Fn(Bdf) -> bool) {
        for pending in std::mem::take(&mut self.detached) {
            let Some(bdf) = pending.place.source.filter(|bdf| masters(*bdf)) else { continue };
            let what = format!("the context of {bdf} was taken away, and Command.BusMaster is still set");
            let finding =
                self.finding(Kind::BusMasterAfterDetach, Severity::Error, Some(bdf), what, &pending, at);
            self.findings.add(finding);
        }
    }

    /// The run is over: what still waits is told of.
    pub(crate) fn finish(&mut self, vtd: &Vtd, mem: &PhysMem, at: Moment) {
        for pending in self.waiting.take_all() {
            let span = at.time.since(pending.writer.at.time);
            if pending.is_removal() {
                let severity = if span > FORGOTTEN { Severity::Error } else { Severity::Window };
                self.tell_of_window(&pending, severity, span, at);
            } else if !pending.reported && !pending.is_register() {
                let what = format!(
                    "the entry changed from {:#x} to {:#x}, and the {} was never invalidated",
                    pending.old[0],
                    pending.new[0],
                    pending.needs.names()
                );
                let source = pending.place.source;
                let finding =
                    self.finding(Kind::MissingInvalidation, Severity::Error, source, what, &pending, at);
                self.findings.add(finding);
            }
        }
        for (bdf, iova, shift) in std::mem::take(&mut self.large) {
            let pages = self.asks.pages_in(bdf, Iova(iova), 1 << shift);
            let all = (1u64 << shift) / PAGE_SIZE;
            if pages < all {
                let what = format!(
                    "{} maps {all} pages at once, of which the device was asked to use {pages}",
                    Iova(iova)
                );
                self.findings.add(plain(Kind::WideMapping, Severity::Note, Some(bdf), what, at));
            }
        }
        self.check_reach(vtd, mem, at);
    }

    /// No device should be able to write the tables.
    fn check_reach(&mut self, vtd: &Vtd, mem: &PhysMem, at: Moment) {
        const RANGES: usize = 1 << 16;
        // Without translation everything is within reach: there is nothing that a table could forbid.
        if vtd.state().status & register::TE == 0 {
            return;
        }
        let devices: BTreeSet<Bdf> = vtd.context_entries().map(|cached| cached.entry.source).collect();
        for bdf in devices.into_iter().filter(|bdf| !self.passing.contains(bdf)) {
            let ranges = vtd.mapped_ranges(mem, bdf, RANGES);
            let hit = ranges.iter().filter(|range| range.write).find_map(|range| {
                let table = self.tables.page_in(range.gpa, range.len)?;
                Some((range.iova.plus(table.0 - range.gpa.0), table))
            });
            if let Some((iova, table)) = hit {
                let what = format!("{bdf} can write a table of the unit's own: {table}, at {iova}");
                self.findings.add(plain(Kind::ReusedPage, Severity::Error, Some(bdf), what, at));
            }
        }
    }

    /// The number of the unit that it watches.
    pub(crate) const fn unit(&self) -> u8 {
        self.unit
    }

    /// All pages that were tables at any time of the run.
    #[must_use]
    pub fn table_pages(&self) -> BTreeSet<u64> {
        self.tables.ever()
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Faults so far, at most the first few dozen.
    #[must_use]
    pub fn faults(&self) -> &[Explained] {
        &self.faults
    }

    fn finding(
        &self,
        kind: Kind,
        severity: Severity,
        device: Option<Bdf>,
        what: String,
        pending: &Pending,
        at: Moment,
    ) -> Finding {
        Finding {
            entry: Some(pending.at),
            writer: Some(pending.writer),
            chain: self.chain(self.last_lookup(at)),
            ..plain(kind, severity, device, what, at)
        }
    }

    /// The last lookup that is known: what a use showed itself in.
    fn last_lookup(&self, at: Moment) -> Option<RecordId> {
        const NEAR: usize = 64;
        let is_lookup = |record: &&TraceRecord| {
            matches!(
                record.event,
                TraceEvent::IotlbHit { .. }
                    | TraceEvent::IotlbMiss { .. }
                    | TraceEvent::ContextLookup { .. }
                    | TraceEvent::IrteLookup { .. }
                    | TraceEvent::Invalidate { .. }
            )
        };
        let before = self.recent.range(..=at.record).rev().map(|(_, record)| record);
        before.take(NEAR).find(is_lookup).map(|record| record.id)
    }

    /// A record and those that led to it.
    fn chain(&self, from: Option<RecordId>) -> Vec<TraceRecord> {
        chain(&self.recent, from)
    }
}

/// A record and those that led to it, as far as they are remembered.
fn chain(recent: &BTreeMap<RecordId, TraceRecord>, from: Option<RecordId>) -> Vec<TraceRecord> {
    let mut chain = Vec::new();
    let mut next = from;
    while let Some(record) = next.and_then(|id| recent.get(&id)).filter(|_| chain.len() < CHAIN_MAX) {
        chain.push(*record);
        next = record.cause.filter(|cause| *cause < record.id);
    }
    chain
}

/// Counts something that happened while a change waited.
fn note(meanwhile: &mut Option<Meanwhile>, what: String, chain: impl FnOnce() -> Vec<TraceRecord>) {
    match meanwhile {
        Some(known) => known.count += 1,
        None => *meanwhile = Some(Meanwhile { count: 1, what, chain: chain() }),
    }
}

const fn stale_kind(cache: IommuCache) -> Kind {
    match cache {
        IommuCache::Context => Kind::StaleContext,
        IommuCache::Pasid => Kind::StalePasid,
        IommuCache::InterruptEntry => Kind::StaleInterrupt,
        IommuCache::Iotlb | IommuCache::PagingStructure => Kind::StaleIotlb,
    }
}

/// A finding without an entry.
fn plain(kind: Kind, severity: Severity, device: Option<Bdf>, what: String, at: Moment) -> Finding {
    let (entry, writer, longest, chain) = (None, None, None, Vec::new());
    Finding { kind, severity, device, what, entry, writer, at, count: 1, longest, chain }
}
