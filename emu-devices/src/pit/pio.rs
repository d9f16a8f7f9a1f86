//! Port dispatch (8254 data sheet, "Programming the 8254"; PIIX3, 2.5.5).

use super::spec::{
    CONTROL, CONTROL_ACCESS_SHIFT, CONTROL_COUNTER_SHIFT, COUNTER0, COUNTER2, PORT_B, PORT_B_GATE2,
    PORT_B_KEPT, PORT_B_OUT2, PORT_B_REFRESH, READ_BACK_NO_COUNT, READ_BACK_NO_STATUS, REFRESH_CLOCKS,
};
use super::state::Access;
use super::{Pit, clock_at};
use emu_core::device::Env;
use emu_core::{IoError, Width};

fn check(port: u16, width: Width) -> Result<(), IoError> {
    match port {
        COUNTER0..=CONTROL | PORT_B if width == Width::B1 => Ok(()),
        COUNTER0..=CONTROL | PORT_B => Err(IoError::Width),
        _ => Err(IoError::NoRegister),
    }
}

impl Pit {
    /// IN. The control port drives nothing.
    pub fn read(&mut self, env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        check(port, width)?;
        let clock = clock_at(env.now);
        match port {
            CONTROL => Err(IoError::NoRegister),
            PORT_B => {
                self.state.counters[2].settle(clock);
                Ok(self.port_b(clock).into())
            }
            _ => {
                let counter = &mut self.state.counters[usize::from(port - COUNTER0)];
                counter.settle(clock);
                Ok(counter.read(clock).into())
            }
        }
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        check(port, width)?;
        let clock = clock_at(env.now);
        self.catch_up(env, clock);
        for counter in &mut self.state.counters {
            counter.settle(clock);
        }
        let value = value as u8;
        match port {
            COUNTER0..=COUNTER2 => self.state.counters[usize::from(port - COUNTER0)].write(clock, value),
            CONTROL => self.write_control(clock, value),
            _ => {
                self.state.port_b = value & PORT_B_KEPT;
                self.state.counters[2].set_gate(clock, value & PORT_B_GATE2 != 0);
            }
        }
        self.follow_out0(env);
        Ok(())
    }

    fn write_control(&mut self, clock: u64, word: u8) {
        let index = usize::from(word >> CONTROL_COUNTER_SHIFT);
        let Some(counter) = self.state.counters.get_mut(index) else { return self.read_back(clock, word) };
        match word >> CONTROL_ACCESS_SHIFT & 3 {
            0 => counter.latch_count(clock),
            1 => counter.control(clock, Access::Low, word),
            2 => counter.control(clock, Access::High, word),
            _ => counter.control(clock, Access::Both, word),
        }
    }

    /// The read-back command: bits 3:1 name counters.
    fn read_back(&mut self, clock: u64, word: u8) {
        for (index, counter) in self.state.counters.iter_mut().enumerate() {
            if word >> (index + 1) & 1 == 0 {
                continue;
            }
            if word & READ_BACK_NO_COUNT == 0 {
                counter.latch_count(clock);
            }
            if word & READ_BACK_NO_STATUS == 0 {
                counter.latch_status(clock);
            }
        }
    }

    /// Port 0x61 as it reads.
    pub(super) fn port_b(&self, clock: u64) -> u8 {
        let refresh = if clock / REFRESH_CLOCKS % 2 == 1 { PORT_B_REFRESH } else { 0 };
        let out2 = if self.state.counters[2].out(clock) { PORT_B_OUT2 } else { 0 };
        self.state.port_b | refresh | out2
    }
}
