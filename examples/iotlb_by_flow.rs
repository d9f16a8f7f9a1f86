//! Counts what each flow of a capture cost in IOTLB misses: a run as a library, and what its trace says.
//!
//! `cargo run --release --example iotlb_by_flow`
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use emu_core::trace::{SharedLog, TraceMask};
use glassbox::error::Error;
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::Scenario;
use glassbox::view::{Journey, Subject, frame};
use std::collections::BTreeMap;

fn main() -> Result<(), Error> {
    let log = SharedLog::default();
    let mut machine = Machine::new(Scenario::load("demo")?)?;
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.run(&Goal::default());

    // A flow is who speaks to whom of what: the words before the first number that changes from frame to frame.
    let log = log.take_all();
    let mut flows: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for packet in 0..machine.counters().frames_in {
        let Some(journey) = Journey::of(&log, Subject::In(packet)) else { continue };
        let words = frame::summary(journey.frame());
        let flow = words.split(", ").take(2).collect::<Vec<_>>().join(", ");
        let figures = journey.figures();
        let (frames, hits, misses) = flows.entry(flow).or_default();
        *frames += 1;
        *hits += figures.iotlb_hits;
        *misses += figures.iotlb_misses;
    }
    println!("{:>6} {:>6} {:>6}  flow", "frames", "hits", "misses");
    for (flow, (frames, hits, misses)) in flows {
        println!("{frames:>6} {hits:>6} {misses:>6}  {flow}");
    }
    Ok(())
}
