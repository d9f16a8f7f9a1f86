//! The ISA bridge at 00:1f.0: an Intel ICH9 LPC interface bridge (8086:2918), as far as drivers look. ICH9 datasheet
//! (316972), chapter 13.
//!
//! It places the ACPI ports; the ports themselves, and all that sits behind LPC, are other chips. PIRQ routing is kept
//! for firmware tables and drivers that print it; interrupts go to the I/O APIC, where routing is fixed.

use super::bar::{Space, Window, Windows};
use super::config::{ConfigSpace, ConfigState, Identity};
use super::{PciFunction, spec};
use crate::RestoreError;
use emu_core::Width;
use emu_core::device::DeviceCtx;

/// Number of the bridge's only window: the ACPI ports.
pub const PM_WINDOW: u8 = 0;
/// Ports of the ACPI block.
const PM_PORTS: u64 = 128;

/// The ISA bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LpcBridge {
    pub(super) config: ConfigSpace,
}

impl LpcBridge {
    /// Leads PIRQA-D to 8259 inputs, as firmware does.
    pub fn route_pirqs(&mut self, irqs: [u8; 4]) {
        for (pirq, irq) in (0..).zip(irqs) {
            self.config.preset(spec::LPC_PIRQA + pirq, Width::B1, u32::from(irq));
        }
    }

    /// With the ACPI ports at `pm_base` (a multiple of 128; `None` leaves them off): what firmware would have written.
    #[must_use]
    pub fn new(pm_base: Option<u16>) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x2918,
            revision: 2,
            class: 0x06_0100,
            subsystem_vendor: 0x8086,
            subsystem: 0x2918,
        });
        let command = spec::COMMAND_IO | spec::COMMAND_MEMORY | spec::COMMAND_MASTER;
        config.preset(spec::COMMAND, Width::B2, u32::from(command));
        config.allow(spec::COMMAND, Width::B2, u32::from(spec::COMMAND_PARITY | spec::COMMAND_SERR));
        config.preset(spec::STATUS, Width::B2, 0x0200);
        config.preset(spec::HEADER_TYPE, Width::B1, 0x80);
        config.preset(spec::LPC_PMBASE, Width::B4, u32::from(pm_base.unwrap_or(0) & 0xff80) | 1);
        config.allow(spec::LPC_PMBASE, Width::B4, 0xff80);
        let enable = if pm_base.is_some() { spec::ACPI_CNTL_ENABLE } else { 0 };
        config.preset(spec::LPC_ACPI_CNTL, Width::B1, u32::from(enable));
        config.allow(spec::LPC_ACPI_CNTL, Width::B1, 0x87);
        config.preset(spec::LPC_GPIOBASE, Width::B4, 1);
        config.allow(spec::LPC_GPIOBASE, Width::B4, 0xff80);
        config.allow(spec::LPC_GC, Width::B1, 0x11);
        for pirq in 0..4 {
            for first in [spec::LPC_PIRQA, spec::LPC_PIRQE] {
                config.preset(first + pirq, Width::B1, 0x80);
                config.allow(first + pirq, Width::B1, 0x8f);
            }
        }
        config.preset(spec::LPC_SIRQ, Width::B1, 0x10);
        config.allow(spec::LPC_SIRQ, Width::B1, 0xff);
        config.allow(spec::LPC_IO_DECODE, Width::B4, 0x3f0f_1377);
        for range in 0..4 {
            config.allow(spec::LPC_GENERIC_DECODE + range * 4, Width::B4, 0x00fc_fffd);
        }
        config.allow(spec::LPC_GEN_PMCON_1, Width::B2, 0x18ff);
        config.allow(spec::LPC_BIOS_CNTL, Width::B1, 0x0d);
        config.allow(spec::LPC_RCBA, Width::B4, 0xffff_c001);
        Self { config }
    }

    /// Where the ACPI ports lie, if they answer.
    #[must_use]
    pub fn pm_ports(&self) -> Option<Window> {
        let base = u64::from(self.config.read(spec::LPC_PMBASE, Width::B4) & 0xff80);
        let enabled = self.config.read(spec::LPC_ACPI_CNTL, Width::B1) as u8 & spec::ACPI_CNTL_ENABLE != 0;
        enabled.then_some(Window { bar: PM_WINDOW, space: Space::Io, base, size: PM_PORTS })
    }

    /// Back to what firmware leaves.
    pub fn reset(&mut self) {
        self.config.reset();
    }

    /// What a snapshot keeps.
    #[must_use]
    pub fn state(&self) -> ConfigState {
        self.config.state()
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: &ConfigState) -> Result<(), RestoreError> {
        self.config.restore(state)
    }
}

impl PciFunction for LpcBridge {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_read(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(offset, width, value);
    }

    fn windows(&self) -> Windows {
        [self.pm_ports(), None, None, None, None, None]
    }
}
