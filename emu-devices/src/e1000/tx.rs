//! The way of a packet from guest memory to the wire: descriptors, data, FIFO, serialization, write-back, interrupt.
//! Manual 3.3 and 3.4.
//!
//! Causes: the tail write → `DescFetch` → DMA of the data, `FrameOut`, `DescWriteBack` → `NicCause` → pin or MSI.
//! As the manual says of RS, a descriptor is done once its data is in the transmit FIFO, which may be before its frame
//! has left; RPS without RS (an 82544 feature) waits for the wire.

use super::checksum::frame_check;
use super::ring::{Fetched, RingState, write_back_threshold};
use super::rx::{FCS, FRAME_MIN, fifo_room};
use super::segment::{Assembly, Context, Kind, TxDesc, delays, insert_vlan, waits_for_wire};
use super::timing::{DELAY_UNIT, GAP_BYTES, PREAMBLE_BYTES};
use super::{E1000, Fate, Token, spec, stats};
use emu_core::device::{DeviceCtx, DmaFault};
use emu_core::trace::{RecordId, Ring, TraceEvent};
use emu_core::{Iova, VirtDuration, VirtTime};
use emu_net::NetBackend;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Data is read in pieces of this many bytes, so that no descriptor keeps the host busy for long.
const CHUNK: u32 = 4096;
/// Frames looped back are numbered from here on, apart from those of the wire.
const LOOPED: u64 = 1 << 63;

/// Where the descriptor in work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The next step reads data.
    #[default]
    Read,
    /// The next step puts the data read into frames.
    Assemble,
    /// The FIFO is full: the next step waits for the wire.
    Blocked,
}

/// The descriptor in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InWork {
    /// The descriptor.
    pub desc: Fetched,
    /// Bytes of its data that are read.
    pub done: u32,
    /// What comes next.
    pub phase: Phase,
}

/// A descriptor to be written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The descriptor.
    pub desc: Fetched,
    /// The interrupt may wait for the timers.
    pub delayed: bool,
}

/// A frame in the FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Without FCS.
    pub bytes: Vec<u8>,
    /// The record of its first descriptor's fetch; for a PAUSE frame whatever made the card send it.
    pub cause: Option<RecordId>,
    /// The FCS that software supplied is wrong: the far end will not take it.
    pub bad_fcs: bool,
    /// A PAUSE frame of the MAC's own: it does not wait for a paused transmitter.
    pub control: bool,
    /// Descriptors whose write-back waits for this frame.
    pub reports: Vec<Report>,
}

/// Transmitter state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transmitter {
    /// The ring.
    pub ring: RingState,
    /// The descriptor in work.
    pub current: Option<InWork>,
    /// Its data on the way over the bus.
    pub chunk: Vec<u8>,
    /// The packet in work.
    pub assembly: Assembly,
    /// Contexts: for checksums, for segmentation.
    pub contexts: [Context; 2],
    /// Frames that wait for the wire; the first is on it if `on_wire`.
    pub fifo: VecDeque<Outbound>,
    /// What they take in the packet buffer.
    pub fifo_bytes: u32,
    /// The first frame is being sent.
    pub on_wire: bool,
    /// End of the last inter-frame gap.
    pub wire_free: VirtTime,
    /// Descriptors to be written back.
    pub reports: Vec<Report>,
    /// The write-back is in the event queue.
    pub reporting: bool,
    /// TXDW waits for the timers.
    pub told_later: Option<RecordId>,
    /// The packet timer runs.
    pub delay_runs: bool,
    /// The absolute timer runs.
    pub absolute_runs: bool,
    /// The bus refused because the card is not bus master.
    pub stalled: bool,
    /// The link partner asked for silence.
    pub paused: bool,
}

impl E1000 {
    /// Whether frames come back instead of leaving: MAC or PHY loopback.
    pub(super) fn loops_back(&self) -> bool {
        self.regs.rctl & spec::RCTL_LBM != 0 || self.phy.loops_back()
    }

    fn may_transmit(&self) -> bool {
        self.regs.tctl & spec::TCTL_EN != 0 && (self.link_up() || self.loops_back())
    }

    /// Fetches, reads and sends, if there is anything to do and nothing in the way.
    pub(super) fn pump_transmit(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.start_wire(ctx);
        if !self.may_transmit() || self.tx.stalled {
            return;
        }
        if self.tx.ring.wants_fetch(self.regs.txdctl) {
            self.tx.ring.fetching = true;
            ctx.after(self.config.timing.descriptor_fetch, Token::TxFetch as u32);
        }
        match self.tx.current {
            None => {
                if let Some(desc) = self.tx.ring.cache.pop_front() {
                    self.tx.current = Some(InWork { desc, done: 0, phase: Phase::Read });
                    self.step_after(ctx, self.config.timing.transmit_start, desc.record);
                }
            }
            Some(InWork { desc, done, phase: Phase::Blocked }) if self.has_room() => {
                self.tx.current = Some(InWork { desc, done, phase: Phase::Assemble });
                self.step_after(ctx, VirtDuration::ZERO, desc.record);
            }
            Some(_) => {}
        }
    }

    fn step_after(&self, ctx: &mut DeviceCtx<'_>, delay: VirtDuration, cause: RecordId) {
        let before = ctx.set_cause(Some(cause));
        ctx.after(delay, Token::TxStep as u32);
        ctx.set_cause(before);
    }

    /// Whether the FIFO takes another frame. An empty one always does, so that no size can wedge it.
    fn has_room(&self) -> bool {
        let size = 64u32.saturating_sub(self.regs.pba & 0xffff) << 10;
        self.tx.fifo.is_empty() || self.tx.fifo_bytes < size
    }

    /// Time to ask the bus for descriptors.
    pub(super) fn transmit_fetch(&mut self, ctx: &mut DeviceCtx<'_>) {
        match self.tx.ring.fetch(ctx, Ring::Tx) {
            Ok(took) => ctx.after(took, Token::TxArrived as u32),
            Err(fault) => {
                self.tx.ring.fetching = false;
                self.tx.ring.stalled = true;
                self.note_fault(fault);
            }
        }
    }

    /// Descriptors are on chip.
    pub(super) fn transmit_arrived(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.tx.ring.arrive();
        self.pump_transmit(ctx);
    }

    /// The next step of the descriptor in work.
    pub(super) fn transmit_step(&mut self, ctx: &mut DeviceCtx<'_>) {
        let Some(work) = self.tx.current else { return };
        ctx.set_cause(Some(work.desc.record));
        match work.phase {
            Phase::Read => self.read_data(ctx, work),
            Phase::Assemble => self.assemble(ctx, work),
            Phase::Blocked => {}
        }
    }

    fn context(&self) -> Context {
        self.tx.contexts[usize::from(self.tx.assembly.segments)]
    }

    fn read_data(&mut self, ctx: &mut DeviceCtx<'_>, work: InWork) {
        let desc = TxDesc { raw: work.desc.raw };
        if desc.kind() == Kind::Context {
            self.tx.contexts[usize::from(desc.has(spec::TXD_TSE))] = Context::decode(desc.raw);
            if desc.has(spec::TXD_TSE) {
                self.stats.add(stats::TSCTC, 1);
            }
            return self.descriptor_done(ctx, work, false);
        }
        self.tx.assembly.open(desc, work.desc.record);
        let len = desc.len().saturating_sub(work.done).min(CHUNK);
        let mut bytes = vec![0; len as usize];
        let read = match len {
            0 => Ok(VirtDuration::ZERO),
            _ => ctx.dma_read(Iova(desc.raw[0]).plus(u64::from(work.done)), &mut bytes),
        };
        let took = match read {
            Ok(took) => took,
            Err(DmaFault::BusMasterOff) => {
                self.tx.stalled = true;
                return;
            }
            Err(fault) => {
                self.note_fault(fault);
                self.tx.assembly.spoilt = true;
                VirtDuration::ZERO
            }
        };
        self.tx.chunk = bytes;
        self.tx.current = Some(InWork { done: work.done + len, phase: Phase::Assemble, ..work });
        self.step_after(ctx, took, work.desc.record);
    }

    /// Data is on chip: makes frames of it as long as the FIFO takes them.
    fn assemble(&mut self, ctx: &mut DeviceCtx<'_>, work: InWork) {
        let desc = TxDesc { raw: work.desc.raw };
        let context = self.context();
        let chunk = std::mem::take(&mut self.tx.chunk);
        self.tx.assembly.append(&chunk, &context);
        let read = work.done >= desc.len();
        let end = read && desc.has(spec::TXD_EOP);
        while self.tx.assembly.has_frame(&context, end) {
            if !self.has_room() {
                self.tx.current = Some(InWork { phase: Phase::Blocked, ..work });
                return self.start_wire(ctx);
            }
            let Some(frame) = self.tx.assembly.next_frame(&context, end) else { break };
            self.queue_frame(frame);
        }
        self.start_wire(ctx);
        if read {
            self.descriptor_done(ctx, work, end);
        } else {
            self.tx.current = Some(InWork { phase: Phase::Read, ..work });
            self.step_after(ctx, VirtDuration::ZERO, work.desc.record);
        }
    }

    /// A frame leaves the DMA engine: tag, padding and FCS are the MAC's.
    fn queue_frame(&mut self, mut bytes: Vec<u8>) {
        let assembly = &self.tx.assembly;
        let mut bad_fcs = false;
        if !assembly.insert_fcs && bytes.len() > FCS {
            let supplied = bytes.split_off(bytes.len() - FCS);
            bad_fcs = supplied != frame_check(&bytes);
        }
        if let Some(tag) = assembly.vlan.filter(|_| self.regs.ctrl & spec::CTRL_VME != 0) {
            insert_vlan(&mut bytes, self.regs.vet as u16, tag);
        }
        if self.regs.tctl & spec::TCTL_PSP != 0 && bytes.len() < FRAME_MIN {
            bytes.resize(FRAME_MIN, 0);
        }
        let cause = assembly.cause;
        self.push_outbound(Outbound { bytes, cause, bad_fcs, control: false, reports: Vec::new() });
    }

    fn push_outbound(&mut self, frame: Outbound) {
        self.tx.fifo_bytes += fifo_room(frame.bytes.len());
        self.tx.fifo.push_back(frame);
    }

    /// Puts a frame of the MAC's own before all that is not yet on the wire.
    pub(super) fn queue_control_frame(&mut self, ctx: &mut DeviceCtx<'_>, bytes: Vec<u8>) {
        let frame =
            Outbound { bytes, cause: ctx.cause(), bad_fcs: false, control: true, reports: Vec::new() };
        self.tx.fifo_bytes += fifo_room(frame.bytes.len());
        let at = usize::from(self.tx.on_wire).min(self.tx.fifo.len());
        self.tx.fifo.insert(at, frame);
        self.start_wire(ctx);
    }

    /// All of a descriptor's data is in the FIFO.
    fn descriptor_done(&mut self, ctx: &mut DeviceCtx<'_>, work: InWork, end: bool) {
        let desc = TxDesc { raw: work.desc.raw };
        self.tx.current = None;
        if end {
            let packet = std::mem::take(&mut self.tx.assembly);
            if packet.segments && packet.frames == 0 {
                self.stats.add(stats::TSCTFC, 1);
            }
        }
        let before = self.tx.ring.owned();
        self.tx.ring.advance_head(work.desc.index);
        if desc.reports() {
            let report = Report { desc: work.desc, delayed: delays(desc) };
            match self.tx.fifo.back_mut().filter(|_| waits_for_wire(desc)) {
                Some(frame) => frame.reports.push(report),
                None => self.report(ctx, report),
            }
        }
        self.low_on_work(ctx, before);
        self.pump_transmit(ctx);
    }

    /// TXQE when the queue has run empty; TXD_LOW when it has fallen to TXDCTL.LWTHRESH (in units of 8).
    fn low_on_work(&mut self, ctx: &mut DeviceCtx<'_>, before: u32) {
        let left = self.tx.ring.owned();
        let low = (self.regs.txdctl >> 25) * 8;
        let mut causes = if left == 0 { spec::ICR_TXQE } else { 0 };
        if low != 0 && before > low && left <= low {
            causes |= spec::ICR_TXD_LOW;
        }
        self.raise(ctx, causes);
    }

    /// Adds a descriptor to those to be written back, and does so if the threshold is reached or nothing may wait.
    fn report(&mut self, ctx: &mut DeviceCtx<'_>, report: Report) {
        self.tx.reports.push(report);
        let enough = self.tx.reports.len() >= write_back_threshold(self.regs.txdctl);
        if enough || !report.delayed || self.regs.tidv == 0 {
            self.report_soon(ctx);
        } else {
            self.start_transmit_timers(ctx);
        }
    }

    fn report_soon(&mut self, ctx: &mut DeviceCtx<'_>) {
        if !self.tx.reporting {
            self.tx.reporting = true;
            ctx.after(self.config.timing.write_back, Token::TxWriteBack as u32);
        }
    }

    /// Time to write descriptors back.
    pub(super) fn transmit_write_back(&mut self, ctx: &mut DeviceCtx<'_>) {
        if !self.bus_master() {
            self.tx.reporting = false;
            return;
        }
        self.tx.reporting = false;
        let mut now = None;
        for report in std::mem::take(&mut self.tx.reports) {
            let record = self.write_back_sent(ctx, report.desc);
            if report.delayed && self.regs.tidv != 0 {
                self.tx.told_later = Some(record);
            } else {
                now = Some(record);
            }
        }
        if let Some(record) = now {
            ctx.set_cause(Some(record));
            self.transmit_timer(ctx, Some(record));
        } else if self.tx.told_later.is_some() {
            ctx.set_cause(self.tx.told_later);
            self.start_transmit_timers(ctx);
        }
    }

    /// Sets DD in the last dword, the only one that changes.
    fn write_back_sent(&mut self, ctx: &mut DeviceCtx<'_>, desc: Fetched) -> RecordId {
        ctx.set_cause(Some(desc.record));
        let raw = [desc.raw[0], desc.raw[1] & !(0xf << 32) | spec::TXD_DD];
        let event = TraceEvent::DescWriteBack { ring: Ring::Tx, index: desc.index, iova: desc.iova, raw };
        let record = ctx.trace(event);
        ctx.set_cause(Some(record));
        let status = ((raw[1] >> 32) as u32).to_le_bytes();
        // Posted: a refusal is the trace's to tell.
        let _ = ctx.dma_write(desc.iova.plus(12), &status);
        record
    }

    /// TXDW once the line has been quiet for TIDV, at the latest TADV after the first (3.4.3).
    fn start_transmit_timers(&mut self, ctx: &mut DeviceCtx<'_>) {
        ctx.cancel(Token::TxDelay as u32);
        self.tx.delay_runs = true;
        ctx.after(DELAY_UNIT.times(u64::from(self.regs.tidv)), Token::TxDelay as u32);
        if self.regs.tadv != 0 && !self.tx.absolute_runs {
            self.tx.absolute_runs = true;
            ctx.after(DELAY_UNIT.times(u64::from(self.regs.tadv)), Token::TxAbsolute as u32);
        }
    }

    /// A transmit timer is over.
    pub(super) fn transmit_delay_over(&mut self, ctx: &mut DeviceCtx<'_>) {
        if self.bus_master() {
            for report in std::mem::take(&mut self.tx.reports) {
                self.tx.told_later = Some(self.write_back_sent(ctx, report.desc));
            }
        }
        let cause = self.tx.told_later;
        self.transmit_timer(ctx, cause);
    }

    /// Software is told, on behalf of `cause`.
    fn transmit_timer(&mut self, ctx: &mut DeviceCtx<'_>, cause: Option<RecordId>) {
        if std::mem::take(&mut self.tx.delay_runs) {
            ctx.cancel(Token::TxDelay as u32);
        }
        if std::mem::take(&mut self.tx.absolute_runs) {
            ctx.cancel(Token::TxAbsolute as u32);
        }
        self.tx.told_later = None;
        if cause.is_some() {
            ctx.set_cause(cause);
            self.raise(ctx, spec::ICR_TXDW);
        }
    }

    /// Software wrote TIDV.
    pub(super) fn write_tidv(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.regs.tidv = value & 0xffff;
        if value & spec::FLUSH_PARTIAL != 0 {
            ctx.cancel(Token::TxDelay as u32);
            self.tx.delay_runs = true;
            ctx.after(VirtDuration::ZERO, Token::TxDelay as u32);
        }
    }

    /// Starts the next frame, if the wire is free and the link lets it.
    fn start_wire(&mut self, ctx: &mut DeviceCtx<'_>) {
        let Some(frame) = self.tx.fifo.front() else { return };
        let silent = self.tx.paused && !frame.control;
        if self.tx.on_wire || silent || !(self.link_up() || self.loops_back()) {
            return;
        }
        let bytes = PREAMBLE_BYTES + (frame.bytes.len() + FCS) as u64;
        let wait = self.tx.wire_free.since(ctx.now());
        let before = ctx.set_cause(frame.cause);
        let takes = VirtDuration::from_ps(self.phy.speed.byte_ps() * bytes);
        ctx.after(wait.plus(takes), Token::TxWire as u32);
        ctx.set_cause(before);
        self.tx.on_wire = true;
    }

    /// The last bit of a frame has left.
    pub(super) fn wire_done(&mut self, ctx: &mut DeviceCtx<'_>, wire: &mut dyn NetBackend) {
        if !std::mem::take(&mut self.tx.on_wire) {
            return;
        }
        let Some(frame) = self.tx.fifo.pop_front() else { return };
        self.tx.fifo_bytes = self.tx.fifo_bytes.saturating_sub(fifo_room(frame.bytes.len()));
        let gap = VirtDuration::from_ps(self.phy.speed.byte_ps() * GAP_BYTES);
        self.tx.wire_free = ctx.now().after(gap);
        ctx.set_cause(frame.cause);
        self.stats.count_sent(&frame.bytes, FCS);
        let len = frame.bytes.len() as u32;
        if self.loops_back() {
            let packet = LOOPED | self.stats.looped;
            self.stats.looped += 1;
            let record = ctx.trace_with(TraceEvent::FrameIn { packet, len }, &frame.bytes);
            ctx.set_cause(Some(record));
            if !frame.bad_fcs {
                self.admit(ctx, packet, &frame.bytes, false);
            }
            ctx.set_cause(frame.cause);
        } else {
            let record = ctx.trace_with(TraceEvent::FrameOut { packet: self.stats.sent, len }, &frame.bytes);
            self.fates.push(Fate::Out { record });
            self.stats.sent += 1;
            if !frame.bad_fcs {
                wire.send(ctx.now(), &frame.bytes);
            }
        }
        for report in frame.reports {
            self.report(ctx, report);
        }
        self.pump_transmit(ctx);
    }

    /// Software moved the ring: descriptors read ahead and the packet in work are void.
    pub(super) fn restart_transmit_ring(&mut self, ctx: &mut DeviceCtx<'_>) {
        for token in [Token::TxFetch, Token::TxArrived, Token::TxStep] {
            ctx.cancel(token as u32);
        }
        self.tx.ring.restart();
        self.tx.current = None;
        self.tx.chunk.clear();
        self.tx.assembly = Assembly::default();
        self.tx.stalled = false;
        self.pump_transmit(ctx);
    }

    /// The card may use the bus again.
    pub(super) fn resume_transmit(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.tx.ring.stalled = false;
        if !self.tx.reports.is_empty() {
            self.report_soon(ctx);
        }
        if let (true, Some(work)) = (std::mem::take(&mut self.tx.stalled), self.tx.current) {
            self.step_after(ctx, self.config.timing.transmit_start, work.desc.record);
        }
        self.pump_transmit(ctx);
    }
}
