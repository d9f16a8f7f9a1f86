//! The driver's own opinion of the card: Linux's self-test of it, inside Debian. Needs apt's packages; run by name,
//! `cargo test --test nic -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::finish;
use glassbox::guests::Flavour;
use glassbox::machine::{Machine, Stop};
use glassbox::scenario::{Guest, Network, Scenario};
use glassbox::units::Bytes;

#[test]
#[ignore = "boots Debian"]
fn linuxs_offline_self_test_passes() {
    const SCRIPT: &str = "#!/bin/busybox sh\nsleep 3\nethtool -t eth0 offline\necho \"status $?\"\n";
    let folder = tempfile::TempDir::new().unwrap();
    let script = folder.path().join("selftest.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut scenario = Scenario::load("debian").unwrap();
    scenario.guest = Guest::Debian {
        flavour: Flavour::Amd64,
        modules: None,
        packages: ["ethtool", "libc6", "libmnl0"].map(str::to_owned).into(),
        files: [("selftest.sh".to_owned(), script)].into(),
    };
    scenario.memory = Bytes(512 << 20);
    scenario.append = format!("{} glassbox.run=/selftest.sh", scenario.append);
    scenario.network = Network::Null;
    scenario.expect = Default::default();
    scenario.prepare(|_| ()).unwrap();
    let outcome = finish(Machine::new(scenario).unwrap());
    assert_eq!(outcome.stop, Stop::PowerOff { code: 0 }, "{}", outcome.serial);
    let text = outcome.serial.replace('\r', "");
    let results = text.split_once("The test result is ").unwrap_or_else(|| panic!("{text}")).1;
    assert!(results.starts_with("PASS"), "{text}");
    for test in ["Register test", "Eeprom test", "Interrupt test", "Loopback test", "Link test"] {
        let line =
            results.lines().find(|line| line.starts_with(test)).unwrap_or_else(|| panic!("{test}: {text}"));
        assert_eq!(line.split_whitespace().last(), Some("0"), "{line}");
    }
    assert!(results.contains("status 0"), "{text}");
}
