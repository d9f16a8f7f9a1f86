//! Real-time clock and CMOS RAM: Motorola MC146818. The date comes from the configuration and virtual time, never
//! from the host.

mod calendar;
mod clock;
mod irq;
mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::{memory_presets, register_name};
pub use state::{Calendar, RtcState};

use crate::{Register, RestoreError};
use emu_core::device::Env;
use emu_core::{Pin, Slot, VirtTime};

/// Who it is in events and records.
const SLOT: Slot = Slot::Rtc;
/// The event: the pin may rise.
const TOKEN: u32 = 0;

/// What the machine's builder decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The date at power-on, in seconds since 1970 (UTC).
    pub date: i64,
    /// Bytes of CMOS RAM as firmware would have left them, such as [`memory_presets`]: index and value.
    pub presets: Vec<(u8, u8)>,
}

/// The clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtc {
    state: RtcState,
}

impl Rtc {
    /// The interrupt output: IRQ 8.
    pub const IRQ: Pin = Pin(0);

    /// At power-on.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { state: RtcState::new(config) }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &RtcState {
        &self.state
    }

    /// Goes on from a snapshot; the event queue is restored by its owner.
    pub fn restore(&mut self, state: RtcState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// The reset pin: interrupts are disabled and flags cleared; time and RAM live on the battery.
    pub fn reset(&mut self, env: &mut Env<'_>) {
        let enables = spec::PERIODIC | spec::ALARM | spec::UPDATE | spec::B_SQUARE_WAVE;
        self.catch_up(env.now);
        self.state.b &= !enables;
        self.state.flags = 0;
        self.state.index &= !spec::NMI_DISABLE;
        self.update_pin(env);
    }

    /// Whether software keeps NMIs from the processor.
    #[must_use]
    pub const fn nmi_disabled(&self) -> bool {
        self.state.index & spec::NMI_DISABLE != 0
    }

    /// What it asked to be told.
    pub fn on_event(&mut self, env: &mut Env<'_>, token: u32) {
        if token == TOKEN {
            self.catch_up(env.now);
            self.update_pin(env);
        }
    }

    /// The named bytes of CMOS; `offset` is the index.
    pub fn registers(&self, now: VirtTime) -> impl Iterator<Item = Register> {
        (0..spec::SIZE as u8).filter_map(move |index| {
            Some(Register::plain(register_name(index)?, index, self.peek(now, index)))
        })
    }
}
