//! What the tables in memory say of a request, cache by cache set against what the unit would answer. Nothing is
//! changed by asking.

use super::{Look, Seen};
use crate::paging::paging_levels;
use crate::spec::register::TE;
use crate::spec::scalable::{TTM, TTM_LEGACY};
use crate::spec::table::{ADDRESS, INTERRUPT_RANGE};
use crate::translate::{context_key, iotlb_key, pasid_key};
use crate::walk::{self, Context, FIRST_STAGE, LEVEL_PASID, Leaf, Rights, Route, Space, Stages, Step, Way};
use crate::{ContextEntry, IotlbEntry, Vtd};
use emu_core::mem::PhysMem;
use emu_core::trace::IommuCache;
use emu_core::{Bdf, Gpa, Iova};

/// An entry of a table on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// As in [`emu_core::trace::TraceEvent::WalkStep`].
    pub level: u8,
    /// Where it is.
    pub gpa: Gpa,
    /// The entry, or its first two qwords.
    pub entry: [u64; 2],
}

/// Where an address lies, and what may be done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruePage {
    /// Where the byte lies.
    pub gpa: Gpa,
    /// 12, 21 or 30.
    pub shift: u8,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// No table was asked: the context says that addresses pass through.
    pub passes: bool,
}

/// What the tables in memory say of a request without PASID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The entries on the way, the root table's first.
    pub steps: Vec<TableEntry>,
    /// The domain, as far as the tables name one.
    pub domain: Option<u16>,
    /// The page, or the reason for which the request has none.
    pub page: Result<TruePage, u8>,
    /// Caches that hold something else for this request than memory does.
    pub stale: Vec<IommuCache>,
}

impl Vtd {
    /// What the tables say of a request of `bdf` without PASID for `iova`, now; `None` if they are not asked, with
    /// translation off or an address of the interrupt range.
    #[must_use]
    pub fn truth(&self, mem: &PhysMem, bdf: Bdf, iova: Iova, write: bool) -> Option<Truth> {
        if self.state.status & TE == 0 || INTERRUPT_RANGE.contains(&iova.0) {
            return None;
        }
        let mut steps = Vec::new();
        let found = self.peek_route(mem, bdf, &mut |step| steps.push(step));
        let mut stale = Vec::new();
        let context = found.as_ref().ok().map(|seen| seen.context);
        if self.cached_context(bdf).is_some_and(|entry| {
            if entry.fault == 0 { Some(entry.context) != context } else { context.is_some() }
        }) {
            stale.push(IommuCache::Context);
        }
        if self.pasid_is_stale(bdf, context, &steps) {
            stale.push(IommuCache::Pasid);
        }
        let truth = |steps: Vec<Step>, domain, page, stale| {
            let steps = steps.into_iter().map(|Step { level, gpa, entry }| TableEntry { level, gpa, entry });
            Some(Truth { steps: steps.collect(), domain, page, stale })
        };
        let Seen { route, .. } = match found {
            Ok(seen) => seen,
            Err(reason) => return truth(steps, None, Err(reason), stale),
        };
        let domain = Some(route.domain);
        if let Some(reason) = route.misses(&self.config, iova) {
            return truth(steps, domain, Err(reason), stale);
        }
        let Way::Tables(stages) = route.way else {
            let page = TruePage { gpa: Gpa(iova.0), shift: 12, read: true, write: true, passes: true };
            return truth(steps, domain, Ok(page), stale);
        };
        let (more, leaf) = self.peek_leaf(mem, stages, iova);
        if self.paging_is_stale(&route, iova, &more) {
            stale.push(IommuCache::PagingStructure);
        }
        if self
            .cached_translation(&route, iova)
            .is_some_and(|entry| is_stale(entry, iova, leaf.as_ref().ok()))
        {
            stale.push(IommuCache::Iotlb);
        }
        steps.extend(more);
        truth(steps, domain, leaf.and_then(|leaf| judge(&route, leaf, iova, write)), stale)
    }

    fn cached_context(&self, bdf: Bdf) -> Option<&ContextEntry> {
        let scalable = self.state.root & TTM != TTM_LEGACY;
        let set = self.state.contexts.set_of(context_key(bdf));
        self.state.contexts.peek(set, |entry| entry.source == bdf && entry.scalable == scalable)
    }

    /// Whether the PASID cache holds another entry for the device's requests without PASID than was seen on the way.
    fn pasid_is_stale(&self, bdf: Bdf, context: Option<Context>, steps: &[Step]) -> bool {
        let (Some(scalable), Some(context)) = (self.config.scalable, context) else { return false };
        if self.state.root & TTM == TTM_LEGACY {
            return false;
        }
        let pasid = context.rid_pasid(&scalable);
        let set = self.state.pasids.set_of(pasid_key(bdf, pasid));
        let cached = self.state.pasids.peek(set, |entry| entry.source == bdf && entry.pasid == pasid);
        let there = steps.iter().find(|step| step.level == LEVEL_PASID).map(|step| step.entry);
        cached.is_some_and(|entry| entry.fault == 0 && there.is_none_or(|there| entry.entry.0[..2] != there))
    }

    fn cached_translation(&self, route: &Route, iova: Iova) -> Option<&IotlbEntry> {
        let Route { domain, space, .. } = *route;
        [12, 21, 30].into_iter().find_map(|shift| {
            let set = self.state.iotlb.set_of(iotlb_key(domain, space, iova, shift));
            self.state.iotlb.peek(set, |entry| entry.answers(domain, space, iova, shift))
        })
    }

    /// Whether a paging-structure cache leads elsewhere than memory, or on where memory's way ends.
    fn paging_is_stale(&self, route: &Route, iova: Iova, steps: &[Step]) -> bool {
        let nested = matches!(route.space, Space::Nested(_));
        paging_levels().any(|level| {
            let cached = self.state.paging.peek(route.domain, route.space, iova, level);
            let there = steps
                .iter()
                .rfind(|step| step.level % FIRST_STAGE == level && (!nested || step.level >= FIRST_STAGE));
            cached.is_some_and(|entry| there.is_none_or(|step| step.entry[0] & ADDRESS != entry.table.0))
        })
    }

    /// The page whatever the access, and the entries on the way to it: a read is tried first, then a write.
    fn peek_leaf(&self, mem: &PhysMem, stages: Stages, iova: Iova) -> (Vec<Step>, Result<Leaf, u8>) {
        let first = self.peek_page(mem, stages, iova, false);
        if first.1.is_ok() {
            return first;
        }
        let second = self.peek_page(mem, stages, iova, true);
        if second.1.is_ok() { second } else { first }
    }

    /// The page and the entries on the way to it.
    pub(super) fn peek_page(
        &self,
        mem: &PhysMem,
        stages: Stages,
        iova: Iova,
        write: bool,
    ) -> (Vec<Step>, Result<Leaf, u8>) {
        let mut steps = Vec::new();
        let mut see = |step| steps.push(step);
        let found = match stages {
            Stages::Second(second) => self.peek_second(mem, &second, iova, write, &mut see),
            Stages::First(first, second) => {
                let mut look = Look { vtd: self, mem, second, top: first.top().level, see: &mut see };
                let inner = walk::first_stage(&first, first.top(), iova, &mut [None; 5], &mut look);
                let inner = inner.map_err(|fault| fault.reason);
                inner.and_then(|inner| match &second {
                    None => Ok(inner),
                    Some(second) => {
                        let place = inner.place(iova.0);
                        let outer = self.peek_second(mem, second, Iova(place.0), false, &mut see)?;
                        Ok(within(inner, outer, outer.place(place.0)))
                    }
                })
            }
        };
        (steps, found)
    }
}

/// A first stage's page by the page of a second that holds it.
fn within(inner: Leaf, outer: Leaf, place: Gpa) -> Leaf {
    let shift = inner.shift.min(outer.shift);
    Leaf { gpa: Gpa(place.0 >> shift << shift), shift, rights: inner.rights.and(outer.rights), dirty: false }
}

/// Whether the IOTLB's entry is another page than the tables', or allows something else.
fn is_stale(entry: &IotlbEntry, iova: Iova, leaf: Option<&Leaf>) -> bool {
    match leaf {
        None => entry.fault == 0 && (entry.read || entry.write),
        Some(leaf) => {
            entry.fault != 0
                || entry.place(iova) != leaf.place(iova.0)
                || (entry.read, entry.write) != (leaf.rights.read, leaf.rights.write)
        }
    }
}

/// The page for the access asked for, or what it lacks.
fn judge(route: &Route, leaf: Leaf, iova: Iova, write: bool) -> Result<TruePage, u8> {
    let gpa = leaf.place(iova.0);
    let Rights { read, write: writable, .. } = leaf.rights;
    match () {
        () if !leaf.rights.allow(write) => Err(route.reasons.permission(write)),
        () if INTERRUPT_RANGE.contains(&gpa.0) => Err(route.reasons.interrupt),
        () => Ok(TruePage { gpa, shift: leaf.shift, read, write: writable, passes: false }),
    }
}
