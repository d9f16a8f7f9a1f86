//! From a pin's change to a message, and from the end of an interrupt to the next (82093AA data sheet, 3.2.4 and 3.4).

use super::spec::{
    PINS, RTE_LEVEL, RTE_LOGICAL, RTE_LOW_ACTIVE, RTE_MASKED, RTE_MODE, RTE_REMAPPABLE, RTE_REMOTE_IRR,
    RTE_VECTOR,
};
use super::{Ioapic, SLOT};
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;
use emu_core::{DeliveryMode, Msi};

/// The message of an entry. Bits 63:48 are address bits 19:4 in both formats: destination, or index and format flag.
/// Likewise entry bit 11 is address bit 2: destination mode, or index bit 15 (VT-d specification, figure 5-3).
pub(super) const fn message(rte: u64) -> Msi {
    let lowest_priority = rte & RTE_MODE == (DeliveryMode::LowestPriority.bits() as u64) << 8;
    let redirection_hint = rte & RTE_REMAPPABLE == 0 && lowest_priority;
    let address = 0xfee0_0000 | rte >> 48 << 4 | (redirection_hint as u64) << 3 | (rte & RTE_LOGICAL) >> 9;
    let level = rte & RTE_LEVEL;
    let data = rte & (RTE_VECTOR | RTE_MODE) | 1 << 14 | level;
    Msi { address, data: data as u32 }
}

/// Whether an entry follows its line's level. The modes that must be edge-triggered are, whatever bit 15 says.
const fn is_level(rte: u64) -> bool {
    if rte & RTE_LEVEL == 0 {
        return false;
    }
    if rte & RTE_REMAPPABLE != 0 {
        return true;
    }
    matches!(
        DeliveryMode::from_bits((rte >> 8) as u8),
        Some(DeliveryMode::Fixed | DeliveryMode::LowestPriority)
    )
}

impl Ioapic {
    /// The source wired to a pin is asserted or not. Others than 0-23 do not exist.
    pub fn set_pin(&mut self, env: &mut Env<'_>, pin: u8, asserted: bool) {
        let index = usize::from(pin);
        if index >= PINS || (self.state.asserted >> pin & 1 != 0) == asserted {
            return;
        }
        self.state.asserted ^= 1 << pin;
        let rte = self.state.entries[index];
        if !self.active(index) {
            env.trace(SLOT, TraceEvent::IoapicRte { pin, rte, sent: false });
        } else if is_level(rte) {
            if !self.send_level(env, index) {
                env.trace(SLOT, TraceEvent::IoapicRte { pin, rte, sent: false });
            }
        } else if rte & RTE_MASKED == 0 {
            self.send(env, index);
        } else {
            // An edge at a masked pin is lost.
            env.trace(SLOT, TraceEvent::IoapicRte { pin, rte, sent: false });
        }
    }

    /// Whether the pin is at the level that its entry calls active.
    fn active(&self, pin: usize) -> bool {
        let asserted = self.state.asserted >> pin & 1 != 0;
        let wire_high = asserted != (self.config.low_active_wires >> pin & 1 != 0);
        wire_high != (self.state.entries[pin] & RTE_LOW_ACTIVE != 0)
    }

    fn send(&mut self, env: &mut Env<'_>, pin: usize) {
        let rte = self.state.entries[pin];
        let id = env.trace(SLOT, TraceEvent::IoapicRte { pin: pin as u8, rte, sent: true });
        env.signal_for(id, Signal::Msi { source: self.config.bdf, msi: message(rte) });
    }

    /// Sends a level-triggered pin's message if the line is active and the last one has ended.
    pub(super) fn send_level(&mut self, env: &mut Env<'_>, pin: usize) -> bool {
        let rte = self.state.entries[pin];
        let due = is_level(rte) && rte & (RTE_MASKED | RTE_REMOTE_IRR) == 0 && self.active(pin);
        if due {
            self.state.entries[pin] |= RTE_REMOTE_IRR;
            self.send(env, pin);
        }
        due
    }

    /// A processor has ended `vector`, by broadcast or by the EOI register. Under remapping the two differ: the
    /// broadcast carries the processor's vector, and either may be what the entry holds.
    pub fn eoi(&mut self, env: &mut Env<'_>, vector: u8) {
        for pin in 0..PINS {
            let rte = &mut self.state.entries[pin];
            if *rte & RTE_REMOTE_IRR != 0 && *rte as u8 == vector {
                *rte &= !RTE_REMOTE_IRR;
                self.send_level(env, pin);
            }
        }
    }
}
