//! The paging-structure caches: for each level above the leaves' one that remembers which table an entry led to and what the
//! entries so far allowed, so that a walk begins further down (VT-d specification, 6.2.4). They know nothing of leaves,
//! which are the IOTLB's; and like it they stay wrong until what is wrong is invalidated or makes room.

use crate::cache::{Cache, Cached, Inserted};
use crate::config::IommuConfig;
use crate::walk::{Rights, Space, Table};
use emu_core::trace::Granularity;
use emu_core::{Gpa, Iova};
use serde::{Deserialize, Serialize};

/// An entry of one of the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagingEntry {
    /// Domain.
    pub domain: u16,
    /// Whose tables.
    pub space: Space,
    /// The first address that the entry translates.
    pub iova: Iova,
    /// The entry's level: 1 is that of 2 MiB.
    pub level: u8,
    /// The table that it leads to, by the address that the entry has.
    pub table: Gpa,
    /// What it and those above it allow.
    pub rights: Rights,
}

/// The levels that may have a cache.
pub(crate) fn paging_levels() -> impl Iterator<Item = u8> {
    1..=4
}

/// How many address bits lie below an entry of `level`.
const fn shift(level: u8) -> u32 {
    12 + 9 * level as u32
}

impl PagingEntry {
    /// For the entry that led to `table` on the way to `iova`.
    pub(crate) const fn new(domain: u16, space: Space, iova: Iova, table: Table) -> Self {
        let level = table.level + 1;
        Self {
            domain,
            space,
            iova: Iova(iova.0 >> shift(level) << shift(level)),
            level,
            table: table.gpa,
            rights: table.rights,
        }
    }

    /// Where the walk goes on.
    pub(crate) const fn leads_to(&self) -> Table {
        Table { level: self.level - 1, gpa: self.table, rights: self.rights }
    }

    fn answers(&self, domain: u16, space: Space, iova: Iova) -> bool {
        self.domain == domain && self.space == space && (self.iova.0 ^ iova.0) >> shift(self.level) == 0
    }

    /// Whether any of its addresses lies in the `1 << low` bytes around `iova`.
    const fn overlaps(&self, iova: Iova, low: u32) -> bool {
        let low = if low > shift(self.level) { low } else { shift(self.level) };
        (self.iova.0 ^ iova.0) >> low == 0
    }

    fn is_named_by(&self, what: Granularity) -> bool {
        // The hint says that no entry but leaves has changed.
        !what.leaves_only() && self.space.is_named_by(self.domain, what, |iova, low| self.overlaps(iova, low))
    }

    const fn is_valid(&self, level: u8) -> bool {
        self.level == level && self.iova.0 & ((1 << shift(level)) - 1) == 0
    }
}

/// The caches, from that of the second level up; `None` where the unit has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PagingCaches([Option<Cache<PagingEntry>>; 4]);

impl PagingCaches {
    pub(crate) fn new(config: &IommuConfig) -> Self {
        Self(config.paging_geometries().map(|geometry| geometry.map(Cache::new)))
    }

    pub(crate) fn is_valid(&self, config: &IommuConfig) -> bool {
        (1..).zip(self.0.iter().zip(config.paging_geometries())).all(|(level, pair)| match pair {
            (Some(cache), Some(geometry)) => cache.is_valid(geometry, |_, entry| entry.is_valid(level)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
    }

    /// Whether the unit has any.
    pub(crate) fn exist(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// The entry that leads furthest on the way to `iova` in tables whose topmost entries are of level `top`.
    pub(crate) fn find(&mut self, domain: u16, space: Space, iova: Iova, top: u8) -> Option<PagingEntry> {
        let below = self.0.iter_mut().take(top.into()).flatten();
        below.into_iter().find_map(|cache| cache.find(0, |entry| entry.answers(domain, space, iova)))
    }

    /// What the cache of `level` would answer.
    pub(crate) fn peek(&self, domain: u16, space: Space, iova: Iova, level: u8) -> Option<&PagingEntry> {
        let cache = self.0.get(usize::from(level.checked_sub(1)?))?.as_ref()?;
        cache.peek(0, |entry| entry.answers(domain, space, iova))
    }

    /// Keeps an entry, if its level has a cache.
    pub(crate) fn insert(&mut self, entry: PagingEntry) -> Option<Inserted<PagingEntry>> {
        let cache = self.0.get_mut(usize::from(entry.level) - 1)?.as_mut()?;
        Some(cache.insert(0, entry, |old| old.answers(entry.domain, entry.space, entry.iova)))
    }

    /// Drops what is named; answers how many.
    pub(crate) fn invalidate(&mut self, what: Granularity) -> u32 {
        self.0.iter_mut().flatten().map(|cache| cache.drop_if(|entry| entry.is_named_by(what))).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, Cached<'_, PagingEntry>)> {
        let levels = (1..).zip(self.0.iter().map(Option::as_ref));
        levels.flat_map(|(level, cache)| {
            cache.into_iter().flat_map(Cache::iter).map(move |entry| (level, entry))
        })
    }
}

/// The cache that keeps entries of `level`, as the specification calls it.
#[must_use]
pub const fn paging_cache_name(level: u8) -> &'static str {
    match level {
        1 => "PDE cache",
        2 => "PDPE cache",
        3 => "PML4 cache",
        4 => "PML5 cache",
        _ => "no cache",
    }
}
