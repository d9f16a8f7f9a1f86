//! What a device can reach, by the tables as they are in memory now.

use super::{Range, Seen};
use crate::Vtd;
use crate::spec::register::TE;
use crate::spec::scalable::{FS_P, FS_RW, FS_US};
use crate::spec::table::{ADDRESS, PTE_R, PTE_W};
use crate::walk::{self, FirstStage, SecondStage, Stages, Way};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE};

impl Vtd {
    /// What `bdf` can reach by requests without PASID, at most `limit` ranges. Tables that lead back into themselves are
    /// followed only so far.
    #[must_use]
    pub fn mapped_ranges(&self, mem: &PhysMem, bdf: Bdf, limit: usize) -> Vec<Range> {
        let all =
            Range { iova: Iova(0), gpa: Gpa(0), len: 1 << self.config.address_bits, read: true, write: true };
        let mut search =
            Search { vtd: self, mem, ranges: Vec::new(), limit, tables: TABLES_MAX, privileged: false };
        if self.state.status & TE == 0 {
            search.add(all);
        } else if let Ok(Seen { route, privileged, .. }) = self.peek_route(mem, bdf, &mut |_| {}) {
            search.privileged = privileged;
            match route.way {
                Way::PassThrough(bits) => {
                    search.add(Range { len: 1 << bits.min(self.config.address_bits), ..all });
                }
                Way::Tables(Stages::Second(second)) => {
                    let top = second.top();
                    search.second(top.gpa, top.level, Iova(0), PTE_R | PTE_W);
                }
                Way::Tables(Stages::First(first, second)) => {
                    let top = first.top();
                    search.first(&(first, second), top.gpa, top.level, Iova(0), FS_US | FS_RW);
                }
            }
        }
        search.ranges.truncate(limit);
        search.ranges
    }
}

/// More tables than a machine's worth of mappings needs.
const TABLES_MAX: u32 = 1 << 16;

/// Goes through all paging tables of a device.
struct Search<'a> {
    vtd: &'a Vtd,
    mem: &'a PhysMem,
    ranges: Vec<Range>,
    limit: usize,
    tables: u32,
    /// First-stage pages that are not user's count.
    privileged: bool,
}

impl Search<'_> {
    /// A table's entries, while there is patience left.
    fn read(&mut self, table: Gpa) -> Option<[u8; PAGE_SIZE as usize]> {
        let mut bytes = [0; PAGE_SIZE as usize];
        self.tables = self.tables.checked_sub(1)?;
        self.mem.read(table, &mut bytes).ok()?;
        Some(bytes)
    }

    fn second(&mut self, table: Gpa, level: u8, base: Iova, allowed: u64) {
        let Some(bytes) = self.read(table) else { return };
        let shift = 12 + 9 * level;
        for (index, entry) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            let allowed = allowed & entry;
            let iova = base.plus((index as u64) << shift);
            if allowed == 0 || self.is_full() || iova.0 >> self.vtd.config.address_bits != 0 {
                continue;
            }
            let gpa = Gpa(entry & ADDRESS);
            match walk::check_paging(&self.vtd.config, entry, level) {
                Some(true) => {
                    let (read, write) = (allowed & PTE_R != 0, allowed & PTE_W != 0);
                    self.add(Range { iova, gpa, len: 1 << shift, read, write });
                }
                Some(false) => self.second(gpa, level - 1, iova, allowed),
                None => {}
            }
        }
    }

    fn first(
        &mut self,
        stages: &(FirstStage, Option<SecondStage>),
        table: Gpa,
        level: u8,
        base: Iova,
        allowed: u64,
    ) {
        let (first, second) = stages;
        let Some(table) = self.place(second.as_ref(), table) else { return };
        let Some(bytes) = self.read(table) else { return };
        let shift = 12 + 9 * level;
        for (index, entry) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            if entry & FS_P == 0 || self.is_full() {
                continue;
            }
            let mut iova = base.plus((index as u64) << shift);
            if level + 1 == first.levels && index >= 256 {
                // The upper half of the addresses is sign-extended.
                iova = Iova(iova.0 | u64::MAX << (shift + 8));
            }
            let (allowed, gpa) = (allowed & entry, Gpa(entry & ADDRESS));
            match walk::check_first(first, entry, level) {
                Some(true) => {
                    let read = self.privileged || allowed & FS_US != 0;
                    let page =
                        Range { iova, gpa, len: 1 << shift, read, write: read && allowed & FS_RW != 0 };
                    self.add_through(second.as_ref(), page);
                }
                Some(false) => self.first(stages, gpa, level - 1, iova, allowed),
                None => {}
            }
        }
    }

    /// Where an address of the first stage is in memory.
    fn place(&self, second: Option<&SecondStage>, at: Gpa) -> Option<Gpa> {
        let Some(second) = second else { return Some(at) };
        let leaf = self.vtd.peek_second(self.mem, second, Iova(at.0), false, &mut |_| {}).ok()?;
        Some(leaf.place(at.0))
    }

    /// Adds a page of the first stage, as the second cuts it.
    fn add_through(&mut self, second: Option<&SecondStage>, page: Range) {
        let Some(second) = second else {
            if page.read {
                self.add(page);
            }
            return;
        };
        let mut done = 0;
        while page.read && done < page.len && !self.is_full() && self.tables > 0 {
            self.tables -= 1;
            let at = page.gpa.plus(done);
            let found = self.vtd.peek_second(self.mem, second, Iova(at.0), false, &mut |_| {});
            let len = match found {
                Ok(leaf) => {
                    let size = 1u64 << leaf.shift;
                    (size - (at.0 & (size - 1))).min(page.len - done)
                }
                Err(_) => PAGE_SIZE,
            };
            if let Ok(leaf) = found {
                let write = page.write && leaf.rights.write;
                self.add(Range { iova: page.iova.plus(done), gpa: leaf.place(at.0), len, write, ..page });
            }
            done += len;
        }
    }

    fn is_full(&self) -> bool {
        self.ranges.len() > self.limit
    }

    /// Adds a page, to the last range if it goes on there. One range too many is kept while searching, so that the
    /// last one wanted is whole.
    fn add(&mut self, page: Range) {
        if let Some(last) = self.ranges.last_mut()
            && last.iova.plus(last.len) == page.iova
            && last.gpa.plus(last.len) == page.gpa
            && (last.read, last.write) == (page.read, page.write)
        {
            last.len += page.len;
        } else {
            self.ranges.push(page);
        }
    }
}
