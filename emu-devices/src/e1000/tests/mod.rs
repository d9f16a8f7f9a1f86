//! The card on a bench: a fabric with flat memory, a cable that remembers, and a driver's few moves.

mod fuzz;
mod interrupts;
mod probe;
mod receive;
mod state;
mod transmit;

use super::spec::*;
use super::*;
use crate::pci::{ConfigAddress, spec as pci};
use emu_core::testing::FakeFabric;
use emu_core::trace::{RecordId, TraceEvent, TraceRecord};
use emu_core::{Bdf, Slot, VirtDuration, VirtTime, Width};
use emu_net::{BackendRestoreError, BackendState};

const NIC: Slot = Slot::Nic(0);
const BDF: Bdf = Bdf::new(0, 3, 0);
const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const RX_RING: u64 = 0x1000;
const TX_RING: u64 = 0x2000;
const RX_BUFFERS: u64 = 0x1_0000;
const TX_BUFFERS: u64 = 0x8_0000;
/// Descriptors in each ring.
const RING: u32 = 8;

/// A cable that remembers what was sent.
#[derive(Default)]
struct Cable {
    sent: Vec<(VirtTime, Vec<u8>)>,
}

impl NetBackend for Cable {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.sent.push((now, frame.to_vec()));
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        None
    }

    fn receive(&mut self, _now: VirtTime) -> Option<emu_net::Frame> {
        None
    }

    fn is_exhausted(&self) -> bool {
        true
    }

    fn state(&self) -> BackendState {
        BackendState::Null
    }

    fn restore(&mut self, _: BackendState) -> Result<(), BackendRestoreError> {
        Ok(())
    }
}

struct Bench {
    fabric: FakeFabric,
    card: E1000,
    cable: Cable,
    packets: u64,
}

impl Bench {
    /// A card with memory and bus mastering on.
    fn new() -> Self {
        Self::with(E1000Config::with_mac(MAC))
    }

    /// The same with a card of another kind.
    fn with(config: E1000Config) -> Self {
        let mut bench = Self {
            fabric: FakeFabric::new(1 << 20),
            card: E1000::new(config),
            cable: Cable::default(),
            packets: 0,
        };
        bench.config_write(pci::COMMAND, Width::B2, 7);
        bench
    }

    /// With link, both rings, receiver and transmitter on, and every interrupt unmasked.
    fn running() -> Self {
        let mut bench = Self::new();
        for (offset, value) in [
            (CTRL, CTRL_SLU | CTRL_FD),
            (RDBAL, RX_RING as u32),
            (RDLEN, RING * 16),
            (TDBAL, TX_RING as u32),
            (TDLEN, RING * 16),
            (TIPG, 0x602008),
            (TCTL, TCTL_EN | TCTL_PSP),
            (RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC),
        ] {
            bench.write(offset, value);
        }
        for index in 0..RING {
            bench.set_rx_desc(index, RX_BUFFERS + u64::from(index) * 0x4000);
        }
        bench.read(ICR);
        bench.fabric.take_signals();
        let _ = bench.fabric.records();
        bench
    }

    fn on<R>(&mut self, call: impl FnOnce(&mut E1000, &mut DeviceCtx<'_>, &mut Cable) -> R) -> R {
        self.fabric.bus_master = self.card.bus_master();
        let mut ctx = self.fabric.ctx(NIC, BDF);
        let result = call(&mut self.card, &mut ctx, &mut self.cable);
        drop(self.card.take_fates());
        result
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.fabric.tracer.set_cause(None);
        let value = self.on(|card, ctx, _| card.mmio_read(ctx, offset.into(), Width::B4));
        value.expect("register") as u32
    }

    /// Writes as the board does: with a record that is the cause of what follows.
    fn write(&mut self, offset: u32, value: u32) -> RecordId {
        self.fabric.tracer.set_cause(None);
        let (offset, value) = (u64::from(offset), u64::from(value));
        let record =
            self.on(|_, ctx, _| ctx.trace(TraceEvent::MmioWrite { offset, width: Width::B4, value }));
        self.fabric.tracer.set_cause(Some(record));
        self.on(|card, ctx, _| card.mmio_write(ctx, offset, Width::B4, value)).expect("register");
        record
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32) {
        self.fabric.tracer.set_cause(None);
        let at = ConfigAddress { bdf: BDF, offset };
        self.on(|card, ctx, _| crate::pci::write(Some(card), ctx, at, width, value));
    }

    fn config_read(&mut self, offset: u16, width: Width) -> u32 {
        self.card.pci.read(offset, width)
    }

    /// Runs events for `span`; answers how many there were.
    fn run(&mut self, span: VirtDuration) -> usize {
        let until = self.fabric.now.after(span);
        let mut count = 0;
        while let Some(event) = self.fabric.next_event(until) {
            self.fabric.tracer.set_cause(event.cause);
            self.on(|card, ctx, cable| card.on_event(ctx, cable, event.token));
            count += 1;
            assert!(count < 1_000_000, "events without end");
        }
        count
    }

    /// Long enough for whatever waits for no slow timer.
    fn settle(&mut self) {
        self.run(VirtDuration::from_us(100));
    }

    fn frame_in(&mut self, frame: &[u8]) {
        self.fabric.tracer.set_cause(None);
        let packet = self.packets;
        self.packets += 1;
        self.on(|card, ctx, _| card.frame_in(ctx, packet, &frame.to_vec().into()));
    }

    fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.fabric.memory.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn peek(&self, at: u64, len: usize) -> &[u8] {
        &self.fabric.memory.bytes[at as usize..at as usize + len]
    }

    fn desc(&self, ring: u64, index: u32) -> [u64; 2] {
        let at = ring + u64::from(index) * 16;
        let quad = |at| u64::from_le_bytes(self.peek(at, 8).try_into().expect("8 bytes"));
        [quad(at), quad(at + 8)]
    }

    fn set_desc(&mut self, ring: u64, index: u32, raw: [u64; 2]) {
        let at = ring + u64::from(index) * 16;
        self.poke(at, &raw[0].to_le_bytes());
        self.poke(at + 8, &raw[1].to_le_bytes());
    }

    fn set_rx_desc(&mut self, index: u32, buffer: u64) {
        self.set_desc(RX_RING, index, [buffer, 0]);
    }

    /// Status, errors and length of a receive descriptor.
    fn rx_result(&self, index: u32) -> (u8, u8, u16) {
        let raw = self.desc(RX_RING, index)[1];
        ((raw >> 32) as u8, (raw >> 40) as u8, raw as u16)
    }

    fn pin(&self) -> bool {
        self.card.irq.pin
    }
}

/// An Ethernet frame of `len` bytes whose payload counts up.
fn frame(to: [u8; 6], kind: u16, len: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = to.iter().chain(&PEER).copied().chain(kind.to_be_bytes()).collect();
    frame.extend((0..len - 14).map(|index| index as u8));
    frame
}

/// The records of one kind, found by `pick`.
fn find<T>(records: &[TraceRecord], pick: impl Fn(&TraceEvent) -> Option<T>) -> Vec<(TraceRecord, T)> {
    records.iter().filter_map(|record| pick(&record.event).map(|found| (*record, found))).collect()
}
