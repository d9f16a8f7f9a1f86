//! The way of a frame from the wire to guest memory: filter, FIFO, descriptors, write-back, interrupt. Manual 3.2.
//!
//! Every stage is an event, and each knows the record of the stage before it:
//! `FrameIn` → `FrameFilter` → `DescUse` → DMA of the data, `DescWriteBack` → `FrameDelivered`, `NicCause` → pin or MSI.
//! Frames that find no descriptor wait in the FIFO; a full FIFO loses them.

use super::ring::{Fetched, RingState, write_back_threshold};
use super::timing::DELAY_UNIT;
use super::{E1000, Fate, Token, spec};
use emu_core::device::{DeviceCtx, DmaFault};
use emu_core::trace::{DropReason, FilterRule, RecordId, Ring, TraceEvent};
use emu_core::{Iova, VirtDuration};
use emu_net::Frame;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The shortest frame without its FCS (IEEE 802.3, 4A.4.2).
pub(super) const FRAME_MIN: usize = 60;
/// The longest ordinary frame without FCS, with a VLAN tag (13.4.22, LPE).
const FRAME_MAX: usize = 1518;
/// The longest frame without FCS that RCTL.LPE lets in.
const LONG_MAX: usize = 16384 - FCS;
/// Bytes of the frame check sequence.
pub(super) const FCS: usize = 4;
/// What a frame takes in the FIFO besides its bytes: the status that the DMA engine needs.
pub(super) const FIFO_HEADER: u32 = 16;

/// A frame in the FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// Its number on the wire.
    pub packet: u64,
    /// The record of the filter's verdict.
    pub cause: RecordId,
    /// What goes to memory.
    pub bytes: Vec<u8>,
    /// Descriptor status, without done and end of packet.
    pub status: u8,
    /// Descriptor errors.
    pub errors: u8,
    /// Packet checksum.
    pub checksum: u16,
    /// VLAN tag that was stripped.
    pub special: u16,
}

impl Inbound {
    /// Its FCS did not fit: no checksum says anything, and if the FCS goes to memory, it is not the right one.
    fn spoil(&mut self, with_fcs: bool) {
        self.errors = spec::RXD_CE;
        if with_fcs && let Some(last) = self.bytes.last_mut() {
            *last ^= 0xff;
        }
    }

    /// What it takes in the FIFO.
    pub(super) fn room(&self) -> u32 {
        fifo_room(self.bytes.len())
    }
}

/// What `len` bytes of a frame take in the packet buffer.
pub(super) fn fifo_room(len: usize) -> u32 {
    (len as u32).next_multiple_of(16) + FIFO_HEADER
}

/// A descriptor that a frame is going into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InUse {
    /// The descriptor.
    pub desc: Fetched,
    /// The record of taking it.
    pub cause: RecordId,
    /// Its data is in memory: the next step is its write-back.
    pub filled: bool,
}

/// A receive descriptor to be written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Its place.
    pub index: u32,
    /// Its address.
    pub iova: Iova,
    /// What to write.
    pub raw: [u64; 2],
    /// On whose behalf.
    pub cause: RecordId,
    /// If it is the last of a frame that is whole in memory: packet, bytes, descriptors of the frame.
    pub frame: Option<(u64, u32, u32)>,
}

/// Receiver state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// The ring.
    pub ring: RingState,
    /// Frames that wait, oldest first; the first may be partly in memory.
    pub fifo: VecDeque<Inbound>,
    /// What they take.
    pub fifo_bytes: u32,
    /// The descriptor that the first frame is going into.
    pub current: Option<InUse>,
    /// Bytes of the first frame that are in memory.
    pub done: u32,
    /// Descriptors that it has filled.
    pub filled: u32,
    /// A part of it was refused by the bus.
    pub lost: bool,
    /// The bus refused because the card is not bus master.
    pub stalled: bool,
    /// Descriptors that wait for their write-back.
    pub finished: Vec<Finished>,
    /// The packet timer runs.
    pub delay_runs: bool,
    /// The absolute timer runs.
    pub absolute_runs: bool,
    /// The record of the last write-back.
    pub last_write_back: Option<RecordId>,
    /// An XOFF was sent and no XON since.
    pub xoff_sent: bool,
}

impl E1000 {
    /// A frame (without FCS) has arrived from the wire; `packet` is its number. Emits `FrameIn`.
    pub fn frame_in(&mut self, ctx: &mut DeviceCtx<'_>, packet: u64, frame: &Frame) {
        let before = ctx.cause();
        let len = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        let record = ctx.trace_with(TraceEvent::FrameIn { packet, len }, &frame.bytes);
        self.fates.push(Fate::In { packet, record });
        ctx.set_cause(Some(record));
        self.stats.received += 1;
        if self.loops_back() {
            self.drop_frame(ctx, packet, DropReason::LinkDown);
        } else {
            self.admit(ctx, packet, &frame.bytes, frame.bad_fcs);
        }
        ctx.set_cause(before);
    }

    /// From the MAC to the FIFO, or not.
    pub(super) fn admit(&mut self, ctx: &mut DeviceCtx<'_>, packet: u64, frame: &[u8], bad_fcs: bool) {
        if self.regs.rctl & spec::RCTL_EN == 0 || self.pci.power_state() != 0 {
            return self.drop_frame(ctx, packet, DropReason::ReceiverOff);
        }
        if !self.link_up() && !self.loops_back() {
            return self.drop_frame(ctx, packet, DropReason::LinkDown);
        }
        if let Some(reason) = self.bad_length(frame.len()) {
            return self.drop_frame(ctx, packet, reason);
        }
        if bad_fcs {
            self.stats.add(super::stats::CRCERRS, 1);
            if self.regs.rctl & spec::RCTL_SBP == 0 {
                return self.drop_frame(ctx, packet, DropReason::BadFcs);
            }
        }
        self.stats.count_received(frame.len() + FCS);
        if !bad_fcs && self.is_pause(frame) && !self.take_pause(ctx, frame) {
            return self.drop_frame(ctx, packet, DropReason::Filtered);
        }
        let rule = self.filter(frame);
        let verdict = ctx.trace(TraceEvent::FrameFilter { packet, rule });
        ctx.set_cause(Some(verdict));
        if matches!(rule, FilterRule::NoMatch | FilterRule::Vlan) {
            return self.drop_frame(ctx, packet, DropReason::Filtered);
        }
        let mut inbound = self.classify(packet, verdict, rule, frame);
        if bad_fcs {
            inbound.spoil(self.regs.rctl & spec::RCTL_SECRC == 0);
        }
        if self.rx.fifo_bytes + inbound.room() > self.receive_fifo_size() {
            self.stats.add(super::stats::MPC, 1);
            self.drop_frame(ctx, packet, DropReason::FifoFull);
            return self.raise(ctx, spec::ICR_RXO);
        }
        if self.rx.ring.owned() == 0 {
            self.stats.add(super::stats::RNBC, 1);
        }
        if !bad_fcs {
            self.stats.count_accepted(frame, FCS);
        }
        self.rx.fifo_bytes += inbound.room();
        self.rx.fifo.push_back(inbound);
        self.flow_control_fifo(ctx);
        self.pump_receive(ctx);
    }

    /// Lengths that the MAC refuses, counted.
    fn bad_length(&mut self, len: usize) -> Option<DropReason> {
        let keep_bad = self.regs.rctl & spec::RCTL_SBP != 0;
        let max = if self.regs.rctl & spec::RCTL_LPE != 0 { LONG_MAX } else { FRAME_MAX };
        if len > max {
            self.stats.add(super::stats::ROC, 1);
            Some(if len > LONG_MAX { DropReason::BadLength } else { DropReason::TooLong })
        } else if len < FRAME_MIN {
            self.stats.add(super::stats::RUC, 1);
            (!keep_bad || len < 14).then_some(DropReason::BadLength)
        } else {
            None
        }
    }

    fn drop_frame(&mut self, ctx: &mut DeviceCtx<'_>, packet: u64, reason: DropReason) {
        self.stats.dropped += 1;
        self.stats.drops[reason as usize] += 1;
        let record = ctx.trace(TraceEvent::FrameDrop { packet, reason });
        self.fates.push(Fate::Dropped { packet, reason, record });
    }

    /// Whether a frame of `len` bytes that came now would find a receiver that is on and descriptors of its own: what a
    /// far end waits for that loses nothing.
    #[must_use]
    pub fn has_room_for(&self, len: usize) -> bool {
        let receives = self.regs.rctl & spec::RCTL_EN != 0
            && self.pci.power_state() == 0
            && self.bus_master()
            && self.link_up()
            && !self.loops_back();
        let buffers = |len: usize| len.div_ceil(self.buffer_size() as usize) as u32;
        let taken: u32 = self.rx.fifo.iter().map(|frame| buffers(frame.bytes.len())).sum();
        let used = self.rx.filled + u32::from(self.rx.current.is_some());
        receives
            && (self.rx.ring.owned() + used).saturating_sub(taken) >= buffers(len + FCS)
            && self.rx.fifo_bytes + fifo_room(len + FCS) <= self.receive_fifo_size()
    }

    /// Bytes of the packet buffer that are the receive FIFO (13.4.16).
    pub(super) fn receive_fifo_size(&self) -> u32 {
        (self.regs.pba & 0xffff).min(64) << 10
    }

    /// Fetches descriptors and starts on a frame, if there is anything to do and nothing in the way.
    pub(super) fn pump_receive(&mut self, ctx: &mut DeviceCtx<'_>) {
        if self.regs.rctl & spec::RCTL_EN == 0 || self.rx.stalled {
            return;
        }
        if self.rx.ring.wants_fetch(self.regs.rxdctl) {
            self.rx.ring.fetching = true;
            ctx.after(self.config.timing.descriptor_fetch, Token::RxFetch as u32);
        }
        if self.rx.current.is_some() {
            return;
        }
        let Some(frame) = self.rx.fifo.front() else { return };
        let Some(desc) = self.rx.ring.cache.pop_front() else { return };
        let (packet, verdict) = (frame.packet, frame.cause);
        let before = ctx.set_cause(Some(verdict));
        let use_of = TraceEvent::DescUse { packet, index: desc.index, fetch: desc.record };
        let cause = ctx.trace(use_of);
        ctx.set_cause(Some(cause));
        self.rx.current = Some(InUse { desc, cause, filled: false });
        ctx.after(self.config.timing.receive_start, Token::RxStep as u32);
        ctx.set_cause(before);
    }

    /// Time to ask the bus for descriptors.
    pub(super) fn receive_fetch(&mut self, ctx: &mut DeviceCtx<'_>) {
        match self.rx.ring.fetch(ctx, Ring::Rx) {
            Ok(took) => ctx.after(took, Token::RxArrived as u32),
            Err(fault) => {
                self.rx.ring.fetching = false;
                self.rx.ring.stalled = true;
                self.note_fault(fault);
            }
        }
    }

    /// Descriptors are on chip.
    pub(super) fn receive_arrived(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.rx.ring.arrive();
        self.pump_receive(ctx);
    }

    /// Bytes of one receive buffer (13.4.22, BSIZE and BSEX).
    pub(super) fn buffer_size(&self) -> u32 {
        let size = 2048 >> (self.regs.rctl >> spec::RCTL_BSIZE_SHIFT & 3);
        let extended = self.regs.rctl & spec::RCTL_BSEX != 0;
        if extended && size < 2048 { size * 16 } else { size }
    }

    /// The next step of the frame that is going to memory: its data, then its descriptor.
    pub(super) fn receive_step(&mut self, ctx: &mut DeviceCtx<'_>) {
        let Some(current) = self.rx.current else { return };
        ctx.set_cause(Some(current.cause));
        if current.filled {
            self.finish_descriptor(ctx, current);
        } else if let Some(took) = self.write_data(ctx, current) {
            self.rx.current = Some(InUse { filled: true, ..current });
            ctx.after(took.plus(self.config.timing.write_back), Token::RxStep as u32);
        } else {
            self.rx.stalled = true;
        }
    }

    /// The frame's bytes that fit into this descriptor's buffer.
    fn chunk(&self) -> std::ops::Range<usize> {
        let len = self.rx.fifo.front().map_or(0, |frame| frame.bytes.len());
        let start = (self.rx.done as usize).min(len);
        start..len.min(start + self.buffer_size() as usize)
    }

    /// Writes data to the buffer. A memory write is posted: the card does not learn that an IOMMU refused it, so the
    /// frame goes on and only the trace knows. `None` if the card may not use the bus.
    fn write_data(&mut self, ctx: &mut DeviceCtx<'_>, current: InUse) -> Option<VirtDuration> {
        let chunk = self.chunk();
        let frame = self.rx.fifo.front()?;
        match ctx.dma_write(Iova(current.desc.raw[0]), &frame.bytes[chunk]) {
            Ok(took) => Some(took),
            Err(DmaFault::BusMasterOff) => None,
            Err(DmaFault::Remapping(_) | DmaFault::NoMemory) => {
                self.rx.lost = true;
                Some(VirtDuration::ZERO)
            }
        }
    }

    /// A descriptor's data is in memory: it joins those to be written back.
    fn finish_descriptor(&mut self, ctx: &mut DeviceCtx<'_>, current: InUse) {
        let chunk = self.chunk();
        self.rx.current = None;
        let Some(frame) = self.rx.fifo.front() else { return };
        let last = chunk.end == frame.bytes.len();
        let status = frame.status | spec::RXD_DD | if last { spec::RXD_EOP } else { 0 };
        let high = u64::from(frame.special) << 48
            | u64::from(if last { frame.errors } else { 0 }) << 40
            | u64::from(status) << 32
            | u64::from(frame.checksum) << 16
            | chunk.len() as u64 & 0xffff;
        self.rx.filled += 1;
        self.rx.done = chunk.end as u32;
        let Fetched { index, iova, raw, .. } = current.desc;
        let len = last.then_some(frame.bytes.len() as u32);
        let packet = frame.packet;
        let frame = len.filter(|_| !self.rx.lost).map(|len| (packet, len, self.rx.filled));
        self.rx.finished.push(Finished { index, iova, raw: [raw[0], high], cause: current.cause, frame });
        let before = self.rx.ring.owned();
        self.rx.ring.advance_head(index);
        let threshold = self.regs.rxdctl;
        if self.rx.finished.len() >= write_back_threshold(threshold) || self.regs.rdtr == 0 {
            self.write_back_received(ctx);
        }
        self.low_on_descriptors(ctx, before);
        if let Some(len) = len {
            self.frame_done(ctx, len);
        }
        self.pump_receive(ctx);
    }

    /// The first frame has left the FIFO.
    fn frame_done(&mut self, ctx: &mut DeviceCtx<'_>, len: u32) {
        if let Some(frame) = self.rx.fifo.pop_front() {
            self.rx.fifo_bytes = self.rx.fifo_bytes.saturating_sub(frame.room());
            if self.rx.lost {
                self.drop_frame(ctx, frame.packet, DropReason::DmaRefused);
            }
        }
        self.rx.done = 0;
        self.rx.filled = 0;
        self.rx.lost = false;
        self.flow_control_fifo(ctx);
        if len <= self.regs.rsrpd {
            self.write_back_received(ctx);
            ctx.set_cause(self.rx.last_write_back);
            self.raise(ctx, spec::ICR_SRPD);
        }
        self.start_receive_timers(ctx);
    }

    /// Writes back every descriptor that waits for it, each in one transfer after its data; later if the card may not
    /// use the bus now.
    fn write_back_received(&mut self, ctx: &mut DeviceCtx<'_>) {
        if !self.bus_master() {
            return;
        }
        for done in std::mem::take(&mut self.rx.finished) {
            ctx.set_cause(Some(done.cause));
            let event = TraceEvent::DescWriteBack {
                ring: Ring::Rx,
                index: done.index,
                iova: done.iova,
                raw: done.raw,
            };
            let record = ctx.trace(event);
            ctx.set_cause(Some(record));
            self.rx.last_write_back = Some(record);
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&done.raw[0].to_le_bytes());
            bytes[8..].copy_from_slice(&done.raw[1].to_le_bytes());
            let written = ctx.dma_write(done.iova, &bytes).is_ok();
            if let (Some((packet, len, descriptors)), true) = (done.frame, written) {
                self.stats.delivered += 1;
                let record = ctx.trace(TraceEvent::FrameDelivered { packet, len, descriptors });
                self.fates.push(Fate::Delivered { packet, record });
            }
        }
    }

    /// RXDMT0 when the free descriptors fall to the threshold of RCTL.RDMTS.
    fn low_on_descriptors(&mut self, ctx: &mut DeviceCtx<'_>, before: u32) {
        let shift = (self.regs.rctl >> spec::RCTL_RDMTS_SHIFT & 3) + 1;
        let threshold = self.rx.ring.count() >> shift;
        if before > threshold && self.rx.ring.owned() <= threshold {
            self.raise(ctx, spec::ICR_RXDMT0);
        }
    }

    /// RXT0 now, or once the line has been quiet for RDTR, at the latest RADV after the first frame (3.2.7).
    fn start_receive_timers(&mut self, ctx: &mut DeviceCtx<'_>) {
        if self.regs.rdtr == 0 {
            return self.receive_timer(ctx);
        }
        ctx.cancel(Token::RxDelay as u32);
        ctx.after(DELAY_UNIT.times(u64::from(self.regs.rdtr)), Token::RxDelay as u32);
        self.rx.delay_runs = true;
        if self.regs.radv != 0 && !self.rx.absolute_runs {
            self.rx.absolute_runs = true;
            ctx.after(DELAY_UNIT.times(u64::from(self.regs.radv)), Token::RxAbsolute as u32);
        }
    }

    /// A receive timer is over, or need not run: descriptors go to memory and software is told.
    pub(super) fn receive_timer(&mut self, ctx: &mut DeviceCtx<'_>) {
        if std::mem::take(&mut self.rx.delay_runs) {
            ctx.cancel(Token::RxDelay as u32);
        }
        if std::mem::take(&mut self.rx.absolute_runs) {
            ctx.cancel(Token::RxAbsolute as u32);
        }
        self.write_back_received(ctx);
        if self.rx.last_write_back.is_some() {
            ctx.set_cause(self.rx.last_write_back);
        }
        self.raise(ctx, spec::ICR_RXT0);
    }

    /// Software wrote RDTR.
    pub(super) fn write_rdtr(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.regs.rdtr = value & 0xffff;
        if value & spec::FLUSH_PARTIAL != 0 && (self.rx.delay_runs || !self.rx.finished.is_empty()) {
            self.receive_timer(ctx);
        }
    }

    /// Software moved the ring: descriptors read ahead are void. A frame that was going to memory starts over.
    pub(super) fn restart_receive_ring(&mut self, ctx: &mut DeviceCtx<'_>) {
        for token in [Token::RxFetch, Token::RxArrived, Token::RxStep] {
            ctx.cancel(token as u32);
        }
        self.rx.ring.restart();
        self.rx.current = None;
        self.rx.stalled = false;
        self.rx.done = 0;
        self.rx.filled = 0;
        self.pump_receive(ctx);
    }

    /// The card may use the bus again.
    pub(super) fn resume_receive(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.rx.ring.stalled = false;
        if !self.rx.finished.is_empty() && !self.rx.delay_runs {
            self.rx.delay_runs = true;
            ctx.after(VirtDuration::ZERO, Token::RxDelay as u32);
        }
        if std::mem::take(&mut self.rx.stalled) && self.rx.current.is_some() {
            ctx.after(self.config.timing.receive_start, Token::RxStep as u32);
        }
        self.pump_receive(ctx);
    }
}
