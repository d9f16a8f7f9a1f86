//! Our side of a conversation in datagrams: UDP, DNS, DHCP, ping and ARP. Each captured frame of the guest's waits for one of the
//! live guest's; ours go out in between, and again if nothing comes back.

use super::conversation::{AGAIN, Conversation, SENT, Wire};
use super::outcome::{Departure, Status};
use super::payload::{self, Learned};
use super::script::Protocol;
use crate::packet::{ARP, IPV4};
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The state of a conversation in datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatagramState {
    learned: Learned,
    /// Turns of the guest's beyond the one in hand that it has already taken.
    taken: BTreeSet<usize>,
}

impl DatagramState {
    pub(super) fn is_sound(&self) -> bool {
        self.learned.is_sound()
    }
}

impl Conversation {
    /// A packet of the guest's.
    pub(super) fn hear_datagram(&mut self, wire: &mut Wire<'_>, packet: &[u8]) {
        let protocol = self.script.protocol;
        let live = payload::of(protocol, packet);
        let next = self.state.next;
        let run = self.script.turns[next..].iter().take_while(|turn| !turn.ours).count();
        let open = (next..next + run).filter(|at| !self.state.datagram.taken.contains(at));
        let compared: Vec<_> = open
            .map(|at| {
                (at, payload::differs(protocol, payload::of(protocol, &self.script.turns[at].packet), live))
            })
            .collect();
        let best = compared.iter().find(|(_, differs)| differs.is_none()).or(compared.first()).copied();
        match best {
            Some((at, differs)) => {
                let captured = payload::of(protocol, &self.script.turns[at].packet);
                self.state.datagram.learned.learn(protocol, captured, live);
                self.state.datagram.taken.insert(at);
                self.state.since = wire.now;
                self.state.tries = 0;
                self.state.retry = None;
                if let Some(byte) = differs {
                    self.part(wire, Departure::Said(byte));
                }
            }
            None => self.hear_again(wire, live),
        }
    }

    /// It was not the guest's turn: it has not heard our answer, or it asks what it did not ask in the capture.
    fn hear_again(&mut self, wire: &mut Wire<'_>, live: &[u8]) {
        let protocol = self.script.protocol;
        let done = &self.script.turns[..self.state.next];
        let asked = done.iter().rposition(|turn| {
            !turn.ours && payload::differs(protocol, payload::of(protocol, &turn.packet), live).is_none()
        });
        let Some(asked) = asked else {
            return self.part(wire, Departure::Unasked);
        };
        let captured = payload::of(protocol, &self.script.turns[asked].packet);
        self.state.datagram.learned.learn(protocol, captured, live);
        let answers: Vec<_> = (asked + 1..self.state.next)
            .skip_while(|at| !self.script.turns[*at].ours)
            .take_while(|at| self.script.turns[*at].ours)
            .collect();
        for at in answers {
            self.state.counts[AGAIN] += 1;
            self.say(wire, at);
        }
    }

    /// Goes on as far as it can; when to be told next.
    pub(super) fn step_datagram(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        while self.state.status == Status::Playing {
            let Some(turn) = self.turn() else {
                self.end(wire, Status::Complete);
                break;
            };
            if turn.ours {
                let due = *self.state.due.get_or_insert(wire.now.after(self.thinking(wire)));
                if due > wire.now {
                    return Some(due);
                }
                self.state.due = None;
                self.say(wire, self.state.next);
                self.state.since = wire.now;
                self.state.next += 1;
            } else if self.state.datagram.taken.remove(&self.state.next) {
                self.state.next += 1;
            } else {
                return self.wait(wire);
            }
        }
        None
    }

    /// The guest's turn: what we said last is said again if nothing comes.
    fn wait(&mut self, wire: &mut Wire<'_>) -> Option<VirtTime> {
        let said = self.script.turns[..self.state.next].iter().rposition(|turn| turn.ours)?;
        let retry = *self.state.retry.get_or_insert(self.retry_at(wire));
        if retry > wire.now {
            return Some(retry);
        }
        self.state.tries += 1;
        if self.state.tries > wire.times.tries {
            self.part(wire, Departure::Silent);
            self.end(wire, Status::Silent);
            return None;
        }
        self.state.counts[AGAIN] += 1;
        self.say(wire, said);
        let retry = self.retry_at(wire);
        self.state.retry = Some(retry);
        Some(retry)
    }

    /// Sends a captured packet of ours with what is live in it.
    fn say(&mut self, wire: &mut Wire<'_>, at: usize) {
        self.state.counts[SENT] += 1;
        let script = &self.script;
        let captured = &script.turns[at].packet;
        if script.protocol == Protocol::Arp {
            return self.say_arp(wire, captured.clone());
        }
        let payload = payload::of(script.protocol, captured);
        let mut packet = captured[..captured.len() - payload.len()].to_vec();
        let mut payload = payload.to_vec();
        self.state.datagram.learned.change(script, self.ip, wire.guest_ip, &mut payload);
        packet.extend(payload);
        let header = usize::from(packet[0] & 0xf) * 4;
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        let (source, destination) = self.addresses(wire, &packet);
        packet[12..16].copy_from_slice(&source.octets());
        packet[16..20].copy_from_slice(&destination.octets());
        if script.protocol != Protocol::Icmp {
            let guest_port = self.state.guest_port.to_be_bytes();
            packet[header + 2..header + 4].copy_from_slice(&guest_port);
            packet[header + 4..header + 6].copy_from_slice(&(len - header as u16).to_be_bytes());
        }
        let mac = if destination.is_broadcast() { [0xff; 6] } else { wire.guest_mac };
        wire.line.send(wire.now, mac, script.mac, IPV4, &packet);
    }

    /// Source and destination of what we send. What is nobody's or everybody's stays so, as DHCP has it.
    fn addresses(&self, wire: &Wire<'_>, captured: &[u8]) -> (Ipv4Addr, Ipv4Addr) {
        let address =
            |at: usize| Ipv4Addr::new(captured[at], captured[at + 1], captured[at + 2], captured[at + 3]);
        let (source, destination) = (address(12), address(16));
        let given = self.state.datagram.learned.offered().filter(|_| self.script.we_begin);
        let ours = given.filter(|_| self.script.protocol == Protocol::Dhcp).unwrap_or(self.ip);
        (
            if source.is_unspecified() { source } else { ours },
            if destination.is_broadcast() { destination } else { wire.guest_ip },
        )
    }

    /// ARP with live addresses (RFC 826): sender, then target.
    fn say_arp(&self, wire: &mut Wire<'_>, mut packet: Vec<u8>) {
        let asks = packet[7] == 1;
        packet[8..14].copy_from_slice(&self.script.mac);
        packet[14..18].copy_from_slice(&self.ip.octets());
        packet[18..24].copy_from_slice(&if asks { [0; 6] } else { wire.guest_mac });
        packet[24..28].copy_from_slice(&wire.guest_ip.octets());
        let to = if asks { [0xff; 6] } else { wire.guest_mac };
        wire.line.send(wire.now, to, self.script.mac, ARP, &packet);
    }
}
