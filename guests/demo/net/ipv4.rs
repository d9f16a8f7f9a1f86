//! IPv4: checks a packet for us and wraps the reply. RFC 791; RFC 1122, 3.2 for what a host must check.

use super::checksum::Checksum;
use super::{Ignored, Ipv4, Outcome, Station, array, be16, icmp, put16, udp};

/// A header without options, which is what replies have.
const HEADER: usize = 20;
/// What fits into a frame.
const MTU: usize = 1500;
const VERSION_AND_LENGTH: u8 = 0x45;
/// More fragments, and the fragment's offset: both zero in a whole packet.
const FRAGMENT_MASK: u16 = 0x3fff;
const TIME_TO_LIVE: u8 = 64;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_UDP: u8 = 17;

/// The part of the header that the transports need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Who sent it.
    pub source: Ipv4,
    /// Who it is for.
    pub destination: Ipv4,
}

impl Addresses {
    /// The sum over UDP's pseudo header (RFC 768).
    pub fn pseudo_header(self, len: u16) -> Checksum {
        Checksum::new()
            .add(&self.source.0)
            .add(&self.destination.0)
            .add_word(u16::from(PROTOCOL_UDP))
            .add_word(len)
    }
}

/// Answers a packet to our address.
pub fn respond(station: Station, packet: &[u8], reply: &mut [u8]) -> Outcome {
    if packet.len() < HEADER {
        return Err(Ignored::Malformed);
    }
    let header_len = usize::from(packet[0] & 0xf) * 4;
    let total_len = usize::from(be16(packet, 2));
    // The frame may be longer, since short ones are padded.
    if packet[0] >> 4 != 4
        || header_len < HEADER
        || total_len < header_len
        || total_len > packet.len().min(MTU)
    {
        return Err(Ignored::Malformed);
    }
    if Checksum::new().add(&packet[..header_len]).finish() != 0 {
        return Err(Ignored::Checksum);
    }
    let asked = Addresses { source: Ipv4(array(packet, 12)), destination: Ipv4(array(packet, 16)) };
    if asked.destination != station.ip || !asked.source.is_host() {
        return Err(Ignored::NotForUs);
    }
    if be16(packet, 6) & FRAGMENT_MASK != 0 {
        return Err(Ignored::Fragment);
    }
    let payload = &packet[header_len..total_len];
    let addresses = Addresses { source: station.ip, destination: asked.source };
    let (reply_header, room) = reply.split_at_mut(HEADER);
    let protocol = packet[9];
    let (answered, len) = match protocol {
        PROTOCOL_ICMP => icmp::respond(payload, room)?,
        PROTOCOL_UDP => udp::respond(asked, addresses, payload, room)?,
        _ => return Err(Ignored::NotServed),
    };

    reply_header.fill(0);
    reply_header[0] = VERSION_AND_LENGTH;
    // The same service as was asked for (RFC 1122, 3.2.2.6 has it for echo), and the same identification.
    reply_header[1] = packet[1];
    put16(reply_header, 2, (HEADER + len) as u16);
    reply_header[4..6].copy_from_slice(&packet[4..6]);
    reply_header[8] = TIME_TO_LIVE;
    reply_header[9] = protocol;
    reply_header[12..16].copy_from_slice(&addresses.source.0);
    reply_header[16..20].copy_from_slice(&addresses.destination.0);
    let checksum = Checksum::new().add(reply_header).finish();
    put16(reply_header, 10, checksum);
    Ok((answered, HEADER + len))
}
