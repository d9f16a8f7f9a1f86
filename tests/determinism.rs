//! The same inputs give the same run, byte for byte; and a snapshot changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{finish, run};
use emu_core::trace::TraceMask;
use glassbox::machine::{Goal, Machine, Stop, snapshot};
use glassbox::position::Position;
use glassbox::scenario::Scenario;

#[test]
fn two_runs_are_the_same_run() {
    let (one, two) = (run("demo"), run("demo"));
    assert_eq!(one.summary.state_hash, two.summary.state_hash);
    assert_eq!(one.summary, two.summary);
    assert!(one.records == two.records, "the traces differ");
    assert!(one.capture == two.capture, "the captures differ");
    assert_eq!(one.serial, two.serial);
}

#[test]
fn what_is_traced_does_not_change_the_run() {
    let traced = run("demo");
    let mut silent = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    assert_eq!(silent.run(&Goal::default()), traced.stop);
    assert_eq!(silent.state_hash(), traced.summary.state_hash);
}

#[test]
fn coming_back_every_few_instructions_does_not_change_the_run() {
    let whole = run("demo");
    let mut sliced = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    let goal = Goal { slice: Some(777), ..Goal::default() };
    let stop = loop {
        match sliced.run(&goal) {
            Stop::Slice => {}
            stop => break stop,
        }
    };
    assert_eq!((stop, sliced.state_hash()), (whole.stop, whole.summary.state_hash));
}

#[test]
fn a_run_that_goes_on_from_a_snapshot_is_the_same_run() {
    let whole = run("demo");
    let folder = std::env::temp_dir().join(format!("glassbox-snapshot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for position in ["insns=100000", "packet=3", "time=25ms", "record=2500"] {
        let position: Position = position.parse().unwrap();
        let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
        let goal = Goal { position: Some(position.clone()), ..Goal::default() };
        assert_eq!(machine.run(&goal), Stop::Reached, "{position}");
        let file = folder.join("at");
        snapshot::save(&machine, &file).unwrap();
        let restored = snapshot::load(&file).unwrap();
        assert_eq!(restored.state_hash(), machine.state_hash(), "{position}");
        let rest = finish(restored);
        assert_eq!(rest.summary.state_hash, whole.summary.state_hash, "{position}");
        let first = rest.records.first().map(|record| record.id);
        let same: Vec<_> = whole.records.iter().filter(|record| Some(record.id) >= first).copied().collect();
        assert!(rest.records == same, "{position}: the traces differ");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_numbers_of_records_do_not_depend_on_their_kinds() {
    let number_of_records = |mask| {
        let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
        machine.tracer().attach(mask, Box::new(emu_core::trace::SharedLog::default()));
        machine.run(&Goal::default());
        machine.tracer().state().next_id
    };
    assert_eq!(number_of_records(TraceMask::ALL), number_of_records(TraceMask::NONE));
}
