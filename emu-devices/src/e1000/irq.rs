//! Interrupt causes, mask, throttling, and the pin or message that comes of them. Manual 3.2.7, 13.4.17 to 13.4.21.
//!
//! The 8254x has no INT_ASSERTED bit in ICR (later families do): reading ICR returns and clears every cause, masked or
//! not.

use super::timing::THROTTLE_UNIT;
use super::{E1000, INTA, Token, spec};
use emu_core::VirtTime;
use emu_core::device::DeviceCtx;
use emu_core::trace::{RecordId, TraceEvent};
use serde::{Deserialize, Serialize};

/// Interrupt state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Irq {
    /// Interrupt cause register.
    pub icr: u32,
    /// Interrupt mask.
    pub ims: u32,
    /// Throttling interval, in 256 ns.
    pub itr: u32,
    /// The record that set each cause that is set.
    pub cause_of: [Option<RecordId>; 32],
    /// The card asks for an interrupt.
    pub asserted: bool,
    /// The pin is high.
    pub pin: bool,
    /// No interrupt before this.
    pub not_before: VirtTime,
    /// The end of the throttling interval is in the event queue.
    pub throttled: bool,
}

impl E1000 {
    /// Sets causes on behalf of the current cause.
    pub(super) fn raise(&mut self, ctx: &mut DeviceCtx<'_>, causes: u32) {
        let causes = causes & spec::ICR_ALL;
        if causes == 0 {
            return;
        }
        let fresh = causes & !self.irq.icr;
        self.irq.icr |= causes;
        let record = ctx.trace(TraceEvent::NicCause { causes, icr: self.irq.icr, ims: self.irq.ims });
        for bit in (0..32).filter(|bit| fresh & 1 << bit != 0) {
            self.irq.cause_of[bit] = Some(record);
        }
        self.update_interrupt(ctx);
    }

    /// Takes causes away, as reading ICR or writing ones to it does.
    pub(super) fn clear_causes(&mut self, ctx: &mut DeviceCtx<'_>, causes: u32) {
        self.irq.icr &= !causes;
        for bit in (0..32).filter(|bit| causes & 1 << bit != 0) {
            self.irq.cause_of[bit] = None;
        }
        self.update_interrupt(ctx);
    }

    pub(super) fn set_mask(&mut self, ctx: &mut DeviceCtx<'_>, ims: u32) {
        self.irq.ims = ims & spec::ICR_ALL;
        self.update_interrupt(ctx);
    }

    pub(super) fn set_throttle(&mut self, ctx: &mut DeviceCtx<'_>, itr: u32) {
        self.irq.itr = itr & 0xffff;
        if self.irq.itr == 0 {
            self.end_throttle(ctx);
        }
    }

    fn end_throttle(&mut self, ctx: &mut DeviceCtx<'_>) {
        ctx.cancel(Token::Throttle as u32);
        self.irq.throttled = false;
        self.irq.not_before = VirtTime::ZERO;
        self.update_interrupt(ctx);
    }

    /// The throttling interval is over.
    pub(super) fn throttle_over(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.irq.throttled = false;
        self.update_interrupt(ctx);
    }

    /// Asserts or withdraws, as causes, mask, throttling and configuration say now.
    pub(super) fn update_interrupt(&mut self, ctx: &mut DeviceCtx<'_>) {
        let wanted = self.irq.icr & self.irq.ims;
        if wanted == 0 {
            self.irq.asserted = false;
        } else if !self.irq.asserted {
            if ctx.now() < self.irq.not_before {
                if !self.irq.throttled {
                    self.irq.throttled = true;
                    ctx.after(self.irq.not_before.since(ctx.now()), Token::Throttle as u32);
                }
            } else {
                self.assert_interrupt(ctx, wanted);
            }
        }
        if self.config.intx_masking {
            self.pci.set_interrupt_status(self.irq.asserted && !self.pci.msi_enabled());
        }
        self.drive_pin(ctx, wanted);
    }

    fn assert_interrupt(&mut self, ctx: &mut DeviceCtx<'_>, wanted: u32) {
        self.irq.asserted = true;
        self.irq.not_before = ctx.now().after(THROTTLE_UNIT.times(u64::from(self.irq.itr)));
        self.stats.interrupts += 1;
        if let Some(msi) = self.pci.msi() {
            let before = self.blame(ctx, wanted);
            ctx.msi(msi);
            ctx.set_cause(before);
        }
    }

    /// INTA follows the interrupt unless disabled or replaced by MSI.
    fn drive_pin(&mut self, ctx: &mut DeviceCtx<'_>, wanted: u32) {
        let high = self.irq.asserted && self.pci.intx_enabled();
        if high == self.irq.pin {
            return;
        }
        self.irq.pin = high;
        let before = if high { self.blame(ctx, wanted) } else { ctx.cause() };
        ctx.set_pin(INTA, high);
        ctx.set_cause(before);
    }

    /// Makes the oldest of the wanted causes the current one; answers the one before.
    fn blame(&self, ctx: &mut DeviceCtx<'_>, wanted: u32) -> Option<RecordId> {
        let causes = (0..32).filter(|bit| wanted & 1 << bit != 0);
        let oldest = causes.filter_map(|bit: usize| self.irq.cause_of[bit]).min();
        match oldest {
            Some(record) => ctx.set_cause(Some(record)),
            None => ctx.cause(),
        }
    }
}
