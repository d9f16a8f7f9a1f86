//! What the demo guest answers, frame by frame, with its own source compiled for the host. Requests are built
//! and replies taken apart by etherparse, which shares nothing with the guest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this file is tests")]

#[path = "../guests/demo/net/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "in the guest, other modules use the rest of it")]
mod net;

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IcmpEchoHeader, Icmpv4Type, NetSlice, PacketBuilder,
    PacketBuilderStep, SlicedPacket, TransportSlice, ip_number,
};
use net::{Answered, Ignored, Ipv4, Mac, Outcome, Station};
use proptest::prelude::*;

const GUEST: Station = Station { mac: Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]), ip: Ipv4([192, 0, 2, 2]) };
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_IP: [u8; 4] = [192, 0, 2, 1];
const BROADCAST: [u8; 6] = [0xff; 6];

fn respond(frame: &[u8]) -> (Outcome, Vec<u8>) {
    let mut reply = vec![0xee; 4096];
    let outcome = net::respond(GUEST, frame, &mut reply);
    reply.truncate(outcome.map_or(0, |(_, len)| len));
    (outcome, reply)
}

fn to_guest() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(PEER_MAC, GUEST.mac.0).ipv4(PEER_IP, GUEST.ip.0, 64)
}

fn echo_request(data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    to_guest().icmpv4_echo_request(0x77, 3).write(&mut frame, data).unwrap();
    frame
}

fn datagram(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    to_guest().udp(source, destination).write(&mut frame, data).unwrap();
    frame
}

fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &PEER_MAC,
        &PEER_IP,
        &[0; 6],
        &target,
    )
    .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER_MAC, BROADCAST).arp(packet).write(&mut frame).unwrap();
    frame
}

/// Asserts that a reply goes from the guest to the peer with a right IP checksum, and returns its transport
/// part.
fn transport_of(reply: &[u8]) -> TransportSlice<'_> {
    let packet = SlicedPacket::from_ethernet(reply).unwrap();
    let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4 in the reply") };
    assert_eq!(reply[..6], PEER_MAC);
    assert_eq!(reply[6..12], GUEST.mac.0);
    let header = ip.header();
    assert_eq!((header.source(), header.destination()), (GUEST.ip.0, PEER_IP));
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    packet.transport.unwrap()
}

fn assert_echo(data: &[u8]) {
    let (outcome, reply) = respond(&echo_request(data));
    assert_eq!(outcome, Ok((Answered::Echo, 42 + data.len())));
    let TransportSlice::Icmpv4(icmp) = transport_of(&reply) else { panic!("no ICMP in the reply") };
    let expected = Icmpv4Type::EchoReply(IcmpEchoHeader { id: 0x77, seq: 3 });
    assert_eq!((icmp.icmp_type(), icmp.payload()), (expected.clone(), data));
    assert_eq!(icmp.checksum(), expected.calc_checksum(data));
}

fn assert_udp_echo(source: u16, data: &[u8]) {
    let (outcome, reply) = respond(&datagram(source, 7, data));
    assert_eq!(outcome, Ok((Answered::Udp, 42 + data.len())));
    let TransportSlice::Udp(udp) = transport_of(&reply) else { panic!("no UDP in the reply") };
    assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (7, source, data));
    assert_eq!(udp.checksum(), udp.to_header().calc_checksum_ipv4_raw(GUEST.ip.0, PEER_IP, data).unwrap());
}

#[test]
fn arp_for_the_guest_is_answered_and_for_others_is_not() {
    let (outcome, reply) = respond(&arp_request(GUEST.ip.0));
    assert_eq!(outcome, Ok((Answered::Arp, 42)));
    let packet = SlicedPacket::from_ethernet(&reply).unwrap();
    let Some(NetSlice::Arp(arp)) = packet.net else { panic!("no ARP in the reply") };
    assert_eq!(arp.operation(), ArpOperation::REPLY);
    assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&GUEST.mac.0[..], &GUEST.ip.0[..]));
    assert_eq!((arp.target_hw_addr(), arp.target_protocol_addr()), (&PEER_MAC[..], &PEER_IP[..]));

    assert_eq!(respond(&arp_request([192, 0, 2, 3])).0, Err(Ignored::NotForUs));
}

#[test]
fn echo_of_every_size_up_to_the_mtu_is_answered_exactly() {
    let data: Vec<u8> = (0..1472).map(|at| (at * 7) as u8).collect();
    for len in 0..=data.len() {
        assert_echo(&data[..len]);
        assert_udp_echo(4000, &data[..len]);
    }
}

#[test]
fn udp_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    // The last two bytes run through all values, so that one of the sums is zero.
    let ones = (0..=u16::MAX)
        .filter(|last| {
            let (_, reply) = respond(&datagram(4000, 7, &last.to_be_bytes()));
            let checksum = u16::from_be_bytes([reply[40], reply[41]]);
            assert_ne!(checksum, 0);
            checksum == u16::MAX
        })
        .count();
    assert_eq!(ones, 1);
}

#[test]
fn udp_without_a_checksum_is_accepted() {
    let mut frame = datagram(4000, 7, b"unchecked");
    frame[40..42].fill(0);
    let (outcome, reply) = respond(&frame);
    assert_eq!(outcome, Ok((Answered::Udp, 51)));
    assert_eq!(&reply[42..], b"unchecked");
}

#[test]
fn padding_of_a_short_frame_is_not_echoed() {
    let mut frame = datagram(4000, 7, b"x");
    frame.resize(60, 0x55);
    assert_eq!(respond(&frame).0, Ok((Answered::Udp, 43)));
}

#[test]
fn options_in_the_request_are_left_out_of_the_reply() {
    let frame = {
        let mut ip = etherparse::Ipv4Header::new(0, 64, ip_number::ICMP, PEER_IP, GUEST.ip.0).unwrap();
        ip.options = [1; 8].into();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(PEER_MAC, GUEST.mac.0)
            .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .icmpv4_echo_request(1, 2)
            .write(&mut frame, b"abc")
            .unwrap();
        frame
    };
    let (outcome, reply) = respond(&frame);
    assert_eq!(outcome, Ok((Answered::Echo, 45)));
    assert_eq!(reply[14], 0x45);
    transport_of(&reply);
}

#[test]
fn frames_that_are_not_served_are_ignored_for_the_right_reason() {
    let flip = |mut frame: Vec<u8>, at: usize| {
        frame[at] ^= 1;
        frame
    };
    let with_ip_byte = |at: usize, value: u8| {
        let mut frame = echo_request(b"data");
        frame[14 + at] = value;
        frame[24..26].fill(0);
        let checksum = net::checksum::Checksum::new().add(&frame[14..34]).finish();
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame
    };
    let to_everybody = {
        let mut frame = echo_request(b"data");
        frame[..6].copy_from_slice(&BROADCAST);
        frame
    };
    let cases = [
        ("cut in the Ethernet header", vec![0xff; 13], Ignored::Malformed),
        ("cut in the IP header", echo_request(b"data")[..30].to_vec(), Ignored::Malformed),
        ("cut in the data", echo_request(b"data")[..44].to_vec(), Ignored::Malformed),
        ("cut ARP", arp_request(GUEST.ip.0)[..40].to_vec(), Ignored::Malformed),
        ("wrong IP version", with_ip_byte(0, 0x65), Ignored::Malformed),
        ("IP header too short", with_ip_byte(0, 0x44), Ignored::Malformed),
        ("IP checksum", flip(echo_request(b"data"), 24), Ignored::Checksum),
        ("ICMP checksum", flip(echo_request(b"data"), 45), Ignored::Checksum),
        ("UDP checksum", flip(datagram(4000, 7, b"data"), 45), Ignored::Checksum),
        ("more fragments", with_ip_byte(6, 0x20), Ignored::Fragment),
        ("last fragment", with_ip_byte(7, 5), Ignored::Fragment),
        ("another IP address", with_ip_byte(19, 3), Ignored::NotForUs),
        ("from a multicast address", with_ip_byte(12, 224), Ignored::NotForUs),
        ("from a group MAC", flip(echo_request(b"data"), 6), Ignored::NotForUs),
        ("another MAC", flip(echo_request(b"data"), 5), Ignored::NotForUs),
        ("echo to everybody", to_everybody, Ignored::NotForUs),
        ("another UDP port", datagram(4000, 9, b"data"), Ignored::NotServed),
        ("TCP", with_ip_byte(9, 6), Ignored::NotServed),
        ("IPv6", flip(echo_request(b"data"), 12), Ignored::NotServed),
        ("ARP reply", flip(flip(arp_request(GUEST.ip.0), 20), 21), Ignored::NotServed),
    ];
    for (what, frame, reason) in cases {
        assert_eq!(respond(&frame).0, Err(reason), "{what}");
    }
}

#[test]
fn addresses_on_the_command_line_are_dotted_decimal() {
    assert_eq!(Ipv4::parse("192.0.2.2"), Some(GUEST.ip));
    for text in ["", "192.0.2", "192.0.2.2.1", "192.0.2.256", "192.0.2.x"] {
        assert_eq!(Ipv4::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(mut frame in prop::collection::vec(any::<u8>(), 0..1600), addressed in any::<bool>()) {
        if addressed && frame.len() >= 14 {
            frame[..6].copy_from_slice(&GUEST.mac.0);
            frame[12..14].copy_from_slice(&[8, 0]);
        }
        let (outcome, reply) = respond(&frame);
        prop_assert_eq!(outcome.map_or(0, |(_, len)| len), reply.len());
    }

    #[test]
    fn a_changed_byte_never_gives_a_malformed_reply(at in 0_usize..100, value in any::<u8>(), len in 0_usize..60) {
        let mut frame = datagram(4000, 7, &vec![0x5a; len]);
        let at = at % frame.len();
        frame[at] = value;
        let (outcome, reply) = respond(&frame);
        if outcome.is_ok() {
            prop_assert!(SlicedPacket::from_ethernet(&reply).is_ok());
        }
    }
}
