//! The closed set of parties in the machine: who an event is for, who raised a pin, who a trace record speaks of.
//!
//! Names only; where a chip sits and how it is wired is the root crate's knowledge.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A party of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// A processor, by index.
    Cpu(u8),
    /// A network card, by index.
    Nic(u8),
    /// The far end of a network card's cable: replayed or looped frames, by the card's index.
    Wire(u8),
    /// A VT-d unit, by index.
    Iommu(u8),
    /// A processor's local APIC, by the processor's index.
    Lapic(u8),
    /// The I/O APIC.
    Ioapic,
    /// The 8259 pair.
    Pic,
    /// The 8254 timer and port 0x61.
    Pit,
    /// CMOS RAM and real-time clock.
    Rtc,
    /// A 16550 serial port, by index (COM1 is 0).
    Uart(u8),
    /// ACPI power management: PM timer, PM1 blocks, sleep and reset.
    AcpiPm,
    /// The 8042 keyboard controller, the A20 gate and port 0x92.
    Kbc,
    /// Debug exit, debug console and Bochs-style shutdown ports.
    DebugPort,
    /// PCI configuration space.
    Pci,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(n) => write!(f, "cpu{n}"),
            Self::Nic(n) => write!(f, "e1000.{n}"),
            Self::Wire(n) => write!(f, "wire{n}"),
            // Most machines have one, which needs no number.
            Self::Iommu(0) => f.write_str("iommu"),
            Self::Iommu(n) => write!(f, "iommu{n}"),
            Self::Lapic(n) => write!(f, "lapic{n}"),
            Self::Ioapic => f.write_str("ioapic"),
            Self::Pic => f.write_str("pic"),
            Self::Pit => f.write_str("pit"),
            Self::Rtc => f.write_str("rtc"),
            Self::Uart(n) => write!(f, "uart{n}"),
            Self::AcpiPm => f.write_str("acpi-pm"),
            Self::Kbc => f.write_str("kbc"),
            Self::DebugPort => f.write_str("debug-port"),
            Self::Pci => f.write_str("pci"),
        }
    }
}
