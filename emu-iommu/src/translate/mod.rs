//! A DMA request on its way: its route ([`route`]), then its page ([`page`]), by the caches and by the tables when they have
//! nothing (VT-d specification, 3.4, 3.6 to 3.8, 6.2). A translation once cached is used until it is invalidated or makes
//! room, whatever the tables say by then.

mod entry;
mod page;
mod route;

pub use entry::{ContextEntry, IotlbEntry, PasidCacheEntry};
pub(crate) use entry::{context_key, iotlb_key, pasid_key};

use crate::Vtd;
use crate::fault::Request;
use crate::spec::fault::Reasons;
use crate::spec::register::TE;
use crate::spec::scalable::{PASID, TTM, TTM_LEGACY};
use crate::spec::table::INTERRUPT_RANGE;
use crate::state::Stats;
use crate::walk::{Step, Way};
use emu_core::device::{DmaFault, Env};
use emu_core::mem::PhysMem;
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE, Slot, VirtDuration};

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

/// What a request's PASID prefix says (PCI Express, 6.20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasidPrefix {
    /// PASID, 20 bits; the unit does not look at others.
    pub pasid: u32,
    /// Privileged Mode Requested.
    pub privileged: bool,
    /// Execute Requested.
    pub execute: bool,
}

/// A memory request of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRequest {
    /// Requester.
    pub bdf: Bdf,
    /// Its PASID prefix.
    pub pasid: Option<PasidPrefix>,
    /// Address.
    pub iova: Iova,
    /// A write, else a read.
    pub write: bool,
}

/// What of a request the rights of a page are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) write: bool,
    pub(crate) privileged: bool,
    pub(crate) execute: bool,
}

/// A request that was refused: what the fault is made of.
struct Refused {
    reason: u8,
    silent: bool,
    cause: Option<RecordId>,
}

impl Vtd {
    /// Translates one access of `bdf`, without PASID. The answer is good for `page_len_left` bytes.
    pub fn translate(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        bdf: Bdf,
        iova: Iova,
        write: bool,
    ) -> Result<Translated, DmaFault> {
        self.translate_request(env, mem, DmaRequest { bdf, pasid: None, iova, write })
    }

    /// Translates one access. The answer is good for `page_len_left` bytes.
    pub fn translate_request(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        mut request: DmaRequest,
    ) -> Result<Translated, DmaFault> {
        if let Some(prefix) = &mut request.pasid {
            prefix.pasid &= PASID;
        }
        let DmaRequest { bdf, pasid, iova, write } = request;
        if self.state.status & TE == 0 {
            self.guard(env, bdf, iova, write)?;
            return Ok(identity(iova, VirtDuration::ZERO));
        }
        if pasid.is_none() && INTERRUPT_RANGE.contains(&iova.0) {
            // A write is an interrupt request, for the board to carry to the remapper. Nothing can be read there.
            if write {
                return Ok(identity(iova, VirtDuration::ZERO));
            }
            let reason = self.reasons().interrupt;
            self.fault(env, Request::Dma(request), reason, false);
            return Err(DmaFault::Remapping(reason));
        }
        let before = self.state.stats;
        let found = self.resolve(env, mem, &request);
        let latency = self.latency_since(&before);
        match found {
            Ok(None) => self.guard(env, bdf, iova, write).map(|()| identity(iova, latency)),
            Ok(Some(entry)) => {
                Ok(Translated { gpa: entry.place(iova), page_len_left: entry.reach(iova), latency })
            }
            Err(Refused { reason, silent, cause }) => {
                let mut refuse = |env: &mut Env<'_>| self.fault(env, Request::Dma(request), reason, silent);
                match cause {
                    Some(cause) => env.on_behalf_of(cause, refuse),
                    None => refuse(env),
                };
                Err(DmaFault::Remapping(reason))
            }
        }
    }

    /// The page of a request; `None` if it passes through.
    fn resolve(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        request: &DmaRequest,
    ) -> Result<Option<IotlbEntry>, Refused> {
        let (route, access, lookup) = self.route(env, mem, request)?;
        let refused = |reason, cause| Refused { reason, silent: route.silent, cause: Some(cause) };
        if let Some(reason) = route.misses(&self.config, request.iova) {
            return Err(refused(reason, lookup));
        }
        let Way::Tables(stages) = route.way else { return Ok(None) };
        self.look_up_page(env, mem, request, &route, stages, access)
            .map(Some)
            .map_err(|(reason, cause)| refused(reason, cause))
    }

    /// What refusals are called in the mode of the root table in use.
    pub(crate) fn reasons(&self) -> &'static Reasons {
        if self.state.root & TTM == TTM_LEGACY { &Reasons::LEGACY } else { &Reasons::SCALABLE }
    }

    /// What a translation has cost that began when the counters stood so.
    fn latency_since(&self, before: &Stats) -> VirtDuration {
        let stats = &self.state.stats;
        let since = |count: fn(&Stats) -> u64| count(stats).wrapping_sub(count(before));
        let pasids = since(|stats| stats.pasid_hits.wrapping_add(stats.pasid_misses));
        let paging = since(|stats| stats.paging_hits.wrapping_add(stats.paging_misses));
        self.config.timing.translation(pasids, paging, since(|stats| stats.walk_reads))
    }
}

fn identity(iova: Iova, latency: VirtDuration) -> Translated {
    Translated { gpa: Gpa(iova.0), page_len_left: PAGE_SIZE - iova.page_offset(), latency }
}

fn trace_step(env: &mut Env<'_>, unit: Slot, bdf: Bdf, step: Step) {
    let Step { level, gpa, entry } = step;
    env.trace(unit, TraceEvent::WalkStep { bdf, level, entry_gpa: gpa, entry });
}
