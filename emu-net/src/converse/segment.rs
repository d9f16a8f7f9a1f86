//! TCP segments (RFC 9293): the header's fields, and each captured segment's place in the two streams. Positions count from a
//! stream's SYN, which is 0; its first byte is 1.

use super::ranges::Ranges;
use super::script::{Script, Turn};
use crate::packet::{be16, be32};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// Option kinds (RFC 9293, section 3.1; RFC 7323; RFC 2018).
pub(super) const OPTION_END: u8 = 0;
pub(super) const OPTION_NOP: u8 = 1;
pub(super) const OPTION_MSS: u8 = 2;
pub(super) const OPTION_SCALE: u8 = 3;
pub(super) const OPTION_SACK_OK: u8 = 4;
pub(super) const OPTION_SACK: u8 = 5;
pub(super) const OPTION_TIMES: u8 = 8;

/// A header's fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// Where it starts in the IP packet.
    pub(super) at: usize,
    /// Where the data starts.
    pub(super) data: usize,
}

impl Header {
    /// Of an IPv4 packet with a whole TCP header.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let at = usize::from(packet.first()? & 0xf) * 4;
        let data = at + usize::from(packet.get(at + 12)? >> 4) * 4;
        let whole =
            packet[0] >> 4 == 4 && packet.get(9) == Some(&6) && data >= at + 20 && data <= packet.len();
        whole.then(|| Self {
            seq: be32(packet, at + 4),
            ack: be32(packet, at + 8),
            flags: packet[at + 13],
            window: be16(packet, at + 14),
            at,
            data,
        })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sequence numbers that it takes.
    pub(super) fn len(&self, packet: &[u8]) -> u64 {
        (packet.len() - self.data) as u64 + u64::from(self.has(SYN)) + u64::from(self.has(FIN))
    }

    /// Its options: kind and place of the whole option.
    pub(super) fn options(&self, packet: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
        let mut options = Vec::new();
        let mut at = self.at + 20;
        while at < self.data {
            let len = match packet[at] {
                OPTION_END => break,
                OPTION_NOP => 1,
                _ => match packet.get(at + 1) {
                    Some(len) if *len >= 2 && at + usize::from(*len) <= self.data => usize::from(*len),
                    _ => break,
                },
            };
            options.push((packet[at], at..at + len));
            at += len;
        }
        options
    }

    /// An option's place, if it is there with that length.
    pub(super) fn option(&self, packet: &[u8], kind: u8, len: usize) -> Option<std::ops::Range<usize>> {
        self.options(packet)
            .into_iter()
            .find(|(found, place)| *found == kind && place.len() == len)
            .map(|o| o.1)
    }
}

/// The flags of a packet, if it is TCP.
pub(super) fn flags(packet: &[u8]) -> u8 {
    Header::of(packet).map_or(0, |header| header.flags)
}

/// The position of a sequence number in a stream that starts with `isn`: that which is nearest to `near`.
pub(super) fn position(isn: u32, near: u64, number: u32) -> u64 {
    let distance = number.wrapping_sub(isn.wrapping_add(near as u32)) as i32;
    near.saturating_add_signed(i64::from(distance))
}

/// A segment's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Positions in its sender's stream.
    pub(super) from: u64,
    pub(super) to: u64,
    /// What it acknowledges of the other stream.
    pub(super) ack: u64,
    /// The blocks of a selective acknowledgement, of ours.
    pub(super) sack: Vec<(u64, u64)>,
    /// Parts of the other stream that it says for the first time are missing, of ours: the guest has to send them again.
    pub(super) denies: Vec<(u64, u64)>,
    /// It answers all that the other side has said so far, of ours.
    pub(super) answers: bool,
    /// Where the first part starts that this or a later one of ours denies: nothing beyond may be acknowledged before.
    pub(super) floor: Option<u64>,
}

/// One stream while a capture is read.
#[derive(Default)]
struct Stream {
    isn: Option<u32>,
    high: u64,
}

impl Stream {
    fn position(&self, number: u32) -> u64 {
        position(self.isn.unwrap_or(0), self.high, number)
    }
}

/// What is known of the other stream at a point of the capture.
#[derive(Default)]
struct Heard {
    ranges: Ranges,
    /// Segments by their start, for those that were lost behind the point of capture.
    last: Vec<(u64, u64)>,
    denied: Ranges,
    answered: u64,
    /// Our last acknowledgement and its window.
    acked: (u64, u16),
    selective: [bool; 2],
}

/// Finds every segment's place; a conversation without handshake has none.
pub(super) fn place(script: &mut Script) {
    let mut streams = [Stream::default(), Stream::default()];
    let mut heard = Heard::default();
    let mut said: Vec<u8> = Vec::new();
    for turn in &mut script.turns {
        let Some(header) = Header::of(&turn.packet) else {
            script.refused = Some("a TCP header that can't be");
            return;
        };
        let (own, other) = (usize::from(turn.ours), usize::from(!turn.ours));
        if header.has(SYN) {
            streams[own].isn.get_or_insert(header.seq);
            heard.selective[own] = header.option(&turn.packet, OPTION_SACK_OK, 2).is_some();
        }
        let is_reset = header.has(RST);
        if streams[own].isn.is_none() && !is_reset {
            script.refused = Some("no handshake in the capture");
            return;
        }
        let from = streams[own].position(header.seq);
        let to = from + header.len(&turn.packet);
        let ack = if header.has(ACK) { streams[other].position(header.ack) } else { 0 };
        turn.segment = Segment { from, to, ack, ..Segment::default() };
        if is_reset {
            continue;
        }
        streams[own].high = streams[own].high.max(to);
        if turn.ours {
            ours(turn, &header, &streams[other], &mut heard);
        } else {
            heard.ranges.insert(from, to);
            heard.last.push((from, to));
            let data = &turn.packet[header.data..];
            let at = from.max(1) as usize - 1;
            if !data.is_empty() && at < SAID_MAX {
                said.resize(said.len().max(at + data.len()), 0);
                said[at..at + data.len()].copy_from_slice(data);
            }
        }
    }
    let mut floor = None;
    for turn in script.turns.iter_mut().rev() {
        let own = turn.segment.denies.iter().map(|(from, _)| *from);
        floor = own.chain(floor).min();
        turn.segment.floor = floor;
    }
    script.isn = streams[1].isn.unwrap_or(0);
    script.guest_isn = streams[0].isn.unwrap_or(0);
    script.first_time = script.turns.iter().filter(|turn| turn.ours).find_map(time_stamp).unwrap_or(0);
    script.said = said;
    if streams[usize::from(script.we_begin)].isn.is_none() || streams[1].isn.is_none() && script.we_begin {
        script.refused = Some("no handshake in the capture");
    }
}

/// A segment's own time stamp.
fn time_stamp(turn: &Turn) -> Option<u32> {
    let place = Header::of(&turn.packet)?.option(&turn.packet, OPTION_TIMES, 10)?;
    Some(be32(&turn.packet, place.start + 2))
}

/// So much of what the other side said is compared.
const SAID_MAX: usize = 64 << 20;

/// What one of our segments says of the other stream.
fn ours(turn: &mut Turn, header: &Header, other: &Stream, heard: &mut Heard) {
    let segment = &mut turn.segment;
    let ack = segment.ack;
    for (kind, place) in header.options(&turn.packet) {
        if kind == OPTION_SACK && place.len() % 8 == 2 {
            let edge = |at: usize| other.position(be32(&turn.packet, at));
            segment.sack =
                (place.start + 2..place.end).step_by(8).map(|at| (edge(at), edge(at + 4))).collect();
        }
    }
    let mut blocks = Ranges::default();
    for (from, to) in segment.sack.iter().filter(|(from, to)| *from >= ack && to > from) {
        blocks.insert(*from, *to);
    }
    let mut missing = if blocks.highest() > 0 { blocks.holes(ack, blocks.highest()) } else { Vec::new() };
    // Without selective acknowledgement, one that says the same again though more has come.
    let repeats = segment.from == segment.to && heard.acked == (ack, header.window);
    if heard.selective != [true; 2] && repeats && heard.ranges.highest() > ack {
        let hole = (!heard.ranges.contains(ack, ack + 1)).then(|| heard.ranges.next_start(ack)).flatten();
        let lost = heard.last.iter().rev().find(|(from, _)| *from == ack).map(|(_, to)| *to);
        missing.extend(hole.or(lost).map(|to| (ack, to)));
    }
    for (from, to) in missing {
        if !heard.denied.contains(from, to) {
            heard.denied.insert(from, to);
            segment.denies.push((from, to));
        }
    }
    let speaks = segment.to > segment.from && header.flags & SYN == 0;
    if speaks && heard.ranges.highest() == ack && ack > heard.answered {
        heard.answered = ack;
        segment.answers = true;
    }
    heard.acked = (ack, header.window);
}
