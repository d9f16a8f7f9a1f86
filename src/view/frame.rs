//! A frame taken apart: a line a layer, and the whole in one line.

use etherparse::{ArpOperation, Icmpv4Type, LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The layers of `frame`, outermost first; none if it has no bytes.
#[must_use]
pub fn layers(frame: &[u8]) -> Vec<String> {
    if frame.is_empty() {
        return Vec::new();
    }
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return vec![ethernet(frame).unwrap_or_else(|| format!("{} bytes that are no frame", frame.len()))];
    };
    let mut layers = Vec::new();
    if let Some(LinkSlice::Ethernet2(_)) = packet.link {
        layers.extend(ethernet(frame));
    }
    layers.extend(packet.vlan_ids().iter().map(|id| format!("VLAN {}", id.value())));
    layers.extend(packet.net.as_ref().map(network));
    layers.extend(packet.transport.as_ref().map(transport));
    layers
}

/// The innermost layer with the addresses that it is between.
#[must_use]
pub fn summary(frame: &[u8]) -> String {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return layers(frame).concat() };
    match (&packet.net, &packet.transport) {
        (Some(net @ (NetSlice::Ipv4(_) | NetSlice::Ipv6(_))), Some(inner)) => {
            format!("{}, {}", addresses(net), transport(inner))
        }
        (Some(net), _) => network(net),
        (None, _) => ethernet(frame).unwrap_or_default(),
    }
}

fn mac(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}

fn ethernet(frame: &[u8]) -> Option<String> {
    let header = frame.get(..14)?;
    let kind = u16::from_be_bytes([header[12], header[13]]);
    let kind = match kind {
        0x0800 => "IPv4".to_owned(),
        0x0806 => "ARP".to_owned(),
        0x86dd => "IPv6".to_owned(),
        0x8100 => "VLAN".to_owned(),
        0x88a8 => "provider VLAN".to_owned(),
        0x8808 => "flow control".to_owned(),
        length @ 0..0x600 => format!("length {length}"),
        other => format!("type {other:#06x}"),
    };
    let to = if header[..6] == [0xff; 6] { "broadcast".to_owned() } else { mac(&header[..6]) };
    Some(format!("Ethernet {} to {to}, {kind}, {} bytes", mac(&header[6..12]), frame.len()))
}

fn addresses(net: &NetSlice<'_>) -> String {
    match net {
        NetSlice::Ipv4(ip) => {
            format!("{} to {}", ip.header().source_addr(), ip.header().destination_addr())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            format!("{} to {}", Ipv6Addr::from(header.source()), Ipv6Addr::from(header.destination()))
        }
        NetSlice::Arp(_) => String::new(),
    }
}

fn network(net: &NetSlice<'_>) -> String {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let fragment = if header.is_fragmenting_payload() {
                format!(", fragment at {}", u32::from(header.fragments_offset().value()) * 8)
            } else {
                String::new()
            };
            format!(
                "IPv4 {}, TTL {}, id {}, protocol {}, {} bytes{fragment}",
                addresses(net),
                header.ttl(),
                header.identification(),
                header.protocol().0,
                header.total_len()
            )
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            format!("IPv6 {}, hop limit {}", addresses(net), header.hop_limit())
        }
        NetSlice::Arp(arp) => match arp.to_packet().try_eth_ipv4() {
            Ok(arp) => {
                let (sender, target) = (Ipv4Addr::from(arp.sender_ipv4), Ipv4Addr::from(arp.target_ipv4));
                match arp.operation {
                    ArpOperation::REQUEST => format!("ARP: who has {target}? {sender} asks"),
                    ArpOperation::REPLY => format!("ARP: {sender} is at {}", mac(&arp.sender_mac)),
                    other => format!("ARP operation {}", other.0),
                }
            }
            Err(_) => "ARP, not for IPv4 over Ethernet".to_owned(),
        },
    }
}

fn transport(inner: &TransportSlice<'_>) -> String {
    match inner {
        TransportSlice::Icmpv4(icmp) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(echo) => {
                format!("ICMP echo request, id {}, number {}", echo.id, echo.seq)
            }
            Icmpv4Type::EchoReply(echo) => format!("ICMP echo reply, id {}, number {}", echo.id, echo.seq),
            _ => format!("ICMP type {}, code {}", icmp.type_u8(), icmp.code_u8()),
        },
        TransportSlice::Icmpv6(icmp) => format!("ICMPv6 type {}, code {}", icmp.type_u8(), icmp.code_u8()),
        TransportSlice::Udp(udp) => {
            let (from, to) = (udp.source_port(), udp.destination_port());
            format!("UDP port {from} to {to}, {} bytes", udp.payload().len())
        }
        TransportSlice::Tcp(tcp) => {
            let flags = [
                (tcp.syn(), "SYN"),
                (tcp.ack(), "ACK"),
                (tcp.psh(), "PSH"),
                (tcp.fin(), "FIN"),
                (tcp.rst(), "RST"),
                (tcp.urg(), "URG"),
            ];
            let set: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
            format!(
                "TCP port {} to {}, {}, sequence {}, acknowledges {}, {} bytes",
                tcp.source_port(),
                tcp.destination_port(),
                set.join(" "),
                tcp.sequence_number(),
                tcp.acknowledgment_number(),
                tcp.payload().len()
            )
        }
        TransportSlice::Igmp(_) => "IGMP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn udp() -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [0xff; 6]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
        let mut frame = Vec::new();
        builder.udp(4000, 7).write(&mut frame, b"hello").unwrap();
        frame
    }

    #[test]
    fn layers_are_named_from_the_outside_in() {
        assert_eq!(
            layers(&udp()),
            [
                "Ethernet 02:02:02:02:02:02 to broadcast, IPv4, 47 bytes",
                "IPv4 192.0.2.1 to 192.0.2.2, TTL 64, id 0, protocol 17, 33 bytes",
                "UDP port 4000 to 7, 5 bytes",
            ]
        );
        assert_eq!(summary(&udp()), "192.0.2.1 to 192.0.2.2, UDP port 4000 to 7, 5 bytes");
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_or_refused(mut frame: Vec<u8>, cut in 0usize..60, at in 12usize..40, value: u8) {
            let _ = (layers(&frame), summary(&frame));
            frame = udp();
            frame[at] = value;
            frame.truncate(cut);
            let _ = (layers(&frame), summary(&frame));
        }
    }
}
