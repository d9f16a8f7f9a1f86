//! Port dispatch and the controller's commands.

use super::spec::{
    COMMAND, DATA, MODE_DISABLED, MODE_INTERRUPT, MODE_SYSTEM, NO_ANSWER, OUTPUT_A20, OUTPUT_NO_RESET,
    PORT_A, PORT_A_A20, PORT_A_RESET, STATUS_COMMAND, STATUS_OUTPUT, STATUS_SYSTEM, STATUS_TIMEOUT,
    STATUS_UNLOCKED,
};
use super::{Kbc, SLOT};
use emu_core::device::{Env, Signal};
use emu_core::trace::TraceEvent;
use emu_core::{IoError, Width};

fn check(port: u16, width: Width) -> Result<(), IoError> {
    match port {
        DATA | COMMAND | PORT_A if width == Width::B1 => Ok(()),
        DATA | COMMAND | PORT_A => Err(IoError::Width),
        _ => Err(IoError::NoRegister),
    }
}

impl Kbc {
    /// IN.
    pub fn read(&mut self, env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        check(port, width)?;
        let value = match port {
            DATA => {
                self.state.full = false;
                self.state.timeout = false;
                self.state.output
            }
            COMMAND => self.status(),
            _ => self.port_a(),
        };
        self.update_pin(env);
        Ok(value.into())
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        check(port, width)?;
        let value = value as u8;
        match port {
            DATA => self.data(env, value),
            COMMAND => self.command(env, value),
            _ => {
                let reset = value & PORT_A_RESET != 0;
                let rises = reset && !self.state.fast_reset;
                self.state.fast_reset = reset;
                self.state.a20 = value & PORT_A_A20 != 0;
                if rises {
                    env.signal(Signal::Reset);
                }
            }
        }
        self.update_pin(env);
        Ok(())
    }

    pub(super) fn status(&self) -> u8 {
        let flag = |on, bit| if on { bit } else { 0 };
        STATUS_UNLOCKED
            | flag(self.state.full, STATUS_OUTPUT)
            | flag(self.state.ram[0] & MODE_SYSTEM != 0, STATUS_SYSTEM)
            | flag(self.state.commanded, STATUS_COMMAND)
            | flag(self.state.timeout, STATUS_TIMEOUT)
    }

    pub(super) fn port_a(&self) -> u8 {
        let flag = |on, bit| if on { bit } else { 0 };
        flag(self.state.a20, PORT_A_A20) | flag(self.state.fast_reset, PORT_A_RESET)
    }

    fn answer(&mut self, byte: u8) {
        self.state.output = byte;
        self.state.full = true;
        self.state.timeout = false;
    }

    /// Nobody is at the other end of the device's cable.
    fn no_answer(&mut self) {
        self.answer(NO_ANSWER);
        self.state.timeout = true;
    }

    fn command(&mut self, env: &mut Env<'_>, command: u8) {
        self.state.commanded = true;
        self.state.waiting = None;
        match command {
            0x20..0x40 => self.answer(self.state.ram[usize::from(command & 0x1f)]),
            0x60..0x80 | 0xd1..=0xd4 => self.state.waiting = Some(command),
            // Test of the auxiliary port: its clock line is stuck high, for there is none.
            0xa9 => self.answer(2),
            // Self-test: passed.
            0xaa => {
                self.state.ram[0] |= MODE_SYSTEM;
                self.answer(0x55);
            }
            // Test of the keyboard port: lines are free.
            0xab => self.answer(0),
            0xad => self.state.ram[0] |= MODE_DISABLED,
            0xae => self.state.ram[0] &= !MODE_DISABLED,
            // Input port: not locked.
            0xc0 => self.answer(0x80),
            0xd0 => self.answer(OUTPUT_NO_RESET | if self.state.a20 { OUTPUT_A20 } else { 0 }),
            0xdd => self.state.a20 = false,
            0xdf => self.state.a20 = true,
            // Pulses the output port's low bits that are 0 here; bit 0 is the processor's reset.
            0xf0.. if command & OUTPUT_NO_RESET == 0 => env.signal(Signal::Reset),
            _ => {}
        }
    }

    /// A byte for the waiting command, else for the keyboard.
    fn data(&mut self, env: &mut Env<'_>, byte: u8) {
        self.state.commanded = false;
        match self.state.waiting.take() {
            Some(command @ 0x60..0x80) => self.state.ram[usize::from(command & 0x1f)] = byte,
            Some(0xd1) => {
                self.state.a20 = byte & OUTPUT_A20 != 0;
                if byte & OUTPUT_NO_RESET == 0 {
                    env.signal(Signal::Reset);
                }
            }
            // Written into the output buffer as if from a device. Without an auxiliary port both are the keyboard's,
            // by which kernels see that there is none.
            Some(0xd2 | 0xd3) => self.answer(byte),
            _ => self.no_answer(),
        }
    }

    fn update_pin(&mut self, env: &mut Env<'_>) {
        let high = self.state.full && self.state.ram[0] & MODE_INTERRUPT != 0;
        if high != self.state.irq {
            self.state.irq = high;
            let pin = Self::IRQ;
            let id = env.trace(SLOT, TraceEvent::PinLevel { pin, high });
            env.signal_for(id, Signal::Pin { slot: SLOT, pin, high });
        }
    }
}
