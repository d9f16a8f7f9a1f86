//! The records of the run up to the moment that is looked at, and what the guest has said: as much as there is room for.

use emu_core::trace::{RecordId, TraceRecord, TraceSink};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Records kept at most; older ones go.
const RECORDS_MAX: usize = 400_000;
/// Bytes of the serial port's output kept at most.
const SERIAL_MAX: usize = 1 << 20;

/// Records in order, with the bytes of those that came with some.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: VecDeque<TraceRecord>,
    bytes: BTreeMap<RecordId, Box<[u8]>>,
}

impl Records {
    /// Where the record with that number is, or would be.
    fn place(&self, id: u64) -> usize {
        self.records.partition_point(|record| record.id.0 < id)
    }

    /// The record with that number.
    pub(super) fn find(&self, id: RecordId) -> Option<&TraceRecord> {
        self.records.get(self.place(id.0)).filter(|record| record.id == id)
    }

    /// Its bytes.
    pub(super) fn bytes_of(&self, id: RecordId) -> &[u8] {
        self.bytes.get(&id).map_or(&[], |bytes| bytes)
    }

    /// Records from that number on.
    pub(super) fn from(&self, id: u64) -> impl Iterator<Item = &TraceRecord> {
        self.records.range(self.place(id)..)
    }

    /// Records before that number, latest first.
    pub(super) fn before(&self, id: u64) -> impl Iterator<Item = &TraceRecord> {
        self.records.range(..self.place(id)).rev()
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<RecordId> {
        self.records.front().map(|record| record.id)
    }

    /// The latest.
    pub(super) fn last(&self) -> Option<RecordId> {
        self.records.back().map(|record| record.id)
    }

    /// Forgets the records from that number on: the machine was taken back to before them.
    pub(super) fn forget_from(&mut self, id: u64) {
        self.records.truncate(self.place(id));
        self.bytes.split_off(&RecordId(id));
    }
}

/// The inspector's end of the machine's trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Ear(pub(super) Rc<RefCell<Records>>);

impl TraceSink for Ear {
    fn record(&mut self, record: &TraceRecord) {
        let mut kept = self.0.borrow_mut();
        if kept.records.len() >= RECORDS_MAX
            && let Some(oldest) = kept.records.pop_front()
        {
            kept.bytes.remove(&oldest.id);
        }
        kept.records.push_back(*record);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut kept = self.0.borrow_mut();
        if let Some(id) = kept.last() {
            kept.bytes.insert(id, bytes.into());
        }
    }
}

/// What the guest has sent to its serial port.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Bytes that are not kept any more.
    gone: u64,
    bytes: Vec<u8>,
}

impl Said {
    /// More of it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * SERIAL_MAX {
            let excess = self.bytes.len() - SERIAL_MAX;
            self.bytes.drain(..excess);
            self.gone += excess as u64;
        }
    }

    /// How much in all.
    pub(super) fn len(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// Only the first `len` bytes were sent after all.
    pub(super) fn forget_from(&mut self, len: u64) {
        match len.checked_sub(self.gone) {
            Some(kept) => self.bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX)),
            None => (self.gone, self.bytes) = (len, Vec::new()),
        }
    }

    /// Where the first place that has `text` ends, if it was said and is kept.
    pub(super) fn place_of(&self, text: &str) -> Option<u64> {
        let at = self.bytes.windows(text.len().max(1)).position(|window| window == text.as_bytes())?;
        Some(self.gone + (at + text.len()) as u64)
    }

    /// As lines, without what terminals are told.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect();
        text.lines().map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_core::trace::{TraceEvent, TraceMask, Tracer};
    use emu_core::{Slot, VirtTime};

    #[test]
    fn old_records_go_and_later_ones_are_forgotten_with_their_bytes() {
        let ear = Ear::default();
        let mut tracer = Tracer::default();
        tracer.attach(TraceMask::ALL, Box::new(ear.clone()));
        tracer.at(VirtTime::ZERO, 0);
        for _ in 0..RECORDS_MAX + 10 {
            tracer.emit_with(Slot::Pit, TraceEvent::Reset, &[1]);
        }
        let mut kept = ear.0.borrow_mut();
        assert_eq!(kept.first(), Some(RecordId(10)));
        assert_eq!((kept.find(RecordId(9)), kept.bytes_of(RecordId(9))), (None, &[][..]));
        kept.forget_from(12);
        assert_eq!(kept.from(0).map(|record| record.id.0).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(kept.before(11).map(|record| record.id.0).collect::<Vec<_>>(), [10]);
        assert_eq!((kept.bytes_of(RecordId(11)), kept.bytes_of(RecordId(12))), (&[1][..], &[][..]));
    }

    #[test]
    fn what_was_said_is_taken_back() {
        let mut said = Said::default();
        said.push(b"one\r\ntwo\x1b");
        assert_eq!(said.lines(), ["one", "two"]);
        said.forget_from(3);
        assert_eq!((said.lines(), said.len()), (vec!["one".to_owned()], 3));
        said.push(&vec![b'x'; 2 * SERIAL_MAX]);
        assert_eq!((said.bytes.len(), said.len()), (SERIAL_MAX, 3 + 2 * SERIAL_MAX as u64));
        said.forget_from(2);
        assert_eq!((said.lines().len(), said.len()), (0, 2));
    }
}
