//! Model-specific registers: one table. SDM vol. 4, chapter 2.
//!
//! Registers of the local APIC are asked for through the bus. What is not in the table raises #GP(0), which kernels
//! expect where they probe.

use super::debug::{BTF, LBR};
use crate::cpu::mmu::PHYS_BITS;
use crate::cpu::regs::Seg;
use crate::cpu::{Cpu, CpuBus, Fault, is_canonical};
use serde::{Deserialize, Serialize};

/// Register numbers.
mod number {
    pub(super) const TSC: u32 = 0x10;
    pub(super) const PLATFORM_ID: u32 = 0x17;
    pub(super) const APIC_BASE: u32 = 0x1b;
    pub(super) const FEATURE_CONTROL: u32 = 0x3a;
    pub(super) const TSC_ADJUST: u32 = 0x3b;
    pub(super) const SPEC_CTRL: u32 = 0x48;
    pub(super) const PRED_CMD: u32 = 0x49;
    pub(super) const BIOS_SIGN_ID: u32 = 0x8b;
    pub(super) const PLATFORM_INFO: u32 = 0xce;
    pub(super) const MTRRCAP: u32 = 0xfe;
    pub(super) const ARCH_CAPABILITIES: u32 = 0x10a;
    pub(super) const SYSENTER_CS: u32 = 0x174;
    pub(super) const SYSENTER_ESP: u32 = 0x175;
    pub(super) const SYSENTER_EIP: u32 = 0x176;
    pub(super) const MCG_CAP: u32 = 0x179;
    pub(super) const MCG_STATUS: u32 = 0x17a;
    pub(super) const MISC_ENABLE: u32 = 0x1a0;
    pub(super) const DEBUGCTL: u32 = 0x1d9;
    pub(super) const MTRR_VARIABLE: u32 = 0x200;
    pub(super) const MTRR_VARIABLE_END: u32 = MTRR_VARIABLE + 2 * super::VARIABLE_RANGES as u32;
    pub(super) const MTRR_FIX_64K: u32 = 0x250;
    pub(super) const MTRR_FIX_16K: u32 = 0x258;
    pub(super) const MTRR_FIX_16K_END: u32 = 0x25a;
    pub(super) const MTRR_FIX_4K: u32 = 0x268;
    pub(super) const MTRR_FIX_4K_END: u32 = 0x270;
    pub(super) const PAT: u32 = 0x277;
    pub(super) const MTRR_DEF_TYPE: u32 = 0x2ff;
    pub(super) const TSC_DEADLINE: u32 = 0x6e0;
    pub(super) const X2APIC: u32 = 0x800;
    pub(super) const X2APIC_END: u32 = 0x900;
    pub(super) const XSS: u32 = 0xda0;
    pub(super) const EFER: u32 = 0xc000_0080;
    pub(super) const STAR: u32 = 0xc000_0081;
    pub(super) const LSTAR: u32 = 0xc000_0082;
    pub(super) const CSTAR: u32 = 0xc000_0083;
    pub(super) const FMASK: u32 = 0xc000_0084;
    pub(super) const FS_BASE: u32 = 0xc000_0100;
    pub(super) const GS_BASE: u32 = 0xc000_0101;
    pub(super) const KERNEL_GS_BASE: u32 = 0xc000_0102;
    pub(super) const TSC_AUX: u32 = 0xc000_0103;
}

/// Variable-range MTRR pairs.
const VARIABLE_RANGES: usize = 8;
/// Fixed-range MTRRs: one of 64 KiB, two of 16 KiB, eight of 4 KiB ranges.
const FIXED_RANGES: usize = 11;
/// MTRRCAP: eight variable ranges, fixed ranges, write-combining.
const MTRRCAP_VALUE: u64 = VARIABLE_RANGES as u64 | 1 << 8 | 1 << 10;
/// FEATURE_CONTROL: locked with nothing enabled.
const FEATURES_LOCKED: u64 = 1;
/// MISC_ENABLE: fast strings on, BTS and PEBS unavailable.
const MISC_ENABLE_RESET: u64 = 1 | 1 << 11 | 1 << 12;
/// MISC_ENABLE bits that software may change: fast strings, MONITOR, XD disable is not among them.
const MISC_ENABLE_WRITABLE: u64 = 1;
/// The default PAT (SDM vol. 3A, table 12-12).
const PAT_RESET: u64 = 0x0007_0406_0007_0406;
/// Microcode revision, in the upper half.
const MICROCODE: u64 = 1 << 32;
/// DEBUGCTL bits that exist. LBR is only remembered: no branch records are announced.
const DEBUGCTL_BITS: u64 = LBR | BTF;

/// SPEC_CTRL bits that exist: IBRS, STIBP, SSBD. Nothing is speculated, so they do nothing.
const SPEC_CTRL_BITS: u64 = 7;
/// ARCH_CAPABILITIES (SDM vol. 4, table 2-2): a processor that does not speculate is not affected by what comes of it. RDCL_NO,
/// IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO; TAA_NO; SBDR_SSDP_NO, FBSDP_NO, PSDP_NO; BHI_NO; PBRSB_NO;
/// GDS_NO, RFDS_NO; ITS_NO.
const NOT_AFFECTED: u64 = 0b111_1011 | 1 << 8 | 0b111 << 13 | 1 << 20 | 1 << 24 | 0b11 << 26 | 1 << 62;

/// The values of those that are plain storage in the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "named as in the manual")]
pub struct Msrs {
    pub tsc_offset: u64,
    pub tsc_adjust: u64,
    pub tsc_aux: u32,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub misc_enable: u64,
    pub debugctl: u64,
    pub mcg_status: u64,
    pub mtrr_variable: [u64; 2 * VARIABLE_RANGES],
    pub mtrr_fixed: [u64; FIXED_RANGES],
    pub mtrr_def_type: u64,
    pub pat: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub fmask: u64,
    pub kernel_gs_base: u64,
    pub spec_ctrl: u64,
}

impl Msrs {
    /// Reset values.
    #[must_use]
    pub const fn reset() -> Self {
        Self {
            tsc_offset: 0,
            tsc_adjust: 0,
            tsc_aux: 0,
            sysenter_cs: 0,
            sysenter_esp: 0,
            sysenter_eip: 0,
            misc_enable: MISC_ENABLE_RESET,
            debugctl: 0,
            mcg_status: 0,
            mtrr_variable: [0; 2 * VARIABLE_RANGES],
            mtrr_fixed: [0; FIXED_RANGES],
            mtrr_def_type: 0,
            pat: PAT_RESET,
            star: 0,
            lstar: 0,
            cstar: 0,
            fmask: 0,
            kernel_gs_base: 0,
            spec_ctrl: 0,
        }
    }

    fn fixed(&mut self, msr: u32) -> Option<&mut u64> {
        let index = match msr {
            number::MTRR_FIX_64K => 0,
            number::MTRR_FIX_16K..number::MTRR_FIX_16K_END => 1 + msr - number::MTRR_FIX_16K,
            number::MTRR_FIX_4K..number::MTRR_FIX_4K_END => 3 + msr - number::MTRR_FIX_4K,
            _ => return None,
        };
        self.mtrr_fixed.get_mut(index as usize)
    }
}

/// Memory types that MTRRs and the PAT may hold: UC, WC, WT, WP, WB, and UC- in the PAT.
fn is_memory_type(byte: u8, pat: bool) -> bool {
    matches!(byte, 0 | 1 | 4 | 5 | 6) || pat && byte == 7
}

fn all_memory_types(value: u64, pat: bool) -> bool {
    value.to_le_bytes().into_iter().all(|byte| is_memory_type(byte, pat))
}

fn ok_if(condition: bool) -> Result<(), Fault> {
    if condition { Ok(()) } else { Err(Fault::GP0) }
}

impl Cpu {
    /// The time-stamp counter's frequency, which is the clock's.
    #[must_use]
    pub fn tsc_hz(&self) -> u64 {
        1_000_000_000_000 / self.config.clock_ps.max(1)
    }

    /// The time-stamp counter at the start of the current instruction.
    pub(crate) fn tsc(&self) -> u64 {
        (self.now().0 / self.config.clock_ps.max(1)).wrapping_add(self.msrs.tsc_offset)
    }

    fn set_tsc_offset(&mut self, bus: &mut dyn CpuBus, offset: u64) {
        self.msrs.tsc_offset = offset;
        let at = self.stamp();
        bus.set_tsc_offset(at, offset);
        self.leave_after_instruction();
    }

    /// Leaves the memory types as firmware would: write-back, but uncacheable from `devices` to 4 GiB.
    pub fn set_memory_types(&mut self, devices: u64) {
        const ENABLED: u64 = 1 << 11;
        const FIXED_ENABLED: u64 = 1 << 10;
        const VALID: u64 = 1 << 11;
        const WRITE_BACK: u64 = 6;
        let mask = (1 << PHYS_BITS) - ((1 << 32) - devices);
        self.msrs.mtrr_def_type = ENABLED | FIXED_ENABLED | WRITE_BACK;
        self.msrs.mtrr_variable[..2].copy_from_slice(&[devices, mask | VALID]);
        self.msrs.mtrr_fixed = [u64::from_le_bytes([WRITE_BACK as u8; 8]); FIXED_RANGES];
        // The frame buffer, 0xa0000-0xbffff.
        self.msrs.mtrr_fixed[2] = 0;
    }

    /// RDMSR.
    pub(crate) fn read_msr(&mut self, bus: &mut dyn CpuBus, msr: u32) -> Result<u64, Fault> {
        if let Some(value) = self.msrs.fixed(msr) {
            return Ok(*value);
        }
        Ok(match msr {
            number::TSC => self.tsc(),
            number::APIC_BASE | number::TSC_DEADLINE | number::X2APIC..number::X2APIC_END => {
                let at = self.stamp();
                bus.apic_msr_read(at, msr).map_err(|_| Fault::GP0)?
            }
            number::FEATURE_CONTROL => FEATURES_LOCKED,
            number::SPEC_CTRL if self.config.cpuid.has("spec_ctrl") => self.msrs.spec_ctrl,
            number::ARCH_CAPABILITIES if self.config.cpuid.has("arch_capabilities") => NOT_AFFECTED,
            number::TSC_ADJUST => self.msrs.tsc_adjust,
            number::BIOS_SIGN_ID => MICROCODE,
            // The ratio to a 100 MHz bus clock, where tools look for the base frequency.
            number::PLATFORM_INFO => (self.tsc_hz() / 100_000_000).min(0xff) << 8,
            number::MTRRCAP => MTRRCAP_VALUE,
            number::SYSENTER_CS => self.msrs.sysenter_cs,
            number::SYSENTER_ESP => self.msrs.sysenter_esp,
            number::SYSENTER_EIP => self.msrs.sysenter_eip,
            // XSS: no component is the system's alone.
            number::PLATFORM_ID | number::MCG_CAP | number::XSS => 0,
            number::MCG_STATUS => self.msrs.mcg_status,
            number::MISC_ENABLE => self.msrs.misc_enable,
            number::DEBUGCTL => self.msrs.debugctl,
            number::MTRR_VARIABLE..number::MTRR_VARIABLE_END => {
                self.msrs.mtrr_variable[(msr - number::MTRR_VARIABLE) as usize]
            }
            number::PAT => self.msrs.pat,
            number::MTRR_DEF_TYPE => self.msrs.mtrr_def_type,
            number::EFER => self.efer,
            number::STAR => self.msrs.star,
            number::LSTAR => self.msrs.lstar,
            number::CSTAR => self.msrs.cstar,
            number::FMASK => self.msrs.fmask,
            number::FS_BASE => self.seg_base(Seg::Fs),
            number::GS_BASE => self.seg_base(Seg::Gs),
            number::KERNEL_GS_BASE => self.msrs.kernel_gs_base,
            number::TSC_AUX => u64::from(self.msrs.tsc_aux),
            _ => return Err(Fault::GP0),
        })
    }

    /// WRMSR.
    pub(crate) fn write_msr(&mut self, bus: &mut dyn CpuBus, msr: u32, value: u64) -> Result<(), Fault> {
        if let Some(fixed) = self.msrs.fixed(msr) {
            ok_if(all_memory_types(value, false))?;
            *fixed = value;
            return Ok(());
        }
        match msr {
            number::TSC | number::TSC_ADJUST => self.write_tsc(bus, msr, value),
            number::APIC_BASE | number::TSC_DEADLINE | number::X2APIC..number::X2APIC_END => {
                let at = self.stamp();
                bus.apic_msr_write(at, msr, value).map_err(|_| Fault::GP0)?;
                self.after_device_access(crate::time::VirtDuration::ZERO);
            }
            number::BIOS_SIGN_ID => {}
            number::MISC_ENABLE => {
                let kept = self.msrs.misc_enable & !MISC_ENABLE_WRITABLE;
                self.msrs.misc_enable = kept | value & MISC_ENABLE_WRITABLE;
            }
            number::EFER => return self.load_efer(value),
            number::SPEC_CTRL if self.config.cpuid.has("spec_ctrl") => {
                ok_if(value & !SPEC_CTRL_BITS == 0)?;
                self.msrs.spec_ctrl = value;
            }
            // IBPB: there are no predictions to forget.
            number::PRED_CMD if self.config.cpuid.has("spec_ctrl") => ok_if(value & !1 == 0)?,
            _ => return self.write_plain_msr(msr, value),
        }
        Ok(())
    }

    /// Writing the counter or its adjustment moves both (SDM vol. 3B, 18.17.3).
    fn write_tsc(&mut self, bus: &mut dyn CpuBus, msr: u32, value: u64) {
        let before = if msr == number::TSC { self.tsc() } else { self.msrs.tsc_adjust };
        let moved = value.wrapping_sub(before);
        self.msrs.tsc_adjust = self.msrs.tsc_adjust.wrapping_add(moved);
        let offset = self.msrs.tsc_offset.wrapping_add(moved);
        self.set_tsc_offset(bus, offset);
    }

    /// Those that only hold a value, each with what it may hold.
    fn write_plain_msr(&mut self, msr: u32, value: u64) -> Result<(), Fault> {
        let msrs = &mut self.msrs;
        match msr {
            number::SYSENTER_CS => msrs.sysenter_cs = value & 0xffff_ffff,
            number::SYSENTER_ESP
            | number::SYSENTER_EIP
            | number::LSTAR
            | number::CSTAR
            | number::KERNEL_GS_BASE => {
                ok_if(is_canonical(value))?;
                *match msr {
                    number::SYSENTER_ESP => &mut msrs.sysenter_esp,
                    number::SYSENTER_EIP => &mut msrs.sysenter_eip,
                    number::LSTAR => &mut msrs.lstar,
                    number::CSTAR => &mut msrs.cstar,
                    _ => &mut msrs.kernel_gs_base,
                } = value;
            }
            number::XSS => ok_if(value == 0)?,
            number::MCG_STATUS => {
                ok_if(value == 0)?;
                msrs.mcg_status = 0;
            }
            number::DEBUGCTL => {
                ok_if(value & !DEBUGCTL_BITS == 0)?;
                msrs.debugctl = value;
            }
            number::MTRR_VARIABLE..number::MTRR_VARIABLE_END => {
                let is_base = msr & 1 == 0;
                ok_if(!is_base || is_memory_type(value as u8, false))?;
                msrs.mtrr_variable[(msr - number::MTRR_VARIABLE) as usize] = value;
            }
            number::PAT => {
                ok_if(all_memory_types(value, true))?;
                msrs.pat = value;
            }
            number::MTRR_DEF_TYPE => {
                ok_if(value & !0xcff == 0 && is_memory_type(value as u8, false))?;
                msrs.mtrr_def_type = value;
            }
            number::STAR => msrs.star = value,
            number::FMASK => msrs.fmask = value & 0xffff_ffff,
            number::TSC_AUX => {
                msrs.tsc_aux = u32::try_from(value).map_err(|_| Fault::GP0)?;
            }
            number::FS_BASE | number::GS_BASE => {
                ok_if(is_canonical(value))?;
                let seg = if msr == number::FS_BASE { Seg::Fs } else { Seg::Gs };
                self.regs[seg.base_slot() as usize] = value;
            }
            _ => return Err(Fault::GP0),
        }
        Ok(())
    }
}
