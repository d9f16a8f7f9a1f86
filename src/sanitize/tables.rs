//! Which guest memory is table memory: every table that the unit's registers lead to, entry by entry as it was last seen, who
//! wrote it, and whether the unit may have it in a cache.
//!
//! A cache that the model has is one that some hardware has larger: an entry may be cached from when a walk reads it until
//! an invalidation names it, whatever the caches of this run made room for.

use super::entry::{self, Entry, IRT, Place};
use super::{Actor, Writer};
use emu_core::mem::PhysMem;
use emu_core::{Gpa, PAGE_SIZE};
use std::collections::{BTreeMap, BTreeSet};

/// More pages of tables than a machine's worth of mappings needs.
const PAGES_MAX: usize = 1 << 16;

/// A page of a table.
#[derive(Debug)]
struct Page {
    level: u8,
    place: Place,
    /// The entry that leads here.
    parent: Option<Gpa>,
    seen: Box<[u8; PAGE_SIZE as usize]>,
}

/// An entry that has become another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at: Gpa,
    pub(super) place: Place,
    pub(super) old: Entry,
    pub(super) new: Entry,
    /// The unit may have the old one in a cache.
    pub(super) held: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pages: BTreeMap<u64, Page>,
    writers: BTreeMap<u64, Writer>,
    held: BTreeSet<u64>,
    /// Pages that an earlier run of the same scenario knew as tables: who writes them is seen before they are any.
    foreknown: BTreeSet<u64>,
    /// All pages that were ever tables.
    ever: BTreeSet<u64>,
}

impl Tables {
    /// With pages that are going to be tables.
    pub(super) fn foreknowing(mem: &mut PhysMem, pages: BTreeSet<u64>) -> Self {
        for page in &pages {
            mem.watch(Gpa(*page), true);
        }
        Self { foreknown: pages, ..Self::default() }
    }

    /// All pages that were tables at any time.
    pub(super) fn ever(&self) -> BTreeSet<u64> {
        self.ever.clone()
    }

    /// Whether the page is one of a table that something leads to.
    pub(super) fn level_of(&self, page: Gpa) -> Option<u8> {
        self.pages.get(&page.page_base().0).map(|page| page.level)
    }

    /// Who wrote the entry last, since its page was known.
    pub(super) fn writer(&self, at: Gpa) -> Option<Writer> {
        self.writers.get(&at.0).copied()
    }

    /// Learns a table's page and, from what its entries say, those below it.
    pub(super) fn learn(&mut self, mem: &mut PhysMem, page: Gpa, place: Place, parent: Option<Gpa>) {
        let mut due = vec![(page.page_base(), place, parent)];
        while let Some((page, place, parent)) = due.pop() {
            let known = self.pages.get(&page.0).is_some_and(|known| known.level == place.level);
            if known || self.pages.len() >= PAGES_MAX {
                continue;
            }
            let mut seen = Box::new([0; PAGE_SIZE as usize]);
            if mem.read(page, &mut seen[..]).is_err() {
                continue;
            }
            mem.watch(page, true);
            self.ever.insert(page.0);
            for (at, bytes) in entries(place.level, page, &seen[..]) {
                let below = place.of_entry(at.page_offset());
                for (page, place) in entry::children(&below, &entry::words(bytes)) {
                    due.push((page, place, Some(at)));
                }
            }
            self.pages.insert(page.0, Page { level: place.level, place, parent, seen });
        }
    }

    /// A walk has read the entry: the unit may keep it.
    pub(super) fn walked(&mut self, mem: &mut PhysMem, at: Gpa, level: u8, place: Place) {
        if self.level_of(at) != Some(level) {
            self.learn(mem, at, place, None);
        }
        self.held.insert(entry::start(level, at).0);
    }

    /// Everything that is present may be in a cache: what was before the watch began is not known.
    pub(super) fn hold_all(&mut self) {
        for (number, page) in &self.pages {
            for (at, bytes) in entries(page.level, Gpa(*number), &page.seen[..]) {
                if entry::is_present(page.level, &entry::words(bytes)) {
                    self.held.insert(at.0);
                }
            }
        }
    }

    /// Lets go of the entries that `goes`.
    pub(super) fn release(&mut self, goes: impl Fn(&Place) -> bool) {
        let pages = &self.pages;
        self.held.retain(|at| {
            let page = pages.get(&Gpa(*at).page_base().0);
            page.is_some_and(|page| !goes(&page.place.of_entry(Gpa(*at).page_offset())))
        });
    }

    /// A table's page among `len` bytes from `from` on.
    pub(super) fn page_in(&self, from: Gpa, len: u64) -> Option<Gpa> {
        let end = from.0.saturating_add(len);
        self.pages.range(from.0..end).next().map(|(page, _)| Gpa(*page))
    }

    /// `len` bytes at `from`, within a page, were written: what has become of the entries there.
    pub(super) fn written(&mut self, mem: &PhysMem, from: Gpa, len: u64, by: Writer) -> Vec<Change> {
        let Some(page) = self.pages.get_mut(&from.page_base().0) else {
            if self.foreknown.contains(&from.page_base().0) {
                self.writers.extend((from.0 & !7..from.0 + len).step_by(8).map(|at| (at, by)));
            }
            return Vec::new();
        };
        let (level, place) = (page.level, page.place);
        let size = entry::len(level);
        let first = from.page_offset() / size * size;
        let end = (from.page_offset() + len).min(PAGE_SIZE);
        let mut changes = Vec::new();
        for offset in (first..end).step_by(size as usize) {
            let at = from.page_base().plus(offset);
            let part = &mut page.seen[offset as usize..(offset + size) as usize];
            let old = entry::words(part);
            if mem.read(at, part).is_err() {
                continue;
            }
            let new = entry::words(part);
            let place = place.of_entry(offset);
            if entry::essence(level, &old) == entry::essence(level, &new) {
                continue;
            }
            // The unit's own bits do not make it the author of the entry.
            if by.actor != Actor::Unit {
                self.writers.insert(at.0, by);
            }
            changes.push(Change { at, place, old, new, held: self.held.contains(&at.0) });
        }
        changes
    }

    /// Follows an entry that has changed: tables that it leads to are watched from now on.
    pub(super) fn follow(&mut self, mem: &mut PhysMem, change: &Change) {
        for (page, place) in entry::children(&change.place, &change.new) {
            self.learn(mem, page, place, Some(change.at));
        }
    }

    /// The entry at `parent` leads nowhere any more, and no cache has it: what was below is table memory no longer.
    pub(super) fn forget_below(&mut self, mem: &mut PhysMem, parent: Gpa) {
        let mut due = vec![parent];
        while let Some(parent) = due.pop() {
            let level = self.level_of(parent);
            let leads_to: BTreeSet<u64> = match self.pages.get(&parent.page_base().0) {
                Some(page) => {
                    let offset = parent.page_offset();
                    let part = &page.seen[offset as usize..(offset + entry::len(page.level)) as usize];
                    let below = page.place.of_entry(offset);
                    entry::children(&below, &entry::words(part)).into_iter().map(|(page, _)| page.0).collect()
                }
                None => BTreeSet::new(),
            };
            let gone: Vec<u64> = self
                .pages
                .iter()
                .filter(|(number, page)| page.parent == Some(parent) && !leads_to.contains(number))
                .map(|(number, _)| *number)
                .collect();
            for number in gone {
                mem.watch(Gpa(number), self.foreknown.contains(&number));
                let Some(page) = self.pages.remove(&number) else { continue };
                let offsets = entries(page.level, Gpa(number), &page.seen[..]).map(|(at, _)| at);
                let below: Vec<Gpa> = offsets.collect();
                for at in &below {
                    self.held.remove(&at.0);
                    self.writers.remove(&at.0);
                }
                if level != Some(IRT) {
                    due.extend(below.into_iter().filter(|at| self.has_children(*at)));
                }
            }
        }
    }

    fn has_children(&self, parent: Gpa) -> bool {
        self.pages.values().any(|page| page.parent == Some(parent))
    }
}

/// The entries of a page, each with its address.
fn entries(level: u8, page: Gpa, bytes: &[u8]) -> impl Iterator<Item = (Gpa, &[u8])> {
    let len = entry::len(level);
    (0..).map(move |index| page.plus(index * len)).zip(bytes.chunks_exact(len as usize))
}
