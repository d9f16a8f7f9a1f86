//! The port as drivers probe and use it.

use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, VirtTime, Width};

struct Port {
    fabric: FakeFabric,
    chip: Uart,
}

/// 115,200 baud, 8 bits, no parity, one stop bit: ten bits a character.
const CHARACTER: VirtDuration = VirtDuration(86_805_556);

impl Port {
    fn new() -> Self {
        let mut port =
            Self { fabric: FakeFabric::new(0), chip: Uart::new(Config { index: 0, pace: Pace::Baud }) };
        port.run(&[W(LCR, 0x83), W(DATA, 1), W(IER, 0), W(LCR, 3)]);
        port
    }

    fn read(&mut self, offset: u16) -> u8 {
        self.chip.read(&mut self.fabric.env(), offset, Width::B1).unwrap() as u8
    }

    fn wait(&mut self, time: VirtDuration) {
        let until = self.fabric.now.after(time);
        while let Some(event) = self.fabric.next_event(until) {
            self.chip.on_event(&mut self.fabric.env(), event.token);
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            match *step {
                W(offset, value) => {
                    self.chip.write(&mut self.fabric.env(), offset, Width::B1, value.into()).unwrap();
                }
                R(offset, value) => assert_eq!(self.read(offset), value, "step {number}: {step:?}"),
                Wait(characters) => self.wait(CHARACTER.times(characters)),
                Input(bytes) => self.chip.push_input(&mut self.fabric.env(), bytes),
                Lines(lines) => self.chip.set_modem_lines(&mut self.fabric.env(), lines),
                Pins(levels) => {
                    let pins: Vec<bool> = self
                        .fabric
                        .take_signals()
                        .into_iter()
                        .map(|signal| match signal {
                            Signal::Pin { slot: Slot::Uart(0), pin: Uart::INTR, high } => high,
                            other => panic!("{other:?}"),
                        })
                        .collect();
                    assert_eq!(pins, levels, "step {number}");
                }
                Output(text) => assert_eq!(self.chip.take_output(), text, "step {number}"),
            }
        }
    }
}

#[derive(Debug)]
enum Step {
    /// Writes a register.
    W(u16, u8),
    /// Reads a register and compares.
    R(u16, u8),
    /// Lets so many character times pass.
    Wait(u64),
    /// The far end sends.
    Input(&'static [u8]),
    /// The far end's modem lines.
    Lines(u8),
    /// What the pin has done since the last look.
    Pins(&'static [bool]),
    /// What was sent since the last look.
    Output(&'static [u8]),
}
use Step::{Input, Lines, Output, Pins, R, W, Wait};

fn check(steps: &[Step]) {
    Port::new().run(steps);
}

#[test]
fn reset_values_are_the_data_sheets_with_eight_bit_words() {
    let mut port =
        Port { fabric: FakeFabric::new(0), chip: Uart::new(Config { index: 0, pace: Pace::Baud }) };
    port.run(&[R(IER, 0), R(IIR_FCR, 1), R(LCR, 3), R(MCR, 0), R(LSR, 0x60), R(MSR, 0xb0), R(SCR, 0)]);
}

#[test]
fn linux_autoconfig_finds_a_16550a() {
    check(&[
        W(SCR, 0xa5),
        R(SCR, 0xa5),
        W(IER, 0),
        R(IER, 0),
        W(IER, 0xff),
        R(IER, 0x0f),
        W(IER, 0),
        // Loopback with OUT2 and RTS gives DCD and CTS.
        W(MCR, MCR_LOOP | 0x0a),
        R(MSR, 0x90 | 0x02),
        W(MCR, 0),
        R(MSR, 0xb0 | 0x02),
        W(IIR_FCR, 0),
        R(IIR_FCR, 0x01),
        W(IIR_FCR, FCR_ENABLE),
        R(IIR_FCR, 0xc1),
        // The divisor latch is behind DLAB.
        W(LCR, LCR_DLAB | 3),
        W(DATA, 0x34),
        W(IER, 0x12),
        R(DATA, 0x34),
        R(IER, 0x12),
        W(LCR, 3),
        R(IER, 0),
    ]);
}

#[test]
fn transmitter_interrupt_comes_again_when_it_is_enabled_again() {
    check(&[
        W(MCR, MCR_OUT2),
        W(IER, IER_THRE),
        Pins(&[true]),
        R(IIR_FCR, IIR_THRE),
        Pins(&[false]),
        R(IIR_FCR, IIR_NONE),
        W(IER, 0),
        W(IER, IER_THRE),
        Pins(&[true]),
        R(IIR_FCR, IIR_THRE),
        R(IIR_FCR, IIR_NONE),
    ]);
}

#[test]
fn characters_leave_at_line_speed_and_the_fifo_takes_sixteen() {
    let mut port = Port::new();
    port.run(&[W(IIR_FCR, FCR_ENABLE), R(LSR, 0x60)]);
    for byte in 0..18 {
        port.run(&[W(DATA, byte)]);
    }
    // One in the shift register, sixteen in the FIFO, the last one lost.
    port.run(&[R(LSR, 0), Wait(1), Output(&[0]), Wait(15), R(LSR, 0x20)]);
    port.run(&[Output(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]), Wait(1), R(LSR, 0x60)]);
    port.run(&[Output(&[16])]);
    assert_eq!(port.fabric.now, VirtTime::ZERO.after(CHARACTER.times(17)));
}

#[test]
fn transmitter_interrupt_follows_the_last_character_into_the_shift_register() {
    check(&[
        W(IIR_FCR, FCR_ENABLE),
        W(MCR, MCR_OUT2),
        W(IER, IER_THRE),
        R(IIR_FCR, 0xc2),
        W(DATA, b'a'),
        W(DATA, b'b'),
        Pins(&[true, false, true, false]),
        R(IIR_FCR, 0xc1),
        Wait(1),
        Pins(&[true]),
        R(IIR_FCR, 0xc2),
        R(LSR, 0x20),
        Wait(1),
        R(IIR_FCR, 0xc1),
        R(LSR, 0x60),
    ]);
}

#[test]
fn received_data_interrupts_at_the_trigger_level_and_by_timeout() {
    check(&[
        W(IIR_FCR, FCR_ENABLE | 0x40),
        W(MCR, MCR_OUT2),
        W(IER, IER_RDA),
        Input(b"abcde"),
        Wait(3),
        R(IIR_FCR, 0xc1),
        Wait(1),
        R(IIR_FCR, 0xc4),
        Pins(&[true]),
        R(DATA, b'a'),
        Pins(&[false]),
        // The fifth arrives: four again.
        Wait(1),
        Pins(&[true]),
        R(DATA, b'b'),
        Pins(&[false]),
        Wait(3),
        R(IIR_FCR, 0xc1),
        Wait(1),
        R(IIR_FCR, 0xcc),
        Pins(&[true]),
        R(DATA, b'c'),
        Pins(&[false]),
        R(LSR, 0x61),
        R(DATA, b'd'),
        R(DATA, b'e'),
        R(LSR, 0x60),
        Wait(10),
        R(IIR_FCR, 0xc1),
    ]);
}

#[test]
fn the_far_end_waits_while_there_is_no_room() {
    let mut port = Port::new();
    port.run(&[Input(b"xyz"), Wait(10), R(DATA, b'x'), R(LSR, 0x60), Wait(1), R(LSR, 0x61), R(DATA, b'y')]);
    port.run(&[Wait(1), R(DATA, b'z'), Wait(1), R(LSR, 0x60), R(DATA, 0)]);
}

#[test]
fn loopback_returns_what_is_sent_and_cuts_the_line() {
    check(&[
        W(MCR, MCR_LOOP),
        R(MSR, 0x0b),
        Input(b"?"),
        W(DATA, 0xae),
        Wait(1),
        R(LSR, 0x61),
        R(DATA, 0xae),
        Output(b""),
        Wait(5),
        R(LSR, 0x60),
        W(MCR, 0),
        Wait(1),
        R(DATA, b'?'),
    ]);
}

#[test]
fn interrupts_are_identified_by_priority_and_each_has_its_own_end() {
    check(&[
        W(IIR_FCR, FCR_ENABLE),
        W(MCR, MCR_LOOP | MCR_OUT1),
        R(MSR, 0x40 | 0x0b),
        W(DATA, b'a'),
        Wait(1),
        // All four sources at once: break, data, empty transmitter, end of ring.
        W(LCR, LCR_BREAK | 3),
        W(LCR, 3),
        W(MCR, MCR_LOOP),
        W(IER, 0x0f),
        R(DATA, b'a'),
        R(IIR_FCR, 0xc6),
        R(LSR, 0xe0 | LSR_BI | LSR_FE | LSR_DR),
        R(IIR_FCR, 0xc4),
        R(LSR, 0x61),
        R(DATA, 0),
        R(IIR_FCR, 0xc2),
        R(IIR_FCR, 0xc0),
        R(MSR, MSR_TERI),
        R(IIR_FCR, 0xc1),
        // In loopback OUT2 is cut off from the bus.
        Pins(&[]),
    ]);
}

#[test]
fn overrun_keeps_the_fifo_and_overwrites_the_buffer() {
    check(&[
        W(MCR, MCR_LOOP),
        W(DATA, 1),
        Wait(1),
        W(DATA, 2),
        Wait(1),
        R(LSR, 0x61 | LSR_OE),
        R(LSR, 0x61),
        R(DATA, 2),
    ]);
    let mut port = Port::new();
    port.run(&[W(MCR, MCR_LOOP), W(IIR_FCR, FCR_ENABLE)]);
    for byte in 0..17 {
        port.run(&[W(DATA, byte), Wait(1)]);
    }
    port.run(&[R(LSR, 0x61 | LSR_OE), R(DATA, 0), R(DATA, 1)]);
}

#[test]
fn modem_lines_interrupt_on_change() {
    check(&[
        W(MCR, MCR_OUT2),
        W(IER, IER_MS),
        Lines(MSR_DSR | MSR_DCD),
        Pins(&[true]),
        R(IIR_FCR, IIR_MS),
        R(MSR, MSR_DSR | MSR_DCD | 1),
        Pins(&[false]),
        Lines(MSR_DSR | MSR_DCD | MSR_RI),
        R(IIR_FCR, IIR_NONE),
    ]);
}

#[test]
fn out2_gates_the_pin() {
    check(&[W(IER, IER_THRE), Pins(&[]), W(MCR, MCR_OUT2), Pins(&[true]), W(MCR, 0), Pins(&[false])]);
}

#[test]
fn a_fixed_pace_ignores_the_divisor() {
    let pace = Pace::Fixed(VirtDuration::from_us(1));
    let mut port = Port { fabric: FakeFabric::new(0), chip: Uart::new(Config { index: 0, pace }) };
    port.run(&[W(DATA, b'q')]);
    port.wait(VirtDuration::from_us(1));
    port.run(&[Output(b"q")]);
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let mut port = Port::new();
    assert_eq!(port.chip.read(&mut port.fabric.env(), 8, Width::B1), Err(IoError::NoRegister));
    assert_eq!(port.chip.write(&mut port.fabric.env(), 0, Width::B4, 0), Err(IoError::Width));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut port = Port::new();
    port.run(&[W(IIR_FCR, FCR_ENABLE), Input(b"abc"), W(DATA, 1), W(DATA, 2), Wait(2)]);
    let text = ron::to_string(port.chip.state()).unwrap();
    let mut other = Port::new();
    other.chip.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other.chip, port.chip);
    let good = port.chip.state().clone();
    for bad in [
        UartState { ier: 0x10, ..good.clone() },
        UartState { tx: [0; 17].into(), ..good.clone() },
        UartState { mcr: 0x80, ..good },
    ] {
        assert!(other.chip.restore(bad).is_err());
    }
}
