//! One of two runs that are compared: a machine, and a number for all records that it has told of.

use crate::error::Error;
use crate::machine::{Checkpoint, Digest, Goal, Machine, Stop};
use crate::position::Position;
use emu_core::trace::{RecordId, TraceMask, TraceRecord, TraceSink};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// All records so far as one number, and which record caused which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    hash: [u8; 32],
    count: u64,
}

#[derive(Debug, Default)]
struct Heard {
    chain: Chain,
    /// The cause of each record by its number, 0 for none and else one more than the cause's.
    causes: Vec<u64>,
    /// Records that are kept, if they are.
    log: Option<Vec<TraceRecord>>,
    /// Records that are kept by their number.
    wanted: BTreeSet<RecordId>,
    found: Vec<TraceRecord>,
    text: Vec<u8>,
}

impl Heard {
    fn hear(&mut self, record: &TraceRecord) {
        self.text.clear();
        self.text.extend(self.chain.hash);
        let TraceRecord { id, time, insns, source, cause, event } = record;
        // Writing to a Vec cannot fail, and events are plain data.
        let _ = serde_json::to_writer(&mut self.text, &(id, time, insns, source, cause, event));
        self.chain = Chain { hash: *blake3::hash(&self.text).as_bytes(), count: self.chain.count + 1 };
        let number = usize::try_from(id.0).unwrap_or(usize::MAX);
        if number == self.causes.len() {
            self.causes.push(cause.map_or(0, |cause| cause.0 + 1));
        }
        if let Some(log) = &mut self.log {
            log.push(*record);
        }
        if self.wanted.contains(id) {
            self.found.push(*record);
        }
    }
}

struct Ear(Rc<RefCell<Heard>>);

impl TraceSink for Ear {
    fn record(&mut self, record: &TraceRecord) {
        self.0.borrow_mut().hear(record);
    }
}

/// What is compared of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    insns: u64,
    stop: Stop,
    chain: Chain,
    parts: Vec<(String, String)>,
}

/// One of two runs.
pub(super) struct Side {
    pub(super) machine: Machine,
    /// Why it last came back; anything but [`Stop::Reached`] is its end.
    pub(super) stop: Stop,
    start: Checkpoint,
    heard: Rc<RefCell<Heard>>,
}

impl Side {
    pub(super) fn new(mut machine: Machine) -> Self {
        let heard = Rc::new(RefCell::new(Heard::default()));
        machine.tracer().attach(TraceMask::ALL, Box::new(Ear(Rc::clone(&heard))));
        let start = machine.checkpoint();
        Self { machine, stop: Stop::Reached, start, heard }
    }

    /// Runs to an instruction, or to the end before it.
    pub(super) fn run_to(&mut self, insns: Option<u64>) {
        let goal = Goal { position: insns.map(Position::Insns), ..Goal::default() };
        self.stop = self.machine.run(&goal);
        // Nobody reads them.
        self.machine.take_serial();
        self.machine.take_debugcon();
    }

    pub(super) fn look(&mut self, ignored: &BTreeSet<String>) -> Look {
        let digest: Digest = self.machine.digest();
        let compared = digest.parts().filter(|(name, _)| !ignored.contains(*name));
        Look {
            insns: self.machine.insns(),
            stop: self.stop.clone(),
            chain: self.chain(),
            parts: compared.map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect(),
        }
    }

    pub(super) fn chain(&self) -> Chain {
        self.heard.borrow().chain.clone()
    }

    /// Goes back to a checkpoint and hears everything from there again.
    pub(super) fn go_back(&mut self, to: &Checkpoint, chain: &Chain) -> Result<(), Error> {
        self.machine.rewind(to)?;
        self.machine.tell_again();
        self.stop = Stop::Reached;
        let mut heard = self.heard.borrow_mut();
        heard.chain = chain.clone();
        heard.causes.truncate(usize::try_from(to.next_record()).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Keeps records from now on.
    pub(super) fn log(&mut self) {
        self.heard.borrow_mut().log = Some(Vec::new());
    }

    /// Records since the last call.
    pub(super) fn take_log(&mut self) -> Vec<TraceRecord> {
        self.heard.borrow_mut().log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The cause of a record that was heard.
    pub(super) fn cause_of(&self, record: RecordId) -> Option<RecordId> {
        let cause = *self.heard.borrow().causes.get(usize::try_from(record.0).ok()?)?;
        cause.checked_sub(1).map(RecordId)
    }

    /// Runs once more from the start until `wanted` were all heard.
    pub(super) fn hear_again(&mut self, wanted: BTreeSet<RecordId>) -> Result<Vec<TraceRecord>, Error> {
        let Some(last) = wanted.last().copied() else { return Ok(Vec::new()) };
        let start = self.start.clone();
        self.go_back(&start, &Chain::default())?;
        {
            let mut heard = self.heard.borrow_mut();
            (heard.wanted, heard.log) = (wanted, None);
        }
        self.machine.run(&Goal { position: Some(Position::Record(last.0)), ..Goal::default() });
        let mut heard = self.heard.borrow_mut();
        heard.wanted.clear();
        Ok(std::mem::take(&mut heard.found))
    }

    /// The instruction that is about to be executed, in words.
    pub(super) fn instruction(&self) -> String {
        self.machine.next_instruction().unwrap_or_else(|| "(not in memory)".to_owned())
    }
}
