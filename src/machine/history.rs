//! Memory's past: which pages changed since when, and memory as it was, page by page, shared between moments.
//!
//! A [`PageTable`] is never changed while another moment holds it: moments share the pages and the groups of pages in which they
//! are the same, so that keeping one, and going from one to another, costs what differs.

use super::Machine;
use emu_core::{Gpa, PAGE_SIZE};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A page's bytes.
pub(super) type Page = [u8; PAGE_SIZE as usize];

/// Pages that are kept together.
const GROUP: u64 = 128;

type Group = [Option<Arc<Page>>; GROUP as usize];

/// Memory at a moment: the pages that are not all zero.
#[derive(Clone, Debug, Default)]
pub(super) struct PageTable {
    groups: BTreeMap<u64, Arc<Group>>,
}

impl PageTable {
    fn place(page: Gpa) -> (u64, usize) {
        let number = page.page_number();
        (number / GROUP, (number % GROUP) as usize)
    }

    /// A page; `None` is zeros.
    pub(super) fn get(&self, page: Gpa) -> Option<&Arc<Page>> {
        let (group, index) = Self::place(page);
        self.groups.get(&group)?[index].as_ref()
    }

    fn set(&mut self, page: Gpa, bytes: Option<Arc<Page>>) {
        let (number, index) = Self::place(page);
        if bytes.is_none() && !self.groups.contains_key(&number) {
            return;
        }
        let group = self.groups.entry(number).or_insert_with(|| Arc::new([const { None }; GROUP as usize]));
        Arc::make_mut(group)[index] = bytes;
    }

    /// Pages that are not all zero, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = Gpa> {
        self.groups.iter().flat_map(|(number, group)| {
            let there = group.iter().enumerate().filter(|(_, page)| page.is_some());
            there.map(move |(index, _)| Gpa((number * GROUP + index as u64) * PAGE_SIZE))
        })
    }

    /// Pages in which this and `other` may differ, in order.
    pub(super) fn differing(&self, other: &Self) -> Vec<Gpa> {
        let mut pages = Vec::new();
        let numbers: BTreeSet<u64> = self.groups.keys().chain(other.groups.keys()).copied().collect();
        for number in numbers {
            let (ours, theirs) = (self.groups.get(&number), other.groups.get(&number));
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && Arc::ptr_eq(ours, theirs)
            {
                continue;
            }
            let page =
                |group: Option<&Arc<Group>>, index: usize| group.and_then(|group| group[index].clone());
            for index in 0..GROUP as usize {
                let same = match (page(ours, index), page(theirs, index)) {
                    (Some(ours), Some(theirs)) => Arc::ptr_eq(&ours, &theirs),
                    (ours, theirs) => ours.is_none() && theirs.is_none(),
                };
                if !same {
                    pages.push(Gpa((number * GROUP + index as u64) * PAGE_SIZE));
                }
            }
        }
        pages
    }
}

/// What a machine knows of its memory's past.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Memory at the last moment that was kept.
    base: PageTable,
    /// Pages written since then, but for those that memory has not told of yet.
    since_base: BTreeSet<Gpa>,
    /// Pages whose digest is not known any more.
    pub(super) since_digest: BTreeSet<Gpa>,
    /// Digests of pages, once somebody has asked.
    pub(super) digests: Option<super::digest::PageDigests>,
}

impl Machine {
    /// Asks memory what was written.
    fn hear_of_writes(&mut self) -> Vec<Gpa> {
        let dirty = self.platform.board.mem.take_dirty();
        self.cpu.forget_dirty();
        if self.history.digests.is_some() {
            self.history.since_digest.extend(&dirty);
        }
        if self.history.since_base.is_empty() {
            return dirty;
        }
        self.history.since_base.extend(dirty);
        std::mem::take(&mut self.history.since_base).into_iter().collect()
    }

    /// Pages whose digest has to be made anew, for the first time all that are not zero.
    pub(super) fn hear_for_digest(&mut self) -> Vec<Gpa> {
        if self.history.digests.is_none() {
            self.history.digests = Some(super::digest::PageDigests::default());
            self.history.since_digest = self.written_pages().into_iter().collect();
        }
        let dirty = self.platform.board.mem.take_dirty();
        self.cpu.forget_dirty();
        self.history.since_base.extend(&dirty);
        self.history.since_digest.extend(dirty);
        std::mem::take(&mut self.history.since_digest).into_iter().collect()
    }

    /// Pages of RAM that may be other than zero, in order.
    pub(super) fn written_pages(&self) -> BTreeSet<Gpa> {
        let mut pages: BTreeSet<Gpa> = self.platform.board.mem.dirty().collect();
        pages.extend(&self.history.since_base);
        pages.extend(self.history.base.pages());
        pages
    }

    /// Keeps memory as it is now. Costs what was written since the last time.
    pub(super) fn keep_memory(&mut self) -> PageTable {
        let mut bytes = [0; PAGE_SIZE as usize];
        for page in self.hear_of_writes() {
            if self.platform.board.mem.read(page, &mut bytes).is_err() {
                continue;
            }
            match self.history.base.get(page) {
                Some(known) if **known == bytes => {}
                None if bytes == [0; PAGE_SIZE as usize] => {}
                Some(_) | None => {
                    let kept = bytes.iter().any(|byte| *byte != 0).then(|| Arc::new(bytes));
                    self.history.base.set(page, kept);
                }
            }
        }
        self.history.base.clone()
    }

    /// Puts memory back. Costs what was written since and what differs between then and the last moment that was kept.
    pub(super) fn put_memory_back(&mut self, then: &PageTable) {
        const ZEROS: Page = [0; PAGE_SIZE as usize];
        let mut changed = self.hear_of_writes();
        changed.extend(self.history.base.differing(then));
        if self.history.digests.is_some() {
            self.history.since_digest.extend(&changed);
        }
        for page in changed {
            let bytes = then.get(page).map_or(&ZEROS, |page| page);
            // A page of the table is a page of this memory: scenarios were compared.
            let _ = self.platform.board.mem.put_back(page, bytes);
        }
        self.history.base = then.clone();
    }
}
