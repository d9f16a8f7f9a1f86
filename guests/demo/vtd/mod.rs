//! The VT-d unit: translation of the NIC's DMA and remapping of its interrupts.
//!
//! VT-d specification revision 4.1: chapter 3 (DMA remapping), chapter 5 (interrupt remapping), 11.4.4.1
//! (commands). The order in which things are turned on is that of chapter 10's programming considerations: a
//! table is complete before its pointer is set, the caches are invalidated before they are used, faults can
//! be reported before translation begins.

pub mod fault;
mod queue;
pub mod remap;
mod spec;
mod tables;

pub use tables::Access;

use crate::mem::Mmio;
use crate::pci::Bdf;
use crate::{fail, log};
use queue::Queue;
use tables::Tables;

/// Commands take effect within microseconds; more polls than this mean that the unit does not work.
const MAX_POLLS: u32 = 10_000_000;

/// The domain that the NIC is in. Not 0, which a unit in caching mode keeps for itself (6.1).
const DOMAIN: u16 = 1;

/// What every part of the driver needs to know about the unit.
#[derive(Clone, Copy)]
struct Unit {
    registers: Mmio,
    cap: u64,
    ecap: u64,
}

impl Unit {
    fn command(self, bit: u32) {
        let persistent = self.registers.read32(spec::GSTS) & spec::GSTS_PERSISTENT;
        self.registers.write32(spec::GCMD, persistent | bit);
        self.wait_status(bit, true);
    }

    fn turn_off(self, bit: u32) {
        let persistent = self.registers.read32(spec::GSTS) & spec::GSTS_PERSISTENT;
        if persistent & bit != 0 {
            self.registers.write32(spec::GCMD, persistent & !bit);
            self.wait_status(bit, false);
        }
    }

    fn wait_status(self, bit: u32, set: bool) {
        for _ in 0..MAX_POLLS {
            if (self.registers.read32(spec::GSTS) & bit != 0) == set {
                return;
            }
        }
        fail!(
            Vtd,
            "vtd: command {bit:#010x} has no effect, GSTS {:#010x}",
            self.registers.read32(spec::GSTS)
        );
    }

    /// Makes table changes reach memory on units that keep them in a write buffer of the chipset (6.8).
    fn flush_write_buffer(self) {
        if self.cap & spec::CAP_RWBF != 0 {
            let persistent = self.registers.read32(spec::GSTS) & spec::GSTS_PERSISTENT;
            self.registers.write32(spec::GCMD, persistent | spec::GCMD_WBF);
            self.wait_status(spec::GCMD_WBF, false);
        }
    }
}

/// The unit with the tables that it walks.
pub struct Vtd {
    unit: Unit,
    tables: Tables,
    queue: Queue,
}

impl Vtd {
    /// Looks for the unit whose registers are at `base` and prepares empty tables for `device`.
    pub fn new(base: u64, device: Bdf) -> Self {
        let registers = Mmio::new(base);
        let version = registers.read32(spec::VER);
        if version & 0xff == 0 || version == u32::MAX {
            fail!(Vtd, "vtd: no unit at {base:#x} (version {version:#x}); vtd=off runs without one");
        }
        let unit = Unit { registers, cap: registers.read64(spec::CAP), ecap: registers.read64(spec::ECAP) };
        log!(
            "vtd: unit at {base:#x}, version {}.{}, cap {:#x}, ecap {:#x}",
            version >> 4 & 0xf,
            version & 0xf,
            unit.cap,
            unit.ecap
        );
        if unit.ecap & spec::ECAP_QI == 0 {
            fail!(Vtd, "vtd: the unit has no queued invalidation");
        }
        for leftover in [spec::GCMD_TE, spec::GCMD_IRE, spec::GCMD_QIE] {
            unit.turn_off(leftover);
        }
        let queue = Queue::enable(unit);
        let tables = Tables::new(unit, device);
        log!("vtd: {device} in domain {DOMAIN}, {}-level tables, queued invalidation on", tables.levels());
        Self { unit, tables, queue }
    }

    /// Maps one page of the device's addresses.
    pub fn map(&mut self, iova: u64, phys: u64, access: Access) {
        self.tables.set(iova, phys, access);
    }

    /// Takes one page of the device's addresses away.
    pub fn unmap(&mut self, iova: u64) {
        self.tables.clear(iova);
    }

    /// Makes the unit forget what it remembers of one page.
    pub fn invalidate_page(&mut self, iova: u64) {
        self.unit.flush_write_buffer();
        self.queue.invalidate_page(iova);
    }

    /// Has `entry` found under `handle` by interrupts from now on.
    pub fn remap_interrupt(&mut self, handle: remap::Handle, entry: remap::Entry) {
        remap::set(self.unit, handle, entry);
        self.unit.flush_write_buffer();
        self.queue.invalidate_interrupt_entries();
    }

    /// Turns interrupt remapping on.
    pub fn enable_interrupt_remapping(&mut self) {
        if self.unit.ecap & spec::ECAP_IR == 0 {
            fail!(Vtd, "vtd: the unit cannot remap interrupts; ir=off runs without");
        }
        self.unit.registers.write64(spec::IRTA, remap::table_address());
        self.unit.command(spec::GCMD_SIRTP);
        self.queue.invalidate_interrupt_entries();
        self.unit.command(spec::GCMD_IRE);
        log!("vtd: interrupt remapping on, table of {} entries", remap::ENTRIES);
    }

    /// Has faults reported by an interrupt.
    pub fn enable_fault_event(&mut self, vector: u8, destination: u8) {
        fault::enable(self.unit, vector, destination);
    }

    /// Turns translation on: from now on the device reaches what is mapped, and nothing else.
    pub fn enable_translation(&mut self) {
        self.unit.flush_write_buffer();
        self.unit.registers.write64(spec::RTADDR, self.tables.root_address());
        self.unit.command(spec::GCMD_SRTP);
        self.queue.invalidate_contexts();
        self.queue.invalidate_all_pages();
        self.unit.command(spec::GCMD_TE);
        log!("vtd: DMA translation on");
    }
}
