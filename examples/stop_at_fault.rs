//! Stops at the first DMAR fault and looks around: a sink of one's own, and a machine that is run to a record.
//!
//! `cargo run --release --example stop_at_fault`
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use emu_core::trace::{RecordId, TraceEvent, TraceKind, TraceMask, TraceRecord, TraceSink};
use emu_core::{Bdf, Iova};
use glassbox::error::Error;
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::position::Position;
use glassbox::scenario::Scenario;
use std::cell::Cell;
use std::rc::Rc;

/// Keeps the first fault. A sink only takes: nothing that it does reaches the machine.
struct FirstFault(Rc<Cell<Option<(RecordId, Bdf, u64)>>>);

impl TraceSink for FirstFault {
    fn record(&mut self, record: &TraceRecord) {
        if let TraceEvent::RemapFault { bdf, address, .. } = record.event
            && self.0.get().is_none()
        {
            self.0.set(Some((record.id, bdf, address)));
        }
    }
}

fn main() -> Result<(), Error> {
    // Once to find it: records have the same numbers in every run.
    let first = Rc::new(Cell::new(None));
    let mut machine = Machine::new(Scenario::load("demo-wrong-map")?)?;
    let faults = TraceMask::NONE.with(TraceKind::Fault);
    machine.tracer().attach(faults, Box::new(FirstFault(Rc::clone(&first))));
    machine.run(&Goal::default());
    let Some((record, bdf, address)) = first.get() else {
        println!("no fault");
        return Ok(());
    };

    // And again to be there when it happens.
    let mut machine = Machine::new(Scenario::load("demo-wrong-map")?)?;
    let goal = Goal { position: Some(Position::Record(record.0)), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached);
    println!("fault {record} at {}, instruction {}", machine.now(), machine.insns());
    print!("{}", machine.show_walk(bdf, Iova(address)));
    Ok(())
}
