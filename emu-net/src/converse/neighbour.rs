//! The guest as a neighbour (RFC 826): its hardware address is learned from what it sends, or asked for; what it asks of our
//! hosts is answered.

use super::line::Line;
use crate::packet::{ARP, Layout, be16, be32};
use emu_core::{VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Between two questions.
const ASK_AGAIN: VirtDuration = VirtDuration::from_s(1);
/// So often it is asked.
const ASKS_MAX: u32 = 60;

/// What is known of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Neighbour {
    mac: Option<[u8; 6]>,
    /// When it was last asked, and how often.
    asked: Option<VirtTime>,
    asks: u32,
}

/// An ARP packet for Ethernet and IPv4.
fn arp(operation: u16, sender: ([u8; 6], Ipv4Addr), target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    for (mac, ip) in [sender, target] {
        packet.extend(mac);
        packet.extend(ip.octets());
    }
    packet
}

impl Neighbour {
    pub(super) fn mac(&self) -> Option<[u8; 6]> {
        self.mac
    }

    /// Asks for the guest's address, unless somebody just has; when to ask again, if it is of any use.
    pub(super) fn ask(
        &mut self,
        line: &mut Line,
        now: VirtTime,
        ip: Ipv4Addr,
        mac: [u8; 6],
        guest: Ipv4Addr,
    ) -> Option<VirtTime> {
        if let Some(again) = self.asked.map(|asked| asked.after(ASK_AGAIN)).filter(|again| *again > now) {
            return Some(again);
        }
        if self.asks >= ASKS_MAX {
            return None;
        }
        self.asks += 1;
        self.asked = Some(now);
        line.send(now, [0xff; 6], mac, ARP, &arp(1, (mac, ip), ([0; 6], guest)));
        Some(now.after(ASK_AGAIN))
    }

    /// A frame of the guest's: whether its address was not known before.
    pub(super) fn hear(
        &mut self,
        line: &mut Line,
        now: VirtTime,
        frame: &[u8],
        hosts: &BTreeMap<Ipv4Addr, [u8; 6]>,
    ) -> bool {
        let source = [frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]];
        let news = self.mac.is_none() && source[0] & 1 == 0;
        if news {
            self.mac = Some(source);
        }
        self.answer(line, now, frame, hosts);
        news
    }

    /// What the guest asks of our hosts. Who only tells of itself gets no answer.
    fn answer(
        &self,
        line: &mut Line,
        now: VirtTime,
        frame: &[u8],
        hosts: &BTreeMap<Ipv4Addr, [u8; 6]>,
    ) -> Option<()> {
        let layout = Layout::of(frame)?;
        let (sender_mac, sender) = layout.arp_places(frame, false)?;
        let (_, target) = layout.arp_places(frame, true)?;
        let ip = |at: usize| Ipv4Addr::from_bits(be32(frame, at));
        let (asker, asked) = (ip(sender.start), ip(target.start));
        let mac = *hosts.get(&asked)?;
        if be16(frame, layout.net + 6) != 1 || asker == asked {
            return None;
        }
        let to = <[u8; 6]>::try_from(&frame[sender_mac]).ok()?;
        line.send(now, to, mac, ARP, &arp(2, (mac, asked), (to, asker)));
        Some(())
    }
}
