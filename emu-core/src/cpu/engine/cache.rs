//! The block cache: decoded blocks by physical page, offset and mode, and which bytes of a page they were made from.

use super::block::{Block, Link, ModeKey, granules};
use crate::addr::Gpa;
use crate::mem::{PhysMem, SeenWrite};
use std::collections::BTreeMap;

/// Blocks kept at most; beyond it all are dropped and decoded again as needed.
const BLOCKS_MAX: usize = 400_000;
/// Slots of the jump cache.
const JUMP_SLOTS: usize = 4096;
/// Slots for blocks found lately.
const FOUND_SLOTS: usize = 16_384;

/// What is decoded of one physical page.
#[derive(Debug, Default)]
struct PageCode {
    /// 64-byte granules that some block was decoded from.
    granules: u64,
    /// Blocks by offset and mode.
    blocks: BTreeMap<(u16, ModeKey), Box<Block>>,
}

/// An indirect jump's last target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jump {
    pub(super) rip: u64,
    pub(super) mode: ModeKey,
    pub(super) generation: u64,
    /// Generation of decoded code alone.
    pub(super) code: u64,
    pub(super) block: *const Block,
    pub(super) page: u64,
}

/// Where a block was found lately.
#[derive(Clone, Copy, Debug)]
struct Found {
    gpa: Gpa,
    mode: ModeKey,
    generation: u64,
    block: *const Block,
}

/// All decoded blocks. Their addresses are stable: a block is freed only by [`BlockCache::collect`].
#[derive(Debug)]
pub(super) struct BlockCache {
    pages: BTreeMap<u64, PageCode>,
    count: usize,
    /// Dropped blocks that may still be running.
    #[allow(clippy::vec_box, reason = "blocks that run may move within the list but not in memory")]
    retired: Vec<Box<Block>>,
    /// Grows when blocks are dropped: older links are dead.
    pub(super) generation: u64,
    pub(super) jumps: Box<[Jump; JUMP_SLOTS]>,
    /// In front of `pages`; an entry counts in its generation only.
    found: Box<[Found]>,
}

impl Default for BlockCache {
    fn default() -> Self {
        let none =
            Jump { rip: 0, mode: ModeKey(0), generation: 0, code: 0, block: std::ptr::null(), page: 0 };
        let nothing = Found { gpa: Gpa(0), mode: ModeKey(0), generation: 0, block: std::ptr::null() };
        Self {
            pages: BTreeMap::new(),
            count: 0,
            retired: Vec::new(),
            generation: 1,
            jumps: Box::new([none; JUMP_SLOTS]),
            found: vec![nothing; FOUND_SLOTS].into_boxed_slice(),
        }
    }
}

impl BlockCache {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The block that starts at `gpa`.
    pub(super) fn find(&mut self, gpa: Gpa, mode: ModeKey) -> Option<*const Block> {
        let generation = self.generation;
        let slot = &mut self.found[Self::found_slot(gpa)];
        if slot.gpa == gpa && slot.mode == mode && slot.generation == generation {
            return Some(slot.block);
        }
        let page = self.pages.get(&gpa.page_number())?;
        let block = page.blocks.get(&(gpa.page_offset() as u16, mode)).map(|block| &raw const **block)?;
        *slot = Found { gpa, mode, generation, block };
        Some(block)
    }

    fn found_slot(gpa: Gpa) -> usize {
        (gpa.0 ^ gpa.0 >> 14) as usize % FOUND_SLOTS
    }

    /// Adds a block. The first of its page makes the page one whose writes are watched; the answer says so.
    pub(super) fn insert(&mut self, mem: &mut PhysMem, block: Block) -> (*const Block, bool) {
        if self.count >= BLOCKS_MAX {
            self.retire_all(mem);
        }
        let gpa = block.gpa;
        let page = self.pages.entry(gpa.page_number()).or_default();
        let first = page.blocks.is_empty();
        if first {
            mem.set_code(gpa.page_base(), true);
        }
        page.granules |= block.granules();
        let block = Box::new(block);
        let at = &raw const *block;
        if let Some(old) = page.blocks.insert((gpa.page_offset() as u16, block.mode), block) {
            self.retired.push(old);
            self.generation += 1;
        } else {
            self.count += 1;
        }
        (at, first)
    }

    /// Keeps a block for one execution only.
    pub(super) fn keep_once(&mut self, block: Block) -> *const Block {
        self.retired.push(Box::new(block));
        self.retired.last().map_or(std::ptr::null(), |block| &raw const **block)
    }

    /// Drops the blocks that were decoded from written bytes; answers how many.
    pub(super) fn invalidate(&mut self, mem: &mut PhysMem, write: SeenWrite) -> usize {
        let Some(page) = self.pages.get_mut(&write.gpa.page_number()) else { return 0 };
        let written = granules(write.gpa.page_offset(), write.len);
        if page.granules & written == 0 {
            return 0;
        }
        let first = write.gpa.page_offset();
        let last = first + write.len - 1;
        let hit = |block: &Block| {
            let start = block.gpa.page_offset();
            start <= last && first < start + u64::from(block.bytes)
        };
        let keys: Vec<_> = page.blocks.iter().filter(|(_, block)| hit(block)).map(|(key, _)| *key).collect();
        for key in &keys {
            self.retired.extend(page.blocks.remove(key));
        }
        page.granules = page.blocks.values().fold(0, |all, block| all | block.granules());
        if page.blocks.is_empty() {
            self.pages.remove(&write.gpa.page_number());
            mem.set_code(write.gpa.page_base(), false);
        }
        self.count -= keys.len();
        if !keys.is_empty() {
            self.generation += 1;
        }
        keys.len()
    }

    /// Blocks lose their compiled code, and count from `hot` on again.
    pub(super) fn forget_compiled(&mut self, hot: u32) {
        for block in self.pages.values().flat_map(|page| page.blocks.values()) {
            block.entry.set(0);
            block.hot.set(hot);
        }
    }

    /// Drops all blocks: they are decoded again as needed.
    pub(super) fn retire_all(&mut self, mem: &mut PhysMem) {
        for (number, page) in std::mem::take(&mut self.pages) {
            mem.set_code(Gpa(number * crate::addr::PAGE_SIZE), false);
            self.retired.extend(page.blocks.into_values());
        }
        self.count = 0;
        self.generation += 1;
    }

    /// Frees dropped blocks. Only when none runs.
    pub(super) fn collect(&mut self) {
        self.retired.clear();
    }

    /// Forgets everything, whatever memory it was decoded from. Only when none runs.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.retired.clear();
        self.count = 0;
        self.generation += 1;
    }

    /// The jump cache's slot for a target.
    pub(super) fn jump_slot(rip: u64, mode: ModeKey) -> usize {
        (rip ^ rip >> 12 ^ u64::from(mode.0) << 4) as usize % JUMP_SLOTS
    }

    /// An unresolved link.
    pub(super) fn no_link() -> Link {
        Link { block: std::ptr::null(), from_page: 0, to_page: 0, generation: 0, code: 0 }
    }
}
