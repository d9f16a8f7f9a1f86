//! The 8254 timer and port 0x61. Counter 0 drives a pin, counter 1 once refreshed memory, counter 2's output is read at
//! port 0x61. Intel 8254 data sheet.
//!
//! Only the next edge of counter 0's output is an event; all else is computed when looked at.

mod counter;
mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::register_name;
pub use state::{Access, CounterState, PitState, Run};

use crate::{Register, RestoreError};
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;
use emu_core::{Pin, Slot, VirtDuration, VirtTime};

/// Who it is in events and records.
const SLOT: Slot = Slot::Pit;
/// The event: counter 0's output may change.
const TOKEN: u32 = 0;

/// An edge is seen within this many clocks, 10 ms: no instruction takes as long.
const LATE_MAX: u64 = spec::HZ / 100;

/// The timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pit {
    state: PitState,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

/// The clock's number at an instant.
fn clock_at(now: VirtTime) -> u64 {
    now.since(VirtTime::ZERO).as_ticks(spec::HZ)
}

impl Pit {
    /// Counter 0's output: IRQ 0.
    pub const OUT0: Pin = Pin(0);

    /// After power-on.
    #[must_use]
    pub fn new() -> Self {
        Self { state: PitState::reset() }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &PitState {
        &self.state
    }

    /// Goes on from a snapshot; the event queue is restored by its owner.
    pub fn restore(&mut self, state: PitState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// What it asked to be told.
    pub fn on_event(&mut self, env: &mut Env<'_>, token: u32) {
        if token == TOKEN {
            self.follow_out0(env);
        }
    }

    /// Drives the pin through the edges that counter 0's output has had. A pulse of one clock is shorter than many an
    /// instruction: looked at only now, it would not have been.
    fn catch_up(&mut self, env: &mut Env<'_>, clock: u64) {
        let missed = clock.saturating_sub(LATE_MAX);
        while let Some(edge) = self.state.edge0.filter(|edge| (missed..=clock).contains(edge)) {
            let counter = &mut self.state.counters[0];
            counter.settle(edge);
            let high = counter.out(edge);
            self.state.edge0 = counter.next_edge(edge);
            self.drive_out0(env, high);
        }
    }

    /// Drives the pin as counter 0's output is now, and asks for its next edge.
    fn follow_out0(&mut self, env: &mut Env<'_>) {
        let clock = clock_at(env.now);
        self.catch_up(env, clock);
        let counter = &mut self.state.counters[0];
        counter.settle(clock);
        let high = counter.out(clock);
        self.state.edge0 = counter.next_edge(clock);
        env.events.cancel(SLOT, TOKEN);
        if let Some(edge) = self.state.edge0 {
            let due = VirtTime::ZERO.after(VirtDuration::from_ticks(edge, spec::HZ));
            env.after(SLOT, due.since(env.now), TOKEN);
        }
        self.drive_out0(env, high);
    }

    fn drive_out0(&mut self, env: &mut Env<'_>, high: bool) {
        if high != self.state.out0 {
            self.state.out0 = high;
            let pin = Self::OUT0;
            let id = env.trace(SLOT, TraceEvent::PinLevel { pin, high });
            env.signal_for(id, Signal::Pin { slot: SLOT, pin, high });
        }
    }

    /// Each counter's count and status byte, and port 0x61.
    pub fn registers(&self, now: VirtTime) -> impl Iterator<Item = Register> {
        let clock = clock_at(now);
        let mut all = Vec::new();
        for (index, counter) in self.state.counters.iter().enumerate() {
            let mut counter = counter.clone();
            counter.settle(clock);
            let port = spec::COUNTER0 + index as u16;
            let words = format!(
                "mode {}, reload {}, output {}, gate {}",
                counter.mode,
                counter.register.unwrap_or(0),
                u8::from(counter.out(clock)),
                u8::from(counter.gate)
            );
            all.push(Register::plain(format!("COUNTER{index}"), port, counter.count(clock)).meaning(words));
        }
        all.push(Register::plain("PORT_61", spec::PORT_B, self.port_b(clock)));
        all.into_iter()
    }
}
