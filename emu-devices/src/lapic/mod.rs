//! A processor's local APIC in xAPIC and x2APIC mode: Intel SDM vol. 3A, chapter 12.
//!
//! It takes interrupts in ([`Lapic::accept`]), ranks them ([`Lapic::pending`]), hands them to its processor
//! ([`Lapic::acknowledge`]), counts time, and sends IPIs as signals. It does not know other APICs: who a message is
//! meant for is answered by [`destinations`] over all of them.

mod base;
mod info;
mod ipi;
mod irq;
mod lvt;
mod mmio;
mod msr;
mod show;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;
mod timer;

pub use info::{RegisterInfo, register_info};
pub use ipi::destinations;
pub use irq::Request;
pub use msr::GeneralProtection;
pub use spec::register_name;
pub use state::{LapicState, Latch, TimerState, Vectors};

use crate::RestoreError;
use emu_core::Slot;
use emu_core::device::Env;

/// What the machine's builder decides about a local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The processor's index: the number in [`Slot::Lapic`].
    pub index: u8,
    /// APIC id. In xAPIC mode only its low 8 bits are seen.
    pub id: u32,
    /// This is the bootstrap processor.
    pub bsp: bool,
    /// What the timer counts before the divider, in Hz. CPUID leaf 0x15 must say the same.
    pub timer_hz: u64,
    /// The TSC's frequency in Hz, for TSC-deadline mode.
    pub tsc_hz: u64,
    /// CPUID.1:ECX.x2APIC.
    pub x2apic: bool,
    /// CPUID.1:ECX.TSC_Deadline.
    pub tsc_deadline: bool,
    /// The version register says that EOI broadcasts can be suppressed.
    pub eoi_suppression: bool,
    /// Physical address bits, for the reserved bits of IA32_APIC_BASE.
    pub physical_bits: u8,
}

impl Config {
    /// A bootstrap processor's with everything on.
    #[must_use]
    pub const fn new(index: u8, timer_hz: u64, tsc_hz: u64) -> Self {
        Self {
            index,
            id: index as u32,
            bsp: index == 0,
            timer_hz,
            tsc_hz,
            x2apic: true,
            tsc_deadline: true,
            eoi_suppression: true,
            physical_bits: 39,
        }
    }
}

/// The three modes of IA32_APIC_BASE (SDM vol. 3A, figure 12-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Off: the processor's INTR and NMI pins are LINT0 and LINT1.
    Disabled,
    /// Registers in memory space.
    XApic,
    /// Registers as MSRs.
    X2Apic,
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapic {
    config: Config,
    state: LapicState,
}

impl Lapic {
    /// After power-on.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { state: LapicState::reset(&config), config }
    }

    /// What the builder decided.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &LapicState {
        &self.state
    }

    /// Goes on from a snapshot; the event queue is restored by its owner.
    pub fn restore(&mut self, state: LapicState) -> Result<(), RestoreError> {
        state.validate(&self.config)?;
        self.state = state;
        Ok(())
    }

    /// Who it is in events and records.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot::Lapic(self.config.index)
    }

    /// The present mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.state.mode().unwrap_or(Mode::Disabled)
    }

    /// SVR bit 8: Fixed interrupts are taken in and LVT entries may be unmasked.
    #[must_use]
    pub const fn software_enabled(&self) -> bool {
        self.state.svr & spec::SVR_ENABLE != 0
    }

    /// As firmware leaves the bootstrap processor's APIC: virtual wire mode through LINT0, NMI on LINT1 (Intel
    /// MultiProcessor Specification 1.4, section 3.6.2.2). For machines that start a kernel without firmware.
    pub fn set_virtual_wire(&mut self) {
        self.state.svr |= spec::SVR_ENABLE;
        self.state.lvt[spec::Lvt::Lint0 as usize] = 7 << 8;
        self.state.lvt[spec::Lvt::Lint1 as usize] = 4 << 8;
    }

    /// What it asked to be told.
    pub fn on_event(&mut self, env: &mut Env<'_>, token: u32) {
        if token == timer::TOKEN {
            self.timer_due(env);
        }
    }
}
