//! Stateful replay: plays one side of every conversation of a capture against the live guest. Addresses, ports, sequence and
//! acknowledgement numbers, time stamps, selective acknowledgements, identifiers and sums become those of this run; a frame
//! goes out when its turn has come, not when it is its time; what is not answered goes out again. Each conversation tells how
//! far it got, and where the guest first did otherwise than in the capture.
//!
//! Played are TCP (RFC 9293, 7323, 2018), UDP, DNS, DHCP, ping and ARP over IPv4. VLAN tags are taken off. Conversations without
//! their beginning, in fragments, cut frames, IPv6 and other protocols are listed and not played.

mod conversation;
mod datagram;
mod line;
mod neighbour;
mod outcome;
mod payload;
mod ranges;
mod script;
mod segment;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;

pub use outcome::{Departure, Outcome, Parting, Status, Step};
pub use script::Protocol;

use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::capture::{CaptureError, read_capture};
use crate::packet::{self, Layout};
use crate::replay::Trigger;
use crate::report::Report;
use conversation::{Conversation, ConversationState, Times, Wire};
use emu_core::{VirtDuration, VirtTime};
use line::Line;
use neighbour::Neighbour;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Which side of a conversation we play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The one that began: the guest is the server.
    #[default]
    Asks,
    /// The one that was spoken to: the guest is the client.
    Answers,
}

/// Who plays whom, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConverseConfig {
    /// The guest's address.
    pub guest: Ipv4Addr,
    /// The captured address whose part the guest plays, in whatever conversation it is; by default it depends on `part`.
    pub stands_for: Option<Ipv4Addr>,
    /// Which side we play, if nothing is said of whom the guest stands for.
    pub part: Part,
    /// Our first host's address; further ones have those that follow. By default all have the captured ones, which the guest needs
    /// a route to.
    pub ours: Option<Ipv4Addr>,
    /// Captured ports of the guest's and those that it has.
    pub ports: BTreeMap<u16, u16>,
    /// What the start is counted from.
    pub after: Trigger,
    /// Milliseconds until something is sent again that was not answered; each time after it is twice as long.
    pub retransmit_ms: u64,
    /// How often.
    pub tries: u32,
    /// Milliseconds that the guest may be silent in its turn for longer than in the capture.
    pub patience_ms: u64,
    /// We think for so many milliseconds at most before our turn; by default as long as in the capture.
    pub think_max_ms: Option<u64>,
    /// Only conversations that this filter's expression describes, by their captured frames.
    pub only: Option<String>,
}

impl Default for ConverseConfig {
    fn default() -> Self {
        Self {
            guest: Ipv4Addr::new(192, 0, 2, 2),
            stands_for: None,
            part: Part::Asks,
            ours: None,
            ports: BTreeMap::new(),
            after: Trigger::PowerOn,
            retransmit_ms: 1000,
            tries: 6,
            patience_ms: 3000,
            think_max_ms: None,
            only: None,
        }
    }
}

/// State of all conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConverseState {
    /// Each one's.
    conversations: Vec<ConversationState>,
    line: Line,
    neighbour: Neighbour,
    /// When time started to count, if it did.
    begun: Option<VirtTime>,
    /// Frames to the guest, frames of the guest's, and those that belong to no conversation.
    counts: [u64; 3],
    /// Fingerprint of capture and configuration.
    fingerprint: u64,
}

/// The far end.
pub struct Converse {
    config: ConverseConfig,
    start: VirtDuration,
    conversations: Vec<Conversation>,
    /// Conversations by protocol number, our address and our port.
    routes: BTreeMap<(u8, Ipv4Addr, u16), Vec<usize>>,
    /// Our hosts.
    hosts: BTreeMap<Ipv4Addr, [u8; 6]>,
    /// Who wants to be told when: times and numbers.
    wakes: BTreeSet<(VirtTime, usize)>,
    line: Line,
    neighbour: Neighbour,
    begun: Option<VirtTime>,
    counts: [u64; 3],
    fingerprint: u64,
    steps: Vec<Step>,
}

impl Converse {
    /// Plays the capture in `bytes`, `start` after it is told to; `path` is for errors.
    pub fn new(
        path: &Path,
        bytes: &[u8],
        start: VirtDuration,
        config: &ConverseConfig,
    ) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let refuse = |reason: String| CaptureError::Config { name: name.clone(), reason };
        let mut frames = read_capture(&name, bytes)?.frames;
        if let Some(only) = &config.only {
            let only = crate::layer::Expression::parse(only).map_err(|error| refuse(error.to_string()))?;
            frames.retain(|frame| only.matches(&frame.bytes));
        }
        if config.guest.is_unspecified() || config.guest.is_multicast() || config.ours == Some(config.guest) {
            return Err(refuse(format!("{} can't be the guest's address", config.guest)));
        }
        let mut live = BTreeMap::new();
        let mut next = config.ours;
        let mut conversations = Vec::new();
        for (number, script) in (0..).zip(script::scripts(&frames, config)) {
            let ip = *live
                .entry(script.ours.ip)
                .or_insert_with(|| address(&mut next, config.guest, script.ours.ip));
            let port = config.ports.get(&script.theirs.port).copied().unwrap_or(script.theirs.port);
            conversations.push(Conversation::new(number, script, ip, port));
        }
        let mut converse = Self {
            config: config.clone(),
            start,
            hosts: hosts(&mut conversations),
            routes: routes(&conversations),
            conversations,
            wakes: BTreeSet::new(),
            line: Line::default(),
            neighbour: Neighbour::default(),
            begun: None,
            counts: [0; 3],
            fingerprint: fingerprint(bytes, &format!("{start:?} {config:?}")),
            steps: Vec::new(),
        };
        if config.after == Trigger::PowerOn {
            converse.begin(VirtTime::ZERO);
        }
        Ok(converse)
    }

    /// Time starts to count: those that we begin have their times.
    fn begin(&mut self, from: VirtTime) {
        self.begun = Some(from);
        for (at, conversation) in self.conversations.iter_mut().enumerate() {
            if conversation.script.we_begin && !conversation.state.status.is_over() {
                let when = from.after(self.start).after(conversation.script.start);
                conversation.state.wake = Some(when);
                self.wakes.insert((when, at));
            }
        }
    }

    /// Lends conversation `at` the wire, and notes when it wants to be told next.
    fn with(&mut self, now: VirtTime, at: usize, call: impl FnOnce(&mut Conversation, &mut Wire<'_>)) {
        let ms = VirtDuration::from_ms;
        let conversation = &mut self.conversations[at];
        if let Some(wake) = conversation.state.wake {
            self.wakes.remove(&(wake, at));
        }
        let mut wire = Wire {
            now,
            line: &mut self.line,
            steps: &mut self.steps,
            guest_mac: self.neighbour.mac().unwrap_or([0xff; 6]),
            guest_ip: self.config.guest,
            times: Times {
                retransmit: ms(self.config.retransmit_ms.max(1)),
                tries: self.config.tries.min(32),
                patience: ms(self.config.patience_ms),
                think_max: self.config.think_max_ms.map(ms),
            },
        };
        call(conversation, &mut wire);
        if let Some(wake) = conversation.state.wake {
            self.wakes.insert((wake, at));
        }
    }

    /// It is time for conversation `at`.
    fn wake(&mut self, now: VirtTime, at: usize) {
        let conversation = &self.conversations[at];
        let begins = conversation.state.status == Status::Waiting;
        let needs_mac = !matches!(conversation.script.protocol, Protocol::Dhcp | Protocol::Arp);
        if begins && needs_mac && self.neighbour.mac().is_none() {
            let (ip, mac) = (conversation.ip, conversation.script.mac);
            let again = self.neighbour.ask(&mut self.line, now, ip, mac, self.config.guest);
            return self.with(now, at, |conversation, wire| match again {
                Some(again) => conversation.state.wake = Some(again),
                None => {
                    conversation.state.wake = None;
                    conversation.part(wire, Departure::Silent);
                    conversation.end(wire, Status::Silent);
                }
            });
        }
        self.with(now, at, |conversation, wire| {
            if begins {
                conversation.begin(wire);
            }
            conversation.step(wire);
        });
    }

    /// The conversation that a frame of the guest's belongs to, and the packet in it.
    fn route(&self, frame: &[u8]) -> Option<(usize, Vec<u8>)> {
        let layout = Layout::of(frame)?;
        if layout.ether_type == packet::ARP {
            return self.route_arp(frame, &layout);
        }
        let Some(IpAddr::V4(to)) = layout.address(frame, true) else { return None };
        let packet = frame[layout.net..layout.end].to_vec();
        let transport = layout.transport?;
        let (protocol, our_port, guest_port) = match layout.protocol? {
            packet::ICMP if layout.end >= transport + 8 => {
                (packet::ICMP, 0, packet::be16(frame, transport + 4))
            }
            other => (other, layout.port(frame, true)?, layout.port(frame, false)?),
        };
        let dhcp = protocol == packet::UDP && matches!((guest_port, our_port), (67, 68) | (68, 67));
        if dhcp && layout.data(frame).len() < 240 {
            return None;
        }
        let candidates = if dhcp {
            self.routes.get(&(packet::UDP, Ipv4Addr::BROADCAST, our_port))?
        } else {
            self.routes.get(&(protocol, to, our_port))?
        };
        let icmp = |conversation: &Conversation| conversation.script.ping_id() == Some(guest_port);
        let mine = |at: &&usize| {
            let conversation = &self.conversations[**at];
            match protocol {
                packet::ICMP if conversation.script.we_begin => icmp(conversation),
                _ if dhcp => true,
                packet::ICMP => true,
                _ => conversation.state.guest_port == guest_port,
            }
        };
        let playing = |at: &&usize| self.conversations[**at].state.status == Status::Playing;
        let waiting = |at: &&usize| {
            let conversation = &self.conversations[**at];
            conversation.state.status == Status::Waiting && !conversation.script.we_begin
        };
        let begins = protocol != packet::TCP
            || segment::flags(&packet) & (segment::SYN | segment::ACK) == segment::SYN;
        let at = candidates.iter().find(|at| playing(at) && mine(at));
        let at = at.or_else(|| candidates.iter().find(|at| begins && waiting(at)));
        // One that is over may have to acknowledge an end that comes again.
        let at = at.or_else(|| candidates.iter().rev().find(|at| !waiting(at) && mine(at)));
        at.map(|at| (*at, packet))
    }

    fn route_arp(&self, frame: &[u8], layout: &Layout) -> Option<(usize, Vec<u8>)> {
        let (_, target) = layout.arp_places(frame, true)?;
        let to = Ipv4Addr::from_bits(packet::be32(frame, target.start));
        let asks = packet::be16(frame, layout.net + 6) == 1;
        let candidates = self.routes.get(&(ARP_ROUTE, to, 0))?;
        let at = candidates.iter().find(|at| {
            let conversation = &self.conversations[**at];
            let status = conversation.state.status;
            if asks { !conversation.script.we_begin && !status.is_over() } else { status == Status::Playing }
        })?;
        Some((*at, frame[layout.net..layout.net + 28].to_vec()))
    }
}

/// Stands for ARP among protocol numbers.
const ARP_ROUTE: u8 = 255;

/// The live address of the next of our hosts.
fn address(next: &mut Option<Ipv4Addr>, guest: Ipv4Addr, captured: Ipv4Addr) -> Ipv4Addr {
    let Some(ip) = *next else { return captured };
    let after = |ip: Ipv4Addr| Ipv4Addr::from_bits(ip.to_bits().wrapping_add(1));
    let ip = if ip == guest { after(ip) } else { ip };
    *next = Some(after(ip));
    ip
}

/// Our hosts with their hardware addresses: one each, that of its first conversation.
fn hosts(conversations: &mut [Conversation]) -> BTreeMap<Ipv4Addr, [u8; 6]> {
    let mut hosts = BTreeMap::new();
    for conversation in conversations.iter_mut().filter(|conversation| conversation.script.refused.is_none())
    {
        let script = &mut conversation.script;
        // A DHCP client has an address only afterwards.
        if script.protocol != Protocol::Dhcp || !script.we_begin {
            script.mac = *hosts.entry(conversation.ip).or_insert(script.mac);
        }
    }
    hosts
}

fn routes(conversations: &[Conversation]) -> BTreeMap<(u8, Ipv4Addr, u16), Vec<usize>> {
    let mut routes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (at, conversation) in conversations.iter().enumerate() {
        let script = &conversation.script;
        if script.refused.is_some() {
            continue;
        }
        let key = match script.protocol {
            Protocol::Tcp => (packet::TCP, conversation.ip, script.ours.port),
            Protocol::Udp | Protocol::Dns => (packet::UDP, conversation.ip, script.ours.port),
            Protocol::Dhcp if script.we_begin => (packet::UDP, Ipv4Addr::BROADCAST, 68),
            Protocol::Dhcp => (packet::UDP, Ipv4Addr::BROADCAST, 67),
            Protocol::Icmp => (packet::ICMP, conversation.ip, 0),
            Protocol::Arp => (ARP_ROUTE, conversation.ip, 0),
            Protocol::Other => continue,
        };
        routes.entry(key).or_default().push(at);
    }
    routes
}

/// FNV-1a.
fn fingerprint(bytes: &[u8], config: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().chain(config.as_bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}

impl NetBackend for Converse {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.counts[1] += 1;
        if self.begun.is_none() {
            self.begin(now);
        }
        if frame.len() < 14 {
            return;
        }
        let news = self.neighbour.hear(&mut self.line, now, frame, &self.hosts);
        match self.route(frame) {
            Some((at, packet)) => {
                let port = Layout::of(frame).and_then(|layout| layout.port(frame, false));
                let begins = self.conversations[at].state.status == Status::Waiting;
                self.with(now, at, |conversation, wire| {
                    if let Some(port) = port.filter(|_| begins) {
                        conversation.state.guest_port = port;
                    }
                    conversation.hear(wire, &packet);
                });
            }
            None => self.counts[2] += 1,
        }
        if news {
            // Those that have waited for the guest's hardware address go on.
            let waits = |conversation: &Conversation| {
                conversation.script.we_begin && conversation.state.status == Status::Waiting
            };
            for at in 0..self.conversations.len() {
                let due = self
                    .begun
                    .map(|begun| begun.after(self.start).after(self.conversations[at].script.start));
                if waits(&self.conversations[at]) && due.is_some_and(|due| due <= now) {
                    self.wake(now, at);
                }
            }
        }
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        [self.line.next(), self.wakes.first().map(|(when, _)| *when)].into_iter().flatten().min()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        // Each once: what is due again at once has its turn at the next call.
        let due: Vec<_> = self.wakes.iter().take_while(|(when, _)| *when <= now).map(|(_, at)| *at).collect();
        for at in due {
            self.wake(now, at);
        }
        let frame = self.line.take(now)?;
        self.counts[0] += 1;
        Some(frame.into())
    }

    fn is_exhausted(&self) -> bool {
        self.next_arrival().is_none() && (self.begun.is_some() || self.conversations.is_empty())
    }

    fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    fn report(&self, reports: &mut Vec<Report>) {
        let complete =
            self.conversations.iter().filter(|conversation| conversation.state.status == Status::Complete);
        let mut report = Report::new("converse")
            .count("conversations", self.conversations.len() as u64)
            .count("complete", complete.count() as u64)
            .count("frames to guest", self.counts[0])
            .count("frames from guest", self.counts[1])
            .count("of no conversation", self.counts[2]);
        report.conversations = self.conversations.iter().map(Conversation::outcome).collect();
        reports.push(report);
    }

    fn state(&self) -> BackendState {
        BackendState::Converse(Box::new(ConverseState {
            conversations: self.conversations.iter().map(|conversation| conversation.state.clone()).collect(),
            line: self.line.clone(),
            neighbour: self.neighbour.clone(),
            begun: self.begun,
            counts: self.counts,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Converse(state) = state else { return Err(BackendRestoreError::Kind) };
        let ConverseState { conversations, line, neighbour, begun, counts, fingerprint } = *state;
        if fingerprint != self.fingerprint || conversations.len() != self.conversations.len() {
            return Err(BackendRestoreError::Capture);
        }
        if !self.conversations.iter().zip(&conversations).all(|(one, state)| one.accepts(state)) {
            return Err(BackendRestoreError::Content("a conversation that can't have come so far"));
        }
        self.counts = crate::report::sound(counts)?;
        for (conversation, state) in self.conversations.iter_mut().zip(conversations) {
            conversation.state = state;
        }
        let wakes = self.conversations.iter().enumerate();
        self.wakes = wakes.filter_map(|(at, one)| one.state.wake.map(|when| (when, at))).collect();
        (self.line, self.neighbour, self.begun) = (line, neighbour, begun);
        self.steps.clear();
        Ok(())
    }
}
