//! The 8259A pair as PCs wire it: the slave's INTR is the master's input 2, the master's goes to LINT0.
//! Intel 8259A data sheet; ELCR from PIIX3. MCS-80 call mode and buffered mode do not exist in a PC.

mod chip;
mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::register_name;
pub use state::{ChipState, PicState, Stage};

use crate::{Register, RestoreError};
use emu_core::Slot;
use emu_core::device::{Env, Signal};
use emu_core::trace::{RecordId, TraceEvent};
use spec::{CASCADE, SPURIOUS};

/// Who it is in events and records.
const SLOT: Slot = Slot::Pic;

/// The pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pic {
    state: PicState,
}

impl Default for Pic {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic {
    /// After power-on, everything masked.
    #[must_use]
    pub fn new() -> Self {
        Self { state: PicState::reset() }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &PicState {
        &self.state
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: PicState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// An interrupt line 0-15 goes high or low. Line 2 is the cascade and not to be had.
    pub fn set_pin(&mut self, env: &mut Env<'_>, irq: u8, high: bool) {
        let cause = env.tracer.cause();
        match irq {
            CASCADE | 16.. => return,
            0..8 => self.state.master.set_line(irq, high, cause),
            8..16 => self.state.slave.set_line(irq - 8, high, cause),
        }
        self.update(env);
    }

    /// The inputs of the master that ICW3 says slaves are on; without cascading none.
    fn cascaded(&self) -> u8 {
        self.state.master.icw3 & 1 << CASCADE
    }

    /// Carries the slave's output to the master, and the master's to the processor if it changes.
    fn update(&mut self, env: &mut Env<'_>) {
        let from_slave = self.state.slave.pending(0);
        let cause = from_slave.and_then(|input| self.state.slave.causes[usize::from(input)]);
        self.state.master.set_line(CASCADE, from_slave.is_some(), cause);
        let input = self.state.master.pending(self.cascaded());
        let high = input.is_some();
        if high == self.state.intr {
            return;
        }
        self.state.intr = high;
        let raise = |env: &mut Env<'_>| {
            let id = env.trace(SLOT, TraceEvent::PicIntr { high });
            env.signal_for(id, Signal::PicIntr { high });
        };
        match input.and_then(|input| self.state.master.causes[usize::from(input)]) {
            Some(cause) => env.on_behalf_of(cause, raise),
            None => raise(env),
        }
    }

    /// The processor's acknowledge cycle: the vector, and the record that raised its line. If the request has gone
    /// meanwhile the vector is that of input 7, which enters no service.
    pub fn acknowledge(&mut self, env: &mut Env<'_>) -> (u8, Option<RecordId>) {
        let answer = self.acknowledge_cycle();
        self.update(env);
        answer
    }

    fn acknowledge_cycle(&mut self) -> (u8, Option<RecordId>) {
        let cascaded = self.cascaded();
        let PicState { master, slave, .. } = &mut self.state;
        let Some(input) = master.pending(cascaded) else { return (master.vector(SPURIOUS), None) };
        master.enter_service(input);
        if cascaded >> input & 1 == 0 {
            return (master.vector(input), master.causes[usize::from(input)]);
        }
        let Some(input) = slave.pending(0) else { return (slave.vector(SPURIOUS), None) };
        slave.enter_service(input);
        let answer = (slave.vector(input), slave.causes[usize::from(input)]);
        self.lower_cascade();
        answer
    }

    /// An acknowledged slave drops its output for a moment, so that its next request is an edge.
    fn lower_cascade(&mut self) {
        self.state.master.set_line(CASCADE, false, None);
    }

    /// Both chips' registers; `offset` is the port that shows them.
    pub fn registers(&self) -> impl Iterator<Item = Register> {
        let PicState { master, slave, .. } = &self.state;
        [
            Register::plain("IRR1", spec::MASTER_COMMAND, master.irr()),
            Register::plain("ISR1", spec::MASTER_COMMAND, master.isr),
            Register::plain("IMR1", spec::MASTER_DATA, master.imr),
            Register::plain("BASE1", spec::MASTER_DATA, master.base),
            Register::plain("ELCR1", spec::MASTER_ELCR, master.elcr),
            Register::plain("IRR2", spec::SLAVE_COMMAND, slave.irr()),
            Register::plain("ISR2", spec::SLAVE_COMMAND, slave.isr),
            Register::plain("IMR2", spec::SLAVE_DATA, slave.imr),
            Register::plain("BASE2", spec::SLAVE_DATA, slave.base),
            Register::plain("ELCR2", spec::SLAVE_ELCR, slave.elcr),
        ]
        .into_iter()
    }
}
