//! Index and data port (MC146818 data sheet, "Registers").

use super::Rtc;
use super::spec::{
    A, A_DIVIDER_RESET, A_UPDATING, B, B_SET, C, D, DATA, INDEX, NMI_DISABLE, RESET_LEAD, TIME, UPDATE,
};
use emu_core::device::Env;
use emu_core::{IoError, VirtTime, Width};

fn check(port: u16, width: Width) -> Result<(), IoError> {
    match port {
        INDEX | DATA if width == Width::B1 => Ok(()),
        INDEX | DATA => Err(IoError::Width),
        _ => Err(IoError::NoRegister),
    }
}

/// Where a byte is among the time registers.
fn time_place(index: u8) -> Option<usize> {
    TIME.iter().position(|register| *register == index)
}

impl Rtc {
    /// IN.
    pub fn read(&mut self, env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        check(port, width)?;
        if port == INDEX {
            return Ok(self.state.index.into());
        }
        self.catch_up(env.now);
        let index = self.state.index & !NMI_DISABLE;
        let value = self.peek(env.now, index);
        if index == C {
            self.state.flags = 0;
        }
        self.update_pin(env);
        Ok(value.into())
    }

    /// A byte of CMOS without a read's effect.
    pub(super) fn peek(&self, now: VirtTime, index: u8) -> u8 {
        match (index, time_place(index)) {
            (_, Some(place)) => self.time_registers(now)[place],
            (A, _) => self.state.a | if self.updating(now) { A_UPDATING } else { 0 },
            (B, _) => self.state.b,
            (C, _) => self.flags_register(),
            (D, _) => 0x80,
            _ => self.state.ram.get(usize::from(index)).copied().unwrap_or(0xff),
        }
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        check(port, width)?;
        let value = value as u8;
        if port == INDEX {
            self.state.index = value;
            return Ok(());
        }
        self.catch_up(env.now);
        let index = self.state.index & !NMI_DISABLE;
        match (index, time_place(index)) {
            (_, Some(place)) => {
                let mut raw = self.time_registers(env.now);
                raw[place] = value;
                self.adopt(env.now, raw);
            }
            (A, _) => self.write_a(env.now, value),
            (B, _) => self.write_b(env.now, value),
            (C | D, _) => {}
            _ => {
                if let Some(byte) = self.state.ram.get_mut(usize::from(index)) {
                    *byte = value;
                }
            }
        }
        self.update_pin(env);
        Ok(())
    }

    /// Holding the divider in reset stops the time; letting it go starts it with half a second gone.
    fn write_a(&mut self, now: VirtTime, value: u8) {
        let raw = self.time_registers(now);
        let ran = self.divider_runs();
        self.state.a = value & !A_UPDATING;
        let runs = value & A_DIVIDER_RESET != A_DIVIDER_RESET;
        if ran == runs {
            return;
        }
        self.state.since = now;
        self.state.lead = if runs { RESET_LEAD } else { 0 };
        self.state.seen = self.ticks(now);
        self.adopt(now, raw);
    }

    /// The registers' bytes stay and are read by the new format. SET takes the update interrupt's enable away.
    fn write_b(&mut self, now: VirtTime, value: u8) {
        let raw = self.time_registers(now);
        self.state.b = if value & B_SET != 0 { value & !UPDATE } else { value };
        self.adopt(now, raw);
    }
}
