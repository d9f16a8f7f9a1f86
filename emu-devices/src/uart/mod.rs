//! A 16550A serial port with FIFOs: National Semiconductor PC16550D. Characters take their time on the line.
//!
//! What the guest sends is drained with [`Uart::take_output`]; what the far end sends comes by [`Uart::push_input`], at
//! line speed and only while there is room, as from a terminal with flow control.

mod irq;
mod line;
mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::register_name;
pub use state::{Received, UartState};

use crate::inspect::bit_names;
use crate::{Register, RestoreError};
use emu_core::device::Env;
use emu_core::{Pin, Slot, VirtDuration};

/// How long a character is on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As divisor and line control say.
    Baud,
    /// This long, whatever they say: a console that doesn't hold up a boot.
    Fixed(VirtDuration),
}

/// What the machine's builder decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which port: the number in [`Slot::Uart`].
    pub index: u8,
    /// Line speed.
    pub pace: Pace,
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart {
    config: Config,
    state: UartState,
}

impl Uart {
    /// The interrupt output, already gated by OUT2.
    pub const INTR: Pin = Pin(0);

    /// After reset.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, state: UartState::reset() }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &UartState {
        &self.state
    }

    /// Goes on from a snapshot; the event queue is restored by its owner.
    pub fn restore(&mut self, state: UartState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    fn slot(&self) -> Slot {
        Slot::Uart(self.config.index)
    }

    /// What the guest has sent since the last call.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.state.output)
    }

    /// What it asked to be told.
    pub fn on_event(&mut self, env: &mut Env<'_>, token: u32) {
        match token {
            line::SENT => self.character_sent(env),
            line::ARRIVED => self.character_arrived(env),
            line::TIMEOUT => {
                self.state.timed_out = !self.state.rx.is_empty();
                self.update_pin(env);
            }
            _ => {}
        }
    }

    /// All registers, without a read's side effects.
    pub fn registers(&self) -> impl Iterator<Item = Register> {
        let state = &self.state;
        let names = [
            (0x01, "data-ready"),
            (0x02, "overrun"),
            (0x08, "framing"),
            (0x10, "break"),
            (0x20, "holding-empty"),
            (0x40, "transmitter-empty"),
        ];
        let lsr = self.line_status();
        [
            Register::plain("DIVISOR", 0_u16, state.divisor)
                .meaning(format!("{} baud", spec::CLOCK_HZ / 16 / self.divisor())),
            Register::plain("IER", spec::IER, state.ier),
            Register::plain("IIR", spec::IIR_FCR, self.identification()),
            Register::plain("FCR", spec::IIR_FCR, state.fcr),
            Register::plain("LCR", spec::LCR, state.lcr),
            Register::plain("MCR", spec::MCR, state.mcr),
            Register::plain("LSR", spec::LSR, lsr).meaning(bit_names(lsr.into(), &names)),
            Register::plain("MSR", spec::MSR, self.modem_lines() | state.deltas),
            Register::plain("SCR", spec::SCR, state.scratch),
        ]
        .into_iter()
    }
}
