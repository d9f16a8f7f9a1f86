//! Causes on the whole machine: every record has a chain of them that ends at a frame, a timer's setting or an instruction; and what
//! a packet's journey shows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{finish, run};
use emu_core::trace::{Logged, SharedLog, TraceEvent, TraceMask, TraceRecord};
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::Scenario;
use glassbox::view::{Journey, Subject, tell};

/// Whether a record may be where a chain begins: a frame from outside, or something that the processor does. Timers are not
/// among them, since an instruction set them.
fn is_root(event: &TraceEvent) -> bool {
    matches!(
        event,
        TraceEvent::FrameIn { .. }
            | TraceEvent::MmioRead { .. }
            | TraceEvent::MmioWrite { .. }
            | TraceEvent::PortRead { .. }
            | TraceEvent::PortWrite { .. }
            | TraceEvent::PciRead { .. }
            | TraceEvent::PciWrite { .. }
            | TraceEvent::BadAccess { .. }
            | TraceEvent::MsrRead { .. }
            | TraceEvent::MsrWrite { .. }
            // MOV to CR8.
            | TraceEvent::LapicTpr { .. }
            | TraceEvent::CpuException { .. }
            | TraceEvent::CpuIret { .. }
            | TraceEvent::CpuMode { .. }
            | TraceEvent::CpuCr3 { .. }
            | TraceEvent::CpuHalt { .. }
            | TraceEvent::CpuShutdown { .. }
            | TraceEvent::Snapshot
            | TraceEvent::Reset
            | TraceEvent::PowerOff { .. }
    )
}

/// Records without a cause that should have one, or with a cause that is no record before them.
fn orphans(records: &[TraceRecord]) -> Vec<String> {
    let known = |record: &TraceRecord| match record.cause {
        None => is_root(&record.event),
        Some(cause) => cause < record.id && records.binary_search_by_key(&cause, |of| of.id).is_ok(),
    };
    records.iter().filter(|record| !known(record)).map(|record| format!("{record:?}")).collect()
}

fn check(records: &[TraceRecord]) {
    assert!(records.len() > 1000, "only {} records", records.len());
    let orphans = orphans(records);
    let some = orphans.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(orphans.is_empty(), "{} of {} records are orphans:\n{some}", orphans.len(), records.len());
}

#[test]
fn every_record_of_the_demo_has_a_chain_of_causes() {
    for scenario in ["demo", "demo-stale", "demo-wrong-map"] {
        check(&run(scenario).records);
    }
}

#[test]
#[ignore = "boots Debian, whose packages come from the host's apt"]
fn every_record_of_debians_traffic_has_a_chain_of_causes() {
    let mut scenario = Scenario::load("debian").unwrap();
    scenario.prepare(|_| ()).unwrap();
    check(&finish(Machine::new(scenario).unwrap()).records);
}

fn log_of(scenario: &str) -> Logged {
    let log = SharedLog::default();
    let mut machine = Machine::new(Scenario::load(scenario).unwrap()).unwrap();
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.run(&Goal::default());
    log.take_all()
}

#[test]
fn stages_cover_a_journey_without_gaps() {
    let log = log_of("demo");
    for packet in 0..41 {
        let journey = Journey::of(&log, Subject::In(packet)).unwrap();
        let stages = journey.stages();
        for pair in stages.windows(2) {
            assert_eq!(pair[0].begin.after(pair[0].took), pair[1].begin, "packet {packet}");
        }
        if let Some(latency) = journey.latency() {
            let sum: u64 = stages.iter().map(|stage| stage.took.0).sum();
            assert_eq!(sum, latency.0, "packet {packet}: {stages:?}");
            assert!(stages.len() >= 8, "packet {packet}: {stages:?}");
        }
    }
}

#[test]
fn a_frame_out_is_traced_back_to_the_frame_that_it_answers() {
    let log = log_of("demo");
    let answer = Journey::of(&log, Subject::Out(0)).unwrap();
    assert!(matches!(answer.steps[0].event, TraceEvent::FrameIn { packet: 0, .. }), "{:?}", answer.steps[0]);
    for seen in ["guest: driver and stack, until the doorbell", "frame from memory", "onto the wire"] {
        assert!(answer.stages().iter().any(|stage| stage.name == seen), "{seen}: {}", answer.to_text());
    }
    let reclaimed = answer.steps.iter().any(|step| matches!(step.event, TraceEvent::DescWriteBack { .. }));
    assert!(reclaimed, "{}", answer.to_text());
    assert!(answer.to_text().contains("ARP: 192.0.2.2 is at 52:54:00:12:34:56"));
    assert_eq!(Journey::of(&log, Subject::Out(999)), None);
}

#[test]
fn a_journey_tells_what_its_numbers_mean() {
    let log = log_of("demo");
    let journey = Journey::of(&log, Subject::In(0)).unwrap();
    let text = journey.to_text();
    for words in [
        "packet 0: ARP: who has 192.0.2.2? 192.0.2.1 asks",
        "frame out 0 on the wire, 60 bytes: ARP: 192.0.2.2 is at 52:54:00:12:34:56",
        "remappable: interrupt entry 5, level, low active",
        "present, vector 0x50, fixed, level, to physical 0x0, only from f0:1f.0",
        "W, page at 0x414000",
        "length 60",
        "EOP",
    ] {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }
    let json = journey.to_json();
    assert_eq!(json["stages"].as_array().map(Vec::len), Some(journey.stages().len()));
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(journey.steps.len()));
}

#[test]
fn two_packets_stand_side_by_side() {
    let log = log_of("demo");
    let [first, second] = [5, 6].map(|packet| Journey::of(&log, Subject::In(packet)).unwrap());
    let text = tell::compare(["5", "6"], [&first, &second]);
    assert!(text.lines().any(|line| line.starts_with("frame to memory")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("IOTLB misses")), "{text}");
}
