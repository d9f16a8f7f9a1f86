//! Port dispatch. Registers of the block may be accessed in bytes, words and dwords at any place, as ACPI 4.8 asks, so
//! they are taken a byte at a time; what a write sets off follows when all of it is in.

use super::AcpiPm;
use super::spec::{
    BLOCK, CONTROL_KEPT, ENABLE_VALID, GPE0_ENABLE, RESET, RESET_CPU, RESET_FULL, RESET_SYSTEM, SCI_ENABLE,
    SLEEP_ENABLE, SLEEP_TYPE, SMI_COMMAND, SMI_DATA, WAKE, block_register_name,
};
use emu_core::device::{Env, Signal};
use emu_core::{IoError, VirtTime, Width};

/// Puts byte `at` (0 or 1) into a word.
const fn put(word: u16, at: u16, byte: u8) -> u16 {
    let shift = (at & 1) * 8;
    word & !(0xff << shift) | (byte as u16) << shift
}

impl AcpiPm {
    /// The offsets in the block that an access touches, if it is one of the block and all of them exist.
    fn offsets(&self, port: u16, width: Width) -> Result<Option<std::ops::Range<u16>>, IoError> {
        let first = port.wrapping_sub(self.config.pm_base);
        if first >= BLOCK {
            return Ok(None);
        }
        let count = match width {
            Width::B1 => 1,
            Width::B2 => 2,
            Width::B4 => 4,
            Width::B8 => return Err(IoError::Width),
        };
        let range = first..first + count;
        let all = range.clone().all(|offset| block_register_name(offset).is_some());
        if all { Ok(Some(range)) } else { Err(IoError::NoRegister) }
    }

    fn block_byte(&self, now: VirtTime, offset: u16) -> u8 {
        let byte = |value: u64, first: u16| (value >> (8 * (offset - first))) as u8;
        match offset {
            0x00..0x02 => byte(self.status_at(now).into(), 0x00),
            0x02..0x04 => byte(self.state.enable.into(), 0x02),
            0x04..0x08 => byte(self.state.control.into(), 0x04),
            0x08..0x0c => byte(self.timer(now).into(), 0x08),
            GPE0_ENABLE.. => byte(self.state.gpe_enable, GPE0_ENABLE),
            _ => 0,
        }
    }

    /// IN.
    pub fn read(&mut self, env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        if let Some(offsets) = self.offsets(port, width)? {
            let bytes = offsets.rev().map(|offset| self.block_byte(env.now, offset));
            return Ok(bytes.fold(0, |value, byte| value << 8 | u64::from(byte)));
        }
        let value = match port {
            SMI_COMMAND => self.state.smi[0],
            SMI_DATA => self.state.smi[1],
            RESET => self.state.reset,
            _ => return Err(IoError::NoRegister),
        };
        if width == Width::B1 { Ok(value.into()) } else { Err(IoError::Width) }
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        if let Some(offsets) = self.offsets(port, width)? {
            self.catch_up(env.now);
            let mut sleep = false;
            for (index, offset) in offsets.enumerate() {
                sleep |= self.write_block(offset, (value >> (8 * index)) as u8);
            }
            if sleep {
                self.sleep(env);
            }
            self.update_sci(env);
            return Ok(());
        }
        if !matches!(port, SMI_COMMAND | SMI_DATA | RESET) {
            return Err(IoError::NoRegister);
        }
        if width != Width::B1 {
            return Err(IoError::Width);
        }
        match port {
            SMI_COMMAND => self.smi_command(env, value as u8),
            SMI_DATA => self.state.smi[1] = value as u8,
            _ => self.reset_control(env, value as u8),
        }
        Ok(())
    }

    /// A byte of the block; true if it asks for sleep.
    fn write_block(&mut self, offset: u16, byte: u8) -> bool {
        let state = &mut self.state;
        match offset {
            0x00..0x02 => state.status &= !put(0, offset, byte),
            0x02..0x04 => state.enable = put(state.enable, offset, byte) & ENABLE_VALID,
            0x04..0x06 => {
                state.control = put(state.control, offset, byte) & CONTROL_KEPT;
                return put(0, offset, byte) & SLEEP_ENABLE != 0;
            }
            GPE0_ENABLE.. => {
                let shift = 8 * (offset - GPE0_ENABLE);
                state.gpe_enable = state.gpe_enable & !(0xff << shift) | u64::from(byte) << shift;
            }
            _ => {}
        }
        false
    }

    /// S5 switches off. Any other sleep is not provided and ends at once.
    fn sleep(&mut self, env: &mut Env<'_>) {
        if (self.state.control & SLEEP_TYPE) >> 10 == u16::from(self.config.s5_type) {
            env.signal(Signal::PowerOff { code: 0 });
        } else {
            self.state.status |= WAKE;
        }
    }

    fn smi_command(&mut self, env: &mut Env<'_>, value: u8) {
        self.state.smi[0] = value;
        match self.config.acpi_switch {
            Some((on, _)) if value == on => self.state.control |= SCI_ENABLE,
            Some((_, off)) if value == off => self.state.control &= !SCI_ENABLE,
            Some(_) | None => {}
        }
        self.update_sci(env);
    }

    fn reset_control(&mut self, env: &mut Env<'_>, value: u8) {
        let rises = value & !self.state.reset & RESET_CPU != 0;
        self.state.reset = value & (RESET_CPU | RESET_SYSTEM | RESET_FULL);
        if rises {
            env.signal(Signal::Reset);
        }
    }
}
