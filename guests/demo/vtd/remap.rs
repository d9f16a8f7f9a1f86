//! The interrupt remap table.
//!
//! VT-d specification revision 4.1: 5.1.4 (validation of the source), 5.1.5.1 and 5.1.5.2 (formats of
//! requests), 9.10 (entries).

use super::{Unit, spec};
use crate::cpu;
use crate::mem::{PAGE_SIZE, Page};
use crate::pci::Bdf;

/// One page of 16-byte entries.
pub const ENTRIES: usize = PAGE_SIZE / 16;

static TABLE: Page = Page::new();

/// The index of an entry, as interrupt requests carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle(pub u16);

impl Handle {
    /// Bits 14:0.
    pub fn low_15(self) -> u16 {
        self.0 & 0x7fff
    }

    /// Bit 15, which every format keeps elsewhere.
    pub fn bit_15(self) -> u16 {
        self.0 >> 15
    }

    /// The MSI address that names this entry; the data are 0, since no subhandle is added.
    pub fn msi_address(self) -> u32 {
        let top = if self.bit_15() != 0 { spec::MSI_HANDLE_BIT_15 } else { 0 };
        spec::MSI_REMAPPABLE | u32::from(self.low_15()) << spec::MSI_HANDLE_LOW_SHIFT | top
    }
}

/// What an entry makes of a request: a fixed interrupt to one CPU, if it came from the right source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The vector that the CPU gets.
    pub vector: u8,
    /// The CPU's APIC id.
    pub destination: u8,
    /// Level triggered, as the request itself must be.
    pub level: bool,
    /// The only requester that may use the entry.
    pub source: Bdf,
}

/// What the table address register gets: xAPIC mode, size field 7 for 2^8 entries.
pub fn table_address() -> u64 {
    TABLE.phys() | u64::from(ENTRIES.trailing_zeros() - 1)
}

/// Writes an entry. The half with the present bit comes last.
pub(super) fn set(unit: Unit, handle: Handle, entry: Entry) {
    let index = usize::from(handle.0) * 2;
    let level = if entry.level { spec::IRTE_LEVEL } else { 0 };
    let low = spec::IRTE_PRESENT
        | level
        | u64::from(entry.vector) << spec::IRTE_VECTOR_SHIFT
        | u64::from(entry.destination) << spec::IRTE_XAPIC_DESTINATION_SHIFT;
    TABLE.write64(index + 1, spec::IRTE_VERIFY_SOURCE | u64::from(entry.source.0));
    TABLE.write64(index, low);
    if unit.ecap & spec::ECAP_C == 0 {
        cpu::flush_cache_line(TABLE.phys() + index as u64 * 8);
    }
    cpu::memory_fence();
}

/// The compatibility format MSI address for a CPU: for machines without remapping, and for the unit's own
/// interrupts, which are never remapped.
pub fn compatibility_address(destination: u8) -> u32 {
    spec::MSI_COMPATIBILITY | u32::from(destination) << spec::MSI_DESTINATION_SHIFT
}
