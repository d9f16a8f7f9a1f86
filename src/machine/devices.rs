//! The chips that stand on the board.

use emu_devices::acpi_pm::AcpiPm;
use emu_devices::debug_port::DebugPort;
use emu_devices::e1000::E1000;
use emu_devices::kbc::Kbc;
use emu_devices::pci::{ConfigPorts, HostBridge, LpcBridge};
use emu_devices::pit::Pit;
use emu_devices::rtc::Rtc;
use emu_devices::uart::Uart;

/// All of them, by name.
#[derive(Debug)]
pub(super) struct Devices {
    pub(super) nic: E1000,
    pub(super) host_bridge: HostBridge,
    pub(super) lpc: LpcBridge,
    pub(super) config_ports: ConfigPorts,
    pub(super) pit: Pit,
    pub(super) rtc: Rtc,
    pub(super) uart: Uart,
    pub(super) acpi_pm: AcpiPm,
    pub(super) kbc: Kbc,
    pub(super) debug_port: DebugPort,
}
