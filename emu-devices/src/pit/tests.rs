//! The data sheet's waveforms, and the loops with which kernels measure time.

use super::spec::*;
use super::*;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, Width};

struct Board {
    fabric: FakeFabric,
    chip: Pit,
    /// Changes of the pin, each with its clock.
    edges: Vec<(u64, bool)>,
}

fn at(clock: u64) -> VirtTime {
    VirtTime::ZERO.after(VirtDuration::from_ticks(clock, HZ))
}

impl Board {
    fn new() -> Self {
        Self { fabric: FakeFabric::new(0), chip: Pit::new(), edges: Vec::new() }
    }

    fn drain(&mut self) {
        let clock = clock_at(self.fabric.now);
        for signal in self.fabric.take_signals() {
            match signal {
                Signal::Pin { slot: Slot::Pit, pin: Pit::OUT0, high } => self.edges.push((clock, high)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Runs until `clock`.
    fn go(&mut self, clock: u64) {
        while let Some(event) = self.fabric.next_event(at(clock)) {
            self.chip.on_event(&mut self.fabric.env(), event.token);
            self.drain();
        }
    }

    fn write(&mut self, port: u16, value: u8) {
        self.chip.write(&mut self.fabric.env(), port, Width::B1, value.into()).unwrap();
        self.drain();
    }

    fn read(&mut self, port: u16) -> u8 {
        self.chip.read(&mut self.fabric.env(), port, Width::B1).unwrap() as u8
    }

    fn read_count(&mut self, port: u16) -> u16 {
        u16::from_le_bytes([self.read(port), self.read(port)])
    }

    /// Control word and a count of two bytes.
    fn program(&mut self, counter: u16, word: u8, count: u16) {
        self.write(CONTROL, (counter as u8) << 6 | word);
        let [low, high] = count.to_le_bytes();
        self.write(COUNTER0 + counter, low);
        self.write(COUNTER0 + counter, high);
    }
}

/// Programs counter 0 at clock 0 in `mode` with `count`; its pin must then change like this by clock `until`.
fn check_edges(mode: u8, count: u16, until: u64, edges: &[(u64, bool)]) {
    let mut board = Board::new();
    board.program(0, 0x30 | mode << 1, count);
    board.go(until);
    assert_eq!(board.edges, edges, "mode {mode}, count {count}");
}

#[test]
fn outputs_are_the_data_sheets_waveforms() {
    // Loaded at clock 1.
    check_edges(0, 4, 20, &[(5, true)]);
    check_edges(2, 3, 11, &[(0, true), (3, false), (4, true), (6, false), (7, true), (9, false), (10, true)]);
    check_edges(3, 4, 10, &[(0, true), (3, false), (5, true), (7, false), (9, true)]);
    check_edges(3, 5, 11, &[(0, true), (4, false), (6, true), (9, false), (11, true)]);
    check_edges(4, 3, 20, &[(0, true), (4, false), (5, true)]);
    // Counter 0's gate never rises, so modes 1 and 5 are never triggered.
    check_edges(1, 3, 20, &[(0, true)]);
    check_edges(5, 3, 20, &[(0, true)]);
    // The illegal count of modes 2 and 3 makes no edges.
    check_edges(2, 1, 20, &[(0, true)]);
    check_edges(3, 1, 20, &[(0, true)]);
    check_edges(6, 3, 4, &[(0, true), (3, false), (4, true)]);
}

#[test]
fn a_hundred_hertz_tick_keeps_time_to_the_picosecond_bound() {
    let mut board = Board::new();
    board.program(0, 0x34, 11932);
    board.go(1 + 11932 * 1000);
    let rises: Vec<u64> = board.edges.iter().filter(|(_, high)| *high).map(|(clock, _)| *clock).collect();
    assert_eq!(rises.len(), 1001);
    assert!(rises[1..].iter().enumerate().all(|(tick, clock)| *clock == 1 + 11932 * (tick as u64 + 1)));
}

#[test]
fn counts_read_as_each_mode_counts() {
    for (mode, count, reads) in [
        (0, 3, [3, 2, 1, 0, 0xffff, 0xfffe]),
        (2, 3, [3, 2, 1, 3, 2, 1]),
        (3, 4, [4, 2, 4, 2, 4, 2]),
        (3, 5, [4, 2, 0, 4, 2, 4]),
        (4, 3, [3, 2, 1, 0, 0xffff, 0xfffe]),
    ] {
        let mut board = Board::new();
        board.program(0, 0x30 | mode << 1, count);
        for (clock, expected) in (1..).zip(reads) {
            board.go(clock);
            assert_eq!(board.read_count(COUNTER0), expected, "mode {mode}, clock {clock}");
        }
    }
}

#[test]
fn bcd_counts_in_tens_and_zero_is_ten_thousand() {
    let mut board = Board::new();
    board.program(0, 0x31, 0x0100);
    board.go(2);
    assert_eq!(board.read_count(COUNTER0), 0x0099);
    board.program(0, 0x35, 0);
    board.go(4);
    assert_eq!(board.read_count(COUNTER0), 0x9999);
    board.go(3 + 10_000);
    assert_eq!(board.read_count(COUNTER0), 0);
}

#[test]
fn a_new_count_takes_over_at_the_end_of_the_cycle_or_half_cycle() {
    let mut board = Board::new();
    board.program(0, 0x34, 10);
    board.go(5);
    board.edges.clear();
    board.write(COUNTER0, 4);
    board.write(COUNTER0, 0);
    board.go(20);
    assert_eq!(board.edges, [(10, false), (11, true), (14, false), (15, true), (18, false), (19, true)]);
    let mut board = Board::new();
    board.program(0, 0x36, 10);
    board.go(3);
    board.edges.clear();
    board.write(COUNTER0, 4);
    board.write(COUNTER0, 0);
    board.go(12);
    assert_eq!(board.edges, [(6, false), (8, true), (10, false), (12, true)]);
}

#[test]
fn mode_0_stops_at_the_first_byte_of_a_new_count() {
    let mut board = Board::new();
    board.program(0, 0x30, 10);
    board.go(5);
    board.write(COUNTER0, 4);
    board.go(50);
    assert_eq!(board.edges, []);
    board.write(COUNTER0, 0);
    board.go(54);
    assert_eq!(board.edges, []);
    board.go(55);
    assert_eq!(board.edges, [(55, true)]);
}

#[test]
fn latches_hold_until_read_and_status_comes_before_the_count() {
    let mut board = Board::new();
    board.program(0, 0x34, 0x1234);
    // Null count until the next clock loads it.
    board.write(CONTROL, 0xe2);
    assert_eq!(board.read(COUNTER0), STATUS_OUT | STATUS_NULL | 0x34);
    board.go(0x35);
    board.write(CONTROL, 0x00);
    board.go(0x100);
    board.write(CONTROL, 0x00);
    assert_eq!(board.read_count(COUNTER0), 0x1200);
    assert_eq!(board.read_count(COUNTER0), 0x1135);
    // Read-back of both: status first.
    board.write(CONTROL, 0xc2);
    assert_eq!(board.read(COUNTER0), STATUS_OUT | 0x34);
    board.go(0x200);
    assert_eq!(board.read_count(COUNTER0), 0x1135);
}

#[test]
fn single_byte_access_moves_one_byte() {
    let mut board = Board::new();
    board.write(CONTROL, 0x14);
    board.write(COUNTER0, 0x80);
    board.go(2);
    assert_eq!((board.read(COUNTER0), board.read(COUNTER0)), (0x7f, 0x7f));
    board.write(CONTROL, 0x24);
    board.write(COUNTER0, 0x80);
    board.go(4);
    assert_eq!((board.read(COUNTER0), board.read(COUNTER0)), (0x7f, 0x7f));
}

#[test]
fn the_gate_pauses_triggers_or_restarts() {
    let out2 = |board: &mut Board| board.read(PORT_B) & PORT_B_OUT2 != 0;
    // Mode 0: paused.
    let mut board = Board::new();
    board.program(2, 0x30, 10);
    board.go(50);
    assert!(!out2(&mut board));
    board.write(PORT_B, 1);
    board.go(55);
    board.write(PORT_B, 0);
    board.go(100);
    assert!(!out2(&mut board));
    board.write(PORT_B, 1);
    board.go(104);
    assert!(!out2(&mut board));
    board.go(105);
    assert!(out2(&mut board));
    // Mode 1: a one-shot, retriggered.
    board.write(PORT_B, 0);
    board.program(2, 0x32, 10);
    assert!(out2(&mut board));
    board.write(PORT_B, 1);
    board.go(106);
    assert!(!out2(&mut board));
    board.write(PORT_B, 0);
    board.write(PORT_B, 1);
    board.go(116);
    assert!(!out2(&mut board));
    board.go(117);
    assert!(out2(&mut board));
    // Mode 3: high while the gate is low, anew when it rises.
    board.program(2, 0x36, 10);
    board.go(125);
    assert!(!out2(&mut board));
    board.write(PORT_B, 0);
    assert!(out2(&mut board));
    board.go(200);
    board.write(PORT_B, 1);
    board.go(205);
    assert!(out2(&mut board));
    board.go(206);
    assert!(!out2(&mut board));
}

#[test]
fn linux_measures_fifty_milliseconds_by_counter_2() {
    // pit_calibrate_tsc: gate on, speaker off, mode 0, a latch of 50 ms, then poll the output.
    let mut board = Board::new();
    board.go(1000);
    let before = board.read(PORT_B);
    board.write(PORT_B, before & !2 | 1);
    board.program(2, 0x30, 59659);
    let mut clock = 1000;
    while board.read(PORT_B) & PORT_B_OUT2 == 0 {
        clock += 1;
        board.go(clock);
    }
    assert_eq!(clock, 1000 + 1 + 59659);
}

#[test]
fn linux_quick_calibration_sees_the_high_byte_fall_every_256_clocks() {
    let mut board = Board::new();
    board.write(PORT_B, 1);
    board.program(2, 0x30, 0xffff);
    let mut changes = Vec::new();
    let mut last = 0xff;
    for clock in 1..2000 {
        board.go(clock);
        let _low = board.read(COUNTER2);
        let high = board.read(COUNTER2);
        if high != last {
            last = high;
            changes.push(clock);
        }
    }
    assert_eq!(changes, [257, 513, 769, 1025, 1281, 1537, 1793]);
}

#[test]
fn refresh_toggles_every_fifteen_microseconds() {
    let mut board = Board::new();
    let mut toggles = 0;
    let mut last = board.read(PORT_B) & PORT_B_REFRESH;
    for clock in 0..HZ / 1000 {
        board.go(clock);
        let now = board.read(PORT_B) & PORT_B_REFRESH;
        toggles += u32::from(now != last);
        last = now;
    }
    assert_eq!(toggles, 66);
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let mut board = Board::new();
    for (port, width, error) in [
        (CONTROL, Width::B1, IoError::NoRegister),
        (COUNTER0, Width::B2, IoError::Width),
        (0x44, Width::B1, IoError::NoRegister),
    ] {
        assert_eq!(board.chip.read(&mut board.fabric.env(), port, width), Err(error));
    }
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut board = Board::new();
    board.program(0, 0x36, 1000);
    board.program(2, 0x30, 5);
    board.go(77);
    board.write(CONTROL, 0xc2);
    let text = ron::to_string(board.chip.state()).unwrap();
    let mut other = Pit::new();
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, board.chip);
    let good = board.chip.state().clone();
    let broken = |change: fn(&mut CounterState)| {
        let mut state = good.clone();
        change(&mut state.counters[0]);
        state
    };
    for bad in [
        broken(|c| c.mode = 6),
        broken(|c| c.register = Some(0)),
        broken(|c| c.run.as_mut().unwrap().count = 0),
        broken(|c| c.run.as_mut().unwrap().start = u64::MAX),
    ] {
        assert!(other.restore(bad).is_err());
    }
}

#[test]
fn a_pulse_that_is_looked_at_late_has_been_all_the_same() {
    // A strobe, and two ticks of a rate generator; each low for one clock.
    for (mode, late, edges) in [(4, 130, vec![false, true]), (2, 250, vec![false, true, false, true])] {
        let mut board = Board::new();
        board.program(0, 0x30 | mode << 1, 100);
        board.edges.clear();
        // The event was due earlier; the instruction in between took its time.
        board.fabric.now = at(late);
        board.chip.on_event(&mut board.fabric.env(), TOKEN);
        board.drain();
        let seen: Vec<bool> = board.edges.iter().map(|(_, high)| *high).collect();
        assert_eq!(seen, edges, "mode {mode}");
    }
}
