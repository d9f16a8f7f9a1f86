//! What the guest answers on the network: ARP for its address, ICMP echo, UDP echo. Everything else is
//! ignored, and counted by reason.
//!
//! Frames are Ethernet II (IEEE 802.3, type field). No state is kept between frames: a reply goes to whoever
//! asked.

mod arp;
pub mod checksum;
mod icmp;
mod ipv4;
mod udp;

use core::fmt;

/// Bytes before the payload: destination, source, type.
const ETHERNET_HEADER: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    const BROADCAST: Self = Self([0xff; 6]);

    /// Group addresses have the first bit on the wire set; no station sends from one.
    fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4(pub [u8; 4]);

impl Ipv4 {
    /// From dotted decimal.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = parts.next()?.parse().ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }

    /// Whether a single host can have it: not 0.0.0.0/8, not multicast, not 255.255.255.255 (RFC 1122,
    /// 3.2.1.3).
    fn is_host(self) -> bool {
        (1..224).contains(&self.0[0])
    }
}

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// Who we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// Our Ethernet address.
    pub mac: Mac,
    /// Our IPv4 address.
    pub ip: Ipv4,
}

/// What was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// Who has our address.
    Arp,
    /// ICMP echo request.
    Echo,
    /// A datagram to UDP port 7.
    Udp,
}

/// Why a frame was not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// Addressed to someone else.
    NotForUs,
    /// A protocol, type or port that we do not serve.
    NotServed,
    /// Cut off, or with lengths that contradict each other.
    Malformed,
    /// A wrong checksum.
    Checksum,
    /// A fragment: the guest does not reassemble.
    Fragment,
}

/// What became of a frame: answered with a reply of so many bytes, or not.
pub type Outcome = Result<(Answered, usize), Ignored>;

/// Looks at `frame` and writes the reply, if there is to be one, to `reply`, which has room for a frame of
/// full size.
pub fn respond(station: Station, frame: &[u8], reply: &mut [u8]) -> Outcome {
    let (header, payload) = frame.split_at_checked(ETHERNET_HEADER).ok_or(Ignored::Malformed)?;
    let destination = Mac(array(header, 0));
    let source = Mac(array(header, 6));
    if destination != station.mac && destination != Mac::BROADCAST || source.is_group() {
        return Err(Ignored::NotForUs);
    }
    let ethertype = be16(header, 12);
    let (reply_header, room) = reply.split_at_mut(ETHERNET_HEADER);
    let (answered, len) = match ethertype {
        TYPE_ARP => arp::respond(station, payload, room)?,
        TYPE_IPV4 if destination == station.mac => ipv4::respond(station, payload, room)?,
        // Echo requests to everybody are not answered (RFC 1122, 3.2.2.6 leaves it open).
        TYPE_IPV4 => return Err(Ignored::NotForUs),
        _ => return Err(Ignored::NotServed),
    };
    reply_header[0..6].copy_from_slice(&source.0);
    reply_header[6..12].copy_from_slice(&station.mac.0);
    reply_header[12..14].copy_from_slice(&ethertype.to_be_bytes());
    Ok((answered, ETHERNET_HEADER + len))
}

/// The bytes from `at` on; callers have checked the length.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|offset| bytes[at + offset])
}

/// The 16-bit number in network order at `at`; callers have checked the length.
fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// Writes a 16-bit number in network order at `at`.
fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
