//! The page of a request whose route is known: IOTLB, paging-structure caches, and the walk of one stage or both (VT-d
//! specification, 3.6 to 3.8, 6.2.4, 6.2.5).

use super::{Access, DmaRequest, IotlbEntry, iotlb_key, trace_step};
use crate::Vtd;
use crate::cache::Cache;
use crate::paging::PagingEntry;
use crate::spec::fault;
use crate::spec::scalable::{FS_A, FS_D};
use crate::spec::table::{PTE_A, PTE_D};
use crate::state::count;
use crate::walk::{
    self, FIRST_STAGE, FirstStage, FirstTables, Leaf, Observer, PagingFault, Route, SecondStage, Space,
    Stages, Step, Table, Used,
};
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, Gpa, Iova, Slot};

/// Asks for every page size.
fn look_up(iotlb: &mut Cache<IotlbEntry>, domain: u16, space: Space, iova: Iova) -> Option<IotlbEntry> {
    [12, 21, 30].into_iter().find_map(|shift| {
        let set = iotlb.set_of(iotlb_key(domain, space, iova, shift));
        iotlb.find(set, |entry| entry.answers(domain, space, iova, shift))
    })
}

/// The tables that a walk has passed, by level.
type Passed = [Option<Table>; 4];

/// Traces and counts what a second stage's walk reads, and keeps what it passes.
struct Watch<'w, 'e> {
    env: &'w mut Env<'e>,
    reads: &'w mut u64,
    unit: Slot,
    bdf: Bdf,
    tables: Passed,
    steps: [Option<Step>; 5],
}

impl Observer for Watch<'_, '_> {
    fn read(&mut self, step: Step) {
        count(self.reads);
        trace_step(self.env, self.unit, self.bdf, step);
        self.steps[usize::from(step.level)] = Some(step);
    }

    fn leads_to(&mut self, table: Table) {
        self.tables[usize::from(table.level)] = Some(table);
    }
}

/// Fetches a first stage's entries, through the second stage if there is one.
struct Fetch<'f, 'e> {
    vtd: &'f mut Vtd,
    env: &'f mut Env<'e>,
    mem: &'f mut PhysMem,
    bdf: Bdf,
    first: FirstStage,
    second: Option<SecondStage>,
    tables: Passed,
}

impl Fetch<'_, '_> {
    /// Where in memory the entry at `at` is, which is to be read, or written.
    fn locate(&mut self, at: Gpa, write: bool) -> Result<Gpa, PagingFault> {
        let Some(second) = self.second else { return Ok(at) };
        let Self { vtd, env, mem, bdf, .. } = self;
        vtd.walk_second(env, mem, *bdf, &second, Iova(at.0), write).map(|leaf| leaf.place(at.0))
    }
}

impl FirstTables for Fetch<'_, '_> {
    fn read(&mut self, level: u8, at: Gpa) -> Result<Used, u8> {
        let top = level == self.first.top().level;
        let gpa = self.locate(at, false).map_err(|fault| match fault.reason {
            fault::SM_READ | fault::SECOND_NOT_PRESENT if top => fault::NESTED_TOP_READ,
            fault::SM_READ | fault::SECOND_NOT_PRESENT => fault::NESTED_READ,
            fault::SM_TOO_WIDE => fault::NESTED_TOO_WIDE,
            other => other,
        })?;
        let unreadable = if top { fault::FIRST_TOP_FETCH } else { fault::FIRST_FETCH };
        let entry = self.mem.read_u64(gpa).map_err(|_| unreadable)?;
        count(&mut self.vtd.state.stats.walk_reads);
        trace_step(
            self.env,
            self.vtd.slot(),
            self.bdf,
            Step { level: FIRST_STAGE + level, gpa, entry: [entry, 0] },
        );
        Ok(Used { at, gpa, entry })
    }

    fn leads_to(&mut self, table: Table) {
        self.tables[usize::from(table.level)] = Some(table);
    }
}

impl Vtd {
    /// The translation of a request, or the reason there is none and the record that showed it.
    pub(super) fn look_up_page(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        request: &DmaRequest,
        route: &Route,
        stages: Stages,
        access: Access,
    ) -> Result<IotlbEntry, (u8, RecordId)> {
        let DmaRequest { bdf, iova, .. } = *request;
        let domain = route.domain;
        let cached = look_up(&mut self.state.iotlb, domain, route.space, iova);
        // A write to a page that is not dirty yet has to find its entry, to make it so.
        let answer = cached.map(|entry| (entry, entry.refuses(route.reasons, iova, access)));
        if let Some((entry, refusal)) = answer
            && (entry.dirty || !access.write || refusal.is_some())
        {
            count(&mut self.state.stats.iotlb_hits);
            let gpa = entry.place(iova);
            let id = env.trace(self.slot(), TraceEvent::IotlbHit { bdf, domain, iova, gpa });
            return refusal.map_or(Ok(entry), |reason| Err((reason, id)));
        }
        count(&mut self.state.stats.iotlb_misses);
        let id = env.trace(self.slot(), TraceEvent::IotlbMiss { bdf, domain, iova });
        env.on_behalf_of(id, |env| self.fetch_page(env, mem, request, route, stages, access))
            .map_err(|reason| (reason, id))
    }

    fn fetch_page(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        request: &DmaRequest,
        route: &Route,
        stages: Stages,
        access: Access,
    ) -> Result<IotlbEntry, u8> {
        let DmaRequest { bdf, iova, .. } = *request;
        let found = match stages {
            Stages::Second(second) => self
                .walk_second(env, mem, bdf, &second, iova, access.write)
                .map(|leaf| IotlbEntry::of_second(route, iova, leaf)),
            Stages::First(first, second) => {
                self.walk_first(env, mem, request, route, access, (first, second))
            }
        };
        match found {
            Ok(entry) => {
                if let Some(reason) = entry.refuses(route.reasons, iova, access) {
                    return Err(reason);
                }
                self.cache_page(env, entry);
                Ok(entry)
            }
            Err(fault) => {
                if fault.for_any_access && self.config.caching_mode {
                    self.cache_page(env, IotlbEntry::of_fault(route, iova, fault.reason, access.write));
                }
                Err(fault.reason)
            }
        }
    }

    /// Walks a second stage, from where a paging-structure cache lets it begin, and keeps its bits.
    fn walk_second(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        bdf: Bdf,
        second: &SecondStage,
        iova: Iova,
        write: bool,
    ) -> Result<Leaf, PagingFault> {
        if iova.0 >> second.bits().min(self.config.address_bits) != 0 {
            return Err(PagingFault { reason: second.reasons.too_wide, for_any_access: false });
        }
        let domain = second.domain;
        let start = self.start_of_walk(env, domain, Space::Second, second.top(), iova);
        let unit = self.slot();
        let reads = &mut self.state.stats.walk_reads;
        let mut watch = Watch { env, reads, unit, bdf, tables: [None; 4], steps: [None; 5] };
        let found = walk::second_stage(&self.config, mem, second, start, iova, write, &mut watch);
        let Watch { mut tables, steps, .. } = watch;
        let found = found.and_then(|leaf| keep_second_bits(mem, second, &steps, leaf, write));
        if second.keeps_bits && found.is_err() {
            drop_unaccessed(&mut tables, |level| steps[level].is_some_and(|step| step.entry[0] & PTE_A != 0));
        }
        self.cache_tables(env, domain, Space::Second, iova, tables);
        found
    }

    /// Walks a first stage, each entry and in the end the page through the second if there is one, and keeps its bits.
    fn walk_first(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        request: &DmaRequest,
        route: &Route,
        access: Access,
        (first, second): (FirstStage, Option<SecondStage>),
    ) -> Result<IotlbEntry, PagingFault> {
        let DmaRequest { bdf, iova, .. } = *request;
        let (domain, space) = (route.domain, route.space);
        let start = self.start_of_walk(env, domain, space, first.top(), iova);
        let mut fetch = Fetch { vtd: self, env, mem, bdf, first, second, tables: [None; 4] };
        let mut used = [None; 5];
        let found = fetch.page(request, route, access, start, &mut used);
        let Fetch { vtd, env, mut tables, .. } = fetch;
        if found.is_err() {
            drop_unaccessed(&mut tables, |level| used[level].is_some_and(|used| used.entry & FS_A != 0));
        }
        vtd.cache_tables(env, domain, space, iova, tables);
        found
    }

    /// Where a walk for `iova` may begin: at the lowest table that a paging-structure cache knows, else at the `top`.
    fn start_of_walk(
        &mut self,
        env: &mut Env<'_>,
        domain: u16,
        space: Space,
        top: Table,
        iova: Iova,
    ) -> Table {
        if !self.state.paging.exist() {
            return top;
        }
        let Some(entry) = self.state.paging.find(domain, space, iova, top.level) else {
            count(&mut self.state.stats.paging_misses);
            return top;
        };
        count(&mut self.state.stats.paging_hits);
        let PagingEntry { iova, level, table, .. } = entry;
        env.trace(self.slot(), TraceEvent::PagingHit { domain, iova, level, table });
        entry.leads_to()
    }

    /// Keeps what a walk has passed, from the top down.
    fn cache_tables(&mut self, env: &mut Env<'_>, domain: u16, space: Space, iova: Iova, tables: Passed) {
        for table in tables.into_iter().rev().flatten() {
            let entry = PagingEntry::new(domain, space, iova, table);
            let Some(inserted) = self.state.paging.insert(entry) else { continue };
            let (level, way) = (entry.level, inserted.way);
            if let Some(PagingEntry { domain, iova, .. }) = inserted.evicted {
                count(&mut self.state.stats.paging_evictions);
                env.trace(self.slot(), TraceEvent::PagingEvict { domain, iova, level, way });
            }
            let PagingEntry { iova, table, .. } = entry;
            env.trace(self.slot(), TraceEvent::PagingInsert { domain, iova, level, table, way });
        }
    }

    fn cache_page(&mut self, env: &mut Env<'_>, entry: IotlbEntry) {
        let IotlbEntry { domain, space, iova, gpa, page_shift, .. } = entry;
        let iotlb = &mut self.state.iotlb;
        let set = iotlb.set_of(iotlb_key(domain, space, iova, page_shift));
        let inserted = iotlb.insert(set, entry, |old| old.answers(domain, space, iova, page_shift));
        let way = inserted.way;
        if let Some(old) = inserted.evicted {
            count(&mut self.state.stats.iotlb_evictions);
            let (domain, iova) = (old.domain, old.iova);
            env.trace(self.slot(), TraceEvent::IotlbEvict { domain, iova, set, way });
        }
        env.trace(self.slot(), TraceEvent::IotlbInsert { domain, iova, gpa, page_shift, set, way });
    }
}

impl Fetch<'_, '_> {
    /// The page that the tables from `start` on lead to, within what the second stage makes of it.
    fn page(
        &mut self,
        request: &DmaRequest,
        route: &Route,
        access: Access,
        start: Table,
        used: &mut [Option<Used>; 5],
    ) -> Result<IotlbEntry, PagingFault> {
        let iova = request.iova;
        let first = self.first;
        let leaf = walk::first_stage(&first, start, iova, used, self)?;
        let refused = |reason| PagingFault { reason, for_any_access: false };
        let mut entry = IotlbEntry::of_first(route, &first, iova, leaf);
        if let Some(reason) = entry.forbids(route.reasons, access) {
            return Err(refused(reason));
        }
        if let Some(second) = &self.second {
            let place = leaf.place(iova.0);
            let outer =
                self.vtd.walk_second(self.env, self.mem, self.bdf, second, Iova(place.0), access.write)?;
            entry = entry.within(iova, outer, outer.place(place.0));
        }
        if let Some(reason) = entry.refuses(route.reasons, iova, access) {
            return Err(refused(reason));
        }
        for (level, entry) in (0..).zip(*used).filter_map(|(level, used)| Some((level, used?))) {
            self.keep_bits(entry, access.write && level == (leaf.shift - 12) / 9)?;
        }
        entry.dirty |= access.write;
        Ok(entry)
    }

    /// Sets the accessed bit of an entry that was used, and the dirty bit of the one that is `written` through.
    fn keep_bits(&mut self, Used { at, gpa, entry }: Used, written: bool) -> Result<(), PagingFault> {
        let due = (FS_A | if written { FS_D } else { 0 }) & !entry;
        if due == 0 {
            return Ok(());
        }
        let refused = |reason| PagingFault { reason, for_any_access: false };
        if !self.first.snooped {
            return Err(refused(fault::FIRST_NOT_SNOOPED));
        }
        if self.second.is_some() {
            self.locate(at, true).map_err(|fault| match fault.reason {
                fault::SM_WRITE => refused(fault::NESTED_WRITE),
                _ => fault,
            })?;
        }
        self.mem.write_u64(gpa, entry | due).map_err(|_| refused(fault::FIRST_UPDATE))
    }
}

/// Sets the accessed bits of the entries that a walk of a second stage has used, and the dirty bit of its leaf if it `write`s.
fn keep_second_bits(
    mem: &mut PhysMem,
    second: &SecondStage,
    steps: &[Option<Step>; 5],
    leaf: Leaf,
    write: bool,
) -> Result<Leaf, PagingFault> {
    if !second.keeps_bits {
        return Ok(leaf);
    }
    let leaf_level = (leaf.shift - 12) / 9;
    for Step { level, gpa, entry } in steps.iter().copied().flatten() {
        let dirty = if write && level == leaf_level { PTE_D } else { 0 };
        let entry = entry[0];
        let due = (PTE_A | dirty) & !entry;
        if due == 0 {
            continue;
        }
        let refused = |reason| PagingFault { reason, for_any_access: false };
        if !second.snooped {
            return Err(refused(fault::SECOND_NOT_SNOOPED));
        }
        mem.write_u64(gpa, entry | due).map_err(|_| refused(second.reasons.fetch))?;
    }
    Ok(Leaf { dirty: leaf.dirty || write, ..leaf })
}

/// After a walk that failed: behind an entry that is not marked as accessed nothing is cached, or a later walk would begin there
/// and never mark it.
fn drop_unaccessed(tables: &mut Passed, accessed: impl Fn(usize) -> bool) {
    let mut all = true;
    for (level, table) in tables.iter_mut().enumerate().rev().filter(|(_, table)| table.is_some()) {
        all &= accessed(level + 1);
        if !all {
            *table = None;
        }
    }
}
