//! A set-associative cache with a choice of replacement: the shape of all caches of the unit. It knows nothing
//! of what it holds; an entry stays until it is invalidated or makes room, whatever happens to the tables in memory.

use serde::{Deserialize, Serialize};

/// Who makes room in a full set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// The least recently used.
    #[default]
    Lru,
    /// The one that came first.
    Fifo,
    /// The one that a binary tree of the last turns points away from.
    PseudoLru,
    /// Any, by a generator that starts from this seed.
    Random(u64),
}

/// Shape and replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Sets, a power of two.
    pub sets: u16,
    /// Ways, 1-64.
    pub ways: u16,
    /// Who makes room.
    pub policy: Policy,
}

/// An occupied place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<E> {
    /// When it was used last (LRU) or filled (FIFO), in turns of the cache's own clock.
    stamp: u64,
    entry: E,
}

/// Where an entry is and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached<'a, E> {
    /// Set.
    pub set: u16,
    /// Way.
    pub way: u16,
    /// Turns of the cache since it was used last (LRU) or filled (the other policies). A turn is a filling,
    /// with LRU also a use.
    pub age: u64,
    /// The entry.
    pub entry: &'a E,
}

/// What an insertion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inserted<E> {
    pub(crate) way: u16,
    pub(crate) evicted: Option<E>,
}

/// The cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache<E> {
    geometry: Geometry,
    /// Set by set.
    lines: Vec<Option<Line<E>>>,
    clock: u64,
    /// A tree for each set: bit n is node n, the root is node 1, a set bit points to the upper half.
    trees: Vec<u64>,
    random: u64,
}

impl<E: Copy> Cache<E> {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let (sets, ways) = (usize::from(geometry.sets), usize::from(geometry.ways));
        // The generator must not start from zero, where it stays.
        let random = match geometry.policy {
            Policy::Random(seed) if seed != 0 => seed,
            Policy::Random(_) | Policy::Lru | Policy::Fifo | Policy::PseudoLru => 0x9e37_79b9_7f4a_7c15,
        };
        Self { geometry, lines: vec![None; sets * ways], clock: 0, trees: vec![0; sets], random }
    }

    /// Whether a saved cache is one that [`Self::new`] with `geometry` could have become.
    pub(crate) fn is_valid(&self, geometry: Geometry, entry: impl Fn(u16, &E) -> bool) -> bool {
        let fresh = Self::new(geometry);
        self.geometry == geometry
            && self.lines.len() == fresh.lines.len()
            && self.trees.len() == fresh.trees.len()
            && self.random != 0
            && self.clock < u64::MAX / 2
            && self.lines.iter().flatten().all(|line| line.stamp <= self.clock)
            && self.iter().all(|cached| entry(cached.set, cached.entry))
    }

    /// The set that `key` belongs in.
    pub(crate) fn set_of(&self, key: u64) -> u16 {
        key as u16 & (self.geometry.sets - 1)
    }

    /// The entry of `set` that `is_it`, which is thereby used.
    #[inline]
    pub(crate) fn find(&mut self, set: u16, is_it: impl Fn(&E) -> bool) -> Option<E> {
        let base = self.base(set);
        let lines = &mut self.lines[base..base + usize::from(self.geometry.ways)];
        let is_there = |line: &Option<Line<E>>| line.as_ref().is_some_and(|line| is_it(&line.entry));
        let way = lines.iter().position(is_there)?;
        let line = lines[way].as_mut()?;
        let entry = line.entry;
        match self.geometry.policy {
            Policy::Lru => {
                self.clock += 1;
                line.stamp = self.clock;
            }
            Policy::PseudoLru => self.point_away(set, way),
            Policy::Fifo | Policy::Random(_) => {}
        }
        Some(entry)
    }

    /// The entry of `set` that `is_it`, unused by being looked at.
    pub(crate) fn peek(&self, set: u16, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        let base = self.base(set);
        let lines = &self.lines[base..base + usize::from(self.geometry.ways)];
        lines.iter().flatten().map(|line| &line.entry).find(|entry| is_it(entry))
    }

    /// Puts an entry in place of the one that `replaces`, else in an empty place of `set`, else in the place of the
    /// one that the policy chooses.
    pub(crate) fn insert(&mut self, set: u16, entry: E, replaces: impl Fn(&E) -> bool) -> Inserted<E> {
        let base = self.base(set);
        let lines = &self.lines[base..base + usize::from(self.geometry.ways)];
        let same = lines.iter().position(|line| line.as_ref().is_some_and(|line| replaces(&line.entry)));
        let empty = || lines.iter().position(Option::is_none);
        let way = match same.or_else(empty) {
            Some(way) => way,
            None => self.victim(set),
        };
        self.clock += 1;
        let line = Line { stamp: self.clock, entry };
        let evicted = self.lines[base + way].replace(line).map(|line| line.entry);
        self.point_away(set, way);
        Inserted { way: way as u16, evicted: if same.is_some() { None } else { evicted } }
    }

    /// Drops the entries that `goes`; answers how many.
    pub(crate) fn drop_if(&mut self, goes: impl Fn(&E) -> bool) -> u32 {
        let mut dropped = 0;
        for line in &mut self.lines {
            if line.take_if(|line| goes(&line.entry)).is_some() {
                dropped += 1;
            }
        }
        dropped
    }

    /// Everything cached, set by set.
    pub fn iter(&self) -> impl Iterator<Item = Cached<'_, E>> {
        let ways = usize::from(self.geometry.ways);
        self.lines.iter().enumerate().filter_map(move |(index, line)| {
            let (set, way) = ((index / ways) as u16, (index % ways) as u16);
            line.as_ref().map(|line| Cached { set, way, age: self.clock - line.stamp, entry: &line.entry })
        })
    }

    fn base(&self, set: u16) -> usize {
        usize::from(set) * usize::from(self.geometry.ways)
    }

    /// The way of a full set that makes room.
    fn victim(&mut self, set: u16) -> usize {
        let ways = usize::from(self.geometry.ways);
        match self.geometry.policy {
            Policy::Lru | Policy::Fifo => {
                let base = self.base(set);
                let stamp = |way: &usize| self.lines[base + way].as_ref().map_or(0, |line| line.stamp);
                (0..ways).min_by_key(stamp).unwrap_or(0)
            }
            Policy::PseudoLru => {
                let tree = self.trees[usize::from(set)];
                let mut node = 1;
                while node < ways {
                    node = node * 2 + (tree >> node & 1) as usize;
                }
                node - ways
            }
            Policy::Random(_) => {
                // Xorshift, 64 bits.
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                (self.random % ways as u64) as usize
            }
        }
    }

    /// Turns every node on the path to `way` to its other half.
    fn point_away(&mut self, set: u16, way: usize) {
        if self.geometry.policy != Policy::PseudoLru {
            return;
        }
        let tree = &mut self.trees[usize::from(set)];
        let mut node = usize::from(self.geometry.ways) + way;
        while node > 1 {
            let upper = node & 1 != 0;
            node /= 2;
            *tree = if upper { *tree & !(1 << node) } else { *tree | 1 << node };
        }
    }
}
