//! Our side of a TCP connection: the captured segments, in their order and at their time, with the live guest's sequence numbers,
//! time stamps and ports in them; acknowledgements of our own where the guest needs more of them; and retransmission.
//!
//! A captured frame of the guest's has had its turn when what it says, or as much, has come and our part that it acknowledges is
//! acknowledged. Losses of the guest's frames are replayed: what a captured acknowledgement says is missing counts as
//! missing until the guest has sent it again.

use super::conversation::{AGAIN, Conversation, OWN, SENT, Wire};
use super::outcome::{Departure, Status};
use super::script::Turn;
use super::segment::{self, ACK, FIN, Header, RST, SYN};
use super::stream::Stream;
use crate::packet::{IPV4, be16, be32};
use emu_core::{VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};

/// How long an acknowledgement of our own waits for a captured one that does as well (RFC 9293, section 3.8.6.3: below 0.5 s).
const DELAYED_ACK: VirtDuration = VirtDuration::from_ms(40);
/// A guest that said more than in the capture has finished when it was silent for so long.
const QUIET: VirtDuration = VirtDuration::from_ms(40);
/// The largest segment that fits an Ethernet frame.
const MSS_MAX: u16 = 1460;
/// What a guest takes that does not say (RFC 9293, section 3.7.1).
const MSS_DEFAULT: u16 = 536;
/// The largest shift of a window (RFC 7323, section 2.3).
const SCALE_MAX: u8 = 14;

/// What both sides have agreed on, as far as the captured one has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agreed {
    /// The guest's largest segment.
    mss: u16,
    /// The guest's window shift, if both have one.
    scale: Option<u8>,
    /// Selective acknowledgement.
    sack: bool,
    /// Time stamps.
    times: bool,
}

/// A connection's state. Positions count from a stream's SYN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpState {
    guest_isn: Option<u32>,
    agreed: Agreed,
    stream: Stream,
    /// How far our stream is sent, and acknowledged by the guest.
    sent: u64,
    acked: u64,
    /// The guest's window, in bytes.
    window: u64,
    /// The guest's last time stamp.
    guest_time: u32,
    /// How far we have acknowledged the guest's stream.
    told: u64,
    /// When an acknowledgement of our own is due.
    ack_due: Option<VirtTime>,
    /// When the guest last said something new.
    said: VirtTime,
    /// Our captured window, before scaling.
    our_window: u16,
}

impl TcpState {
    pub(super) fn is_sound(&self) -> bool {
        let positions = [self.sent, self.acked, self.window, self.told];
        self.stream.is_sound()
            && self.acked <= self.sent
            && positions.iter().all(|at| *at < 1 << 62)
            && self.agreed.scale.is_none_or(|scale| scale <= SCALE_MAX)
    }
}

impl Conversation {
    /// A segment of the guest's.
    pub(super) fn hear_segment(&mut self, wire: &mut Wire<'_>, packet: &[u8]) {
        let Some(header) = Header::of(packet) else { return };
        let t = &mut self.state.tcp;
        if header.has(SYN) && t.guest_isn.is_none() {
            t.guest_isn = Some(header.seq);
            self.agree(&header, packet);
        }
        if header.has(RST) {
            return self.hear_reset(wire, &header);
        }
        let t = &mut self.state.tcp;
        let Some(isn) = t.guest_isn else { return };
        self.state.tries = 0;
        let before = t.stream.contiguous();
        let from = segment::position(isn, before, header.seq);
        let to = from + header.len(packet);
        if let Some(place) = header.option(packet, segment::OPTION_TIMES, 10).filter(|_| from <= before) {
            t.guest_time = be32(packet, place.start + 2);
        }
        let new = t.stream.hear(from, to, header.has(FIN));
        if new {
            t.said = wire.now;
            self.state.since = wire.now;
        }
        if to > from && (t.acked > 0 || self.script.we_begin) {
            // Out of order or old: the guest should know at once.
            let at = if !new || t.stream.has_gap() { wire.now } else { wire.now.after(DELAYED_ACK) };
            t.ack_due = Some(t.ack_due.map_or(at, |due| due.min(at)));
        }
        self.hear_ack(wire, &header);
        let data = &packet[header.data..];
        let start = from + u64::from(header.has(SYN));
        let differs = self.state.tcp.stream.differs(&self.script.said, start, data).filter(|_| new);
        if let Some(at) = differs {
            self.part_at(wire, self.said_in(at), Departure::Said(at));
        }
    }

    /// The captured frame in which the other side said this byte.
    fn said_in(&self, at: u64) -> u64 {
        let says = |turn: &&Turn| !turn.ours && (turn.segment.from..turn.segment.to).contains(&at);
        self.script.turns.iter().find(says).map_or(self.frame(), |turn| turn.number)
    }

    /// What the guest's SYN and our captured one have in common.
    fn agree(&mut self, header: &Header, packet: &[u8]) {
        let has = |kind, len| header.option(packet, kind, len).map(|place| place.start);
        let syn = self.script.turns.iter().filter(|turn| turn.ours).find_map(|turn| {
            Header::of(&turn.packet).filter(|header| header.has(SYN)).map(|header| (header, &turn.packet))
        });
        let ours = |kind, len| syn.is_some_and(|(header, packet)| header.option(packet, kind, len).is_some());
        self.state.tcp.agreed = Agreed {
            mss: has(segment::OPTION_MSS, 4)
                .map_or(MSS_DEFAULT, |at| be16(packet, at + 2))
                .clamp(64, MSS_MAX),
            scale: has(segment::OPTION_SCALE, 3)
                .filter(|_| ours(segment::OPTION_SCALE, 3))
                .map(|at| packet[at + 2].min(SCALE_MAX)),
            sack: has(segment::OPTION_SACK_OK, 2).is_some() && ours(segment::OPTION_SACK_OK, 2),
            times: has(segment::OPTION_TIMES, 10).is_some() && ours(segment::OPTION_TIMES, 10),
        };
    }

    fn hear_ack(&mut self, wire: &Wire<'_>, header: &Header) {
        let t = &mut self.state.tcp;
        let ack = segment::position(self.script.isn, t.acked, header.ack);
        if !header.has(ACK) || ack > t.sent || ack < t.acked {
            return;
        }
        let scale = t.agreed.scale.filter(|_| !header.has(SYN)).unwrap_or(0);
        t.window = u64::from(header.window) << scale;
        if ack > t.acked {
            t.acked = ack;
            self.state.since = wire.now;
            self.state.retry = (ack < self.state.tcp.sent).then(|| self.retry_at(wire));
        }
    }

    fn hear_reset(&mut self, wire: &mut Wire<'_>, header: &Header) {
        let t = &self.state.tcp;
        let valid = match t.guest_isn {
            Some(isn) => {
                header.seq == isn.wrapping_add(t.told as u32)
                    || header.seq == isn.wrapping_add(t.stream.contiguous() as u32)
            }
            None => header.has(ACK) && header.ack == self.script.isn.wrapping_add(t.sent as u32),
        };
        if !valid || self.state.status != Status::Playing {
            return;
        }
        let rest = &self.script.turns[self.state.next..];
        let captured = rest.iter().any(|turn| !turn.ours && segment::flags(&turn.packet) & RST != 0);
        // Both streams are at their end, and the guest has forgotten it before our end came once more.
        let t = &self.state.tcp;
        let closed = t.stream.is_over() && !rest.iter().any(|turn| turn.ours && turn.segment.to > t.sent);
        if captured || closed {
            self.state.next = self.script.turns.len();
            return self.end(wire, Status::Complete);
        }
        self.part(wire, Departure::Reset);
        self.end(wire, Status::Reset);
    }

    /// Goes on as far as it can; when to be told next.
    pub(super) fn step_tcp(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        let mut wake = None;
        while self.state.status == Status::Playing {
            let ours = self.turn().map(|turn| turn.ours);
            wake = match ours {
                None => break,
                Some(true) => self.our_turn(wire),
                Some(false) => self.guests_turn(wire),
            };
            if wake.is_some() {
                break;
            }
        }
        let t = &self.state.tcp;
        if self.state.status == Status::Playing && self.turn().is_none() && t.acked >= t.sent {
            self.end(wire, Status::Complete);
        }
        if self.state.tcp.ack_due.is_some_and(|due| due <= wire.now) {
            self.acknowledge(wire);
        }
        if self.state.retry.is_some_and(|due| due <= wire.now) && self.state.status == Status::Playing {
            self.retransmit(wire);
        }
        if self.state.status.is_over() {
            wake = None;
        }
        // What never comes is never waited for.
        let wake = wake.filter(|at| *at != VirtTime::NEVER);
        [wake, self.state.tcp.ack_due, self.state.retry].into_iter().flatten().min()
    }

    /// The guest's turn: passes it if all has come, else says until when to wait.
    fn guests_turn(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        let turn = self.turn()?;
        let t = &self.state.tcp;
        let place = &turn.segment;
        let reset = segment::flags(&turn.packet) & RST != 0;
        let early = t.stream.is_over() && !t.stream.has(place.from, place.to);
        if !reset && (t.stream.has(place.from, place.to) || early) && t.acked >= place.ack.min(t.sent) {
            // Its end was there before its turn.
            let closed = t.stream.is_over()
                && place.to > place.from
                && segment::flags(&turn.packet) & FIN == 0
                && t.stream.live(place.to) == t.stream.contiguous();
            if early || closed {
                self.part(wire, Departure::Closed);
            }
            self.state.next += 1;
            return None;
        }
        // While it has not acknowledged our part, sending that again is what helps.
        if t.guest_isn.is_none() || t.acked < place.ack.min(t.sent) {
            return Some(VirtTime::NEVER);
        }
        let until = self.patience(wire);
        if until > wire.now {
            return Some(until);
        }
        self.go_on(wire);
        None
    }

    /// The guest has said all that it is going to: what it did not say is left out.
    fn go_on(&mut self, wire: &mut Wire<'_>) {
        let rest = &self.script.turns[self.state.next..];
        let count = rest.iter().take_while(|turn| !turn.ours).count();
        let end = rest[..count].iter().map(|turn| turn.segment.to).max().unwrap_or(0);
        let t = &mut self.state.tcp;
        let missing = t.stream.live(end).saturating_sub(t.stream.contiguous());
        t.stream.bend(end);
        self.part(wire, if missing > 0 { Departure::Less(missing) } else { Departure::Silent });
        self.state.next += count;
        self.state.since = wire.now;
    }

    /// Our turn: takes it if it is time, else says until when to wait.
    fn our_turn(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        if let Some(until) = self.waits(wire) {
            self.state.due = None;
            return Some(until);
        }
        let due = *self.state.due.get_or_insert(wire.now.after(self.thinking(wire)));
        if due > wire.now {
            return Some(due);
        }
        self.state.due = None;
        self.take_turn(wire);
        None
    }

    /// Until when something of the guest's is missing for our turn in hand.
    fn waits(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        let place = &self.turn()?.segment;
        let (ack, to, answers) = (place.ack, place.to, place.answers);
        let t = &self.state.tcp;
        let over = t.stream.is_over();
        let missing = !over
            && (t.stream.contiguous() < t.stream.live(ack)
                || place.sack.iter().any(|(from, to)| from < to && !t.stream.has(*from, *to)));
        if missing {
            let until = self.patience(wire);
            if until > wire.now {
                return Some(until);
            }
            self.state.tcp.stream.bend(ack);
        }
        let t = &self.state.tcp;
        if answers && t.stream.is_beyond(ack) {
            let until = t.said.after(QUIET);
            if until > wire.now {
                return Some(until);
            }
            let more = t.stream.contiguous().saturating_sub(t.stream.live(ack));
            self.state.tcp.stream.bend(ack);
            if more > 0 {
                self.part(wire, Departure::More(more));
            }
        }
        let t = &self.state.tcp;
        if to > t.sent && to > t.acked + t.window && t.acked > 0 {
            self.state.retry.get_or_insert(wire.now.after(wire.times.retransmit));
            return Some(VirtTime::NEVER);
        }
        None
    }

    /// Sends our turn in hand.
    fn take_turn(&mut self, wire: &mut Wire<'_>) {
        let at = self.state.next;
        let place = self.script.turns[at].segment.clone();
        self.emit(wire, at, place.from);
        let t = &mut self.state.tcp;
        t.sent = t.sent.max(place.to);
        for (from, to) in place.denies {
            if t.stream.live(from) >= t.told {
                t.stream.deny(from, to);
            }
        }
        if self.state.tcp.acked < self.state.tcp.sent && self.state.retry.is_none() {
            self.state.retry = Some(self.retry_at(wire));
        }
        self.state.since = wire.now;
        self.state.next += 1;
        if segment::flags(&self.script.turns[at].packet) & RST != 0 {
            self.state.tcp.acked = self.state.tcp.sent;
            self.state.retry = None;
        }
    }

    /// What the guest has not acknowledged goes out again.
    fn retransmit(&mut self, wire: &mut Wire<'_>) {
        self.state.tries += 1;
        if self.state.tries > wire.times.tries {
            self.part(wire, Departure::Silent);
            return self.end(wire, Status::Silent);
        }
        let (acked, sent) = (self.state.tcp.acked, self.state.tcp.sent);
        let open = |turn: &Turn| {
            turn.ours && turn.segment.from <= acked && turn.segment.to > acked.min(sent.saturating_sub(1))
        };
        let known = self.script.turns[..self.state.next].iter().position(open).filter(|_| acked < sent);
        match known {
            Some(at) => self.emit(wire, at, acked),
            // Its window is closed: it is asked whether it still is.
            None => self.probe(wire),
        }
        self.state.counts[AGAIN] += 1;
        self.state.since = wire.now;
        self.state.retry = Some(self.retry_at(wire));
    }

    /// How far we may acknowledge now.
    fn ack_position(&self) -> u64 {
        let t = &self.state.tcp;
        let floor =
            self.turn().and_then(|turn| turn.segment.floor).map_or(u64::MAX, |floor| t.stream.live(floor));
        t.stream.contiguous().min(floor).max(t.told)
    }

    fn acknowledge(&mut self, wire: &mut Wire<'_>) {
        let sent = self.state.tcp.sent;
        self.own(wire, sent);
        self.state.counts[OWN] += 1;
    }

    /// An old number, which makes the guest say where it is.
    fn probe(&mut self, wire: &mut Wire<'_>) {
        let sent = self.state.tcp.sent.saturating_sub(1);
        self.own(wire, sent);
    }

    /// A segment of our own, without data.
    fn own(&mut self, wire: &mut Wire<'_>, seq: u64) {
        self.state.tcp.ack_due = None;
        let Some(turn) = self.script.turns.iter().find(|turn| turn.ours) else { return };
        let Some(like) = Header::of(&turn.packet) else { return };
        let mut head = turn.packet[..20].to_vec();
        head[0] = 0x45;
        head.extend(&turn.packet[like.at..like.at + 20]);
        head[33] = ACK;
        if self.state.tcp.agreed.times {
            head.extend([1, 1, segment::OPTION_TIMES, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        head[32] = (((head.len() - 20) / 4) << 4) as u8;
        let ack = self.ack_position();
        self.send(wire, head, &[], seq, ACK, ack, self.state.tcp.our_window);
    }

    /// Sends a captured segment of ours from position `start` on, in pieces that the guest takes.
    fn emit(&mut self, wire: &mut Wire<'_>, at: usize, start: u64) {
        let turn = &self.script.turns[at];
        let Some(header) = Header::of(&turn.packet) else { return };
        let t = &self.state.tcp;
        let from = turn.segment.from;
        let ack = t.stream.live(turn.segment.ack).min(t.stream.contiguous()).max(t.told);
        let (head, data) = turn.packet.split_at(header.data);
        let (head, mut data) = (head.to_vec(), data.to_vec());
        let syn = header.has(SYN) && start <= from;
        let skip = start.saturating_sub(from).saturating_sub(u64::from(header.has(SYN)));
        data.drain(..usize::try_from(skip).unwrap_or(usize::MAX).min(data.len()));
        let options = header.data - header.at - 20;
        let most = match t.agreed.mss {
            0 => usize::from(MSS_MAX),
            mss => usize::from(mss),
        };
        let most = most.saturating_sub(options).max(1);
        let window = self.window(&header);
        self.state.tcp.our_window = window;
        let mut seq = start.max(from);
        let mut rest = data.as_slice();
        loop {
            let (piece, more) = rest.split_at(rest.len().min(most));
            rest = more;
            let mut flags = header.flags;
            if !syn || seq > from {
                flags &= !SYN;
            }
            if !rest.is_empty() {
                flags &= !FIN;
            }
            self.send(wire, head.clone(), piece, seq, flags, ack, window);
            seq += piece.len() as u64 + u64::from(flags & SYN != 0);
            if rest.is_empty() {
                break;
            }
        }
    }

    /// The captured window as the live guest understands it.
    fn window(&self, header: &Header) -> u16 {
        let scale = || {
            let turn = self.script.turns.iter().find(|turn| turn.ours)?;
            let syn = Header::of(&turn.packet)?;
            syn.option(&turn.packet, segment::OPTION_SCALE, 3).map(|place| turn.packet[place.start + 2])
        };
        match scale() {
            Some(scale) if self.state.tcp.agreed.scale.is_none() && !header.has(SYN) => {
                u16::try_from(u32::from(header.window) << scale.min(SCALE_MAX)).unwrap_or(u16::MAX)
            }
            _ => header.window,
        }
    }

    /// Puts live numbers into a header and sends it with its data.
    fn send(
        &mut self,
        wire: &mut Wire<'_>,
        mut packet: Vec<u8>,
        data: &[u8],
        seq: u64,
        flags: u8,
        ack: u64,
        window: u16,
    ) {
        let at = usize::from(packet[0] & 0xf) * 4;
        let guest_isn = self.state.tcp.guest_isn;
        self.change_options(wire, &mut packet, flags);
        packet.extend(data);
        let len = packet.len() as u16;
        let t = &mut self.state.tcp;
        let mut put = |at: usize, bytes: &[u8]| packet[at..at + bytes.len()].copy_from_slice(bytes);
        put(2, &len.to_be_bytes());
        put(12, &self.ip.octets());
        put(16, &wire.guest_ip.octets());
        put(at, &self.script.ours.port.to_be_bytes());
        put(at + 2, &self.state.guest_port.to_be_bytes());
        put(at + 4, &self.script.isn.wrapping_add(seq as u32).to_be_bytes());
        let number = if flags & ACK != 0 { guest_isn.unwrap_or(0).wrapping_add(ack as u32) } else { 0 };
        put(at + 8, &number.to_be_bytes());
        put(at + 13, &[flags]);
        put(at + 14, &window.to_be_bytes());
        if flags & ACK != 0 {
            t.told = ack;
            if ack >= t.stream.contiguous() {
                t.ack_due = None;
            }
        }
        self.state.counts[SENT] += 1;
        wire.line.send(wire.now, wire.guest_mac, self.script.mac, IPV4, &packet);
    }

    /// Options: numbers become the live guest's, and what was not agreed on this time becomes no option.
    fn change_options(&self, wire: &Wire<'_>, packet: &mut [u8], flags: u8) {
        let Some(header) = Header::of(packet) else { return };
        let t = &self.state.tcp;
        // The first SYN offers what was captured; its answer takes up what the guest has offered.
        let offers = flags & SYN != 0 && flags & ACK == 0;
        for (kind, place) in header.options(packet) {
            let keep = match kind {
                segment::OPTION_NOP | segment::OPTION_MSS => true,
                segment::OPTION_SCALE => offers || t.agreed.scale.is_some(),
                segment::OPTION_SACK_OK => offers || t.agreed.sack,
                segment::OPTION_SACK => t.agreed.sack,
                segment::OPTION_TIMES => (offers || t.agreed.times) && place.len() == 10,
                _ => false,
            };
            let option = &mut packet[place];
            match kind {
                _ if !keep => option.fill(segment::OPTION_NOP),
                segment::OPTION_MSS if option.len() == 4 => {
                    let mss = be16(option, 2).min(MSS_MAX);
                    option[2..4].copy_from_slice(&mss.to_be_bytes());
                }
                segment::OPTION_TIMES => {
                    option[2..6].copy_from_slice(&self.our_time(wire).to_be_bytes());
                    option[6..10].copy_from_slice(&if offers { 0 } else { t.guest_time }.to_be_bytes());
                }
                segment::OPTION_SACK => {
                    for edge in option[2..].as_chunks_mut::<4>().0 {
                        *edge = self.live_edge(u32::from_be_bytes(*edge)).to_be_bytes();
                    }
                }
                _ => {}
            }
        }
    }

    /// A captured edge of a selective acknowledgement as a live sequence number.
    fn live_edge(&self, captured: u32) -> u32 {
        let (t, isn) = (&self.state.tcp, self.script.guest_isn);
        let near = self.turn().map_or(0, |turn| turn.segment.ack);
        let live = t.stream.live(segment::position(isn, near, captured));
        t.guest_isn.unwrap_or(0).wrapping_add(live as u32)
    }

    /// Our clock for time stamps: the captured one's start, then a millisecond a tick.
    fn our_time(&self, wire: &Wire<'_>) -> u32 {
        self.script.first_time.wrapping_add((wire.now.as_ns() / 1_000_000) as u32)
    }
}
