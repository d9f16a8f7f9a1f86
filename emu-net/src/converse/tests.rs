//! Conversations against guests that are scripts, against a host that is made of smoltcp, and against themselves: one side of a
//! capture played against the other.

use super::*;
use crate::capture::{CaptureWriter, Direction};
use crate::layer::{Impair, ImpairConfig, Impairment};
use crate::packet::{Layout, be16, be32};
use crate::peer::{Peer, PeerConfig};
use etherparse::PacketBuilder;
use segment::{ACK, FIN, Header, RST, SYN};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn ms(ms: u64) -> VirtTime {
    VirtTime::ZERO.after(VirtDuration::from_ms(ms))
}

/// A capture of frames, 1 ms apart.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = CaptureWriter::new(&mut bytes).unwrap();
    for (at, frame) in (1..).zip(frames) {
        writer.frame(ms(at), Direction::ToGuest, frame, None).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// A captured TCP segment: whether of the client's, flags, sequence and acknowledgement number, options as bytes, data.
type Captured<'a> = (bool, u8, u32, u32, &'a [u8], &'a [u8]);

fn tcp((client, flags, seq, ack, options, data): Captured<'_>) -> Vec<u8> {
    let (from, to) = if client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let (from_port, to_port) = if client { (40000, 80) } else { (80, 40000) };
    let mut builder = PacketBuilder::ethernet2([2, 1, 1, 1, 1, from[3]], [2, 1, 1, 1, 1, to[3]])
        .ipv4(from, to, 64)
        .tcp(from_port, to_port, seq, 1000)
        .options_raw(options)
        .unwrap();
    for (flag, set) in [(FIN, 0), (SYN, 1), (RST, 2), (ACK, 3)] {
        if flags & flag != 0 {
            builder = match set {
                0 => builder.fin(),
                1 => builder.syn(),
                2 => builder.rst(),
                _ => builder.ack(ack),
            };
        }
    }
    let mut frame = Vec::new();
    builder.write(&mut frame, data).unwrap();
    frame
}

/// A whole exchange of a question and an answer, the client's number 100, the server's 5000.
fn exchange() -> Vec<Vec<u8>> {
    let turns: [Captured<'_>; 8] = [
        (true, SYN, 100, 0, &[], b""),
        (false, SYN | ACK, 5000, 101, &[], b""),
        (true, ACK, 101, 5001, &[], b""),
        (true, ACK, 101, 5001, &[], b"who?"),
        (false, ACK, 5001, 105, &[], b"nobody"),
        (true, ACK | FIN, 105, 5007, &[], b""),
        (false, ACK | FIN, 5007, 106, &[], b""),
        (true, ACK, 106, 5008, &[], b""),
    ];
    turns.iter().map(|turn| tcp(*turn)).collect()
}

fn config() -> ConverseConfig {
    ConverseConfig { guest: GUEST, ours: Some([192, 0, 2, 9].into()), ..ConverseConfig::default() }
}

fn converse(frames: &[Vec<u8>], config: &ConverseConfig) -> Converse {
    Converse::new(Path::new("x.pcap"), &capture(frames), VirtDuration::from_ms(10), config).unwrap()
}

fn outcomes(converse: &dyn NetBackend) -> Vec<Outcome> {
    let mut reports = Vec::new();
    converse.report(&mut reports);
    reports.into_iter().find(|report| report.part == "converse").unwrap().conversations
}

fn only(converse: &dyn NetBackend) -> Outcome {
    let [outcome] = outcomes(converse).try_into().unwrap();
    outcome
}

/// Flags, sequence and acknowledgement number, data.
type Said = (u8, u32, u32, Vec<u8>);
/// What a scripted guest says on hearing a segment.
type Answer = fn(&Guest, &Header, &[u8]) -> Vec<Said>;

/// A guest that is a script.
struct Guest {
    isn: u32,
    /// What it does on hearing a segment, by itself.
    answer: Answer,
    heard: Vec<(VirtTime, Vec<u8>)>,
    deaf: usize,
}

impl Guest {
    fn new(isn: u32, answer: Answer) -> Self {
        Self { isn, answer, heard: Vec::new(), deaf: 0 }
    }

    /// Takes a frame, and answers.
    fn take(&mut self, now: VirtTime, frame: &[u8]) -> Vec<Vec<u8>> {
        let layout = Layout::of(frame).unwrap();
        if layout.ether_type == packet::ARP {
            let mut reply = frame.to_vec();
            reply[..6].copy_from_slice(&frame[6..12]);
            reply[6..12].copy_from_slice(&GUEST_MAC);
            reply[21] = 2;
            reply[22..28].copy_from_slice(&GUEST_MAC);
            reply[28..32].copy_from_slice(&frame[38..42]);
            reply[32..42].copy_from_slice(&frame[22..32]);
            return vec![reply];
        }
        assert!(layout.is_sealed(frame), "a frame with wrong sums");
        if self.deaf > 0 {
            self.deaf -= 1;
            return Vec::new();
        }
        let packet = frame[14..layout.end].to_vec();
        self.heard.push((now, packet.clone()));
        let header = Header::of(&packet).unwrap();
        let data = packet[header.data..].to_vec();
        let from = layout.port(frame, false).unwrap();
        let answers = (self.answer)(self, &header, &data);
        answers
            .into_iter()
            .map(|(flags, seq, ack, data)| guest_segment(from, flags, seq, ack, &data))
            .collect()
    }

    /// Flags, relative sequence number and acknowledgement, and data of all that it has heard.
    fn log(&self) -> Vec<Said> {
        let each = |(_, packet): &(VirtTime, Vec<u8>)| {
            let header = Header::of(packet).unwrap();
            let ack = if header.has(ACK) { header.ack.wrapping_sub(self.isn) } else { 0 };
            (header.flags, header.seq - 100, ack, packet[header.data..].to_vec())
        };
        self.heard.iter().map(each).collect()
    }
}

fn guest_segment(to_port: u16, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::ethernet2(GUEST_MAC, [2, 1, 1, 1, 1, 1])
        .ipv4(GUEST.octets(), [192, 0, 2, 9], 64)
        .tcp(80, to_port, seq, 30000)
        .ack(ack);
    if flags & SYN != 0 {
        builder = builder.syn();
    }
    if flags & FIN != 0 {
        builder = builder.fin();
    }
    if flags & RST != 0 {
        builder = builder.rst();
    }
    let mut frame = Vec::new();
    builder.write(&mut frame, data).unwrap();
    frame
}

/// Lets guest and far end speak until nothing more is to be said.
fn run(far: &mut dyn NetBackend, guest: &mut Guest) -> VirtTime {
    let mut last = VirtTime::ZERO;
    for _ in 0..10_000 {
        let Some(now) = far.next_arrival() else { return last };
        last = now;
        if let Some(frame) = far.receive(now) {
            for answer in guest.take(now, &frame.bytes) {
                far.send(now.after(VirtDuration::from_us(10)), &answer);
            }
        }
    }
    panic!("it never ends");
}

/// Acknowledges, answers the question, closes when it is closed.
fn server(guest: &Guest, header: &Header, data: &[u8]) -> Vec<Said> {
    reply(guest, header, data, b"nobody")
}

fn reply(guest: &Guest, header: &Header, data: &[u8], says: &[u8]) -> Vec<Said> {
    let next = header.seq.wrapping_add(data.len() as u32);
    let said = says.len() as u32;
    if header.has(SYN) {
        return vec![(SYN | ACK, guest.isn, header.seq + 1, Vec::new())];
    }
    if !data.is_empty() {
        return vec![(ACK, guest.isn.wrapping_add(1), next, says.to_vec())];
    }
    if header.has(FIN) {
        return vec![(FIN | ACK, guest.isn.wrapping_add(1 + said), next + 1, Vec::new())];
    }
    Vec::new()
}

#[test]
fn a_conversation_is_played_with_the_guests_own_numbers() {
    // The guest's numbers wrap on the way.
    let mut guest = Guest::new(u32::MAX - 3, server);
    let mut far = converse(&exchange(), &config());
    run(&mut far, &mut guest);
    let outcome = only(&far);
    assert_eq!((outcome.status, outcome.turns, outcome.parted), (Status::Complete, 8, None), "{outcome}");
    let none = Vec::new;
    let expected = [
        (SYN, 0, 0, none()),
        (ACK, 1, 1, none()),
        (ACK, 1, 1, b"who?".to_vec()),
        (ACK | FIN, 5, 7, none()),
        (ACK, 6, 8, none()),
    ];
    assert_eq!(guest.log(), expected);
    let packet = &guest.heard[2].1;
    assert_eq!((&packet[12..16], &packet[16..20]), (&[192, 0, 2, 9][..], &GUEST.octets()[..]));
}

#[test]
fn what_the_guest_does_otherwise_is_told_and_the_conversation_goes_on() {
    let cases: [(Answer, Departure); 4] = [
        (|guest, header, data| reply(guest, header, data, b"nobudy"), Departure::Said(4)),
        (|guest, header, data| reply(guest, header, data, b"nobody at all"), Departure::More(7)),
        (|guest, header, data| reply(guest, header, data, b"no"), Departure::Less(4)),
        (
            |guest, header, data| {
                let mut says = reply(guest, header, data, b"nobody");
                if !data.is_empty() {
                    says[0].0 |= FIN;
                }
                if header.has(FIN) {
                    says = vec![(ACK, guest.isn.wrapping_add(8), header.seq + 1, Vec::new())];
                }
                says
            },
            Departure::Closed,
        ),
    ];
    for (answer, how) in cases {
        let mut guest = Guest::new(7, answer);
        let mut far = converse(&exchange(), &config());
        run(&mut far, &mut guest);
        let outcome = only(&far);
        if how != Departure::Closed {
            assert_eq!(outcome.parted.map(|parted| parted.how), Some(how), "{outcome}");
        }
        assert_eq!(outcome.status, Status::Complete, "{outcome}");
        // Everything that the guest said is acknowledged in the end.
        let last = guest.log().pop().unwrap();
        let all = match how {
            Departure::More(bytes) => 8 + bytes,
            Departure::Less(bytes) => 8 - bytes,
            _ => 8,
        };
        assert_eq!((last.0, last.1, u64::from(last.2)), (ACK, 6, all), "{how:?}");
    }
}

#[test]
fn what_is_not_answered_goes_out_again_later_and_later() {
    let mut guest = Guest::new(7, server);
    guest.deaf = 3;
    let mut far = converse(&exchange(), &config());
    run(&mut far, &mut guest);
    let outcome = only(&far);
    assert_eq!((outcome.status, outcome.again, outcome.parted), (Status::Complete, 3, None), "{outcome}");
    // 1 s, 2 s and 4 s later.
    assert_eq!(guest.heard[0].0.as_ns() / 1_000_000, 7010);
}

#[test]
fn a_guest_that_never_answers_is_given_up_and_one_that_refuses_too() {
    let mut deaf = Guest::new(7, |_, _, _| Vec::new());
    let mut far = converse(&exchange(), &config());
    run(&mut far, &mut deaf);
    let outcome = only(&far);
    assert_eq!((outcome.status, outcome.again, outcome.turns), (Status::Silent, 6, 1), "{outcome}");
    assert_eq!(outcome.parted.map(|parted| (parted.frame, parted.how)), Some((2, Departure::Silent)));
    let mut refusing = Guest::new(7, |_, header, _| vec![(RST | ACK, 0, header.seq + 1, Vec::new())]);
    let mut far = converse(&exchange(), &config());
    run(&mut far, &mut refusing);
    let outcome = only(&far);
    assert_eq!(
        (outcome.status, outcome.parted.map(|parted| parted.how)),
        (Status::Reset, Some(Departure::Reset))
    );
    let steps: Vec<_> = far.take_steps().into_iter().map(|step| step.what).collect();
    use emu_core::trace::ConversationStep::{Begun, Parted, Reset};
    assert_eq!(steps, [Begun, Parted, Reset]);
}

/// A selective acknowledgement of one block, padded.
fn sack(from: u32, to: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 10];
    option.extend(from.to_be_bytes());
    option.extend(to.to_be_bytes());
    option
}

#[test]
fn a_captured_loss_makes_the_guest_send_again_and_its_numbers_are_in_the_blocks() {
    let block = sack(5005, 5009);
    let ok: &[u8] = &[1, 1, 4, 2];
    let frames: Vec<_> = [
        (true, SYN, 100, 0, ok, &b""[..]),
        (false, SYN | ACK, 5000, 101, ok, b""),
        (true, ACK, 101, 5001, &[], b"who?"),
        // 5001 to 5005 is lost.
        (false, ACK, 5005, 105, &[], b"bbbb"),
        (true, ACK, 105, 5001, &block, b""),
        (false, ACK, 5001, 105, &[], b"aaaa"),
        (true, ACK, 105, 5009, &[], b""),
        (true, ACK | FIN, 105, 5009, &[], b""),
        (false, ACK | FIN, 5009, 106, &[], b""),
        (true, ACK, 106, 5010, &[], b""),
    ]
    .map(tcp)
    .into();
    // It sends all at once; the first half again only when the block tells it to.
    let mut guest = Guest::new(70_000, |guest, header, data| {
        let packet = &guest.heard.last().unwrap().1;
        let isn = guest.isn;
        match header.option(packet, segment::OPTION_SACK, 10) {
            _ if header.has(SYN) => vec![(SYN | ACK, isn, header.seq + 1, Vec::new())],
            Some(place) => {
                let edges = [be32(packet, place.start + 2), be32(packet, place.start + 6)];
                assert_eq!((header.ack, edges), (isn + 1, [isn + 5, isn + 9]));
                vec![(ACK, isn + 1, header.seq, b"aaaa".to_vec())]
            }
            None if !data.is_empty() => vec![
                (ACK, isn + 1, header.seq + 4, b"aaaa".to_vec()),
                (ACK, isn + 5, header.seq + 4, b"bbbb".to_vec()),
            ],
            None if header.has(FIN) => vec![(FIN | ACK, isn + 9, header.seq + 1, Vec::new())],
            None => Vec::new(),
        }
    });
    // The script's SYN | ACK has no options, so the selective acknowledgement has to be agreed on by hand.
    let mut far = converse(&frames, &config());
    let mut last = VirtTime::ZERO;
    for _ in 0..1000 {
        let Some(now) = far.next_arrival() else { break };
        last = now;
        let Some(frame) = far.receive(now) else { continue };
        for mut answer in guest.take(now, &frame.bytes) {
            let flags = answer.get(47).copied().unwrap_or(0);
            if answer[12..14] == [8, 0] && flags & SYN != 0 {
                answer.extend([1, 1, 4, 2]);
                answer[46] = 0x60;
                let len = be16(&answer, 16) + 4;
                answer[16..18].copy_from_slice(&len.to_be_bytes());
                Layout::of(&answer).unwrap().seal(&mut answer);
            }
            far.send(now.after(VirtDuration::from_us(10)), &answer);
        }
    }
    let outcome = only(&far);
    assert_eq!((outcome.status, outcome.parted), (Status::Complete, None), "{outcome} at {last}");
    assert_eq!(guest.log().last().unwrap().2, 10);
}

#[test]
fn a_conversation_goes_on_from_its_state() {
    let mut guest = Guest::new(7, server);
    let mut first = converse(&exchange(), &config());
    let mut log = Vec::new();
    for _ in 0..1000 {
        let Some(now) = first.next_arrival() else { break };
        // From here on another one that has the same state says the same.
        let mut second = converse(&exchange(), &config());
        second.restore(first.state()).unwrap();
        assert_eq!(second.next_arrival(), Some(now));
        let frame = second.receive(now);
        assert_eq!(first.receive(now), frame);
        assert_eq!(second.state(), first.state());
        for answer in frame.iter().flat_map(|frame| guest.take(now, &frame.bytes)).collect::<Vec<_>>() {
            second.send(now, &answer);
            first.send(now, &answer);
        }
        assert_eq!(second.state(), first.state());
        log.push(now);
        first = second;
    }
    assert_eq!(only(&first).status, Status::Complete);
    let mut other = converse(&exchange()[..4], &config());
    assert_eq!(other.restore(first.state()), Err(BackendRestoreError::Capture));
    assert_eq!(other.restore(BackendState::Null), Err(BackendRestoreError::Kind));
}

#[test]
fn conversations_that_can_not_be_played_say_why() {
    let mut fragment = exchange().remove(0);
    fragment[20] = 0x20;
    let mut six = exchange().remove(0);
    six[12..14].copy_from_slice(&[0x86, 0xdd]);
    let cases = [
        (exchange().split_off(3), "no handshake in the capture"),
        (vec![fragment], "fragments"),
        (vec![six], "IPv6"),
    ];
    for (frames, why) in cases {
        let outcome = only(&converse(&frames, &config()));
        assert_eq!((outcome.status, outcome.reason), (Status::NotPlayed, Some(why)));
    }
}

#[test]
fn damaged_frames_and_restored_states_end_nothing() {
    let mut dice = 1_u64;
    let mut roll = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    let captures = [exchange(), datagrams()];
    for round in 0..400 {
        let frames = &captures[round % 2];
        let part = if round % 4 < 2 { Part::Asks } else { Part::Answers };
        let config = ConverseConfig { part, ..config() };
        let mut far = converse(frames, &config);
        let mut guest = Guest::new(round as u32, server);
        for step in 0..60 {
            let now = far.next_arrival().unwrap_or(ms(step * 100)).max(ms(step));
            let heard = far.receive(now);
            let mut answers = match heard {
                Some(frame) if round % 2 == 0 && part == Part::Asks => guest.take(now, &frame.bytes),
                _ => vec![frames[roll(frames.len())].clone()],
            };
            for answer in &mut answers {
                for _ in 0..roll(4) {
                    let at = roll(answer.len());
                    answer[at] ^= 1 << roll(8);
                }
                answer.truncate(answer.len() - roll(20).saturating_sub(15));
                if roll(3) > 0 {
                    answer[26..30].copy_from_slice(&GUEST.octets());
                    answer[30..34].copy_from_slice(&[192, 0, 2, 9]);
                }
                far.send(now, answer);
            }
            let mut other = converse(frames, &config);
            other.restore(far.state()).unwrap();
            assert_eq!(other.state(), far.state());
            far = other;
        }
    }
}

/// DHCP, ARP and pings.
fn datagrams() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/debian-dhcp.pcap");
    let bytes = std::fs::read(path).unwrap();
    read_capture("x", &bytes).unwrap().frames.into_iter().map(|frame| frame.bytes).collect()
}

/// Two far ends at one cable, each the other's guest, until both are done or it is `until`.
fn meet(one: &mut dyn NetBackend, other: &mut dyn NetBackend, until: VirtTime) {
    for _ in 0..1_000_000 {
        let next = [one.next_arrival(), other.next_arrival()].into_iter().flatten().min();
        let Some(now) = next.filter(|now| *now < until) else { return };
        if let Some(frame) = one.receive(now) {
            other.send(now, &frame.bytes);
        }
        if let Some(frame) = other.receive(now) {
            one.send(now, &frame.bytes);
        }
    }
    panic!("it never ends");
}

/// Both sides of a shipped capture.
fn both(name: &str, only: Option<&str>) -> [Converse; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces").join(name);
    let bytes = std::fs::read(&path).unwrap();
    let [asks, answers] =
        [(Part::Asks, [192, 0, 2, 1], [192, 0, 3, 1]), (Part::Answers, [192, 0, 3, 1], [192, 0, 2, 1])].map(
            |(part, guest, ours)| {
                let config = ConverseConfig {
                    part,
                    guest: guest.into(),
                    ours: Some(ours.into()),
                    only: only.map(str::to_owned),
                    ..ConverseConfig::default()
                };
                Converse::new(&path, &bytes, VirtDuration::from_ms(1), &config).unwrap()
            },
        );
    [asks, answers]
}

#[test]
fn both_sides_of_a_capture_play_it_to_the_end() {
    let cases = [
        ("print-flags.pcap", None, 1),
        ("ssh.pcap", Some("tcp"), 0),
        ("debian-dhcp.pcap", Some("icmp"), 1),
        ("debian-http.pcap", None, 1),
        ("debian-http-loss.pcap", None, 1),
    ];
    for (name, only, at_least) in cases {
        let [mut asks, mut answers] = both(name, only);
        meet(&mut asks, &mut answers, ms(3_600_000));
        let told = [outcomes(&asks), outcomes(&answers)];
        let played = told[0].iter().filter(|outcome| outcome.status != Status::NotPlayed);
        assert!(played.clone().count() >= at_least, "{name}: {told:#?}");
        for outcome in told.iter().flatten().filter(|outcome| outcome.status != Status::NotPlayed) {
            assert_eq!((outcome.status, outcome.parted), (Status::Complete, None), "{name}: {outcome}");
        }
    }
}

fn smoltcp() -> Peer {
    let files = [("index.html".to_owned(), vec![b'x'; 5258]), ("boot".to_owned(), vec![1; 100])].into();
    Peer::new(PeerConfig::default(), files).unwrap()
}

fn against_smoltcp(capture: &str, trouble: Impairment, only: Option<&str>) -> Vec<Outcome> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces").join(capture);
    let bytes = std::fs::read(&path).unwrap();
    let config = ConverseConfig {
        guest: [192, 0, 2, 1].into(),
        ours: Some([192, 0, 2, 50].into()),
        only: only.map(str::to_owned),
        ..ConverseConfig::default()
    };
    let far = Converse::new(&path, &bytes, VirtDuration::from_ms(1), &config).unwrap();
    let config = ImpairConfig { seed: 3, to_guest: trouble, from_guest: trouble };
    let mut wire = Impair::new(Box::new(far), config);
    meet(&mut wire, &mut smoltcp(), ms(600_000));
    outcomes(&wire)
}

#[test]
fn a_captured_get_is_served_by_another_stack_over_a_bad_wire_as_well() {
    let bad = Impairment {
        loss: 100_000,
        duplicate: 50_000,
        delay_ns: 100_000,
        reorder: 100_000,
        ..Impairment::default()
    };
    for trouble in [Impairment::default(), bad] {
        let outcomes = against_smoltcp("print-flags.pcap", trouble, None);
        assert_eq!(outcomes.len(), 1);
        assert_eq!((outcomes[0].status, outcomes[0].turns), (Status::Complete, 10), "{}", outcomes[0]);
        // Another server has other headers.
        assert!(outcomes[0].parted.is_some_and(|parted| parted.frame == 6), "{}", outcomes[0]);
    }
}

#[test]
fn a_captured_client_gets_an_address_and_pings() {
    for outcome in against_smoltcp("debian-dhcp.pcap", Impairment::default(), Some("not arp")) {
        assert_eq!(outcome.status, Status::Complete, "{outcome}");
    }
    let pings = against_smoltcp("demo-requests.pcap", Impairment::default(), Some("icmp or arp"));
    let played: Vec<_> = pings.iter().filter(|outcome| outcome.protocol == Protocol::Icmp).collect();
    assert!(played.len() > 3, "{pings:#?}");
}

#[test]
fn a_guest_that_asks_is_answered_with_its_own_identifier() {
    let query = |client: bool, id: u16, text: &[u8]| {
        let (from, to) = if client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let (from_port, to_port) = if client { (5353, 53) } else { (53, 5353) };
        let mut frame = Vec::new();
        let mut data = id.to_be_bytes().to_vec();
        data.extend(text);
        PacketBuilder::ethernet2([2, 1, 1, 1, 1, from[3]], [2, 1, 1, 1, 1, to[3]])
            .ipv4(from, to, 64)
            .udp(from_port, to_port)
            .write(&mut frame, &data)
            .unwrap();
        frame
    };
    let frames =
        [query(true, 7, b"A?"), query(true, 8, b"AAAA?"), query(false, 7, b"A!"), query(false, 8, b"AAAA!")];
    let config = ConverseConfig { part: Part::Answers, ours: Some([192, 0, 2, 53].into()), ..config() };
    let mut far = converse(&frames, &config);
    assert!(far.next_arrival().is_none());
    let ask = |id: u16, text: &[u8]| {
        let mut frame = Vec::new();
        let mut data = id.to_be_bytes().to_vec();
        data.extend(text);
        PacketBuilder::ethernet2(GUEST_MAC, [2; 6])
            .ipv4(GUEST.octets(), [192, 0, 2, 53], 64)
            .udp(41000, 53)
            .write(&mut frame, &data)
            .unwrap();
        frame
    };
    // In another order, from another port, with other identifiers; and one again.
    far.send(ms(20), &ask(500, b"AAAA?"));
    far.send(ms(21), &ask(400, b"A?"));
    let mut answers = Vec::new();
    let mut again = false;
    while let Some(now) = far.next_arrival() {
        if let Some(frame) = far.receive(now) {
            let layout = Layout::of(&frame.bytes).unwrap();
            answers.push((layout.port(&frame.bytes, true), layout.data(&frame.bytes).to_vec()));
        }
        if answers.len() == 2 && !again {
            again = true;
            far.send(now, &ask(400, b"A?"));
        }
    }
    let answer = |id: u16, text: &[u8]| (Some(41000), [&id.to_be_bytes()[..], text].concat());
    let both = [answer(400, b"A!"), answer(500, b"AAAA!")];
    assert_eq!(answers, [both.clone(), both].concat());
    let outcome = only(&far);
    assert_eq!((outcome.status, outcome.parted, outcome.again), (Status::Complete, None, 2), "{outcome}");
}
