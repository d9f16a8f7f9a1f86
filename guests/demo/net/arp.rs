//! ARP: who has our address is told our Ethernet address. RFC 826.

use super::{Answered, Ignored, Ipv4, Outcome, Station, array, be16, put16};

const PACKET: usize = 28;
const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Answers a request for our address.
pub fn respond(station: Station, packet: &[u8], reply: &mut [u8]) -> Outcome {
    if packet.len() < PACKET {
        return Err(Ignored::Malformed);
    }
    let lengths = [packet[4], packet[5]];
    if be16(packet, 0) != HARDWARE_ETHERNET || be16(packet, 2) != PROTOCOL_IPV4 || lengths != [6, 4] {
        return Err(Ignored::NotServed);
    }
    if be16(packet, 6) != REQUEST {
        return Err(Ignored::NotServed);
    }
    if Ipv4(array(packet, 24)) != station.ip {
        return Err(Ignored::NotForUs);
    }
    reply[..8].copy_from_slice(&packet[..8]);
    put16(reply, 6, REPLY);
    reply[8..14].copy_from_slice(&station.mac.0);
    reply[14..18].copy_from_slice(&station.ip.0);
    // The asker's two addresses move to the target's place.
    reply[18..28].copy_from_slice(&packet[8..18]);
    Ok((Answered::Arp, PACKET))
}
