//! A descriptor ring as the card holds it: the registers, the on-chip cache of descriptors read ahead, and who rang for
//! each. The same for receive and transmit (manual 3.2.4 to 3.2.6, 3.4). Not what descriptors mean.
//!
//! Software owns base, length and tail, so nothing here trusts them: a ring whose head or tail lies beyond its end has
//! no descriptors.

use super::spec::{DCTL_GRAN, DESC_SIZE};
use emu_core::device::{DeviceCtx, DmaFault};
use emu_core::trace::{RecordId, Ring, TraceEvent};
use emu_core::{Iova, VirtDuration};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Descriptors that fit on chip (manual 3.2.4: 64).
pub(super) const CACHE: usize = 64;
/// Doorbells remembered; beyond it the last ones are taken for one.
const DOORBELLS: usize = 64;

/// A descriptor on chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// Its place in the ring.
    pub index: u32,
    /// Its address.
    pub iova: Iova,
    /// Its two quadwords.
    pub raw: [u64; 2],
    /// The record of the fetch.
    pub record: RecordId,
}

/// A write of the tail register: descriptors before `tail` that no earlier doorbell covers are its doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doorbell {
    /// The tail it set.
    pub tail: u32,
    /// The record of the write.
    pub cause: Option<RecordId>,
}

/// A ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingState {
    /// Base address, 16-byte aligned.
    pub base: u64,
    /// Bytes, a multiple of 128.
    pub len: u32,
    /// First descriptor that the card has not finished.
    pub head: u32,
    /// First descriptor that software has not given away.
    pub tail: u32,
    /// First descriptor that is not fetched.
    pub next: u32,
    /// Descriptors on chip.
    pub cache: VecDeque<Fetched>,
    /// Descriptors on their way over the bus.
    pub arriving: VecDeque<Fetched>,
    /// A fetch is scheduled or on its way.
    pub fetching: bool,
    /// The bus refused: nothing more until software touches the tail or bus mastering.
    pub stalled: bool,
    /// Doorbells of descriptors that are not fetched, oldest first.
    pub doorbells: VecDeque<Doorbell>,
}

impl RingState {
    /// Descriptors in the ring.
    pub(super) fn count(&self) -> u32 {
        self.len / DESC_SIZE as u32
    }

    fn distance(&self, from: u32, to: u32) -> u32 {
        let count = self.count();
        if from >= count || to >= count { 0 } else { (to + count - from) % count }
    }

    /// Descriptors that the card owns, fetched or not.
    pub(super) fn owned(&self) -> u32 {
        self.distance(self.head, self.tail)
    }

    /// Descriptors that are given away but not fetched.
    pub(super) fn unfetched(&self) -> u32 {
        self.distance(self.next, self.tail)
    }

    /// The address of descriptor `index`.
    pub(super) fn iova(&self, index: u32) -> Iova {
        Iova(self.base).plus(u64::from(index) * DESC_SIZE)
    }

    /// Software moves the tail.
    pub(super) fn set_tail(&mut self, tail: u32, cause: Option<RecordId>) {
        self.tail = tail;
        self.stalled = false;
        if self.unfetched() == 0 {
            self.doorbells.clear();
        } else if self.doorbells.back().is_none_or(|last| last.tail != tail) {
            if self.doorbells.len() >= DOORBELLS {
                self.doorbells.pop_back();
            }
            self.doorbells.push_back(Doorbell { tail, cause });
        }
    }

    /// Software moves the ring or its head: what was read ahead is void.
    pub(super) fn restart(&mut self) {
        self.next = self.head;
        self.cache.clear();
        self.arriving.clear();
        self.doorbells.clear();
        self.fetching = false;
        self.stalled = false;
    }

    /// The card is done with descriptor `index`.
    pub(super) fn advance_head(&mut self, index: u32) {
        let next = index + 1;
        self.head = if next >= self.count() { 0 } else { next };
    }

    /// Whether it is time to fetch: nothing on chip, or less than the prefetch threshold while at least the host
    /// threshold waits in memory (manual 3.4.1).
    pub(super) fn wants_fetch(&self, control: u32) -> bool {
        let (prefetch, host) = (control & 0x3f, control >> 8 & 0x3f);
        let waiting = self.unfetched();
        let low = self.cache.is_empty() || (self.cache.len() as u32) < prefetch && waiting >= host;
        waiting > 0 && low && !self.fetching && !self.stalled
    }

    /// Reads descriptors up to the tail, the end of the ring or the room on chip, in one transfer. They may be used
    /// once [`Self::arrive`] is called, after the answered time.
    pub(super) fn fetch(&mut self, ctx: &mut DeviceCtx<'_>, ring: Ring) -> Result<VirtDuration, DmaFault> {
        let room = CACHE.saturating_sub(self.cache.len() + self.arriving.len()) as u32;
        let count = self.unfetched().min(room).min(self.count().saturating_sub(self.next));
        let mut bytes = [0; CACHE * DESC_SIZE as usize];
        let buffer = &mut bytes[..count as usize * DESC_SIZE as usize];
        if let Some(doorbell) = self.doorbells.front() {
            ctx.set_cause(doorbell.cause);
        }
        let took = ctx.dma_read(self.iova(self.next), buffer)?;
        for (index, desc) in (self.next..).zip(buffer.chunks_exact(DESC_SIZE as usize)) {
            let raw = [quad(&desc[..8]), quad(&desc[8..])];
            let iova = self.iova(index);
            if let Some(doorbell) = self.doorbells.front() {
                ctx.set_cause(doorbell.cause);
            }
            let record = ctx.trace(TraceEvent::DescFetch { ring, index, iova, raw });
            self.arriving.push_back(Fetched { index, iova, raw, record });
            self.next = if index + 1 >= self.count() { 0 } else { index + 1 };
            if self.doorbells.front().is_some_and(|doorbell| doorbell.tail == self.next) {
                self.doorbells.pop_front();
            }
        }
        Ok(took)
    }

    /// What was fetched is on chip.
    pub(super) fn arrive(&mut self) {
        self.fetching = false;
        self.cache.append(&mut self.arriving);
    }

    /// Whether the state is one that a run can leave.
    pub(super) fn is_sound(&self) -> bool {
        self.len & !0xfff80 == 0
            && self.base & 0xf == 0
            && self.head.max(self.tail).max(self.next) <= 0xffff
            && self.cache.len() + self.arriving.len() <= CACHE
            && self.doorbells.len() <= DOORBELLS
            && self.cache.iter().chain(&self.arriving).all(|desc| desc.index <= 0xffff)
    }
}

fn quad(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The write-back threshold of RXDCTL or TXDCTL in descriptors, at least 1. Cache lines are taken as 32 bytes.
pub(super) fn write_back_threshold(control: u32) -> usize {
    let threshold = control >> 16 & 0x3f;
    let unit = if control & DCTL_GRAN != 0 { 1 } else { 2 };
    (threshold * unit).max(1) as usize
}
