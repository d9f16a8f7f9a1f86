//! The engine's tiers side by side: the stepper, the interpreter, compiled code. Which of them executes may be seen nowhere: not in a state, a
//! trace record, a capture or a summary. Where they part, the first instruction after which they do is printed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{finish, run_changed};
use emu_core::cpu::Tier;
use emu_core::testing::fuzz::Dice;
use glassbox::bisect::bisect;
use glassbox::machine::{Goal, Machine, Stop, snapshot};
use glassbox::scenario::{Network, Scenario};
use glassbox::units::Span;

/// The tiers that are held against the stepper.
fn others() -> impl Iterator<Item = Tier> {
    Tier::ALL.into_iter().filter(|tier| *tier != Tier::Step)
}

fn machine(name: &str, tier: Tier) -> Machine {
    let mut scenario = Scenario::load(name).unwrap();
    scenario.engine = tier;
    scenario.prepare(|_| ()).unwrap();
    Machine::new(scenario).unwrap()
}

/// Fails with the instruction at which two tiers part.
fn lockstep(name: &str, one: Tier, other: Tier) {
    let finding = bisect(machine(name, one), machine(name, other), |_, _| ()).unwrap();
    if let Some(finding) = finding {
        panic!("{name}: {one} and {other} part\n{finding}");
    }
}

#[test]
fn the_demo_is_the_same_in_every_tier() {
    for tier in others() {
        lockstep("demo", Tier::Step, tier);
    }
}

#[test]
fn what_a_run_leaves_behind_does_not_name_its_tier() {
    let one = run_changed("demo", |scenario| scenario.engine = Tier::Step);
    for tier in others() {
        let other = run_changed("demo", |scenario| scenario.engine = tier);
        assert_eq!(one.summary, other.summary, "{tier}");
        assert!(one.records == other.records, "{tier}: the traces differ");
        assert!(one.capture == other.capture, "{tier}: the captures differ");
        assert_eq!(one.serial, other.serial, "{tier}");
    }
}

/// Frames that arrive at odd instants interrupt the guest at other instructions.
#[test]
fn events_at_any_instant_find_the_same_guest() {
    let mut dice = Dice::new(9);
    for _ in 0..6 {
        let at = Span(emu_core::VirtDuration(20_000_000_000 + dice.below(1_000_000_000)));
        let states = Tier::ALL.map(|tier| {
            let outcome = run_changed("demo", |scenario| {
                scenario.engine = tier;
                if let Network::Replay { start, .. } = &mut scenario.network {
                    *start = at;
                }
            });
            (outcome.summary.state_hash, outcome.records)
        });
        assert!(states.iter().all(|state| *state == states[0]), "frames from {at:?} on");
    }
}

#[test]
fn a_run_may_change_its_tier_at_any_instruction() {
    let whole = finish(machine("demo", Tier::Step));
    let mut dice = Dice::new(17);
    let mut mixed = machine("demo", Tier::Interp);
    loop {
        mixed.set_engine(Tier::ALL[dice.below(Tier::ALL.len() as u64) as usize]);
        let goal = Goal { slice: Some(dice.below(5000) + 1), ..Goal::default() };
        match mixed.run(&goal) {
            Stop::Slice => {}
            stop => break assert_eq!(stop, whole.stop),
        }
    }
    assert_eq!(mixed.state_hash(), whole.summary.state_hash);
}

#[test]
fn a_snapshot_goes_on_in_another_tier() {
    let whole = finish(machine("demo", Tier::Step));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    for (from, to) in others().flat_map(|tier| [(Tier::Step, tier), (tier, Tier::Step)]) {
        let mut first = machine("demo", from);
        let goal = Goal { position: Some("packet=2".parse().unwrap()), ..Goal::default() };
        assert_eq!(first.run(&goal), Stop::Reached);
        snapshot::save(&first, &file).unwrap();
        let mut second = snapshot::load(&file).unwrap();
        second.set_engine(to);
        assert_eq!(finish(second).summary.state_hash, whole.summary.state_hash, "from {from} to {to}");
    }
}

/// A boot and traffic.
#[test]
#[ignore = "minutes: run by name"]
fn debian_is_the_same_in_the_interpreter_and_compiled() {
    lockstep("debian", Tier::Interp, Tier::Jit);
}

/// The start of a boot: the stepper and a compiler that compiles all there is take their time.
#[test]
#[ignore = "minutes: run by name"]
fn a_boot_begins_the_same_in_every_tier() {
    for tier in others() {
        let [one, other] = [Tier::Step, tier].map(|tier| {
            let mut scenario = Scenario::load("debian").unwrap();
            scenario.engine = tier;
            scenario.limits.insns = Some(40_000_000);
            scenario.prepare(|_| ()).unwrap();
            Machine::new(scenario).unwrap()
        });
        let finding = bisect(one, other, |_, _| ()).unwrap();
        assert!(finding.is_none(), "{tier}: {}", finding.unwrap());
    }
}
