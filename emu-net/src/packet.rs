//! Where things lie in a frame, so that they can be looked at and changed in place: Ethernet II with VLAN tags, ARP, IPv4,
//! IPv6, TCP, UDP, ICMP. Not a dissector: what is cut or unknown simply has no place.
//!
//! Sums are changed incrementally (RFC 1624), so that a wrong one stays as wrong as it was.

use std::net::IpAddr;
use std::ops::Range;

/// Ethernet type of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethernet type of ARP.
pub const ARP: u16 = 0x0806;
/// Ethernet type of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// VLAN tag types (IEEE 802.1Q and 802.1ad, and what came before it).
const VLAN_TYPES: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// More tags than anybody stacks.
const TAGS_MAX: usize = 4;

/// The places in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The type behind all VLAN tags.
    pub ether_type: u16,
    /// The first tag's VLAN, if there is a tag.
    pub vlan: Option<u16>,
    /// Where the network layer starts.
    pub net: usize,
    /// Where the IP packet ends: before any padding.
    pub end: usize,
    /// The protocol above IP, if IP is whole.
    pub protocol: Option<u8>,
    /// Where it starts: only in an unfragmented packet or a first fragment.
    pub transport: Option<usize>,
    /// The packet is a fragment, so the sum above IP covers more than is here.
    pub fragment: bool,
}

/// Big-endian 16 bits; 0 beyond the end.
#[must_use]
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// Big-endian 32 bits; 0 beyond the end.
#[must_use]
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

impl Layout {
    /// Of a frame; `None` if not even the Ethernet header is there.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        if frame.len() < 14 {
            return None;
        }
        let mut layout = Self { ether_type: be16(frame, 12), net: 14, end: frame.len(), ..Self::default() };
        for _ in 0..TAGS_MAX {
            if !VLAN_TYPES.contains(&layout.ether_type) || frame.len() < layout.net + 4 {
                break;
            }
            layout.vlan.get_or_insert(be16(frame, layout.net) & 0xfff);
            layout.ether_type = be16(frame, layout.net + 2);
            layout.net += 4;
        }
        match layout.ether_type {
            IPV4 => layout.ipv4(frame),
            IPV6 => layout.ipv6(frame),
            _ => {}
        }
        Some(layout)
    }

    fn ipv4(&mut self, frame: &[u8]) {
        let ip = &frame[self.net..];
        let header = usize::from(ip.first().copied().unwrap_or(0) & 0xf) * 4;
        let total = usize::from(be16(ip, 2));
        if ip.len() < 20 || ip[0] >> 4 != 4 || header < 20 || total < header || total > ip.len() {
            return;
        }
        self.end = self.net + total;
        self.protocol = Some(ip[9]);
        let offset = be16(ip, 6);
        self.fragment = offset & 0x3fff != 0;
        self.transport = (offset & 0x1fff == 0).then_some(self.net + header);
    }

    /// Extension headers are not followed: what they hide has no place.
    fn ipv6(&mut self, frame: &[u8]) {
        let ip = &frame[self.net..];
        let total = 40 + usize::from(be16(ip, 4));
        if ip.len() < 40 || ip[0] >> 4 != 6 || total > ip.len() {
            return;
        }
        self.end = self.net + total;
        self.protocol = Some(ip[6]);
        if matches!(ip[6], TCP | UDP | ICMPV6) {
            self.transport = Some(self.net + 40);
        }
    }

    /// The source (`false`) or destination address, of IP or ARP's protocol addresses.
    #[must_use]
    pub fn address_place(&self, destination: bool) -> Option<Range<usize>> {
        let (at, len) = match (self.ether_type, self.protocol.is_some(), destination) {
            (IPV4, true, false) => (12, 4),
            (IPV4, true, true) => (16, 4),
            (IPV6, true, false) => (8, 16),
            (IPV6, true, true) => (24, 16),
            _ => return None,
        };
        Some(self.net + at..self.net + at + len)
    }

    /// The source or destination address.
    #[must_use]
    pub fn address(&self, frame: &[u8], destination: bool) -> Option<IpAddr> {
        let bytes = &frame[self.address_place(destination)?];
        match <[u8; 4]>::try_from(bytes) {
            Ok(v4) => Some(v4.into()),
            Err(_) => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        }
    }

    /// Where the source or destination port is.
    #[must_use]
    pub fn port_place(&self, destination: bool) -> Option<usize> {
        let at = self.transport.filter(|_| matches!(self.protocol, Some(TCP | UDP)))?;
        (at + 8 <= self.end).then_some(at + if destination { 2 } else { 0 })
    }

    /// The source or destination port of TCP or UDP.
    #[must_use]
    pub fn port(&self, frame: &[u8], destination: bool) -> Option<u16> {
        self.port_place(destination).map(|at| be16(frame, at))
    }

    /// Where ARP's hardware and protocol addresses of sender or target are, if it speaks of Ethernet and IPv4.
    #[must_use]
    pub fn arp_places(&self, frame: &[u8], target: bool) -> Option<(Range<usize>, Range<usize>)> {
        let at = self.net;
        let plain =
            self.ether_type == ARP && frame.len() >= at + 28 && frame[at..at + 6] == [0, 1, 8, 0, 6, 4];
        let from = at + if target { 18 } else { 8 };
        plain.then_some((from..from + 6, from + 6..from + 10))
    }

    /// Where the sum of the transport protocol is; none for UDP over IPv4 that has said that it has none.
    #[must_use]
    pub fn transport_sum(&self, frame: &[u8]) -> Option<usize> {
        let at = self.transport?;
        let place = match self.protocol? {
            TCP => at + 16,
            UDP if be16(frame, at + 6) == 0 && self.ether_type == IPV4 => return None,
            UDP => at + 6,
            ICMP | ICMPV6 => at + 2,
            _ => return None,
        };
        (place + 2 <= self.end).then_some(place)
    }

    /// The data of a TCP segment or UDP datagram.
    #[must_use]
    pub fn data<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let Some(at) = self.transport else { return &[] };
        let header = match self.protocol {
            Some(TCP) => usize::from(frame.get(at + 12).copied().unwrap_or(0) >> 4) * 4,
            Some(UDP | ICMP) => 8,
            _ => return &[],
        };
        frame.get(at + header..self.end).unwrap_or(&[])
    }

    /// Changes bytes that the IP header's sum (`ip`) or the transport's (`transport`) covers, and the sums with them. The
    /// range has an even length of at most 16, and starts at an even distance from the sum.
    pub fn change(&self, frame: &mut [u8], place: Range<usize>, new: &[u8], ip: bool, transport: bool) {
        let mut kept = [0; 16];
        let old = &mut kept[..new.len()];
        old.copy_from_slice(&frame[place.clone()]);
        frame[place].copy_from_slice(new);
        if ip && self.ether_type == IPV4 {
            adjust(frame, self.net + 10, old, new);
        }
        if transport && let Some(at) = self.transport_sum(frame) {
            adjust(frame, at, old, new);
            if self.protocol == Some(UDP) && be16(frame, at) == 0 {
                frame[at..at + 2].fill(0xff);
            }
        }
    }

    /// Computes all sums anew.
    pub fn seal(&self, frame: &mut [u8]) {
        let Some(protocol) = self.protocol else { return };
        let pseudo = match self.ether_type {
            IPV4 => {
                let header = usize::from(frame[self.net] & 0xf) * 4;
                frame[self.net + 10..self.net + 12].fill(0);
                let own = !fold(sum(&frame[self.net..self.net + header]));
                frame[self.net + 10..self.net + 12].copy_from_slice(&own.to_be_bytes());
                sum(&frame[self.net + 12..self.net + 20])
            }
            _ => sum(&frame[self.net + 8..self.net + 40]),
        };
        let (Some(at), Some(from)) = (self.transport_sum(frame), self.transport) else { return };
        if self.fragment {
            return;
        }
        frame[at..at + 2].fill(0);
        let pseudo =
            if protocol == ICMP { 0 } else { pseudo + u32::from(protocol) + (self.end - from) as u32 };
        let mut value = !fold(pseudo.wrapping_add(sum(&frame[from..self.end])));
        if protocol == UDP && value == 0 {
            value = 0xffff;
        }
        frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Whether all sums fit; one that covers more than is here counts as fitting.
    #[must_use]
    pub fn is_sealed(&self, frame: &[u8]) -> bool {
        let mut sealed = frame.to_vec();
        self.seal(&mut sealed);
        sealed == frame
    }
}

/// One's complement sum before folding (RFC 1071); frames are too short for it to overflow.
fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    sum + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
fn adjust(frame: &mut [u8], at: usize, old: &[u8], new: &[u8]) {
    let mut value = u32::from(!be16(frame, at));
    for (old, new) in old.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0) {
        value += u32::from(!u16::from_be_bytes(*old)) + u32::from(u16::from_be_bytes(*new));
    }
    frame[at..at + 2].copy_from_slice(&(!fold(value)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn udp() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(40000, 7)
            .write(&mut frame, b"odd")
            .unwrap();
        frame
    }

    #[test]
    fn a_changed_address_keeps_right_sums_right_and_wrong_ones_wrong() {
        for damage in [0, 1] {
            let mut frame = udp();
            frame[40] ^= damage;
            let layout = Layout::of(&frame).unwrap();
            assert_eq!(layout.is_sealed(&frame), damage == 0);
            layout.change(&mut frame, layout.address_place(true).unwrap(), &[10, 0, 0, 9], true, true);
            let port = layout.port_place(false).unwrap();
            layout.change(&mut frame, port..port + 2, &[1, 2], false, true);
            assert_eq!(layout.is_sealed(&frame), damage == 0);
            assert_eq!(layout.address(&frame, true), Some([10, 0, 0, 9].into()));
            assert_eq!((layout.port(&frame, false), layout.data(&frame)), (Some(0x102), &b"odd"[..]));
        }
    }

    #[test]
    fn tags_are_passed_over_and_cut_packets_have_no_place() {
        let mut tagged = udp();
        tagged.splice(12..12, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
        let layout = Layout::of(&tagged).unwrap();
        assert_eq!((layout.vlan, layout.net, layout.port(&tagged, true)), (Some(5), 22, Some(7)));
        assert!(layout.is_sealed(&tagged));
        for len in 0..tagged.len() {
            if let Some(layout) = Layout::of(&tagged[..len]) {
                assert_eq!(layout.protocol, None, "{len} bytes");
                layout.seal(&mut tagged[..len].to_vec());
            }
        }
    }
}
