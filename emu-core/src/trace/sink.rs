//! Where records go. Sinks only take; what they do with a record never reaches the machine.

use super::TraceRecord;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Takes records in order.
pub trait TraceSink {
    /// One record.
    fn record(&mut self, record: &TraceRecord);
    /// No more will come: flush.
    fn finish(&mut self) {}
}

/// A log in memory that its maker goes on holding: for the journey and for tests.
///
/// Shared by handle because the machine owns its sink; nothing of the machine can reach it.
#[derive(Clone, Debug, Default)]
pub struct SharedLog(Rc<RefCell<Vec<TraceRecord>>>);

impl SharedLog {
    /// Takes out everything logged so far.
    #[must_use]
    pub fn take(&self) -> Vec<TraceRecord> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

impl TraceSink for SharedLog {
    fn record(&mut self, record: &TraceRecord) {
        self.0.borrow_mut().push(*record);
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
