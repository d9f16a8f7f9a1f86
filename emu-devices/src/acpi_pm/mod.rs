//! ACPI power management: PM1 event and control blocks, PM timer, an empty GPE block, SMI command, sleep and reset
//! control. Intel ICH9 data sheet, ACPI 6.5 section 4.8. There is no system management mode behind the SMI command:
//! the switch to ACPI mode is made here.

mod irq;
mod pio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::{block_register_name, register_name};
pub use state::AcpiPmState;

use crate::inspect::bit_names;
use crate::{Register, RestoreError};
use emu_core::device::Env;
use emu_core::{Pin, Slot, VirtTime};

/// Who it is in events and records.
const SLOT: Slot = Slot::AcpiPm;
/// The event: the PM timer's most significant bit changes.
const TOKEN: u32 = 0;

/// What the machine's builder decides; the FADT and the DSDT say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// First port of the block.
    pub pm_base: u16,
    /// The timer has 32 bits, not 24 (FADT flag TMR_VAL_EXT).
    pub timer_32_bit: bool,
    /// The sleep type that `\_S5` names.
    pub s5_type: u8,
    /// Bytes that, written to SMI_CMD, enter and leave ACPI mode; `None` if the FADT has no SMI_CMD.
    pub acpi_switch: Option<(u8, u8)>,
    /// ACPI mode from the start, as kernels assume without SMI_CMD.
    pub acpi_at_reset: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { pm_base: 0x600, timer_32_bit: false, s5_type: 0, acpi_switch: None, acpi_at_reset: true }
    }
}

/// Power management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcpiPm {
    config: Config,
    state: AcpiPmState,
}

impl AcpiPm {
    /// The SCI output, active high.
    pub const SCI: Pin = Pin(0);

    /// After reset.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { state: AcpiPmState::reset(&config), config }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &AcpiPmState {
        &self.state
    }

    /// Goes on from a snapshot; the event queue is restored by its owner.
    pub fn restore(&mut self, state: AcpiPmState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// Someone presses the power button.
    pub fn press_power_button(&mut self, env: &mut Env<'_>) {
        self.state.status |= spec::POWER_BUTTON;
        self.update_sci(env);
    }

    /// What it asked to be told.
    pub fn on_event(&mut self, env: &mut Env<'_>, token: u32) {
        if token == TOKEN {
            self.update_sci(env);
        }
    }

    /// The block's registers and the reset control; `offset` is the port.
    pub fn registers(&self, now: VirtTime) -> impl Iterator<Item = Register> {
        let events =
            [(0x001, "timer"), (0x020, "global"), (0x100, "power-button"), (0x400, "rtc"), (0x8000, "wake")];
        let state = &self.state;
        let status = self.status_at(now);
        let at = |offset| self.config.pm_base.wrapping_add(offset);
        let mode = if state.control & spec::SCI_ENABLE != 0 { "ACPI mode" } else { "legacy mode" };
        [
            Register::plain("PM1_STS", at(spec::PM1_STATUS), status)
                .meaning(bit_names(status.into(), &events)),
            Register::plain("PM1_EN", at(spec::PM1_ENABLE), state.enable)
                .meaning(bit_names(state.enable.into(), &events)),
            Register::plain("PM1_CNT", at(spec::PM1_CONTROL), state.control).meaning(mode),
            Register::plain("PM_TMR", at(spec::TIMER), self.timer(now)),
            Register::plain("GPE0_EN", at(spec::GPE0_ENABLE), state.gpe_enable),
            Register::plain("RST_CNT", spec::RESET, state.reset),
        ]
        .into_iter()
    }
}
