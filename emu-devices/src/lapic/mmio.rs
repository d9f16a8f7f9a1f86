//! Register dispatch: the xAPIC page, and the part that x2APIC MSRs share with it.
//!
//! Registers are 32 bits wide on 16-byte boundaries and must be accessed as such (SDM vol. 3A, 12.4.1).

use super::spec::{
    APR, CURRENT_COUNT, DFR, DIVIDE, EOI, ERROR_REGISTER, ESR, ICR, ICR_HIGH, ICR_VALID, ID, INITIAL_COUNT,
    IRR, ISR, LDR, Lvt, PPR, RRR, SVR, SVR_ENABLE, TMR, TPR, VERSION, VERSION_EOI_SUPPRESSION,
    VERSION_MAX_LVT, VERSION_NUMBER,
};
use super::state::Vectors;
use super::{Lapic, Mode};
use emu_core::device::Env;
use emu_core::{IoError, VirtTime, Width};

/// One 32-bit register of a 256-bit bank.
fn bank(vectors: &Vectors, register: u16) -> u32 {
    let index = usize::from(register >> 4 & 7);
    (vectors[index / 2] >> (index % 2 * 32)) as u32
}

fn place(offset: u64, width: Width) -> Result<u16, IoError> {
    if offset & 3 != 0 {
        return Err(IoError::Misaligned);
    }
    if width != Width::B4 {
        return Err(IoError::Width);
    }
    let register = u16::try_from(offset).map_err(|_| IoError::NoRegister)?;
    if register & 0xf == 0 && register < 0x400 { Ok(register) } else { Err(IoError::NoRegister) }
}

impl Lapic {
    /// Reads the xAPIC page at `offset`. Nothing answers in the other modes.
    pub fn read(&mut self, env: &mut Env<'_>, offset: u64, width: Width) -> Result<u64, IoError> {
        if self.mode() != Mode::XApic {
            return Err(IoError::NoRegister);
        }
        let register = place(offset, width)?;
        if let Some(value) = self.read_register(env.now, register) {
            return Ok(value.into());
        }
        self.error(env, ERROR_REGISTER);
        Err(IoError::NoRegister)
    }

    /// Writes the xAPIC page at `offset`.
    pub fn write(&mut self, env: &mut Env<'_>, offset: u64, width: Width, value: u64) -> Result<(), IoError> {
        if self.mode() != Mode::XApic {
            return Err(IoError::NoRegister);
        }
        let register = place(offset, width)?;
        if self.write_register(env, register, value as u32) {
            return Ok(());
        }
        self.error(env, ERROR_REGISTER);
        Err(IoError::NoRegister)
    }

    /// The value of a 32-bit register, or `None` if there is none. No side effects.
    pub(super) fn read_register(&self, now: VirtTime, register: u16) -> Option<u32> {
        if let Some(entry) = Lvt::at(register) {
            return Some(self.state.lvt[entry as usize]);
        }
        Some(match register {
            ID => self.id_register(),
            VERSION => {
                let suppression = if self.config.eoi_suppression { VERSION_EOI_SUPPRESSION } else { 0 };
                VERSION_NUMBER | VERSION_MAX_LVT | suppression
            }
            TPR => self.state.tpr.into(),
            APR => self.arbitration_priority().into(),
            PPR => self.processor_priority().into(),
            EOI | RRR => 0,
            LDR => self.logical_id(),
            DFR => self.state.dfr,
            SVR => self.state.svr,
            ISR..TMR => bank(&self.state.isr, register),
            TMR..IRR => bank(&self.state.tmr, register),
            IRR..ESR => bank(&self.state.irr, register),
            ESR => self.state.esr,
            ICR => self.state.icr as u32,
            ICR_HIGH => (self.state.icr >> 32) as u32,
            INITIAL_COUNT => self.state.timer.initial,
            CURRENT_COUNT => self.current_count(now),
            DIVIDE => self.state.timer.divide,
            _ => return None,
        })
    }

    /// Writes a 32-bit register; false if there is none. Read-only ones ignore it.
    pub(super) fn write_register(&mut self, env: &mut Env<'_>, register: u16, value: u32) -> bool {
        if let Some(entry) = Lvt::at(register) {
            self.write_lvt(env, entry, value);
            return true;
        }
        match register {
            ID | VERSION | APR | PPR | RRR | ISR..ESR | CURRENT_COUNT => {}
            TPR => self.set_tpr(env, value as u8),
            EOI => self.end_of_interrupt(env),
            LDR => self.state.ldr = value & 0xff00_0000,
            DFR => self.state.dfr = value | 0x0fff_ffff,
            SVR => self.write_svr(value),
            ESR => self.state.esr = std::mem::take(&mut self.state.errors),
            ICR => {
                self.state.icr = self.state.icr & !u64::from(u32::MAX) | u64::from(value) & ICR_VALID;
                self.send_ipi(env);
            }
            ICR_HIGH => {
                let high = u64::from(value & 0xff00_0000) << 32;
                self.state.icr = self.state.icr & u64::from(u32::MAX) | high;
            }
            INITIAL_COUNT => self.write_initial_count(env, value),
            DIVIDE => self.write_divide(env, value),
            _ => return false,
        }
        true
    }

    fn id_register(&self) -> u32 {
        match self.mode() {
            Mode::Disabled | Mode::XApic => self.config.id << 24,
            Mode::X2Apic => self.config.id,
        }
    }

    /// Switching off by software masks every LVT entry (12.4.7.2).
    fn write_svr(&mut self, value: u32) {
        self.state.svr = value & self.config.svr_valid();
        if value & SVR_ENABLE == 0 {
            for entry in &mut self.state.lvt {
                *entry |= super::spec::LVT_MASKED;
            }
        }
    }
}
