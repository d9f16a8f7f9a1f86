//! Runs that part at one moment: the unchanged one is the plain run, changes do what they say, and the order and number of workers
//! decide nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::run;
use glassbox::explore::{Change, Point};
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::scenario::Scenario;

fn point(position: &str) -> Point {
    let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    let goal = Goal { position: Some(position.parse().unwrap()), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached);
    Point::of(&mut machine)
}

#[test]
fn what_is_changed_makes_the_difference_and_nothing_else_does() {
    let whole = run("demo");
    let changes = [
        Change::None,
        Change::Drop(5),
        Change::Seed(7),
        // A byte of the frame's destination: it is for another card.
        Change::Byte { packet: 5, offset: 1, value: 0x55 },
        Change::None,
        Change::Byte { packet: 5, offset: 100_000, value: 1 },
    ];
    let point = point("packet=2");
    let outcomes = point.explore(&changes, None, 2).unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.change).collect::<Vec<_>>(), changes);
    let plain = &outcomes[0];
    assert_eq!((&plain.state, &plain.exit), (&whole.summary.state_hash, &whole.stop.name()));
    assert!(
        outcomes[4].alike(plain) && outcomes[5].alike(plain),
        "a worker's earlier runs leave nothing behind"
    );
    assert!(outcomes[1].frames_out < plain.frames_out, "a lost request is not answered");
    assert!(outcomes[3].frames_out < plain.frames_out, "nor is one for somebody else");
    assert_eq!(point.explore(&changes, None, 1).unwrap(), outcomes);
    let limited = point.explore(&changes[..1], Some(100), 1).unwrap();
    assert_eq!(limited[0].exit, Stop::Limit.name());
}
