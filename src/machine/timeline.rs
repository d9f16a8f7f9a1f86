//! A run that can be gone along in both directions: to the next stop or the one before, a step on or back, to any position.
//!
//! Going back is going to a checkpoint and on from there; checkpoints are kept on the way, evenly at first and closer where somebody
//! steps back, so that a second step back costs little. What was told before, serial output, frames, records, is not told again.
//!
//! ```no_run
//! # use glassbox::machine::{Back, Goal, Machine, Stops, Timeline};
//! # fn debug(machine: Machine, handler: u64) {
//! let mut timeline = Timeline::new(machine);
//! timeline.set_stops(Stops { code: [handler].into(), ..Stops::default() });
//! timeline.run(&Goal::default()); // on to the handler
//! timeline.step_back(); // what ran before the interrupt
//! if let Back::At(_) = timeline.run_back(&mut || true) {
//!     println!("{}", timeline.machine().show_cpu()); // the handler's call before
//! }
//! # }
//! ```

use super::{Checkpoint, Goal, Hit, Machine, Stop, Stops};
use crate::position::Position;
use emu_core::VirtTime;
use emu_core::trace::{Lookout, TraceMask, TraceRecord};
use std::cell::RefCell;
use std::rc::Rc;

/// Instructions between two checkpoints at first.
const FIRST_INTERVAL: u64 = 1 << 18;
/// When there are so many checkpoints, those that lie closest go and the interval doubles.
const CHECKPOINTS_MAX: usize = 96;
/// Before the aim of a way back, checkpoints are kept at these distances.
const CLOSER: [u64; 4] = [1 << 15, 1 << 11, 1 << 7, 1];

/// Where a way back has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// Before what was waited for: the instruction at a breakpoint, the access, what made the record. `None` if nothing was waited
    /// for.
    At(Option<Hit>),
    /// At the first moment that is known.
    Start,
    /// Where it began: whoever asked did not want to wait.
    GivenUp,
}

/// Records, kept by a lookout that waits for none.
#[derive(Clone, Default)]
struct Collected(Rc<RefCell<Vec<TraceRecord>>>);

/// So many records are collected at most.
const COLLECTED_MAX: usize = 1_000_000;

impl Lookout for Collected {
    fn waits_for(&mut self, record: &TraceRecord) -> bool {
        let mut records = self.0.borrow_mut();
        if records.len() < COLLECTED_MAX {
            records.push(*record);
        }
        false
    }
}

/// A machine with its past.
#[derive(Debug)]
pub struct Timeline {
    machine: Machine,
    /// Moments, in order; the first is the earliest that can be gone back to.
    kept: Vec<Checkpoint>,
    interval: u64,
    /// The last run was cut off for a look outside; the next one goes on with it.
    cut_off: bool,
    stops: Stops,
    hit: Option<Hit>,
}

impl Timeline {
    /// From where the machine is now. Goes back no further.
    #[must_use]
    pub fn new(mut machine: Machine) -> Self {
        let kept = vec![machine.checkpoint()];
        Self { machine, kept, interval: FIRST_INTERVAL, cut_off: false, stops: Stops::default(), hit: None }
    }

    /// The machine as it is now, to look into.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, to take its output or to attach a sink. After a change of anything that the guest could notice call
    /// [`Self::changed`].
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Without its past.
    #[must_use]
    pub fn into_machine(self) -> Machine {
        self.machine
    }

    /// Waits for these, forwards and backwards.
    pub fn set_stops(&mut self, stops: Stops) {
        self.machine.set_stops(stops.clone());
        self.stops = stops;
    }

    /// Every record from `from` to this moment, or the first million of them.
    pub fn records_since(&mut self, from: &Position) -> Vec<TraceRecord> {
        let here = self.machine.now();
        self.go_to(from);
        let log = Collected::default();
        if self.machine.now() < here {
            let lookout: Box<dyn Lookout> = Box::new(log.clone());
            self.machine.tracer().look_out(Some((TraceMask::ALL, lookout)));
            self.run_unstopped(Some(Position::Time(here)));
        } else {
            self.go_to(&Position::Time(here));
        }
        self.machine.set_stops(self.stops.clone());
        log.0.take()
    }

    /// What the last run, forwards or backwards, was stopped by.
    #[must_use]
    pub fn hit(&self) -> Option<&Hit> {
        self.hit.as_ref()
    }

    /// The machine was changed by hand: what lies before is another run's past and is forgotten, and all that follows is told.
    pub fn changed(&mut self) {
        self.machine.tell_again();
        self.kept = vec![self.machine.checkpoint()];
        self.cut_off = false;
    }

    /// Runs on until something in `goal`, a stop or the machine ends it. Does not stop where it begins.
    pub fn run(&mut self, goal: &Goal) -> Stop {
        if !std::mem::take(&mut self.cut_off) {
            self.machine.pass_stop();
        }
        let end = goal.slice.map(|slice| self.machine.insns().saturating_add(slice.max(1)));
        loop {
            let room = self.next_checkpoint().saturating_sub(self.machine.insns()).max(1);
            let left = end.map_or(u64::MAX, |end| end.saturating_sub(self.machine.insns()));
            let stop = self.machine.run(&Goal { slice: Some(room.min(left)), ..goal.clone() });
            self.keep_if_due();
            if stop == Stop::Slice && end.is_none_or(|end| self.machine.insns() < end) {
                continue;
            }
            self.cut_off = stop == Stop::Slice;
            self.hit = self.machine.take_hit(&stop);
            return stop;
        }
    }

    /// One instruction on, with the interrupts before it. If the processor sleeps, to what wakes it and one instruction.
    pub fn step(&mut self) -> Stop {
        self.cut_off = false;
        let target = Position::Insns(self.machine.insns().saturating_add(1));
        let stop = self.run_unstopped(Some(target));
        self.keep_if_due();
        stop
    }

    /// One instruction back, or before the interrupt that was taken or the time that was slept since then.
    pub fn step_back(&mut self) -> Back {
        let (here, insns) = (self.machine.now(), self.machine.insns());
        self.cut_off = false;
        if !self.go_before(here, insns) {
            return Back::Start;
        }
        let before = self.machine.checkpoint();
        self.run_unstopped(Some(Position::Insns(insns)));
        if self.machine.now() >= here {
            self.rewind(&before);
        }
        Back::At(None)
    }

    /// Back to the last stop before this moment, or to the start. `patience` is asked now and then whether to go on looking.
    pub fn run_back(&mut self, patience: &mut dyn FnMut() -> bool) -> Back {
        let here = self.machine.now();
        let mut end = here;
        self.cut_off = false;
        let indices: Vec<_> = (0..self.kept.len()).filter(|index| self.kept[*index].now() < here).collect();
        for index in indices.into_iter().rev() {
            if !patience() {
                self.rewind_to(index);
                self.run_unstopped(Some(Position::Time(here)));
                return Back::GivenUp;
            }
            let checkpoint = self.kept[index].clone();
            self.rewind(&checkpoint);
            if let Some((count, hit)) = self.last_hit(here, end) {
                self.rewind(&checkpoint);
                self.arrive(count, &hit);
                self.hit = Some(hit.clone());
                return Back::At(Some(hit));
            }
            end = checkpoint.now();
        }
        self.rewind_to(0);
        self.hit = None;
        Back::Start
    }

    /// To a position, forwards or back. Stops do not count. Positions that only the run itself can find, `packet`, `record` and
    /// `serial`, are looked for from the start on.
    pub fn go_to(&mut self, position: &Position) -> Stop {
        self.cut_off = false;
        let index = match position {
            Position::Insns(insns) => self.kept.partition_point(|moment| moment.insns() <= *insns),
            Position::Time(time) => self.kept.partition_point(|moment| moment.now() <= *time),
            Position::Record(record) => self.kept.partition_point(|moment| moment.next_record() <= *record),
            Position::Packet(packet) => {
                self.kept.partition_point(|moment| moment.parts().frames_in <= *packet)
            }
            Position::Serial(_) => 1,
        };
        self.rewind_to(index.saturating_sub(1));
        loop {
            let room = self.next_checkpoint().saturating_sub(self.machine.insns()).max(1);
            let goal = Goal { position: Some(position.clone()), slice: Some(room), ..Goal::default() };
            let stop = self.machine.run(&goal);
            self.keep_if_due();
            if !matches!(stop, Stop::Slice | Stop::Breakpoint | Stop::Watchpoint | Stop::Record) {
                return stop;
            }
        }
    }

    /// Runs on and heeds no stop.
    fn run_unstopped(&mut self, position: Option<Position>) -> Stop {
        self.hit = None;
        let goal = Goal { position, ..Goal::default() };
        self.machine.pass_stop();
        loop {
            let stop = self.machine.run(&goal);
            if !matches!(stop, Stop::Breakpoint | Stop::Watchpoint | Stop::Record) {
                return stop;
            }
        }
    }

    /// Runs from a checkpoint to `end`; answers the last stop before `here`, and how many there were with it.
    fn last_hit(&mut self, here: VirtTime, end: VirtTime) -> Option<(u64, Hit)> {
        let goal = Goal { position: Some(Position::Time(end)), ..Goal::default() };
        let (mut count, mut last) = (0, None);
        loop {
            let stop = self.machine.run(&goal);
            let Some(hit) = self.machine.take_hit(&stop) else { return last };
            count += 1;
            let before = match &hit {
                Hit::Code => self.machine.now() < here,
                Hit::Data(hit) => hit.time < here,
                Hit::Record { record, outside } => record.time < here || *outside && record.time == here,
            };
            if before {
                last = Some((count, hit));
            }
        }
    }

    /// From a checkpoint to right before the hit that is the `count`th from there.
    fn arrive(&mut self, count: u64, hit: &Hit) {
        match hit.began() {
            None => {
                for _ in 0..count {
                    self.machine.run(&Goal::default());
                }
            }
            Some((time, insns)) => self.arrive_before(time, insns),
        }
    }

    /// To the last moment before something that began at `time`, after `insns` instructions.
    fn arrive_before(&mut self, time: VirtTime, insns: u64) {
        if !self.go_before(time, insns) {
            return;
        }
        let base = self.machine.checkpoint();
        // At its own boundary if an instruction did it; in the processor's sleep; or before an interrupt was taken.
        let candidates = [
            Position::Time(time),
            Position::Time(VirtTime(time.0.saturating_sub(1))),
            Position::Insns(insns),
        ];
        for candidate in candidates {
            self.rewind(&base);
            if !self.happens_before(&candidate, time) && self.machine.now() <= time {
                return;
            }
        }
        self.rewind(&base);
    }

    /// Whether what began at `time` happens on the way to `position`.
    fn happens_before(&mut self, position: &Position, time: VirtTime) -> bool {
        let goal = Goal { position: Some(position.clone()), ..Goal::default() };
        loop {
            let stop = self.machine.run(&goal);
            match self.machine.take_hit(&stop) {
                Some(hit) if hit.began().is_some_and(|(began, _)| began >= time) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// To after `insns - 1` instructions, before `time`; answers false at the start.
    fn go_before(&mut self, time: VirtTime, insns: u64) -> bool {
        let aim = insns.saturating_sub(1);
        let index = self.kept.partition_point(|moment| moment.insns() <= aim && moment.now() < time);
        let Some(index) = index.checked_sub(1) else {
            let at_start = self.kept[0].now() < time;
            self.rewind_to(0);
            return at_start;
        };
        self.rewind_to(index);
        for distance in CLOSER {
            let close = aim.saturating_sub(distance);
            if close > self.machine.insns() + distance {
                self.run_unstopped(Some(Position::Insns(close)));
                self.keep();
            }
        }
        self.run_unstopped(Some(Position::Insns(aim)));
        true
    }

    fn rewind_to(&mut self, index: usize) {
        let checkpoint = self.kept[index].clone();
        self.rewind(&checkpoint);
    }

    fn rewind(&mut self, to: &Checkpoint) {
        let result = self.machine.rewind(to);
        debug_assert!(result.is_ok(), "a checkpoint of this very machine: {result:?}");
    }

    /// Checkpoints up to this moment.
    fn behind(&self) -> usize {
        let here = self.machine.now();
        self.kept.partition_point(|moment| moment.now() <= here)
    }

    /// Instructions after which the next checkpoint is kept.
    fn next_checkpoint(&self) -> u64 {
        match self.behind() {
            behind if behind < self.kept.len() => self.kept[behind].insns().saturating_add(1),
            behind => self.kept[behind - 1].insns().saturating_add(self.interval),
        }
    }

    fn keep_if_due(&mut self) {
        let behind = self.behind();
        let last = behind == self.kept.len();
        if last && self.machine.insns() >= self.kept[behind - 1].insns().saturating_add(self.interval) {
            self.keep();
        }
    }

    /// Keeps this moment.
    fn keep(&mut self) {
        let behind = self.behind();
        if self.kept[behind - 1].now() == self.machine.now() {
            return;
        }
        let moment = self.machine.checkpoint();
        self.kept.insert(behind, moment);
        if self.kept.len() <= CHECKPOINTS_MAX {
            return;
        }
        self.interval *= 2;
        let (interval, mut last) = (self.interval, None);
        self.kept.retain(|moment| {
            let far = last.is_none_or(|last| moment.insns() - last >= interval);
            if far {
                last = Some(moment.insns());
            }
            far
        });
    }
}
