//! Where a debugger wants the run to stop: before an instruction, after an access to memory, after a trace record. The guest can't
//! notice; nor does a run go otherwise for it. What goes back and forth between stops is [`super::Timeline`].

use super::{Machine, Stop};
use crate::view::filter::Filter;
use emu_core::cpu::{CpuStops, DataHit, DataStop};
use emu_core::trace::{Lookout, TraceEvent, TraceKind, TraceMask, TraceRecord};
use emu_core::{Bdf, Gpa, Lin, PAGE_SIZE, Slot, VirtTime};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// What a run waits for.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    /// Before instructions at these linear addresses.
    pub code: BTreeSet<u64>,
    /// After the processor's accesses to memory, each with its name in [`Hit`].
    pub data: Vec<DataStop>,
    /// After records.
    pub records: Vec<RecordStop>,
}

/// A trace record that is waited for.
#[derive(Clone, Debug)]
pub enum RecordStop {
    /// A frame has come in: that one, or any.
    Packet(Option<u64>),
    /// The processor takes an interrupt: of that vector, or any.
    Interrupt(Option<u8>),
    /// The processor takes an exception: of that vector, or any.
    Exception(Option<u8>),
    /// The IOMMU reports a fault, or a DMA does not happen.
    Fault,
    /// A device's DMA touches these addresses of its own.
    Iova {
        /// Which device; all if it is `None`.
        bdf: Option<Bdf>,
        /// The addresses.
        range: Range<u64>,
        /// Stop at what the device reads.
        read: bool,
        /// Stop at what it writes.
        write: bool,
    },
    /// A device's DMA touches these physical addresses.
    Physical {
        /// The addresses.
        ranges: Vec<Range<u64>>,
        /// Stop at what a device reads.
        read: bool,
        /// Stop at what it writes.
        write: bool,
    },
    /// The processor touches a device's registers.
    Register {
        /// Which device.
        slot: Slot,
        /// Which of its registers, by offset: one may have several places.
        ranges: Vec<Range<u64>>,
        /// Stop at reads.
        read: bool,
        /// Stop at writes.
        write: bool,
    },
    /// Whatever a filter of `glassbox trace` wants.
    Matching(Box<Filter>),
}

fn touches(range: &Range<u64>, first: u64, len: u32) -> bool {
    first < range.end && range.start < first.saturating_add(u64::from(len.max(1)))
}

impl RecordStop {
    /// Kinds of records that it may be.
    fn kinds(&self) -> TraceMask {
        let of = |kind| TraceMask::NONE.with(kind);
        match self {
            Self::Packet(_) => of(TraceKind::Net),
            Self::Interrupt(_) | Self::Exception(_) => of(TraceKind::Cpu),
            Self::Fault => of(TraceKind::Fault).with(TraceKind::Dma),
            Self::Iova { .. } | Self::Physical { .. } => of(TraceKind::Dma),
            Self::Register { .. } => of(TraceKind::Mmio),
            Self::Matching(filter) => filter.kinds,
        }
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, record: &TraceRecord) -> bool {
        let (read, write) = match record.event {
            TraceEvent::DmaRead { .. } | TraceEvent::MmioRead { .. } => (true, false),
            TraceEvent::DmaWrite { .. } | TraceEvent::MmioWrite { .. } => (false, true),
            _ => (false, false),
        };
        match (self, record.event) {
            (Self::Packet(wanted), TraceEvent::FrameIn { packet, .. }) => {
                wanted.is_none_or(|wanted| wanted == packet)
            }
            (Self::Interrupt(wanted), TraceEvent::CpuInterrupt { vector, .. })
            | (Self::Exception(wanted), TraceEvent::CpuException { vector, .. }) => {
                wanted.is_none_or(|wanted| wanted == vector)
            }
            (Self::Fault, TraceEvent::RemapFault { .. } | TraceEvent::DmaBlocked { .. }) => true,
            (
                Self::Iova { bdf, range, read: reads, write: writes },
                TraceEvent::DmaRead { bdf: by, iova, len, .. }
                | TraceEvent::DmaWrite { bdf: by, iova, len, .. },
            ) => {
                bdf.is_none_or(|bdf| bdf == by)
                    && touches(range, iova.0, len)
                    && (*reads && read || *writes && write)
            }
            (
                Self::Physical { ranges, read: reads, write: writes },
                TraceEvent::DmaRead { gpa, len, .. } | TraceEvent::DmaWrite { gpa, len, .. },
            ) => {
                ranges.iter().any(|range| touches(range, gpa.0, len)) && (*reads && read || *writes && write)
            }
            (
                Self::Register { slot, ranges, read: reads, write: writes },
                TraceEvent::MmioRead { offset, width, .. } | TraceEvent::MmioWrite { offset, width, .. },
            ) => {
                *slot == record.source
                    && ranges.iter().any(|range| touches(range, offset, width.bytes() as u32))
                    && (*reads && read || *writes && write)
            }
            (Self::Matching(filter), _) => filter.sieve().wants(record),
            _ => false,
        }
    }
}

impl fmt::Display for RecordStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = |read: &bool, write: &bool| match (read, write) {
            (true, true) => "read or written",
            (true, false) => "read",
            (false, _) => "written",
        };
        match self {
            Self::Packet(None) => write!(f, "any frame"),
            Self::Packet(Some(packet)) => write!(f, "frame {packet}"),
            Self::Interrupt(None) => write!(f, "any interrupt"),
            Self::Interrupt(Some(vector)) => write!(f, "interrupt {vector:#x}"),
            Self::Exception(None) => write!(f, "any exception"),
            Self::Exception(Some(vector)) => write!(f, "exception {vector:#x}"),
            Self::Fault => write!(f, "a DMA fault"),
            Self::Iova { bdf, range, read, write } => {
                let by = bdf.map_or_else(|| "a device".to_owned(), |bdf| bdf.to_string());
                write!(f, "iova {:#x}..{:#x} {} by {by}", range.start, range.end, ways(read, write))
            }
            Self::Physical { ranges, read, write } => {
                for range in ranges {
                    write!(f, "{:#x}..{:#x} ", range.start, range.end)?;
                }
                write!(f, "{} by a device", ways(read, write))
            }
            Self::Register { slot, ranges, read, write } => {
                let first = ranges.first().map_or(0, |range| range.start);
                let name = crate::view::names::register(*slot, first);
                write!(f, "{name} {}", ways(read, write))
            }
            Self::Matching(_) => write!(f, "a record that matches"),
        }
    }
}

/// The lookout that the trace has.
struct Waiting(Vec<RecordStop>);

impl Lookout for Waiting {
    fn waits_for(&mut self, record: &TraceRecord) -> bool {
        self.0.iter().any(|stop| stop.is(record))
    }
}

/// What a run was stopped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The next instruction is one that is waited for.
    Code,
    /// An access of the processor's to memory.
    Data(DataHit),
    /// A record.
    Record {
        /// The record.
        record: TraceRecord,
        /// It came of an event, a frame's arrival for instance, rather than of what the processor did.
        outside: bool,
    },
}

impl Hit {
    /// When what was waited for began, and how many instructions were retired by then. `None` if it has not happened yet.
    pub(super) fn began(&self) -> Option<(VirtTime, u64)> {
        match self {
            Self::Code => None,
            Self::Data(hit) => Some((hit.time, hit.insns)),
            Self::Record { record, .. } => Some((record.time, record.insns)),
        }
    }
}

impl Machine {
    /// Waits for `stops` in every run from now on, and for nothing else.
    pub fn set_stops(&mut self, stops: Stops) {
        let Stops { code, data, records } = stops;
        self.cpu.set_stops(CpuStops { code, data });
        let mask = records.iter().fold(TraceMask::NONE, |mask, stop| mask.union(stop.kinds()));
        let lookout: Box<dyn Lookout> = Box::new(Waiting(records));
        self.tracer().look_out((mask != TraceMask::NONE).then_some((mask, lookout)));
    }

    /// The next run does not stop where the machine is: whoever waits is there already.
    pub fn pass_stop(&mut self) {
        self.cpu.pass_stop();
    }

    /// What the last run was stopped by.
    pub fn take_hit(&mut self, stop: &Stop) -> Option<Hit> {
        match stop {
            Stop::Breakpoint => Some(Hit::Code),
            Stop::Watchpoint => self.cpu.take_data_hit().map(Hit::Data),
            Stop::Record => {
                let outside = self.seen_outside;
                self.tracer().take_seen().map(|record| Hit::Record { record, outside })
            }
            _ => None,
        }
    }

    /// What stopped an earlier run is not what stops the next one.
    pub(super) fn forget_hits(&mut self) {
        self.cpu.take_data_hit();
        self.tracer().take_seen();
    }

    /// A watch on `len` bytes at a linear address and on the memory that it is mapped to now.
    #[must_use]
    pub fn data_stop(&self, at: Lin, len: u64, read: bool, write: bool) -> DataStop {
        let linear = at.0..at.0.saturating_add(len);
        let mut physical: Vec<Range<u64>> = Vec::new();
        let mut from = linear.start;
        while from < linear.end && physical.len() < PAGES_MAX {
            let piece = (PAGE_SIZE - from % PAGE_SIZE).min(linear.end - from);
            if let Some(found) = self.cpu.translate(&self.platform, Lin(from)) {
                physical.push(found.gpa.0..found.gpa.0 + piece);
            }
            from += piece;
        }
        DataStop { linear: Some(linear), physical, read, write }
    }

    /// Where a linear address is in physical memory.
    #[must_use]
    pub fn translate(&self, at: Lin) -> Option<Gpa> {
        self.cpu.translate(&self.platform, at).map(|found| found.gpa)
    }
}

/// A watch is on that many pages at most.
const PAGES_MAX: usize = 1024;
