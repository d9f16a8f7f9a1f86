//! Going back: a machine that was taken back to a checkpoint runs on as it did, byte for byte, and tells everything once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Buffer, run};
use emu_core::trace::{SharedLog, TraceMask};
use glassbox::machine::{Checkpoint, Goal, Machine, Stop};
use glassbox::scenario::Scenario;

fn demo() -> Machine {
    Machine::new(Scenario::load("demo").unwrap()).unwrap()
}

fn to(machine: &mut Machine, position: &str) {
    let goal = Goal { position: Some(position.parse().unwrap()), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached, "{position}");
}

fn end(machine: &mut Machine) -> (Stop, String) {
    let stop = machine.run(&Goal::default());
    (stop, machine.state_hash())
}

#[test]
fn a_machine_taken_back_runs_on_as_it_did() {
    let whole = run("demo");
    let mut machine = demo();
    let points: Vec<Checkpoint> = ["insns=0", "insns=60000", "packet=3", "record=2500", "time=40ms"]
        .iter()
        .map(|position| {
            to(&mut machine, position);
            machine.checkpoint()
        })
        .collect();
    let expected = (whole.stop, whole.summary.state_hash);
    assert_eq!(end(&mut machine), expected, "keeping checkpoints changes nothing");
    for order in [[4, 3, 2, 1, 0], [0, 4, 1, 3, 2]] {
        for point in order {
            machine.rewind(&points[point]).unwrap();
            assert_eq!(machine.insns(), points[point].insns());
            assert_eq!(machine.parts(), *points[point].parts());
            assert_eq!(end(&mut machine), expected, "from checkpoint {point}");
        }
    }
}

#[test]
fn the_state_taken_back_to_is_the_state_that_was_kept() {
    let mut machine = demo();
    let mut kept = Vec::new();
    for insns in (0..140_000).step_by(7001) {
        to(&mut machine, &format!("insns={insns}"));
        kept.push((machine.state_hash(), machine.digest(), machine.checkpoint()));
    }
    for nth in [3, 19, 0, 18, 7, 8, 7, 12] {
        let (hash, digest, point) = &kept[nth];
        machine.rewind(point).unwrap();
        assert_eq!(machine.state_hash(), *hash, "checkpoint {nth}");
        assert_eq!(machine.digest(), *digest, "checkpoint {nth}");
        to(&mut machine, &format!("insns={}", point.insns() + 500));
        if nth % 2 == 0 {
            machine.digest();
        }
    }
}

#[test]
fn digests_do_not_depend_on_when_they_were_made() {
    let mut often = demo();
    for insns in (0..100_000).step_by(9973) {
        to(&mut often, &format!("insns={insns}"));
        often.digest();
    }
    let mut once = demo();
    for machine in [&mut often, &mut once] {
        to(machine, "insns=120000");
    }
    assert_eq!(often.digest(), once.digest());
    assert_eq!(often.state_hash(), once.state_hash());
    let before = once.digest();
    to(&mut once, "insns=120001");
    let differing = once.digest().differing(&before);
    assert!(differing.contains(&"cpu".to_owned()), "{differing:?}");
}

#[test]
fn what_was_told_is_not_told_again_unless_asked() {
    let whole = run("demo");
    let mut machine = demo();
    let (log, capture) = (SharedLog::default(), Buffer::default());
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.capture_to(Box::new(capture.clone())).unwrap();
    to(&mut machine, "packet=3");
    let point = machine.checkpoint();
    for position in ["packet=5", "time=24ms", "packet=20"] {
        to(&mut machine, position);
        machine.rewind(&point).unwrap();
    }
    assert_eq!(machine.run(&Goal::default()), whole.stop);
    machine.finish_capture().unwrap();
    assert!(log.take() == whole.records, "the trace differs");
    assert!(capture.bytes() == whole.capture, "the capture differs");
    assert_eq!(String::from_utf8(machine.take_serial()).unwrap(), whole.serial);

    machine.rewind(&point).unwrap();
    machine.tell_again();
    machine.run(&Goal::default());
    let rest: Vec<_> =
        whole.records.iter().filter(|record| record.id.0 >= point.next_record()).copied().collect();
    assert!(log.take() == rest);
    assert!(whole.serial.ends_with(&String::from_utf8(machine.take_serial()).unwrap()));
}

#[test]
fn an_end_is_gone_when_the_machine_is_taken_back_before_it() {
    let mut machine = demo();
    to(&mut machine, "packet=30");
    let before = machine.checkpoint();
    let (stop, hash) = end(&mut machine);
    let after = machine.checkpoint();
    machine.rewind(&before).unwrap();
    assert_eq!(end(&mut machine), (stop.clone(), hash.clone()));
    machine.rewind(&before).unwrap();
    machine.rewind(&after).unwrap();
    assert_eq!(end(&mut machine), (stop, hash), "an ended machine stays ended");
}

#[test]
fn a_checkpoint_of_another_machine_is_refused_and_changes_nothing() {
    let point = demo().checkpoint();
    let mut other = Machine::new(Scenario::load("demo-stale").unwrap()).unwrap();
    to(&mut other, "insns=1000");
    let hash = other.state_hash();
    assert!(other.rewind(&point).is_err());
    assert_eq!(other.state_hash(), hash);
    let mut twin = demo();
    to(&mut twin, "packet=3");
    twin.rewind(&point).unwrap();
    assert_eq!(twin.state_hash(), demo().state_hash(), "one of an equal machine is as good");
}
