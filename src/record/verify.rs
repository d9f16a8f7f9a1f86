//! Replaying a recording and comparing the machine with it, checkpoint by checkpoint.

use super::make::Watched;
use super::{Moment, Recording, program};
use crate::error::Error;
use crate::machine::{Machine, Stop};
use crate::position::Position;
use std::fmt;

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same run, with so many checkpoints.
    Same(usize),
    /// Not the same.
    Parts(Box<Parting>),
}

/// Where a replay parts from its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The first checkpoint that differs, counting from 0.
    pub checkpoint: usize,
    /// How many there are.
    pub of: usize,
    /// The last one that was the same.
    pub last_same: Option<Moment>,
    /// As recorded.
    pub recorded: Moment,
    /// As replayed.
    pub replayed: Moment,
    /// Parts that differ, or what of the run does: `memory`, `nic`, `exit`.
    pub parts: Vec<String>,
    /// The program that made the recording, if it is not this one.
    pub program: Option<String>,
}

/// Runs a recording's scenario and compares. A parting ends the run; the machine is left there.
pub fn verify(recording: &Recording, mut told: impl FnMut(&[u8])) -> Result<(Verdict, Machine, Stop), Error> {
    let mut watched = Watched::new(recording.machine()?)?;
    let mut last_same = None;
    let mut stop = Stop::Reached;
    let of = recording.checkpoints.len();
    for (checkpoint, recorded) in recording.checkpoints.iter().enumerate() {
        let last = checkpoint + 1 == of;
        stop = watched.run_to(Some(recorded.insns).filter(|_| !last), &mut told)?;
        let replayed = Moment::of(&mut watched.machine);
        let mut parts = differing(recorded, &replayed);
        if last {
            parts.extend(outcome(recording, &watched, &stop));
        } else if stop != Stop::Reached {
            parts.push("exit".to_owned());
        }
        if !parts.is_empty() {
            let parting = Parting {
                checkpoint,
                of,
                last_same,
                recorded: recorded.clone(),
                replayed,
                parts,
                program: Some(recording.program.clone()).filter(|made| *made != program()),
            };
            return Ok((Verdict::Parts(Box::new(parting)), watched.machine, stop));
        }
        last_same = Some(replayed);
    }
    Ok((Verdict::Same(of), watched.machine, stop))
}

fn differing(recorded: &Moment, replayed: &Moment) -> Vec<String> {
    let mut parts = recorded.digest.differing(&replayed.digest);
    let position = |moment: &Moment| (moment.insns, moment.time, moment.record);
    if position(recorded) != position(replayed) {
        parts.push("position".to_owned());
    }
    parts
}

/// What came out of the whole run.
fn outcome(recording: &Recording, watched: &Watched, stop: &Stop) -> Vec<String> {
    let differs = [
        ("exit", recording.exit != stop.name()),
        ("serial", recording.serial != watched.serial.output()),
        ("capture", recording.capture != watched.capture.output()),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |moment: &Moment| {
            let time = Position::Time(moment.time);
            format!("insns={} {time} record={}", moment.insns, moment.record)
        };
        writeln!(f, "checkpoint {} of {} differs: {}", self.checkpoint + 1, self.of, self.parts.join(", "))?;
        match &self.last_same {
            Some(moment) => writeln!(f, "      last same  {}", place(moment))?,
            None => writeln!(f, "      last same  none: the machines differ from the start")?,
        }
        writeln!(f, "       recorded  {}", place(&self.recorded))?;
        writeln!(f, "       replayed  {}", place(&self.replayed))?;
        if let Some(program) = &self.program {
            writeln!(f, "    recorded by  {program}")?;
            writeln!(f, "    replayed by  {}", super::program())?;
        }
        Ok(())
    }
}
