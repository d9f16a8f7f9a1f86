//! Where compiled code finds the processor's fields, and those of blocks and links.

use crate::cpu::Cpu;
use crate::cpu::engine::Engine;
use crate::cpu::engine::block::{Block, Link};
use crate::cpu::engine::cache::BlockCache;
use crate::cpu::engine::position::Position;
use crate::cpu::flags::Flags;
use crate::cpu::mmu::layout as mmu;
use std::mem::offset_of;

/// The place of a register.
pub(super) const fn register(slot: usize) -> usize {
    offset_of!(Cpu, regs) + slot * size_of::<u64>()
}

const FLAGS_AT: usize = offset_of!(Cpu, flags);
/// The three words of the flags.
pub(super) const FLAGS: [usize; 3] =
    [FLAGS_AT + Flags::WORDS[0], FLAGS_AT + Flags::WORDS[1], FLAGS_AT + Flags::WORDS[2]];

const ENGINE: usize = offset_of!(Cpu, engine);
const POSITION: usize = ENGINE + offset_of!(Engine, position);
/// Cycles left.
pub(super) const BUDGET: usize = POSITION + offset_of!(Position, budget);
/// Instructions charged.
pub(super) const INSNS: usize = POSITION + offset_of!(Position, insns);
/// The block that runs.
pub(super) const RUNNING: usize = ENGINE + offset_of!(Engine, block);
/// The generation of decoded code.
pub(super) const CODE_GENERATION: usize =
    ENGINE + offset_of!(Engine, cache) + offset_of!(BlockCache, generation);

const MMU: usize = offset_of!(Cpu, mmu);
/// Address of the tags.
pub(super) const TAGS: usize = MMU + mmu::FAST;
/// Which of them is the current context's first.
pub(super) const TAGS_FIRST: usize = MMU + mmu::FAST_BASE;
pub(super) use mmu::{TAG_ADDEND, TAG_LOG2, TAG_MASK, TAG_READ, TAG_WRITE};

/// Where a block has its compiled code.
pub(super) const ENTRY: usize = offset_of!(Block, entry);

/// One of a block's links.
pub(super) const fn link(which: usize) -> usize {
    offset_of!(Block, links) + which * size_of::<Link>()
}

/// What a link leads to.
pub(super) const LINK_BLOCK: usize = offset_of!(Link, block);
/// The generation of decoded code that it was made in.
pub(super) const LINK_CODE: usize = offset_of!(Link, code);
