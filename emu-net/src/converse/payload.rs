//! What differs from run to run in datagrams: identifiers that an answer must repeat, addresses in what DHCP and ARP say. Live ones
//! are learned from the guest and put into what we send; captured and live ones are left out when they are compared.

use super::script::{Protocol, Script};
use crate::packet::be16;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// DHCP options (RFC 2132).
const MAGIC_END: usize = 240;
const REQUESTED_ADDRESS: u8 = 50;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const DHCP_END: u8 = 255;
/// Addresses in options that are our own host's if the capture had them so: mask no, router, name servers yes.
const ROUTER: u8 = 3;
const NAME_SERVER: u8 = 6;

/// What was learned from the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    /// DNS identifiers and ping sequence numbers: captured and live.
    ids: BTreeMap<u16, u16>,
    /// Pings as they came, by their captured sequence numbers.
    pings: BTreeMap<u16, Vec<u8>>,
    /// The guest's DHCP transaction, flags and hardware address, if it is the client.
    client: Option<([u8; 4], [u8; 2], Vec<u8>)>,
    /// The guest's address as a server, and what it offered.
    server: Option<Ipv4Addr>,
    offered: Option<Ipv4Addr>,
}

/// The part above IP (and UDP) of an IPv4 packet, or all of an ARP packet.
pub(super) fn of(protocol: Protocol, packet: &[u8]) -> &[u8] {
    let header = usize::from(packet.first().copied().unwrap_or(0) & 0xf) * 4;
    let from = match protocol {
        Protocol::Arp => 0,
        Protocol::Icmp => header,
        Protocol::Udp | Protocol::Dns | Protocol::Dhcp | Protocol::Tcp | Protocol::Other => header + 8,
    };
    packet.get(from..).unwrap_or(&[])
}

/// Where a DHCP option's value is.
fn option(message: &[u8], wanted: u8) -> Option<std::ops::Range<usize>> {
    let mut at = MAGIC_END;
    loop {
        match *message.get(at)? {
            0 => at += 1,
            DHCP_END => return None,
            code => {
                let len = usize::from(*message.get(at + 1)?);
                let place = at + 2..at + 2 + len;
                message.get(place.clone())?;
                if code == wanted {
                    return Some(place);
                }
                at = place.end;
            }
        }
    }
}

fn address(message: &[u8], place: std::ops::Range<usize>) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(message.get(place)?).ok().map(Ipv4Addr::from)
}

/// The first byte at which what the guest says differs from what it said in the capture, apart from what may.
pub(super) fn differs(protocol: Protocol, captured: &[u8], live: &[u8]) -> Option<u64> {
    let from = match protocol {
        // Its message's type is what counts: addresses, times and options are the server's or client's own.
        Protocol::Dhcp => {
            let kind = |message: &[u8]| {
                option(message, MESSAGE_TYPE).and_then(|place| message.get(place).map(<[u8]>::to_vec))
            };
            return (kind(captured) != kind(live)).then_some(MAGIC_END as u64);
        }
        // Operation; the addresses are live ones.
        Protocol::Arp => {
            return (be16(captured, 6) != be16(live, 6)).then_some(6);
        }
        Protocol::Dns => 2,
        // Sum, identifier and number are the asker's.
        Protocol::Icmp => {
            if captured.get(..2) != live.get(..2) {
                return Some(0);
            }
            8
        }
        Protocol::Udp | Protocol::Tcp | Protocol::Other => 0,
    };
    let tails = (captured.get(from..).unwrap_or(&[]), live.get(from..).unwrap_or(&[]));
    let same = tails.0.iter().zip(tails.1).take_while(|(one, other)| one == other).count();
    (tails.0.len() != tails.1.len() || same < tails.0.len()).then_some((from + same) as u64)
}

impl Learned {
    /// Learns from what the guest says in a captured turn's place.
    pub(super) fn learn(&mut self, protocol: Protocol, captured: &[u8], live: &[u8]) {
        match protocol {
            Protocol::Dns => {
                self.ids.insert(be16(captured, 0), be16(live, 0));
            }
            Protocol::Icmp if live.len() >= 8 => {
                self.pings.insert(be16(captured, 6), live.to_vec());
            }
            Protocol::Dhcp if live.len() >= MAGIC_END => {
                if live[0] == 1 {
                    let get = |at| [live[at], live[at + 1]];
                    self.client =
                        Some(([live[4], live[5], live[6], live[7]], get(10), live[28..44].to_vec()));
                } else {
                    self.server = option(live, SERVER).and_then(|place| address(live, place)).or(self.server);
                    self.offered = address(live, 16..20).filter(|ip| !ip.is_unspecified()).or(self.offered);
                }
            }
            Protocol::Dhcp
            | Protocol::Icmp
            | Protocol::Udp
            | Protocol::Arp
            | Protocol::Tcp
            | Protocol::Other => {}
        }
    }

    /// Puts what was learned into what we say.
    pub(super) fn change(&self, script: &Script, ip: Ipv4Addr, guest: Ipv4Addr, ours: &mut Vec<u8>) {
        match script.protocol {
            Protocol::Dns => {
                if let Some(id) = self.ids.get(&be16(ours, 0)).filter(|_| ours.len() >= 2) {
                    ours[..2].copy_from_slice(&id.to_be_bytes());
                }
            }
            // An answer repeats all that was asked.
            Protocol::Icmp => {
                if let Some(ping) = self.pings.get(&be16(ours, 6)).filter(|_| ours.first() == Some(&0)) {
                    let head = [ours[0], ours[1]];
                    ours.clone_from(ping);
                    ours[..2].copy_from_slice(&head);
                }
            }
            Protocol::Dhcp if ours.len() >= MAGIC_END => self.change_dhcp(ip, guest, ours),
            Protocol::Dhcp | Protocol::Udp | Protocol::Arp | Protocol::Tcp | Protocol::Other => {}
        }
    }

    fn change_dhcp(&self, ip: Ipv4Addr, guest: Ipv4Addr, ours: &mut [u8]) {
        let gives = ours[16..20] != [0; 4];
        let mut put = |place: Option<std::ops::Range<usize>>, new: Option<Ipv4Addr>| {
            if let (Some(place), Some(new)) = (place, new)
                && place.len() >= 4
            {
                ours[place.start..place.start + 4].copy_from_slice(&new.octets());
            }
        };
        if let Some((transaction, flags, hardware)) = &self.client {
            // We are the server: every address of its own is our live one, what it gives away is the guest's.
            put(gives.then_some(16..20), Some(guest));
            put(Some(20..24), Some(ip));
            ours[4..8].copy_from_slice(transaction);
            ours[10..12].copy_from_slice(flags);
            ours[28..44].copy_from_slice(hardware);
            for code in [SERVER, ROUTER, NAME_SERVER] {
                if let Some(place) = option(ours, code).filter(|place| place.len() == 4) {
                    ours[place].copy_from_slice(&ip.octets());
                }
            }
            return;
        }
        for (code, new) in [(SERVER, self.server), (REQUESTED_ADDRESS, self.offered)] {
            if let (Some(place), Some(new)) = (option(ours, code).filter(|place| place.len() == 4), new) {
                ours[place].copy_from_slice(&new.octets());
            }
        }
        // A client that renews names the address that it has been given.
        if ours[12..16] != [0; 4]
            && let Some(offered) = self.offered
        {
            ours[12..16].copy_from_slice(&offered.octets());
        }
    }

    /// Whether it can be what a run came to.
    pub(super) fn is_sound(&self) -> bool {
        self.pings.values().all(|ping| (8..=1 << 14).contains(&ping.len()))
            && self.client.as_ref().is_none_or(|(_, _, hardware)| hardware.len() == 16)
    }

    /// The address that the guest has given to us, as a server.
    pub(super) fn offered(&self) -> Option<Ipv4Addr> {
        self.offered
    }
}
