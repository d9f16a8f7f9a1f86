//! SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS. SDM vol. 2B; vol. 3A, 5.8.7 and 5.8.8.

use super::debug::SINGLE_STEP;
use crate::cpu::control::{cr0, efer};
use crate::cpu::flags::bit;
use crate::cpu::regs::{R11, RCX, RDX, RSP, Seg, Segment, rights};
use crate::cpu::{CodeSize, Cpu, Fault, is_canonical};

/// A flat code segment's rights.
const CODE: u16 = rights::P | rights::S | rights::CODE | rights::RW | rights::ACCESSED | rights::G;
/// A flat data segment's.
const DATA: u16 = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::G | rights::DB;

impl Cpu {
    /// Loads a flat segment with fixed rights, as these instructions do without looking at the table.
    fn put_flat(&mut self, seg: Seg, selector: u16, rights: u16, dpl: u8) {
        let segment =
            Segment { selector, limit: u32::MAX, rights: rights | u16::from(dpl) << 5, null: false };
        self.put_segment(seg, 0, segment);
    }

    /// Code and stack of the system, at CPL 0.
    fn enter_system(&mut self, code: u16, stack: u16, code_rights: u16) {
        self.cpl = 0;
        self.put_flat(Seg::Ss, stack, DATA, 0);
        self.put_flat(Seg::Cs, code, code_rights, 0);
        self.leave_after_instruction();
    }

    /// Code and stack of a program, at CPL 3.
    fn enter_program(&mut self, code: u16, stack: u16, code_rights: u16) {
        self.cpl = 3;
        self.put_flat(Seg::Ss, stack | 3, DATA, 3);
        self.put_flat(Seg::Cs, code | 3, code_rights, 3);
        self.leave_after_instruction();
    }

    /// SYSCALL.
    pub(crate) fn syscall(&mut self) -> Result<(), Fault> {
        if self.efer & efer::SCE == 0 || self.code_size() != CodeSize::Bits64 {
            return Err(Fault::UNDEFINED);
        }
        self.regs[RCX as usize] = self.next_rip;
        self.regs[R11 as usize] = self.rflags() & !bit::RF;
        let flags = self.rflags() & !(self.msrs.fmask | bit::RF);
        let code = (self.msrs.star >> 32) as u16 & 0xfffc;
        self.enter_system(code, code.wrapping_add(8), CODE | rights::L);
        self.set_rflags(flags);
        // Single-stepped if TF is set after it: FMASK keeps the system from a trap at its entry.
        self.single_step = flags & bit::TF != 0;
        self.next_rip = self.msrs.lstar;
        Ok(())
    }

    /// SYSRET, to 64-bit code if `wide`.
    pub(crate) fn sysret(&mut self, wide: bool) -> Result<(), Fault> {
        if self.efer & efer::SCE == 0 || self.code_size() != CodeSize::Bits64 {
            return Err(Fault::UNDEFINED);
        }
        let to = self.regs[RCX as usize];
        if self.cpl != 0 || wide && !is_canonical(to) {
            return Err(Fault::GP0);
        }
        let base = (self.msrs.star >> 48) as u16;
        let kept = bit::ALL & !(bit::RF | bit::VM);
        let flags = self.regs[R11 as usize] & kept;
        if wide {
            self.enter_program(base.wrapping_add(16), base.wrapping_add(8), CODE | rights::L);
            self.next_rip = to;
        } else {
            self.enter_program(base, base.wrapping_add(8), CODE | rights::DB);
            self.next_rip = to & 0xffff_ffff;
        }
        self.set_rflags(flags);
        // Unlike IRET it traps before the program's first instruction if it sets TF.
        self.single_step = false;
        if flags & bit::TF != 0 {
            self.pending_debug |= SINGLE_STEP;
        }
        Ok(())
    }

    /// SYSENTER.
    pub(crate) fn sysenter(&mut self) -> Result<(), Fault> {
        let code = self.msrs.sysenter_cs as u16 & 0xfffc;
        if self.cr0 & cr0::PE == 0 || code == 0 {
            return Err(Fault::GP0);
        }
        let flags = self.rflags() & !(bit::VM | bit::IF | bit::RF);
        let long = self.long_mode();
        self.set_rflags(flags);
        self.enter_system(code, code.wrapping_add(8), CODE | if long { rights::L } else { rights::DB });
        let mask = if long { u64::MAX } else { 0xffff_ffff };
        self.regs[RSP as usize] = self.msrs.sysenter_esp & mask;
        self.next_rip = self.msrs.sysenter_eip & mask;
        Ok(())
    }

    /// SYSEXIT, to 64-bit code if `wide`.
    pub(crate) fn sysexit(&mut self, wide: bool) -> Result<(), Fault> {
        let base = self.msrs.sysenter_cs as u16 & 0xfffc;
        if self.cr0 & cr0::PE == 0 || base == 0 || self.cpl != 0 {
            return Err(Fault::GP0);
        }
        let (rip, rsp) = (self.regs[RDX as usize], self.regs[RCX as usize]);
        if wide && !(is_canonical(rip) && is_canonical(rsp)) {
            return Err(Fault::GP0);
        }
        let (offset, rights) = if wide { (32, CODE | rights::L) } else { (16, CODE | rights::DB) };
        let code = base.wrapping_add(offset);
        self.enter_program(code, code.wrapping_add(8), rights);
        let mask = if wide { u64::MAX } else { 0xffff_ffff };
        self.regs[RSP as usize] = rsp & mask;
        self.next_rip = rip & mask;
        Ok(())
    }

    /// SWAPGS.
    pub(crate) fn swapgs(&mut self) -> Result<(), Fault> {
        if self.code_size() != CodeSize::Bits64 {
            return Err(Fault::UNDEFINED);
        }
        if self.cpl != 0 {
            return Err(Fault::GP0);
        }
        let slot = Seg::Gs.base_slot() as usize;
        std::mem::swap(&mut self.regs[slot], &mut self.msrs.kernel_gs_base);
        Ok(())
    }
}
