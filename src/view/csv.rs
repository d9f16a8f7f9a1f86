//! Figures over time: a row for each interval, what was counted in it. For spreadsheets and plots.

use emu_core::trace::{TraceEvent, TraceRecord};
use emu_core::{VirtDuration, VirtTime};
use std::io::{self, Write};

/// A column: its name, and what a record adds to it.
type Column = (&'static str, fn(&TraceEvent) -> u64);

/// Columns after time and instructions.
const COLUMNS: [Column; 17] = [
    ("frames_in", |e| u64::from(matches!(e, TraceEvent::FrameIn { .. }))),
    ("frames_delivered", |e| u64::from(matches!(e, TraceEvent::FrameDelivered { .. }))),
    ("frames_dropped", |e| u64::from(matches!(e, TraceEvent::FrameDrop { .. }))),
    ("frames_out", |e| u64::from(matches!(e, TraceEvent::FrameOut { .. }))),
    ("dma_reads", |e| u64::from(matches!(e, TraceEvent::DmaRead { .. }))),
    ("dma_writes", |e| u64::from(matches!(e, TraceEvent::DmaWrite { .. }))),
    ("dma_bytes", |e| match e {
        TraceEvent::DmaRead { len, .. } | TraceEvent::DmaWrite { len, .. } => u64::from(*len),
        _ => 0,
    }),
    ("iotlb_hits", |e| u64::from(matches!(e, TraceEvent::IotlbHit { .. }))),
    ("iotlb_misses", |e| u64::from(matches!(e, TraceEvent::IotlbMiss { .. }))),
    ("iotlb_evictions", |e| u64::from(matches!(e, TraceEvent::IotlbEvict { .. }))),
    ("walk_reads", |e| u64::from(matches!(e, TraceEvent::WalkStep { .. }))),
    ("invalidations", |e| u64::from(matches!(e, TraceEvent::Invalidate { .. }))),
    ("dmar_faults", |e| u64::from(matches!(e, TraceEvent::RemapFault { .. }))),
    ("interrupts", |e| u64::from(matches!(e, TraceEvent::CpuInterrupt { .. }))),
    ("exceptions", |e| u64::from(matches!(e, TraceEvent::CpuException { .. }))),
    ("mmio", |e| u64::from(matches!(e, TraceEvent::MmioRead { .. } | TraceEvent::MmioWrite { .. }))),
    ("port_io", |e| u64::from(matches!(e, TraceEvent::PortRead { .. } | TraceEvent::PortWrite { .. }))),
];

/// Counts records and writes a row when an interval is over. Intervals in which nothing happened have no row.
#[derive(Debug)]
pub struct Csv {
    interval: u64,
    /// The interval that is being counted.
    at: u64,
    insns: u64,
    counts: [u64; COLUMNS.len()],
    any: bool,
}

impl Csv {
    /// Rows of `interval` each.
    #[must_use]
    pub fn every(interval: VirtDuration) -> Self {
        Self { interval: interval.0.max(1), at: 0, insns: 0, counts: [0; COLUMNS.len()], any: false }
    }

    /// The line of names.
    pub(super) fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "time_us,instructions")?;
        for (name, _) in COLUMNS {
            write!(out, ",{name}")?;
        }
        writeln!(out)
    }

    pub(super) fn record(&mut self, out: &mut dyn Write, record: &TraceRecord) -> io::Result<()> {
        let at = record.time.0 / self.interval;
        if at != self.at {
            self.row(out)?;
            self.at = at;
        }
        self.insns = record.insns;
        for (count, (_, counts)) in self.counts.iter_mut().zip(COLUMNS) {
            *count += counts(&record.event);
        }
        self.any = true;
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.row(out)
    }

    /// The interval is over: `time_us` is its beginning.
    fn row(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !std::mem::take(&mut self.any) {
            return Ok(());
        }
        let begin = VirtTime(self.at * self.interval);
        write!(out, "{}.{:03},{}", begin.as_ns() / 1000, begin.as_ns() % 1000, self.insns)?;
        for count in std::mem::take(&mut self.counts) {
            write!(out, ",{count}")?;
        }
        writeln!(out)
    }
}
