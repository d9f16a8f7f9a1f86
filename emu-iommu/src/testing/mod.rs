//! Tables as a driver would build them, for tests and demonstrations. Bits are put together here a second time, from
//! the specification and not from the unit's own constants, so that the two check each other.

mod scalable;

pub use scalable::{PasidMaker, SCALABLE_ROOT};

use crate::Vtd;
use emu_core::mem::{PhysMem, Unbacked};
use emu_core::testing::FakeFabric;
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE, Slot, VirtTime};

/// A domain: its id and its paging tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Domain id.
    pub id: u16,
    /// 3 or 4.
    pub levels: u8,
    /// The topmost table.
    pub table: Gpa,
}

impl Domain {
    /// The context entry that puts a device into the domain.
    #[must_use]
    pub const fn context(&self) -> [u64; 2] {
        [self.table.0 | 1, (self.id as u64) << 8 | (self.levels as u64 - 2)]
    }
}

/// Lets the unit finish what it is at, however long that takes.
pub fn settle(vtd: &mut Vtd, fabric: &mut FakeFabric, mem: &mut PhysMem) {
    while fabric.events.next_due() != VirtTime::NEVER {
        let Some(event) = fabric.next_event(fabric.events.next_due()) else { return };
        if matches!(event.slot, Slot::Iommu(_)) {
            let before = fabric.tracer.set_cause(event.cause);
            vtd.on_event(&mut fabric.env(), mem, event.token);
            fabric.tracer.set_cause(before);
        }
    }
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Reading.
    R,
    /// Writing.
    W,
    /// Both.
    Rw,
}

impl Rights {
    /// R and W of a paging entry.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::R => 1,
            Self::W => 2,
            Self::Rw => 3,
        }
    }
}

/// An interrupt remap table entry in the making: fixed, edge, physical, from anybody.
#[must_use]
pub const fn irte(vector: u8, dest: u8) -> [u64; 2] {
    [(dest as u64) << 40 | (vector as u64) << 16 | 1, 0]
}

/// The high half of an entry that only `source` may use.
#[must_use]
pub const fn from_source(source: Bdf) -> u64 {
    1 << 18 | source.0 as u64
}

/// A remappable message that names `index` by its handle.
#[must_use]
pub const fn remappable(index: u16) -> emu_core::Msi {
    let address = 0xfee0_0010 | (index as u64 & 0x7fff) << 5 | (index as u64 >> 15) << 2;
    emu_core::Msi { address, data: 0 }
}

/// A root table with all that hangs from it, and memory for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VtdTables {
    root: Gpa,
    next: Gpa,
}

impl VtdTables {
    /// An empty root table at `at`; everything else is put in the pages that follow.
    pub fn new(mem: &mut PhysMem, at: Gpa) -> Result<Self, Unbacked> {
        let mut tables = Self { root: at, next: at };
        tables.page(mem)?;
        Ok(tables)
    }

    /// The root table, for RTADDR.
    #[must_use]
    pub const fn root(&self) -> Gpa {
        self.root
    }

    /// A zeroed page.
    pub fn page(&mut self, mem: &mut PhysMem) -> Result<Gpa, Unbacked> {
        let page = self.next;
        mem.write(page, &[0; PAGE_SIZE as usize])?;
        self.next = page.plus(PAGE_SIZE);
        Ok(page)
    }

    /// An empty interrupt remap table of `1 << order` pages, 256 entries each.
    pub fn interrupt_table(&mut self, mem: &mut PhysMem, order: u8) -> Result<Gpa, Unbacked> {
        let first = self.next;
        for _ in 0..1u32 << order {
            self.page(mem)?;
        }
        Ok(first)
    }

    /// A domain that maps nothing.
    pub fn domain(&mut self, mem: &mut PhysMem, id: u16, levels: u8) -> Result<Domain, Unbacked> {
        Ok(Domain { id, levels, table: self.page(mem)? })
    }

    /// Where the context entry of `bdf` is; makes its table if there is none.
    pub fn context_gpa(&mut self, mem: &mut PhysMem, bdf: Bdf) -> Result<Gpa, Unbacked> {
        let root_entry = self.root.plus(u64::from(bdf.bus()) * 16);
        if mem.read_u64(root_entry)? & 1 == 0 {
            let table = self.page(mem)?;
            mem.write_u64(root_entry, table.0 | 1)?;
        }
        let table = Gpa(mem.read_u64(root_entry)? & !0xfff);
        Ok(table.plus(u64::from(bdf.devfn()) * 16))
    }

    /// Writes the context entry of `bdf`.
    pub fn context(&mut self, mem: &mut PhysMem, bdf: Bdf, entry: [u64; 2]) -> Result<(), Unbacked> {
        let gpa = self.context_gpa(mem, bdf)?;
        mem.write_u64(gpa.plus(8), entry[1])?;
        mem.write_u64(gpa, entry[0])
    }

    /// Where the entry for `iova` is in the domain's tables at `level` (0 is that of 4 KiB pages); makes the tables
    /// above it if there are none.
    pub fn entry_gpa(
        &mut self,
        mem: &mut PhysMem,
        domain: &Domain,
        iova: Iova,
        level: u8,
    ) -> Result<Gpa, Unbacked> {
        let mut table = domain.table;
        for above in (level + 1..domain.levels).rev() {
            let entry = table.plus((iova.0 >> (12 + 9 * above) & 0x1ff) * 8);
            if mem.read_u64(entry)? == 0 {
                let below = self.page(mem)?;
                mem.write_u64(entry, below.0 | 3)?;
            }
            table = Gpa(mem.read_u64(entry)? & 0x000f_ffff_ffff_f000);
        }
        Ok(table.plus((iova.0 >> (12 + 9 * level) & 0x1ff) * 8))
    }

    /// Maps a page of 4 KiB (`level` 0), 2 MiB (1) or 1 GiB (2).
    pub fn map(
        &mut self,
        mem: &mut PhysMem,
        domain: &Domain,
        iova: Iova,
        gpa: Gpa,
        level: u8,
        rights: Rights,
    ) -> Result<(), Unbacked> {
        let large = if level == 0 { 0 } else { 1 << 7 };
        let entry = self.entry_gpa(mem, domain, iova, level)?;
        mem.write_u64(entry, gpa.0 | large | rights.bits())
    }

    /// Takes a 4 KiB mapping away.
    pub fn unmap(&mut self, mem: &mut PhysMem, domain: &Domain, iova: Iova) -> Result<(), Unbacked> {
        let entry = self.entry_gpa(mem, domain, iova, 0)?;
        mem.write_u64(entry, 0)
    }
}
