//! The event queue: data in total order. Two events at one instant run in the order they were scheduled.
//!
//! Events are never closures, so the queue is machine state like any other.

use crate::slot::Slot;
use crate::time::VirtTime;
use crate::trace::RecordId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that a chip asked to be told of at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Whom to tell.
    pub slot: Slot,
    /// What it is about: the chip's own constant.
    pub token: u32,
    /// The trace record on whose behalf it was scheduled.
    pub cause: Option<RecordId>,
}

/// All pending events, ordered by `(when, seq)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQueue {
    pending: BTreeMap<(VirtTime, u64), Event>,
    next_seq: u64,
}

impl EventQueue {
    /// Adds an event.
    pub fn schedule(&mut self, when: VirtTime, event: Event) {
        self.pending.insert((when, self.next_seq), event);
        self.next_seq += 1;
    }

    /// Removes every pending event of `slot` with `token`; answers how many there were.
    pub fn cancel(&mut self, slot: Slot, token: u32) -> usize {
        let before = self.pending.len();
        self.pending.retain(|_, event| event.slot != slot || event.token != token);
        before - self.pending.len()
    }

    /// When the next event is due; [`VirtTime::NEVER`] if there is none.
    #[must_use]
    pub fn next_due(&self) -> VirtTime {
        self.pending.first_key_value().map_or(VirtTime::NEVER, |((when, _), _)| *when)
    }

    /// Takes the first event that is due at or before `now`, with the instant it was due.
    pub fn pop_due(&mut self, now: VirtTime) -> Option<(VirtTime, Event)> {
        let entry = self.pending.first_entry()?;
        let when = entry.key().0;
        (when <= now).then(|| (when, entry.remove()))
    }

    /// Whether a queue from a file can be gone on with: numbers are not used twice, and do not run out.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.next_seq <= u64::MAX >> 1 && self.pending.keys().all(|(_, seq)| *seq < self.next_seq)
    }

    /// Pending events in order.
    pub fn iter(&self) -> impl Iterator<Item = (VirtTime, &Event)> {
        self.pending.iter().map(|((when, _), event)| (*when, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(token: u32) -> Event {
        Event { slot: Slot::Pit, token, cause: None }
    }

    #[test]
    fn ties_pop_in_the_order_they_were_scheduled() {
        let mut queue = EventQueue::default();
        for token in 0..6 {
            queue.schedule(VirtTime(10), event(token));
        }
        queue.schedule(VirtTime(5), event(99));
        let order: Vec<u32> =
            std::iter::from_fn(|| queue.pop_due(VirtTime(10))).map(|(_, e)| e.token).collect();
        assert_eq!(order, [99, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_queue_whose_numbers_would_come_again_is_not_sound() {
        let mut queue = EventQueue::default();
        queue.schedule(VirtTime(10), event(0));
        assert!(queue.is_sound());
        assert!(!EventQueue { next_seq: 0, ..queue.clone() }.is_sound());
        assert!(!EventQueue { next_seq: u64::MAX, ..queue }.is_sound());
    }

    #[test]
    fn nothing_pops_before_it_is_due_and_cancel_takes_all_of_one_token() {
        let mut queue = EventQueue::default();
        queue.schedule(VirtTime(10), event(1));
        queue.schedule(VirtTime(11), event(1));
        queue.schedule(VirtTime(12), event(2));
        assert_eq!(queue.pop_due(VirtTime(9)), None);
        assert_eq!(queue.cancel(Slot::Pit, 1), 2);
        assert_eq!(queue.next_due(), VirtTime(12));
    }
}
