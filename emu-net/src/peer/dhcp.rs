//! A DHCP server's answers: RFC 2131 and 2132, without expiry: addresses last as long as the run.

use super::PeerConfig;
use std::net::Ipv4Addr;

/// The server's port.
pub(super) const SERVER_PORT: u16 = 67;
/// The client's.
pub(super) const CLIENT_PORT: u16 = 68;
/// RFC 1497's magic number in front of the options.
const MAGIC: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;
/// Addresses at most.
const LEASES_MAX: usize = 64;
/// Seconds that a lease says it lasts.
const LEASE_TIME: u32 = 86_400;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

/// Who has which address: the first client has the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Vec<[u8; 6]>);

impl Leases {
    fn address(&mut self, first: Ipv4Addr, mac: [u8; 6]) -> Option<Ipv4Addr> {
        let at = match self.0.iter().position(|known| *known == mac) {
            Some(at) => at,
            None if self.0.len() < LEASES_MAX => {
                self.0.push(mac);
                self.0.len() - 1
            }
            None => return None,
        };
        first.to_bits().checked_add(at as u32).map(Ipv4Addr::from)
    }
}

/// What the server says.
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    /// It gives an address away.
    pub(super) gives: bool,
}

fn option(request: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = request.get(OPTIONS..)?;
    loop {
        match *rest.first()? {
            0 => rest = &rest[1..],
            255 => return None,
            code => {
                let len = usize::from(*rest.get(1)?);
                let value = rest.get(2..2 + len)?;
                if code == wanted {
                    return Some(value);
                }
                rest = &rest[2 + len..];
            }
        }
    }
}

/// The answer to a client's message, if it gets one.
pub(super) fn answer(config: &PeerConfig, leases: &mut Leases, request: &[u8]) -> Option<Reply> {
    let first = config.dhcp?;
    let plain = request.len() > OPTIONS && request[..3] == [1, 1, 6] && request[236..OPTIONS] == MAGIC;
    let kind = *option(request, 53).filter(|_| plain)?.first()?;
    let mac = <[u8; 6]>::try_from(&request[28..34]).ok()?;
    // A request that names another server is not ours to answer.
    if option(request, 54).is_some_and(|server| server != config.ip.octets()) {
        return None;
    }
    let address = leases.address(first, mac)?;
    let current = <[u8; 4]>::try_from(&request[12..16]).ok().map(Ipv4Addr::from)?;
    let wanted = match option(request, 50).and_then(|wanted| <[u8; 4]>::try_from(wanted).ok()) {
        Some(wanted) => wanted.into(),
        None => current,
    };
    let kind = match kind {
        DISCOVER => OFFER,
        REQUEST if wanted == address => ACK,
        REQUEST => NAK,
        INFORM => ACK,
        _ => return None,
    };
    let your =
        if option(request, 53) == Some(&[INFORM]) || kind == NAK { Ipv4Addr::UNSPECIFIED } else { address };
    Some(Reply { bytes: message(config, request, kind, your), gives: kind == ACK && !your.is_unspecified() })
}

fn message(config: &PeerConfig, request: &[u8], kind: u8, your: Ipv4Addr) -> Vec<u8> {
    let mut reply = request[..OPTIONS].to_vec();
    reply[0] = 2;
    reply[3] = 0;
    reply[8..10].fill(0);
    reply[16..20].copy_from_slice(&your.octets());
    reply[20..24].copy_from_slice(&config.ip.octets());
    reply[44..236].fill(0);
    let mut add = |code: u8, value: &[u8]| {
        reply.extend([code, value.len() as u8]);
        reply.extend(value);
    };
    add(53, &[kind]);
    add(54, &config.ip.octets());
    if kind != NAK {
        let mask = !(u32::MAX.checked_shr(u32::from(config.bits)).unwrap_or(0));
        if !your.is_unspecified() {
            add(51, &LEASE_TIME.to_be_bytes());
        }
        add(1, &mask.to_be_bytes());
        add(3, &config.ip.octets());
        add(6, &config.ip.octets());
        if let Some(file) = config.boot_file.as_deref().filter(|file| file.len() < 128) {
            add(67, file.as_bytes());
            reply[108..108 + file.len()].copy_from_slice(file.as_bytes());
        }
    }
    reply.push(255);
    // BOOTP's old minimum, which some clients still ask for.
    reply.resize(reply.len().max(300), 0);
    reply
}
