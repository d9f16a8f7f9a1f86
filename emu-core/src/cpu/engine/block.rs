//! Decoded code: an operation of 32 bytes that handlers run from, and a block of them that ends at a branch, a change
//! of mode or the end of its page.
//!
//! Everything in a block is relative to the start of its code page, so that one block serves every linear address that
//! its physical page is mapped at.

use crate::addr::Gpa;
use crate::cpu::sem::SlowFn;
use crate::cpu::{Cpu, CpuBus, exec};
use iced_x86::Instruction;
use std::cell::Cell;

/// Runs one operation and, in a chained build, everything after it; answers the operation to go on with, or null to
/// leave the chain.
pub(crate) type Handler = fn(&mut Cpu, *const Op, &mut dyn CpuBus) -> *const Op;

/// One decoded instruction, as its handler needs it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(crate) struct Op {
    /// The handler.
    pub(crate) run: Handler,
    /// Displacement of the memory operand; page-relative target of a branch; else the immediate.
    pub(crate) imm: u64,
    /// The immediate beside a displacement; page-relative next instruction of a branch.
    pub(crate) aux: u64,
    /// Destination register: its place in the register file, or for bytes twice that plus one for AH-BH.
    pub(crate) dst: u8,
    /// Source register, likewise; the condition of a conditional instruction.
    pub(crate) src: u8,
    /// Base register of the memory operand.
    pub(crate) base: u8,
    /// Its index register.
    pub(crate) index: u8,
    /// Where the base of its segment is.
    pub(crate) seg_base: u8,
    /// log2 of its scale.
    pub(crate) scale: u8,
    /// Offset of the instruction in its code page.
    pub(crate) offset: u16,
}

/// What decoding and the choice of handlers depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModeKey(pub(crate) u8);

impl ModeKey {
    /// Bits 1:0: code size.
    const SIZE: u8 = 3;
    /// CPL 3.
    pub(super) const USER: u8 = 1 << 2;
    /// CS covers all 4 GiB from 0, or 64-bit mode: no fetch can pass its limit.
    pub(super) const FLAT_CODE: u8 = 1 << 3;

    /// 16, 32 or 64.
    pub(super) fn bits(self) -> u32 {
        16 << (self.0 & Self::SIZE)
    }

    pub(super) fn is_64(self) -> bool {
        self.0 & Self::SIZE == 2
    }

    pub(super) fn flat_code(self) -> bool {
        self.0 & Self::FLAT_CODE != 0
    }
}

/// How an instruction is executed outside the fast path.
#[derive(Clone, Copy)]
pub(crate) enum SlowForm {
    /// A hot instruction, with memory accesses the long way.
    Sem(SlowFn),
    /// Any other.
    Exec(exec::Exec),
}

/// What of an instruction only the slow path needs.
pub(crate) struct Cold {
    pub(crate) insn: Instruction,
    pub(crate) slow: SlowForm,
    /// It does what its code says: it is neither too long nor one that this processor lacks.
    pub(crate) plain: bool,
    /// Its cycles.
    pub(crate) cycles: u32,
    /// Cycles of it and all that follow in the block.
    pub(crate) cycles_ahead: u32,
}

/// A resolved branch.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// The block it leads to.
    pub(crate) block: *const Block,
    /// RIP at the start of the source's code page when it was resolved.
    pub(crate) from_page: u64,
    /// RIP at the start of the target's code page.
    pub(crate) to_page: u64,
    /// Generation of translations and of decoded code it was resolved in.
    pub(crate) generation: u64,
    /// Generation of decoded code alone.
    pub(crate) code: u64,
}

/// Index of a branch's links.
pub(crate) const TAKEN: usize = 0;
/// Not taken, or simply the next instruction.
pub(crate) const NEXT: usize = 1;

/// More cycles than any budget covers: the run loop executes the block's one instruction by itself, in every engine tier.
pub(crate) const STOP: u32 = u32::MAX;

/// A run of instructions within one page.
pub(crate) struct Block {
    /// Operations, and after them one that leaves the block.
    pub(crate) ops: Box<[Op]>,
    /// Parallel to `ops` without that last one.
    pub(crate) cold: Box<[Cold]>,
    /// Its first byte.
    pub(crate) gpa: Gpa,
    /// Bytes it was decoded from.
    pub(crate) bytes: u16,
    /// Cycles of all its instructions; [`STOP`] if a debugger may wait for it.
    pub(crate) cycles: u32,
    pub(crate) mode: ModeKey,
    /// Its one instruction reaches into the next page: it is never kept.
    pub(crate) crossing: bool,
    pub(crate) links: [Cell<Link>; 2],
    /// The last instruction decides itself where execution goes on.
    pub(crate) ended: bool,
    /// The first operation's handler, if that is hidden behind the compiled tier's.
    pub(crate) first: Handler,
    /// Runs until the block is compiled; 0 if that has been done or can't be.
    pub(crate) hot: Cell<u32>,
    /// Address of its compiled code, or 0.
    pub(crate) entry: Cell<usize>,
}

impl Block {
    /// Instructions.
    pub(crate) fn len(&self) -> u32 {
        self.cold.len() as u32
    }

    /// Bytes from its first to the end of its last instruction, which may lie in the next page.
    pub(crate) fn span(&self) -> u64 {
        if self.crossing {
            self.cold.iter().map(|cold| cold.insn.len() as u64).sum()
        } else {
            u64::from(self.bytes)
        }
    }

    /// 64-byte granules of its page that it was decoded from, as a bit each.
    pub(crate) fn granules(&self) -> u64 {
        granules(self.gpa.page_offset(), u64::from(self.bytes))
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("gpa", &self.gpa)
            .field("insns", &self.cold.len())
            .finish_non_exhaustive()
    }
}

/// The 64-byte granules that `len` bytes from `offset` of a page touch; `len` at least 1, all inside the page.
pub(crate) fn granules(offset: u64, len: u64) -> u64 {
    let first = offset / 64;
    let last = (offset + len - 1) / 64;
    u64::MAX >> (63 - (last - first)) << first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_fills_half_a_cache_line() {
        assert_eq!(size_of::<Op>(), 32);
    }

    #[test]
    fn granules_cover_just_the_bytes() {
        assert_eq!(granules(0, 1), 1);
        assert_eq!(granules(63, 2), 3);
        assert_eq!(granules(0, 4096), u64::MAX);
        assert_eq!(granules(4095, 1), 1 << 63);
    }
}
