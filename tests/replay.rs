//! A hundred thousand frames, open loop: with back-pressure every one arrives, in order, once; as a wire, what was sent is what was
//! delivered and what was dropped, each with its reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::Buffer;
use emu_core::VirtTime;
use emu_core::trace::{SharedLog, TraceEvent, TraceKind, TraceMask};
use emu_net::{CaptureWriter, Direction, Pacing, Room, read_capture};
use etherparse::PacketBuilder;
use glassbox::machine::{Goal, Machine, Stop, Summary};
use glassbox::scenario::{Limits, Network, Scenario};
use std::time::Duration;

const FRAMES: u32 = 100_000;
const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// UDP to the guest's echo port, each with its number.
fn capture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = CaptureWriter::new(&mut bytes).unwrap();
    for number in 0..FRAMES {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], GUEST_MAC)
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(40000, 7)
            .write(&mut frame, &number.to_be_bytes())
            .unwrap();
        writer.frame(VirtTime::ZERO, Direction::ToGuest, &frame, None).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

struct Outcome {
    summary: Summary,
    /// Numbers of the frames that were delivered, by the trace, and how many were dropped.
    delivered: Vec<u64>,
    dropped: u64,
    /// Numbers in what the guest sent back.
    echoed: Vec<u32>,
    /// What became of frames, by the wire's own capture: its comments.
    fates: Vec<String>,
}

fn run(pacing: Pacing, room: Room) -> Outcome {
    let folder = tempfile::TempDir::new().unwrap();
    let pcap = folder.path().join("many.pcapng");
    std::fs::write(&pcap, capture()).unwrap();
    let mut scenario = Scenario::load("demo").unwrap();
    scenario.network = Network::replay(pcap);
    scenario.expect.answers_for = None;
    scenario.limits = Limits::default();
    if let Network::Replay { pacing: own, options, .. } = &mut scenario.network {
        *own = pacing;
        options.room = room;
        options.after = emu_net::Trigger::PowerOn;
    }
    let mut machine = Machine::new(scenario).unwrap();
    let (log, sent, wire) = (SharedLog::default(), Buffer::default(), Buffer::default());
    machine.tracer().attach(TraceMask::NONE.with(TraceKind::Net), Box::new(log.clone()));
    machine.capture_to(Box::new(sent.clone())).unwrap();
    machine.log_wire_to(Box::new(wire.clone())).unwrap();
    let stop = machine.run(&Goal::default());
    machine.finish_capture().unwrap();
    assert!(matches!(stop, Stop::PowerOff { code: 1 }), "{stop:?}");
    let records = log.take();
    let delivered = records.iter().filter_map(|record| match record.event {
        TraceEvent::FrameDelivered { packet, .. } => Some(packet),
        _ => None,
    });
    let dropped =
        records.iter().filter(|record| matches!(record.event, TraceEvent::FrameDrop { .. })).count();
    let number = |frame: &[u8]| u32::from_be_bytes(frame[42..46].try_into().unwrap());
    let sent = read_capture("sent.pcapng", &sent.bytes()).unwrap();
    Outcome {
        summary: machine.summary(&stop, 0, Duration::from_secs(1)),
        delivered: delivered.collect(),
        dropped: dropped as u64,
        echoed: sent.frames.iter().map(|frame| number(&frame.bytes)).collect(),
        fates: comments(&wire.bytes()),
    }
}

/// The comments of frames to the guest in a pcapng file.
fn comments(bytes: &[u8]) -> Vec<String> {
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::blocks::opt_common::CommonOption;
    let mut reader = pcap_file::pcapng::PcapNgReader::new(bytes).unwrap();
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        let Some(packet) = block.unwrap().0.into_enhanced_packet() else { continue };
        if packet.interface_id != 0 {
            continue;
        }
        comments.extend(packet.options.iter().find_map(|option| match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.to_string()),
            _ => None,
        }));
    }
    comments
}

#[test]
fn with_back_pressure_a_hundred_thousand_frames_arrive_in_order_once() {
    let outcome = run(Pacing::BackToBack, Room::Wait);
    assert!(outcome.delivered.iter().copied().eq(0..u64::from(FRAMES)), "{}", outcome.summary.to_text());
    assert!(outcome.echoed.iter().copied().eq(0..FRAMES), "{} echoes", outcome.echoed.len());
    assert_eq!((outcome.summary.frames_dropped, outcome.dropped), (0, 0));
    assert!(outcome.fates.iter().all(|fate| fate.contains("delivered, record")));
}

#[test]
fn as_a_wire_what_was_sent_is_what_was_delivered_and_dropped() {
    // A frame every microsecond is more than the guest's handler answers.
    let outcome = run(Pacing::FramesPerSecond(1_000_000), Room::Lose);
    let summary = &outcome.summary;
    assert_eq!(summary.frames_in, u64::from(FRAMES));
    assert_eq!(summary.frames_delivered + summary.frames_dropped, summary.frames_in);
    assert!(summary.frames_dropped > 0 && summary.frames_delivered > 0, "{}", summary.to_text());
    assert_eq!(
        (outcome.delivered.len() as u64, outcome.dropped),
        (summary.frames_delivered, summary.frames_dropped)
    );
    assert_eq!(summary.drops.values().sum::<u64>(), summary.frames_dropped);
    // The echoes are of what was delivered, in order, once.
    assert!(outcome.delivered.is_sorted_by(|one, other| one < other));
    assert!(outcome.echoed.iter().map(|number| u64::from(*number)).eq(outcome.delivered.iter().copied()));
    // The wire's capture says of each frame what became of it, and by which record.
    assert_eq!(outcome.fates.len() as u64, u64::from(FRAMES));
    let with = |word: &str| outcome.fates.iter().filter(|fate| fate.contains(word)).count() as u64;
    assert_eq!(
        (with(": delivered, record "), with(": dropped: ")),
        (summary.frames_delivered, summary.frames_dropped)
    );
}
