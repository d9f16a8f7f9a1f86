//! The statistics registers: 64 words at 0x4000, cleared by reading, stuck at all-ones. Manual 13.7. And the run's own
//! figures, which software never sees.

use super::spec::STATS_WORDS;
use emu_core::trace::DropReason;
use serde::{Deserialize, Serialize};

const fn at(offset: u32) -> usize {
    ((offset - 0x4000) / 4) as usize
}

pub(super) const CRCERRS: usize = at(0x4000);
pub(super) const MPC: usize = at(0x4010);
pub(super) const XONRXC: usize = at(0x4048);
pub(super) const XONTXC: usize = at(0x404c);
pub(super) const XOFFRXC: usize = at(0x4050);
pub(super) const XOFFTXC: usize = at(0x4054);
pub(super) const FCRUC: usize = at(0x4058);
const PRC64: usize = at(0x405c);
const GPRC: usize = at(0x4074);
const BPRC: usize = at(0x4078);
const MPRC: usize = at(0x407c);
const GPTC: usize = at(0x4080);
const GORC: usize = at(0x4088);
const GOTC: usize = at(0x4090);
pub(super) const RNBC: usize = at(0x40a0);
pub(super) const RUC: usize = at(0x40a4);
pub(super) const ROC: usize = at(0x40ac);
const TOR: usize = at(0x40c0);
const TOT: usize = at(0x40c8);
const TPR: usize = at(0x40d0);
const TPT: usize = at(0x40d4);
const PTC64: usize = at(0x40d8);
const MPTC: usize = at(0x40f0);
const BPTC: usize = at(0x40f4);
pub(super) const TSCTC: usize = at(0x40f8);
pub(super) const TSCTFC: usize = at(0x40fc);

/// Low words of 64-bit counters: reading the high word clears both.
const WIDE: [usize; 4] = [GORC, GOTC, TOR, TOT];

/// No run counts this far, so that counting on from a snapshot can't overflow.
const COUNT_MAX: u64 = 1 << 62;

/// Counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The registers.
    pub words: Vec<u32>,
    /// Frames that came from the wire.
    pub received: u64,
    /// Frames that are in guest memory.
    pub delivered: u64,
    /// Frames lost.
    pub dropped: u64,
    /// The same by reason, in the order of [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
    /// Frames that went out.
    pub sent: u64,
    /// Frames that came back in loopback.
    pub looped: u64,
    /// Interrupts asserted.
    pub interrupts: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            words: vec![0; STATS_WORDS as usize],
            received: 0,
            delivered: 0,
            dropped: 0,
            drops: [0; DropReason::ALL.len()],
            sent: 0,
            looped: 0,
            interrupts: 0,
        }
    }
}

/// A frame's place among the six counters of sizes; `len` includes the FCS.
fn size_class(len: usize) -> usize {
    match len {
        0..=64 => 0,
        65..=127 => 1,
        128..=255 => 2,
        256..=511 => 3,
        512..=1023 => 4,
        _ => 5,
    }
}

impl Stats {
    /// The card's reset: registers only.
    pub(super) fn reset_registers(&mut self) {
        self.words.fill(0);
    }

    pub(super) fn add(&mut self, counter: usize, count: u32) {
        self.words[counter] = self.words[counter].saturating_add(count);
    }

    fn add_wide(&mut self, low: usize, count: usize) {
        let value = u64::from(self.words[low + 1]) << 32 | u64::from(self.words[low]);
        let value = value.saturating_add(count as u64);
        self.words[low] = value as u32;
        self.words[low + 1] = (value >> 32) as u32;
    }

    /// Software reads a register.
    pub(super) fn take(&mut self, word: usize) -> u32 {
        let value = self.words[word];
        if WIDE.contains(&word) {
            return value;
        }
        self.words[word] = 0;
        if word > 0 && WIDE.contains(&(word - 1)) {
            self.words[word - 1] = 0;
        }
        value
    }

    /// A good frame came in, wanted or not; `len` includes the FCS.
    pub(super) fn count_received(&mut self, len: usize) {
        self.add(TPR, 1);
        self.add_wide(TOR, len);
    }

    /// A frame passed the filters.
    pub(super) fn count_accepted(&mut self, frame: &[u8], fcs: usize) {
        let len = frame.len() + fcs;
        self.add(GPRC, 1);
        self.add_wide(GORC, len);
        self.add(PRC64 + size_class(len), 1);
        self.count_group(frame, MPRC, BPRC);
    }

    /// A frame went out.
    pub(super) fn count_sent(&mut self, frame: &[u8], fcs: usize) {
        let len = frame.len() + fcs;
        self.add(GPTC, 1);
        self.add(TPT, 1);
        self.add_wide(GOTC, len);
        self.add_wide(TOT, len);
        self.add(PTC64 + size_class(len), 1);
        self.count_group(frame, MPTC, BPTC);
    }

    fn count_group(&mut self, frame: &[u8], multicast: usize, broadcast: usize) {
        let Some(target) = frame.get(..6) else { return };
        if target == super::filter::BROADCAST {
            self.add(broadcast, 1);
        } else if target[0] & 1 != 0 {
            self.add(multicast, 1);
        }
    }

    /// Whether the state is one that a run can leave.
    pub(super) fn is_sound(&self) -> bool {
        let Self { words, received, delivered, dropped, drops, sent, looped, interrupts } = self;
        let counts = [received, delivered, dropped, sent, looped, interrupts];
        words.len() == STATS_WORDS as usize && counts.into_iter().chain(drops).all(|count| *count < COUNT_MAX)
    }
}
