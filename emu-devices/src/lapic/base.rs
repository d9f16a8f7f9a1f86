//! IA32_APIC_BASE: the modes and the ways between them (SDM vol. 3A, 12.4.4 and 12.12.5, figure 12-27).

use super::msr::GeneralProtection;
use super::spec::{BASE_BSP, BASE_EN, BASE_EXTD, SVR_ENABLE, SVR_FOCUS, SVR_SUPPRESS_EOI};
use super::state::LapicState;
use super::{Config, Lapic, Mode, timer};
use emu_core::Gpa;
use emu_core::device::Env;

impl Config {
    /// Bits of IA32_APIC_BASE that must be 0.
    pub(super) const fn base_reserved(&self) -> u64 {
        let above = if self.physical_bits < 64 { u64::MAX << self.physical_bits } else { 0 };
        let extd = if self.x2apic { 0 } else { BASE_EXTD };
        above | extd | 0x2ff
    }

    /// Bits that SVR has.
    pub(super) const fn svr_valid(&self) -> u32 {
        let suppress = if self.eoi_suppression { SVR_SUPPRESS_EOI } else { 0 };
        0xff | SVR_ENABLE | SVR_FOCUS | suppress
    }
}

impl Lapic {
    /// Where the register page lies; seen in xAPIC mode only.
    #[must_use]
    pub const fn page(&self) -> Gpa {
        Gpa(self.state.base & !0xfff)
    }

    /// Writes IA32_APIC_BASE. The bootstrap flag is the processor's, not software's, and stays.
    pub(super) fn write_base(&mut self, env: &mut Env<'_>, value: u64) -> Result<(), GeneralProtection> {
        let value = value & !BASE_BSP;
        if value & self.config.base_reserved() != 0 {
            return Err(GeneralProtection);
        }
        let next = LapicState { base: value, ..LapicState::reset(&self.config) }.mode();
        match (self.mode(), next) {
            (_, None) | (Mode::X2Apic, Some(Mode::XApic)) | (Mode::Disabled, Some(Mode::X2Apic)) => {
                return Err(GeneralProtection);
            }
            (_, Some(Mode::Disabled)) => self.reset_registers(env),
            (Mode::XApic, Some(Mode::X2Apic)) => self.state.icr &= u64::from(u32::MAX),
            (Mode::Disabled | Mode::XApic, Some(Mode::XApic)) | (Mode::X2Apic, Some(Mode::X2Apic)) => {}
        }
        self.state.base = value | self.state.base & BASE_BSP;
        Ok(())
    }

    /// Everything but IA32_APIC_BASE, the pins' levels and the TSC goes to its reset value: what INIT does and what
    /// switching off does (12.4.7.3, 12.4.3). Requests that wait for the processor itself stay.
    pub(super) fn reset_registers(&mut self, env: &mut Env<'_>) {
        env.events.cancel(self.slot(), timer::TOKEN);
        let old = std::mem::replace(&mut self.state, LapicState::reset(&self.config));
        self.state.base = old.base;
        self.state.lint = old.lint;
        self.state.timer.tsc_offset = old.timer.tsc_offset;
        self.state.nmi = old.nmi;
        self.state.smi = old.smi;
        self.state.init = old.init;
        self.state.start_up = old.start_up;
        self.state.start_up_page = old.start_up_page;
    }

    /// Whether the page or the MSRs answer at all.
    pub(super) fn is_on(&self) -> bool {
        self.state.base & BASE_EN != 0
    }
}
