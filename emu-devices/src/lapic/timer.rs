//! The timer: one-shot, periodic and TSC-deadline (SDM vol. 3A, 12.5.4). Counts are computed from virtual time; only
//! the next expiry that somebody would notice is an event.

use super::Lapic;
use super::spec::{LVT_MASKED, LVT_TIMER_DEADLINE, LVT_TIMER_MODE, LVT_TIMER_PERIODIC, Lvt};
use emu_core::device::Env;
use emu_core::{VirtDuration, VirtTime};

/// The event: look whether the timer has expired.
pub(super) const TOKEN: u32 = 0;

/// The LVT timer entry's mode field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimerMode {
    OneShot,
    Periodic,
    Deadline,
    /// Encoding 3 counts nothing.
    Reserved,
}

const fn mode_of(entry: u32) -> TimerMode {
    match entry & LVT_TIMER_MODE {
        0 => TimerMode::OneShot,
        LVT_TIMER_PERIODIC => TimerMode::Periodic,
        LVT_TIMER_DEADLINE => TimerMode::Deadline,
        _ => TimerMode::Reserved,
    }
}

impl Lapic {
    fn timer_entry(&self) -> u32 {
        self.state.lvt[Lvt::Timer as usize]
    }

    fn counts(mode: TimerMode) -> bool {
        matches!(mode, TimerMode::OneShot | TimerMode::Periodic)
    }

    /// Timer clocks a count takes: table in figure 12-10; bits 3, 1 and 0 of the register.
    fn divider(&self) -> u64 {
        let code = self.state.timer.divide & 3 | self.state.timer.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }

    /// Counts passed since the count was [`super::TimerState::first`].
    fn counted(&self, now: VirtTime) -> u64 {
        now.since(self.state.timer.start).as_ticks(self.config.timer_hz) / self.divider()
    }

    /// The current count register.
    pub(super) fn current_count(&self, now: VirtTime) -> u32 {
        let timer = &self.state.timer;
        if !timer.running {
            return 0;
        }
        let counted = self.counted(now);
        let Some(over) = counted.checked_sub(timer.first.into()) else {
            return timer.first.saturating_sub(counted as u32);
        };
        match mode_of(self.timer_entry()) {
            TimerMode::Periodic if timer.initial > 0 => {
                timer.initial - (over % u64::from(timer.initial)) as u32
            }
            TimerMode::Periodic | TimerMode::OneShot | TimerMode::Deadline | TimerMode::Reserved => 0,
        }
    }

    /// Starts a countdown from `count` at this instant.
    fn start_from(&mut self, env: &mut Env<'_>, count: u32) {
        let timer = &mut self.state.timer;
        timer.start = env.now;
        timer.first = count;
        timer.running = count > 0;
        self.rearm(env);
    }

    /// The event for the next expiry, if it would be noticed.
    fn rearm(&mut self, env: &mut Env<'_>) {
        let slot = self.slot();
        env.events.cancel(slot, TOKEN);
        let due = self.next_expiry(env.now);
        if due < VirtTime::NEVER {
            env.after(slot, due.since(env.now), TOKEN);
        }
    }

    fn next_expiry(&self, now: VirtTime) -> VirtTime {
        let entry = self.timer_entry();
        let timer = &self.state.timer;
        let mode = mode_of(entry);
        if mode == TimerMode::Deadline {
            if timer.deadline == 0 {
                return VirtTime::NEVER;
            }
            let ticks = timer.deadline.wrapping_sub(timer.tsc_offset);
            return VirtTime::ZERO.after(VirtDuration::from_ticks(ticks, self.config.tsc_hz)).max(now);
        }
        if !Self::counts(mode) || !timer.running || entry & LVT_MASKED != 0 {
            return VirtTime::NEVER;
        }
        let first = u64::from(timer.first);
        let counts = match self.counted(now).checked_sub(first) {
            None => first,
            Some(_) if mode == TimerMode::OneShot => return VirtTime::NEVER,
            Some(over) => {
                let period = u64::from(timer.initial.max(1));
                first.saturating_add((over / period + 1).saturating_mul(period))
            }
        };
        let clocks = counts.saturating_mul(self.divider());
        timer.start.after(VirtDuration::from_ticks(clocks, self.config.timer_hz))
    }

    /// The event has come.
    pub(super) fn timer_due(&mut self, env: &mut Env<'_>) {
        match mode_of(self.timer_entry()) {
            TimerMode::OneShot => {
                if self.current_count(env.now) == 0 && self.state.timer.running {
                    self.state.timer.running = false;
                    self.fire(env, Lvt::Timer);
                }
            }
            TimerMode::Periodic => {
                if self.state.timer.running && self.counted(env.now) >= u64::from(self.state.timer.first) {
                    self.fire(env, Lvt::Timer);
                }
            }
            TimerMode::Deadline => return self.check_deadline(env),
            TimerMode::Reserved => {}
        }
        self.rearm(env);
    }

    /// A write of the initial count starts the timer; 0 stops it. Ignored in TSC-deadline mode.
    pub(super) fn write_initial_count(&mut self, env: &mut Env<'_>, value: u32) {
        if Self::counts(mode_of(self.timer_entry())) {
            self.state.timer.initial = value;
            self.start_from(env, value);
        }
    }

    /// A running count goes on from where it is at the new rate.
    pub(super) fn write_divide(&mut self, env: &mut Env<'_>, value: u32) {
        let count = self.current_count(env.now);
        self.state.timer.divide = value & 0xb;
        self.start_from(env, count);
    }

    /// Between one-shot and periodic the count goes on; to or from TSC-deadline everything is disarmed (12.5.4.1).
    pub(super) fn write_timer_lvt(&mut self, env: &mut Env<'_>, old: u32, mut new: u32) {
        if !self.config.tsc_deadline {
            new &= !LVT_TIMER_DEADLINE;
        }
        let (before, after) = (mode_of(old), mode_of(new));
        let count = self.current_count(env.now);
        self.state.lvt[Lvt::Timer as usize] = new;
        if before == after {
            self.rearm(env);
            return;
        }
        if Self::counts(before) && Self::counts(after) {
            self.start_from(env, count);
        } else {
            self.state.timer.deadline = 0;
            self.state.timer.initial = 0;
            self.start_from(env, 0);
        }
    }

    /// The TSC as this processor reads it.
    fn tsc(&self, now: VirtTime) -> u64 {
        now.since(VirtTime::ZERO).as_ticks(self.config.tsc_hz).wrapping_add(self.state.timer.tsc_offset)
    }

    /// IA32_TSC_DEADLINE: 0 when disarmed or past.
    pub(super) fn deadline(&self, now: VirtTime) -> u64 {
        if self.tsc(now) >= self.state.timer.deadline { 0 } else { self.state.timer.deadline }
    }

    /// Arms or, with 0, disarms; a deadline that has passed fires at once. Ignored outside TSC-deadline mode.
    pub(super) fn set_deadline(&mut self, env: &mut Env<'_>, value: u64) {
        if mode_of(self.timer_entry()) == TimerMode::Deadline {
            self.state.timer.deadline = value;
            self.check_deadline(env);
        }
    }

    /// The processor's TSC is `offset` ahead of its clock's ticks since power-on, modulo 2^64: IA32_TSC and
    /// IA32_TSC_ADJUST were written.
    pub fn set_tsc_offset(&mut self, env: &mut Env<'_>, offset: u64) {
        self.state.timer.tsc_offset = offset;
        if mode_of(self.timer_entry()) == TimerMode::Deadline {
            self.check_deadline(env);
        }
    }

    fn check_deadline(&mut self, env: &mut Env<'_>) {
        if self.state.timer.deadline != 0 && self.tsc(env.now) >= self.state.timer.deadline {
            self.state.timer.deadline = 0;
            self.fire(env, Lvt::Timer);
        }
        self.rearm(env);
    }
}
