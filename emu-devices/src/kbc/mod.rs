//! The 8042 keyboard controller without a keyboard or mouse: what kernels need it for all the same, which is a clean
//! probe, the A20 gate and the reset line; and port 0x92, which drives the same two.
//!
//! IBM PC AT Technical Reference. Commands are carried out at once, so the input buffer is never full.

mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::register_name;
pub use state::KbcState;

use crate::{Register, RestoreError};
use emu_core::{Pin, Slot};

/// Who it is in events and records.
const SLOT: Slot = Slot::Kbc;

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kbc {
    state: KbcState,
}

impl Default for Kbc {
    fn default() -> Self {
        Self::new()
    }
}

impl Kbc {
    /// The output buffer's interrupt: IRQ 1.
    pub const IRQ: Pin = Pin(0);

    /// After reset.
    #[must_use]
    pub fn new() -> Self {
        Self { state: KbcState::reset() }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &KbcState {
        &self.state
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: KbcState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// Whether address line 20 is let through.
    #[must_use]
    pub const fn a20(&self) -> bool {
        self.state.a20
    }

    /// What can be read, without a read's effects.
    pub fn registers(&self) -> impl Iterator<Item = Register> {
        let a20 = if self.state.a20 { "A20 on" } else { "A20 off" };
        [
            Register::plain("KBC_STATUS", spec::COMMAND, self.status()),
            Register::plain("KBC_MODE", spec::DATA, self.state.ram[0]),
            Register::plain("PORT_92", spec::PORT_A, self.port_a()).meaning(a20),
        ]
        .into_iter()
    }
}
