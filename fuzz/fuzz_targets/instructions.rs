//! Any bytes as a program, run in blocks, in steps and in pieces: see `emu_core::testing::fuzz` and `docs/fuzz.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(what) = emu_core::testing::fuzz::check(bytes) {
        panic!("{what}");
    }
});
