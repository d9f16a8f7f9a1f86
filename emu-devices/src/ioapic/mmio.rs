//! IOREGSEL, IOWIN and the registers behind them (82093AA data sheet, section 3).

use super::Ioapic;
use super::spec::{
    ARBITRATION, BOOT, EOI, ID, IOREGSEL, IOWIN, REDIRECTION, REDIRECTION_LAST, RTE_LEVEL, RTE_REMOTE_IRR,
    RTE_WRITABLE, VERSION, VERSION_VALUE, WINDOW,
};
use emu_core::device::Env;
use emu_core::{IoError, Width};

/// The select register is a byte to some kernels; everything else is dwords.
fn check(offset: u64, width: Width) -> Result<(), IoError> {
    match offset {
        IOREGSEL if width <= Width::B4 => Ok(()),
        IOREGSEL | IOWIN | EOI if width != Width::B4 => Err(IoError::Width),
        IOWIN | EOI => Ok(()),
        _ if offset < WINDOW && offset & 0xf != 0 => Err(IoError::Misaligned),
        _ => Err(IoError::NoRegister),
    }
}

impl Ioapic {
    /// Reads the register window.
    pub fn read(&mut self, _env: &mut Env<'_>, offset: u64, width: Width) -> Result<u64, IoError> {
        check(offset, width)?;
        match offset {
            IOREGSEL => Ok(self.state.select.into()),
            IOWIN => self.read_indexed().map(u64::from).ok_or(IoError::NoRegister),
            _ => Ok(0),
        }
    }

    /// Writes the register window.
    pub fn write(&mut self, env: &mut Env<'_>, offset: u64, width: Width, value: u64) -> Result<(), IoError> {
        check(offset, width)?;
        match offset {
            IOREGSEL => self.state.select = value as u8,
            IOWIN => return self.write_indexed(env, value as u32),
            _ => self.eoi(env, value as u8),
        }
        Ok(())
    }

    fn read_indexed(&self) -> Option<u32> {
        Some(match self.state.select {
            ID | ARBITRATION => u32::from(self.state.id) << 24,
            VERSION => VERSION_VALUE,
            BOOT => self.state.boot,
            index @ REDIRECTION..=REDIRECTION_LAST => {
                let entry = self.state.entries[usize::from(index - REDIRECTION) / 2];
                if index & 1 == 0 { entry as u32 } else { (entry >> 32) as u32 }
            }
            _ => return None,
        })
    }

    fn write_indexed(&mut self, env: &mut Env<'_>, value: u32) -> Result<(), IoError> {
        match self.state.select {
            ID => self.state.id = (value >> 24) as u8 & 0xf,
            VERSION | ARBITRATION => {}
            BOOT => self.state.boot = value & 1,
            index @ REDIRECTION..=REDIRECTION_LAST => self.write_entry(env, index - REDIRECTION, value),
            _ => return Err(IoError::NoRegister),
        }
        Ok(())
    }

    /// Writes half an entry. One that becomes edge-triggered forgets its remote IRR: how software ends an interrupt
    /// where there is no EOI register. A line that is asserted may interrupt at once.
    fn write_entry(&mut self, env: &mut Env<'_>, half: u8, value: u32) {
        let pin = usize::from(half / 2);
        let old = self.state.entries[pin];
        let written = if half & 1 == 0 {
            old & !u64::from(u32::MAX) | u64::from(value)
        } else {
            old & u64::from(u32::MAX) | u64::from(value) << 32
        };
        let mut new = written & RTE_WRITABLE | old & RTE_REMOTE_IRR;
        if new & RTE_LEVEL == 0 {
            new &= !RTE_REMOTE_IRR;
        }
        self.state.entries[pin] = new;
        self.send_level(env, pin);
    }
}
