//! Fault recording and the two events that the unit sends as messages (VT-d specification, 7.2, 7.3, 6.5.2.10).
//!
//! Its own messages never pass the remapper: they leave as interrupts.

use crate::Vtd;
use crate::spec::fault::{
    RECORD_EXECUTE, RECORD_F, RECORD_HAS_PASID, RECORD_INDEX_SHIFT, RECORD_PASID_SHIFT, RECORD_PRIVILEGED,
    RECORD_READ, RECORD_REASON_SHIFT,
};
use crate::spec::register::*;
use crate::spec::table::INTERRUPT_RANGE;
use crate::state::{MessageRegisters, count};
use crate::translate::{DmaRequest, PasidPrefix};
use emu_core::device::{Env, Signal};
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Bdf, Interrupt, Msi, TriggerMode};

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A memory access.
    Dma(DmaRequest),
    /// An interrupt, by the index it asked for.
    Interrupt { source: Bdf, index: u32 },
}

/// FSTS as software sees it, apart from FRI: a condition is new only while all of these are clear.
pub(crate) const CONDITIONS: u32 = PFO | PPF | IQE | ICE | ITE;

impl MessageRegisters {
    /// The interrupt that the registers describe; `None` if the delivery mode is reserved, or if the address, as after
    /// reset, is not one of interrupts: then there is nobody to hear the message. These events are edges.
    fn interrupt(&self, eim: bool) -> Option<Interrupt> {
        if !INTERRUPT_RANGE.contains(&self.address.into()) {
            return None;
        }
        let msi = Msi { address: self.address.into(), data: self.data };
        let mut interrupt = Interrupt::from_compatibility(msi)?;
        interrupt.trigger = TriggerMode::Edge;
        if eim {
            interrupt.dest |= self.upper & !0xff;
        }
        Some(interrupt)
    }

    /// A new condition: the message leaves, or waits for IM to be cleared.
    pub(crate) fn raise(&mut self, env: &mut Env<'_>, eim: bool) {
        self.control |= IP;
        self.send_if_due(env, eim);
    }

    /// Takes over a new IM.
    pub(crate) fn write_control(&mut self, env: &mut Env<'_>, eim: bool, value: u32) {
        self.control = self.control & IP | value & IM;
        self.send_if_due(env, eim);
    }

    fn send_if_due(&mut self, env: &mut Env<'_>, eim: bool) {
        if self.control & (IM | IP) == IP {
            self.control &= !IP;
            if let Some(interrupt) = self.interrupt(eim) {
                env.signal(Signal::Interrupt(interrupt));
            }
        }
    }

    /// Software has served all conditions: what waited is void.
    pub(crate) fn withdraw(&mut self) {
        self.control &= !IP;
    }
}

/// What a fault record says of a request besides its address.
fn kind_of(request: &DmaRequest) -> u64 {
    let when = |on, bits| if on { bits } else { 0 };
    let prefix = request.pasid.map_or(0, |PasidPrefix { pasid, privileged, execute }| {
        RECORD_HAS_PASID
            | u64::from(pasid) << RECORD_PASID_SHIFT
            | when(execute, RECORD_EXECUTE)
            | when(privileged, RECORD_PRIVILEGED)
    });
    prefix | when(!request.write, RECORD_READ)
}

impl Vtd {
    /// Refuses a request: traces it and, unless `silent` by FPD, records it and raises the event.
    pub(crate) fn fault(
        &mut self,
        env: &mut Env<'_>,
        request: Request,
        reason: u8,
        silent: bool,
    ) -> RecordId {
        count(&mut self.state.stats.faults);
        let before = self.conditions();
        let recorded = !silent && self.record(request, reason);
        let (bdf, address, write) = match request {
            Request::Dma(DmaRequest { bdf, iova, write, .. }) => (bdf, iova.0, write),
            Request::Interrupt { source, index } => (source, index.into(), true),
        };
        let event = TraceEvent::RemapFault { bdf, address, reason, write, recorded };
        let id = env.trace(self.slot(), event);
        if recorded {
            env.on_behalf_of(id, |env| self.raise_fault_event(env, before));
        }
        id
    }

    /// Fills the next fault recording register. While it is still pending, and from then on until software clears
    /// PFO, faults are lost.
    fn record(&mut self, request: Request, reason: u8) -> bool {
        let state = &mut self.state;
        if state.fault_status & PFO != 0 {
            return false;
        }
        let record = &mut state.fault_records[usize::from(state.fault_next)];
        if record[1] & RECORD_F != 0 {
            state.fault_status |= PFO;
            return false;
        }
        let (source, low, kind) = match request {
            Request::Dma(dma) => (dma.bdf, dma.iova.page_base().0, kind_of(&dma)),
            Request::Interrupt { source, index } => (source, u64::from(index) << RECORD_INDEX_SHIFT, 0),
        };
        let high = RECORD_F | kind | u64::from(reason) << RECORD_REASON_SHIFT | u64::from(source.0);
        *record = [low, high];
        state.fault_next = (state.fault_next + 1) % self.config.fault_records;
        true
    }

    /// The bits of FSTS that count as conditions.
    pub(crate) fn conditions(&self) -> u32 {
        let pending = self.state.fault_records.iter().any(|record| record[1] & RECORD_F != 0);
        self.state.fault_status | if pending { PPF } else { 0 }
    }

    /// FSTS: FRI is the oldest pending record, counted round from the next to be filled.
    pub(crate) fn fault_status(&self) -> u32 {
        let records = self.state.fault_records.len();
        let next = usize::from(self.state.fault_next);
        let oldest =
            (next..records).chain(0..next).find(|index| self.state.fault_records[*index][1] & RECORD_F != 0);
        let fri = oldest.unwrap_or(next) as u32;
        self.conditions() | fri << FRI_SHIFT
    }

    /// A condition has been set; it is an event if none was before.
    pub(crate) fn raise_fault_event(&mut self, env: &mut Env<'_>, before: u32) {
        if before & CONDITIONS == 0 {
            self.state.fault_event.raise(env, self.config.eim);
        }
    }

    /// Software has cleared conditions.
    pub(crate) fn faults_served(&mut self) {
        if self.conditions() == 0 {
            self.state.fault_event.withdraw();
        }
    }
}
