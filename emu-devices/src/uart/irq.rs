//! Which interrupt is pending, by priority, and the pin (PC16550D, 8.6 and table IV).

use super::Uart;
use super::spec::{
    IER_MS, IER_RDA, IER_RLS, IER_THRE, IIR_FIFO, IIR_MS, IIR_NONE, IIR_RDA, IIR_RLS, IIR_THRE, IIR_TIMEOUT,
    LSR_ERRORS, MCR_OUT2,
};
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;

impl Uart {
    /// IIR without a read's effects.
    pub(super) fn identification(&self) -> u8 {
        let state = &self.state;
        let on = |bit| state.ier & bit != 0;
        let source = if on(IER_RLS) && self.line_status() & LSR_ERRORS != 0 {
            IIR_RLS
        } else if on(IER_RDA) && state.rx.len() >= self.trigger() {
            IIR_RDA
        } else if on(IER_RDA) && state.timed_out {
            IIR_TIMEOUT
        } else if on(IER_THRE) && state.thre_pending {
            IIR_THRE
        } else if on(IER_MS) && state.deltas != 0 {
            IIR_MS
        } else {
            IIR_NONE
        };
        if self.fifos() { source | IIR_FIFO } else { source }
    }

    /// Drives the pin if it changes. OUT2 is the gate between chip and bus on PCs; in loopback it is held inactive.
    pub(super) fn update_pin(&mut self, env: &mut Env<'_>) {
        let gate = self.state.mcr & MCR_OUT2 != 0 && !self.loopback();
        let high = gate && self.identification() & IIR_NONE == 0;
        if high != self.state.intr {
            self.state.intr = high;
            let (slot, pin) = (self.slot(), Self::INTR);
            let id = env.trace(slot, TraceEvent::PinLevel { pin, high });
            env.signal_for(id, Signal::Pin { slot, pin, high });
        }
    }
}
