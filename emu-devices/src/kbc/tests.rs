//! The controller as kernels probe, gate and reset with it.

use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, Width};

#[derive(Clone, Copy, Debug)]
enum Step {
    W(u16, u8),
    R(u16, u8),
    A20(bool),
    Signals(&'static [Signal]),
}
use Step::{A20, R, Signals, W};

const IRQ_HIGH: Signal = Signal::Pin { slot: SLOT, pin: Kbc::IRQ, high: true };
const IRQ_LOW: Signal = Signal::Pin { slot: SLOT, pin: Kbc::IRQ, high: false };

fn check(steps: &[Step]) {
    let (mut fabric, mut chip) = (FakeFabric::new(0), Kbc::new());
    for (number, step) in steps.iter().enumerate() {
        let at = format!("step {number}: {step:x?}");
        match *step {
            W(port, value) => chip.write(&mut fabric.env(), port, Width::B1, value.into()).unwrap(),
            R(port, value) => {
                assert_eq!(chip.read(&mut fabric.env(), port, Width::B1), Ok(value.into()), "{at}");
            }
            A20(open) => assert_eq!(chip.a20(), open, "{at}"),
            Signals(expected) => assert_eq!(fabric.take_signals(), expected, "{at}"),
        }
    }
}

#[test]
fn linux_probe_finds_a_controller_without_a_mouse() {
    check(&[
        // i8042_flush, then read and write the command byte.
        R(COMMAND, 0x14),
        W(COMMAND, 0x20),
        R(COMMAND, 0x1d),
        R(DATA, 0x74),
        W(COMMAND, 0x60),
        W(DATA, 0x75),
        W(COMMAND, 0x20),
        Signals(&[IRQ_HIGH]),
        R(DATA, 0x75),
        Signals(&[IRQ_LOW]),
        // i8042_check_aux: the loop answers, but as the keyboard's; and the port's test fails.
        W(COMMAND, 0xd3),
        W(DATA, 0x5a),
        R(COMMAND, 0x15),
        R(DATA, 0x5a),
        W(COMMAND, 0xa9),
        R(DATA, 2),
        W(COMMAND, 0xaa),
        R(DATA, 0x55),
        W(COMMAND, 0xab),
        R(DATA, 0),
    ]);
}

#[test]
fn a_keyboard_that_is_not_there_times_out() {
    check(&[W(DATA, 0xf2), R(COMMAND, 0x55), R(DATA, 0xfe), R(COMMAND, 0x14)]);
}

#[test]
fn both_ways_gate_a20() {
    check(&[
        A20(true),
        W(COMMAND, 0xd1),
        W(DATA, 0xdd),
        A20(false),
        R(PORT_A, 0),
        W(COMMAND, 0xd0),
        R(DATA, 1),
        W(PORT_A, 2),
        A20(true),
        W(COMMAND, 0xdd),
        A20(false),
        W(COMMAND, 0xdf),
        A20(true),
        Signals(&[]),
    ]);
}

#[test]
fn three_ways_reset() {
    check(&[W(COMMAND, 0xff), Signals(&[]), W(COMMAND, 0xfe), Signals(&[Signal::Reset])]);
    check(&[W(COMMAND, 0xd1), W(DATA, 0xfe), Signals(&[Signal::Reset])]);
    check(&[W(PORT_A, 3), Signals(&[Signal::Reset]), W(PORT_A, 3), Signals(&[])]);
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let (mut fabric, mut chip) = (FakeFabric::new(0), Kbc::new());
    assert_eq!(chip.read(&mut fabric.env(), 0x62, Width::B1), Err(IoError::NoRegister));
    assert_eq!(chip.write(&mut fabric.env(), DATA, Width::B2, 0), Err(IoError::Width));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let (mut fabric, mut chip) = (FakeFabric::new(0), Kbc::new());
    chip.write(&mut fabric.env(), COMMAND, Width::B1, 0x60).unwrap();
    let text = ron::to_string(chip.state()).unwrap();
    let mut other = Kbc::new();
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, chip);
    assert!(other.restore(KbcState { waiting: Some(0xaa), ..chip.state().clone() }).is_err());
}
