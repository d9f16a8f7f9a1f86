//! Where everything is: addresses, ports, PCI places and interrupt wires of the one board there is, laid out as on a Q35
//! (Intel 3 Series chipset and ICH9 datasheets).

use emu_core::{Bdf, Gpa, Pin, Slot};
use std::ops::RangeInclusive;

/// I/O APIC registers.
pub const IOAPIC: Gpa = Gpa(0xfec0_0000);
/// VT-d registers, one page a unit; those of further units follow.
pub const VTD: Gpa = Gpa(0xfed9_0000);
/// Local APIC registers, one page, unless IA32_APIC_BASE says otherwise.
pub const LAPIC: Gpa = Gpa(0xfee0_0000);
/// PCI configuration space, 256 buses.
pub const ECAM: Gpa = Gpa(0xe000_0000);
/// Its length.
pub const ECAM_SIZE: u64 = 0x1000_0000;
/// ACPI power management ports.
pub const PM_PORTS: u16 = 0x600;
/// Length of the I/O APIC's, VT-d's and local APIC's registers.
pub const PAGE: u64 = 0x1000;
/// Writes by devices to this MiB are interrupt messages.
pub const MESSAGES: RangeInclusive<u64> = 0xfee0_0000..=0xfeef_ffff;

/// The network card, where it stands on the root bus.
pub const NIC: Bdf = Bdf::new(0, 2, 0);
/// Its device number, there and behind the bridge.
pub const NIC_DEVICE: u8 = 2;
/// The bridge to conventional PCI, where there is one.
pub const BRIDGE: Bdf = Bdf::new(0, 30, 0);
/// The bus that firmware puts behind it.
pub const BRIDGE_BUS: u8 = 1;
/// The memory that firmware puts behind it.
pub const BRIDGE_MEMORY: RangeInclusive<u32> = 0xfeb0_0000..=0xfebf_ffff;
/// Host bridge.
pub const HOST_BRIDGE: Bdf = Bdf::new(0, 0, 0);
/// LPC bridge: legacy ports, interrupt routing, power management.
pub const LPC: Bdf = Bdf::new(0, 31, 0);
/// What the I/O APIC asks as; the DMAR table tells the guest.
pub const IOAPIC_SOURCE: Bdf = Bdf::new(0xf0, 0x1f, 0);

/// Registers of a VT-d unit, by number.
#[must_use]
pub const fn vtd(unit: u8) -> Gpa {
    VTD.plus(unit as u64 * PAGE)
}

/// A wire of the board: to a pin of the I/O APIC, and to one of the 8259 pair's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// I/O APIC pin, which is also the global system interrupt.
    pub gsi: u8,
    /// 8259 input, 0-15; `None` if the wire does not reach the pair, or the LPC bridge routes it.
    pub irq: Option<u8>,
}

/// PIRQA, which the network card's INTA is wired to, on the I/O APIC (ICH9: PIRQA-H are pins 16-23).
pub const PIRQA_GSI: u8 = 16;
/// Which 8259 inputs firmware leads PIRQA-D to.
pub const PIRQ_IRQS: [u8; 4] = [11, 10, 11, 10];

/// Where a chip's own pin leads; `None` for PCI interrupt pins, which the LPC bridge routes, and for loose ends.
pub fn wire(slot: Slot, pin: Pin) -> Option<Wire> {
    let both = |line| Some(Wire { gsi: line, irq: Some(line) });
    match slot {
        // ISA IRQ 0 is pin 2 of the I/O APIC, as the MADT's interrupt source override says.
        Slot::Pit if pin.0 == 0 => Some(Wire { gsi: 2, irq: Some(0) }),
        Slot::Kbc => both(1),
        Slot::Uart(0) => both(4),
        Slot::Rtc => both(8),
        Slot::AcpiPm => both(9),
        Slot::Pit
        | Slot::Uart(_)
        | Slot::Cpu(_)
        | Slot::Nic(_)
        | Slot::Wire(_)
        | Slot::Iommu(_)
        | Slot::Lapic(_)
        | Slot::Ioapic
        | Slot::Pic
        | Slot::DebugPort
        | Slot::Pci => None,
    }
}
