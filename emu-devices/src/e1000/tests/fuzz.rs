//! Nonsense from fixed seeds: no register, descriptor, frame or snapshot may panic the card, pile up events, or bring
//! it into a state that it would not take back.

use super::*;

/// Pseudo-random numbers: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }

    fn value(&mut self) -> u32 {
        match self.below(6) {
            0 => self.below(16) as u32,
            1 => u32::MAX,
            2 => 1 << self.below(32),
            3 => self.below(0x1000) as u32 & !0xf,
            4 => 0,
            _ => self.roll() as u32,
        }
    }

    fn offset(&mut self) -> u64 {
        let info = &REGISTERS[self.below(REGISTERS.len() as u64) as usize];
        match self.below(8) {
            0 => self.below(MMIO_SIZE),
            _ => u64::from(info.offset) + self.below(info.words.into()) * 4,
        }
    }

    fn width(&mut self) -> Width {
        match self.below(16) {
            0 => Width::B1,
            1 => Width::B2,
            2 => Width::B8,
            _ => Width::B4,
        }
    }

    /// A descriptor: often one that almost makes sense.
    fn desc(&mut self) -> [u64; 2] {
        let at = if self.below(8) == 0 { self.roll() } else { self.below(1 << 20) };
        let len = if self.below(4) == 0 { self.below(1 << 20) } else { self.below(2000) };
        match self.below(4) {
            0 => [self.roll(), self.roll()],
            1 => [at, len & 0xffff | self.below(256) << 24 | self.roll() << 40],
            2 => [at, len | 1 << 20 | (self.below(256) | 0x20) << 24 | self.roll() << 40],
            _ => {
                let mss = self.below(2000);
                let header = self.below(80);
                [self.roll(), len | (self.below(256) | 0x20) << 24 | header << 40 | mss << 48]
            }
        }
    }
}

/// Puts the rings where their descriptors are, so that nonsense gets far.
fn set_rings(bench: &mut Bench, dice: &mut Dice) {
    for (offset, value) in [
        (CTRL, CTRL_SLU | CTRL_VME),
        (RDBAL, RX_RING as u32),
        (RDBAH, 0),
        (RDLEN, RING * 16),
        (TDBAL, TX_RING as u32),
        (TDBAH, 0),
        (TDLEN, RING * 16),
        (TDH, 0),
        (RCTL, RCTL_EN | RCTL_UPE | (dice.value() & RCTL_MASK)),
        (TCTL, TCTL_EN),
        (TDT, dice.below(RING.into()) as u32),
        (RDT, dice.below(RING.into()) as u32),
    ] {
        bench.write(offset, value);
    }
    bench.config_write(pci::COMMAND, Width::B2, 7);
}

fn step(bench: &mut Bench, dice: &mut Dice) {
    let (offset, width, value) = (dice.offset(), dice.width(), u64::from(dice.value()));
    match dice.below(16) {
        0..4 => {
            let _ = bench.on(|card, ctx, _| card.mmio_write(ctx, offset, width, value));
        }
        4 => {
            let _ = bench.on(|card, ctx, _| card.mmio_read(ctx, offset, width));
        }
        5 => {
            let _ = bench.on(|card, ctx, _| card.io_write(ctx, offset & 7, width, value));
            let _ = bench.on(|card, ctx, _| card.io_read(ctx, offset & 7, width));
        }
        6 => {
            let register = dice.below(256) as u16;
            bench.config_write(register, Width::B4, value as u32);
        }
        7..11 => {
            let desc = dice.desc();
            let ring = if dice.below(2) == 0 { RX_RING } else { TX_RING };
            bench.set_desc(ring, dice.below(RING.into()) as u32, desc);
        }
        11 => set_rings(bench, dice),
        12 => {
            let mut bytes: Vec<u8> = (0..dice.below(2000)).map(|_| dice.roll() as u8).collect();
            if dice.below(2) == 0 && bytes.len() > 40 {
                bytes[..6].copy_from_slice(&MAC);
                bytes[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
            }
            bench.frame_in(&bytes);
        }
        13 => {
            let token = dice.below(24) as u32;
            bench.on(|card, ctx, cable| card.on_event(ctx, cable, token));
        }
        14 => {
            bench.fabric.memory.refused.clear();
            bench.fabric.memory.refused.push(value..value + 0x1000);
        }
        _ => {
            let span = VirtDuration::from_ns(dice.below(200_000));
            bench.run(span);
        }
    }
}

#[test]
fn nonsense_never_panics_piles_up_or_leaves_an_unsound_state() {
    for seed in 1..=60u64 {
        let mut bench = Bench::running();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for count in 0..600 {
            step(&mut bench, &mut dice);
            let pending = bench.fabric.events.iter().count();
            assert!(pending <= 64, "seed {seed}, step {count}: {pending} events");
            bench.fabric.take_signals();
            let _ = bench.fabric.records();
            bench.cable.sent.clear();
            if count % 50 == 0 {
                let state = bench.card.state();
                bench
                    .card
                    .restore(state)
                    .unwrap_or_else(|error| panic!("seed {seed}, step {count}: {error}"));
            }
        }
    }
}

#[test]
fn hostile_segmentation_makes_bounded_work() {
    let mut bench = Bench::running();
    let context = [0, 0xf_ffff | u64::from(TXD_TSE | TXD_DEXT) << 24 | 255 << 40 | 1 << 48];
    let command = u64::from(TXD_TSE | TXD_DEXT | TXD_EOP) << 24 | 1 << 20;
    bench.set_desc(TX_RING, 0, context);
    bench.set_desc(TX_RING, 1, [0, command | 0xf_ffff]);
    bench.write(TDT, 2);
    let events = bench.run(VirtDuration::from_us(100));
    assert!(events < 500, "{events} events in 100 us");
    assert!(bench.card.tx.fifo_bytes <= 64 << 10);
    assert!(bench.card.tx.assembly.data.len() <= 8192);
}
