//! Checkpoints: moments of a run that the same machine can go back to, as often as it likes. What one costs, and going back to
//! it, is what was written in between, not the size of memory.

use super::Machine;
use super::cable::Told;
use super::history::PageTable;
use super::parts::{Parts, Ram, Watched};
use crate::scenario::Scenario;
use emu_core::VirtTime;
use std::sync::Arc;

/// A moment of a run. Moments share the pages in which they are the same.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    scenario: Arc<Scenario>,
    parts: Parts,
    watched: Watched,
    memory: PageTable,
    cable: Told,
    serial: u64,
    debugcon: u64,
}

impl Checkpoint {
    /// Instructions retired.
    #[must_use]
    pub fn insns(&self) -> u64 {
        self.parts.cpu.insns
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> VirtTime {
        self.parts.cpu.now
    }

    /// The number of the next trace record.
    #[must_use]
    pub fn next_record(&self) -> u64 {
        self.parts.tracer.next_id
    }

    /// The state of every part but memory.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// Why a machine can't go back to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint is of another machine: {0}")]
pub struct RewindError(String);

impl Machine {
    /// Keeps this moment. The run goes on as if nothing had happened.
    pub fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            scenario: Arc::clone(&self.scenario),
            parts: self.parts(),
            watched: self.watched(),
            memory: self.keep_memory(),
            cable: *self.platform.cable.told(),
            serial: self.platform.serial.told().seen(),
            debugcon: self.platform.debugcon.told().seen(),
        }
    }

    /// Goes back to a moment of this run. It then runs on as it did; what was told before, trace records, captured frames and
    /// serial output, is not told again.
    pub fn rewind(&mut self, to: &Checkpoint) -> Result<(), RewindError> {
        if !Arc::ptr_eq(&self.scenario, &to.scenario) && self.scenario != to.scenario {
            return Err(RewindError("it was made from another scenario".to_owned()));
        }
        let tracer = &mut self.platform.board.fabric.tracer;
        tracer.rewind(to.parts.tracer.clone());
        self.put_memory_back(&to.memory);
        self.restore_parts(to.parts.clone(), Ram::Same).map_err(RewindError)?;
        self.restore_watched(to.watched.clone());
        self.platform.cable.told().rewind(to.cable);
        self.platform.serial.told().rewind(to.serial);
        self.platform.debugcon.told().rewind(to.debugcon);
        Ok(())
    }

    /// What follows is another run than the one before [`Self::rewind`], because something is going to be different: all of it
    /// is told.
    pub fn tell_again(&mut self) {
        self.platform.board.fabric.tracer.tell_again();
        self.platform.cable.told().tell_again();
        self.platform.serial.told().tell_again();
        self.platform.debugcon.told().tell_again();
    }
}
