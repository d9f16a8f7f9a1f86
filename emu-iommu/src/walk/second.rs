//! Second-stage paging structures, those of legacy mode too (VT-d specification, 3.7, 9.8).

use super::{Leaf, Observer, PagingFault, Rights, Step, Table};
use crate::config::IommuConfig;
use crate::spec::fault::Reasons;
use crate::spec::table::*;
use emu_core::mem::PhysMem;
use emu_core::{Gpa, Iova};

/// A second stage as its context or PASID entry describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecondStage {
    /// What its translations are tagged with.
    pub(crate) domain: u16,
    pub(crate) table: Gpa,
    pub(crate) levels: u8,
    /// Accessed and dirty bits are kept.
    pub(crate) keeps_bits: bool,
    /// Walks are snooped: without it those bits can't be written.
    pub(crate) snooped: bool,
    pub(crate) reasons: &'static Reasons,
}

impl SecondStage {
    /// Where walks begin.
    pub(crate) const fn top(&self) -> Table {
        Table { level: self.levels - 1, gpa: self.table, rights: Rights::ALL }
    }

    /// The addresses that its tables have a place for.
    pub(crate) const fn bits(&self) -> u8 {
        12 + 9 * self.levels
    }
}

/// Walks the tables of `stage` from `start` on for an access to `iova`.
pub(crate) fn second_stage(
    config: &IommuConfig,
    mem: &PhysMem,
    stage: &SecondStage,
    start: Table,
    iova: Iova,
    write: bool,
    observer: &mut impl Observer,
) -> Result<Leaf, PagingFault> {
    let reasons = stage.reasons;
    let fault = |reason, for_any_access| Err(PagingFault { reason, for_any_access });
    let Table { mut level, gpa: mut table, mut rights } = start;
    // What a cache remembers of the entries above may be reason enough.
    if !rights.allow(write) {
        return fault(reasons.permission(write), false);
    }
    loop {
        let shift = 12 + 9 * level;
        let gpa = table.plus((iova.0 >> shift & 0x1ff) * PTE_LEN);
        let Ok(entry) = mem.read_u64(gpa) else {
            let top = level == stage.top().level;
            return fault(if top { reasons.fetch_top } else { reasons.fetch }, true);
        };
        observer.read(Step { level, gpa, entry: [entry, 0] });
        if entry & (PTE_R | PTE_W) == 0 {
            return fault(reasons.absent.unwrap_or(reasons.permission(write)), true);
        }
        let Some(is_leaf) = check_paging(config, entry, level) else {
            return fault(reasons.reserved, true);
        };
        rights = rights.and(rights_of(entry));
        if !rights.allow(write) {
            return fault(reasons.permission(write), false);
        }
        let gpa = Gpa(entry & ADDRESS);
        if is_leaf {
            let dirty = !stage.keeps_bits || entry & PTE_D != 0;
            return Ok(Leaf { gpa, shift, rights, dirty });
        }
        table = gpa;
        level -= 1;
        observer.leads_to(Table { level, gpa, rights });
    }
}

fn rights_of(entry: u64) -> Rights {
    Rights { read: entry & PTE_R != 0, write: entry & PTE_W != 0, ..Rights::ALL }
}

/// Whether a present paging entry at `level` is a leaf; `None` if it has reserved bits set.
pub(crate) fn check_paging(config: &IommuConfig, entry: u64, level: u8) -> Option<bool> {
    let is_leaf = level == 0 || entry & PTE_PS != 0;
    let pointer_beyond = config.beyond_host() & ADDRESS;
    let snoop = if config.snoop_control { 0 } else { PTE_SNP };
    let by_kind = match (level, is_leaf) {
        (0, _) => snoop,
        (1 | 2, true) if config.superpages => ((1 << (12 + 9 * level)) - PAGE_LOW) | snoop,
        (_, true) => PTE_PS,
        (_, false) => PTE_SNP,
    };
    (entry & (pointer_beyond | PTE_TM | by_kind) == 0).then_some(is_leaf)
}

/// The first address bit of a page.
const PAGE_LOW: u64 = 1 << 12;
