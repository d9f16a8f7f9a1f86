//! Fakes for tests and benches. For chips: a clock, queues, a trace, and a flat memory that DMA reaches untranslated. For
//! the processor: [`FlatBus`], and [`fuzz`], which makes a program of any bytes.

mod cpu;
pub mod fuzz;

pub use cpu::{FlatBus, identity_map, long_mode};

use crate::addr::{Bdf, Iova};
use crate::device::{DeviceCtx, DmaFault, DmaPort, Env, Signal, SignalQueue};
use crate::event::{Event, EventQueue};
use crate::slot::Slot;
use crate::time::{VirtDuration, VirtTime};
use crate::trace::{SharedLog, TraceEvent, TraceMask, TraceRecord, Tracer};
use std::ops::Range;

/// Flat memory from address 0, with ranges that refuse DMA.
#[derive(Clone, Debug)]
pub struct FakeMemory {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Addresses whose DMA faults with VT-d reason 5 (write) or 6 (read).
    pub refused: Vec<Range<u64>>,
    /// What each transfer takes.
    pub latency: VirtDuration,
}

impl FakeMemory {
    fn place(&self, iova: Iova, len: usize, reason: u8) -> Result<Range<usize>, DmaFault> {
        let end = iova.0.checked_add(len as u64).ok_or(DmaFault::NoMemory)?;
        if self.refused.iter().any(|range| range.start < end && iova.0 < range.end) {
            return Err(DmaFault::Remapping(reason));
        }
        if end > self.bytes.len() as u64 {
            return Err(DmaFault::NoMemory);
        }
        Ok(iova.0 as usize..end as usize)
    }
}

impl DmaPort for FakeMemory {
    fn read(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &mut [u8],
    ) -> Result<VirtDuration, DmaFault> {
        let range = self.place(iova, buf.len(), 6)?;
        buf.copy_from_slice(&self.bytes[range]);
        let gpa = crate::addr::Gpa(iova.0);
        env.trace(Slot::Iommu(0), TraceEvent::DmaRead { bdf, iova, gpa, len: buf.len() as u32 });
        Ok(self.latency)
    }

    fn write(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &[u8],
    ) -> Result<VirtDuration, DmaFault> {
        let range = self.place(iova, buf.len(), 5)?;
        self.bytes[range].copy_from_slice(buf);
        let gpa = crate::addr::Gpa(iova.0);
        env.trace(Slot::Iommu(0), TraceEvent::DmaWrite { bdf, iova, gpa, len: buf.len() as u32 });
        Ok(self.latency)
    }
}

/// Everything around a chip under test.
#[derive(Debug)]
pub struct FakeFabric {
    /// The clock.
    pub now: VirtTime,
    /// Pending events.
    pub events: EventQueue,
    /// Raised signals.
    pub signals: SignalQueue,
    /// The trace; all kinds go to a log that [`Self::records`] takes.
    pub tracer: Tracer,
    /// Memory behind the DMA port.
    pub memory: FakeMemory,
    /// Whether the device may be bus master.
    pub bus_master: bool,
    log: SharedLog,
}

impl FakeFabric {
    /// With `bytes` of zeroed memory.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let log = SharedLog::default();
        let mut tracer = Tracer::default();
        tracer.attach(TraceMask::ALL, Box::new(log.clone()));
        let memory = FakeMemory { bytes: vec![0; bytes], refused: Vec::new(), latency: VirtDuration::ZERO };
        Self {
            now: VirtTime::ZERO,
            events: EventQueue::default(),
            signals: SignalQueue::default(),
            tracer,
            memory,
            bus_master: true,
            log,
        }
    }

    /// The bare environment.
    pub fn env(&mut self) -> Env<'_> {
        self.tracer.at(self.now, 0);
        Env { now: self.now, events: &mut self.events, signals: &mut self.signals, tracer: &mut self.tracer }
    }

    /// A device's context.
    pub fn ctx(&mut self, slot: Slot, bdf: Bdf) -> DeviceCtx<'_> {
        self.tracer.at(self.now, 0);
        let env = Env {
            now: self.now,
            events: &mut self.events,
            signals: &mut self.signals,
            tracer: &mut self.tracer,
        };
        DeviceCtx::new(env, slot, bdf, self.bus_master, &mut self.memory)
    }

    /// Moves the clock to the next event due by `until` and takes it; at the end of them moves to `until`.
    pub fn next_event(&mut self, until: VirtTime) -> Option<Event> {
        match self.events.pop_due(until) {
            Some((when, event)) => {
                self.now = self.now.max(when);
                Some(event)
            }
            None => {
                self.now = self.now.max(until);
                None
            }
        }
    }

    /// Takes the raised signals.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.signals.pop()).map(|(signal, _)| signal).collect()
    }

    /// Takes the records so far.
    #[must_use]
    pub fn records(&mut self) -> Vec<TraceRecord> {
        self.log.take()
    }
}
