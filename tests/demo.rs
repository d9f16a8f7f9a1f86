//! The demo guest on the whole machine: every request is answered, a wrong mapping faults, a stale entry is really stale.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, run, run_changed};
use emu_core::trace::TraceEvent;
use emu_net::matching::{self, Kind};
use emu_net::read_capture;
use glassbox::view::Journey;

const REQUESTS: &[u8] = include_bytes!("../traces/demo-requests.pcap");
/// The guest's address.
const GUEST: [u8; 4] = [192, 0, 2, 2];

/// Requests of the shipped capture and how many of each kind have an answer in what the guest sent.
fn answered(outcome: &Outcome) -> Vec<(Kind, bool)> {
    let requests = read_capture("demo-requests.pcap", REQUESTS).unwrap();
    let replies = read_capture("sent.pcapng", &outcome.capture).unwrap();
    let replies: Vec<&[u8]> = replies.frames.iter().map(|frame| frame.bytes.as_slice()).collect();
    requests
        .frames
        .iter()
        .filter_map(|frame| {
            let request = matching::request(&frame.bytes, GUEST)?;
            Some((request.kind(), replies.iter().any(|reply| request.is_answered_by(reply))))
        })
        .collect()
}

#[test]
fn every_request_of_the_shipped_capture_is_answered() {
    let outcome = run("demo");
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    let answered = answered(&outcome);
    for kind in [Kind::Arp, Kind::IcmpEcho, Kind::UdpEcho] {
        assert!(answered.iter().any(|(of, _)| *of == kind), "the capture has no {kind:?}");
    }
    let missing: Vec<_> = answered.iter().filter(|(_, yes)| !yes).collect();
    assert!(missing.is_empty(), "unanswered: {missing:?}\n{}", outcome.serial);
    assert_eq!(outcome.summary.dmar_faults, 0);
    assert_eq!(outcome.summary.frames_in, outcome.summary.frames_delivered + outcome.summary.frames_dropped);
}

#[test]
fn an_unanswered_request_breaks_the_expectation() {
    // Nobody has that address, though the capture asks for it.
    let outcome = run_changed("demo", |scenario| scenario.expect.answers_for = Some([192, 0, 2, 77].into()));
    assert_eq!(outcome.broken, ["1 requests have no answer"]);
}

#[test]
fn the_guest_is_driven_by_interrupts() {
    let outcome = run("demo");
    let taken = outcome.events(|event| matches!(event, TraceEvent::CpuInterrupt { .. })).len();
    assert!(taken >= 20, "only {taken} interrupts");
    assert_eq!(taken as u64, outcome.summary.interrupts);
}

#[test]
fn a_packets_journey_goes_from_wire_to_handler() {
    let outcome = run("demo");
    // A ping.
    let journey = Journey::follow(&outcome.records, 5).unwrap();
    let has = |test: fn(&TraceEvent) -> bool| journey.steps.iter().any(|step| test(&step.event));
    assert!(has(|event| matches!(event, TraceEvent::FrameFilter { .. })), "{}", journey.to_text());
    assert!(has(|event| matches!(event, TraceEvent::IotlbHit { .. } | TraceEvent::IotlbMiss { .. })));
    assert!(has(|event| matches!(event, TraceEvent::DmaWrite { .. })));
    assert!(has(|event| matches!(event, TraceEvent::FrameDelivered { .. })));
    assert!(has(|event| matches!(event, TraceEvent::PinLevel { .. })));
    assert!(has(|event| matches!(event, TraceEvent::IrteLookup { .. })));
    assert!(has(|event| matches!(event, TraceEvent::LapicIrr { .. })));
    assert!(has(|event| matches!(event, TraceEvent::CpuInterrupt { .. })));
    assert!(has(|event| matches!(event, TraceEvent::FrameOut { .. })), "{}", journey.to_text());
    let times: Vec<_> = journey.steps.iter().map(|step| step.time).collect();
    assert!(times.is_sorted());
}

#[test]
fn a_wrong_mapping_faults_and_the_run_goes_on() {
    let outcome = run("demo-wrong-map");
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    let faults = outcome.events(|event| matches!(event, TraceEvent::RemapFault { .. }));
    let [fault] = faults.as_slice() else { panic!("{} faults", faults.len()) };
    let TraceEvent::RemapFault { bdf, address, reason, write, recorded } = fault.event else {
        unreachable!()
    };
    assert_eq!((bdf.to_string().as_str(), reason, write, recorded), ("00:02.0", 5, true, true));
    // Nothing was written where the fault was, before the guest repaired the mapping.
    let page = address & !0xfff;
    let repaired = outcome.events(|event| matches!(event, TraceEvent::Invalidate { .. })).pop().unwrap().id;
    let written =
        outcome.events(|event| matches!(event, TraceEvent::DmaWrite { iova, .. } if iova.0 & !0xfff == page));
    assert!(written.iter().all(|record| record.id > fault.id), "{written:?} before {repaired}");
    // The fault's own interrupt reached the guest, and later requests were answered.
    assert!(outcome.serial.contains("fault"), "{}", outcome.serial);
    let after = outcome.events(|event| matches!(event, TraceEvent::FrameOut { .. }));
    assert!(after.iter().any(|record| record.id > fault.id));
}

#[test]
fn a_stale_iotlb_entry_serves_the_old_mapping_until_invalidated() {
    let outcome = run("demo-stale");
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    assert!(outcome.serial.contains("stale"), "{}", outcome.serial);
}

#[test]
fn an_interrupt_from_the_wrong_source_never_reaches_the_processor() {
    const VECTOR: u8 = 0x50;
    let outcome = run("demo-spoofed");
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    let taken = outcome.events(|event| matches!(event, TraceEvent::CpuInterrupt { vector: VECTOR, .. }));
    assert!(taken.is_empty(), "{taken:?}");
    let faults = outcome.events(|event| matches!(event, TraceEvent::RemapFault { reason: 0x26, .. }));
    assert_eq!(faults.len(), 1);
}

#[test]
fn without_an_iommu_the_card_reaches_memory_directly() {
    let outcome = run_changed("demo", |scenario| {
        scenario.iommu = None;
        scenario.append.push_str(" vtd=off");
    });
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    assert!(answered(&outcome).iter().all(|(_, yes)| *yes));
    assert_eq!(outcome.summary.iotlb_misses, 0);
}

#[test]
fn interrupts_by_message_work_as_well() {
    let outcome = run_changed("demo", |scenario| scenario.append.push_str(" irq=msi"));
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    assert!(answered(&outcome).iter().all(|(_, yes)| *yes));
    assert!(!outcome.events(|event| matches!(event, TraceEvent::MsiSent { .. })).is_empty());
}
