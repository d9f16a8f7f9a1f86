//! The journey: everything that one packet set in motion, from the wire to the guest's handler to the reply.
//!
//! Causes make it: a record belongs to the journey if its chain of causes leads to the frame's arrival. A handler's
//! further interrupts (the transmission it started completes, say) end the journey; what they do is theirs.

use super::text;
use emu_core::trace::{RecordId, TraceEvent, TraceRecord};
use emu_core::{Slot, VirtDuration, VirtTime};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Interrupt cause read: the register whose read tells the driver that its card has something.
const ICR: u64 = 0xc0;

/// One packet's records in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    /// The packet's number, counting frames in from 0.
    pub packet: u64,
    /// The records, by ascending number.
    pub steps: Vec<TraceRecord>,
    /// The frame raised no interrupt of its own: the driver found it in a handler that another one had raised.
    pub shared_interrupt: bool,
}

impl Journey {
    /// Follows packet `packet` through `records`, which must be in order and hold every kind. `None` if no such packet
    /// came in.
    #[must_use]
    pub fn follow(records: &[TraceRecord], packet: u64) -> Option<Self> {
        let arrival = records
            .iter()
            .find(|record| matches!(record.event, TraceEvent::FrameIn { packet: n, .. } if n == packet))?;
        let children = children_of(records);
        let mut found = BTreeSet::new();
        collect(&children, records, arrival.id, &mut found);
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
            found.insert(handler);
            collect(&children, records, handler, &mut found);
        }
        let steps = found.iter().filter_map(|id| record_of(records, *id)).copied().collect();
        Some(Self { packet, steps, shared_interrupt })
    }

    /// The frames that went out in this journey, by number.
    pub fn frames_out(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().filter_map(|step| match step.event {
            TraceEvent::FrameOut { packet, .. } => Some(packet),
            _ => None,
        })
    }

    /// From the frame's last bit in to the reply's last bit out, if a reply went out.
    #[must_use]
    pub fn latency(&self) -> Option<VirtDuration> {
        let out = self.steps.iter().find(|step| matches!(step.event, TraceEvent::FrameOut { .. }))?;
        Some(out.time.since(self.steps.first()?.time))
    }

    /// As a table for the terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let mut before = self.steps.first().map_or(VirtTime::ZERO, |step| step.time);
        for step in &self.steps {
            let waited = step.time.since(before);
            before = step.time;
            let cause = step.cause.map_or(String::new(), |cause| format!("  <- {cause}"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{}  {:>11}  {:>7}  {:<10} {}{cause}",
                text::time(step.time),
                delta(waited),
                step.id.to_string(),
                step.source.to_string(),
                text::describe(step.source, &step.event),
            );
            if self.shared_interrupt && matches!(step.event, TraceEvent::FrameDelivered { .. }) {
                let _ = writeln!(
                    out,
                    "{:>18}an interrupt was already on its way: its handler finds this frame too",
                    ""
                );
            }
        }
        if let Some(latency) = self.latency() {
            let _ = writeln!(out, "from the frame's last bit in to the reply's last bit out: {latency}");
        }
        out
    }
}

fn delta(span: VirtDuration) -> String {
    if span == VirtDuration::ZERO { String::new() } else { format!("+{span}") }
}

fn record_of(records: &[TraceRecord], id: RecordId) -> Option<&TraceRecord> {
    records.binary_search_by_key(&id, |record| record.id).ok().map(|index| &records[index])
}

fn children_of(records: &[TraceRecord]) -> BTreeMap<RecordId, Vec<RecordId>> {
    let mut children: BTreeMap<RecordId, Vec<RecordId>> = BTreeMap::new();
    for record in records {
        if let Some(cause) = record.cause {
            children.entry(cause).or_default().push(record.id);
        }
    }
    children
}

/// Adds `from` and all that follows from it, into the first handler but not beyond the interrupts that it causes.
fn collect(
    children: &BTreeMap<RecordId, Vec<RecordId>>,
    records: &[TraceRecord],
    from: RecordId,
    found: &mut BTreeSet<RecordId>,
) {
    let in_handler = |id| {
        record_of(records, id).is_some_and(|record| matches!(record.event, TraceEvent::CpuInterrupt { .. }))
    };
    let mut open = vec![(from, in_handler(from))];
    found.insert(from);
    while let Some((id, handled)) = open.pop() {
        for &child in children.get(&id).into_iter().flatten() {
            let another = in_handler(child);
            if found.insert(child) && !(handled && another) {
                open.push((child, handled || another));
            }
        }
    }
}

/// The handler whose read of the card's cause register was the first after `delivered`.
fn handler_that_looked(records: &[TraceRecord], delivered: RecordId) -> Option<RecordId> {
    records.iter().filter(|record| record.id > delivered).find_map(|record| {
        match (record.source, record.event) {
            (Slot::Nic(_), TraceEvent::MmioRead { offset: ICR, .. }) => record.cause,
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_core::VirtDuration;

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
        let looked = TraceEvent::MmioRead { offset: ICR, width: emu_core::Width::B4, value: 0x80 };
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
