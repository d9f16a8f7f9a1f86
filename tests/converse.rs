//! Captured conversations with a web server, played against the Debian guest's own: its kernel's TCP and busybox's httpd. Needs
//! apt's packages; run by name, `cargo test --test converse -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, finish};
use emu_core::trace::{ConversationStep, TraceEvent};
use emu_net::converse::{self, Status};
use emu_net::packet::{Layout, be32};
use glassbox::machine::Machine;
use glassbox::scenario::{Network, Scenario};

fn run(name: &str, pcap: Option<&str>) -> (Outcome, converse::Outcome) {
    let mut scenario = Scenario::load(&format!("traces/{name}.ron")).unwrap();
    if let (Some(other), Network::Converse { pcap, .. }) = (pcap, &mut scenario.network) {
        *pcap = other.into();
    }
    scenario.prepare(|_| ()).unwrap();
    let outcome = finish(Machine::new(scenario).unwrap());
    assert!(
        outcome.broken.is_empty(),
        "{:?}\n{}\n{}",
        outcome.broken,
        outcome.summary.to_text(),
        outcome.serial
    );
    let report = outcome.summary.wire.iter().find(|report| report.part == "converse").unwrap();
    let [conversation] = report.conversations.clone().try_into().unwrap();
    (outcome, conversation)
}

/// Bytes that the guest has sent more than once, from its TCP segments.
fn sent_again(outcome: &Outcome) -> u64 {
    let sent = emu_net::read_capture("sent.pcapng", &outcome.capture).unwrap();
    let (mut high, mut again) = (None::<u32>, 0);
    for frame in &sent.frames {
        let layout = Layout::of(&frame.bytes).unwrap();
        assert!(layout.is_sealed(&frame.bytes));
        let (Some(emu_net::packet::TCP), Some(at)) = (layout.protocol, layout.transport) else { continue };
        let data = layout.data(&frame.bytes).len() as u32;
        let end = be32(&frame.bytes, at + 4).wrapping_add(data);
        let ahead = high.is_none_or(|high| end.wrapping_sub(high) as i32 > 0);
        if ahead {
            high = Some(end);
        } else {
            again += u64::from(data);
        }
    }
    again
}

#[test]
#[ignore = "boots Debian"]
fn captured_requests_are_served_by_debians_own_server_to_their_fin() {
    // A capture, what the server's log has, and in which frame the answer differs: its date is another, or its server.
    let cases = [
        ("debian-http", None, "url:/index.html", 6),
        ("debian-http", Some("print-flags.pcap"), "url:/", 6),
        ("debian-http-loss", None, "url:/long.txt", 6),
    ];
    for (name, pcap, request, parted) in cases {
        let (outcome, conversation) = run(name, pcap);
        assert_eq!((conversation.status, conversation.turns), (Status::Complete, conversation.of));
        assert_eq!(conversation.parted.map(|parted| parted.frame), Some(parted), "{conversation}");
        assert!(outcome.serial.contains(request), "{name}: {}", outcome.serial);
        let steps = outcome.events(|event| matches!(event, TraceEvent::Conversation { .. }));
        let steps: Vec<_> = steps
            .iter()
            .filter_map(|record| match record.event {
                TraceEvent::Conversation { step, .. } => Some(step),
                _ => None,
            })
            .collect();
        assert_eq!(steps, [ConversationStep::Begun, ConversationStep::Parted, ConversationStep::Complete]);
        // The driver has counted as many frames as the wire has carried, though the card cut them for it.
        let (received, sent) = (outcome.summary.frames_delivered, outcome.summary.frames_out);
        for counted in [format!("eth0 received {received} frames"), format!("eth0 sent {sent} frames")] {
            assert!(outcome.serial.contains(&counted), "{name}: {counted}\n{}", outcome.serial);
        }
        // What the capture lost makes the guest send again, and nothing else does.
        assert_eq!(sent_again(&outcome) > 0, name == "debian-http-loss", "{name}: {}", sent_again(&outcome));
    }
}
