//! Whole runs for tests: what went in, what came out, every record.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its part")]

use emu_core::trace::{SharedLog, TraceEvent, TraceMask, TraceRecord};
use glassbox::machine::{Goal, Machine, Stop, Summary};
use glassbox::scenario::Scenario;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A file in memory that outlives its writer.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that a run left behind.
pub struct Outcome {
    pub stop: Stop,
    pub serial: String,
    pub capture: Vec<u8>,
    pub records: Vec<TraceRecord>,
    pub summary: Summary,
    pub broken: Vec<String>,
}

impl Outcome {
    /// Records whose event passes `test`.
    pub fn events(&self, test: impl Fn(&TraceEvent) -> bool) -> Vec<&TraceRecord> {
        self.records.iter().filter(|record| test(&record.event)).collect()
    }
}

/// Runs a built-in scenario, changed by `change`, to its end.
pub fn run_changed(name: &str, change: impl FnOnce(&mut Scenario)) -> Outcome {
    let mut scenario = Scenario::load(name).unwrap();
    change(&mut scenario);
    finish(Machine::new(scenario).unwrap())
}

/// Runs a built-in scenario to its end.
pub fn run(name: &str) -> Outcome {
    run_changed(name, |_| ())
}

/// Runs a machine to its end.
pub fn finish(mut machine: Machine) -> Outcome {
    let (log, capture) = (SharedLog::default(), Buffer::default());
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.capture_to(Box::new(capture.clone())).unwrap();
    let started = machine.insns();
    let stop = machine.run(&Goal::default());
    machine.finish_capture().unwrap();
    Outcome {
        serial: String::from_utf8_lossy(&machine.take_serial()).into_owned(),
        capture: capture.bytes(),
        records: log.take(),
        summary: machine.summary(&stop, started, Duration::from_secs(1)),
        broken: machine.broken_expectations(&stop),
        stop,
    }
}
