//! What would happen if: many runs that part at one moment, each with something else changed, side by side.
//!
//! Each worker has a machine of its own that is taken back to the moment again and again, which costs what a run has written, not
//! the size of memory. Which worker makes which run decides nothing: the answers come in the order of the questions.

use crate::error::Error;
use crate::machine::{Checkpoint, FrameChange, Goal, Machine, Stop};
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is different in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// RDRAND and RDSEED follow from this seed from there on.
    Seed(u64),
    /// That frame is lost on the wire.
    Drop(u64),
    /// A byte of that frame is another.
    Byte {
        /// The frame, counting from 0.
        packet: u64,
        /// Which byte.
        offset: usize,
        /// Its value.
        value: u8,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("as it is"),
            Self::Seed(seed) => write!(f, "seed={seed}"),
            Self::Drop(packet) => write!(f, "drop={packet}"),
            Self::Byte { packet, offset, value } => write!(f, "byte={packet}:{offset}={value:#04x}"),
        }
    }
}

/// A row of changes, as the command line has it: `seed=1..100`, `drop=3..9`, `byte=PACKET:OFFSET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes(pub Vec<Change>);

/// More runs than anybody waits for.
const RUNS_MAX: u64 = 1_000_000;

impl FromStr for Changes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}`: use seed=A..B, drop=A..B or byte=PACKET:OFFSET");
        let number = |text: &str| text.parse::<u64>().map_err(|_| refuse());
        let (key, value) = text.split_once('=').ok_or_else(refuse)?;
        let range = || {
            let (first, end) = value.split_once("..").ok_or_else(refuse)?;
            let (first, end) = (number(first)?, number(end)?);
            if end <= first || end - first > RUNS_MAX { Err(refuse()) } else { Ok(first..end) }
        };
        Ok(Self(match key {
            "seed" => range()?.map(Change::Seed).collect(),
            "drop" => range()?.map(Change::Drop).collect(),
            "byte" => {
                let (packet, offset) = value.split_once(':').ok_or_else(refuse)?;
                let packet = number(packet)?;
                let offset = usize::try_from(number(offset)?).map_err(|_| refuse())?;
                (0..=255).map(|value| Change::Byte { packet, offset, value }).collect()
            }
            _ => return Err(refuse()),
        }))
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was different.
    pub change: Change,
    /// Why it ended.
    pub exit: String,
    /// Instructions in all.
    pub insns: u64,
    /// Frames that the guest sent.
    pub frames_out: u64,
    /// Faults that the IOMMU reported.
    pub faults: u64,
    /// The machine at the end.
    pub state: String,
}

impl Outcome {
    /// Whether the two went alike, as far as can be seen from outside.
    #[must_use]
    pub fn alike(&self, other: &Self) -> bool {
        (&self.exit, self.frames_out, self.faults, &self.state)
            == (&other.exit, other.frames_out, other.faults, &other.state)
    }
}

/// The moment from which the runs part.
#[derive(Debug)]
pub struct Point {
    scenario: Scenario,
    moment: Checkpoint,
}

impl Point {
    /// Where a machine is now.
    pub fn of(machine: &mut Machine) -> Self {
        Self { scenario: machine.scenario().clone(), moment: machine.checkpoint() }
    }

    /// Makes every run to its end, or until `limit` instructions after the moment; `workers` at a time.
    pub fn explore(
        &self,
        changes: &[Change],
        limit: Option<u64>,
        workers: usize,
    ) -> Result<Vec<Outcome>, Error> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut outcomes = Vec::new();
            let mut machine = Machine::new(self.scenario.clone())?;
            machine.rewind(&self.moment)?;
            let base = machine.checkpoint();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(change) = changes.get(index) else { return Ok(outcomes) };
                machine.rewind(&base)?;
                outcomes.push((index, run(&mut machine, *change, limit)));
            }
        };
        let parts: Vec<Result<Vec<(usize, Outcome)>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers.clamp(1, changes.len().max(1))).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let mut outcomes = BTreeMap::new();
        for part in parts {
            outcomes.extend(part?);
        }
        Ok(outcomes.into_values().collect())
    }
}

fn run(machine: &mut Machine, change: Change, limit: Option<u64>) -> Outcome {
    let seed = machine.scenario().cpu.seed;
    machine.set_seed(if let Change::Seed(seed) = change { seed } else { seed });
    machine.change_frame(match change {
        Change::Drop(packet) => Some((packet, FrameChange::Lose)),
        Change::Byte { packet, offset, value } => Some((packet, FrameChange::Set { offset, value })),
        Change::None | Change::Seed(_) => None,
    });
    let end = limit.map(|limit| machine.insns().saturating_add(limit));
    let stop = loop {
        let stop = machine.run(&Goal { max_insns: end, ..Goal::default() });
        if stop != Stop::Slice {
            break stop;
        }
    };
    machine.take_serial();
    machine.take_debugcon();
    let parts = machine.parts();
    Outcome {
        change,
        exit: stop.name(),
        insns: machine.insns(),
        frames_out: parts.frames_out,
        faults: parts.iommus.iter().map(|iommu| iommu.stats.faults).sum(),
        state: machine.state_hash(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_what_is_none_is_named() {
        let read = |text: &str| text.parse::<Changes>().map(|changes| changes.0);
        assert_eq!(read("seed=3..5"), Ok(vec![Change::Seed(3), Change::Seed(4)]));
        assert_eq!(read("byte=1:20").unwrap().len(), 256);
        assert_eq!(read("drop=2..3").unwrap()[0].to_string(), "drop=2");
        for text in ["", "seed", "seed=5..5", "seed=x", "byte=1", "flip=1..2", "drop=0..99999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
