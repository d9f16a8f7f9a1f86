//! The trace: where every chip says what it did and why.
//!
//! [`Tracer::emit`] numbers a record, gives it the current cause, and hands it to the sink if its kind is wanted.
//! Switched off it costs a counter and one predictable branch.

mod record;
mod sink;

pub use record::{
    BadAccess, ConversationStep, CpuMode, DropReason, FilterRule, Granularity, IommuCache, RecordId, Ring,
    TraceEvent, TraceKind, TraceRecord,
};
pub use sink::{Logged, Lookout, RecentSink, SharedLog, TraceSink};

use crate::slot::Slot;
use crate::time::VirtTime;
use serde::{Deserialize, Serialize};

/// Which kinds of records are written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceMask(u32);

impl TraceMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(u32::MAX);

    /// This and `kind` as well.
    #[must_use]
    pub const fn with(self, kind: TraceKind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// What either of the two wants.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `kind` is wanted.
    #[must_use]
    pub const fn has(self, kind: TraceKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// From a comma-separated list of names as [`TraceKind::ALL`] has them, or `all`. `Err` is the unknown name.
    pub fn parse(list: &str) -> Result<Self, String> {
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).try_fold(Self::NONE, |mask, name| {
            if name == "all" {
                return Ok(Self::ALL);
            }
            TraceKind::ALL
                .iter()
                .find(|(_, known, _)| *known == name)
                .map(|(kind, ..)| mask.with(*kind))
                .ok_or_else(|| name.to_owned())
        })
    }
}

/// What of the tracer is machine state: a restored run numbers its records on from here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracerState {
    /// The number of the next record.
    pub next_id: u64,
    /// Interrupt handlers that the processor is in, innermost last: what it does now is their doing.
    pub handlers: Vec<RecordId>,
    /// The processor sleeps.
    pub halted: bool,
    /// The interrupt that ended its last sleep: until it sleeps again, all that it does outside of handlers it does
    /// because it was woken.
    pub woken_by: Option<RecordId>,
}

/// Deeper than any guest nests handlers; beyond it the outermost is forgotten.
const HANDLERS_MAX: usize = 32;

/// Numbers records and knows on whose behalf things happen.
#[derive(Default)]
pub struct Tracer {
    state: TracerState,
    now: VirtTime,
    insns: u64,
    cause: Option<RecordId>,
    /// Kinds that anybody wants: the sink or the lookout.
    mask: TraceMask,
    /// Kinds that the sink wants.
    told_of: TraceMask,
    sink: Option<Box<dyn TraceSink>>,
    lookout: Option<(TraceMask, Box<dyn Lookout>)>,
    /// The first record that the lookout waited for.
    seen: Option<TraceRecord>,
    /// What happened since a record was announced; the sink gets it behind that record.
    held: Option<Vec<(TraceRecord, Vec<u8>)>>,
    /// Records below this number were written out before the machine was taken back: once is enough.
    told: u64,
    /// What somebody beside the sink has not taken yet: every record, as soon as it is known.
    heard: Option<Vec<TraceRecord>>,
}

/// A record that has its number but is not told yet: a read, whose effects come before its value is known.
#[derive(Debug)]
#[must_use = "what happens until it is told is held back"]
pub struct Announced {
    id: RecordId,
    cause: Option<RecordId>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("state", &self.state).field("mask", &self.mask).finish_non_exhaustive()
    }
}

impl Tracer {
    /// Sends records of the kinds in `mask` to `sink` from now on.
    pub fn attach(&mut self, mask: TraceMask, sink: Box<dyn TraceSink>) {
        self.told_of = mask;
        self.sink = Some(sink);
        self.update_mask();
    }

    /// Shows records of the kinds in `mask` to `lookout` from now on, those that the sink has had before as well; to nobody if it
    /// is `None`. What it waited for and was not taken is forgotten.
    pub fn look_out(&mut self, lookout: Option<(TraceMask, Box<dyn Lookout>)>) {
        self.lookout = lookout;
        self.seen = None;
        self.update_mask();
    }

    fn update_mask(&mut self) {
        let looked = self.lookout.as_ref().map_or(TraceMask::NONE, |(mask, _)| *mask);
        self.mask = self.told_of.union(looked);
    }

    /// Whether there was a record that the lookout waits for.
    #[inline]
    #[must_use]
    pub fn has_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// The first record that the lookout waited for since the last call.
    pub fn take_seen(&mut self) -> Option<TraceRecord> {
        self.seen.take()
    }

    /// From now on every record is also kept for [`Self::take_heard`], whatever the sink wants; an announced read when it is
    /// told. What is kept has to be taken.
    pub fn listen(&mut self) {
        self.heard.get_or_insert_default();
    }

    /// Takes the records since the last call; none unless [`Self::listen`] was called.
    pub fn take_heard(&mut self) -> Vec<TraceRecord> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The number of the next record, and where in the run the machine is.
    #[must_use]
    pub fn moment(&self) -> (RecordId, VirtTime, u64) {
        (RecordId(self.state.next_id), self.now, self.insns)
    }

    /// Says where in the run the machine is: every record that follows carries this.
    pub fn at(&mut self, now: VirtTime, insns: u64) {
        self.now = now;
        self.insns = insns;
    }

    /// Numbers a record of the current cause and hands it to the sink if it is wanted.
    #[inline]
    pub fn emit(&mut self, source: Slot, event: TraceEvent) -> RecordId {
        self.emit_with(source, event, &[])
    }

    /// The same with bytes that the sink is to keep beside the record, if it wants the record.
    ///
    /// Without a trace this is a count, at the place where it is called: the event need not even be made.
    #[inline]
    pub fn emit_with(&mut self, source: Slot, event: TraceEvent, bytes: &[u8]) -> RecordId {
        let id = RecordId(self.state.next_id);
        self.state.next_id += 1;
        if self.mask != TraceMask::NONE || self.heard.is_some() {
            self.write_if_wanted(id, source, event, bytes);
        }
        id
    }

    #[inline(never)]
    fn write_if_wanted(&mut self, id: RecordId, source: Slot, event: TraceEvent, bytes: &[u8]) {
        if let Some(heard) = &mut self.heard {
            let (time, insns, cause) = (self.now, self.insns, self.cause);
            heard.push(TraceRecord { id, time, insns, source, cause, event });
        }
        if self.mask.has(event.kind()) {
            let (time, insns, cause) = (self.now, self.insns, self.cause);
            self.show(&TraceRecord { id, time, insns, source, cause, event }, bytes);
        }
    }

    /// To whoever wants it.
    fn show(&mut self, record: &TraceRecord, bytes: &[u8]) {
        let kind = record.event.kind();
        if let Some((mask, lookout)) = &mut self.lookout
            && self.seen.is_none()
            && mask.has(kind)
            && lookout.waits_for(record)
        {
            self.seen = Some(*record);
        }
        if self.told_of.has(kind) && record.id.0 >= self.told {
            self.write(record, bytes);
        }
    }

    fn write(&mut self, record: &TraceRecord, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            held.push((*record, bytes.to_vec()));
        } else if let Some(sink) = &mut self.sink {
            sink.record(record);
            if !bytes.is_empty() {
                sink.bytes(bytes);
            }
        }
    }

    /// Numbers a record that [`Self::tell`] tells later, and makes it the cause of what happens until then.
    pub fn announce(&mut self) -> Announced {
        let id = RecordId(self.state.next_id);
        self.state.next_id += 1;
        debug_assert!(self.held.is_none(), "one record at a time is announced");
        self.held = Some(Vec::new());
        Announced { id, cause: self.set_cause(Some(id)) }
    }

    /// Tells an announced record, puts the former cause back, and lets go of what was held behind it.
    pub fn tell(&mut self, announced: Announced, source: Slot, event: TraceEvent) -> RecordId {
        let Announced { id, cause } = announced;
        self.cause = cause;
        let held = self.held.take();
        if let Some(heard) = &mut self.heard {
            let (time, insns) = (self.now, self.insns);
            heard.push(TraceRecord { id, time, insns, source, cause, event });
        }
        if self.mask.has(event.kind()) {
            let (time, insns) = (self.now, self.insns);
            self.show(&TraceRecord { id, time, insns, source, cause, event }, &[]);
        }
        for (record, bytes) in held.into_iter().flatten() {
            self.write(&record, &bytes);
        }
        id
    }

    /// The record on whose behalf things happen now.
    #[inline]
    #[must_use]
    pub fn cause(&self) -> Option<RecordId> {
        self.cause
    }

    /// Makes `cause` the current one and answers the one before, to be put back.
    #[inline]
    pub fn set_cause(&mut self, cause: Option<RecordId>) -> Option<RecordId> {
        std::mem::replace(&mut self.cause, cause)
    }

    /// The cause of what the processor does: the handler that it is in, or else the interrupt that woke it.
    #[must_use]
    pub fn handler(&self) -> Option<RecordId> {
        self.state.handlers.last().copied().or(self.state.woken_by)
    }

    /// The processor goes to sleep until an interrupt.
    pub fn sleep(&mut self) {
        self.state.halted = true;
        self.state.woken_by = None;
    }

    /// The processor has entered a handler on behalf of `interrupt`.
    pub fn enter_handler(&mut self, interrupt: RecordId) {
        if std::mem::take(&mut self.state.halted) {
            self.state.woken_by = Some(interrupt);
        }
        if self.state.handlers.len() == HANDLERS_MAX {
            self.state.handlers.remove(0);
        }
        self.state.handlers.push(interrupt);
    }

    /// The processor has returned from the innermost handler, if it was in one.
    pub fn leave_handler(&mut self) {
        self.state.handlers.pop();
    }

    /// What a snapshot keeps.
    #[must_use]
    pub fn state(&self) -> &TracerState {
        &self.state
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: TracerState) {
        self.state = state;
    }

    /// Goes back to an earlier state of the same run: what the sink has heard it does not hear again.
    pub fn rewind(&mut self, state: TracerState) {
        self.told = self.told.max(self.state.next_id);
        self.state = state;
    }

    /// What follows is another run than before: the sink hears all of it.
    pub fn tell_again(&mut self) {
        self.told = 0;
    }

    /// Tells the sink that no more records come.
    pub fn finish(&mut self) {
        if let Some(mut sink) = self.sink.take() {
            sink.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_depend_on_what_is_written_out() {
        let ids = |mask| {
            let log = SharedLog::default();
            let mut tracer = Tracer::default();
            tracer.attach(mask, Box::new(log.clone()));
            tracer.emit(Slot::Pit, TraceEvent::Reset);
            let halt = tracer.emit(Slot::Cpu(0), TraceEvent::CpuHalt { rip: 1 });
            (halt, log.take().len())
        };
        assert_eq!(ids(TraceMask::ALL), (RecordId(1), 2));
        assert_eq!(ids(TraceMask::NONE), (RecordId(1), 0));
        assert_eq!(ids(TraceMask::NONE.with(TraceKind::Cpu)), (RecordId(1), 1));
    }

    #[test]
    fn what_a_read_sets_in_motion_follows_it_and_has_it_as_its_cause() {
        let log = SharedLog::default();
        let mut tracer = Tracer::default();
        tracer.attach(TraceMask::ALL, Box::new(log.clone()));
        let first = tracer.emit(Slot::Cpu(0), TraceEvent::Reset);
        tracer.set_cause(Some(first));
        let announced = tracer.announce();
        let effect = tracer.emit(Slot::Nic(0), TraceEvent::PinLevel { pin: crate::irq::Pin(0), high: false });
        let read = TraceEvent::PortRead { port: 0x60, width: crate::access::Width::B1, value: 7 };
        let read = tracer.tell(announced, Slot::Kbc, read);
        tracer.emit(Slot::Cpu(0), TraceEvent::Reset);
        let told: Vec<_> = log.take().iter().map(|record| (record.id, record.cause)).collect();
        assert_eq!(
            told,
            [(first, None), (read, Some(first)), (effect, Some(read)), (RecordId(3), Some(first))]
        );
    }

    #[test]
    fn what_was_told_before_the_machine_was_taken_back_is_told_once() {
        let log = SharedLog::default();
        let mut tracer = Tracer::default();
        tracer.attach(TraceMask::ALL, Box::new(log.clone()));
        let start = tracer.state().clone();
        let emit = |tracer: &mut Tracer| tracer.emit(Slot::Pit, TraceEvent::Reset).0;
        assert_eq!([emit(&mut tracer), emit(&mut tracer)], [0, 1]);
        tracer.rewind(start.clone());
        assert_eq!([emit(&mut tracer), emit(&mut tracer), emit(&mut tracer)], [0, 1, 2]);
        assert_eq!(log.take().len(), 3);
        tracer.rewind(start);
        tracer.tell_again();
        emit(&mut tracer);
        assert_eq!(log.take().len(), 1);
    }

    #[test]
    fn bytes_stay_with_their_record_and_are_kept_only_with_it() {
        let log = SharedLog::default();
        let mut tracer = Tracer::default();
        tracer.attach(TraceMask::NONE.with(TraceKind::Net), Box::new(log.clone()));
        tracer.emit_with(Slot::Cpu(0), TraceEvent::CpuHalt { rip: 1 }, &[9]);
        let frame = tracer.emit_with(Slot::Nic(0), TraceEvent::FrameIn { packet: 0, len: 2 }, &[1, 2]);
        let filter = TraceEvent::FrameFilter { packet: 0, rule: FilterRule::Broadcast };
        let filter = tracer.emit(Slot::Nic(0), filter);
        let logged = log.take_all();
        assert_eq!((logged.bytes_of(frame), logged.bytes_of(filter)), (&[1u8, 2][..], &[][..]));
        assert_eq!(logged.records.len(), 2);
    }

    #[test]
    fn what_a_woken_processor_does_is_the_doing_of_what_woke_it() {
        let mut tracer = Tracer::default();
        let (first, second) = (RecordId(1), RecordId(2));
        tracer.enter_handler(first);
        assert_eq!(tracer.handler(), Some(first));
        tracer.leave_handler();
        assert_eq!(tracer.handler(), None, "a program that did not sleep goes on by itself");
        tracer.sleep();
        tracer.enter_handler(second);
        tracer.leave_handler();
        assert_eq!(tracer.handler(), Some(second));
        tracer.sleep();
        assert_eq!(tracer.handler(), None);
    }

    #[test]
    fn mask_is_parsed_from_names_and_names_the_unknown_one() {
        assert_eq!(
            TraceMask::parse("dma, irq"),
            Ok(TraceMask::NONE.with(TraceKind::Dma).with(TraceKind::Irq))
        );
        assert_eq!(TraceMask::parse("all"), Ok(TraceMask::ALL));
        assert_eq!(TraceMask::parse("dma,nonsense"), Err("nonsense".to_owned()));
    }

    #[test]
    fn every_kind_has_its_own_bit_and_its_place_in_the_list() {
        for (index, (kind, ..)) in TraceKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }
}
