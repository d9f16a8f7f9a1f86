//! Where records go. Sinks only take; what they do with a record never reaches the machine.

use super::{RecordId, TraceRecord};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Takes records in order.
pub trait TraceSink {
    /// One record.
    fn record(&mut self, record: &TraceRecord);
    /// The bytes that go with the record just taken: a frame, or the beginning of what a DMA moved.
    fn bytes(&mut self, _bytes: &[u8]) {}
    /// No more will come: flush.
    fn finish(&mut self) {}
}

/// Waits for a record: the run is stopped behind it.
pub trait Lookout {
    /// Whether it is this one.
    fn waits_for(&mut self, record: &TraceRecord) -> bool;
}

/// What a log holds: records, and the bytes that some of them came with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// By ascending number.
    pub records: Vec<TraceRecord>,
    /// Frames, and the beginnings of what DMAs moved.
    pub bytes: BTreeMap<RecordId, Box<[u8]>>,
}

impl Logged {
    /// The record of that number, if it was logged.
    #[must_use]
    pub fn find(&self, id: RecordId) -> Option<&TraceRecord> {
        self.records.binary_search_by_key(&id, |record| record.id).ok().map(|index| &self.records[index])
    }

    /// Its bytes; empty if it came without.
    #[must_use]
    pub fn bytes_of(&self, id: RecordId) -> &[u8] {
        self.bytes.get(&id).map_or(&[], |bytes| &bytes[..])
    }
}

impl TraceSink for Logged {
    fn record(&mut self, record: &TraceRecord) {
        self.records.push(*record);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(record) = self.records.last() {
            self.bytes.insert(record.id, bytes.into());
        }
    }
}

/// A log in memory that its maker goes on holding: for the journey and for tests.
///
/// Shared by handle because the machine owns its sink; nothing of the machine can reach it.
#[derive(Clone, Debug, Default)]
pub struct SharedLog(Rc<RefCell<Logged>>);

impl SharedLog {
    /// Takes out the records logged so far, without their bytes.
    #[must_use]
    pub fn take(&self) -> Vec<TraceRecord> {
        self.take_all().records
    }

    /// Takes out everything logged so far.
    #[must_use]
    pub fn take_all(&self) -> Logged {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

impl TraceSink for SharedLog {
    fn record(&mut self, record: &TraceRecord) {
        self.0.borrow_mut().record(record);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().bytes(bytes);
    }
}

/// Keeps the last `limit` records: what led up to a crash.
#[derive(Clone, Debug)]
pub struct RecentSink {
    records: Rc<RefCell<VecDeque<TraceRecord>>>,
    limit: usize,
}

impl RecentSink {
    /// Keeps at most `limit` records.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { records: Rc::default(), limit }
    }

    /// The records kept, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<TraceRecord> {
        self.records.borrow().iter().copied().collect()
    }
}

impl TraceSink for RecentSink {
    fn record(&mut self, record: &TraceRecord) {
        let mut records = self.records.borrow_mut();
        if records.len() >= self.limit {
            records.pop_front();
        }
        if self.limit > 0 {
            records.push_back(*record);
        }
    }
}
