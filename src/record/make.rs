//! Making a recording: a run that is stopped again and again to be looked at.

use super::{Moment, Output, Recording, inputs, program};
use crate::error::Error;
use crate::machine::{Goal, Machine, Stop};
use crate::position::Position;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Instructions between two checkpoints at first.
const FIRST_INTERVAL: u64 = 1 << 14;
/// When there are so many checkpoints, every second one goes and the interval doubles: a recording of any length has at most
/// these, evenly spread.
const CHECKPOINTS_MAX: usize = 128;

/// How a recording is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Making {
    /// Instructions between two checkpoints, if it is not to be found out.
    pub every: Option<u64>,
}

/// What is written, in short.
#[derive(Clone, Default)]
pub(super) struct Sum(Arc<Mutex<(u64, blake3::Hasher)>>);

impl Sum {
    pub(super) fn output(&self) -> Output {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Output::of(sum.0, &sum.1)
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.0 += bytes.len() as u64;
        sum.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A machine whose output is summed up.
pub(super) struct Watched {
    pub(super) machine: Machine,
    pub(super) serial: Sum,
    pub(super) capture: Sum,
}

impl Watched {
    pub(super) fn new(mut machine: Machine) -> Result<Self, Error> {
        let (serial, capture) = (Sum::default(), Sum::default());
        machine.capture_to(Box::new(capture.clone())).map_err(Error::file("capture".as_ref()))?;
        Ok(Self { machine, serial, capture })
    }

    /// Runs to an instruction, or to the end before it.
    pub(super) fn run_to(&mut self, insns: Option<u64>, told: &mut dyn FnMut(&[u8])) -> Result<Stop, Error> {
        let goal = Goal { position: insns.map(Position::Insns), ..Goal::default() };
        let stop = self.machine.run(&goal);
        let serial = self.machine.take_serial();
        told(&serial);
        self.serial.write_all(&serial).map_err(Error::file("serial".as_ref()))?;
        if stop != Stop::Reached {
            self.machine.finish_capture().map_err(Error::file("capture".as_ref()))?;
        }
        Ok(stop)
    }
}

/// Runs a machine that has not run yet to its end; `told` hears what the guest prints.
pub fn record(
    machine: Machine,
    making: Making,
    mut told: impl FnMut(&[u8]),
) -> Result<(Recording, Machine, Stop), Error> {
    let scenario = machine.scenario().clone();
    let inputs = inputs(&scenario)?;
    let mut watched = Watched::new(machine)?;
    let mut interval = making.every.unwrap_or(FIRST_INTERVAL).max(1);
    let mut checkpoints = vec![Moment::of(&mut watched.machine)];
    let stop = loop {
        let next = (watched.machine.insns() / interval + 1).saturating_mul(interval);
        let stop = watched.run_to(Some(next), &mut told)?;
        checkpoints.push(Moment::of(&mut watched.machine));
        if stop != Stop::Reached {
            break stop;
        }
        if making.every.is_none() && checkpoints.len() >= CHECKPOINTS_MAX {
            interval *= 2;
            checkpoints.retain(|moment| moment.insns.is_multiple_of(interval));
        }
    };
    let recording = Recording {
        program: program(),
        base: std::path::absolute(&scenario.base).unwrap_or_default(),
        scenario,
        inputs,
        checkpoints,
        exit: stop.name(),
        serial: watched.serial.output(),
        capture: watched.capture.output(),
    };
    Ok((recording, watched.machine, stop))
}
