//! How a request is to be translated: its device's context entry and, in scalable mode, its PASID's entry, each by its
//! cache (VT-d specification, 3.4.2, 3.4.3, 6.2.2, 6.2.3).

use super::{
    Access, ContextEntry, DmaRequest, PasidCacheEntry, PasidPrefix, Refused, context_key, pasid_key,
    trace_step,
};
use crate::Vtd;
use crate::config::ScalableConfig;
use crate::spec::fault;
use crate::spec::scalable::{CONTEXT_PASIDE, CONTEXT_RID_PRIV, TTM, TTM_LEGACY, TTM_SCALABLE};
use crate::state::count;
use crate::walk::{self, Context, ContextFault, PasidEntry, Route, Step};
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, Gpa};

impl Vtd {
    /// The way of a request, what it asks for, and the record of the lookup that told.
    pub(super) fn route(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        request: &DmaRequest,
    ) -> Result<(Route, Access, RecordId), Refused> {
        let DmaRequest { bdf, pasid, write, .. } = *request;
        let refused = |reason| Refused { reason, silent: false, cause: None };
        match (self.state.root & TTM, self.config.scalable) {
            (TTM_LEGACY, _) if pasid.is_some() => Err(refused(fault::PASID_IN_LEGACY)),
            (TTM_LEGACY, _) => {
                let (context, lookup) = self.look_up_context(env, mem, bdf, None)?;
                Ok((context.route(), Access { write, privileged: false, execute: false }, lookup))
            }
            (TTM_SCALABLE, Some(scalable)) => self.scalable_route(env, mem, &scalable, request),
            _ => Err(refused(fault::BAD_ROOT_POINTER)),
        }
    }

    fn scalable_route(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        scalable: &ScalableConfig,
        request: &DmaRequest,
    ) -> Result<(Route, Access, RecordId), Refused> {
        let (context, lookup) = self.look_up_context(env, mem, request.bdf, Some(*scalable))?;
        let silent = context.fault_processing_disabled();
        let refused = |reason| Refused { reason, silent, cause: Some(lookup) };
        let prefix = match request.pasid {
            Some(_) if context.0[0] & CONTEXT_PASIDE == 0 || scalable.pasid_bits == 0 => {
                return Err(refused(fault::PASID_NOT_ENABLED));
            }
            Some(prefix) if prefix.pasid >= context.pasids() || prefix.pasid >> scalable.pasid_bits != 0 => {
                return Err(refused(fault::PASID_TOO_LARGE));
            }
            Some(prefix) => prefix,
            None => PasidPrefix {
                pasid: context.rid_pasid(scalable),
                privileged: context.0[1] & CONTEXT_RID_PRIV != 0,
                execute: false,
            },
        };
        let (entry, lookup) = self.look_up_pasid(env, mem, scalable, request.bdf, context, prefix.pasid)?;
        let route = entry.entry.route(&self.config, scalable, prefix.pasid, silent || entry.silent);
        let refused = |reason| Refused { reason, silent: route.silent, cause: Some(lookup) };
        let PasidPrefix { privileged, execute, .. } = prefix;
        if execute && !entry.entry.passes_execution() {
            return Err(refused(fault::NO_EXECUTION));
        }
        if privileged && !entry.entry.passes_privileged() {
            return Err(refused(fault::NO_PRIVILEGE));
        }
        Ok((route, Access { write: request.write, privileged, execute }, lookup))
    }

    /// The context of `bdf` and the record of its lookup.
    fn look_up_context(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        bdf: Bdf,
        scalable: Option<ScalableConfig>,
    ) -> Result<(Context, RecordId), Refused> {
        let set = self.state.contexts.set_of(context_key(bdf));
        let is_it = |entry: &ContextEntry| entry.source == bdf && entry.scalable == scalable.is_some();
        if let Some(entry) = self.state.contexts.find(set, is_it) {
            count(&mut self.state.stats.context_hits);
            let domain = entry.domain();
            let id = env.trace(self.slot(), TraceEvent::ContextLookup { bdf, hit: true, domain });
            let silent = entry.context.fault_processing_disabled();
            return match entry.fault {
                0 => Ok((entry.context, id)),
                reason => Err(Refused { reason, silent, cause: Some(id) }),
            };
        }
        count(&mut self.state.stats.context_misses);
        let id = env.trace(self.slot(), TraceEvent::ContextLookup { bdf, hit: false, domain: 0 });
        env.on_behalf_of(id, |env| self.fetch_context(env, mem, bdf, scalable))
            .map(|context| (context, id))
            .map_err(|ContextFault { reason, silent }| Refused { reason, silent, cause: Some(id) })
    }

    fn fetch_context(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        bdf: Bdf,
        scalable: Option<ScalableConfig>,
    ) -> Result<Context, ContextFault> {
        let unit = self.slot();
        let Self { config, state, .. } = self;
        let mut last = [0; 2];
        let mut see = |step: Step| {
            count(&mut state.stats.walk_reads);
            last = step.entry;
            trace_step(env, unit, bdf, step);
        };
        let root = Gpa(state.root & !0xfff);
        let found = match scalable {
            None => walk::context(config, root, mem, bdf, &mut see),
            Some(scalable) => walk::scalable_context(config, &scalable, root, mem, bdf, &mut see),
        };
        let (source, scalable) = (bdf, scalable.is_some());
        let entry = match found {
            Ok(context) => ContextEntry { source, scalable, context, fault: 0 },
            Err(fault) if config.caching_mode => {
                // Of the entry only FPD matters, and that only of a context entry.
                let silent = if fault.silent { last } else { [0; 2] };
                ContextEntry { source, scalable, context: Context(silent), fault: fault.reason }
            }
            Err(_) => return found,
        };
        let set = state.contexts.set_of(context_key(bdf));
        let inserted = state.contexts.insert(set, entry, |old| old.source == bdf && old.scalable == scalable);
        if let Some(old) = inserted.evicted {
            count(&mut state.stats.context_evictions);
            env.trace(unit, TraceEvent::ContextEvict { bdf: old.source, set, way: inserted.way });
        }
        found
    }

    /// The entry of a PASID and the record of its lookup.
    fn look_up_pasid(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        scalable: &ScalableConfig,
        bdf: Bdf,
        context: Context,
        pasid: u32,
    ) -> Result<(PasidCacheEntry, RecordId), Refused> {
        let outer = context.fault_processing_disabled();
        let set = self.state.pasids.set_of(pasid_key(bdf, pasid));
        let cached = self.state.pasids.find(set, |entry| entry.source == bdf && entry.pasid == pasid);
        let hit = cached.is_some();
        let stats = &mut self.state.stats;
        count(if hit { &mut stats.pasid_hits } else { &mut stats.pasid_misses });
        let domain = cached.map_or(0, |entry| entry.domain());
        let id = env.trace(self.slot(), TraceEvent::PasidLookup { bdf, pasid, hit, domain });
        let entry = match cached {
            Some(entry) => entry,
            None => env.on_behalf_of(id, |env| self.fetch_pasid(env, mem, scalable, bdf, context, pasid)),
        };
        match entry.fault {
            0 => Ok((entry, id)),
            reason => Err(Refused { reason, silent: outer || entry.silent, cause: Some(id) }),
        }
    }

    fn fetch_pasid(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        scalable: &ScalableConfig,
        source: Bdf,
        context: Context,
        pasid: u32,
    ) -> PasidCacheEntry {
        let unit = self.slot();
        let Self { config, state, .. } = self;
        let mut directory = [0; 2];
        let mut see = |step: Step| {
            count(&mut state.stats.walk_reads);
            if step.level == walk::LEVEL_DIRECTORY {
                directory = step.entry;
            }
            trace_step(env, unit, source, step);
        };
        let found = walk::pasid(config, scalable, mem, context, pasid, &mut see);
        let entry = match found {
            Ok(entry) => {
                let silent =
                    Context(directory).fault_processing_disabled() || entry.fault_processing_disabled();
                PasidCacheEntry { source, pasid, entry, silent, fault: 0 }
            }
            Err(ContextFault { reason, silent }) => {
                PasidCacheEntry { source, pasid, entry: PasidEntry([0; 8]), silent, fault: reason }
            }
        };
        if entry.fault == 0 || config.caching_mode {
            let set = state.pasids.set_of(pasid_key(source, pasid));
            let same = |old: &PasidCacheEntry| old.source == source && old.pasid == pasid;
            let inserted = state.pasids.insert(set, entry, same);
            if let Some(PasidCacheEntry { source: bdf, pasid, .. }) = inserted.evicted {
                count(&mut state.stats.pasid_evictions);
                env.trace(unit, TraceEvent::PasidEvict { bdf, pasid, set, way: inserted.way });
            }
        }
        entry
    }
}
