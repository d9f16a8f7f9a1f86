//! The machine that is inspected: it runs in slices, stops where it is asked to, and goes back. Nothing here knows of a terminal.
//!
//! To stop at the next packet, say, it runs until the trace has one, goes back to the last moment that was kept, and runs to that
//! record: the run is the same, so the record is.

use super::past::{Moment, Past};
use super::records::{Ear, Records, Said};
use crate::machine::{Goal, Machine, Stop};
use crate::position::Position;
use emu_core::VirtTime;
use emu_core::trace::{TraceEvent, TraceMask};
use std::cell::Ref;

/// Instructions between two looks at the keyboard, and between two moments that are kept.
const SLICE: u64 = 4_000_000;

/// What a step is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// An instruction.
    Instruction,
    /// A frame in or out.
    Packet,
    /// An interrupt that the processor takes.
    Interrupt,
    /// A DMA, refused or not.
    Dma,
    /// A DMA or interrupt remapping fault.
    Fault,
    /// Any record of the trace.
    Record,
}

impl Unit {
    /// In words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Packet => "packet",
            Self::Interrupt => "interrupt",
            Self::Dma => "DMA",
            Self::Fault => "fault",
            Self::Record => "record",
        }
    }

    /// Whether a record is one.
    const fn is(self, event: &TraceEvent) -> bool {
        match self {
            Self::Instruction => false,
            Self::Packet => matches!(event, TraceEvent::FrameIn { .. } | TraceEvent::FrameOut { .. }),
            Self::Interrupt => matches!(event, TraceEvent::CpuInterrupt { .. }),
            Self::Dma => matches!(
                event,
                TraceEvent::DmaRead { .. } | TraceEvent::DmaWrite { .. } | TraceEvent::DmaBlocked { .. }
            ),
            Self::Fault => matches!(event, TraceEvent::RemapFault { .. }),
            Self::Record => true,
        }
    }
}

/// Where in the run: instructions, time, the next record.
pub(super) type Mark = (u64, VirtTime, u64);

/// A step back: it has to end before where it began.
#[derive(Clone, Debug)]
struct Back {
    unit: Unit,
    origin: Mark,
    /// The record that is tried: instructions and time then, and its number.
    tried: Mark,
}

/// What is being done.
#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    Running,
    /// Until the trace has such a record, from that number on.
    Seeking(Unit, u64),
    Going(Position, Option<Back>),
}

/// A machine, its past, its trace.
pub(super) struct Drive {
    machine: Machine,
    ear: Ear,
    said: Said,
    past: Past,
    doing: Doing,
    ended: Option<Stop>,
    remark: String,
}

impl Drive {
    pub(super) fn new(mut machine: Machine) -> Self {
        let ear = Ear::default();
        machine.tracer().attach(TraceMask::ALL, Box::new(ear.clone()));
        let mut drive = Self {
            machine,
            ear,
            said: Said::default(),
            past: Past::default(),
            doing: Doing::Nothing,
            ended: None,
            remark: String::new(),
        };
        drive.keep_moment();
        drive
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Records up to here.
    pub(super) fn records(&self) -> Ref<'_, Records> {
        self.ear.0.borrow()
    }

    /// What the guest has sent to its serial port.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// What there is to say about the last thing that was asked for.
    pub(super) fn remark(&self) -> &str {
        &self.remark
    }

    /// Where the machine is.
    pub(super) fn mark(&self) -> Mark {
        (self.machine.insns(), self.machine.now(), self.machine.next_record())
    }

    /// Whether [`Self::tick`] has something to do.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.doing, Doing::Nothing)
    }

    /// What it does, in words.
    pub(super) fn state(&self) -> String {
        match (&self.doing, &self.ended) {
            (Doing::Running, _) => "running".to_owned(),
            (Doing::Seeking(unit, _), _) => format!("looking for the next {}", unit.name()),
            (Doing::Going(position, None), _) => format!("going to {position}"),
            (Doing::Going(_, Some(back)), _) => format!("going back by a {}", back.unit.name()),
            (Doing::Nothing, Some(stop)) => format!("ended by {}", stop.name()),
            (Doing::Nothing, None) => "stopped".to_owned(),
        }
    }

    /// Stays where it is.
    pub(super) fn pause(&mut self) {
        self.doing = Doing::Nothing;
    }

    /// Runs until it is told otherwise.
    pub(super) fn go_on(&mut self) {
        self.begin(Doing::Running);
    }

    /// To the next such thing.
    pub(super) fn forward(&mut self, unit: Unit) {
        let (insns, _, next) = self.mark();
        self.begin(match unit {
            Unit::Instruction => Doing::Going(Position::Insns(insns + 1), None),
            Unit::Record => Doing::Going(Position::Record(next), None),
            unit => Doing::Seeking(unit, next),
        });
    }

    /// To the one before.
    pub(super) fn back(&mut self, unit: Unit) {
        let origin = self.mark();
        self.begin(Doing::Nothing);
        match (unit, origin.0.checked_sub(1)) {
            (Unit::Instruction, Some(insns)) => self.go_to(Position::Insns(insns)),
            (Unit::Instruction, None) => "this is the beginning".clone_into(&mut self.remark),
            (unit, _) => self.back_before(unit, origin, origin),
        }
    }

    /// To a moment before `origin` at which the latest such record that is older than `limit` has just been made.
    fn back_before(&mut self, unit: Unit, origin: Mark, limit: Mark) {
        let older = |record: &&emu_core::trace::TraceRecord| {
            unit.is(&record.event) && (record.insns, record.time) < (limit.0, limit.1)
        };
        let found = self.records().before(limit.2).find(older).copied();
        let Some(found) = found else {
            let kept = self.records().first().filter(|first| first.0 > 0);
            self.remark = match kept {
                Some(first) => {
                    format!("no {} between {first} and here; older ones are not kept", unit.name())
                }
                None => format!("no {} before this", unit.name()),
            };
            self.go_to(Position::Time(origin.1));
            return;
        };
        let id = found.id.0;
        self.rewind(|moment| moment.checkpoint.next_record() <= id);
        let back = Back { unit, origin, tried: (found.insns, found.time, id) };
        self.doing = Doing::Going(Position::Record(id), Some(back));
    }

    /// To a position, ahead or behind.
    pub(super) fn go_to(&mut self, position: Position) {
        let (insns, now, next) = self.mark();
        let frames = self.machine.counters().frames_in;
        let said = |text: &str| self.said.place_of(text);
        match &position {
            Position::Insns(at) if *at < insns => self.rewind(|moment| moment.checkpoint.insns() <= *at),
            Position::Time(at) if *at < now => self.rewind(|moment| moment.checkpoint.now() <= *at),
            Position::Record(id) if *id < next => {
                self.rewind(|moment| moment.checkpoint.next_record() <= *id);
            }
            Position::Packet(packet) if *packet < frames => {
                self.rewind(|moment| moment.frames_in <= *packet);
            }
            Position::Serial(text) => {
                if let Some(end) = said(text) {
                    self.rewind(|moment| moment.serial < end);
                }
            }
            _ => {}
        }
        let there = match &position {
            Position::Insns(at) => *at == self.machine.insns(),
            Position::Time(at) => *at == self.machine.now(),
            Position::Packet(_) | Position::Record(_) | Position::Serial(_) => false,
        };
        self.doing = if there { Doing::Nothing } else { Doing::Going(position, None) };
    }

    /// Forgets what was said of the last thing and begins another.
    fn begin(&mut self, doing: Doing) {
        self.remark.clear();
        self.doing = doing;
    }

    /// A slice of what is being done.
    pub(super) fn tick(&mut self) {
        match self.doing.clone() {
            Doing::Nothing => {}
            Doing::Running => {
                if self.run(None) != Stop::Slice {
                    self.doing = Doing::Nothing;
                }
            }
            Doing::Seeking(unit, since) => self.seek(unit, since),
            Doing::Going(position, back) => {
                let stop = self.run(Some(position.clone()));
                if stop == Stop::Slice {
                    return;
                }
                self.doing = Doing::Nothing;
                match back {
                    Some(back) if self.mark() >= back.origin => {
                        self.back_before(back.unit, back.origin, back.tried);
                    }
                    None if stop != Stop::Reached => self.remark = format!("the run ends before {position}"),
                    _ => {}
                }
            }
        }
    }

    fn seek(&mut self, unit: Unit, since: u64) {
        let stop = self.run(None);
        let found = self.records().from(since).find(|record| unit.is(&record.event)).map(|record| record.id);
        match found {
            Some(id) => self.go_to(Position::Record(id.0)),
            None if stop == Stop::Slice => {}
            None => {
                self.doing = Doing::Nothing;
                self.remark = format!("no {} comes any more", unit.name());
            }
        }
    }

    /// Runs for a slice at most.
    fn run(&mut self, position: Option<Position>) -> Stop {
        self.keep_moment();
        let stop = self.machine.run(&Goal { position, max_insns: None, slice: Some(SLICE) });
        self.said.push(&self.machine.take_serial());
        self.machine.take_debugcon();
        self.ended = (!matches!(stop, Stop::Slice | Stop::Reached)).then(|| stop.clone());
        stop
    }

    /// Keeps this moment if the last one that was kept is long ago.
    fn keep_moment(&mut self) {
        let due = self.past.newest().is_none_or(|newest| self.machine.insns() >= newest + SLICE / 2);
        if due {
            let moment = Moment {
                checkpoint: self.machine.checkpoint(),
                frames_in: self.machine.counters().frames_in,
                serial: self.said.len(),
            };
            self.past.keep(moment);
        }
    }

    /// Goes back to the latest moment that `is_before` what is looked for.
    fn rewind(&mut self, is_before: impl Fn(&Moment) -> bool) {
        let Some(moment) = self.past.latest(is_before).cloned() else { return };
        if let Err(error) = self.machine.rewind(&moment.checkpoint) {
            self.remark = error.to_string();
            return;
        }
        self.machine.tell_again();
        self.ear.0.borrow_mut().forget_from(moment.checkpoint.next_record());
        self.said.forget_from(moment.serial);
        self.past.forget_after(moment.checkpoint.insns());
        self.ended = None;
    }
}
