//! The journey: everything that one packet set in motion, from the wire to the guest's handler to the reply; or, of a frame that
//! the guest sent, what made it do so and what became of it.
//!
//! Causes make it: a record belongs to the journey if its chain of causes leads to the frame's arrival. A handler's
//! further interrupts (the transmission it started completes, say) end the journey; what they do is theirs.

use emu_core::trace::{Logged, RecordId, TraceEvent, TraceRecord};
use emu_core::{Slot, VirtDuration};
use emu_devices::e1000::spec;
use std::collections::{BTreeMap, BTreeSet};

/// Which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One that came in, counting from 0.
    In(u64),
    /// One that the guest sent, counting from 0.
    Out(u64),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::In(packet) => write!(f, "packet {packet}"),
            Self::Out(packet) => write!(f, "frame out {packet}"),
        }
    }
}

/// One packet's records in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    /// The frame.
    pub subject: Subject,
    /// The records, by ascending number.
    pub steps: Vec<TraceRecord>,
    /// The bytes that records came with, as far as they are known.
    pub bytes: BTreeMap<RecordId, Box<[u8]>>,
    /// The frame raised no interrupt of its own: the driver found it in a handler that another one had raised.
    pub shared_interrupt: bool,
}

impl Journey {
    /// Follows a frame through `log`, which must hold every kind. `None` if there is no such frame.
    #[must_use]
    pub fn of(log: &Logged, subject: Subject) -> Option<Self> {
        let mut journey = match subject {
            Subject::In(packet) => Self::follow(&log.records, packet)?,
            Subject::Out(packet) => Self::trace_back(&log.records, packet)?,
        };
        for step in &journey.steps {
            if let Some(bytes) = log.bytes.get(&step.id) {
                journey.bytes.insert(step.id, bytes.clone());
            }
        }
        Some(journey)
    }

    /// Follows packet `packet` through `records`, which must be in order and hold every kind. `None` if no such packet
    /// came in.
    #[must_use]
    pub fn follow(records: &[TraceRecord], packet: u64) -> Option<Self> {
        let arrival = records
            .iter()
            .find(|record| matches!(record.event, TraceEvent::FrameIn { packet: n, .. } if n == packet))?;
        let mut found = BTreeSet::new();
        collect(records, arrival.id, &mut found);
        let is = |id: &RecordId, test: fn(&TraceEvent) -> bool| {
            record_of(records, *id).is_some_and(|record| test(&record.event))
        };
        let delivered =
            found.iter().copied().find(|id| is(id, |e| matches!(e, TraceEvent::FrameDelivered { .. })));
        let interrupted = found.iter().any(|id| is(id, |e| matches!(e, TraceEvent::CpuInterrupt { .. })));
        let mut shared_interrupt = false;
        if let (Some(delivered), false) = (delivered, interrupted)
            && let Some(handler) = handler_that_looked(records, delivered)
        {
            shared_interrupt = true;
            collect(records, handler, &mut found);
        }
        Some(Self::made_of(records, &found, Subject::In(packet), shared_interrupt))
    }

    /// The way of frame `packet` out: what led to it, and what it led to. `None` if no such frame went out.
    #[must_use]
    pub fn trace_back(records: &[TraceRecord], packet: u64) -> Option<Self> {
        let sent = records
            .iter()
            .find(|record| matches!(record.event, TraceEvent::FrameOut { packet: n, .. } if n == packet))?;
        let causes = causes_of(records, sent);
        let mut found: BTreeSet<RecordId> = causes.iter().map(|record| record.id).collect();
        found.insert(sent.id);
        let doorbell = causes.iter().find(|record| is_doorbell(record));
        let fetch = causes.iter().find(|record| matches!(record.event, TraceEvent::DescFetch { .. }));
        if let Some(fetch) = fetch {
            collect(records, fetch.id, &mut found);
            // How the descriptor was read: what the doorbell set in motion just before.
            let before = records.iter().rev().skip_while(|record| record.id >= fetch.id);
            let reading = before.take_while(|record| {
                record.cause == fetch.cause && !matches!(record.event, TraceEvent::DescFetch { .. })
                    || doorbell.is_some_and(|doorbell| {
                        record.id > doorbell.id && matches!(record.event, TraceEvent::WalkStep { .. })
                    })
            });
            found.extend(reading.map(|record| record.id));
        }
        Some(Self::made_of(records, &found, Subject::Out(packet), false))
    }

    fn made_of(
        records: &[TraceRecord],
        found: &BTreeSet<RecordId>,
        subject: Subject,
        shared_interrupt: bool,
    ) -> Self {
        let steps = found.iter().filter_map(|id| record_of(records, *id)).copied().collect();
        Self { subject, steps, bytes: BTreeMap::new(), shared_interrupt }
    }

    /// The frames that went out in this journey, by number.
    pub fn frames_out(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().filter_map(|step| match step.event {
            TraceEvent::FrameOut { packet, .. } => Some(packet),
            _ => None,
        })
    }

    /// The bytes of the frame itself; empty if they are not known.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        let own = self.steps.iter().find(|step| match (step.event, self.subject) {
            (TraceEvent::FrameIn { packet, .. }, Subject::In(own))
            | (TraceEvent::FrameOut { packet, .. }, Subject::Out(own)) => packet == own,
            _ => false,
        });
        own.and_then(|step| self.bytes.get(&step.id)).map_or(&[], |bytes| &bytes[..])
    }

    /// The first reply and its bytes, if one went out.
    #[must_use]
    pub fn reply(&self) -> Option<(&TraceRecord, &[u8])> {
        let out = self.steps.iter().find(|step| matches!(step.event, TraceEvent::FrameOut { .. }))?;
        Some((out, self.bytes.get(&out.id).map_or(&[], |bytes| &bytes[..])))
    }

    /// From the frame's last bit in to the reply's last bit out, if a reply went out.
    #[must_use]
    pub fn latency(&self) -> Option<VirtDuration> {
        let (out, _) = self.reply()?;
        Some(out.time.since(self.steps.first()?.time))
    }

    /// The write of the card's tail register that sent the first frame out.
    #[must_use]
    pub fn doorbell(&self) -> Option<&TraceRecord> {
        let (out, _) = self.reply()?;
        let mut at = out;
        loop {
            at = self.step(at.cause?)?;
            if is_doorbell(at) {
                return Some(at);
            }
        }
    }

    /// The step of that number.
    #[must_use]
    pub fn step(&self, id: RecordId) -> Option<&TraceRecord> {
        record_of(&self.steps, id)
    }
}

fn is_doorbell(record: &TraceRecord) -> bool {
    matches!(
        (record.source, record.event),
        (Slot::Nic(_), TraceEvent::MmioWrite { offset, .. }) if offset == u64::from(spec::TDT)
    )
}

fn record_of(records: &[TraceRecord], id: RecordId) -> Option<&TraceRecord> {
    records.binary_search_by_key(&id, |record| record.id).ok().map(|index| &records[index])
}

/// The chain of causes of a record, nearest first.
fn causes_of<'r>(records: &'r [TraceRecord], of: &TraceRecord) -> Vec<&'r TraceRecord> {
    let mut causes = Vec::new();
    let mut at = of.cause;
    while let Some(record) = at.and_then(|id| record_of(records, id)) {
        causes.push(record);
        // A cause is older than what it causes; anything else is no trace of ours.
        at = record.cause.filter(|cause| *cause < record.id);
    }
    causes
}

/// Adds `from` and all that follows from it, into the first handler but not beyond the interrupts that it causes. Causes
/// come before what they cause, so one pass finds everything.
fn collect(records: &[TraceRecord], from: RecordId, found: &mut BTreeSet<RecordId>) {
    let Ok(start) = records.binary_search_by_key(&from, |record| record.id) else { return };
    let interrupt = |record: &TraceRecord| matches!(record.event, TraceEvent::CpuInterrupt { .. });
    // Records whose effects belong to it, and whether they are in a handler.
    let mut open = BTreeMap::from([(from, interrupt(&records[start]))]);
    found.insert(from);
    for record in &records[start..] {
        let Some(&handled) = record.cause.and_then(|cause| open.get(&cause)) else { continue };
        found.insert(record.id);
        if !(handled && interrupt(record)) {
            open.insert(record.id, handled || interrupt(record));
        }
    }
}

/// The handler whose read of the card's cause register was the first after `delivered`.
fn handler_that_looked(records: &[TraceRecord], delivered: RecordId) -> Option<RecordId> {
    records.iter().filter(|record| record.id > delivered).find_map(|record| {
        match (record.source, record.event) {
            (Slot::Nic(_), TraceEvent::MmioRead { offset, .. }) if offset == u64::from(spec::ICR) => {
                record.cause
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_core::{VirtDuration, VirtTime};

    fn record(id: u64, cause: Option<u64>, event: TraceEvent) -> TraceRecord {
        let time = VirtTime::ZERO.after(VirtDuration::from_us(id));
        TraceRecord {
            id: RecordId(id),
            time,
            insns: 0,
            source: Slot::Nic(0),
            cause: cause.map(RecordId),
            event,
        }
    }

    fn ids(journey: Option<Journey>) -> Vec<u64> {
        journey.map_or(Vec::new(), |journey| journey.steps.iter().map(|step| step.id.0).collect())
    }

    const IN: TraceEvent = TraceEvent::FrameIn { packet: 0, len: 60 };
    const OUT: TraceEvent = TraceEvent::FrameOut { packet: 0, len: 60 };
    const TAKEN: TraceEvent = TraceEvent::CpuInterrupt { vector: 0x30, rip: 0 };

    #[test]
    fn a_chain_is_followed_into_the_handler_and_out_to_the_reply() {
        let records =
            [record(0, None, IN), record(1, None, IN), record(2, Some(0), TAKEN), record(3, Some(2), OUT)];
        let journey = Journey::follow(&records, 0);
        assert_eq!(journey.as_ref().and_then(Journey::latency), Some(VirtDuration::from_us(3)));
        assert_eq!(ids(journey), [0, 2, 3]);
    }

    #[test]
    fn what_a_later_interrupt_does_is_not_part_of_it() {
        let records = [
            record(0, None, IN),
            record(1, Some(0), TAKEN),
            record(2, Some(1), OUT),
            record(3, Some(2), TAKEN),
            record(4, Some(3), OUT),
        ];
        assert_eq!(ids(Journey::follow(&records, 0)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_frame_without_an_interrupt_of_its_own_is_found_in_another_ones_handler() {
        let delivered = TraceEvent::FrameDelivered { packet: 0, len: 60, descriptors: 1 };
        let looked =
            TraceEvent::MmioRead { offset: spec::ICR.into(), width: emu_core::Width::B4, value: 0x80 };
        let records = [
            record(0, None, IN),
            record(1, None, TAKEN),
            record(2, Some(0), delivered),
            record(3, Some(1), looked),
            record(4, Some(1), OUT),
        ];
        let journey = Journey::follow(&records, 0);
        assert_eq!(journey.as_ref().map(|journey| journey.shared_interrupt), Some(true));
        assert_eq!(ids(journey), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_unknown_packet_has_no_journey() {
        assert_eq!(Journey::follow(&[record(0, None, IN)], 7), None);
    }
}
