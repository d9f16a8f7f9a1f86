//! Programs of random bytes, run in three ways that must come to the same: see `emu_core::testing::fuzz`.
//!
//! A fixed slice of generated programs, and every file of `corpus/`. The fuzz target in `fuzz/` goes on from there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use emu_core::testing::fuzz::{Dice, HEADER_LEN, check};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Opcodes of one byte that are worth more than their share: arithmetic, moves, stack, strings, branches.
const USUAL: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x05, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x21, 0x23, 0x29, 0x2b, 0x31, 0x33,
    0x39, 0x3b, 0x50, 0x53, 0x58, 0x5b, 0x69, 0x6b, 0x70, 0x74, 0x75, 0x7f, 0x80, 0x81, 0x83, 0x85, 0x86,
    0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0x8f, 0x90, 0x98, 0x99, 0x9c, 0x9d, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
    0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb8, 0xc0, 0xc1, 0xc3, 0xc6, 0xc7, 0xc8, 0xc9, 0xcd, 0xd0, 0xd1,
    0xd2, 0xd3, 0xd8, 0xd9, 0xdb, 0xdd, 0xdf, 0xe2, 0xe3, 0xe4, 0xe6, 0xe8, 0xeb, 0xf6, 0xf7, 0xfa, 0xfb,
    0xfc, 0xfd, 0xfe, 0xff,
];
/// Prefixes: sizes, repeats, LOCK, segments.
const PREFIXES: &[u8] = &[0x66, 0x66, 0x67, 0xf2, 0xf3, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/// Something like an instruction. Lengths don't have to be right: what follows is read as an operand, or the other way.
fn instruction(dice: &mut Dice, long: bool, code: &mut Vec<u8>) {
    let byte = |dice: &mut Dice, code: &mut Vec<u8>| code.push(dice.roll() as u8);
    while dice.below(5) == 0 {
        code.push(PREFIXES[dice.below(PREFIXES.len() as u64) as usize]);
    }
    if long && dice.below(2) == 0 {
        code.push(0x40 | dice.below(16) as u8);
    }
    let mut immediates = [0, 0, 0, 0, 1, 1, 2, 4][dice.below(8) as usize];
    match dice.below(16) {
        0..8 => code.push(USUAL[dice.below(USUAL.len() as u64) as usize]),
        8 => byte(dice, code),
        9..12 => {
            code.push(0x0f);
            byte(dice, code);
        }
        12 => {
            code.extend([0x0f, 0x38]);
            byte(dice, code);
        }
        13 => {
            code.extend([0x0f, 0x3a]);
            byte(dice, code);
            immediates = 1;
        }
        14 => {
            code.extend([0xc4, 0xe0 | dice.below(4) as u8, dice.roll() as u8 & 0x7d]);
            byte(dice, code);
        }
        // A short branch: forwards over a little, or backwards into a loop.
        _ => {
            let opcode = [0xeb, 0xe2, 0xe3, 0x70 | dice.below(16) as u8][dice.below(4) as usize];
            code.extend([opcode, (dice.below(32) as u8).wrapping_sub(24)]);
            return;
        }
    }
    // Registers and [register] more often than the rest.
    let modrm = dice.roll() as u8;
    code.push(if dice.below(3) == 0 {
        modrm
    } else {
        modrm & 0x3f | [0xc0, 0x00, 0x40][dice.below(3) as usize]
    });
    for _ in 0..immediates {
        byte(dice, code);
    }
}

/// A program: header, then about fifty instructions.
fn program(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for _ in 0..4 {
        dice.roll();
    }
    let mut bytes: Vec<u8> = (0..HEADER_LEN).map(|_| dice.roll() as u8).collect();
    bytes[0] = dice.below(12) as u8;
    // Few bits of control and flags at a time, SSE usually on, and code often at a page's end.
    bytes[1] = (dice.below(2) | (dice.below(8) / 7) << 1 | (dice.below(8) / 7) << 2) as u8;
    let control = dice.roll() & dice.roll() & dice.roll() | 0x0700_0700 | dice.roll() & 0x1800_0800;
    bytes[2..6].copy_from_slice(&(control as u32).to_le_bytes());
    let rflags =
        dice.roll() & 0x8d5 | dice.roll() & dice.roll() & dice.roll() & 0x24_7700 | dice.roll() & 0x200;
    bytes[6..10].copy_from_slice(&(rflags as u32).to_le_bytes());
    bytes[11] = if dice.below(2) == 0 { 0x0f } else { 0 };
    bytes[12..14].copy_from_slice(&(dice.below(200) as u16).to_le_bytes());
    bytes[15] = (dice.roll() & dice.roll() & dice.roll() & 7) as u8;
    // More addresses than numbers.
    for register in &mut bytes[32..48] {
        let kind = [0, 1, 1, 1, 2, 2, 3, 5, 5, 6, 7][dice.below(11) as usize];
        *register = kind << 5 | dice.below(32) as u8;
    }
    bytes[32 + 4] = 4 << 5;
    let long = bytes[0] >= 7;
    for _ in 0..50 {
        instruction(&mut dice, long, &mut bytes);
    }
    bytes
}

/// A failure, or a panic, as text.
fn failure(bytes: &[u8]) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| check(bytes))) {
        Ok(result) => result.err(),
        Err(_) => Some("panic".to_owned()),
    }
}

/// Leaves out what the failure does not need: code from the end, then instructions' worth of bytes made NOPs, then the
/// header's bytes made zero.
fn minimise(bytes: &[u8], what: &str) -> Vec<u8> {
    let kind = |text: &str| text.split(':').next().map(str::to_owned);
    let fails = |bytes: &[u8]| failure(bytes).is_some_and(|text| kind(&text) == kind(what));
    let mut least = bytes.to_vec();
    let mut piece = least.len() / 2;
    while piece > 0 {
        while least.len() > HEADER_LEN + piece && fails(&least[..least.len() - piece]) {
            least.truncate(least.len() - piece);
        }
        piece /= 2;
    }
    for len in [16, 8, 4, 3, 2, 1] {
        for start in HEADER_LEN..least.len().saturating_sub(len) {
            let mut other = least.clone();
            other[start..start + len].fill(0x90);
            if fails(&other) {
                least = other;
            }
        }
    }
    for byte in 0..HEADER_LEN.min(least.len()) {
        let mut other = least.clone();
        other[byte] = 0;
        if fails(&other) {
            least = other;
        }
    }
    least
}

fn slice(seeds: std::ops::Range<u64>) {
    let mut failures = Vec::new();
    for seed in seeds {
        let bytes = program(seed);
        if let Some(what) = failure(&bytes) {
            let least = minimise(&bytes, &what);
            let what = failure(&least).unwrap_or(what);
            let hex: String = least.iter().map(|byte| format!("{byte:02x}")).collect();
            failures.push(format!("seed {seed}: {what}\n  bytes {hex}"));
            if failures.len() == 5 {
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn random_programs_are_the_same_in_blocks_in_steps_and_in_pieces() {
    slice(0..600);
}

#[test]
#[ignore = "minutes: run by name"]
fn many_random_programs_are_the_same_in_blocks_in_steps_and_in_pieces() {
    slice(600..100_000);
}

#[test]
fn what_once_failed_does_not_fail_again() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "bin")) {
        let result = check(&std::fs::read(path).unwrap());
        assert_eq!(result, Ok(()), "{}", path.display());
    }
}

#[test]
fn any_header_is_a_program() {
    for len in 0..=HEADER_LEN + 1 {
        for byte in [0, 0xff] {
            assert_eq!(check(&vec![byte; len]), Ok(()));
        }
    }
}
