//! What led to a record: its cause, that one's cause, and so on.

use super::side::Side;
use crate::error::Error;
use emu_core::trace::{RecordId, TraceRecord};
use std::collections::BTreeSet;

/// Causes told at most.
const CAUSES_MAX: usize = 64;

/// The chain of causes that ends in `last`, the oldest first. Which records these are is known; what they said is heard by running
/// once more.
pub(super) fn chain(side: &mut Side, last: RecordId) -> Result<Vec<TraceRecord>, Error> {
    let mut wanted = BTreeSet::new();
    let mut next = Some(last);
    while let Some(record) = next
        && wanted.len() < CAUSES_MAX
        && wanted.insert(record)
    {
        next = side.cause_of(record);
    }
    side.hear_again(wanted)
}
