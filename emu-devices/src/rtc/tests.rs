//! The clock as kernels read, set and wait for it.

use super::calendar::Date;
use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, VirtDuration, Width};

/// 2024-02-28 23:59:50, a Wednesday.
const LEAP_EVE: i64 = 1_709_164_790;

struct Board {
    fabric: FakeFabric,
    chip: Rtc,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes a byte of CMOS.
    W(u8, u8),
    /// Reads a byte of CMOS and compares.
    R(u8, u8),
    /// Milliseconds pass.
    Wait(u64),
    /// Microseconds pass.
    WaitUs(u64),
    /// What the pin has done since the last look.
    Pins(&'static [bool]),
    /// Year to second, as BCD in 24-hour mode.
    Time([u8; 7]),
}
use Step::{Pins, R, Time, W, Wait, WaitUs};

impl Board {
    fn new(date: i64) -> Self {
        let config = Config { date, presets: memory_presets(512 << 20, 0) };
        Self { fabric: FakeFabric::new(0), chip: Rtc::new(&config) }
    }

    fn read(&mut self, index: u8) -> u8 {
        self.chip.write(&mut self.fabric.env(), INDEX, Width::B1, index.into()).unwrap();
        self.chip.read(&mut self.fabric.env(), DATA, Width::B1).unwrap() as u8
    }

    fn write(&mut self, index: u8, value: u8) {
        self.chip.write(&mut self.fabric.env(), INDEX, Width::B1, index.into()).unwrap();
        self.chip.write(&mut self.fabric.env(), DATA, Width::B1, value.into()).unwrap();
    }

    fn wait(&mut self, time: VirtDuration) {
        let until = self.fabric.now.after(time);
        while let Some(event) = self.fabric.next_event(until) {
            self.chip.on_event(&mut self.fabric.env(), event.token);
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            let at = format!("step {number}: {step:x?}");
            match *step {
                W(index, value) => self.write(index, value),
                R(index, value) => assert_eq!(self.read(index), value, "{at}"),
                Wait(ms) => self.wait(VirtDuration::from_ms(ms)),
                WaitUs(us) => self.wait(VirtDuration::from_us(us)),
                Time(expected) => {
                    let got = [0x32, 9, 8, 7, 4, 2, 0].map(|index| self.read(index));
                    assert_eq!(got, expected, "{at}: {got:x?}");
                }
                Pins(expected) => {
                    let got: Vec<bool> = self
                        .fabric
                        .take_signals()
                        .into_iter()
                        .map(|signal| match signal {
                            Signal::Pin { slot: Slot::Rtc, pin: Rtc::IRQ, high } => high,
                            other => panic!("{other:?}"),
                        })
                        .collect();
                    assert_eq!(got, expected, "{at}");
                }
            }
        }
    }
}

fn check(steps: &[Step]) {
    Board::new(LEAP_EVE).run(steps);
}

#[test]
fn time_advances_over_the_leap_day() {
    check(&[
        Time([0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x50]),
        R(6, 4),
        Wait(9_999),
        Time([0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59]),
        Wait(1),
        Time([0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00]),
        R(6, 5),
        Wait(86_400_000),
        Time([0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00]),
    ]);
}

#[test]
fn formats_are_binary_or_bcd_and_of_twelve_or_twenty_four_hours() {
    // Noon and midnight are 12.
    for (hour, b, raw) in [
        (0, 0, 0x12),
        (1, 0, 0x01),
        (12, 0, 0x92),
        (23, 0, 0x91),
        (0, B_BINARY, 12),
        (13, B_BINARY, 0x81),
        (23, B_24_HOURS, 0x23),
        (23, B_24_HOURS | B_BINARY, 23),
    ] {
        // As read with that format.
        let mut board = Board::new(hour * 3600);
        board.write(B, B_SET | B_24_HOURS);
        board.write(B, B_SET | b);
        for (index, value) in [(0, 0), (2, 0), (4, raw), (7, 1), (8, 1), (9, 0), (0x32, 0x20)] {
            board.write(index, value);
        }
        board.write(B, b);
        assert_eq!(board.chip.seconds_at(0).map(|s| s.rem_euclid(86_400)), Some(hour * 3600), "{raw:#x}");
        assert_eq!(board.read(4), raw);
    }
}

#[test]
fn setting_the_time_holds_it_until_updates_are_let_go() {
    check(&[
        W(B, B_SET | B_24_HOURS),
        Wait(5_000),
        Time([0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x50]),
        W(0, 0x58),
        W(2, 0x59),
        W(4, 0x23),
        W(7, 0x31),
        W(8, 0x12),
        W(9, 0x99),
        W(0x32, 0x19),
        W(6, 6),
        Time([0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58]),
        W(B, B_24_HOURS),
        Wait(2_000),
        Time([0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00]),
        R(6, 7),
    ]);
}

#[test]
fn what_is_no_date_stays_as_written_and_does_not_advance() {
    check(&[
        W(8, 0x13),
        Wait(5_000),
        R(8, 0x13),
        R(0, 0x50),
        W(8, 0x02),
        Wait(1_000),
        R(0, 0x51),
        W(7, 0x30),
        Wait(1_000),
        R(0, 0x51),
        W(7, 0x29),
        Wait(1_000),
        R(0, 0x52),
    ]);
}

#[test]
fn update_bit_warns_before_the_second_ends() {
    check(&[
        R(A, 0x26),
        Wait(997),
        R(A, 0x26),
        WaitUs(900),
        R(A, 0xa6),
        R(0, 0x50),
        WaitUs(2_100),
        R(A, 0x26),
        R(0, 0x51),
        // None while updates are off.
        W(B, B_SET),
        Wait(998),
        R(A, 0x26),
    ]);
}

#[test]
fn releasing_the_divider_starts_the_second_half_gone() {
    check(&[
        Wait(700),
        W(A, 0x76),
        Wait(10_000),
        R(0, 0x50),
        W(A, 0x26),
        Wait(499),
        R(0, 0x50),
        Wait(1),
        R(0, 0x51),
        Wait(1000),
        R(0, 0x52),
    ]);
}

#[test]
fn alarm_interrupts_at_its_time_and_again_a_day_later() {
    check(&[
        W(ALARM_HOURS, 0x00),
        W(ALARM_MINUTES, 0x00),
        W(ALARM_SECONDS, 0x05),
        W(B, ALARM | B_24_HOURS),
        Wait(14_999),
        Pins(&[]),
        Wait(1),
        Pins(&[true]),
        R(C, C_IRQ | ALARM | UPDATE | PERIODIC),
        Pins(&[false]),
        R(C, 0),
        Wait(86_399_999),
        Pins(&[]),
        Wait(1),
        Pins(&[true]),
    ]);
    // "Any" bytes: every minute at second 52.
    check(&[
        W(ALARM_HOURS, 0xff),
        W(ALARM_MINUTES, 0xc0),
        W(ALARM_SECONDS, 0x52),
        W(B, ALARM | B_24_HOURS),
        Wait(2_000),
        Pins(&[true]),
        R(C, C_IRQ | ALARM | UPDATE | PERIODIC),
        Wait(60_000),
        Pins(&[false, true]),
    ]);
    // An alarm that can't be.
    check(&[W(ALARM_SECONDS, 0x77), W(B, ALARM | B_24_HOURS), Wait(200_000_000), Pins(&[])]);
}

#[test]
fn update_ended_interrupts_every_second_once_read() {
    check(&[
        Wait(300),
        W(B, UPDATE | B_24_HOURS),
        R(C, PERIODIC),
        Wait(699),
        Pins(&[]),
        Wait(1),
        Pins(&[true]),
        Wait(5_000),
        Pins(&[]),
        R(C, C_IRQ | UPDATE | PERIODIC),
        Wait(1_000),
        Pins(&[false, true]),
    ]);
}

#[test]
fn periodic_interrupts_come_at_the_chosen_rate() {
    for (rate, hz) in [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)] {
        let mut board = Board::new(0);
        board.write(A, 0x20 | rate);
        board.write(B, PERIODIC | B_24_HOURS);
        let mut count = 0;
        let until = VirtTime::ZERO.after(VirtDuration::from_s(1));
        while let Some(event) = board.fabric.next_event(until) {
            board.chip.on_event(&mut board.fabric.env(), event.token);
            assert_eq!(board.read(C) & (C_IRQ | PERIODIC), C_IRQ | PERIODIC);
            count += 1;
        }
        assert_eq!(count, hz, "rate {rate}");
    }
}

#[test]
fn flags_are_set_without_their_enables() {
    check(&[R(C, 0), Wait(1_000), R(C, PERIODIC | UPDATE), R(C, 0), Wait(1), R(C, PERIODIC), Pins(&[])]);
}

#[test]
fn ram_keeps_bytes_and_tells_the_memory_size() {
    check(&[
        W(0x40, 0xa5),
        R(0x40, 0xa5),
        R(D, 0x80),
        R(0x15, 0x80),
        R(0x16, 0x02),
        R(0x17, 0xff),
        R(0x34, 0x00),
        R(0x35, 0x1f),
        R(0x5b, 0),
    ]);
    let mut board = Board::new(0);
    let sum: u16 = (0x10..0x2e).map(|index| u16::from(board.read(index))).sum();
    assert_eq!([board.read(0x2e), board.read(0x2f)], sum.to_be_bytes());
}

#[test]
fn bit_7_of_the_index_keeps_nmis_away() {
    let mut board = Board::new(0);
    assert!(!board.chip.nmi_disabled());
    board.write(0x8f, 0x0a);
    assert!(board.chip.nmi_disabled());
    assert_eq!(board.read(0x0f), 0x0a);
    assert!(!board.chip.nmi_disabled());
}

#[test]
fn reset_silences_but_forgets_neither_time_nor_ram() {
    let mut board = Board::new(LEAP_EVE);
    board.run(&[W(0x40, 7), W(B, UPDATE | B_24_HOURS), Wait(1_000), Pins(&[true])]);
    board.chip.reset(&mut board.fabric.env());
    board.run(&[Pins(&[false]), R(B, B_24_HOURS), R(C, 0), R(0x40, 7), R(0, 0x51)]);
}

#[test]
fn calendar_goes_there_and_back() {
    for (seconds, year, month, day) in [
        (0, 1970, 1, 1),
        (951_782_400, 2000, 2, 29),
        (4_107_542_400, 2100, 3, 1),
        (-2_208_988_800, 1900, 1, 1),
        (-62_167_219_200, 0, 1, 1),
    ] {
        let date = Date { year, month, day, second: 0 };
        assert_eq!(Date::from_seconds(seconds), date);
        assert_eq!(date.seconds(), Some(seconds));
    }
    for (year, month, day) in [(2023, 2, 29), (2024, 4, 31), (2024, 0, 1), (2024, 1, 0), (1900, 2, 29)] {
        assert_eq!(Date { year, month, day, second: 0 }.seconds(), None, "{year}-{month}-{day}");
    }
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let mut board = Board::new(0);
    assert_eq!(board.chip.read(&mut board.fabric.env(), 0x72, Width::B1), Err(IoError::NoRegister));
    assert_eq!(board.chip.read(&mut board.fabric.env(), DATA, Width::B2), Err(IoError::Width));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut board = Board::new(LEAP_EVE);
    board.run(&[W(B, UPDATE | B_24_HOURS), Wait(1_500), W(8, 0x13)]);
    let text = ron::to_string(board.chip.state()).unwrap();
    let mut other = Rtc::new(&Config::default());
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, board.chip);
    let good = board.chip.state().clone();
    for bad in [
        RtcState { ram: vec![0; 127], ..good.clone() },
        RtcState { calendar: Calendar::Running { base: i64::MAX }, ..good.clone() },
        RtcState { weekday_shift: 7, ..good.clone() },
        RtcState { seen: u64::MAX, ..good },
    ] {
        assert!(other.restore(bad).is_err());
    }
}
