//! UDP: the echo service on port 7. RFC 768, RFC 862.

use super::ipv4::Addresses;
use super::{Answered, Ignored, Outcome, be16, put16};

const HEADER: usize = 8;
const ECHO_PORT: u16 = 7;

/// Answers a datagram to port 7. `asked` is who sent it to whom, `addresses` the same for the reply.
pub fn respond(asked: Addresses, addresses: Addresses, datagram: &[u8], reply: &mut [u8]) -> Outcome {
    if datagram.len() < HEADER {
        return Err(Ignored::Malformed);
    }
    let len = usize::from(be16(datagram, 4));
    if !(HEADER..=datagram.len()).contains(&len) {
        return Err(Ignored::Malformed);
    }
    let datagram = &datagram[..len];
    // A checksum of zero means that the sender computed none.
    let unchecked = be16(datagram, 6) == 0;
    if !unchecked && asked.pseudo_header(len as u16).add(datagram).finish() != 0 {
        return Err(Ignored::Checksum);
    }
    if be16(datagram, 2) != ECHO_PORT {
        return Err(Ignored::NotServed);
    }
    let reply = &mut reply[..len];
    reply.copy_from_slice(datagram);
    reply[0..2].copy_from_slice(&datagram[2..4]);
    reply[2..4].copy_from_slice(&datagram[0..2]);
    put16(reply, 6, 0);
    // A sum that comes out as zero is sent as all ones, which is the same number in one's complement.
    let checksum = match addresses.pseudo_header(len as u16).add(reply).finish() {
        0 => 0xffff,
        sum => sum,
    };
    put16(reply, 6, checksum);
    Ok((Answered::Udp, len))
}
