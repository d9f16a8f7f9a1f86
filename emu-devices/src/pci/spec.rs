//! Offsets and bits of PCI configuration space: PCI Local Bus 3.0 chapter 6, PCI Power Management 1.2 chapter 3, and
//! the two Intel bridges' own registers.

/// Vendor ID, 16 bits, RO (PCI 3.0, 6.2.1).
pub const VENDOR_ID: u16 = 0x00;
/// Device ID, 16 bits, RO.
pub const DEVICE_ID: u16 = 0x02;
/// Command, 16 bits, RW (6.2.2).
pub const COMMAND: u16 = 0x04;
/// Status, 16 bits, RW1C (6.2.3).
pub const STATUS: u16 = 0x06;
/// Revision ID, 8 bits, RO; the class code follows in 3 bytes.
pub const REVISION: u16 = 0x08;
/// Cache line size, 8 bits, RW (6.2.4).
pub const CACHE_LINE: u16 = 0x0c;
/// Latency timer, 8 bits, RW.
pub const LATENCY_TIMER: u16 = 0x0d;
/// Header type, 8 bits, RO; bit 7 says that there are functions 1-7 (6.2.1).
pub const HEADER_TYPE: u16 = 0x0e;
/// First of six base address registers, 32 bits each (6.2.5).
pub const BAR0: u16 = 0x10;
/// Subsystem vendor ID, 16 bits, RO (6.2.4).
pub const SUBSYSTEM_VENDOR: u16 = 0x2c;
/// Subsystem ID, 16 bits, RO.
pub const SUBSYSTEM: u16 = 0x2e;
/// Offset of the first capability, 8 bits, RO (6.7).
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line, 8 bits, RW: firmware's scratch for the driver.
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Interrupt pin, 8 bits, RO: 1 is INTA.
pub const INTERRUPT_PIN: u16 = 0x3d;
/// Minimum grant, 8 bits, RO, in quarter microseconds.
pub const MIN_GRANT: u16 = 0x3e;

/// Command: answer in I/O space.
pub const COMMAND_IO: u16 = 1 << 0;
/// Command: answer in memory space.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: may be bus master.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Command: may use memory write and invalidate.
pub const COMMAND_MWI: u16 = 1 << 4;
/// Command: parity error response.
pub const COMMAND_PARITY: u16 = 1 << 6;
/// Command: SERR# enable.
pub const COMMAND_SERR: u16 = 1 << 8;
/// Command: INTx# must stay low.
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;

/// Status: an interrupt is pending inside the function, whatever the disable bit says; RO.
pub const STATUS_INTERRUPT: u16 = 1 << 3;
/// Status: there is a capabilities list; RO.
pub const STATUS_CAPABILITIES: u16 = 1 << 4;
/// Status: can run at 66 MHz; RO.
pub const STATUS_66MHZ: u16 = 1 << 5;
/// Status: DEVSEL# timing medium; RO.
pub const STATUS_DEVSEL_MEDIUM: u16 = 1 << 9;
/// Status: a transaction of ours ended in target abort; RW1C.
pub const STATUS_TARGET_ABORT: u16 = 1 << 12;
/// Status: a transaction of ours ended in master abort; RW1C.
pub const STATUS_MASTER_ABORT: u16 = 1 << 13;
/// Status: every bit that software clears by writing 1.
pub const STATUS_RW1C: u16 = 0xf900;

/// BAR bit 0: I/O space.
pub const BAR_IO: u32 = 1 << 0;
/// BAR bits 2:1: 64-bit memory.
pub const BAR_64: u32 = 2 << 1;

/// Capability ID: power management.
pub const CAP_POWER: u8 = 0x01;
/// Capability ID: message signalled interrupts.
pub const CAP_MSI: u8 = 0x05;

/// Capability ID: PCI Express.
pub const CAP_EXPRESS: u8 = 0x10;

/// Power capabilities, from the capability's start, 16 bits, RO (PCI PM 1.2, 3.2.3).
pub const PMC: u16 = 2;
/// Power control and status, 16 bits (3.2.4).
pub const PMCSR: u16 = 4;
/// PMCSR: power state, 0 is D0, 3 is D3hot.
pub const PMCSR_STATE: u16 = 3;
/// PMCSR: PME# enable.
pub const PMCSR_PME_ENABLE: u16 = 1 << 8;
/// PMCSR: data select.
pub const PMCSR_DATA_SELECT: u16 = 0xf << 9;
/// PMCSR: PME# status; RW1C.
pub const PMCSR_PME_STATUS: u16 = 1 << 15;

/// Message control, from the capability's start, 16 bits (PCI 3.0, 6.8.1.3).
pub const MSI_CONTROL: u16 = 2;
/// Message address, low dword.
pub const MSI_ADDRESS: u16 = 4;
/// Message address, high dword.
pub const MSI_ADDRESS_HIGH: u16 = 8;
/// Message data, 16 bits, of a 64-bit capable function.
pub const MSI_DATA: u16 = 12;
/// Message control: enable.
pub const MSI_CONTROL_ENABLE: u16 = 1 << 0;
/// Message control: how many messages software allowed, as a power of two.
pub const MSI_CONTROL_MULTIPLE: u16 = 7 << 4;
/// Message control: 64-bit address capable; RO.
pub const MSI_CONTROL_64: u16 = 1 << 7;

/// Express capabilities, from the capability's start, 16 bits, RO: version and kind (PCI Express Base 1.1, 7.8.2).
pub const EXPRESS_CAPABILITIES: u16 = 0x02;
/// Device control, 16 bits, RW (7.8.4).
pub const EXPRESS_DEVICE_CONTROL: u16 = 0x08;
/// Device status, 16 bits, RW1C (7.8.5).
pub const EXPRESS_DEVICE_STATUS: u16 = 0x0a;
/// Link capabilities, 32 bits, RO (7.8.6).
pub const EXPRESS_LINK: u16 = 0x0c;
/// Link control, 16 bits, RW (7.8.7).
pub const EXPRESS_LINK_CONTROL: u16 = 0x10;
/// Link status, 16 bits, RO (7.8.8).
pub const EXPRESS_LINK_STATUS: u16 = 0x12;
/// Link capabilities and status: one lane, 2.5 GT/s.
pub const LINK_ONE_LANE: u32 = 0x11;
/// Kind of Express function: bridge to conventional PCI or PCI-X.
pub const EXPRESS_TO_PCI: u16 = 7;

/// Type 1 header: the bus that the bridge stands on, 8 bits, RW (PCI-to-PCI Bridge 1.2, 3.2.5.2).
pub const PRIMARY_BUS: u16 = 0x18;
/// Type 1 header: the bus behind it, 8 bits, RW (3.2.5.3).
pub const SECONDARY_BUS: u16 = 0x19;
/// Type 1 header: the last bus behind it, 8 bits, RW (3.2.5.4).
pub const SUBORDINATE_BUS: u16 = 0x1a;
/// Type 1 header: latency timer of the bus behind, 8 bits, RW (3.2.5.5).
pub const SECONDARY_LATENCY: u16 = 0x1b;
/// Type 1 header: ports behind it, bits 15:12 of the first, 8 bits (3.2.5.6).
pub const IO_BASE: u16 = 0x1c;
/// Type 1 header: the same of the last.
pub const IO_LIMIT: u16 = 0x1d;
/// Type 1 header: status of the bus behind, 16 bits, RW1C (3.2.5.7).
pub const SECONDARY_STATUS: u16 = 0x1e;
/// Type 1 header: memory behind it, bits 31:20 of the first address, 16 bits (3.2.5.8).
pub const MEMORY_BASE: u16 = 0x20;
/// Type 1 header: the same of the last.
pub const MEMORY_LIMIT: u16 = 0x22;
/// Type 1 header: prefetchable memory behind it (3.2.5.9).
pub const PREFETCH_BASE: u16 = 0x24;
/// Type 1 header: the same of the last.
pub const PREFETCH_LIMIT: u16 = 0x26;
/// Type 1 header: bits 63:32 of the first prefetchable address (3.2.5.10).
pub const PREFETCH_BASE_UPPER: u16 = 0x28;
/// Type 1 header: the same of the last.
pub const PREFETCH_LIMIT_UPPER: u16 = 0x2c;
/// Type 1 header: bridge control, 16 bits (3.2.5.18).
pub const BRIDGE_CONTROL: u16 = 0x3e;
/// Bridge control: parity and SERR forwarding, ISA and VGA enable, master abort mode, bus reset, discard timers.
pub const BRIDGE_CONTROL_RW: u16 = 0x0b7f;
/// Bridge control: of every KiB of ports only the first 256 are behind the bridge.
pub const BRIDGE_ISA_ENABLE: u16 = 1 << 2;

/// Q35 MCH: DRAM controller's own window, 64 bits (Intel 3 Series datasheet 316966, 5.1).
pub const MCH_MCHBAR: u16 = 0x48;
/// Q35 MCH: graphics control, 16 bits.
pub const MCH_GGC: u16 = 0x52;
/// Q35 MCH: device enable, 32 bits.
pub const MCH_DEVEN: u16 = 0x54;
/// Q35 MCH: where the ECAM window lies, 64 bits.
pub const MCH_PCIEXBAR: u16 = 0x60;
/// Q35 MCH: DMI's own window, 64 bits.
pub const MCH_DMIBAR: u16 = 0x68;
/// Q35 MCH: programmable attribute map, 7 bytes.
pub const MCH_PAM0: u16 = 0x90;
/// Q35 MCH: system management RAM control, 8 bits.
pub const MCH_SMRAM: u16 = 0x9d;
/// Q35 MCH: top of low usable DRAM, 16 bits, in units of 1 MiB from bit 4.
pub const MCH_TOLUD: u16 = 0xb0;
/// PCIEXBAR: enable.
pub const PCIEXBAR_ENABLE: u64 = 1 << 0;
/// PCIEXBAR: length, 0 is 256 buses, 1 is 128, 2 is 64.
pub const PCIEXBAR_LENGTH: u64 = 3 << 1;

/// ICH9 LPC: base of the ACPI ports (ICH9 datasheet 316972, 13.1), 32 bits.
pub const LPC_PMBASE: u16 = 0x40;
/// ICH9 LPC: ACPI enable and SCI routing, 8 bits.
pub const LPC_ACPI_CNTL: u16 = 0x44;
/// ICH9 LPC: base of the GPIO ports, 32 bits.
pub const LPC_GPIOBASE: u16 = 0x48;
/// ICH9 LPC: GPIO enable, 8 bits.
pub const LPC_GC: u16 = 0x4c;
/// ICH9 LPC: routing of PIRQA-D to the 8259, 4 bytes.
pub const LPC_PIRQA: u16 = 0x60;
/// ICH9 LPC: serial IRQ control, 8 bits.
pub const LPC_SIRQ: u16 = 0x64;
/// ICH9 LPC: routing of PIRQE-H, 4 bytes.
pub const LPC_PIRQE: u16 = 0x68;
/// ICH9 LPC: which legacy ports go to LPC, 32 bits.
pub const LPC_IO_DECODE: u16 = 0x80;
/// ICH9 LPC: four generic decode ranges, 32 bits each.
pub const LPC_GENERIC_DECODE: u16 = 0x84;
/// ICH9 LPC: power management configuration, 16 bits.
pub const LPC_GEN_PMCON_1: u16 = 0xa0;
/// ICH9 LPC: BIOS control, 8 bits.
pub const LPC_BIOS_CNTL: u16 = 0xdc;
/// ICH9 LPC: root complex base, 32 bits.
pub const LPC_RCBA: u16 = 0xf0;
/// ACPI_CNTL: ACPI ports answer.
pub const ACPI_CNTL_ENABLE: u8 = 1 << 7;
