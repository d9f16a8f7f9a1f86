//! Changes MAC addresses, IP addresses and ports on the way to the guest, and changes them back on the way from it.

use super::LayerState;
use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::converse::Step;
use crate::packet::{ICMPV6, Layout, TCP, UDP};
use crate::report::{Report, sound};
use crate::wire::parse_mac;
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What becomes what on the way to the guest. On the way back it is the other way round, so two things can't become one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteConfig {
    /// MAC addresses, in Ethernet headers and ARP.
    pub macs: BTreeMap<String, String>,
    /// IP addresses, in IP headers and ARP. Those that other protocols quote stay.
    pub ips: BTreeMap<IpAddr, IpAddr>,
    /// TCP and UDP ports.
    pub ports: BTreeMap<u16, u16>,
}

/// A map both ways, sorted by what is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map<T> {
    to_guest: Vec<(T, T)>,
    from_guest: Vec<(T, T)>,
}

impl<T: Copy + Ord> Map<T> {
    fn new(pairs: impl Iterator<Item = (T, T)>) -> Result<Self, String> {
        let mut to_guest: Vec<_> = pairs.collect();
        let mut from_guest: Vec<_> = to_guest.iter().map(|(from, to)| (*to, *from)).collect();
        to_guest.sort_unstable();
        from_guest.sort_unstable();
        if from_guest.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(
                "two things become the same one, and could not be told apart on the way back".to_owned()
            );
        }
        Ok(Self { to_guest, from_guest })
    }

    fn get(&self, value: T, to_guest: bool) -> Option<T> {
        let pairs = if to_guest { &self.to_guest } else { &self.from_guest };
        pairs.binary_search_by_key(&value, |pair| pair.0).ok().map(|at| pairs[at].1)
    }
}

/// The decorator.
pub struct Rewrite {
    inner: Box<dyn NetBackend>,
    macs: Map<[u8; 6]>,
    ips: Map<IpAddr>,
    ports: Map<u16>,
    changed: u64,
    /// The frame in work on its way from the guest: kept for its room.
    buffer: Vec<u8>,
}

impl Rewrite {
    /// Changes what `config` names; else what is wrong with it.
    pub fn new(inner: Box<dyn NetBackend>, config: &RewriteConfig) -> Result<Self, String> {
        let macs: Vec<_> = config
            .macs
            .iter()
            .map(|(from, to)| Ok((parse_mac(from)?, parse_mac(to)?)))
            .collect::<Result<_, String>>()?;
        if let Some((from, to)) = config.ips.iter().find(|(from, to)| from.is_ipv4() != to.is_ipv4()) {
            return Err(format!("{from} can't become {to}: they are of different kinds"));
        }
        Ok(Self {
            inner,
            macs: Map::new(macs.into_iter())?,
            ips: Map::new(config.ips.iter().map(|(from, to)| (*from, *to)))?,
            ports: Map::new(config.ports.iter().map(|(from, to)| (*from, *to)))?,
            changed: 0,
            buffer: Vec::new(),
        })
    }

    fn change(&mut self, frame: &mut [u8], to_guest: bool) {
        let Some(layout) = Layout::of(frame) else { return };
        let mut changed = false;
        for at in [0, 6] {
            changed |= self.change_mac(frame, at, to_guest);
        }
        for destination in [false, true] {
            if let Some((mac, ip)) = layout.arp_places(frame, destination) {
                changed |= self.change_mac(frame, mac.start, to_guest);
                changed |= self.change_arp_ip(frame, ip, to_guest);
            }
            changed |= self.change_ip(frame, &layout, destination, to_guest);
            changed |= self.change_port(frame, &layout, destination, to_guest);
        }
        self.changed += u64::from(changed);
    }

    fn change_mac(&self, frame: &mut [u8], at: usize, to_guest: bool) -> bool {
        let mut mac = [0; 6];
        mac.copy_from_slice(&frame[at..at + 6]);
        let new = self.macs.get(mac, to_guest);
        if let Some(new) = new {
            frame[at..at + 6].copy_from_slice(&new);
        }
        new.is_some()
    }

    fn change_arp_ip(&self, frame: &mut [u8], place: std::ops::Range<usize>, to_guest: bool) -> bool {
        let Ok(old) = <[u8; 4]>::try_from(&frame[place.clone()]) else { return false };
        let Some(IpAddr::V4(new)) = self.ips.get(old.into(), to_guest) else { return false };
        frame[place].copy_from_slice(&new.octets());
        true
    }

    fn change_ip(&self, frame: &mut [u8], layout: &Layout, destination: bool, to_guest: bool) -> bool {
        let Some(new) = layout.address(frame, destination).and_then(|old| self.ips.get(old, to_guest)) else {
            return false;
        };
        let Some(place) = layout.address_place(destination) else { return false };
        // ICMP's sum does not cover addresses, ICMPv6's does.
        let covers = matches!(layout.protocol, Some(TCP | UDP | ICMPV6));
        match new {
            IpAddr::V4(new) => layout.change(frame, place, &new.octets(), true, covers),
            IpAddr::V6(new) => layout.change(frame, place, &new.octets(), true, covers),
        }
        true
    }

    fn change_port(&self, frame: &mut [u8], layout: &Layout, destination: bool, to_guest: bool) -> bool {
        let Some(new) = layout.port(frame, destination).and_then(|old| self.ports.get(old, to_guest)) else {
            return false;
        };
        let Some(at) = layout.port_place(destination) else { return false };
        layout.change(frame, at..at + 2, &new.to_be_bytes(), false, true);
        true
    }
}

impl NetBackend for Rewrite {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(frame);
        self.change(&mut buffer, false);
        self.inner.send(now, &buffer);
        self.buffer = buffer;
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.inner.next_arrival()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        let mut frame = self.inner.receive(now)?;
        self.change(&mut frame.bytes, true);
        Some(frame)
    }

    fn held(&self) -> Option<usize> {
        self.inner.held()
    }

    fn is_exhausted(&self) -> bool {
        self.inner.is_exhausted()
    }

    fn take_steps(&mut self) -> Vec<Step> {
        self.inner.take_steps()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        self.inner.report(reports);
        reports.push(Report::new("rewrite").count("changed", self.changed));
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.inner.finish()
    }

    fn state(&self) -> BackendState {
        BackendState::Layer(LayerState::Rewrite(self.changed), Box::new(self.inner.state()))
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Layer(LayerState::Rewrite(changed), inner) = state else {
            return Err(BackendRestoreError::Kind);
        };
        [self.changed] = sound([changed])?;
        self.inner.restore(*inner)
    }
}
