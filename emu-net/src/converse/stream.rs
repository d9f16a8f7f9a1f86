//! What the live guest says in its TCP stream, beside what the capture has of it: positions of one in the other, and the first
//! byte that differs.

use super::ranges::Ranges;
use serde::{Deserialize, Serialize};

/// So far ahead of what is there a guest may send: more than any window.
const AHEAD_MAX: u64 = 1 << 30;

/// The live guest's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stream {
    /// What counts as received, in live positions.
    received: Ranges,
    /// Where live positions begin to differ from captured ones: captured, live; sorted by both.
    bends: Vec<(u64, u64)>,
    /// Where it ends, if the guest has said so.
    end: Option<u64>,
}

impl Stream {
    /// The live position of a captured one.
    pub(super) fn live(&self, captured: u64) -> u64 {
        let at = self.bends.partition_point(|(bend, _)| *bend <= captured);
        let (from, to) = at.checked_sub(1).map_or((0, 0), |at| self.bends[at]);
        let live = to + (captured - from);
        self.end.map_or(live, |end| live.min(end))
    }

    /// The captured position of a live one.
    fn captured(&self, live: u64) -> u64 {
        let at = self.bends.partition_point(|(_, bend)| *bend <= live);
        let (to, from) = at.checked_sub(1).map_or((0, 0), |at| self.bends[at]);
        to + (live - from)
    }

    /// From here on the captured position `captured` is where the live stream is now.
    pub(super) fn bend(&mut self, captured: u64) {
        let live = self.received.contiguous();
        if self.live(captured) != live
            && self.bends.last().is_none_or(|last| last.0 < captured && last.1 <= live)
        {
            self.bends.push((captured, live));
        }
    }

    /// A live segment has come; whether any of it is new.
    pub(super) fn hear(&mut self, from: u64, to: u64, is_end: bool) -> bool {
        if to > self.received.contiguous() + AHEAD_MAX {
            return false;
        }
        if is_end {
            self.end.get_or_insert(to);
        }
        self.received.insert(from, to)
    }

    /// The first captured position at which live data differs from `said`.
    pub(super) fn differs(&self, said: &[u8], from: u64, data: &[u8]) -> Option<u64> {
        let at = self.captured(from);
        let start = usize::try_from(at.checked_sub(1)?).ok()?;
        let captured = said.get(start..).unwrap_or(&[]);
        let same = captured.iter().zip(data).take_while(|(one, other)| one == other).count();
        (same < data.len().min(captured.len())).then_some(at + same as u64)
    }

    /// We say that we do not have this captured range.
    pub(super) fn deny(&mut self, from: u64, to: u64) {
        let (from, to) = (self.live(from), self.live(to));
        self.received.remove(from, to);
    }

    /// How far it is there without gaps.
    pub(super) fn contiguous(&self) -> u64 {
        self.received.contiguous()
    }

    /// Whether something came behind a gap.
    pub(super) fn has_gap(&self) -> bool {
        self.received.highest() > self.received.contiguous()
    }

    /// Whether all of a captured range is there.
    pub(super) fn has(&self, from: u64, to: u64) -> bool {
        self.received.contains(self.live(from), self.live(to))
    }

    /// Whether the guest has said more than up to this captured position.
    pub(super) fn is_beyond(&self, captured: u64) -> bool {
        self.received.highest() > self.live(captured)
    }

    /// Whether the guest has ended it and all is there.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.received.contiguous() >= end)
    }

    /// Whether it can be what a run came to.
    pub(super) fn is_sound(&self) -> bool {
        let small = |(captured, live): &(u64, u64)| *captured < 1 << 62 && *live < 1 << 62;
        self.received.is_sound()
            && self.bends.iter().all(small)
            && self.bends.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
            && self.end.is_none_or(|end| end < 1 << 62)
    }
}
