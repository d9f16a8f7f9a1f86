//! Power management as ACPI drivers use it.

use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, VirtDuration, Width};

const BASE: u16 = 0x600;
const SCI_HIGH: Signal = Signal::Pin { slot: SLOT, pin: AcpiPm::SCI, high: true };
const SCI_LOW: Signal = Signal::Pin { slot: SLOT, pin: AcpiPm::SCI, high: false };

#[derive(Clone, Copy, Debug)]
enum Step {
    W(u16, Width, u64),
    R(u16, Width, u64),
    /// Runs until the PM timer has made so many ticks since power-on.
    Until(u64),
    Button,
    Signals(&'static [Signal]),
}
use Step::{Button, R, Signals, Until, W};
use Width::{B1, B2, B4};

fn run(fabric: &mut FakeFabric, chip: &mut AcpiPm, steps: &[Step]) {
    for (number, step) in steps.iter().enumerate() {
        let at = format!("step {number}: {step:x?}");
        match *step {
            W(port, width, value) => chip.write(&mut fabric.env(), port, width, value).unwrap(),
            R(port, width, value) => assert_eq!(chip.read(&mut fabric.env(), port, width), Ok(value), "{at}"),
            Until(ticks) => {
                let until = VirtTime::ZERO.after(VirtDuration::from_ticks(ticks, TIMER_HZ));
                while let Some(event) = fabric.next_event(until) {
                    chip.on_event(&mut fabric.env(), event.token);
                }
            }
            Button => chip.press_power_button(&mut fabric.env()),
            Signals(expected) => assert_eq!(fabric.take_signals(), expected, "{at}"),
        }
    }
}

fn check(config: Config, steps: &[Step]) {
    run(&mut FakeFabric::new(0), &mut AcpiPm::new(config), steps);
}

#[test]
fn timer_counts_and_wraps_at_its_width() {
    let timer = BASE + TIMER;
    check(
        Config::default(),
        &[
            R(timer, B4, 0),
            Until(0x12_3456),
            R(timer, B4, 0x12_3456),
            R(timer + 1, B1, 0x34),
            Until(0x100_0005),
            R(timer, B4, 5),
        ],
    );
    check(
        Config { timer_32_bit: true, ..Config::default() },
        &[Until(0x100_0005), R(timer, B4, 0x100_0005), Until(0x1_0000_0007), R(timer, B4, 7)],
    );
}

#[test]
fn timer_event_raises_sci_at_each_change_of_the_top_bit() {
    check(
        Config::default(),
        &[
            W(BASE + PM1_ENABLE, B2, 1),
            Until(0x7f_ffff),
            Signals(&[]),
            Until(0x80_0000),
            Signals(&[SCI_HIGH]),
            R(BASE + PM1_STATUS, B2, 1),
            W(BASE + PM1_STATUS, B2, 1),
            Signals(&[SCI_LOW]),
            R(BASE + PM1_STATUS, B2, 0),
            Until(0x100_0000),
            Signals(&[SCI_HIGH]),
            // Status is set without enable, too, but no SCI.
            W(BASE + PM1_STATUS, B4, 1),
            Until(0x180_0000),
            Signals(&[SCI_LOW]),
            R(BASE + PM1_STATUS, B4, 1),
        ],
    );
}

#[test]
fn power_button_interrupts_if_enabled() {
    check(
        Config::default(),
        &[
            Button,
            Signals(&[]),
            W(BASE + PM1_ENABLE, B2, 0x100),
            Signals(&[SCI_HIGH]),
            R(BASE + PM1_STATUS, B2, 0x100),
            // Byte accesses reach the halves.
            W(BASE + PM1_STATUS + 1, B1, 1),
            Signals(&[SCI_LOW]),
        ],
    );
}

#[test]
fn linux_powers_off_with_two_writes() {
    check(
        Config::default(),
        &[
            W(BASE + PM1_CONTROL, B2, 0x0001),
            Signals(&[]),
            W(BASE + PM1_CONTROL, B2, 0x2001),
            Signals(&[Signal::PowerOff { code: 0 }]),
        ],
    );
    let s5_type = 7;
    check(
        Config { s5_type, ..Config::default() },
        &[
            W(BASE + PM1_CONTROL, B2, 0x1c00),
            W(BASE + PM1_CONTROL, B2, 0x3c00),
            Signals(&[Signal::PowerOff { code: 0 }]),
            R(BASE + PM1_CONTROL, B2, 0x1c00),
        ],
    );
}

#[test]
fn a_sleep_that_is_not_provided_ends_at_once() {
    check(
        Config::default(),
        &[W(BASE + PM1_CONTROL, B2, 0x2401), Signals(&[]), R(BASE + PM1_STATUS, B2, WAKE.into())],
    );
}

#[test]
fn smi_command_switches_acpi_mode() {
    let config = Config { acpi_switch: Some((0xa0, 0xa1)), acpi_at_reset: false, ..Config::default() };
    check(
        config,
        &[
            W(BASE + PM1_ENABLE, B2, 0x100),
            Button,
            Signals(&[]),
            R(BASE + PM1_CONTROL, B2, 0),
            W(SMI_COMMAND, B1, 0xa0),
            R(BASE + PM1_CONTROL, B2, 1),
            Signals(&[SCI_HIGH]),
            W(SMI_COMMAND, B1, 0xa1),
            R(BASE + PM1_CONTROL, B2, 0),
            Signals(&[SCI_LOW]),
            R(SMI_COMMAND, B1, 0xa1),
        ],
    );
}

#[test]
fn reset_control_resets_on_a_rise() {
    check(
        Config::default(),
        &[
            W(RESET, B1, 0x02),
            Signals(&[]),
            W(RESET, B1, 0x06),
            Signals(&[Signal::Reset]),
            W(RESET, B1, 0x06),
            Signals(&[]),
            R(RESET, B1, 0x06),
        ],
    );
}

#[test]
fn general_purpose_events_are_empty_but_there() {
    check(
        Config::default(),
        &[
            W(BASE + GPE0_ENABLE, B4, 0xffff_ffff),
            R(BASE + GPE0_ENABLE, B4, 0xffff_ffff),
            R(BASE + GPE0_STATUS, B4, 0),
            W(BASE + GPE0_STATUS, B4, 0xffff_ffff),
            Signals(&[]),
        ],
    );
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let (mut fabric, mut chip) = (FakeFabric::new(0), AcpiPm::new(Config::default()));
    for (port, width, error) in [
        (BASE + 0x0c, B4, IoError::NoRegister),
        (BASE + 0x2e, B4, IoError::NoRegister),
        (BASE, Width::B8, IoError::Width),
        (BASE + BLOCK, B1, IoError::NoRegister),
        (RESET, B2, IoError::Width),
        (BASE - 1, B1, IoError::NoRegister),
    ] {
        assert_eq!(chip.read(&mut fabric.env(), port, width), Err(error), "{port:#x}");
        assert_eq!(chip.write(&mut fabric.env(), port, width, 0), Err(error), "{port:#x}");
    }
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let (mut fabric, mut chip) = (FakeFabric::new(0), AcpiPm::new(Config::default()));
    run(&mut fabric, &mut chip, &[W(BASE + PM1_ENABLE, B2, 0x101), Button, Until(0x90_0000)]);
    let text = ron::to_string(chip.state()).unwrap();
    let mut other = AcpiPm::new(Config::default());
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, chip);
    let good = chip.state().clone();
    for bad in [
        AcpiPmState { status: 2, ..good.clone() },
        AcpiPmState { enable: 2, ..good.clone() },
        AcpiPmState { control: 0x2000, ..good.clone() },
        AcpiPmState { halves: u64::MAX, ..good },
    ] {
        assert!(other.restore(bad).is_err());
    }
}
