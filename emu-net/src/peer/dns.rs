//! A name server's answers: RFC 1035, A records of the names that it was told, NXDOMAIN for all others.

use super::PeerConfig;

/// Its port.
pub(super) const PORT: u16 = 53;
const HEADER: usize = 12;
/// QTYPE A, and ANY.
const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
/// Seconds that an answer may be kept.
const TTL: u32 = 60;

/// The name in the question, and where the question ends. Compression can't be in a first name.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut at = HEADER;
    let mut name = String::new();
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        match len {
            0 => return Some((name, at)),
            1..=63 => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(query.get(at..at + len)?).to_ascii_lowercase());
                at += len;
            }
            _ => return None,
        }
    }
}

/// The answer to a query, if it is one that can be read.
pub(super) fn answer(config: &PeerConfig, query: &[u8]) -> Option<Vec<u8>> {
    // A query with one question (4.1.1).
    if query.len() < HEADER || query[2] & 0x80 != 0 || query[4..6] != [0, 1] {
        return None;
    }
    let (name, end) = question(query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let address = config.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, ip)| *ip);
    let mut reply = query.get(..end + 4)?.to_vec();
    // Response, authoritative, recursion as desired and available; NXDOMAIN is code 3.
    reply[2] = 0x84 | query[2] & 0x79;
    reply[3] = 0x80 | if address.is_none() { 3 } else { 0 };
    let answers = address.filter(|_| matches!(kind, TYPE_A | TYPE_ANY));
    reply[6..12].copy_from_slice(&[0, u8::from(answers.is_some()), 0, 0, 0, 0]);
    if let Some(address) = answers {
        // The name is the question's (4.1.4), type A, class IN.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1]);
        reply.extend(TTL.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
