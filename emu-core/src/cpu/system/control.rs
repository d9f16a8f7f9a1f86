//! Loading control registers and EFER, with every rule about what may change when. SDM vol. 3A, 2.5, 4.1.2, 4.10.4, 10.8.5.

use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::mmu::PHYS_BITS;
use crate::cpu::regs::{Seg, rights};
use crate::cpu::{Cpu, CpuBus, Fault};
use crate::trace::TraceEvent;

/// CR3 bit 63: keep the new PCID's translations.
const NO_FLUSH: u64 = 1 << 63;
/// CR3's PCID.
const PCID: u64 = 0xfff;

impl Cpu {
    /// MOV to CR0, and LMSW, CLTS.
    pub(crate) fn load_cr0(&mut self, bus: &mut dyn CpuBus, value: u64) -> Result<(), Fault> {
        let paging = value & cr0::PG != 0;
        let protected = value & cr0::PE != 0;
        if value >> 32 != 0 || paging && !protected || value & cr0::NW != 0 && value & cr0::CD == 0 {
            return Err(Fault::GP0);
        }
        let value = value & cr0::ALL | cr0::ET;
        let was_paging = self.paging();
        if paging && !was_paging {
            self.check_paging_on(bus)?;
        }
        if !paging && was_paging {
            let in_64_bit_code = self.long_mode() && self.seg(Seg::Cs).has(rights::L);
            if in_64_bit_code || self.cr4 & cr4::PCIDE != 0 {
                return Err(Fault::GP0);
            }
            self.efer &= !efer::LMA;
        }
        let changed = self.cr0 ^ value;
        self.cr0 = value;
        if paging && !was_paging && self.efer & efer::LME != 0 {
            self.efer |= efer::LMA;
        }
        if changed & (cr0::PG | cr0::PE | cr0::WP) != 0 {
            self.mmu.flush_all();
        }
        self.after_control_change();
        Ok(())
    }

    /// Turning paging on: long mode wants PAE and no 64-bit CS or 16-bit TSS; PAE paging loads its four entries.
    fn check_paging_on(&mut self, bus: &mut dyn CpuBus) -> Result<(), Fault> {
        if self.efer & efer::LME != 0 {
            let busy_16_bit_tss = self.tr.rights & 0xf == 3;
            if self.cr4 & cr4::PAE == 0 || self.seg(Seg::Cs).has(rights::L) || busy_16_bit_tss {
                return Err(Fault::GP0);
            }
        } else if self.cr4 & cr4::PAE != 0 {
            self.load_pdptes(bus, self.cr3).ok_or(Fault::GP0)?;
        }
        Ok(())
    }

    /// MOV to CR3.
    pub(crate) fn load_cr3(&mut self, bus: &mut dyn CpuBus, value: u64) -> Result<(), Fault> {
        let mut value = value;
        let pcide = self.cr4 & cr4::PCIDE != 0;
        let mut keep = false;
        if self.long_mode() {
            if pcide {
                keep = value & NO_FLUSH != 0;
                value &= !NO_FLUSH;
            }
            if value >> PHYS_BITS != 0 {
                return Err(Fault::GP0);
            }
        } else {
            value &= 0xffff_ffff;
            if self.paging() && self.cr4 & cr4::PAE != 0 {
                self.load_pdptes(bus, value).ok_or(Fault::GP0)?;
            }
        }
        self.cr3 = value;
        if keep {
            self.mmu.drop_fast();
            self.mmu.drop_code_page();
        } else {
            self.mmu.flush_pcid(if pcide { (value & PCID) as u16 } else { 0 });
        }
        self.leave_after_instruction();
        let at = self.stamp();
        bus.trace(at, TraceEvent::CpuCr3 { value });
        Ok(())
    }

    /// MOV to CR4.
    pub(crate) fn load_cr4(&mut self, bus: &mut dyn CpuBus, value: u64) -> Result<(), Fault> {
        if value & !self.config.cpuid.cr4_mask() != 0 {
            return Err(Fault::GP0);
        }
        let changed = self.cr4 ^ value;
        if self.long_mode() && changed & cr4::PAE != 0 {
            return Err(Fault::GP0);
        }
        if changed & value & cr4::PCIDE != 0 && (!self.long_mode() || self.cr3 & PCID != 0) {
            return Err(Fault::GP0);
        }
        let legacy_pae = self.paging() && !self.long_mode() && value & cr4::PAE != 0;
        if legacy_pae && changed & (cr4::PAE | cr4::PGE | cr4::PSE | cr4::SMEP) != 0 {
            self.load_pdptes(bus, self.cr3).ok_or(Fault::GP0)?;
        }
        self.cr4 = value;
        if changed & (cr4::PAE | cr4::PGE | cr4::PSE | cr4::PCIDE | cr4::SMEP | cr4::SMAP) != 0 {
            self.mmu.flush_all();
        }
        self.after_control_change();
        Ok(())
    }

    /// WRMSR to EFER.
    pub(crate) fn load_efer(&mut self, value: u64) -> Result<(), Fault> {
        if value & !(efer::SCE | efer::LME | efer::LMA | efer::NXE) != 0 {
            return Err(Fault::GP0);
        }
        let changed = self.efer ^ value;
        if self.paging() && changed & efer::LME != 0 {
            return Err(Fault::GP0);
        }
        self.efer = self.efer & efer::LMA | value & !efer::LMA;
        if changed & efer::NXE != 0 {
            self.mmu.flush_all();
        }
        self.after_control_change();
        Ok(())
    }

    fn after_control_change(&mut self) {
        self.update_mode();
        self.leave_after_instruction();
    }

    /// Says that the mode has changed, if it has: whatever changes it leaves the chain of blocks, so the run loop asks at
    /// the right instruction.
    pub(crate) fn trace_mode(&mut self, bus: &mut dyn CpuBus) {
        let mode = self.mode();
        if mode != self.traced_mode {
            self.traced_mode = mode;
            let at = self.stamp();
            bus.trace(at, TraceEvent::CpuMode { mode });
        }
    }
}
