//! The tables that DMA goes through: root, context, and second-level tables of three or four levels.
//!
//! VT-d specification revision 4.1: 3.4 (root and context), 3.7 (second-stage translation), formats in 9.1,
//! 9.3, 9.8.

use super::{DOMAIN, Unit, spec};
use crate::mem::Page;
use crate::pci::Bdf;
use crate::{cpu, fail};

/// Four levels for one 2 MiB stretch of addresses need four pages, and one more for each further stretch.
const POOL: usize = 8;
const BITS_PER_LEVEL: u32 = 9;
const PAGE_BITS: u32 = 12;

static ROOT: Page = Page::new();
static CONTEXT: Page = Page::new();
static SECOND_LEVEL: [Page; POOL] = [const { Page::new() }; POOL];

/// What a device may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Access {
    /// The device only reads it: a packet to send.
    Read = spec::SECOND_LEVEL_READ,
    /// The device only writes it: a packet received.
    Write = spec::SECOND_LEVEL_WRITE,
    /// Both: a descriptor ring.
    ReadWrite = spec::SECOND_LEVEL_READ | spec::SECOND_LEVEL_WRITE,
}

/// The tables of one device. The first page of the pool is the top of its second level.
pub struct Tables {
    levels: u32,
    used: usize,
    coherent: bool,
}

impl Tables {
    /// Tables that map nothing, with as many levels as the unit can walk up to four.
    pub fn new(unit: Unit, device: Bdf) -> Self {
        let (levels, width) = if unit.cap & spec::CAP_SAGAW_48 != 0 {
            (4, spec::CONTEXT_AW_4_LEVEL)
        } else if unit.cap & spec::CAP_SAGAW_39 != 0 {
            (3, spec::CONTEXT_AW_3_LEVEL)
        } else {
            fail!(Vtd, "vtd: the unit walks neither 3 nor 4 levels")
        };
        let tables = Self { levels, used: 1, coherent: unit.ecap & spec::ECAP_C != 0 };
        let context = usize::from(device.device_function()) * 2;
        tables.write(&CONTEXT, context + 1, width | u64::from(DOMAIN) << spec::CONTEXT_DID_SHIFT);
        tables.write(&CONTEXT, context, SECOND_LEVEL[0].phys() | spec::ENTRY_PRESENT);
        tables.write(&ROOT, usize::from(device.bus()) * 2, CONTEXT.phys() | spec::ENTRY_PRESENT);
        tables
    }

    /// How many levels the second level has.
    pub fn levels(&self) -> u32 {
        self.levels
    }

    /// What the root table address register gets.
    pub fn root_address(&self) -> u64 {
        ROOT.phys()
    }

    /// Maps the page at `iova` to the page at `phys`.
    pub fn set(&mut self, iova: u64, phys: u64, access: Access) {
        let (table, index) = self.leaf(iova);
        self.write(table, index, phys | access as u64);
    }

    /// Maps the page at `iova` to nothing.
    pub fn clear(&mut self, iova: u64) {
        let (table, index) = self.leaf(iova);
        self.write(table, index, 0);
    }

    /// The table and index of the entry for `iova`; tables on the way are made as needed.
    fn leaf(&mut self, iova: u64) -> (&'static Page, usize) {
        let mut table = &SECOND_LEVEL[0];
        for level in (1..self.levels).rev() {
            let index = (iova >> (PAGE_BITS + BITS_PER_LEVEL * level)) as usize % 512;
            let next = table.read64(index) & spec::SECOND_LEVEL_ADDRESS;
            table = match SECOND_LEVEL.iter().find(|page| page.phys() == next) {
                Some(page) => page,
                None => {
                    let page = &SECOND_LEVEL[self.used];
                    self.used += 1;
                    // The permissions of all levels are combined; the leaf alone decides.
                    self.write(table, index, page.phys() | Access::ReadWrite as u64);
                    page
                }
            };
        }
        (table, (iova >> PAGE_BITS) as usize % 512)
    }

    fn write(&self, table: &Page, index: usize, entry: u64) {
        table.write64(index, entry);
        if !self.coherent {
            cpu::flush_cache_line(table.phys() + index as u64 * 8);
        }
        cpu::memory_fence();
    }
}
