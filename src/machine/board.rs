//! The board: memory, the IOMMU, the interrupt controllers, and what every chip is lent. Chips that are only reached
//! through it are in [`super::devices`].

use super::layout;
use super::remapping::Remapping;
use super::watch::{self, moment};
use crate::sanitize::{Sanitizer, Use};
use crate::scenario::BusTiming;
use emu_core::cpu::Stamp;
use emu_core::device::{DmaFault, DmaPort, Env, Signal, SignalQueue};
use emu_core::mem::PhysMem;
use emu_core::trace::{TraceEvent, Tracer};
use emu_core::{Bdf, EventQueue, Iova, Msi, Slot, VirtDuration, VirtTime};
use emu_devices::ioapic::Ioapic;
use emu_devices::lapic::Lapic;
use emu_devices::pic::Pic;
use serde::{Deserialize, Serialize};

/// Time, queues and trace.
#[derive(Debug, Default)]
pub(super) struct Fabric {
    pub(super) now: VirtTime,
    pub(super) events: EventQueue,
    pub(super) signals: SignalQueue,
    pub(super) tracer: Tracer,
}

impl Fabric {
    /// What chips are lent.
    pub(super) fn env(&mut self) -> Env<'_> {
        Env { now: self.now, events: &mut self.events, signals: &mut self.signals, tracer: &mut self.tracer }
    }

    /// The processor does something: time is its time, and the handler that it is in is the cause.
    pub(super) fn at(&mut self, stamp: Stamp) {
        self.now = stamp.now;
        self.tracer.at(stamp.now, stamp.insns);
        let handler = self.tracer.handler();
        self.tracer.set_cause(handler);
    }
}

/// Everything that devices reach.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) fabric: Fabric,
    pub(super) mem: PhysMem,
    pub(super) remapping: Remapping,
    /// One a processor.
    pub(super) lapics: Vec<Lapic>,
    pub(super) ioapic: Ioapic,
    pub(super) pic: Pic,
    pub(super) timing: BusTiming,
    pub(super) traffic: Traffic,
    /// Who watches the unit, if anybody; no part of the machine's state.
    pub(super) sanitizer: Option<Box<Sanitizer>>,
}

/// What devices have moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Reads of memory.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// The DMA port of the board: one page at a time through the IOMMU to memory, or to the interrupt remapper.
pub(super) struct Port<'a> {
    pub(super) mem: &'a mut PhysMem,
    pub(super) remapping: &'a mut Remapping,
    pub(super) timing: &'a BusTiming,
    pub(super) traffic: &'a mut Traffic,
    pub(super) sanitizer: Option<&'a mut Sanitizer>,
}

/// A piece of a transfer within one page.
struct Piece {
    gpa: emu_core::Gpa,
    len: usize,
    latency: VirtDuration,
}

impl Port<'_> {
    /// Translates the first piece of `len` bytes at `iova`.
    fn piece(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        len: usize,
        write: bool,
    ) -> Result<Piece, DmaFault> {
        let room = (emu_core::PAGE_SIZE - iova.page_offset()) as usize;
        let number = self.remapping.number_for(bdf);
        let Some(iommu) = number.and_then(|number| self.remapping.unit(number)) else {
            return Ok(Piece { gpa: emu_core::Gpa(iova.0), len: len.min(room), latency: VirtDuration::ZERO });
        };
        let found = iommu.translate(env, self.mem, bdf, iova, write);
        if let Some(sanitizer) = self.sanitizer.as_mut().filter(|sanitizer| number == Some(sanitizer.unit()))
        {
            let answer = found.ok().map(|found| found.gpa);
            watch::translated(
                sanitizer,
                env,
                iommu,
                self.mem,
                Use { bdf, iova, write, answer, at: moment(env) },
            );
        }
        let found = found?;
        let room = usize::try_from(found.page_len_left).unwrap_or(usize::MAX).min(room);
        Ok(Piece { gpa: found.gpa, len: len.min(room), latency: found.latency })
    }

    /// One bus-master transaction of `len` bytes.
    fn transfer(&self, len: usize) -> VirtDuration {
        self.timing.dma_setup.0.plus(self.timing.dma_dword.0.times((len as u64).div_ceil(4)))
    }
}

/// Bytes of a transfer that the trace keeps: a descriptor whole, of a frame its headers. The frame is there in full with the
/// record of its arrival.
const BYTES_TRACED: usize = 64;

fn beginning(moved: &[u8]) -> &[u8] {
    &moved[..moved.len().min(BYTES_TRACED)]
}

/// Says that a transfer did not happen, and passes the reason on.
fn refused(
    env: &mut Env<'_>,
    slot: Slot,
    bdf: Bdf,
    iova: Iova,
    len: usize,
    write: bool,
    fault: DmaFault,
) -> DmaFault {
    let reason = match fault {
        DmaFault::Remapping(reason) => reason,
        DmaFault::BusMasterOff | DmaFault::NoMemory => 0,
    };
    env.trace(slot, TraceEvent::DmaBlocked { bdf, iova, len: len as u32, write, reason });
    fault
}

impl DmaPort for Port<'_> {
    fn read(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &mut [u8],
    ) -> Result<VirtDuration, DmaFault> {
        let slot = self.remapping.slot_for(bdf);
        let mut took = self.transfer(buf.len());
        let mut done = 0;
        while done < buf.len() {
            let at = iova.plus(done as u64);
            let left = buf.len() - done;
            let piece = self
                .piece(env, bdf, at, left, false)
                .map_err(|fault| refused(env, slot, bdf, at, left, false, fault))?;
            let part = &mut buf[done..done + piece.len];
            self.mem
                .read(piece.gpa, part)
                .map_err(|_| refused(env, slot, bdf, at, piece.len, false, DmaFault::NoMemory))?;
            let moved = TraceEvent::DmaRead { bdf, iova: at, gpa: piece.gpa, len: piece.len as u32 };
            env.trace_with(slot, moved, beginning(part));
            took = took.plus(piece.latency);
            done += piece.len;
        }
        self.traffic.reads += 1;
        self.traffic.bytes += buf.len() as u64;
        Ok(took)
    }

    fn write(
        &mut self,
        env: &mut Env<'_>,
        bdf: Bdf,
        iova: Iova,
        buf: &[u8],
    ) -> Result<VirtDuration, DmaFault> {
        let slot = self.remapping.slot_for(bdf);
        let mut took = self.transfer(buf.len());
        if layout::MESSAGES.contains(&iova.0)
            && let Ok(data) = <[u8; 4]>::try_from(buf)
        {
            // Any aligned dword written there is a message, whoever meant it (VT-d specification, section 3.13).
            let msi = Msi { address: iova.0, data: u32::from_le_bytes(data) };
            env.signal(Signal::Msi { source: bdf, msi });
            return Ok(took);
        }
        let mut done = 0;
        while done < buf.len() {
            let at = iova.plus(done as u64);
            let left = buf.len() - done;
            let piece = self
                .piece(env, bdf, at, left, true)
                .map_err(|fault| refused(env, slot, bdf, at, left, true, fault))?;
            let part = &buf[done..done + piece.len];
            self.mem
                .write(piece.gpa, part)
                .map_err(|_| refused(env, slot, bdf, at, piece.len, true, DmaFault::NoMemory))?;
            if let Some(sanitizer) = &mut self.sanitizer {
                watch::written(sanitizer, env, self.mem, bdf);
            }
            let moved = TraceEvent::DmaWrite { bdf, iova: at, gpa: piece.gpa, len: piece.len as u32 };
            env.trace_with(slot, moved, beginning(part));
            took = took.plus(piece.latency);
            done += piece.len;
        }
        self.traffic.writes += 1;
        self.traffic.bytes += buf.len() as u64;
        Ok(took)
    }
}
