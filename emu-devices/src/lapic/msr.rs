//! The registers as MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE and, in x2APIC mode, 0x800-0x8FF (SDM vol. 3A, 12.12.1.2).
//!
//! Reserved registers, reserved bits, reads of write-only and writes of read-only registers are #GP(0).

use super::spec::{
    CURRENT_COUNT, DIVIDE, EOI, ESR, ICR, ICR_VALID, ID, INITIAL_COUNT, ISR, LDR, LVT_CMCI, LVT_ERROR,
    LVT_TIMER, Lvt, MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_X2APIC_FIRST, MSR_X2APIC_LAST, PPR, SELF_IPI, SVR,
    TPR, VERSION,
};
use super::{Lapic, Mode};
use emu_core::device::Env;

/// The access raises #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local APIC refuses that MSR access: #GP(0)")]
pub struct GeneralProtection;

/// How an x2APIC register may be used (table 12-6).
struct Access {
    read: bool,
    /// Bits that may be written as 1; `None` is read-only.
    write: Option<u64>,
}

impl Lapic {
    fn access(&self, register: u16) -> Option<Access> {
        let read_only = Access { read: true, write: None };
        let both = |bits| Access { read: true, write: Some(bits) };
        let write_only = |bits| Access { read: false, write: Some(bits) };
        match register {
            ID | VERSION | PPR | LDR | CURRENT_COUNT => Some(read_only),
            ISR..ESR => Some(read_only),
            TPR => Some(both(0xff)),
            EOI => Some(write_only(0)),
            SVR => Some(both(self.config.svr_valid().into())),
            ESR => Some(both(0)),
            // Bit 12 is gone in x2APIC mode, yet processors let it be written.
            ICR => Some(both(ICR_VALID | 1 << 12 | 0xffff_ffff_0000_0000)),
            LVT_CMCI | LVT_TIMER..=LVT_ERROR => Lvt::at(register).map(|entry| both(entry.valid().into())),
            INITIAL_COUNT => Some(both(u32::MAX.into())),
            DIVIDE => Some(both(0xb)),
            SELF_IPI => Some(write_only(0xff)),
            _ => None,
        }
    }

    /// The register that an MSR names, if x2APIC mode is on.
    fn x2apic_register(&self, msr: u32) -> Result<u16, GeneralProtection> {
        if self.mode() != Mode::X2Apic || !(MSR_X2APIC_FIRST..=MSR_X2APIC_LAST).contains(&msr) {
            return Err(GeneralProtection);
        }
        u16::try_from((msr - MSR_X2APIC_FIRST) << 4).map_err(|_| GeneralProtection)
    }

    /// RDMSR of [`MSR_APIC_BASE`], [`MSR_TSC_DEADLINE`] or 0x800-0x8FF.
    pub fn msr_read(&mut self, env: &mut Env<'_>, msr: u32) -> Result<u64, GeneralProtection> {
        match msr {
            MSR_APIC_BASE => return Ok(self.state.base),
            MSR_TSC_DEADLINE if self.config.tsc_deadline => return Ok(self.deadline(env.now)),
            _ => {}
        }
        let register = self.x2apic_register(msr)?;
        match self.access(register) {
            Some(Access { read: true, .. }) if register == ICR => Ok(self.state.icr),
            Some(Access { read: true, .. }) => {
                self.read_register(env.now, register).map(u64::from).ok_or(GeneralProtection)
            }
            _ => Err(GeneralProtection),
        }
    }

    /// WRMSR of [`MSR_APIC_BASE`], [`MSR_TSC_DEADLINE`] or 0x800-0x8FF.
    pub fn msr_write(&mut self, env: &mut Env<'_>, msr: u32, value: u64) -> Result<(), GeneralProtection> {
        match msr {
            MSR_APIC_BASE => return self.write_base(env, value),
            MSR_TSC_DEADLINE if self.config.tsc_deadline => {
                self.set_deadline(env, value);
                return Ok(());
            }
            _ => {}
        }
        let register = self.x2apic_register(msr)?;
        match self.access(register) {
            Some(Access { write: Some(bits), .. }) if value & !bits == 0 => {}
            _ => return Err(GeneralProtection),
        }
        match register {
            ICR => {
                self.state.icr = value & !(1 << 12);
                self.send_ipi(env);
            }
            SELF_IPI => self.send_self_ipi(env, value as u8),
            _ => {
                self.write_register(env, register, value as u32);
            }
        }
        Ok(())
    }
}
