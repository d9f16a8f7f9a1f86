//! Flags and the interrupt pin (MC146818 data sheet, "Interrupts"). Flags are set whether enabled or not; they are
//! computed when looked at, and only what will move the pin is an event.

use super::spec::{ALARM, C_IRQ, HZ, PERIODIC, UPDATE};
use super::{Rtc, SLOT, TOKEN};
use emu_core::VirtTime;
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;

impl Rtc {
    /// Sets the flags for all that happened until now.
    pub(super) fn catch_up(&mut self, now: VirtTime) {
        let (before, after) = (self.state.seen, self.ticks(now));
        self.state.seen = after;
        if after <= before {
            return;
        }
        if self.period().is_some_and(|period| after / period > before / period) {
            self.state.flags |= PERIODIC;
        }
        let seconds = after / HZ - before / HZ;
        if seconds > 0 && self.updates() {
            self.state.flags |= UPDATE;
            let alarm = self.seconds_at(before).and_then(|s| self.until_alarm(s.rem_euclid(86_400)));
            if alarm.is_some_and(|wait| wait <= seconds) {
                self.state.flags |= ALARM;
            }
        }
    }

    /// Drives the pin, and asks to be told when it will next rise by itself.
    pub(super) fn update_pin(&mut self, env: &mut Env<'_>) {
        let high = self.flags_register() & C_IRQ != 0;
        env.events.cancel(SLOT, TOKEN);
        if !high && let Some(due) = self.next_rise(env.now) {
            env.after(SLOT, due.since(env.now), TOKEN);
        }
        if high != self.state.irq {
            self.state.irq = high;
            let pin = Self::IRQ;
            let id = env.trace(SLOT, TraceEvent::PinLevel { pin, high });
            env.signal_for(id, Signal::Pin { slot: SLOT, pin, high });
        }
    }

    /// Register C without a read's effect.
    pub(super) fn flags_register(&self) -> u8 {
        let pending = self.state.flags & self.state.b & (PERIODIC | ALARM | UPDATE);
        self.state.flags | if pending != 0 { C_IRQ } else { 0 }
    }

    /// When the first flag that is enabled will be set. Flags are caught up.
    fn next_rise(&self, now: VirtTime) -> Option<VirtTime> {
        if !self.divider_runs() {
            return None;
        }
        let enabled = |flag| self.state.b & flag != 0;
        let ticks = self.ticks(now);
        let periodic =
            self.period().filter(|_| enabled(PERIODIC)).map(|period| (ticks / period + 1) * period);
        let update = (enabled(UPDATE) && self.updates()).then_some((ticks / HZ + 1) * HZ);
        let alarm = self
            .seconds_at(ticks)
            .filter(|_| enabled(ALARM))
            .and_then(|seconds| self.until_alarm(seconds.rem_euclid(86_400)))
            .map(|wait| (ticks / HZ + wait) * HZ);
        [periodic, update, alarm].into_iter().flatten().min().map(|ticks| self.instant(ticks))
    }
}
