//! Requests and their answers: which frame asks the guest for something, and which frame answers it.

use etherparse::{ArpOperation, Icmpv4Type, LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use serde::{Deserialize, Serialize};

/// UDP port of the echo service (RFC 862).
const ECHO_PORT: u16 = 7;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Who has that address.
    Arp,
    /// Ping.
    IcmpEcho,
    /// UDP to the echo port.
    UdpEcho,
}

/// A request to the guest, and all that its answer must repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    kind: Kind,
    requester_mac: [u8; 6],
    requester_ip: [u8; 4],
    guest_ip: [u8; 4],
    /// Identifier and sequence number, or the requester's port.
    tag: (u16, u16),
    payload: Vec<u8>,
}

impl Request {
    /// What is asked.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether `frame` is the answer, complete and with right checksums.
    #[must_use]
    pub fn is_answered_by(&self, frame: &[u8]) -> bool {
        answer(frame).is_some_and(|answer| answer == *self)
    }
}

/// A packet over IPv4 with its addresses, checksums verified.
struct Ipv4Packet<'a> {
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    source: [u8; 4],
    destination: [u8; 4],
    sliced: SlicedPacket<'a>,
}

fn parse(frame: &[u8]) -> Option<(SlicedPacket<'_>, [u8; 6], [u8; 6])> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &sliced.link else { return None };
    let (source, destination) = (ethernet.source(), ethernet.destination());
    Some((sliced, source, destination))
}

fn ipv4(frame: &[u8]) -> Option<Ipv4Packet<'_>> {
    let (sliced, source_mac, destination_mac) = parse(frame)?;
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else { return None };
    let header = ip.header().to_header();
    if header.calc_header_checksum() != header.header_checksum || ip.is_payload_fragmented() {
        return None;
    }
    Some(Ipv4Packet {
        source_mac,
        destination_mac,
        source: header.source,
        destination: header.destination,
        sliced,
    })
}

/// The request that a frame makes of the guest at `guest_ip`, if it makes one that must be answered.
#[must_use]
pub fn request(frame: &[u8], guest_ip: [u8; 4]) -> Option<Request> {
    arp(frame, ArpOperation::REQUEST)
        .or_else(|| echo(frame, true))
        .or_else(|| udp(frame, true))
        .filter(|request| request.guest_ip == guest_ip)
}

/// The request that a frame answers, if it is an answer.
fn answer(frame: &[u8]) -> Option<Request> {
    arp(frame, ArpOperation::REPLY).or_else(|| echo(frame, false)).or_else(|| udp(frame, false))
}

fn arp(frame: &[u8], operation: ArpOperation) -> Option<Request> {
    let (sliced, ..) = parse(frame)?;
    let Some(NetSlice::Arp(arp)) = &sliced.net else { return None };
    let eth_ipv4 = arp.to_packet().try_eth_ipv4().ok()?;
    if eth_ipv4.operation != operation {
        return None;
    }
    let (sender, target) =
        ((eth_ipv4.sender_mac, eth_ipv4.sender_ipv4), (eth_ipv4.target_mac, eth_ipv4.target_ipv4));
    let (requester, guest) =
        if operation == ArpOperation::REQUEST { (sender, target) } else { (target, sender) };
    Some(Request {
        kind: Kind::Arp,
        requester_mac: requester.0,
        requester_ip: requester.1,
        guest_ip: guest.1,
        tag: (0, 0),
        payload: Vec::new(),
    })
}

/// The requester's side of a packet that goes to the guest (`asks`) or comes from it.
fn requester(packet: &Ipv4Packet<'_>, asks: bool) -> ([u8; 6], [u8; 4], [u8; 4]) {
    if asks {
        (packet.source_mac, packet.source, packet.destination)
    } else {
        (packet.destination_mac, packet.destination, packet.source)
    }
}

fn echo(frame: &[u8], asks: bool) -> Option<Request> {
    let packet = ipv4(frame)?;
    let Some(TransportSlice::Icmpv4(icmp)) = &packet.sliced.transport else { return None };
    let header = icmp.icmp_type();
    let ((Icmpv4Type::EchoRequest(tag), true) | (Icmpv4Type::EchoReply(tag), false)) = (header.clone(), asks)
    else {
        return None;
    };
    if header.calc_checksum(icmp.payload()) != icmp.checksum() {
        return None;
    }
    let (requester_mac, requester_ip, guest_ip) = requester(&packet, asks);
    Some(Request {
        kind: Kind::IcmpEcho,
        requester_mac,
        requester_ip,
        guest_ip,
        tag: (tag.id, tag.seq),
        payload: icmp.payload().to_vec(),
    })
}

fn udp(frame: &[u8], asks: bool) -> Option<Request> {
    let packet = ipv4(frame)?;
    let Some(TransportSlice::Udp(udp)) = &packet.sliced.transport else { return None };
    let header = udp.to_header();
    let computed = header.calc_checksum_ipv4_raw(packet.source, packet.destination, udp.payload()).ok()?;
    if header.checksum != 0 && header.checksum != computed {
        return None;
    }
    let (echo_port, port) = if asks {
        (header.destination_port, header.source_port)
    } else {
        (header.source_port, header.destination_port)
    };
    if echo_port != ECHO_PORT {
        return None;
    }
    let (requester_mac, requester_ip, guest_ip) = requester(&packet, asks);
    Some(Request {
        kind: Kind::UdpEcho,
        requester_mac,
        requester_ip,
        guest_ip,
        tag: (port, 0),
        payload: udp.payload().to_vec(),
    })
}
