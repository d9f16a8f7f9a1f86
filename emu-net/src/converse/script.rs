//! From a capture to conversations: who speaks with whom, which side is played, and whose turn each frame is.

use super::segment::{self, Segment};
use super::{ConverseConfig, Part};
use crate::capture::CapturedFrame;
use crate::packet::{self, Layout, be16, be32};
use emu_core::VirtDuration;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What a conversation speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A TCP connection.
    Tcp,
    /// Datagrams between two ports.
    Udp,
    /// Questions to a name server, over UDP.
    Dns,
    /// A client that asks for an address.
    Dhcp,
    /// Pings.
    Icmp,
    /// Who has that address.
    Arp,
    /// Anything else, which is not played.
    Other,
}

/// One side as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) ip: Ipv4Addr,
    pub(super) port: u16,
}

/// One captured frame of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// Whether it is ours to send.
    pub(super) ours: bool,
    /// From the network header on, without padding.
    pub(super) packet: Vec<u8>,
    /// Since the frame before it.
    pub(super) gap: VirtDuration,
    /// Its number in the capture, from 1 as Wireshark counts.
    pub(super) number: u64,
    /// Its place in the two streams, of TCP.
    pub(super) segment: Segment,
}

/// A captured conversation.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) protocol: Protocol,
    pub(super) ours: End,
    pub(super) theirs: End,
    pub(super) mac: [u8; 6],
    /// Whether our side speaks first.
    pub(super) we_begin: bool,
    /// Since the capture's first frame.
    pub(super) start: VirtDuration,
    pub(super) turns: Vec<Turn>,
    /// Where our stream's numbers start, of TCP.
    pub(super) isn: u32,
    /// Where theirs started, and our first time stamp.
    pub(super) guest_isn: u32,
    pub(super) first_time: u32,
    /// What the other side said in its stream.
    pub(super) said: Vec<u8>,
    /// Why it can't be played.
    pub(super) refused: Option<&'static str>,
}

/// What frames of one conversation have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ports(u8, [End; 2]),
    Dhcp(u32, [u8; 6]),
    Echo([Ipv4Addr; 2], u16),
    Arp(Ipv4Addr, Ipv4Addr),
    Other(&'static str),
}

/// A frame as part of a conversation.
struct Seen {
    key: Key,
    protocol: Protocol,
    from: End,
    to: End,
    /// Whether it comes from the side that asks, if one frame alone tells.
    asks: Option<bool>,
    refused: Option<&'static str>,
}

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DNS: u16 = 53;

fn see(frame: &[u8], layout: &Layout) -> Seen {
    let refuse = |what| Seen {
        key: Key::Other(what),
        protocol: Protocol::Other,
        from: End { ip: Ipv4Addr::UNSPECIFIED, port: 0 },
        to: End { ip: Ipv4Addr::UNSPECIFIED, port: 0 },
        asks: None,
        refused: Some(what),
    };
    if layout.ether_type == packet::ARP {
        return arp(frame, layout).unwrap_or_else(|| refuse("ARP that is neither a question nor an answer"));
    }
    let (Some(IpAddr::V4(from)), Some(IpAddr::V4(to))) =
        (layout.address(frame, false), layout.address(frame, true))
    else {
        return refuse(if layout.ether_type == packet::IPV6 { "IPv6" } else { "neither IPv4 nor ARP" });
    };
    if layout.fragment {
        return refuse("fragments");
    }
    let port = |destination| layout.port(frame, destination).unwrap_or(0);
    let (from, to) = (End { ip: from, port: port(false) }, End { ip: to, port: port(true) });
    let mut ends = [from, to];
    ends.sort_unstable();
    let seen = |key, protocol, asks| Seen { key, protocol, from, to, asks, refused: None };
    let at = layout.transport.unwrap_or(frame.len());
    match layout.protocol {
        Some(packet::TCP) if layout.port_place(true).is_some() && layout.end >= at + 20 => {
            let flags = frame[at + 13];
            let asks = (flags & segment::SYN != 0).then_some(flags & segment::ACK == 0);
            seen(Key::Ports(packet::TCP, ends), Protocol::Tcp, asks)
        }
        Some(packet::UDP) if layout.port_place(true).is_some() => {
            let dhcp = layout.data(frame);
            match (from.port, to.port) {
                (DHCP_CLIENT, DHCP_SERVER) | (DHCP_SERVER, DHCP_CLIENT) if dhcp.len() >= 240 => {
                    let client = dhcp[28..34].try_into().unwrap_or([0; 6]);
                    seen(Key::Dhcp(be32(dhcp, 4), client), Protocol::Dhcp, Some(dhcp[0] == 1))
                }
                (DNS, _) | (_, DNS) => {
                    seen(Key::Ports(packet::UDP, ends), Protocol::Dns, Some(to.port == DNS))
                }
                _ => seen(Key::Ports(packet::UDP, ends), Protocol::Udp, None),
            }
        }
        Some(packet::ICMP) if layout.end >= at + 8 && matches!(frame[at], 0 | 8) => seen(
            Key::Echo([ends[0].ip, ends[1].ip], be16(frame, at + 4)),
            Protocol::Icmp,
            Some(frame[at] == 8),
        ),
        Some(packet::ICMP) => refuse("ICMP other than ping"),
        _ => refuse("another protocol above IP, or a packet that was cut"),
    }
}

fn arp(frame: &[u8], layout: &Layout) -> Option<Seen> {
    let (_, sender) = layout.arp_places(frame, false)?;
    let (_, target) = layout.arp_places(frame, true)?;
    let ip = |place: std::ops::Range<usize>| Ipv4Addr::from_bits(be32(frame, place.start));
    let (from, to) = (ip(sender), ip(target));
    let asks = match be16(frame, layout.net + 6) {
        1 if from != to => true,
        2 => false,
        _ => return None,
    };
    let key = if asks { Key::Arp(from, to) } else { Key::Arp(to, from) };
    let end = |ip| End { ip, port: 0 };
    Some(Seen { key, protocol: Protocol::Arp, from: end(from), to: end(to), asks: Some(asks), refused: None })
}

/// A conversation while it is put together.
struct Draft {
    script: Script,
    asker: End,
    last_ns: u64,
    ended: bool,
}

/// The conversations of a capture, in the order of their first frames.
pub(super) fn scripts(frames: &[CapturedFrame], config: &ConverseConfig) -> Vec<Script> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut open: BTreeMap<Key, usize> = BTreeMap::new();
    let begin = frames.first().map_or(0, |frame| frame.time_ns);
    let mut macs_of_theirs = Vec::new();
    for (number, frame) in (1..).zip(frames) {
        let Some(layout) = Layout::of(&frame.bytes) else { continue };
        let mut seen = see(&frame.bytes, &layout);
        let cut = (frame.bytes.len() as u64) < u64::from(frame.original_len);
        let known = open.get(&seen.key).copied();
        // A port that is used again begins another connection.
        let again = |at: usize| {
            seen.protocol == Protocol::Tcp
                && seen.asks == Some(true)
                && drafts.get(at).is_some_and(|d| d.ended)
        };
        let at = match known.filter(|at| !again(*at)) {
            Some(at) => at,
            None => {
                drafts.push(draft(&seen, frame.time_ns.saturating_sub(begin), frame.time_ns, config));
                open.insert(seen.key.clone(), drafts.len() - 1);
                drafts.len() - 1
            }
        };
        let draft = &mut drafts[at];
        if cut {
            seen.refused = Some("frames that were cut when they were captured");
        }
        let asks = match seen.protocol {
            Protocol::Dhcp | Protocol::Icmp | Protocol::Arp => seen.asks.unwrap_or(true),
            _ => seen.from == draft.asker,
        };
        let script = &mut draft.script;
        script.refused = script.refused.or(seen.refused);
        let ours = asks == script.we_begin;
        let mac = <[u8; 6]>::try_from(&frame.bytes[6..12]).unwrap_or_default();
        if ours {
            script.mac = mac;
        } else {
            macs_of_theirs.push(mac);
        }
        let end = if seen.protocol == Protocol::Arp { layout.net + 28 } else { layout.end };
        let packet = frame.bytes[layout.net..end].to_vec();
        draft.ended |= segment::flags(&packet) & (segment::FIN | segment::RST) != 0;
        let gap = VirtDuration::from_ns(frame.time_ns.saturating_sub(draft.last_ns));
        draft.last_ns = frame.time_ns;
        script.turns.push(Turn { ours, packet, gap, number, segment: Segment::default() });
    }
    macs_of_theirs.sort_unstable();
    drafts.into_iter().map(|draft| finish(draft.script, &macs_of_theirs)).collect()
}

fn draft(seen: &Seen, since_ns: u64, now_ns: u64, config: &ConverseConfig) -> Draft {
    let (asker, answerer) = match seen.asks {
        Some(false) => (seen.to, seen.from),
        _ => (seen.from, seen.to),
    };
    let we_begin = match config.stands_for {
        Some(ip) => asker.ip != ip,
        None => config.part == Part::Asks,
    };
    let (ours, theirs) = if we_begin { (asker, answerer) } else { (answerer, asker) };
    let strangers = config
        .stands_for
        .is_some_and(|ip| seen.protocol != Protocol::Dhcp && seen.refused.is_none() && theirs.ip != ip);
    let script = Script {
        protocol: seen.protocol,
        ours,
        theirs,
        mac: [0; 6],
        we_begin,
        start: VirtDuration::from_ns(since_ns),
        turns: Vec::new(),
        isn: 0,
        guest_isn: 0,
        first_time: 0,
        said: Vec::new(),
        refused: strangers.then_some("between hosts of which none is the guest"),
    };
    Draft { script, asker, last_ns: now_ns, ended: false }
}

/// Computes what needs the whole conversation.
fn finish(mut script: Script, macs_of_theirs: &[[u8; 6]]) -> Script {
    // An address that can't be a neighbour's becomes one that is made of its IP address.
    let mac = script.mac;
    if mac[0] & 1 != 0 || mac == [0; 6] || macs_of_theirs.binary_search(&mac).is_ok() {
        script.mac = made_mac(script.ours.ip);
    }
    if script.protocol == Protocol::Tcp && script.refused.is_none() {
        segment::place(&mut script);
    }
    script
}

/// A locally administered address for a host that has none of its own.
pub(super) fn made_mac(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [2, 0, a, b, c, d]
}

impl Script {
    /// The identifier of pings.
    pub(super) fn ping_id(&self) -> Option<u16> {
        let turn = self.turns.first().filter(|_| self.protocol == Protocol::Icmp)?;
        let header = usize::from(turn.packet.first()? & 0xf) * 4;
        Some(be16(&turn.packet, header + 4))
    }

    /// As people name it: who asks whom, as it was captured.
    pub(super) fn name(&self) -> String {
        let (asker, answerer) =
            if self.we_begin { (self.ours, self.theirs) } else { (self.theirs, self.ours) };
        let end = |end: End| match end.port {
            0 => end.ip.to_string(),
            port => format!("{}:{port}", end.ip),
        };
        format!("{} > {}", end(asker), end(answerer))
    }
}
