//! An interrupt's latency as an assertion, as a driver's CI would have it: from the frame in memory to the handler.
//!
//! `cargo test --example interrupt_latency`
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use emu_core::trace::{SharedLog, TraceEvent, TraceMask, TraceRecord};
use emu_core::{VirtDuration, VirtTime};
use glassbox::error::Error;
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::Scenario;
use glassbox::view::Journey;

/// For each frame that raised an interrupt of its own, how long it took from memory to handler.
fn latencies(scenario: &str) -> Result<Vec<VirtDuration>, Error> {
    let log = SharedLog::default();
    let mut machine = Machine::new(Scenario::load(scenario)?)?;
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.run(&Goal::default());
    let records = log.take();
    let frames = 0..machine.counters().frames_in;
    Ok(frames.filter_map(|packet| latency(&Journey::follow(&records, packet)?)).collect())
}

fn latency(journey: &Journey) -> Option<VirtDuration> {
    let when = |is: fn(&TraceEvent) -> bool| -> Option<VirtTime> {
        journey.steps.iter().find(|step: &&TraceRecord| is(&step.event)).map(|step| step.time)
    };
    let delivered = when(|event| matches!(event, TraceEvent::FrameDelivered { .. }))?;
    let taken = when(|event| matches!(event, TraceEvent::CpuInterrupt { .. }))?;
    (!journey.shared_interrupt).then(|| taken.since(delivered))
}

fn main() -> Result<(), Error> {
    let all = latencies("demo")?;
    let longest = all.iter().max().copied().unwrap_or(VirtDuration::ZERO);
    println!("{} interrupts, the longest after {longest}", all.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_waits_a_microsecond_for_its_handler() {
        let all = latencies("demo").unwrap();
        assert!(all.len() >= 20, "only {} frames raised an interrupt", all.len());
        assert!(all.iter().all(|latency| *latency < VirtDuration::from_us(1)), "{all:?}");
    }
}
