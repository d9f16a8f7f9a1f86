//! One conversation that is played: what TCP and datagrams have in common. It is told what the guest sends and when it is time,
//! and says when it wants to be told next.

use super::datagram::DatagramState;
use super::line::Line;
use super::outcome::{Departure, Outcome, Parting, Status, Step};
use super::script::{Protocol, Script, Turn};
use super::tcp::TcpState;
use emu_core::trace::ConversationStep;
use emu_core::{VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A conversation's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationState {
    /// How far it is.
    pub(super) status: Status,
    /// The turn in hand.
    pub(super) next: usize,
    /// When it wants to be told that it is time.
    pub(super) wake: Option<VirtTime>,
    /// When our turn in hand goes out, if nothing of the guest's is missing for it.
    pub(super) due: Option<VirtTime>,
    /// When anything last went on.
    pub(super) since: VirtTime,
    /// When the last thing that the guest has not answered is sent again, and how often it was.
    pub(super) retry: Option<VirtTime>,
    pub(super) tries: u32,
    /// The guest's port.
    pub(super) guest_port: u16,
    /// Frames sent, sent again, acknowledgements of our own, frames heard.
    pub(super) counts: [u64; 4],
    /// Where the guest first did otherwise.
    pub(super) parted: Option<Parting>,
    pub(super) tcp: TcpState,
    pub(super) datagram: DatagramState,
}

pub(super) const SENT: usize = 0;
pub(super) const AGAIN: usize = 1;
pub(super) const OWN: usize = 2;
pub(super) const HEARD: usize = 3;

/// What a conversation is lent for a call.
pub(super) struct Wire<'a> {
    pub(super) now: VirtTime,
    pub(super) line: &'a mut Line,
    pub(super) steps: &'a mut Vec<Step>,
    pub(super) guest_mac: [u8; 6],
    pub(super) guest_ip: Ipv4Addr,
    pub(super) times: Times,
}

/// How patient we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The first wait for an answer; each further one is twice as long.
    pub(super) retransmit: VirtDuration,
    /// How often.
    pub(super) tries: u32,
    /// How long the guest may be silent in its turn, beyond what it was in the capture.
    pub(super) patience: VirtDuration,
    /// We never think longer than this before our turn.
    pub(super) think_max: Option<VirtDuration>,
}

/// A conversation with the script that it follows.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) number: u32,
    pub(super) script: Script,
    /// Our live address.
    pub(super) ip: Ipv4Addr,
    pub(super) state: ConversationState,
}

impl Conversation {
    pub(super) fn new(number: u32, script: Script, ip: Ipv4Addr, guest_port: u16) -> Self {
        let status = if script.refused.is_some() { Status::NotPlayed } else { Status::Waiting };
        let state = ConversationState { status, guest_port, ..ConversationState::default() };
        Self { number, script, ip, state }
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.script.protocol == Protocol::Tcp
    }

    /// It begins: by us, or because the guest has spoken.
    pub(super) fn begin(&mut self, wire: &mut Wire<'_>) {
        self.state.status = Status::Playing;
        self.state.since = wire.now;
        self.tell(wire, ConversationStep::Begun);
    }

    /// The guest has sent this packet.
    pub(super) fn hear(&mut self, wire: &mut Wire<'_>, packet: &[u8]) {
        self.state.counts[HEARD] += 1;
        if self.state.status == Status::Waiting {
            self.begin(wire);
        }
        if self.is_tcp() {
            self.hear_segment(wire, packet)
        } else {
            self.hear_datagram(wire, packet)
        }
        self.step(wire);
    }

    /// Does what is to be done by now.
    pub(super) fn step(&mut self, wire: &mut Wire<'_>) {
        self.state.wake = if self.is_tcp() { self.step_tcp(wire) } else { self.step_datagram(wire) };
    }

    pub(super) fn turn(&self) -> Option<&Turn> {
        self.script.turns.get(self.state.next)
    }

    /// The captured frame whose turn it is, the last one at the end.
    pub(super) fn frame(&self) -> u64 {
        self.turn().or(self.script.turns.last()).map_or(0, |turn| turn.number)
    }

    /// How long we think before our turn in hand.
    pub(super) fn thinking(&self, wire: &Wire<'_>) -> VirtDuration {
        let captured = self.turn().map_or(VirtDuration::ZERO, |turn| turn.gap);
        wire.times.think_max.map_or(captured, |most| captured.min(most))
    }

    /// When the guest has been silent for too long in its turn.
    pub(super) fn patience(&self, wire: &Wire<'_>) -> VirtTime {
        let captured = self.turn().map_or(VirtDuration::ZERO, |turn| turn.gap);
        self.state.since.after(captured).after(wire.times.patience)
    }

    /// When to try again, after so many tries.
    pub(super) fn retry_at(&self, wire: &Wire<'_>) -> VirtTime {
        wire.now.after(wire.times.retransmit.times(1 << self.state.tries.min(16)))
    }

    pub(super) fn tell(&self, wire: &mut Wire<'_>, what: ConversationStep) {
        wire.steps.push(Step { conversation: self.number, what, frame: self.frame() });
    }

    /// The guest did otherwise than in the capture; only the first time counts.
    pub(super) fn part(&mut self, wire: &mut Wire<'_>, how: Departure) {
        self.part_at(wire, self.frame(), how);
    }

    /// The same, at a captured frame that is not the one in hand.
    pub(super) fn part_at(&mut self, wire: &mut Wire<'_>, frame: u64, how: Departure) {
        if self.state.parted.is_none() {
            self.state.parted = Some(Parting { frame, how });
            wire.steps.push(Step { conversation: self.number, what: ConversationStep::Parted, frame });
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, wire: &mut Wire<'_>, status: Status) {
        self.state.status = status;
        self.state.due = None;
        self.state.retry = None;
        let what = match status {
            Status::Complete => ConversationStep::Complete,
            Status::Reset => ConversationStep::Reset,
            Status::Waiting | Status::Playing | Status::Silent | Status::NotPlayed => {
                ConversationStep::GivenUp
            }
        };
        self.tell(wire, what);
    }

    pub(super) fn outcome(&self) -> Outcome {
        let state = &self.state;
        Outcome {
            name: self.script.name(),
            protocol: self.script.protocol,
            status: state.status,
            turns: state.next as u64,
            of: self.script.turns.len() as u64,
            sent: state.counts[SENT],
            again: state.counts[AGAIN],
            acknowledged: state.counts[OWN],
            heard: state.counts[HEARD],
            parted: state.parted,
            reason: self.script.refused,
        }
    }

    /// Whether a state can be one of this conversation's.
    pub(super) fn accepts(&self, state: &ConversationState) -> bool {
        let ConversationState {
            status,
            next,
            wake: _,
            due: _,
            since: _,
            retry: _,
            tries,
            guest_port: _,
            counts,
            parted: _,
            tcp,
            datagram,
        } = state;
        *next <= self.script.turns.len()
            && *tries <= 64
            && counts.iter().all(|count| *count < 1 << 62)
            && (*status == Status::NotPlayed) == self.script.refused.is_some()
            && tcp.is_sound()
            && datagram.is_sound()
    }
}
