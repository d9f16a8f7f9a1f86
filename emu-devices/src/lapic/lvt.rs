//! The local vector table: what the APIC's own sources become (SDM vol. 3A, 12.5.1).

use super::Lapic;
use super::spec::{LVT_MASKED, LVT_REMOTE_IRR, Lvt};
use emu_core::device::Env;
use emu_core::{DeliveryMode, TriggerMode};

impl Lapic {
    /// Writes an entry. While the APIC is software-disabled the mask bit can't be cleared.
    pub(super) fn write_lvt(&mut self, env: &mut Env<'_>, entry: Lvt, value: u32) {
        let old = self.state.lvt[entry as usize];
        let fixed = entry.read_only();
        let mut new = value & entry.valid() & !fixed | old & fixed;
        if !self.software_enabled() {
            new |= LVT_MASKED;
        }
        match entry {
            Lvt::Timer => self.write_timer_lvt(env, old, new),
            Lvt::Lint0 | Lvt::Lint1 => {
                if new & super::spec::LVT_LEVEL == 0 {
                    new &= !LVT_REMOTE_IRR;
                }
                self.state.lvt[entry as usize] = new;
                self.sample_lint(env, usize::from(entry == Lvt::Lint1), entry);
            }
            Lvt::Cmci | Lvt::Thermal | Lvt::Perf | Lvt::Error => self.state.lvt[entry as usize] = new,
        }
    }

    /// One of the APIC's own sources fires: the timer, an error, a performance counter's overflow. Timer and error
    /// entries have no delivery mode field: they are Fixed, as their bits 10:8 always read 0. INIT and start-up as
    /// reserved combinations do nothing.
    pub fn fire(&mut self, env: &mut Env<'_>, entry: Lvt) {
        let value = self.state.lvt[entry as usize];
        if !self.is_on() || value & LVT_MASKED != 0 {
            return;
        }
        match DeliveryMode::from_bits((value >> 8) as u8) {
            Some(DeliveryMode::StartUp | DeliveryMode::LowestPriority) | None => {}
            Some(mode) => self.deliver(env, mode, value as u8, TriggerMode::Edge),
        }
    }
}
