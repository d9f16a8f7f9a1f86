//! Which parts of a byte stream are there, as positions: of what a guest has sent, and of what a capture has of it.

use serde::{Deserialize, Serialize};

/// Gaps at most: what a guest sends beyond so many is as good as lost on the way.
const RANGES_MAX: usize = 1024;

/// Half-open ranges, sorted, that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a range; whether any of it is new.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> bool {
        if from >= to || self.contains(from, to) {
            return false;
        }
        let first = self.0.partition_point(|(_, end)| *end < from);
        let last = self.0.partition_point(|(start, _)| *start <= to);
        if first == last && self.0.len() >= RANGES_MAX {
            return false;
        }
        let touched = &self.0[first..last];
        let from = touched.first().map_or(from, |(start, _)| from.min(*start));
        let to = touched.last().map_or(to, |(_, end)| to.max(*end));
        self.0.splice(first..last, [(from, to)]);
        true
    }

    /// Takes a range out.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        let cut = |(start, end): (u64, u64)| [(start, end.min(from)), (start.max(to), end)];
        self.0 = self.0.iter().copied().flat_map(cut).filter(|(start, end)| start < end).collect();
    }

    pub(super) fn contains(&self, from: u64, to: u64) -> bool {
        from >= to || self.0.iter().any(|(start, end)| *start <= from && to <= *end)
    }

    /// Where the part that starts at 0 ends.
    pub(super) fn contiguous(&self) -> u64 {
        self.0.first().map_or(0, |(start, end)| if *start == 0 { *end } else { 0 })
    }

    /// The end of the last part.
    pub(super) fn highest(&self) -> u64 {
        self.0.last().map_or(0, |(_, end)| *end)
    }

    /// Where the first part beyond `from` starts.
    pub(super) fn next_start(&self, from: u64) -> Option<u64> {
        self.0.iter().map(|(start, _)| *start).find(|start| *start > from)
    }

    /// What is missing between `from` and `to`.
    pub(super) fn holes(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut at = from;
        let mut holes = Vec::new();
        for (start, end) in &self.0 {
            if at < (*start).min(to) {
                holes.push((at, (*start).min(to)));
            }
            at = at.max(*end);
        }
        if at < to {
            holes.push((at, to));
        }
        holes
    }

    /// Whether it can be what a run came to.
    pub(super) fn is_sound(&self) -> bool {
        self.0.len() <= RANGES_MAX
            && self.0.iter().all(|(start, end)| start < end && *end < 1 << 62)
            && self.0.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u64, u64)]) -> Ranges {
        let mut all = Ranges::default();
        for (from, to) in ranges {
            all.insert(*from, *to);
        }
        all
    }

    #[test]
    fn ranges_join_when_they_touch_and_part_when_cut() {
        let mut all = of(&[(0, 1), (5, 9), (12, 15)]);
        assert_eq!((all.contiguous(), all.highest(), all.next_start(1)), (1, 15, Some(5)));
        assert_eq!(all.holes(1, 20), [(1, 5), (9, 12), (15, 20)]);
        assert!(all.insert(1, 5) && !all.insert(2, 4));
        assert_eq!(all, of(&[(0, 9), (12, 15)]));
        assert!(all.insert(8, 20));
        all.remove(3, 6);
        assert_eq!(all, of(&[(0, 3), (6, 20)]));
        assert!(all.contains(6, 20) && !all.contains(2, 4) && all.is_sound());
    }
}
