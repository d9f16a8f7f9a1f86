//! Tests of the layers, between a card that is the test and a far end that follows a script.

use super::*;
use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend, Null};
use crate::packet::Layout;
use crate::report::Report;
use emu_core::{VirtDuration, VirtTime};
use etherparse::PacketBuilder;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

/// What the far end was sent.
type Log = Rc<RefCell<Vec<(u64, Vec<u8>)>>>;

/// A far end that sends given frames at given microseconds.
struct Script {
    frames: VecDeque<(VirtTime, Vec<u8>)>,
    log: Log,
    waits: bool,
}

impl NetBackend for Script {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.log.borrow_mut().push((now.as_ns() / 1000, frame.to_vec()));
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.frames.front().map(|(when, _)| *when)
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        if self.next_arrival()? > now {
            return None;
        }
        self.frames.pop_front().map(|(_, frame)| frame.into())
    }

    fn held(&self) -> Option<usize> {
        self.frames.front().filter(|_| self.waits).map(|(_, frame)| frame.len())
    }

    fn is_exhausted(&self) -> bool {
        self.frames.is_empty()
    }

    fn state(&self) -> BackendState {
        BackendState::Null
    }

    fn restore(&mut self, _: BackendState) -> Result<(), BackendRestoreError> {
        Ok(())
    }
}

fn us(us: u64) -> VirtTime {
    VirtTime::ZERO.after(VirtDuration::from_us(us))
}

fn script(frames: impl IntoIterator<Item = (u64, Vec<u8>)>) -> (Box<Script>, Log) {
    let log = Log::default();
    let frames = frames.into_iter().map(|(at, frame)| (us(at), frame)).collect();
    (Box::new(Script { frames, log: log.clone(), waits: false }), log)
}

/// Everything that arrives, with microseconds.
fn drain(layer: &mut dyn NetBackend) -> Vec<(u64, Frame)> {
    let mut arrived = Vec::new();
    for _ in 0..100_000 {
        let Some(when) = layer.next_arrival() else { return arrived };
        arrived.extend(layer.receive(when).map(|frame| (when.as_ns() / 1000, frame)));
    }
    panic!("it never ends");
}

fn report(layer: &dyn NetBackend) -> Report {
    let mut reports = Vec::new();
    layer.report(&mut reports);
    reports.pop().unwrap()
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(source, destination, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, b"payload")
        .unwrap();
    frame
}

fn tcp(ports: (u16, u16)) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(ports.0, ports.1, 1, 1000)
        .write(&mut frame, b"odd")
        .unwrap();
    frame
}

/// Who has 10.0.0.2, asks 10.0.0.1.
fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame.resize(60, 0);
    frame
}

#[test]
fn expressions_say_what_tcpdump_would() {
    let mut tagged = arp();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    let frames = [arp(), udp([10, 0, 0, 1], [10, 0, 1, 2], (40000, 53)), tcp((1024, 80)), tagged];
    for (text, expected) in [
        ("", [true; 4]),
        ("arp", [true, false, false, true]),
        ("ip", [false, true, true, false]),
        ("udp or tcp", [false, true, true, false]),
        ("not (udp or arp)", [false, false, true, false]),
        ("udp and port 53", [false, true, false, false]),
        ("src port 53 or dst port 80", [false, false, true, false]),
        ("host 10.0.0.2", [true, false, true, true]),
        ("dst net 10.0.1.0/24", [false, true, false, false]),
        ("net 10.0.0.0/15 and not arp", [false, true, true, false]),
        ("net 0.0.0.0/0", [true; 4]),
        ("broadcast", [true, false, false, true]),
        ("ether src host 02:00:00:00:00:01", [true; 4]),
        ("ether dst host 02:00:00:00:00:02", [false, true, true, false]),
        ("vlan", [false, false, false, true]),
        ("vlan 7 and arp", [false, false, false, true]),
        ("vlan 8", [false; 4]),
        ("greater 60", [true, false, false, true]),
        ("less 60 and tcp or vlan", [false, false, true, true]),
        ("!ip && !vlan", [true, false, false, false]),
    ] {
        let expression = Expression::parse(text).unwrap();
        assert_eq!(frames.each_ref().map(|frame| expression.matches(frame)), expected, "{text}");
    }
    for text in
        ["frob", "port", "port 99999", "(tcp", "tcp)", "tcp udp", "host 1.2.3", "src tcp", "net 1.2.3.4"]
    {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
    assert!(Expression::parse(&"(".repeat(10_000)).is_err());
    let error = Expression::parse("udp and prot 53").unwrap_err().to_string();
    assert_eq!(error, "filter `udp and prot 53`, word 3: `prot` is none of the words that can stand here");
}

#[test]
fn a_filter_holds_frames_back_each_way_and_counts_them() {
    let pass = Expression::parse("arp").unwrap();
    for (way, arrived, sent) in [(Way::Both, 1, 1), (Way::ToGuest, 1, 2), (Way::FromGuest, 2, 1)] {
        let (far, log) = script([(1, arp()), (2, tcp((1, 2)))]);
        let mut filter = Filter::new(far, pass.clone(), way);
        assert_eq!(drain(&mut filter).len(), arrived, "{way:?}");
        filter.send(us(9), &arp());
        filter.send(us(9), &tcp((1, 2)));
        assert_eq!(log.borrow().len(), sent, "{way:?}");
        assert_eq!(report(&filter).get("held back"), Some((4 - arrived - sent) as u64));
    }
}

fn maps() -> RewriteConfig {
    RewriteConfig {
        macs: [("02:00:00:00:00:02".to_owned(), "52:54:00:12:34:56".to_owned())].into(),
        ips: [([10, 0, 0, 2].into(), [192, 0, 2, 2].into()), ([10, 0, 0, 1].into(), [192, 0, 2, 1].into())]
            .into(),
        ports: [(80, 8080)].into(),
    }
}

#[test]
fn addresses_and_ports_are_rewritten_with_their_sums_and_back_again() {
    for frame in [arp(), tcp((1024, 80)), udp([10, 0, 0, 1], [10, 0, 0, 2], (80, 7))] {
        let (far, log) = script([(1, frame.clone())]);
        let mut rewrite = Rewrite::new(far, &maps()).unwrap();
        let (_, there) = drain(&mut rewrite).remove(0);
        let layout = Layout::of(&there.bytes).unwrap();
        assert!(layout.is_sealed(&there.bytes));
        assert!(there.bytes.windows(4).any(|four| four == [192, 0, 2, 2]));
        assert!(!there.bytes.windows(3).any(|three| three == [10, 0, 0]));
        if layout.protocol.is_some() {
            assert_eq!(there.bytes[..6], [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
            assert!([false, true].iter().any(|end| layout.port(&there.bytes, *end) == Some(8080)));
        }
        rewrite.send(us(2), &there.bytes);
        assert_eq!(log.borrow()[0].1, frame, "the way back is the way there");
        assert_eq!(report(&rewrite).get("changed"), Some(2));
    }
}

#[test]
fn maps_that_lose_something_are_refused() {
    let refused = |change: fn(&mut RewriteConfig)| {
        let mut config = maps();
        change(&mut config);
        Rewrite::new(Box::new(Null), &config).is_err()
    };
    assert!(refused(|config| config.ports.extend([(81, 8080)])));
    assert!(refused(|config| config.macs.extend([("x".to_owned(), "y".to_owned())])));
    assert!(refused(|config| config.ips.extend([(IpAddr::from([1, 1, 1, 1]), "::1".parse().unwrap())])));
}

fn numbered(count: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    (0..count).map(|n| (n * 10, [&n.to_be_bytes()[..], &[0; 92]].concat()))
}

fn impaired(trouble: Impairment, seed: u64) -> (Impair, Vec<(u64, Frame)>) {
    let (far, _) = script(numbered(1000));
    let mut impair = Impair::new(far, ImpairConfig { seed, to_guest: trouble, ..ImpairConfig::default() });
    let arrived = drain(&mut impair);
    (impair, arrived)
}

fn number(frame: &Frame) -> u64 {
    u64::from_be_bytes(frame.bytes[..8].try_into().unwrap())
}

#[test]
fn each_trouble_does_what_it_says_about_as_often_as_it_says() {
    const TENTH: u32 = 100_000;
    let close = |count: Option<u64>| count.is_some_and(|count| (60..140).contains(&count));

    let (impair, arrived) = impaired(Impairment { loss: TENTH, ..Impairment::default() }, 1);
    assert!(close(report(&impair).get("in lost")));
    assert_eq!(arrived.len() as u64 + report(&impair).get("in lost").unwrap(), 1000);
    assert!(arrived.is_sorted_by_key(|(_, frame)| number(frame)));

    let (impair, arrived) = impaired(Impairment { duplicate: TENTH, ..Impairment::default() }, 1);
    assert!(close(report(&impair).get("in doubled")));
    assert_eq!(arrived.len() as u64, 1000 + report(&impair).get("in doubled").unwrap());

    let (impair, arrived) = impaired(Impairment { corrupt: TENTH, ..Impairment::default() }, 1);
    assert!(close(report(&impair).get("in changed")));
    let intact: Vec<_> = numbered(1000).map(|(_, frame)| frame).collect();
    let flipped = |(frame, intact): (&Vec<u8>, &Vec<u8>)| -> u32 {
        frame.iter().zip(intact).map(|(one, other)| (one ^ other).count_ones()).sum()
    };
    let bits: u32 = arrived.iter().map(|(_, frame)| &frame.bytes).zip(&intact).map(flipped).sum();
    assert_eq!(Some(u64::from(bits)), report(&impair).get("in changed"), "one bit a frame");

    let (impair, arrived) = impaired(Impairment { bad_fcs: TENTH, ..Impairment::default() }, 1);
    let bad = arrived.iter().filter(|(_, frame)| frame.bad_fcs).count() as u64;
    assert!(close(Some(bad)) && report(&impair).get("in bad FCS") == Some(bad));

    let (_, arrived) = impaired(Impairment { delay_ns: 500_000, ..Impairment::default() }, 1);
    assert!(arrived.iter().all(|(when, frame)| *when == number(frame) * 10 + 500));

    let trouble = Impairment { delay_ns: 500_000, jitter_ns: 100_000, ..Impairment::default() };
    let (_, arrived) = impaired(trouble, 1);
    assert!(arrived.iter().all(|(when, frame)| (400..=610).contains(&(when - number(frame) * 10))));
    assert!(!arrived.is_sorted_by_key(|(_, frame)| number(frame)), "jitter longer than a gap reorders");

    let (impair, arrived) =
        impaired(Impairment { delay_ns: 55_000, reorder: TENTH, ..Impairment::default() }, 1);
    assert!(close(report(&impair).get("in overtaking")));
    assert!(!arrived.is_sorted_by_key(|(_, frame)| number(frame)));
}

#[test]
fn losses_come_in_bursts_if_they_are_told_to() {
    let runs = |again| {
        let (_, arrived) =
            impaired(Impairment { loss: 50_000, loss_again: again, ..Impairment::default() }, 3);
        let gaps = arrived.windows(2).map(|pair| number(&pair[1].1) - number(&pair[0].1) - 1);
        let gaps: Vec<u64> = gaps.filter(|gap| *gap > 0).collect();
        gaps.iter().sum::<u64>() as f64 / gaps.len() as f64
    };
    assert!(runs(750_000) > 2.5, "{}", runs(750_000));
    assert!(runs(0) < 1.5, "{}", runs(0));
}

#[test]
fn trouble_comes_from_the_seed_alone_and_goes_on_from_a_snapshot() {
    let trouble = Impairment { delay_ns: 50_000, jitter_ns: 20_000, loss: 100_000, ..Impairment::default() };
    assert_eq!(impaired(trouble, 7).1, impaired(trouble, 7).1);
    assert_ne!(impaired(trouble, 7).1, impaired(trouble, 8).1);

    let config = ImpairConfig { seed: 7, to_guest: trouble, ..ImpairConfig::default() };
    let mut whole = Impair::new(script(numbered(1000)).0, config);
    let arrived = drain(&mut whole);
    let mut first = Impair::new(script(numbered(500)).0, config);
    let mut parts = Vec::new();
    while let Some(when) = first.next_arrival().filter(|when| *when < us(5000)) {
        parts.extend(first.receive(when).map(|frame| (when.as_ns() / 1000, frame)));
    }
    let mut second = Impair::new(script(numbered(1000).skip(500)).0, config);
    second.restore(first.state()).unwrap();
    parts.extend(drain(&mut second));
    assert_eq!(parts, arrived);
    assert_eq!(second.restore(BackendState::Null), Err(BackendRestoreError::Kind));
}

#[test]
fn what_the_guest_sends_is_late_as_well() {
    let (far, log) = script([]);
    let from_guest = Impairment { delay_ns: 30_000, ..Impairment::default() };
    let mut impair = Impair::new(far, ImpairConfig { from_guest, ..ImpairConfig::default() });
    impair.send(us(10), &arp());
    assert!(log.borrow().is_empty() && !impair.is_exhausted());
    assert_eq!(drain(&mut impair).len(), 0);
    assert_eq!(log.borrow().iter().map(|(when, _)| *when).collect::<Vec<_>>(), [40]);
}

#[test]
fn what_waits_for_room_waits_behind_every_layer() {
    let (mut far, _) = script([(1, arp())]);
    far.waits = true;
    let filter = Filter::new(far, Expression::parse("arp").unwrap(), Way::Both);
    let rewrite = Rewrite::new(Box::new(filter), &maps()).unwrap();
    let mut impair = Impair::new(Box::new(rewrite), ImpairConfig::default());
    assert_eq!(impair.held(), Some(60));
    impair.send(us(5), &arp());
    assert_eq!(impair.held(), Some(60), "nothing but room lets it go");
    assert_eq!(drain(&mut impair).len(), 1);
}

#[test]
fn a_capture_has_both_ways_and_times() {
    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let out = Shared::default();
    let mut layer = CaptureLayer::new(script([(1, arp())]).0, Box::new(out.clone())).unwrap();
    assert_eq!(drain(&mut layer).len(), 1);
    layer.send(us(2), &tcp((1, 2)));
    layer.finish().unwrap();
    let capture = crate::read_capture("out", &out.0.lock().unwrap()).unwrap();
    let seen: Vec<_> =
        capture.frames.iter().map(|frame| (frame.time_ns, frame.interface, frame.bytes.len())).collect();
    assert_eq!(seen, [(1000, 0, 60), (2000, 1, tcp((1, 2)).len())]);
}
