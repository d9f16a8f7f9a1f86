//! Where a debugger outside wants the processor to stop: before instructions, and after accesses to memory. Not the debug registers,
//! which are the guest's ([`super::system`]); the guest can't notice these, nor does a run go otherwise for them.
//!
//! A block in which a stop may lie is decoded one instruction long and never covered by the budget, so that the run loop looks
//! before it. Which blocks those are depends on the offset in the page alone: blocks serve every address that their page is mapped
//! at. Memory that is watched has no tags, as with data breakpoints.

use super::regs::Seg;
use super::{CodeSize, Cpu};
use crate::addr::{Gpa, Lin, PAGE_SIZE};
use crate::time::VirtTime;
use std::collections::BTreeSet;
use std::ops::Range;

/// Memory that is watched. Either address is enough: what a linear one is mapped to may change, and physical memory may be
/// reached by other addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataStop {
    /// Linear addresses.
    pub linear: Option<Range<u64>>,
    /// Physical addresses, of device registers as well.
    pub physical: Vec<Range<u64>>,
    /// Stop at reads.
    pub read: bool,
    /// Stop at writes.
    pub write: bool,
}

/// An access to memory that is watched. Accesses of the page walker are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHit {
    /// Which [`DataStop`].
    pub stop: usize,
    /// The linear address of its first byte.
    pub lin: Lin,
    /// The physical one.
    pub gpa: Gpa,
    /// Bytes.
    pub len: u64,
    /// A write.
    pub write: bool,
    /// When the instruction began.
    pub time: VirtTime,
    /// Instructions retired before it.
    pub insns: u64,
}

/// What a debugger waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuStops {
    /// Linear addresses of instructions.
    pub code: BTreeSet<u64>,
    /// Memory.
    pub data: Vec<DataStop>,
}

/// [`CpuStops`] as the engine uses them.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    wanted: CpuStops,
    /// Offsets in pages at which some instruction is waited for: a bit each.
    offsets: Option<Box<[u64; (PAGE_SIZE / 64) as usize]>>,
    /// The boundary at which the processor does not stop: it has just done so.
    passed: Option<(u64, VirtTime)>,
    hit: Option<DataHit>,
}

fn touches(range: &Range<u64>, first: u64, len: u64) -> bool {
    first < range.end && range.start < first.saturating_add(len)
}

impl Stops {
    /// Whether an instruction at that offset in its page may be one that is waited for.
    pub(super) fn may_stop_at(&self, offset: u64) -> bool {
        let word = |offsets: &[u64; (PAGE_SIZE / 64) as usize]| offsets[(offset / 64) as usize & 63];
        self.offsets.as_ref().is_some_and(|offsets| word(offsets) >> (offset % 64) & 1 != 0)
    }

    /// Whether any instruction is waited for.
    pub(super) fn any_code(&self) -> bool {
        self.offsets.is_some()
    }

    /// The processor was taken elsewhere.
    pub(super) fn forget_passed(&mut self) {
        self.passed = None;
    }

    pub(super) fn any_data(&self) -> bool {
        !self.wanted.data.is_empty()
    }

    /// Whether memory that was watched has been accessed since the last look.
    pub(super) fn has_hit(&self) -> bool {
        self.hit.is_some()
    }
}

impl Cpu {
    /// Waits for `stops` from now on, and for nothing else. Only between runs.
    pub fn set_stops(&mut self, stops: CpuStops) {
        if stops == self.engine.stops.wanted {
            return;
        }
        let mut offsets = Box::new([0; (PAGE_SIZE / 64) as usize]);
        for address in &stops.code {
            offsets[(address % PAGE_SIZE / 64) as usize] |= 1 << (address % 64);
        }
        let offsets = (!stops.code.is_empty()).then_some(offsets);
        if offsets != self.engine.stops.offsets {
            // Blocks were cut by other offsets.
            self.engine.drop_blocks();
        }
        if stops.data != self.engine.stops.wanted.data {
            self.mmu.drop_fast();
        }
        self.engine.stops = Stops { wanted: stops, offsets, passed: None, hit: None };
    }

    /// Does not stop before the next instruction: the debugger is there already.
    pub fn pass_stop(&mut self) {
        self.engine.stops.passed = Some((self.insns(), self.now()));
    }

    /// The first access to watched memory since the last call.
    pub fn take_data_hit(&mut self) -> Option<DataHit> {
        self.engine.stops.hit.take()
    }

    /// The linear address of the next instruction.
    #[must_use]
    pub fn linear_rip(&self) -> u64 {
        if self.code_size() == CodeSize::Bits64 {
            self.rip
        } else {
            self.seg_base(Seg::Cs).wrapping_add(self.rip) & 0xffff_ffff
        }
    }

    /// Whether the run must come back before the next instruction; it then passes it the next time.
    pub(super) fn stops_here(&mut self) -> bool {
        let here = (self.insns(), self.now());
        let stops = self.at_stop() && self.engine.stops.passed != Some(here);
        if stops {
            self.engine.stops.passed = Some(here);
        }
        stops
    }

    /// Whether the next instruction is waited for.
    pub(super) fn at_stop(&self) -> bool {
        self.engine.stops.any_code() && self.engine.stops.wanted.code.contains(&self.linear_rip())
    }

    /// Whether some of a page is watched: it gets no tags.
    pub(super) fn is_stop_page(&self, lin: Lin, gpa: Gpa) -> bool {
        self.engine.stops.any_data()
            && self.engine.stops.wanted.data.iter().any(|stop| {
                stop.linear.as_ref().is_some_and(|range| touches(range, lin.0, PAGE_SIZE))
                    || stop.physical.iter().any(|range| touches(range, gpa.0, PAGE_SIZE))
            })
    }

    /// An access of `len` bytes within a page.
    pub(super) fn note_access(&mut self, lin: Lin, gpa: Gpa, len: u64, write: bool) {
        if !self.engine.stops.any_data() || self.engine.stops.hit.is_some() {
            return;
        }
        let found = self.engine.stops.wanted.data.iter().position(|stop| {
            (if write { stop.write } else { stop.read })
                && (stop.linear.as_ref().is_some_and(|range| touches(range, lin.0, len))
                    || stop.physical.iter().any(|range| touches(range, gpa.0, len)))
        });
        if let Some(stop) = found {
            let at = self.stamp();
            let (time, insns) = (at.now, at.insns);
            self.engine.stops.hit = Some(DataHit { stop, lin, gpa, len, write, time, insns });
            self.leave_after_instruction();
        }
    }
}
