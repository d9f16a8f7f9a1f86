//! The run loop: the processor until the next event, the event, and again; time jumps when the processor halts.

use super::Machine;
use crate::position::Position;
use emu_core::VirtTime;
use emu_core::cpu::{CpuBus as _, Exit};
use serde::{Deserialize, Serialize};

/// Why a run came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// The guest switched the machine off: 0 through ACPI, else what the debug-exit port made of its value.
    PowerOff {
        /// The status.
        code: u32,
    },
    /// The guest asked for a reset, and there is no firmware to start again from.
    Reset,
    /// The processor halted and nothing will ever wake it.
    Idle,
    /// The guest's processor shut down.
    TripleFault,
    /// The guest's processor only delivers exceptions or interrupts, over and over: no handler can be executed.
    Livelock,
    /// The goal's position is reached.
    Reached,
    /// The goal's or the scenario's limit is reached.
    Limit,
    /// The goal's slice is over: call again.
    Slice,
    /// Chips kept signalling each other without end.
    SignalStorm,
    /// The next instruction is one that a debugger waits for ([`super::Stops`]).
    Breakpoint,
    /// The last instruction has accessed memory that a debugger watches.
    Watchpoint,
    /// There was a record that a debugger waits for.
    Record,
}

impl Stop {
    /// As the summary's `exit` says it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::PowerOff { code: 0 } => "power-off".to_owned(),
            Self::PowerOff { code } => format!("debug-exit {code}"),
            Self::Reset => "reset".to_owned(),
            Self::Idle => "idle".to_owned(),
            Self::TripleFault => "triple-fault".to_owned(),
            Self::Livelock => "livelock".to_owned(),
            Self::Reached => "position".to_owned(),
            Self::Limit => "limit".to_owned(),
            Self::Slice => "running".to_owned(),
            Self::SignalStorm => "signal-storm".to_owned(),
            Self::Breakpoint => "breakpoint".to_owned(),
            Self::Watchpoint => "watchpoint".to_owned(),
            Self::Record => "record".to_owned(),
        }
    }
}

/// How far to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// Stop there.
    pub position: Option<Position>,
    /// Give up after that many instructions in all, whatever the scenario says.
    pub max_insns: Option<u64>,
    /// Come back after about that many instructions, to look at output.
    pub slice: Option<u64>,
}

/// A goal in the run loop's terms.
struct Bounds {
    /// Instructions at which to come back, and why.
    insns: u64,
    at_insns: Stop,
    time: VirtTime,
    at_time: Stop,
}

impl Machine {
    /// Runs until something in `goal` or in the machine ends it. Where it comes back in between changes nothing that the
    /// guest or the trace could tell.
    pub fn run(&mut self, goal: &Goal) -> Stop {
        let bounds = self.bounds(goal);
        self.platform.goal.clone_from(&goal.position);
        self.forget_hits();
        let mut waited_for = None;
        loop {
            let before = self.platform.board.fabric.tracer.has_seen();
            self.platform.deliver_due(self.cpu.now(), self.cpu.insns());
            self.seen_outside = !before && self.platform.board.fabric.tracer.has_seen();
            if let Some(stop) = self.platform.stop.clone() {
                return stop;
            }
            if self.platform.board.fabric.tracer.has_seen() {
                return Stop::Record;
            }
            if let Some(stop) = waited_for {
                return stop;
            }
            if self.platform.goal_reached() {
                return Stop::Reached;
            }
            if self.cpu.insns() >= bounds.insns {
                return bounds.at_insns;
            }
            if self.cpu.now() >= bounds.time {
                return bounds.at_time;
            }
            let due = self.platform.board.fabric.events.next_due();
            match self.cpu.run(&mut self.platform, due.min(bounds.time), bounds.insns) {
                Exit::Deadline | Exit::InsnLimit | Exit::Device => {}
                Exit::Halted => {
                    if let Some(stop) = self.sleep(&bounds) {
                        return stop;
                    }
                }
                Exit::Breakpoint => waited_for = Some(Stop::Breakpoint),
                Exit::Watchpoint => waited_for = Some(Stop::Watchpoint),
                Exit::Shutdown => return Stop::TripleFault,
                Exit::Livelock => return Stop::Livelock,
            }
        }
    }

    /// Nothing to execute: on to the next event.
    fn sleep(&mut self, bounds: &Bounds) -> Option<Stop> {
        if self.platform.stop.is_some() || self.platform.wants_stop() {
            return None;
        }
        let due = self.platform.board.fabric.events.next_due();
        if due == VirtTime::NEVER {
            return Some(Stop::Idle);
        }
        self.cpu.skip_to(due.min(bounds.time));
        None
    }

    fn bounds(&self, goal: &Goal) -> Bounds {
        let limits = &self.scenario.limits;
        let limit = goal.max_insns.or(limits.insns).unwrap_or(u64::MAX);
        let mut bounds = Bounds {
            insns: limit,
            at_insns: Stop::Limit,
            time: limits.time.map_or(VirtTime::NEVER, |span| VirtTime::ZERO.after(span.0)),
            at_time: Stop::Limit,
        };
        let slice = goal.slice.map_or(u64::MAX, |slice| self.cpu.insns().saturating_add(slice.max(1)));
        if slice < bounds.insns {
            (bounds.insns, bounds.at_insns) = (slice, Stop::Slice);
        }
        match goal.position {
            Some(Position::Insns(insns)) if insns <= bounds.insns => {
                (bounds.insns, bounds.at_insns) = (insns, Stop::Reached);
            }
            Some(Position::Time(time)) if time <= bounds.time => {
                (bounds.time, bounds.at_time) = (time, Stop::Reached);
            }
            _ => {}
        }
        bounds
    }
}
