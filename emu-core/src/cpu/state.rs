//! What a snapshot keeps of the processor: everything but the decode cache, which can be made again.

use super::flags::bit;
use super::mmu::TlbState;
use super::regs::{CODE_PAGE, SEG_BASE, Segment, SystemSegment, TableRegister, ZERO};
use super::{Activity, Cpu, Msrs, Shadow, Vectors, X87};
use crate::addr::Lin;
use crate::time::VirtTime;
use crate::trace::CpuMode;
use serde::{Deserialize, Serialize};

/// A processor's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuState {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15.
    pub gprs: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS.
    pub segs: [Segment; 6],
    /// Their bases.
    pub seg_bases: [u64; 6],
    /// LDTR.
    pub ldtr: SystemSegment,
    /// TR.
    pub tr: SystemSegment,
    /// GDTR.
    pub gdtr: TableRegister,
    /// IDTR.
    pub idtr: TableRegister,
    /// CPL.
    pub cpl: u8,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// IA32_EFER.
    pub efer: u64,
    /// XCR0.
    pub xcr0: u64,
    /// Random numbers drawn so far.
    pub drawn: u64,
    /// DR0-DR7.
    pub dr: [u64; 8],
    /// Other MSRs.
    pub msrs: Msrs,
    /// YMM registers.
    pub ymm: [[u64; 4]; 16],
    /// MXCSR.
    pub mxcsr: u32,
    /// The x87 registers.
    pub x87: X87,
    /// Running, halted...
    pub activity: Activity,
    /// What waits for one instruction.
    pub shadow: Shadow,
    /// In an NMI handler.
    pub nmi_blocked: bool,
    /// Pending DR6 bits.
    pub pending_debug: u64,
    /// Translations.
    pub tlb: TlbState,
    /// Instructions retired.
    pub insns: u64,
    /// Exceptions and interrupts delivered since then.
    pub fruitless: u32,
    /// Virtual time.
    pub now: VirtTime,
    /// The mode that the trace was last told.
    pub traced_mode: CpuMode,
}

/// Why a processor state can't be gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuRestoreError {
    /// CPL is 0 to 3.
    #[error("cpl {0} is not 0 to 3")]
    Cpl(u8),
    /// RFLAGS has bits that do not exist.
    #[error("rflags {0:#x} has bits that do not exist")]
    Rflags(u64),
    /// A TLB entry lies at an index that its address can't have.
    #[error("tlb entry for {0} lies at the wrong index")]
    Tlb(Lin),
}

impl Cpu {
    /// The state, between instructions.
    #[must_use]
    pub fn state(&self) -> CpuState {
        let mut gprs = [0; 16];
        gprs.copy_from_slice(&self.regs[..16]);
        let mut seg_bases = [0; 6];
        seg_bases.copy_from_slice(&self.regs[SEG_BASE as usize..SEG_BASE as usize + 6]);
        CpuState {
            gprs,
            rip: self.rip,
            rflags: self.rflags(),
            segs: self.segs,
            seg_bases,
            ldtr: self.ldtr,
            tr: self.tr,
            gdtr: self.gdtr,
            idtr: self.idtr,
            cpl: self.cpl,
            cr0: self.cr0,
            cr2: self.cr2,
            cr3: self.cr3,
            cr4: self.cr4,
            efer: self.efer,
            xcr0: self.xcr0,
            drawn: self.drawn,
            dr: self.dr,
            msrs: self.msrs.clone(),
            ymm: self.vectors.ymm,
            mxcsr: self.vectors.mxcsr,
            x87: self.x87,
            activity: self.activity,
            shadow: self.shadow,
            nmi_blocked: self.nmi_blocked,
            pending_debug: self.pending_debug,
            tlb: self.mmu.state(),
            insns: self.insns(),
            fruitless: self.engine.fruitless(),
            now: self.now(),
            traced_mode: self.traced_mode,
        }
    }

    /// Goes on from a state, with another memory than before. On an error the processor is as after [`Cpu::reset`].
    pub fn restore(&mut self, state: CpuState) -> Result<(), CpuRestoreError> {
        self.engine.drop_blocks();
        self.rewind(state)
    }

    /// The same with the memory that it has: decoded code stays, but for what [`crate::mem::PhysMem`] knows to have changed.
    pub fn rewind(&mut self, state: CpuState) -> Result<(), CpuRestoreError> {
        let CpuState {
            gprs,
            rip,
            rflags,
            segs,
            seg_bases,
            ldtr,
            tr,
            gdtr,
            idtr,
            cpl,
            cr0,
            cr2,
            cr3,
            cr4,
            efer,
            xcr0,
            drawn,
            dr,
            msrs,
            ymm,
            mxcsr,
            x87,
            activity,
            shadow,
            nmi_blocked,
            pending_debug,
            tlb,
            insns,
            fruitless,
            now,
            traced_mode,
        } = state;
        self.reset();
        if cpl > 3 {
            return Err(CpuRestoreError::Cpl(cpl));
        }
        if rflags & !(bit::ALL | bit::ONE) != 0 {
            return Err(CpuRestoreError::Rflags(rflags));
        }
        self.mmu.restore(tlb).map_err(CpuRestoreError::Tlb)?;
        self.regs[..16].copy_from_slice(&gprs);
        self.regs[ZERO as usize] = 0;
        self.regs[CODE_PAGE as usize] = 0;
        self.regs[SEG_BASE as usize..SEG_BASE as usize + 6].copy_from_slice(&seg_bases);
        self.set_rip(rip);
        (self.segs, self.ldtr, self.tr, self.gdtr, self.idtr, self.cpl) = (segs, ldtr, tr, gdtr, idtr, cpl);
        self.drawn = drawn;
        (self.cr0, self.cr2, self.cr3, self.cr4, self.efer, self.xcr0) = (cr0, cr2, cr3, cr4, efer, xcr0);
        self.dr = dr;
        self.msrs = msrs;
        self.vectors = Vectors { ymm, mxcsr };
        self.x87 = x87;
        self.activity = activity;
        self.shadow = shadow;
        self.nmi_blocked = nmi_blocked;
        self.pending_debug = pending_debug;
        self.set_rflags(rflags);
        self.engine.restore_position(now, insns, fruitless);
        self.engine.forget_link();
        self.engine.stops.forget_passed();
        self.update_watches();
        self.update_mode();
        self.traced_mode = traced_mode;
        Ok(())
    }

    /// From the next store to a page on, memory is told of it again: [`crate::mem::PhysMem::take_dirty`] was called.
    pub fn forget_dirty(&mut self) {
        self.mmu.drop_all_write_tags();
    }
}
