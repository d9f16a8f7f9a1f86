//! The conventions, byte by byte.

use super::*;
use emu_core::testing::FakeFabric;

/// Writes `(port, width, value)` in a row and compares what was asked of the board and what the console shows.
fn check(writes: &[(u16, Width, u64)], signals: &[Signal], console: &[u8]) {
    let mut fabric = FakeFabric::new(0);
    let mut chip = DebugPort::new();
    for &(port, width, value) in writes {
        chip.write(&mut fabric.env(), port, width, value).unwrap();
    }
    assert_eq!(fabric.take_signals(), signals);
    assert_eq!(chip.take_output(), console);
}

fn bytes(port: u16, text: &[u8]) -> Vec<(u16, Width, u64)> {
    text.iter().map(|byte| (port, Width::B1, u64::from(*byte))).collect()
}

#[test]
fn exit_status_is_the_value_doubled_plus_one() {
    check(&[(EXIT, Width::B1, 0x10)], &[Signal::PowerOff { code: 0x21 }], b"");
    check(&[(EXIT, Width::B4, 0x8000_0001)], &[Signal::PowerOff { code: 3 }], b"");
}

#[test]
fn console_collects_text_and_reads_as_its_number() {
    check(&bytes(CONSOLE, b"hello\n"), &[], b"hello\n");
    let mut fabric = FakeFabric::new(0);
    assert_eq!(DebugPort::new().read(&mut fabric.env(), CONSOLE, Width::B1), Ok(0xe9));
}

#[test]
fn shutdown_needs_the_whole_word_in_a_row() {
    check(&bytes(SHUTDOWN, b"Shutdown"), &[Signal::PowerOff { code: 0 }], b"");
    check(&bytes(SHUTDOWN, b"ShutShutdown"), &[Signal::PowerOff { code: 0 }], b"");
    check(&bytes(SHUTDOWN, b"Shutdow"), &[], b"");
    check(&bytes(SHUTDOWN, b"Shutdoxn"), &[], b"");
}

#[test]
fn post_code_reads_back() {
    let mut fabric = FakeFabric::new(0);
    let mut chip = DebugPort::new();
    chip.write(&mut fabric.env(), POST, Width::B1, 0x55).unwrap();
    assert_eq!(chip.read(&mut fabric.env(), POST, Width::B1), Ok(0x55));
    assert_eq!(chip.read(&mut fabric.env(), POST, Width::B2), Err(IoError::Width));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut fabric = FakeFabric::new(0);
    let mut chip = DebugPort::new();
    for (port, width, value) in bytes(SHUTDOWN, b"Shut") {
        chip.write(&mut fabric.env(), port, width, value).unwrap();
    }
    let text = ron::to_string(chip.state()).unwrap();
    let mut other = DebugPort::new();
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, chip);
    let beyond = DebugPortState { matched: 8, ..DebugPortState::default() };
    assert!(other.restore(beyond).is_err());
}
