//! Where in the run the processor is: instructions retired and virtual time, charged ahead a block at a time.

use crate::cpu::engine::Engine;
use crate::cpu::{Cpu, Stamp};
use crate::time::{VirtDuration, VirtTime};

/// Counts in cycles towards a deadline.
#[derive(Debug)]
pub(super) struct Position {
    /// Instructions retired or charged ahead.
    pub(super) insns: u64,
    /// Cycles left until `end`, those charged ahead already taken off. Negative past the deadline.
    pub(super) budget: i64,
    /// The instant at which `budget` is zero.
    end: VirtTime,
    /// The current instruction and those after it in the block: charged, not yet executed.
    pub(super) ahead_insns: u32,
    /// Their cycles.
    pub(super) ahead_cycles: u32,
    /// Exceptions and interrupts delivered since an instruction was last retired, and how many were retired then.
    pub(super) fruitless: u32,
    retired: u64,
    clock_ps: u64,
    /// Some blocks must not be covered.
    pub(super) stops: bool,
}

/// So many deliveries in a row of which no handler executed an instruction: it won't come to anything any more. Longer
/// than the time between two ticks of a kernel's timer.
pub(super) const FRUITLESS_MAX: u32 = 1 << 20;

/// Never charge further ahead than this: keeps sums far from overflow.
const BUDGET_MAX: u64 = 1 << 40;
/// Less than a block costs that the run loop must look at first.
const STOP_BUDGET_MAX: u64 = super::block::STOP as u64 >> 1;

impl Position {
    pub(super) fn new(clock_ps: u64) -> Self {
        let clock_ps = clock_ps.clamp(1, 1_000_000_000);
        Self {
            insns: 0,
            budget: 0,
            end: VirtTime::ZERO,
            ahead_insns: 0,
            ahead_cycles: 0,
            fruitless: 0,
            retired: 0,
            clock_ps,
            stops: false,
        }
    }

    fn now(&self) -> VirtTime {
        let cycles = self.budget + i64::from(self.ahead_cycles);
        let span = cycles.unsigned_abs().saturating_mul(self.clock_ps);
        if cycles >= 0 {
            VirtTime(self.end.0.saturating_sub(span))
        } else {
            self.end.after(VirtDuration(span))
        }
    }

    /// Sets the budget for a run towards `deadline` or `insns` instructions, whichever may come first. Every instruction
    /// costs a cycle or more, so cycles bound instructions too.
    pub(super) fn aim(&mut self, deadline: VirtTime, insn_limit: u64) {
        let now = self.now();
        let cycles = deadline.since(now).0.div_ceil(self.clock_ps);
        let most = if self.stops { STOP_BUDGET_MAX } else { BUDGET_MAX };
        let cycles = cycles.min(insn_limit.saturating_sub(self.insns)).min(most);
        self.budget = cycles as i64;
        self.end = now.after(VirtDuration(cycles.saturating_mul(self.clock_ps)));
    }

    /// Cycles of a span, rounded up.
    fn cycles(&self, span: VirtDuration) -> i64 {
        span.0.div_ceil(self.clock_ps).min(BUDGET_MAX) as i64
    }
}

impl Engine {
    pub(crate) fn insns(&self) -> u64 {
        self.position.insns - u64::from(self.position.ahead_insns)
    }

    pub(crate) fn now(&self) -> VirtTime {
        self.position.now()
    }

    pub(crate) fn skip_to(&mut self, time: VirtTime) {
        if time > self.position.now() {
            self.position.end = time;
            self.position.budget = 0;
        }
    }

    /// Exceptions and interrupts delivered since an instruction was last retired.
    pub(crate) fn fruitless(&self) -> u32 {
        if self.position.retired == self.insns() { self.position.fruitless } else { 0 }
    }

    pub(crate) fn restore_position(&mut self, now: VirtTime, insns: u64, fruitless: u32) {
        (self.position.fruitless, self.position.retired) = (fruitless, insns);
        self.position.insns = insns;
        self.position.end = now;
        self.position.budget = 0;
        self.position.ahead_insns = 0;
        self.position.ahead_cycles = 0;
    }

    /// Takes cycles beyond what instructions cost. Past the deadline the block is left after this instruction.
    fn charge(&mut self, cycles: i64) {
        self.position.budget -= cycles;
        if self.position.budget < 0 {
            self.leave = true;
        }
    }
}

impl Cpu {
    /// Where the current instruction began.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { now: self.engine.now(), insns: self.engine.insns() }
    }

    /// Charges the table reads of a page walk.
    pub(crate) fn charge_walk(&mut self, reads: u64) {
        let cycles = reads as i64 * i64::from(self.config.cost.walk_read);
        self.engine.charge(cycles);
    }

    /// Charges and counts the delivery of an exception or interrupt.
    pub(crate) fn charge_delivery(&mut self) {
        self.engine.charge(i64::from(self.config.cost.delivery));
        let fruitless = self.engine.fruitless();
        self.engine.position.fruitless = fruitless.saturating_add(1);
        self.engine.position.retired = self.engine.insns();
    }

    /// A device register was accessed: time has passed, and the machine must look at what the device did before the next
    /// instruction.
    pub(crate) fn after_device_access(&mut self, cost: VirtDuration) {
        let cycles = self.engine.position.cycles(cost);
        self.engine.charge(cycles);
        self.engine.device_access = true;
        self.engine.leave = true;
    }

    /// What the current instruction changed must be looked at before the next one: interrupts may have become possible,
    /// or decoded code may no longer be what memory says.
    pub(crate) fn leave_after_instruction(&mut self) {
        self.engine.leave = true;
    }

    /// How many of `wanted` further iterations of a repeated string instruction, of `cycles` each, [`Self::next_iteration`] would
    /// allow one after the other.
    pub(crate) fn affordable_iterations(&self, wanted: u64, cycles: u16) -> u64 {
        if self.must_step() || self.engine.leave {
            return 0;
        }
        let budget = u64::try_from(self.engine.position.budget).unwrap_or(0);
        wanted.min(budget / u64::from(cycles.max(1)))
    }

    /// Counts as many iterations as instructions of their own.
    pub(crate) fn count_iterations(&mut self, count: u64, cycles: u16) {
        self.engine.position.budget -= (count * u64::from(cycles)) as i64;
        self.engine.position.insns += count;
    }

    /// Counts one more iteration of a repeated string instruction as an instruction of its own, of `cycles`. Answers
    /// false, and counts nothing, if the run must be left first.
    pub(crate) fn next_iteration(&mut self, cycles: u16) -> bool {
        let stepping = self.must_step();
        let position = &mut self.engine.position;
        if stepping || self.engine.leave || position.budget < i64::from(cycles) {
            return false;
        }
        position.budget -= i64::from(cycles);
        position.insns += 1;
        true
    }
}
