//! First-stage paging structures, the processor's own kind (VT-d specification, 3.6, 9.7).

use super::{Leaf, PagingFault, Rights, Table};
use crate::spec::fault;
use crate::spec::scalable::*;
use crate::spec::table::{ADDRESS, PTE_LEN};
use emu_core::{Gpa, Iova};

/// A first stage as its PASID entry describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstStage {
    pub(crate) table: Gpa,
    /// 4 or 5.
    pub(crate) levels: u8,
    /// Pointer bits that memory's addresses have not.
    pub(crate) beyond: u64,
    /// Pages of 1 GiB.
    pub(crate) gigabyte_pages: bool,
    /// Privileged writes heed read-only pages.
    pub(crate) write_protect: bool,
    /// XD counts.
    pub(crate) no_execute: bool,
    /// Privileged requests may not execute what is user's.
    pub(crate) user_not_executed: bool,
    /// Walks are snooped: without it accessed and dirty bits can't be written.
    pub(crate) snooped: bool,
}

impl FirstStage {
    /// Where walks begin.
    pub(crate) const fn top(&self) -> Table {
        Table { level: self.levels - 1, gpa: self.table, rights: Rights::ALL }
    }

    /// Addresses have to be canonical.
    pub(crate) const fn misses(&self, iova: Iova) -> Option<u8> {
        let sign = iova.0 as i64 >> (11 + 9 * self.levels as u32);
        if sign == 0 || sign == -1 { None } else { Some(fault::NOT_CANONICAL) }
    }
}

/// An entry that a walk used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// Where it is by the address that led to it, which in a nested translation the second stage translates.
    pub(crate) at: Gpa,
    /// Where it is in memory.
    pub(crate) gpa: Gpa,
    pub(crate) entry: u64,
}

/// Who fetches entries: with a second stage their addresses are translated first.
pub(crate) trait FirstTables {
    /// The entry at `at`, in a table of `level`; or a fault reason.
    fn read(&mut self, level: u8, at: Gpa) -> Result<Used, u8>;

    /// A good entry led to this table.
    fn leads_to(&mut self, _table: Table) {}
}

/// Walks the tables of `stage` from `start` on. What the rights allow is for the caller to judge, and accessed and dirty
/// bits are his to write: `used` has the entries by level.
pub(crate) fn first_stage(
    stage: &FirstStage,
    start: Table,
    iova: Iova,
    used: &mut [Option<Used>; 5],
    tables: &mut impl FirstTables,
) -> Result<Leaf, PagingFault> {
    let Table { mut level, gpa: mut table, mut rights } = start;
    let fault = |reason| PagingFault { reason, for_any_access: true };
    loop {
        let shift = 12 + 9 * level;
        let at = table.plus((iova.0 >> shift & 0x1ff) * PTE_LEN);
        let here = tables.read(level, at).map_err(|reason| PagingFault { reason, for_any_access: false })?;
        used[usize::from(level)] = Some(here);
        let entry = here.entry;
        if entry & FS_P == 0 {
            return Err(fault(fault::FIRST_NOT_PRESENT));
        }
        let is_leaf = check_first(stage, entry, level).ok_or(fault(fault::FIRST_RESERVED))?;
        rights = rights.and(rights_of(stage, entry));
        if is_leaf {
            let gpa = Gpa(entry & ADDRESS & !((1 << shift) - 1));
            return Ok(Leaf { gpa, shift, rights, dirty: entry & FS_D != 0 });
        }
        table = Gpa(entry & ADDRESS);
        level -= 1;
        tables.leads_to(Table { level, gpa: table, rights });
    }
}

fn rights_of(stage: &FirstStage, entry: u64) -> Rights {
    Rights {
        read: true,
        write: entry & FS_RW != 0,
        user: entry & FS_US != 0,
        execute: !stage.no_execute || entry & FS_XD == 0,
    }
}

/// Whether a present entry at `level` is a leaf; `None` if it has reserved bits set. Of a large page bit 12 is its memory
/// type's.
pub(crate) fn check_first(stage: &FirstStage, entry: u64, level: u8) -> Option<bool> {
    const AFTER_MEMORY_TYPE: u64 = 1 << 13;
    let large = level > 0 && entry & FS_PS != 0;
    let by_kind = match (level, large) {
        (_, false) => 0,
        (1, true) => (1 << 21) - AFTER_MEMORY_TYPE,
        (2, true) if stage.gigabyte_pages => (1 << 30) - AFTER_MEMORY_TYPE,
        (_, true) => FS_PS,
    };
    (entry & (stage.beyond & ADDRESS | by_kind) == 0).then_some(level == 0 || large)
}
