//! The chips that stand on the board.

use super::layout;
use emu_core::{Bdf, Pin};
use emu_devices::acpi_pm::AcpiPm;
use emu_devices::debug_port::DebugPort;
use emu_devices::e1000::E1000;
use emu_devices::kbc::Kbc;
use emu_devices::pci::{ConfigPorts, HostBridge, LpcBridge, PciBridge, PciFunction as _, Window};
use emu_devices::pit::Pit;
use emu_devices::rtc::Rtc;
use emu_devices::uart::Uart;

/// All of them, by name.
#[derive(Debug)]
pub(super) struct Devices {
    pub(super) nic: E1000,
    pub(super) host_bridge: HostBridge,
    pub(super) lpc: LpcBridge,
    /// The card stands behind it, where there is one.
    pub(super) bridge: Option<PciBridge>,
    pub(super) config_ports: ConfigPorts,
    pub(super) pit: Pit,
    pub(super) rtc: Rtc,
    pub(super) uart: Uart,
    pub(super) acpi_pm: AcpiPm,
    pub(super) kbc: Kbc,
    pub(super) debug_port: DebugPort,
}

/// Where the network card is: on the root bus, or behind the bridge.
impl Devices {
    /// Its place in configuration space; `None` while the bus that it is on has no number.
    pub(super) fn nic_function(&self) -> Option<Bdf> {
        match &self.bridge {
            None => Some(layout::NIC),
            Some(bridge) => bridge.buses().map(|buses| Bdf::new(*buses.start(), layout::NIC_DEVICE, 0)),
        }
    }

    /// Who its requests say that they are from.
    pub(super) fn nic_requester(&self) -> Bdf {
        self.bridge.as_ref().and_then(PciBridge::requester).unwrap_or(layout::NIC)
    }

    /// Whether its requests get through to the root.
    pub(super) fn nic_is_master(&self) -> bool {
        self.nic.bus_master() && self.bridge.as_ref().is_none_or(PciBridge::forwards_up)
    }

    /// Addresses that the processor reaches it at.
    pub(super) fn nic_windows(&self) -> impl Iterator<Item = Window> {
        let passes = |window: &Window| self.bridge.as_ref().is_none_or(|bridge| bridge.forwards_down(window));
        self.nic.windows().into_iter().flatten().filter(passes)
    }

    /// The root bus's interrupt pin that one of its own drives.
    pub(super) fn nic_pin(&self, pin: Pin) -> Pin {
        if self.bridge.is_some() { PciBridge::swizzle(layout::NIC_DEVICE, pin) } else { pin }
    }
}
