//! The self-test ROM, from the reset vector to its exit code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, finish};
use emu_core::trace::TraceEvent;
use glassbox::guests::selftest;
use glassbox::machine::{Machine, Stop};
use glassbox::scenario::{Guest, Scenario};

/// The codes of its stages, and of its end.
const STAGES: [u64; 25] = [
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x30, 0x31, 0x32, 0x33, 0x40, 0xff,
];

/// What was written to the POST port, in order.
fn codes(outcome: &Outcome) -> Vec<u64> {
    let posts = outcome.records.iter().filter_map(|record| match record.event {
        TraceEvent::IoWrite { port: 0x80, value, .. } => Some(u64::from(value)),
        _ => None,
    });
    posts.collect()
}

/// Runs a ROM in the scenario's machine.
fn run(name: &str, rom: &[u8]) -> Outcome {
    let folder = std::env::temp_dir().join(format!("glassbox-selftest-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("rom"), rom).unwrap();
    let mut scenario = Scenario::load("selftest").unwrap();
    scenario.guest = Guest::Rom { image: "rom".into() };
    scenario.base = folder.clone();
    let outcome = finish(Machine::new(scenario).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
    outcome
}

#[test]
fn every_stage_passes_in_order() {
    let outcome = common::run("selftest");
    assert_eq!(codes(&outcome), STAGES, "{}", outcome.serial);
    assert!(outcome.serial.ends_with("selftest: passed\r\n"), "{}", outcome.serial);
    assert_eq!(outcome.broken, [""; 0]);
}

#[test]
fn an_expectation_that_is_broken_is_reported_with_its_code() {
    let rom = selftest::image().unwrap();
    // The first sum of the stage of shifts: CMP EBP, imm32 behind the second POST code's check number 1.
    for (stage, check) in [(0x12, 3), (0x13, 1), (0x14, 2), (0x20, 5), (0x23, 7), (0x30, 4)] {
        let mut broken = rom.clone();
        break_check(&mut broken, stage, check);
        let outcome = run(&format!("{stage:x}"), &broken);
        let text = format!("FAIL {:06x}", stage << 16 | check);
        assert!(outcome.serial.ends_with(&text), "{text}: {}", outcome.serial);
        assert_eq!(codes(&outcome).last(), Some(&u64::from(stage)));
        assert_eq!(outcome.stop, Stop::PowerOff { code: (stage << 16 | check) << 1 | 1 });
        assert_eq!(outcome.broken.len(), 1);
    }
}

/// Changes the first number that is compared with in a check.
fn break_check(rom: &mut [u8], stage: u32, check: u32) {
    let find = |from: usize, bytes: &[u8]| {
        from + rom[from..].windows(bytes.len()).position(|window| window == bytes).unwrap()
    };
    // MOV AL, stage; OUT 80h, AL.
    let begin = find(0, &[0xb0, stage as u8, 0xe6, 0x80]);
    // MOV dword [CHECK], check: its address in 16 or 32 bits, then the number.
    let number = if rom[begin + 4..].starts_with(&[0xbe]) { check } else { check };
    let mark = [&0x504u16.to_le_bytes()[..], &number.to_le_bytes()].concat();
    let wide = [&0x504u32.to_le_bytes()[..], &number.to_le_bytes()].concat();
    let at = |mark: &[u8]| rom[begin..].windows(mark.len()).position(|window| window == mark).map(|at| begin + at);
    let at = [at(&mark), at(&wide)].into_iter().flatten().min().unwrap();
    // CMP EBP or a variable with an immediate.
    let sum = rom[at..].windows(2).position(|window| window == [0x81, 0xfd]).map(|found| at + found + 2);
    let word = rom[at..].windows(2).position(|window| window == [0x81, 0x3d]).map(|found| at + found + 6);
    let place = [sum, word].into_iter().flatten().min().unwrap();
    rom[place] ^= 1;
}
