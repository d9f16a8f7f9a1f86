//! The IOMMU sanitizer on whole runs: what it finds, what it does not, and that it changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::finish;
use emu_core::trace::{SharedLog, TraceMask, TraceRecord};
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::sanitize::{Actor, Kind, Sanitizer, Severity};
use glassbox::scenario::Scenario;
use std::time::Duration;

/// A run, watched: its records, its state hash, and the sanitizer at its end.
fn watched(
    name: &str,
    change: impl FnOnce(&mut Scenario),
) -> (Vec<TraceRecord>, String, Box<Sanitizer>, Machine) {
    let mut scenario = Scenario::load(name).unwrap();
    change(&mut scenario);
    scenario.prepare(|_| ()).unwrap();
    let mut machine = Machine::new(scenario).unwrap();
    assert!(machine.sanitize_iommu());
    let log = SharedLog::default();
    if !name.starts_with("debian") {
        machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    }
    let stop = machine.run(&Goal::default());
    assert!(!matches!(stop, Stop::TripleFault | Stop::Limit), "{stop:?}");
    let hash = machine.summary(&stop, 0, Duration::ZERO).state_hash;
    let sanitizer = machine.finish_sanitizer().unwrap();
    (log.take(), hash, sanitizer, machine)
}

fn found(sanitizer: &Sanitizer) -> Vec<(Kind, Severity)> {
    sanitizer.findings().all().iter().map(|finding| (finding.kind, finding.severity)).collect()
}

/// Everything found, for messages.
fn told(sanitizer: &Sanitizer, machine: &Machine) -> String {
    glassbox::sanitize::Sanitized::new(sanitizer, &machine.symbols()).text
}

#[test]
fn a_watched_run_is_the_same_run() {
    for name in ["demo", "demo-stale"] {
        let plain = finish(Machine::new(Scenario::load(name).unwrap()).unwrap());
        let (records, hash, first, machine) = watched(name, |_| ());
        assert_eq!(hash, plain.summary.state_hash, "{name}");
        assert!(records == plain.records, "{name}: other records");
        let (_, _, second, _) = watched(name, |_| ());
        assert_eq!(told(&first, &machine), told(&second, &machine), "{name}");
    }
}

#[test]
fn the_demo_guest_has_no_finding() {
    let (_, _, sanitizer, machine) = watched("demo", |_| ());
    assert_eq!(found(&sanitizer), [], "{}", told(&sanitizer, &machine));
    assert!(sanitizer.faults().is_empty());
}

#[test]
fn the_stale_entry_of_the_demo_is_found_with_the_function_that_changed_it() {
    let (_, _, sanitizer, machine) = watched("demo-stale", |_| ());
    assert_eq!(found(&sanitizer), [(Kind::StaleIotlb, Severity::Error)], "{}", told(&sanitizer, &machine));
    let all = sanitizer.findings().all();
    let writer = all[0].writer.unwrap();
    let Actor::Cpu { rip } = writer.actor else { panic!("{writer:?}") };
    let name = machine.symbols().name(rip).unwrap();
    assert!(name.contains("vtd") || name.contains("experiment") || name.contains("serve"), "{name}");
    assert!(all[0].chain.len() > 1, "{:?}", all[0].chain);
}

#[test]
fn the_wrong_mapping_of_the_demo_is_explained() {
    let (_, _, sanitizer, machine) = watched("demo-wrong-map", |_| ());
    let [fault] = sanitizer.faults() else { panic!("{:?}", sanitizer.faults()) };
    let text = fault.to_text(&machine.symbols());
    assert!(
        text.starts_with("DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x")
            && text.lines().next().unwrap().ends_with("[fault reason 0x05] PTE Write access is not set"),
        "{text}"
    );
    assert!(text.contains("stale caches: none") && text.contains("to mend it: "), "{text}");
    assert_eq!(found(&sanitizer), [], "{}", told(&sanitizer, &machine));
}

#[test]
fn explaining_faults_tells_who_wrote_the_entry_even_before_the_unit_was_told() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_glassbox"));
    let output = command.args(["explain", "fault", "demo-wrong-map"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = text.lines().find(|line| line.contains("refused by the last of them")).unwrap();
    assert!(written.contains("insns=") && !written.contains("unknown"), "{text}");
}

#[test]
#[ignore = "boots Debian, whose packages come from the host's apt"]
fn debian_in_strict_mode_is_clean_and_lazy_mode_only_has_windows() {
    let (_, _, strict, machine) =
        watched("debian", |scenario| scenario.append.push_str(" intel_iommu=on,strict"));
    let bad = |sanitizer: &Sanitizer| {
        found(sanitizer)
            .iter()
            .filter(|(_, severity)| *severity != Severity::Note)
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(bad(&strict), [], "{}", told(&strict, &machine));
    let (_, _, lazy, machine) = watched("debian", |_| ());
    assert!(
        bad(&lazy).iter().all(|(_, severity)| *severity == Severity::Window),
        "{}",
        told(&lazy, &machine)
    );
}
