//! Entries that have changed while the unit may have kept the old ones: what invalidations each still needs, and what has come
//! of it meanwhile (VT-d specification, 6.5.3.3, the table of what software has to invalidate).

use super::Writer;
use super::entry::{self, Entry, IRT, Place};
use super::tables::Change;
use emu_core::trace::{Granularity, IommuCache, TraceRecord};
use emu_core::{Gpa, Iova};
use std::collections::BTreeMap;

/// Caches that still have to hear of a change, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(u8);

impl Needs {
    fn bit(cache: IommuCache) -> u8 {
        match cache {
            IommuCache::Context => 1,
            IommuCache::Pasid => 2,
            IommuCache::Iotlb => 4,
            IommuCache::InterruptEntry => 8,
            IommuCache::PagingStructure => 0,
        }
    }

    /// What a change of an entry of that level needs.
    fn of(level: u8) -> Self {
        use IommuCache::{Context, InterruptEntry, Iotlb, Pasid};
        let caches: &[IommuCache] = match level {
            entry::ROOT | entry::CONTEXT => &[Context, Iotlb],
            entry::SCALABLE_ROOT | entry::SCALABLE_CONTEXT => &[Context, Pasid, Iotlb],
            IRT => &[InterruptEntry],
            7 | 8 => &[Pasid, Iotlb],
            _ => &[Iotlb],
        };
        Self(caches.iter().fold(0, |bits, cache| bits | Self::bit(*cache)))
    }

    fn without(self, cache: IommuCache) -> Self {
        Self(self.0 & !Self::bit(cache))
    }

    pub(super) fn has(self, cache: IommuCache) -> bool {
        self.0 & Self::bit(cache) != 0
    }

    pub(super) const fn are_none(self) -> bool {
        self.0 == 0
    }

    /// In words.
    pub(super) fn names(self) -> String {
        let all = [
            (IommuCache::Context, "context cache"),
            (IommuCache::Pasid, "PASID cache"),
            (IommuCache::Iotlb, "IOTLB"),
            (IommuCache::InterruptEntry, "interrupt entry cache"),
        ];
        let named: Vec<&str> =
            all.into_iter().filter(|(cache, _)| self.has(*cache)).map(|(_, name)| name).collect();
        named.join(" and ")
    }
}

/// Something that happened while a change waited.
#[derive(Clone, Debug)]
pub(super) struct Meanwhile {
    pub(super) count: u64,
    /// What it was the first time, and what led to it.
    pub(super) what: String,
    pub(super) chain: Vec<TraceRecord>,
}

/// A change that waits for its invalidations.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) at: Gpa,
    pub(super) place: Place,
    pub(super) old: Entry,
    pub(super) new: Entry,
    pub(super) writer: Writer,
    pub(super) needs: Needs,
    /// The old entry served requests meanwhile.
    pub(super) used: Option<Meanwhile>,
    /// The page of the old entry was written to meanwhile.
    pub(super) rewritten: Option<Meanwhile>,
    /// An error was reported for it.
    pub(super) reported: bool,
    /// It is a register that names another table now, not an entry.
    register: bool,
}

impl Pending {
    /// The mapping, or what it was, is gone rather than another.
    pub(super) fn is_removal(&self) -> bool {
        !entry::is_present(self.place.level, &self.new)
    }

    /// A register names another table now.
    pub(super) const fn is_register(&self) -> bool {
        self.register
    }

    /// The page that the old entry mapped, if it was one of 4 KiB.
    pub(super) fn old_page(&self) -> Option<Gpa> {
        let level = self.place.level;
        let small = matches!(level, 0 | 16) && entry::is_present(level, &self.old);
        small.then(|| entry::pointer(&self.old))
    }

    fn is_leaf(&self) -> bool {
        let level = self.place.level;
        let of = |entry: &Entry| !entry::is_present(level, entry) || entry::is_leaf(level, entry);
        of(&self.old) && of(&self.new)
    }

    /// Whether `iova` is one of those that the entry translates.
    pub(super) fn covers(&self, iova: Iova) -> bool {
        self.place.cache() == IommuCache::Iotlb
            && (self.place.iova.0 ^ iova.0) >> self.place.shift().min(63) == 0
    }
}

/// All of them, by where the entry is.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: BTreeMap<u64, Pending>,
    /// Pages of old entries, and whose.
    pages: BTreeMap<u64, Gpa>,
}

impl Waiting {
    /// An entry that may be cached has changed. Answers the page that is to be watched for its being used anew.
    pub(super) fn changed(&mut self, change: &Change, writer: Writer) -> Option<Gpa> {
        let level = change.place.level;
        if let Some(pending) = self.changes.get_mut(&change.at.0) {
            pending.new = change.new;
            if entry::essence(level, &pending.old) == entry::essence(level, &pending.new) && !pending.reported
            {
                self.remove(change.at);
            } else if entry::is_present(level, &change.new) {
                pending.writer = writer;
            }
            return None;
        }
        let pending = Pending {
            at: change.at,
            place: change.place,
            old: change.old,
            new: change.new,
            writer,
            needs: Needs::of(level),
            used: None,
            rewritten: None,
            reported: false,
            register: false,
        };
        let page = pending.old_page();
        if let Some(page) = page {
            self.pages.insert(page.0, change.at);
        }
        self.changes.insert(change.at.0, pending);
        page
    }

    /// A table was taken over by a register: all caches of the old one's have to hear of it.
    pub(super) fn taken_over(&mut self, place: Place, old: Gpa, new: Gpa, writer: Writer) {
        let entry = |at: Gpa| [at.0 | 1, 0, 0, 0, 0, 0, 0, 0];
        let pending = Pending {
            at: new,
            place: Place { source: None, ..place },
            old: entry(old),
            new: entry(new),
            writer,
            needs: Needs::of(place.level),
            used: None,
            rewritten: None,
            reported: false,
            register: true,
        };
        self.changes.insert(TAKEN_OVER | u64::from(place.level), pending);
    }

    /// An invalidation took effect: answers the changes that need no other.
    pub(super) fn invalidated(&mut self, cache: IommuCache, what: Granularity) -> Vec<Pending> {
        let mut done = Vec::new();
        for (key, pending) in &mut self.changes {
            let named = pending.place.is_named(cache, what, pending.is_leaf())
                && (!pending.register || what == Granularity::Global);
            if named {
                pending.needs = pending.needs.without(cache);
            }
            if pending.needs.are_none() {
                done.push(*key);
            }
        }
        done.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// The change at an entry.
    pub(super) fn at(&mut self, at: Gpa) -> Option<&mut Pending> {
        self.changes.get_mut(&at.0)
    }

    /// The change, of the kind that `is_it`, that a request may have missed.
    pub(super) fn find(&mut self, is_it: impl Fn(&Pending) -> bool) -> Option<&mut Pending> {
        self.changes.values_mut().find(|pending| is_it(pending))
    }

    /// The change whose old page that is.
    pub(super) fn of_page(&mut self, page: Gpa) -> Option<&mut Pending> {
        let at = *self.pages.get(&page.0)?;
        self.changes.get_mut(&at.0)
    }

    /// Everything that still waits.
    pub(super) fn take_all(&mut self) -> Vec<Pending> {
        self.pages.clear();
        std::mem::take(&mut self.changes).into_values().collect()
    }

    fn remove(&mut self, at: Gpa) {
        let _ = self.take(at.0);
    }

    fn take(&mut self, key: u64) -> Option<Pending> {
        let pending = self.changes.remove(&key)?;
        if let Some(page) = pending.old_page()
            && self.pages.get(&page.0) == Some(&pending.at)
        {
            self.pages.remove(&page.0);
        }
        Some(pending)
    }

    /// Whether a page is watched for being used anew.
    pub(super) fn watches(&self, page: Gpa) -> bool {
        self.pages.contains_key(&page.0)
    }
}

/// Keys of tables taken over, which no entry's address is.
const TAKEN_OVER: u64 = 1 << 63;
