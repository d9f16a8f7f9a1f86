//! What a chip is lent for the length of a call: time, events, signals, the trace, and a bus-master port.
//!
//! A chip owns plain state only. It names pins and offsets, never interrupt numbers or addresses; it can't name another
//! requester than its own; and what it does to other chips it only records, as [`Signal`]s that the board drains in
//! order after the call has returned.

use crate::addr::{Bdf, Iova};
use crate::event::{Event, EventQueue};
use crate::irq::{Interrupt, Msi, Pin};
use crate::slot::Slot;
use crate::time::{VirtDuration, VirtTime};
use crate::trace::{RecordId, TraceEvent, Tracer};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a chip wants done to others. Data, like events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant's line explains its fields")]
pub enum Signal {
    /// A pin of `slot` went high or low.
    Pin { slot: Slot, pin: Pin, high: bool },
    /// A message on its way to the interrupt remapper.
    Msi { source: Bdf, msi: Msi },
    /// An interrupt that is past the remapper, or bypasses it as the IOMMU's own do.
    Interrupt(Interrupt),
    /// A processor's IPI, sent by the local APIC of that index. `shorthand` is the ICR field, bits 19:18.
    Ipi { from: u8, interrupt: Interrupt, shorthand: u8 },
    /// A local APIC broadcasts the end of a level-triggered interrupt.
    Eoi { vector: u8 },
    /// The 8259 pair's INTR output changed.
    PicIntr { high: bool },
    /// Restart the machine.
    Reset,
    /// Switch the machine off; `code` becomes its exit status, 0 for an ordinary power-off.
    PowerOff { code: u32 },
}

/// Signals in the order they were raised, each with its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalQueue(VecDeque<(Signal, Option<RecordId>)>);

impl SignalQueue {
    /// Adds a signal raised on behalf of `cause`.
    pub fn push(&mut self, signal: Signal, cause: Option<RecordId>) {
        self.0.push_back((signal, cause));
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<(Signal, Option<RecordId>)> {
        self.0.pop_front()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What every chip is lent.
pub struct Env<'a> {
    /// The instant of the call.
    pub now: VirtTime,
    /// The event queue.
    pub events: &'a mut EventQueue,
    /// The signal queue.
    pub signals: &'a mut SignalQueue,
    /// The trace.
    pub tracer: &'a mut Tracer,
}

impl Env<'_> {
    /// Emits a record in the name of `slot`.
    #[inline]
    pub fn trace(&mut self, slot: Slot, event: TraceEvent) -> RecordId {
        self.tracer.emit(slot, event)
    }

    /// The same with bytes to keep beside the record.
    #[inline]
    pub fn trace_with(&mut self, slot: Slot, event: TraceEvent, bytes: &[u8]) -> RecordId {
        self.tracer.emit_with(slot, event, bytes)
    }

    /// Raises a signal on behalf of the current cause.
    pub fn signal(&mut self, signal: Signal) {
        let cause = self.tracer.cause();
        self.signals.push(signal, cause);
    }

    /// Raises a signal on behalf of `cause`.
    pub fn signal_for(&mut self, cause: RecordId, signal: Signal) {
        self.signals.push(signal, Some(cause));
    }

    /// Asks to be told, `delay` from now.
    pub fn after(&mut self, slot: Slot, delay: VirtDuration, token: u32) {
        let cause = self.tracer.cause();
        self.events.schedule(self.now.after(delay), Event { slot, token, cause });
    }

    /// Runs `work` on behalf of `cause`, then puts the former cause back.
    pub fn on_behalf_of<R>(&mut self, cause: RecordId, work: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.tracer.set_cause(Some(cause));
        let result = work(self);
        self.tracer.set_cause(before);
        result
    }
}

/// Why a DMA did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaFault {
    /// PCI Command.BusMaster is off.
    BusMasterOff,
    /// The IOMMU refused; the VT-d fault reason.
    Remapping(u8),
    /// Nothing answers at that address: a master abort.
    NoMemory,
}

/// The way from a bus master to memory, with whatever stands in between. The board's is the only real one; tests have
/// a fake.
pub trait DmaPort {
    /// Fills `buf` from `iova` on. Answers how long the bus and the translation took.
    fn read(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &mut [u8],
    ) -> Result<VirtDuration, DmaFault>;
    /// Writes `buf` to `iova` on. On a fault no byte of the page that faulted, nor any after it, is written.
    fn write(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &[u8],
    ) -> Result<VirtDuration, DmaFault>;
}

/// What a device on a bus is lent: the environment, its identity, and the port that carries its DMA and messages.
pub struct DeviceCtx<'a> {
    env: Env<'a>,
    slot: Slot,
    bdf: Bdf,
    bus_master: bool,
    port: &'a mut dyn DmaPort,
}

impl<'a> DeviceCtx<'a> {
    /// For one call of the device in `slot`, which asks as `bdf` and may do so if `bus_master`.
    pub fn new(env: Env<'a>, slot: Slot, bdf: Bdf, bus_master: bool, port: &'a mut dyn DmaPort) -> Self {
        Self { env, slot, bdf, bus_master, port }
    }

    /// The instant of the call.
    #[must_use]
    pub fn now(&self) -> VirtTime {
        self.env.now
    }

    /// Emits a record in the device's name.
    pub fn trace(&mut self, event: TraceEvent) -> RecordId {
        self.env.tracer.emit(self.slot, event)
    }

    /// The same with bytes to keep beside the record: a frame.
    pub fn trace_with(&mut self, event: TraceEvent, bytes: &[u8]) -> RecordId {
        self.env.tracer.emit_with(self.slot, event, bytes)
    }

    /// The record on whose behalf the device works now.
    #[must_use]
    pub fn cause(&self) -> Option<RecordId> {
        self.env.tracer.cause()
    }

    /// Makes `cause` the current one for the rest of the call or until changed; answers the one before.
    pub fn set_cause(&mut self, cause: Option<RecordId>) -> Option<RecordId> {
        self.env.tracer.set_cause(cause)
    }

    /// Drives one of the device's own pins.
    pub fn set_pin(&mut self, pin: Pin, high: bool) {
        let id = self.trace(TraceEvent::PinLevel { pin, high });
        self.env.signal_for(id, Signal::Pin { slot: self.slot, pin, high });
    }

    /// Sends a message signalled interrupt, unless bus mastering is off: a message is a memory write.
    pub fn msi(&mut self, msi: Msi) {
        if self.bus_master {
            let id = self.trace(TraceEvent::MsiSent { bdf: self.bdf, address: msi.address, data: msi.data });
            self.env.signal_for(id, Signal::Msi { source: self.bdf, msi });
        }
    }

    /// Asks the board for something on behalf of the current cause.
    pub fn signal(&mut self, signal: Signal) {
        self.env.signal(signal);
    }

    /// Asks to be told `token`, `delay` from now.
    pub fn after(&mut self, delay: VirtDuration, token: u32) {
        let slot = self.slot;
        self.env.after(slot, delay, token);
    }

    /// Takes back every event of `token`.
    pub fn cancel(&mut self, token: u32) {
        self.env.events.cancel(self.slot, token);
    }

    /// Reads guest memory as this device.
    pub fn dma_read(&mut self, iova: Iova, buf: &mut [u8]) -> Result<VirtDuration, DmaFault> {
        self.gate(iova, buf.len(), false)?;
        self.port.read(&mut self.env, self.bdf, iova, buf)
    }

    /// Writes guest memory as this device.
    pub fn dma_write(&mut self, iova: Iova, buf: &[u8]) -> Result<VirtDuration, DmaFault> {
        self.gate(iova, buf.len(), true)?;
        self.port.write(&mut self.env, self.bdf, iova, buf)
    }

    /// Command.BusMaster stands before everything else on the path.
    fn gate(&mut self, iova: Iova, len: usize, write: bool) -> Result<(), DmaFault> {
        if self.bus_master {
            return Ok(());
        }
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.trace(TraceEvent::DmaBlocked { bdf: self.bdf, iova, len, write, reason: 0 });
        Err(DmaFault::BusMasterOff)
    }
}
