//! ICMP: echo requests are answered with the data they carry. RFC 792.

use super::checksum::Checksum;
use super::{Answered, Ignored, Outcome, put16};

const HEADER: usize = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Answers an echo request.
pub fn respond(message: &[u8], reply: &mut [u8]) -> Outcome {
    if message.len() < HEADER {
        return Err(Ignored::Malformed);
    }
    if Checksum::new().add(message).finish() != 0 {
        return Err(Ignored::Checksum);
    }
    if message[0] != ECHO_REQUEST || message[1] != 0 {
        return Err(Ignored::NotServed);
    }
    let reply = &mut reply[..message.len()];
    reply.copy_from_slice(message);
    reply[0] = ECHO_REPLY;
    put16(reply, 2, 0);
    let checksum = Checksum::new().add(reply).finish();
    put16(reply, 2, checksum);
    Ok((Answered::Echo, reply.len()))
}
