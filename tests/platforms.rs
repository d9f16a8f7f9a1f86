//! One guest on every platform. The table that comes of it is kept: a platform on which something changes shows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use glassbox::matrix;
use glassbox::profile::Profile;
use glassbox::scenario::Scenario;

fn table(scenario: &Scenario) -> String {
    let rows: Vec<_> =
        Profile::all().iter().map(|platform| matrix::run(scenario, *platform).unwrap()).collect();
    matrix::table(&rows)
}

#[test]
fn the_demo_on_every_platform() {
    insta::assert_snapshot!(table(&Scenario::load("demo").unwrap()));
}
