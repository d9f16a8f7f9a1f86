//! Scalable mode's tables as a driver would build them. As next door, bits are put together from the specification.

use super::VtdTables;
use emu_core::mem::{PhysMem, Unbacked};
use emu_core::{Bdf, Gpa, Iova};

/// RTADDR's mode bits of a scalable-mode root table.
pub const SCALABLE_ROOT: u64 = 1 << 10;

/// A PASID table entry in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasidMaker(pub [u64; 8]);

impl PasidMaker {
    /// Present, of a domain, its walks snooped, without translation type.
    #[must_use]
    pub const fn new(domain: u16) -> Self {
        Self([1, 1 << 23 | domain as u64, 0, 0, 0, 0, 0, 0])
    }

    /// Passes addresses through.
    #[must_use]
    pub const fn pass_through(mut self) -> Self {
        self.0[0] |= 4 << 6;
        self
    }

    /// By second-stage tables of 3 to 5 levels; together with [`Self::first`] nested.
    #[must_use]
    pub const fn second(mut self, table: Gpa, levels: u8) -> Self {
        self.0[0] |= table.0 | 2 << 6 | (levels as u64 - 2) << 2;
        self
    }

    /// By first-stage tables of 4 or 5 levels.
    #[must_use]
    pub const fn first(mut self, table: Gpa, levels: u8) -> Self {
        self.0[0] |= 1 << 6;
        self.0[2] |= table.0 | (levels as u64 - 4) << 2;
        self
    }

    /// With further bits of a qword.
    #[must_use]
    pub const fn with(mut self, qword: usize, bits: u64) -> Self {
        self.0[qword] |= bits;
        self
    }
}

impl VtdTables {
    /// Where the scalable-mode context entry of `bdf` is; makes its table if there is none.
    pub fn scalable_context_gpa(&mut self, mem: &mut PhysMem, bdf: Bdf) -> Result<Gpa, Unbacked> {
        let (half, index) = (u64::from(bdf.devfn() >> 7), u64::from(bdf.devfn() & 0x7f));
        let root_entry = self.root().plus(u64::from(bdf.bus()) * 16 + half * 8);
        if mem.read_u64(root_entry)? & 1 == 0 {
            let table = self.page(mem)?;
            mem.write_u64(root_entry, table.0 | 1)?;
        }
        Ok(Gpa(mem.read_u64(root_entry)? & 0x000f_ffff_ffff_f000).plus(index * 32))
    }

    /// Gives `bdf` a PASID directory of 512 entries, in a page of its own; requests without PASID are `rid_pasid`'s, and others
    /// may carry theirs. Answers the directory.
    pub fn directory(&mut self, mem: &mut PhysMem, bdf: Bdf, rid_pasid: u32) -> Result<Gpa, Unbacked> {
        let directory = self.page(mem)?;
        let entry = self.scalable_context_gpa(mem, bdf)?;
        mem.write_u64(entry.plus(8), rid_pasid.into())?;
        mem.write_u64(entry, directory.0 | 2 << 9 | 1 << 3 | 1)?;
        Ok(directory)
    }

    /// Where the entry of a PASID is; makes its table if there is none.
    pub fn pasid_gpa(&mut self, mem: &mut PhysMem, directory: Gpa, pasid: u32) -> Result<Gpa, Unbacked> {
        let entry = directory.plus(u64::from(pasid >> 6) * 8);
        if mem.read_u64(entry)? & 1 == 0 {
            let table = self.page(mem)?;
            mem.write_u64(entry, table.0 | 1)?;
        }
        Ok(Gpa(mem.read_u64(entry)? & 0x000f_ffff_ffff_f000).plus(u64::from(pasid & 0x3f) * 64))
    }

    /// Writes the entry of a PASID.
    pub fn pasid(
        &mut self,
        mem: &mut PhysMem,
        directory: Gpa,
        pasid: u32,
        entry: PasidMaker,
    ) -> Result<(), Unbacked> {
        let gpa = self.pasid_gpa(mem, directory, pasid)?;
        (0..).zip(entry.0).try_for_each(|(index, qword)| mem.write_u64(gpa.plus(index * 8), qword))
    }

    /// Where a first stage's entry for `iova` is at `level`; makes the tables above it if there are none, writable and for
    /// everybody.
    pub fn first_entry_gpa(
        &mut self,
        mem: &mut PhysMem,
        (table, levels): (Gpa, u8),
        iova: Iova,
        level: u8,
    ) -> Result<Gpa, Unbacked> {
        let mut table = table;
        for above in (level + 1..levels).rev() {
            let entry = table.plus((iova.0 >> (12 + 9 * above) & 0x1ff) * 8);
            if mem.read_u64(entry)? & 1 == 0 {
                let below = self.page(mem)?;
                mem.write_u64(entry, below.0 | 7)?;
            }
            table = Gpa(mem.read_u64(entry)? & 0x000f_ffff_ffff_f000);
        }
        Ok(table.plus((iova.0 >> (12 + 9 * level) & 0x1ff) * 8))
    }
}
