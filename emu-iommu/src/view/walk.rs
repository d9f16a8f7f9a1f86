//! One translation, told entry by entry, with what the caches would say in its place.

use super::{Seen, WalkLine, permissions};
use crate::paging::paging_cache_name;
use crate::spec::fault::fault_reason_text;
use crate::spec::register::TE;
use crate::spec::scalable::*;
use crate::spec::table::{ADDRESS, INTERRUPT_RANGE, PRESENT, PTE_R, PTE_W};
use crate::translate::{context_key, iotlb_key, pasid_key};
use crate::walk::{
    Context, FIRST_STAGE, LEVEL_CONTEXT, LEVEL_DIRECTORY, LEVEL_PASID, LEVEL_ROOT, LEVEL_SM_CONTEXT,
    LEVEL_SM_ROOT, PasidEntry, Rights, Route, Space, Stages, Step, Way,
};
use crate::{IotlbEntry, Vtd};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa, Iova};

const PAGE_NAMES: [(u8, &str); 3] = [(12, "4 KiB"), (21, "2 MiB"), (30, "1 GiB")];

fn page_name(shift: u8) -> &'static str {
    PAGE_NAMES.iter().find(|(known, _)| *known == shift).map_or("odd", |(_, name)| name)
}

impl Vtd {
    /// What a request of `bdf` for `iova` would find: the tables as they are in memory now, entry by entry, and where
    /// the caches say something else.
    #[must_use]
    pub fn walk_explain(&self, mem: &PhysMem, bdf: Bdf, iova: Iova) -> Vec<WalkLine> {
        let mut lines = Vec::new();
        let mut say = |text: String| lines.push(WalkLine { text });
        if self.state.status & TE == 0 {
            say("DMA remapping is off: the address is used as it is".to_owned());
            return lines;
        }
        if INTERRUPT_RANGE.contains(&iova.0) {
            say("the interrupt range is never translated".to_owned());
            return lines;
        }
        let mut steps = Vec::new();
        let found = self.peek_route(mem, bdf, &mut |step| steps.push(step));
        for step in &steps {
            say(step_words(*step));
        }
        let Seen { route, context, .. } = match found {
            Ok(seen) => seen,
            Err(reason) => {
                say(fault_words(reason));
                return lines;
            }
        };
        self.explain_cached_context(bdf, context, &mut say);
        self.explain_cached_pasid(bdf, &steps, &route, &mut say);
        match (route.misses(&self.config, iova), route.way) {
            (Some(reason), _) => say(fault_words(reason)),
            (None, Way::PassThrough(_)) => say("pass-through: the address is used as it is".to_owned()),
            (None, Way::Tables(stages)) => self.explain_page(mem, &route, stages, iova, &mut say),
        }
        lines
    }

    fn explain_cached_context(&self, bdf: Bdf, context: Context, say: &mut impl FnMut(String)) {
        let set = self.state.contexts.set_of(context_key(bdf));
        let scalable = self.state.root & TTM != TTM_LEGACY;
        let is_it = |entry: &crate::ContextEntry| entry.source == bdf && entry.scalable == scalable;
        if let Some(entry) = self.state.contexts.peek(set, is_it) {
            let stale = if entry.context == context { "the same" } else { "stale" };
            if scalable {
                say(format!("context cache: {stale}"));
            } else {
                say(format!("context cache: {stale}, domain {}", entry.domain()));
            }
        } else {
            say("context cache: would miss".to_owned());
        }
    }

    fn explain_cached_pasid(&self, bdf: Bdf, steps: &[Step], route: &Route, say: &mut impl FnMut(String)) {
        let Some(step) = steps.iter().find(|step| step.level == LEVEL_PASID) else { return };
        let pasid = route.space.pasid();
        let of_device = |entry: &crate::PasidCacheEntry| entry.source == bdf;
        let cached = match pasid {
            Some(pasid) => {
                let set = self.state.pasids.set_of(pasid_key(bdf, pasid));
                self.state.pasids.peek(set, |entry| of_device(entry) && entry.pasid == pasid)
            }
            None => self.state.pasids.iter().map(|cached| cached.entry).find(|entry| of_device(entry)),
        };
        if let Some(entry) = cached {
            let same = entry.entry.0[..2] == step.entry;
            let stale = if same { "the same" } else { "stale" };
            say(format!("PASID cache: {stale}, domain {}", entry.domain()));
        } else {
            say("PASID cache: would miss".to_owned());
        }
    }

    fn explain_page(
        &self,
        mem: &PhysMem,
        route: &Route,
        stages: Stages,
        iova: Iova,
        say: &mut impl FnMut(String),
    ) {
        let (mut steps, mut found) = self.peek_page(mem, stages, iova, false);
        // A write-only page refuses the read that is tried first.
        if found.is_err() {
            let (more, again) = self.peek_page(mem, stages, iova, true);
            if again.is_ok() {
                (steps, found) = (more, again);
            }
        }
        let nested = matches!(route.space, Space::Nested(_));
        for step in steps {
            say(step_words(step));
            // The second stage's entries within a first stage's walk are for other addresses than this.
            if !nested || step.level >= FIRST_STAGE {
                self.explain_cached_entry(route, iova, step, say);
            }
        }
        match found {
            Ok(leaf) => {
                let (to, page) = (leaf.place(iova.0), page_name(leaf.shift));
                let Rights { read, write, user, .. } = leaf.rights;
                let privilege = if user { "" } else { ", with privilege" };
                say(format!("{iova} is {to}: {page} page, {}{privilege}", permissions(read, write)));
                if INTERRUPT_RANGE.contains(&to.0) {
                    say(fault_words(route.reasons.interrupt));
                }
            }
            Err(reason) => say(fault_words(reason)),
        }
        if let Some(entry) = self.cached_page(route, iova) {
            let same = found.is_ok_and(|leaf| {
                (entry.gpa, entry.page_shift, entry.read, entry.write)
                    == (leaf.gpa, leaf.shift, leaf.rights.read, leaf.rights.write)
            });
            let stale = if same { "the same" } else { "stale" };
            let gpa = entry.gpa.plus(iova.0 & ((1 << entry.page_shift) - 1));
            let rights = permissions(entry.read, entry.write);
            say(format!("IOTLB: {stale}, {iova} is {gpa}: {rights}"));
        } else if found.is_ok_and(|leaf| !INTERRUPT_RANGE.contains(&leaf.place(iova.0).0)) {
            say("IOTLB: would miss".to_owned());
        }
    }

    /// What a paging-structure cache has in the place of an entry.
    fn explain_cached_entry(&self, route: &Route, iova: Iova, step: Step, say: &mut impl FnMut(String)) {
        let level = step.level % FIRST_STAGE;
        if let Some(entry) = self.state.paging.peek(route.domain, route.space, iova, level) {
            let same = entry.table.0 == step.entry[0] & ADDRESS;
            let stale = if same { "the same" } else { "stale" };
            let rights = permissions(entry.rights.read, entry.rights.write);
            say(format!("{}: {stale}, {rights}, to {}", paging_cache_name(level), entry.table));
        }
    }

    fn cached_page(&self, route: &Route, iova: Iova) -> Option<&IotlbEntry> {
        let Route { domain, space, .. } = *route;
        PAGE_NAMES.iter().find_map(|(shift, _)| {
            let set = self.state.iotlb.set_of(iotlb_key(domain, space, iova, *shift));
            self.state.iotlb.peek(set, |entry| entry.answers(domain, space, iova, *shift))
        })
    }
}

fn step_words(step: Step) -> String {
    let Step { level, gpa, entry: [low, high] } = step;
    let to = Gpa(low & ADDRESS);
    let present = low & PRESENT != 0;
    match level {
        LEVEL_ROOT | LEVEL_SM_ROOT if present => format!("root entry at {gpa}: {low:#x}, context table {to}"),
        LEVEL_ROOT | LEVEL_SM_ROOT => format!("root entry at {gpa}: {low:#x}, not present"),
        LEVEL_CONTEXT | LEVEL_SM_CONTEXT if !present => {
            format!("context entry at {gpa}: {high:#x} {low:#x}, not present")
        }
        LEVEL_CONTEXT => {
            let context = Context([low, high]);
            let (domain, levels) = (context.domain(), context.levels());
            format!("context entry at {gpa}: {high:#x} {low:#x}, domain {domain}, {levels} levels from {to}")
        }
        LEVEL_SM_CONTEXT => {
            let (pasid, count) = (high & CONTEXT_RID_PASID, Context([low, high]).pasids());
            format!("context entry at {gpa}: {high:#x} {low:#x}, PASID {pasid} of {count}, directory {to}")
        }
        LEVEL_DIRECTORY if present => {
            format!("PASID directory entry at {gpa}: {low:#x}, PASID table {to}")
        }
        LEVEL_DIRECTORY => format!("PASID directory entry at {gpa}: {low:#x}, not present"),
        LEVEL_PASID if present => {
            let entry = PasidEntry([low, high, 0, 0, 0, 0, 0, 0]);
            let (domain, how) = (entry.domain(), translation_type_words(entry.translation_type()));
            format!("PASID table entry at {gpa}: {high:#x} {low:#x}, domain {domain}, {how}")
        }
        LEVEL_PASID => format!("PASID table entry at {gpa}: {high:#x} {low:#x}, not present"),
        level if level >= FIRST_STAGE => {
            let level = level - FIRST_STAGE + 1;
            let user = if low & FS_US != 0 { ", user" } else { "" };
            let rights = permissions(present, low & FS_RW != 0);
            let rights = if present { rights } else { "not present" };
            format!("first-stage level {level} entry at {gpa}: {low:#x}, {rights}{user}, to {to}")
        }
        _ => {
            let rights = permissions(low & PTE_R != 0, low & PTE_W != 0);
            format!("level {} entry at {gpa}: {low:#x}, {rights}, to {to}", level + 1)
        }
    }
}

fn translation_type_words(kind: u64) -> &'static str {
    match kind {
        PGTT_FIRST => "first stage",
        PGTT_SECOND => "second stage",
        PGTT_NESTED => "first stage within the second",
        PGTT_PASS_THROUGH => "pass-through",
        _ => "no translation type",
    }
}

fn fault_words(reason: u8) -> String {
    format!("fault {reason:#x}: {}", fault_reason_text(reason))
}
