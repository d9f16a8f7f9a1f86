//! The card's PCI configuration space. Manual chapter 4.1.
//!
//! What hands the card to somebody else, as VFIO and Xen do, wants two things of it. *A reset of the function*: the way from
//! D3hot to D0, since PMCSR.No_Soft_Reset reads 0 (PCI PM 1.2, 3.2.4); it puts back configuration space and MAC and leaves the
//! PHY, so the link stays. There is no function level reset: that is PCI Express's, or of the Advanced Features capability,
//! which came years after this card. *A pin that can be masked from outside*: [`super::E1000Config::intx_masking`].

use super::{E1000, E1000Config, IO_BAR, MMIO_BAR, spec};
use crate::pci::spec as pci;
use crate::pci::{BarKind, ConfigSpace, Identity, PciFunction};
use emu_core::Width;
use emu_core::device::DeviceCtx;

/// Offset of the power management capability (4.1.4).
const POWER_CAPABILITY: u16 = 0xdc;
/// Offset of the MSI capability (4.1.3.1).
const MSI_CAPABILITY: u16 = 0xf0;
/// Power capabilities: version 2, device specific initialization, PME# from D0 and D3hot.
const POWER_CAPABILITIES: u16 = 0x4822;

/// The configuration space of a card that was just switched on.
pub(super) fn config_space(card: &E1000Config) -> ConfigSpace {
    let mut config = ConfigSpace::new(Identity {
        vendor: 0x8086,
        device: 0x100e,
        revision: 2,
        class: 0x02_0000,
        subsystem_vendor: 0x8086,
        subsystem: 0x001e,
    });
    let command = pci::COMMAND_IO
        | pci::COMMAND_MEMORY
        | pci::COMMAND_MASTER
        | pci::COMMAND_MWI
        | pci::COMMAND_PARITY
        | pci::COMMAND_SERR
        | if card.intx_masking { pci::COMMAND_INTX_DISABLE } else { 0 };
    config.allow(pci::COMMAND, Width::B2, u32::from(command));
    let status = pci::STATUS_66MHZ | pci::STATUS_DEVSEL_MEDIUM;
    config.preset(pci::STATUS, Width::B2, u32::from(status));
    config.allow(pci::CACHE_LINE, Width::B1, 0xff);
    config.allow(pci::LATENCY_TIMER, Width::B1, 0xfc);
    config.add_bar(MMIO_BAR, BarKind::Memory32, spec::MMIO_SIZE);
    config.add_bar(IO_BAR, BarKind::Io, spec::IO_SIZE);
    config.allow(pci::INTERRUPT_LINE, Width::B1, 0xff);
    config.preset(pci::INTERRUPT_PIN, Width::B1, 1);
    config.preset(pci::MIN_GRANT, Width::B1, 0xff);
    config.add_power_management(POWER_CAPABILITY, POWER_CAPABILITIES);
    config.add_msi(MSI_CAPABILITY);
    config
}

impl PciFunction for E1000 {
    fn config(&self) -> &ConfigSpace {
        &self.pci
    }

    fn config_read(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32 {
        self.pci.read(offset, width)
    }

    /// A write may switch bus mastering, INTx or MSI, or wake the card from D3hot, which resets its MAC.
    fn config_write(&mut self, ctx: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32) {
        let (power, master) = (self.pci.power_state(), self.pci.bus_master());
        self.pci.write(offset, width, value);
        if power != 0 && self.pci.power_state() == 0 {
            self.reset_mac(ctx);
        }
        if !master && self.pci.bus_master() {
            self.resume_receive(ctx);
            self.resume_transmit(ctx);
        }
        self.update_interrupt(ctx);
    }
}
