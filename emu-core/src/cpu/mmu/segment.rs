//! From segment and offset to linear address, with the checks that the mode asks for.
//!
//! SDM vol. 3A, 5.3 (limit), 5.5 and 5.4.1 (type and null checks); vol. 1, 3.3.7.1 (canonical addresses).

use super::access::Intent;
use super::tlb::Context;
use crate::addr::Lin;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::flags::bit;
use crate::cpu::regs::{Seg, Segment, rights};
use crate::cpu::{CodeSize, Cpu, Fault};

/// Whether bits 63:47 are all equal.
#[must_use]
pub(crate) const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

impl Segment {
    /// Whether `len` bytes from `first` lie inside. Only protected mode knows expand-down segments.
    pub(crate) fn contains(&self, first: u64, len: u64, protected: bool) -> bool {
        let last = first + (len - 1);
        let limit = u64::from(self.limit);
        if self.expands_down() && protected {
            let top = if self.has(rights::DB) { 0xffff_ffff } else { 0xffff };
            first > limit && last <= top
        } else {
            last <= limit
        }
    }
}

impl Cpu {
    /// The linear address of `len` bytes at `offset` in `seg`, or the fault that the segment raises. `len` is at least 1.
    pub(crate) fn linear(&self, seg: Seg, offset: u64, len: u64, intent: Intent) -> Result<Lin, Fault> {
        let refused = if seg == Seg::Ss { Fault::SS0 } else { Fault::GP0 };
        if self.code_size() == CodeSize::Bits64 {
            let base = if matches!(seg, Seg::Fs | Seg::Gs) { self.seg_base(seg) } else { 0 };
            let first = base.wrapping_add(offset);
            let last = first.wrapping_add(len - 1);
            return if is_canonical(first) && is_canonical(last) { Ok(Lin(first)) } else { Err(refused) };
        }
        let segment = self.seg(seg);
        if self.protected() && !self.type_allows(seg, intent) {
            return Err(refused);
        }
        let first = offset & 0xffff_ffff;
        let inside = segment.contains(first, len, self.protected());
        if !inside {
            return Err(refused);
        }
        Ok(Lin(self.seg_base(seg).wrapping_add(first) & 0xffff_ffff))
    }

    /// Null and type checks of a protected-mode access.
    fn type_allows(&self, seg: Seg, intent: Intent) -> bool {
        let segment = self.seg(seg);
        let code = segment.has(rights::CODE);
        !segment.null
            && match intent {
                Intent::Read => !code || segment.has(rights::RW),
                Intent::Write | Intent::Update => !code && segment.has(rights::RW),
            }
    }

    /// The access context of explicit data accesses now.
    pub(crate) fn data_context(&self) -> Context {
        if self.cpl == 3 { Context::User } else { self.supervisor_context(self.system_flags & bit::AC != 0) }
    }

    /// The context of implicit accesses to descriptor tables and task state: always supervisor, AC never helps.
    pub(crate) fn system_context(&self) -> Context {
        self.supervisor_context(false)
    }

    /// The context for pushes at a privilege level about to be entered.
    pub(crate) fn context_at(&self, cpl: u8) -> Context {
        if cpl == 3 { Context::User } else { self.system_context() }
    }

    fn supervisor_context(&self, override_smap: bool) -> Context {
        if self.cr4 & cr4::SMAP != 0 && !override_smap {
            Context::Supervisor
        } else {
            Context::SupervisorRelaxed
        }
    }

    /// Whether misaligned data accesses raise #AC.
    pub(crate) fn alignment_checked(&self) -> bool {
        self.cpl == 3 && self.cr0 & cr0::AM != 0 && self.system_flags & bit::AC != 0
    }

    /// Derives the MMU's current context: after any change of CPL, CR0, CR4 or RFLAGS.AC.
    pub(crate) fn update_mmu_context(&mut self) {
        let context = self.data_context();
        let checked = self.alignment_checked();
        self.mmu.select(context, checked);
    }
}
