//! The PM timer, its status, and the SCI (ACPI 6.5, 4.8.2.1 and 4.8.3.3).

use super::spec::{SCI_ENABLE, TIMER_EVENT, TIMER_HZ};
use super::{AcpiPm, SLOT, TOKEN};
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;
use emu_core::{VirtDuration, VirtTime};

fn ticks(now: VirtTime) -> u64 {
    now.since(VirtTime::ZERO).as_ticks(TIMER_HZ)
}

impl AcpiPm {
    /// Ticks between changes of the timer's most significant bit.
    fn half(&self) -> u64 {
        1 << if self.config.timer_32_bit { 31 } else { 23 }
    }

    /// The timer as it reads.
    pub(super) fn timer(&self, now: VirtTime) -> u32 {
        (ticks(now) % (2 * self.half())) as u32
    }

    /// PM1 status with the timer's at `now`.
    pub(super) fn status_at(&self, now: VirtTime) -> u16 {
        let due = ticks(now) / self.half() > self.state.halves;
        self.state.status | if due { TIMER_EVENT } else { 0 }
    }

    /// Notes changes of the timer's most significant bit until now.
    pub(super) fn catch_up(&mut self, now: VirtTime) {
        self.state.status = self.status_at(now);
        self.state.halves = ticks(now) / self.half();
    }

    /// Drives the SCI, and asks to be told of the timer's next event if that will raise it.
    pub(super) fn update_sci(&mut self, env: &mut Env<'_>) {
        self.catch_up(env.now);
        let acpi = self.state.control & SCI_ENABLE != 0;
        let high = acpi && self.state.status & self.state.enable != 0;
        env.events.cancel(SLOT, TOKEN);
        if acpi && self.state.enable & !self.state.status & TIMER_EVENT != 0 {
            let next = (self.state.halves + 1) * self.half();
            let due = VirtTime::ZERO.after(VirtDuration::from_ticks(next, TIMER_HZ));
            env.after(SLOT, due.since(env.now), TOKEN);
        }
        if high != self.state.sci {
            self.state.sci = high;
            let pin = Self::SCI;
            let id = env.trace(SLOT, TraceEvent::PinLevel { pin, high });
            env.signal_for(id, Signal::Pin { slot: SLOT, pin, high });
        }
    }
}
