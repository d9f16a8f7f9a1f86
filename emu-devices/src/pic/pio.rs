//! Port dispatch (8259A data sheet, table 1; PIIX3, 2.5).

use super::Pic;
use super::spec::{
    MASTER_COMMAND, MASTER_DATA, MASTER_ELCR, MASTER_ELCR_VALID, SLAVE_COMMAND, SLAVE_DATA, SLAVE_ELCR_VALID,
    register_name,
};
use super::state::ChipState;
use emu_core::device::Env;
use emu_core::{IoError, Width};

fn check(port: u16, width: Width) -> Result<(), IoError> {
    register_name(port).ok_or(IoError::NoRegister)?;
    if width == Width::B1 { Ok(()) } else { Err(IoError::Width) }
}

impl Pic {
    fn chip(&mut self, port: u16) -> &mut ChipState {
        match port {
            MASTER_COMMAND | MASTER_DATA | MASTER_ELCR => &mut self.state.master,
            _ => &mut self.state.slave,
        }
    }

    /// IN.
    pub fn read(&mut self, env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        check(port, width)?;
        let value = match port {
            MASTER_COMMAND | SLAVE_COMMAND => {
                if std::mem::take(&mut self.chip(port).poll) {
                    self.poll(env, port)
                } else {
                    let chip = self.chip(port);
                    if chip.read_isr { chip.isr } else { chip.irr() }
                }
            }
            MASTER_DATA | SLAVE_DATA => self.chip(port).imr,
            _ => self.chip(port).elcr,
        };
        Ok(value.into())
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        check(port, width)?;
        let value = value as u8;
        match port {
            MASTER_COMMAND | SLAVE_COMMAND => self.chip(port).write_command(value),
            MASTER_DATA | SLAVE_DATA => self.chip(port).write_data(value),
            MASTER_ELCR => self.state.master.elcr = value & MASTER_ELCR_VALID,
            _ => self.state.slave.elcr = value & SLAVE_ELCR_VALID,
        }
        self.update(env);
        Ok(())
    }

    /// The poll command: the read is the acknowledge cycle of this one chip, and tells its input.
    fn poll(&mut self, env: &mut Env<'_>, port: u16) -> u8 {
        let cascaded = if port == MASTER_COMMAND { self.cascaded() } else { 0 };
        let chip = self.chip(port);
        let answer = match chip.pending(cascaded) {
            Some(input) => {
                chip.enter_service(input);
                0x80 | input
            }
            None => 0,
        };
        if port == SLAVE_COMMAND {
            self.lower_cascade();
        }
        self.update(env);
        answer
    }
}
