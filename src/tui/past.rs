//! Moments that the inspector can go back to: many of the recent past, few of long ago, always the beginning.

use crate::machine::Checkpoint;

/// Moments kept at most.
const KEPT: usize = 64;

/// A checkpoint, and what else the inspector had then.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) checkpoint: Checkpoint,
    /// Frames that had come in.
    pub(super) frames_in: u64,
    /// Bytes that the guest had sent to its serial port.
    pub(super) serial: u64,
}

/// The moments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past(Vec<Moment>);

impl Past {
    /// Keeps a moment, which is later than all others. If that is one too many, the one goes whose neighbours are closest for
    /// how long ago it was.
    pub(super) fn keep(&mut self, moment: Moment) {
        let now = moment.checkpoint.insns();
        self.0.push(moment);
        if self.0.len() <= KEPT {
            return;
        }
        let insns = |at: usize| self.0[at].checkpoint.insns();
        let worth = |at: &usize| {
            let (gap, age) = (insns(at + 1) - insns(at - 1), now - insns(*at) + 1);
            // In parts of a million, so that whole numbers tell them apart.
            u128::from(gap) * 1_000_000 / u128::from(age)
        };
        if let Some(least) = (1..self.0.len() - 1).min_by_key(worth) {
            self.0.remove(least);
        }
    }

    /// The latest moment that `is_before` the one that is looked for; the first, if none is.
    pub(super) fn latest(&self, is_before: impl Fn(&Moment) -> bool) -> Option<&Moment> {
        self.0.iter().rev().find(|moment| is_before(moment)).or(self.0.first())
    }

    /// Forgets the moments after `insns` instructions: another way there is about to be taken.
    pub(super) fn forget_after(&mut self, insns: u64) {
        self.0.retain(|moment| moment.checkpoint.insns() <= insns);
    }

    /// Instructions of the latest moment.
    pub(super) fn newest(&self) -> Option<u64> {
        self.0.last().map(|moment| moment.checkpoint.insns())
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn insns(&self) -> Vec<u64> {
        self.0.iter().map(|moment| moment.checkpoint.insns()).collect()
    }
}
