//! Interrupt requests: compatibility and remappable format, the remap table and its cache (VT-d specification, 5.1). What an
//! entry of the posted format does is next door, in [`crate::posted`].

use crate::Vtd;
use crate::fault::Request;
use crate::spec::{fault, irte::*, register};
use crate::state::count;
use crate::walk::entry128;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, DeliveryMode, DestinationMode, Gpa, Interrupt, Msi, TriggerMode, VirtDuration};
use serde::{Deserialize, Serialize};

/// An interrupt remap table entry as memory holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Irte(pub [u64; 2]);

/// An entry of the interrupt-entry cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterruptEntry {
    /// Its index.
    pub index: u16,
    /// The entry as it was read.
    pub irte: Irte,
}

impl Irte {
    /// What is wrong with it, as a fault reason; in caching mode such entries are cached too. `posts` says whether the unit
    /// knows the posted format.
    fn check(self, eime: bool, posts: bool) -> Option<u8> {
        let [low, high] = self.0;
        if low & P == 0 {
            return Some(fault::IRTE_NOT_PRESENT);
        }
        if posts && self.is_posted() {
            let wrong = self.has_posted_reserved() || self.validation() > SVT_BUS;
            return wrong.then_some(fault::IRTE_RESERVED);
        }
        let reserved = RESERVED_LOW | if eime { 0 } else { RESERVED_DST };
        let wrong = low & reserved != 0
            || high & RESERVED_HIGH != 0
            || self.validation() > SVT_BUS
            || DeliveryMode::from_bits((low >> DLM_SHIFT) as u8)
                .is_none_or(|mode| mode == DeliveryMode::StartUp);
        wrong.then_some(fault::IRTE_RESERVED)
    }

    fn validation(self) -> u64 {
        self.0[1] >> SVT_SHIFT & 3
    }

    /// Whether `source` may use it (5.1.5.2, source id verification).
    fn allows(self, source: Bdf) -> bool {
        let sid = (self.0[1] & SID) as u16;
        match self.validation() {
            SVT_SID => {
                // SQ leaves out bit 2, bits 2:1, or all of the function number.
                let ignored = [0, 0b100, 0b110, 0b111][(self.0[1] >> SQ_SHIFT & 3) as usize];
                (sid ^ source.0) & !ignored == 0
            }
            SVT_BUS => ((sid >> 8) as u8..=sid as u8).contains(&source.bus()),
            SVT_NONE => true,
            _ => false,
        }
    }

    /// What local APICs are told.
    fn interrupt(self, eime: bool) -> Option<Interrupt> {
        let low = self.0[0];
        let dest = (low >> DST_SHIFT) as u32;
        Some(Interrupt {
            vector: (low >> VECTOR_SHIFT) as u8,
            mode: DeliveryMode::from_bits((low >> DLM_SHIFT) as u8)?,
            trigger: if low & TM != 0 { TriggerMode::Level } else { TriggerMode::Edge },
            dest_mode: if low & DM != 0 { DestinationMode::Logical } else { DestinationMode::Physical },
            dest: if eime { dest } else { dest >> 8 & 0xff },
        })
    }
}

/// A remappable request's index, or the index of a malformed one.
fn decode(msi: Msi) -> Result<u32, u32> {
    let handle_15 = if msi.address & REQUEST_HANDLE_15 != 0 { 1 << 15 } else { 0 };
    let handle = (msi.address >> REQUEST_HANDLE_SHIFT) as u32 & 0x7fff | handle_15;
    if msi.address & REQUEST_SHV == 0 {
        // Without a subhandle the data is of no concern here: an I/O APIC's still carries its vector.
        return Ok(handle);
    }
    let index = handle + (msi.data & 0xffff);
    if msi.data & REQUEST_DATA_RESERVED == 0 { Ok(index) } else { Err(index) }
}

impl Vtd {
    /// Remaps an interrupt message of `source`. `None` if it was blocked, means nothing, or was posted without notifying anybody;
    /// a blocked one is a fault.
    pub fn remap(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        source: Bdf,
        msi: Msi,
    ) -> Option<(Interrupt, VirtDuration)> {
        let eime = self.state.interrupt_table & register::IRTA_EIME != 0;
        if self.state.status & register::IRE == 0 {
            return Interrupt::from_compatibility(msi).map(|interrupt| (interrupt, VirtDuration::ZERO));
        }
        if msi.address & REQUEST_REMAPPABLE == 0 {
            if self.state.status & register::CFI != 0 && !eime {
                return Interrupt::from_compatibility(msi).map(|interrupt| (interrupt, VirtDuration::ZERO));
            }
            self.fault(env, Request::Interrupt { source, index: 0 }, fault::COMPATIBILITY, false);
            return None;
        }
        let index = match decode(msi) {
            Ok(index) => index,
            Err(index) => {
                self.fault(env, Request::Interrupt { source, index }, fault::REQUEST_RESERVED, false);
                return None;
            }
        };
        let reads_before = self.state.stats.interrupt_misses;
        let (irte, lookup) = self.look_up_irte(env, mem, source, index, eime)?;
        let reads = self.state.stats.interrupt_misses.wrapping_sub(reads_before);
        if irte.is_posted() {
            let request = Request::Interrupt { source, index };
            let notification = env.on_behalf_of(lookup, |env| self.post(env, mem, request, irte, eime))?;
            return Some((notification, self.config.timing.remapping(reads + 1)));
        }
        irte.interrupt(eime).map(|interrupt| (interrupt, self.config.timing.remapping(reads)))
    }

    /// The checked entry at `index` and the record of its lookup, after a fault `None`.
    fn look_up_irte(
        &mut self,
        env: &mut Env<'_>,
        mem: &PhysMem,
        source: Bdf,
        index: u32,
        eime: bool,
    ) -> Option<(Irte, RecordId)> {
        let request = Request::Interrupt { source, index };
        let size = 2u32 << (self.state.interrupt_table & register::IRTA_S);
        let short = u16::try_from(index).ok().filter(|_| index < size);
        let Some(short) = short else {
            self.fault(env, request, fault::INDEX, false);
            return None;
        };
        let cached = self.state.interrupts.find(0, |entry| entry.index == short);
        let irte = match cached {
            Some(entry) => {
                count(&mut self.state.stats.interrupt_hits);
                entry.irte
            }
            None => {
                count(&mut self.state.stats.interrupt_misses);
                let base = Gpa(self.state.interrupt_table & !0xfff);
                let Some(entry) = entry128(mem, base.plus(u64::from(index) * IRTE_LEN)) else {
                    self.fault(env, request, fault::IRTE_FETCH, false);
                    return None;
                };
                Irte(entry)
            }
        };
        let hit = cached.is_some();
        let event = TraceEvent::IrteLookup { bdf: source, index, hit, entry: irte.0 };
        let id = env.trace(self.slot(), event);
        let wrong = irte.check(eime, self.config.posted_interrupts);
        if !hit && (wrong.is_none() || self.config.caching_mode) {
            self.cache_irte(env, InterruptEntry { index: short, irte });
        }
        let reason = wrong.or_else(|| (!irte.allows(source)).then_some(fault::SOURCE));
        let Some(reason) = reason else { return Some((irte, id)) };
        let silent = irte.0[0] & FPD != 0;
        env.on_behalf_of(id, |env| self.fault(env, request, reason, silent));
        None
    }

    fn cache_irte(&mut self, env: &mut Env<'_>, entry: InterruptEntry) {
        let inserted = self.state.interrupts.insert(0, entry, |old| old.index == entry.index);
        if let Some(InterruptEntry { index, .. }) = inserted.evicted {
            count(&mut self.state.stats.interrupt_evictions);
            env.trace(self.slot(), TraceEvent::IrteEvict { index, way: inserted.way });
        }
    }
}
