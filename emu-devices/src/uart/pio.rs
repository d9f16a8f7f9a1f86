//! Register dispatch (PC16550D, table II).

use super::Uart;
use super::spec::{
    DATA, FCR_CLEAR_RX, FCR_CLEAR_TX, FCR_ENABLE, FCR_KEPT, IER, IER_THRE, IIR_FCR, IIR_THRE, LCR, LCR_BREAK,
    LCR_DLAB, LSR, LSR_FIFO_ERROR, MCR, MCR_VALID, MSR, SCR,
};
use emu_core::device::Env;
use emu_core::{IoError, Width};

fn check(offset: u16, width: Width) -> Result<(), IoError> {
    if offset > SCR {
        return Err(IoError::NoRegister);
    }
    if width == Width::B1 { Ok(()) } else { Err(IoError::Width) }
}

impl Uart {
    fn dlab(&self) -> bool {
        self.state.lcr & LCR_DLAB != 0
    }

    /// Reads the register at `offset` from the port's base.
    pub fn read(&mut self, env: &mut Env<'_>, offset: u16, width: Width) -> Result<u64, IoError> {
        check(offset, width)?;
        let value = match offset {
            DATA if self.dlab() => self.state.divisor as u8,
            DATA => self.read_character(env),
            IER if self.dlab() => (self.state.divisor >> 8) as u8,
            IER => self.state.ier,
            IIR_FCR => self.identify(),
            LCR => self.state.lcr,
            MCR => self.state.mcr,
            LSR => self.read_line_status(),
            MSR => self.modem_lines() | std::mem::take(&mut self.state.deltas),
            _ => self.state.scratch,
        };
        self.update_pin(env);
        Ok(value.into())
    }

    /// Writes the register at `offset` from the port's base.
    pub fn write(&mut self, env: &mut Env<'_>, offset: u16, width: Width, value: u64) -> Result<(), IoError> {
        check(offset, width)?;
        let value = value as u8;
        match offset {
            DATA if self.dlab() => self.state.divisor = self.state.divisor & 0xff00 | u16::from(value),
            DATA => self.send(env, value),
            IER if self.dlab() => self.state.divisor = self.state.divisor & 0xff | u16::from(value) << 8,
            IER => self.write_ier(value & 0xf),
            IIR_FCR => self.write_fcr(env, value),
            LCR => self.write_lcr(env, value),
            MCR => self.write_mcr(env, value & MCR_VALID),
            LSR | MSR => {}
            _ => self.state.scratch = value,
        }
        self.update_pin(env);
        Ok(())
    }

    /// Reading IIR takes back the transmitter interrupt if that is what it shows, and nothing else.
    fn identify(&mut self) -> u8 {
        let value = self.identification();
        if value & 0xf == IIR_THRE {
            self.state.thre_pending = false;
        }
        value
    }

    /// The FIFO error bit falls once no further character with an error is behind.
    fn read_line_status(&mut self) -> u8 {
        let value = self.line_status();
        self.state.errors = 0;
        if let Some(top) = self.state.rx.front_mut() {
            top.errors = 0;
        }
        if self.fifos() { value } else { value & !LSR_FIFO_ERROR }
    }

    /// Enabling the transmitter interrupt while the holding register is empty raises it at once.
    fn write_ier(&mut self, value: u8) {
        let risen = value & !self.state.ier;
        self.state.ier = value;
        if risen & IER_THRE != 0 && self.state.tx.is_empty() {
            self.state.thre_pending = true;
        }
    }

    /// Switching the FIFOs on or off empties both (8.5).
    fn write_fcr(&mut self, env: &mut Env<'_>, value: u8) {
        let toggled = (value ^ self.state.fcr) & FCR_ENABLE != 0;
        self.state.fcr = if value & FCR_ENABLE != 0 { value & FCR_KEPT } else { 0 };
        let orders = value & FCR_ENABLE != 0;
        if toggled || orders && value & FCR_CLEAR_RX != 0 {
            self.state.rx.clear();
            self.rx_touched(env);
        }
        if (toggled || orders && value & FCR_CLEAR_TX != 0) && !self.state.tx.is_empty() {
            self.state.tx.clear();
            self.state.thre_pending = true;
        }
        self.expect_arrival(env);
    }

    fn write_lcr(&mut self, env: &mut Env<'_>, value: u8) {
        let risen = value & !self.state.lcr;
        self.state.lcr = value;
        if risen & LCR_BREAK != 0 && self.loopback() {
            self.break_received(env);
        }
    }

    /// In loopback the modem inputs follow the outputs; changes count as on the wire.
    fn write_mcr(&mut self, env: &mut Env<'_>, value: u8) {
        let before = self.modem_lines();
        self.state.mcr = value;
        self.note_modem_change(before);
        self.expect_arrival(env);
    }
}
