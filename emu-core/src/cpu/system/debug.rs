//! Breakpoints and traps by the debug registers. SDM vol. 3B, 18.2 and 18.3.
//!
//! Breakpoints on instructions make the run loop step. Those on data keep the fast path off the pages they lie in (see
//! `install_fast`), so that every access there comes by [`Cpu::watch_data`]; nothing else is slower for them.

use crate::access::Width;
use crate::addr::{Lin, PAGE_SIZE};
use crate::cpu::control::cr4;
use crate::cpu::regs::Seg;
use crate::cpu::{CodeSize, Cpu};

/// DR6.BS: single step.
pub(crate) const SINGLE_STEP: u64 = 1 << 14;
/// DR6.BT: switch to a task whose TSS has T set.
pub(super) const TASK_SWITCH: u64 = 1 << 15;
/// DEBUGCTL: branch records, which do not exist, and steps by branches.
pub(super) const LBR: u64 = 1 << 0;
pub(super) const BTF: u64 = 1 << 1;
/// DR7.GD.
const GENERAL_DETECT: u64 = 1 << 13;
/// DR7: L0 to G3.
const ENABLES: u64 = 0xff;
/// DR7: L0 to L3, and LE.
const LOCAL_ENABLES: u64 = 0x155;

/// What a breakpoint waits for: DR7's R/W fields.
mod condition {
    pub(super) const EXECUTION: u64 = 0;
    pub(super) const WRITE: u64 = 1;
    /// With CR4.DE; undefined, and here nothing, without.
    pub(super) const PORT: u64 = 2;
    pub(super) const READ_OR_WRITE: u64 = 3;
}

/// An enabled breakpoint.
#[derive(Clone, Copy)]
struct Breakpoint {
    /// Its bit of DR6.
    bit: u64,
    condition: u64,
    /// First address: the register's, with the bits below the length cleared.
    first: u64,
    len: u64,
}

impl Breakpoint {
    fn touches(&self, first: u64, len: u64) -> bool {
        first < self.first.saturating_add(self.len) && self.first < first.saturating_add(len)
    }
}

impl Cpu {
    /// DEBUGCTL.BTF: TF traps after branches only.
    pub(crate) fn steps_branches(&self) -> bool {
        self.msrs.debugctl & BTF != 0
    }

    /// A debug exception is delivered: general detect, branch records and steps by branches are off in its handler (SDM
    /// vol. 3B, 18.2.4, 18.4.1 and 18.4.4).
    pub(super) fn enter_debug_handler(&mut self) {
        self.dr[7] &= !GENERAL_DETECT;
        self.msrs.debugctl &= !(LBR | BTF);
    }

    fn breakpoints(&self) -> impl Iterator<Item = Breakpoint> {
        let dr = self.dr;
        (0..4).filter(move |n| dr[7] >> (2 * n) & 3 != 0).map(move |n| {
            let len = [1, 2, 8, 4][(dr[7] >> (18 + 4 * n) & 3) as usize];
            let first = dr[n as usize] & !(len - 1);
            Breakpoint { bit: 1 << n, condition: dr[7] >> (16 + 4 * n) & 3, first, len }
        })
    }

    fn any_breakpoint(&self, conditions: &[u64]) -> bool {
        self.dr[7] & ENABLES != 0 && self.breakpoints().any(|found| conditions.contains(&found.condition))
    }

    /// Whether an instruction breakpoint is enabled.
    pub(crate) fn has_instruction_breakpoint(&self) -> bool {
        self.any_breakpoint(&[condition::EXECUTION])
    }

    /// Whether an enabled instruction breakpoint is set at the instruction about to be executed; DR6 says which.
    pub(crate) fn instruction_breakpoint(&mut self) -> bool {
        let lin = if self.code_size() == CodeSize::Bits64 {
            self.rip
        } else {
            self.seg_base(Seg::Cs).wrapping_add(self.rip) & 0xffff_ffff
        };
        let hit = self.hits(lin, 1, &[condition::EXECUTION]);
        if hit != 0 {
            self.dr[6] = self.dr[6] & !0xf | hit;
        }
        hit != 0
    }

    /// DR6 bits of the enabled breakpoints that `len` bytes from `first` touch.
    fn hits(&self, first: u64, len: u64, conditions: &[u64]) -> u64 {
        self.breakpoints()
            .filter(|found| conditions.contains(&found.condition) && found.touches(first, len))
            .fold(0, |bits, found| bits | found.bit)
    }

    /// An access of a program's data: a trap follows the instruction if a breakpoint waits for it.
    pub(crate) fn watch_data(&mut self, lin: Lin, len: u64, write: bool) {
        if self.dr[7] & ENABLES != 0 {
            let conditions = [condition::READ_OR_WRITE, condition::WRITE];
            let hits = self.hits(lin.0, len, if write { &conditions } else { &conditions[..1] });
            self.hit(hits);
        }
    }

    /// An access of ports, likewise.
    pub(crate) fn watch_ports(&mut self, port: u16, width: Width) {
        if self.dr[7] & ENABLES != 0 && self.cr4 & cr4::DE != 0 {
            let hits = self.hits(u64::from(port), width.bytes(), &[condition::PORT]);
            self.hit(hits);
        }
    }

    fn hit(&mut self, hits: u64) {
        if hits != 0 {
            self.pending_debug |= hits;
            self.leave_after_instruction();
        }
    }

    /// Whether a breakpoint waits for data accesses in a page.
    pub(crate) fn is_watched(&self, page: Lin) -> bool {
        let conditions = [condition::READ_OR_WRITE, condition::WRITE];
        self.dr[7] & ENABLES != 0 && self.hits(page.0, PAGE_SIZE, &conditions) != 0
    }

    /// Must follow every change of DR0 to DR3 or DR7: pages that are watched now lose their way round the checks.
    pub(crate) fn update_watches(&mut self) {
        if self.any_breakpoint(&[condition::READ_OR_WRITE, condition::WRITE]) {
            self.mmu.drop_fast();
        }
        self.leave_after_instruction();
    }

    /// A task switch clears the breakpoints that are local to the task (SDM vol. 3A, 7.3).
    pub(super) fn drop_local_breakpoints(&mut self) {
        self.dr[7] &= !LOCAL_ENABLES;
    }
}
