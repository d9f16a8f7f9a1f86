//! A host at the far end of the cable, made of smoltcp: it answers ARP and ping, gives addresses (DHCP) and names (DNS), and
//! serves files (TFTP and HTTP). In virtual time, with no host network behind it.
//!
//! smoltcp's own state can't be written down. What it has been told can, and it does the same when it is told the same: a
//! snapshot holds that, and going on from it means telling it all again.

mod dhcp;
mod dns;
mod host;
mod http;
#[cfg(test)]
mod tests;
mod tftp;

use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::report::Report;
use crate::wire::{FRAME_MIN, LinkSpeed, parse_mac};
use emu_core::{VirtDuration, VirtTime};
use host::Host;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// More than this is not kept for snapshots: a peer that has been told more can't be gone on from.
const HEARD_MAX: usize = 64 << 20;

/// Who the peer is and what it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerConfig {
    /// Its MAC address.
    pub mac: String,
    /// Its IP address; it is the router and the name server, too.
    pub ip: Ipv4Addr,
    /// Bits of the network's prefix.
    pub bits: u8,
    /// The first address that DHCP gives away; `None` for no DHCP.
    pub dhcp: Option<Ipv4Addr>,
    /// The file that DHCP tells a client to boot from, by TFTP or as a URL.
    pub boot_file: Option<String>,
    /// Names and their addresses; all others do not exist.
    pub names: BTreeMap<String, Ipv4Addr>,
    /// From the last bit of a frame to the first bit of its answer, in nanoseconds.
    pub delay_ns: u64,
    /// Where its random numbers start.
    pub seed: u64,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            mac: "52:54:00:65:43:21".to_owned(),
            ip: Ipv4Addr::new(192, 0, 2, 1),
            bits: 24,
            dhcp: Some(Ipv4Addr::new(192, 0, 2, 100)),
            boot_file: None,
            names: BTreeMap::new(),
            delay_ns: 10_000,
            seed: 1,
        }
    }
}

/// Something that the peer was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// When.
    pub at: VirtTime,
    /// A frame, or only that time has passed.
    pub frame: Option<Vec<u8>>,
}

/// All that a peer was told, and how many of its frames have arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerState {
    /// What it was told; `None` if that was more than is kept.
    pub heard: Option<Vec<Heard>>,
    /// Frames that have arrived at the card.
    pub arrived: u64,
}

/// The peer.
pub struct Peer {
    config: PeerConfig,
    files: BTreeMap<String, Vec<u8>>,
    host: Host,
    heard: Option<Vec<Heard>>,
    heard_bytes: usize,
    arrived: u64,
    /// On their way to the card, with the arrival of the last bit.
    queue: VecDeque<(VirtTime, Vec<u8>)>,
    /// When its last frame's last bit has left.
    free: VirtTime,
    /// When it has something of its own to do.
    wake: Option<VirtTime>,
}

impl Peer {
    /// A peer that serves `files`; else what is wrong with `config`.
    pub fn new(config: PeerConfig, files: BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let mac = parse_mac(&config.mac)?;
        if mac[0] & 1 != 0 || config.bits > 30 || config.ip.is_multicast() || config.ip.is_unspecified() {
            return Err(format!("{} with {}/{} is nobody's address", config.mac, config.ip, config.bits));
        }
        let host = Host::new(&config, mac);
        Ok(Self {
            config,
            files,
            host,
            heard: Some(Vec::new()),
            heard_bytes: 0,
            arrived: 0,
            queue: VecDeque::new(),
            free: VirtTime::ZERO,
            wake: None,
        })
    }

    /// Lets the host work, and puts what it sends on the wire.
    fn tell(&mut self, at: VirtTime, frame: Option<&[u8]>) {
        self.heard_bytes += size_of::<Heard>() + frame.map_or(0, <[u8]>::len);
        if self.heard_bytes > HEARD_MAX {
            self.heard = None;
        }
        if let Some(heard) = &mut self.heard {
            heard.push(Heard { at, frame: frame.map(<[u8]>::to_vec) });
        }
        self.work(at, frame);
    }

    fn work(&mut self, at: VirtTime, frame: Option<&[u8]>) {
        let ready = at.after(VirtDuration::from_ns(self.config.delay_ns));
        for mut frame in self.host.work(&self.config, &self.files, at, frame) {
            frame.resize(frame.len().max(FRAME_MIN), 0);
            let arrival = ready.max(self.free).after(LinkSpeed::GIGABIT.frame(frame.len()));
            self.free = arrival.after(LinkSpeed::GIGABIT.gap());
            self.queue.push_back((arrival, frame));
        }
        self.wake = self.host.wake(at);
    }
}

impl NetBackend for Peer {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.tell(now, Some(frame));
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        [self.queue.front().map(|(when, _)| *when), self.wake].into_iter().flatten().min()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.tell(now, None);
        }
        if self.queue.front()?.0 > now {
            return None;
        }
        self.arrived += 1;
        self.queue.pop_front().map(|(_, bytes)| bytes.into())
    }

    fn is_exhausted(&self) -> bool {
        self.queue.is_empty() && self.wake.is_none()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        reports.push(self.host.report().count("frames to guest", self.arrived));
    }

    fn state(&self) -> BackendState {
        BackendState::Peer(PeerState { heard: self.heard.clone(), arrived: self.arrived })
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Peer(PeerState { heard, arrived }) = state else {
            return Err(BackendRestoreError::Kind);
        };
        let heard =
            heard.ok_or(BackendRestoreError::Content("a peer that was told too much to be written down"))?;
        let mut fresh = Self::new(self.config.clone(), std::mem::take(&mut self.files))
            .map_err(|_| BackendRestoreError::Content("a peer that can't be"))?;
        if !heard.is_sorted_by_key(|heard| heard.at) {
            return Err(BackendRestoreError::Content("a peer that was told things out of order"));
        }
        for heard in heard {
            fresh.tell(heard.at, heard.frame.as_deref());
        }
        if arrived > fresh.queue.len() as u64 {
            return Err(BackendRestoreError::Position(arrived));
        }
        fresh.queue.drain(..arrived as usize);
        fresh.arrived = arrived;
        *self = fresh;
        Ok(())
    }
}
