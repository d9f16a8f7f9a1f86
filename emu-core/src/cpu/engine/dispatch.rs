//! Dispatch: from operation to operation, from block to block. One of the few modules with unsafe code.
//!
//! In an optimised build on x86-64 a handler ends by calling the next one, which the compiler turns into a jump; a build
//! with debug assertions, or for another host, gets the same handlers one by one from a loop. Either way a handler
//! answers null to leave, with RIP and the charges put right. That calls become jumps is what keeps the stack from growing; a
//! handler must therefore lend nothing of its own by address to a function that is not inlined. `tests/tail_calls.sh` looks.
//!
//! Operations are reached by address. What makes that sound: a block's operations lie in one allocation that ends with a
//! sentinel which never asks for a successor; blocks are freed by [`super::cache::BlockCache::collect`] only, which the
//! run loop calls while no chain runs; and a link or jump-cache entry is followed only in the generation it was made in,
//! which ends whenever a block is dropped.
#![allow(unsafe_code, reason = "operations and blocks are followed by address on the hot path")]

use super::block::{Block, Handler, Link, NEXT, Op, SlowForm, TAKEN};
use super::cache::{BlockCache, Jump};
use super::{Engine, Unlinked};
use crate::addr::Lin;
use crate::cpu::mmu::is_canonical;
use crate::cpu::regs::{CODE_PAGE, ZERO};
use crate::cpu::sem::vector::Vector;
use crate::cpu::sem::{Fast, Flow, Sem};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{FlowControl, Instruction};

/// Whether handlers call each other.
const CHAINED: bool = cfg!(all(not(debug_assertions), target_arch = "x86_64"));

/// Runs `block` and all that follows it, until something needs the run loop. The block must fit the budget.
pub(super) fn run(cpu: &mut Cpu, block: *const Block, bus: &mut dyn CpuBus) {
    let mut op = enter(cpu, block, bus);
    while !op.is_null() {
        // SAFETY: handlers answer null or an operation of a live block.
        let handler = unsafe { (*op).run };
        op = handler(cpu, op, bus);
    }
}

/// Executes the first instruction of `block` alone. Answers whether it retired.
pub(super) fn step(cpu: &mut Cpu, block: *const Block, bus: &mut dyn CpuBus) -> bool {
    // SAFETY: the caller has just found the block, and none is freed before the next turn of the run loop.
    let block = unsafe { &*block };
    cpu.engine.block = block;
    let cycles = block.cold[0].cycles;
    cpu.engine.position.budget -= i64::from(cycles);
    cpu.engine.position.insns += 1;
    cpu.engine.position.ahead_insns = 1;
    cpu.engine.position.ahead_cycles = cycles;
    let result = match cpu.check_code_limit(u64::from(block.cold[0].insn.len() as u32)) {
        Ok(()) => execute(cpu, block, 0, bus),
        Err(fault) => Err(fault),
    };
    cpu.engine.position.ahead_insns = 0;
    cpu.engine.position.ahead_cycles = 0;
    match result {
        Ok(()) => {
            cpu.single_step &= !cpu.steps_branches() || branched(cpu, &block.cold[0].insn);
            cpu.rip = cpu.next_rip;
            true
        }
        Err(fault) => {
            cpu.engine.position.budget += i64::from(cycles);
            cpu.engine.position.insns -= 1;
            cpu.raise(bus, fault);
            false
        }
    }
}

/// Whether an instruction just executed was a branch, and if it had a choice took it.
fn branched(cpu: &Cpu, insn: &Instruction) -> bool {
    match insn.flow_control() {
        FlowControl::Next | FlowControl::Exception | FlowControl::XbeginXabortXend => false,
        FlowControl::ConditionalBranch => cpu.next_rip != cpu.rip.wrapping_add(insn.len() as u64),
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Call
        | FlowControl::IndirectCall
        | FlowControl::Interrupt => true,
    }
}

/// Runs the slow form of an operation: RIP is exact for it.
fn execute(cpu: &mut Cpu, block: &Block, index: usize, bus: &mut dyn CpuBus) -> Result<(), Fault> {
    let (op, cold) = (&block.ops[index], &block.cold[index]);
    cpu.rip = cpu.page_rip(u64::from(op.offset));
    cpu.next_rip = cpu.page_rip(u64::from(op.offset) + cold.insn.len() as u64);
    match cold.slow {
        SlowForm::Sem(run) => run(cpu, bus, op, &cold.insn),
        SlowForm::Exec(run) => run(cpu, bus, &cold.insn),
    }
}

/// The handler of a hot instruction: the fast builder, or the slow form if that refuses.
#[inline(always)]
pub(super) fn fast<S: Sem>(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: handlers are called with an operation of the block that runs.
    let operation = unsafe { &*op };
    match S::run(&mut Fast(cpu), operation) {
        Ok(Flow::Next) => next(cpu, op, bus),
        Ok(Flow::Taken) => follow::<TAKEN>(cpu, op, operation.imm, bus),
        Ok(Flow::NotTaken) => follow::<NEXT>(cpu, op, operation.aux, bus),
        Ok(Flow::To(rip)) => jump(cpu, rip, bus),
        Err(_) => slow(cpu, op, bus),
    }
}

/// The handler of a hot instruction that goes on to the next one, and of the hot one behind it.
pub(super) fn pair<A: Sem, B: Sem>(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: as in `fast`.
    let operation = unsafe { &*op };
    match A::run(&mut Fast(cpu), operation) {
        // SAFETY: pairs are made of operations that follow one another in a block.
        Ok(_) => fast::<B>(cpu, unsafe { op.add(1) }, bus),
        Err(_) => slow(cpu, op, bus),
    }
}

/// The handler of a hot vector instruction, or the slow form if that refuses.
pub(super) fn vector<V: Vector>(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: as in `fast`.
    let operation = unsafe { &*op };
    match V::run(cpu, operation) {
        Some(()) => next(cpu, op, bus),
        None => slow(cpu, op, bus),
    }
}

/// The handler of everything else.
#[inline(never)]
pub(super) fn slow(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    if slowly(cpu, op, bus) { next(cpu, op, bus) } else { std::ptr::null() }
}

/// Executes an operation in its slow form. Answers whether the block goes on.
fn slowly(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> bool {
    // SAFETY: inside a chain `engine.block` is the live block that `op` belongs to.
    let (block, index) = unsafe {
        let block = &*cpu.engine.block;
        (block, op.offset_from_unsigned(block.ops.as_ptr()))
    };
    cpu.engine.position.ahead_insns = block.len() - index as u32;
    cpu.engine.position.ahead_cycles = block.cold[index].cycles_ahead;
    let result = execute(cpu, block, index, bus);
    cpu.engine.position.ahead_insns = 0;
    cpu.engine.position.ahead_cycles = 0;
    match result {
        // Without a code page the next fetch has to translate its address.
        Ok(()) if !cpu.engine.leave && cpu.mmu.has_code_page() => true,
        Ok(()) => {
            refund(cpu, block, index + 1);
            cpu.rip = cpu.next_rip;
            false
        }
        Err(fault) => {
            refund(cpu, block, index);
            cpu.raise(bus, fault);
            false
        }
    }
}

/// Takes back what was charged for the operations from `index` on.
fn refund(cpu: &mut Cpu, block: &Block, index: usize) {
    if let Some(cold) = block.cold.get(index) {
        cpu.engine.position.insns -= u64::from(block.len()) - index as u64;
        cpu.engine.position.budget += i64::from(cold.cycles_ahead);
    }
}

/// On to the operation after `op`.
#[inline(always)]
fn next(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: `op` is not the sentinel, which never comes here.
    let op = unsafe { op.add(1) };
    goto(cpu, op, bus)
}

/// On to `op`: by a call that ends this handler, or by way of the loop in [`run`].
#[inline(always)]
fn goto(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    if !CHAINED {
        return op;
    }
    // SAFETY: an operation of a live block.
    let handler: Handler = unsafe { (*op).run };
    handler(cpu, op, bus)
}

/// Charges a block and starts it; leaves if the budget does not cover it.
#[inline(always)]
fn enter(cpu: &mut Cpu, block: *const Block, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: found, linked or cached in this generation: live.
    let found = unsafe { &*block };
    let left = cpu.engine.position.budget - i64::from(found.cycles);
    if left < 0 {
        return leave_at(cpu, found.gpa.page_offset());
    }
    cpu.engine.block = block;
    cpu.engine.position.budget = left;
    cpu.engine.position.insns += u64::from(found.len());
    goto(cpu, found.ops.as_ptr(), bus)
}

/// Leaves the chain; execution goes on at that offset from the code page.
#[cold]
fn leave_at(cpu: &mut Cpu, page_offset: u64) -> *const Op {
    cpu.rip = cpu.page_rip(page_offset);
    std::ptr::null()
}

/// Follows a direct branch, or the end of a block, to `page_offset` from the code page.
#[inline(always)]
fn follow<const LINK: usize>(
    cpu: &mut Cpu,
    op: *const Op,
    page_offset: u64,
    bus: &mut dyn CpuBus,
) -> *const Op {
    match linked(cpu, LINK) {
        Some(block) => enter(cpu, block, bus),
        None => unlinked(cpu, op, LINK, page_offset, bus),
    }
}

/// Where a link of the running block leads, with its page as the code page; `None` if it is not valid.
#[inline(always)]
fn linked(cpu: &mut Cpu, which: usize) -> Option<*const Block> {
    // SAFETY: as in `slowly`.
    let link = unsafe { (*cpu.engine.block).links[which].get() };
    let page = cpu.regs[CODE_PAGE as usize];
    if link.from_page == page {
        // Within the page that is being executed no translation is asked for.
        if link.to_page == page && link.code == cpu.engine.cache.generation() {
            return Some(link.block);
        }
        if link.generation == cpu.generation() || relink(cpu, which) {
            cpu.regs[CODE_PAGE as usize] = link.to_page;
            cpu.enter_code_page(link.block);
            return Some(link.block);
        }
    }
    None
}

/// Renews a link that was made before some translation was dropped, if the one that it goes through is still cached. Answers whether
/// it is.
#[inline(never)]
fn relink(cpu: &mut Cpu, which: usize) -> bool {
    // SAFETY: as in `slowly`.
    let place = unsafe { &(*cpu.engine.block).links[which] };
    let link = place.get();
    if link.code != cpu.engine.cache.generation() || !cpu.is_fetched_from(link.to_page, link.block) {
        return false;
    }
    place.set(Link { generation: cpu.generation(), ..link });
    true
}

/// A branch without a valid link: back to the run loop, which finds the target and links it.
#[cold]
#[inline(never)]
fn unlinked(cpu: &mut Cpu, op: *const Op, link: usize, page_offset: u64, bus: &mut dyn CpuBus) -> *const Op {
    let rip = cpu.page_rip(page_offset);
    if link == TAKEN && !is_canonical(rip) {
        let retired = slowly(cpu, op, bus);
        debug_assert!(!retired, "the slow form refuses the target");
        return std::ptr::null();
    }
    // SAFETY: as in `slowly`.
    let crossing = unsafe { (*cpu.engine.block).crossing };
    if !crossing && cpu.engine.mode.flat_code() {
        let from_page = cpu.regs[CODE_PAGE as usize];
        let generation = cpu.generation();
        cpu.engine.unlinked = Some(Unlinked { block: cpu.engine.block, link, from_page, rip, generation });
    }
    leave_to(cpu, rip)
}

/// Leaves the chain for `rip`.
fn leave_to(cpu: &mut Cpu, rip: u64) -> *const Op {
    cpu.rip = rip;
    std::ptr::null()
}

/// Whether an entry of the jump cache that was made before some translation was dropped still leads to the same code: in another
/// address space it may not. If the instruction TLB says so the entry is renewed.
#[inline(never)]
fn renew_jump(cpu: &mut Cpu, slot: usize) -> bool {
    let jump = cpu.engine.cache.jumps[slot];
    if jump.page == cpu.regs[CODE_PAGE as usize] {
        // Says nothing about the TLB, so the entry stays as old as it is.
        // SAFETY: the running block is live, as in `slowly`; the caller has compared the generation of decoded code.
        return unsafe { (*jump.block).gpa.page_base() == (*cpu.engine.block).gpa.page_base() };
    }
    let same = cpu.is_fetched_from(jump.page, jump.block);
    if same {
        cpu.engine.cache.jumps[slot].generation = cpu.generation();
    }
    same
}

/// Follows a computed branch by the jump cache.
#[inline(always)]
fn jump(cpu: &mut Cpu, rip: u64, bus: &mut dyn CpuBus) -> *const Op {
    match jumped(cpu, rip) {
        Some(block) => enter(cpu, block, bus),
        None => leave_to(cpu, rip),
    }
}

/// The block at `rip`, with its page as the code page, if the jump cache has it.
#[inline(always)]
fn jumped(cpu: &mut Cpu, rip: u64) -> Option<*const Block> {
    let mode = cpu.engine.mode;
    let slot = BlockCache::jump_slot(rip, mode);
    let jump = cpu.engine.cache.jumps[slot];
    if jump.rip == rip
        && jump.mode == mode
        && jump.code == cpu.engine.cache.generation()
        && (jump.generation == cpu.generation() || renew_jump(cpu, slot))
    {
        if jump.page != cpu.regs[CODE_PAGE as usize] {
            cpu.regs[CODE_PAGE as usize] = jump.page;
            cpu.enter_code_page(jump.block);
        }
        return Some(jump.block);
    }
    None
}

/// For compiled code: an operation of `block` in its slow form. Answers whether the block goes on.
pub(super) fn slow_in(cpu: &mut Cpu, block: *const Block, op: *const Op, bus: &mut dyn CpuBus) -> bool {
    cpu.engine.block = block;
    slowly(cpu, op, bus)
}

/// For compiled code: the block that a link of `block` leads to. Null if it has to be found: then the chain is left.
pub(super) fn follow_from(
    cpu: &mut Cpu,
    block: *const Block,
    link: usize,
    bus: &mut dyn CpuBus,
) -> *const Block {
    cpu.engine.block = block;
    if let Some(target) = linked(cpu, link) {
        return target;
    }
    // SAFETY: the running block is live.
    let block = unsafe { &*block };
    let last = block.cold.len() - 1;
    let page_offset = match link {
        TAKEN => block.ops[last].imm,
        _ => block.ops[last + 1].aux,
    };
    unlinked(cpu, &raw const block.ops[last], link, page_offset, bus);
    std::ptr::null()
}

/// For compiled code: the block at `rip`, or null with the chain left.
pub(super) fn jump_from(cpu: &mut Cpu, block: *const Block, rip: u64) -> *const Block {
    cpu.engine.block = block;
    jumped(cpu, rip).unwrap_or_else(|| leave_to(cpu, rip).cast())
}

/// Takes back what [`enter`] charged.
pub(super) fn uncharge(cpu: &mut Cpu, block: &Block) {
    cpu.engine.position.budget += i64::from(block.cycles);
    cpu.engine.position.insns -= u64::from(block.len());
}

/// As [`enter`], but only answers where to go on.
pub(super) fn enter_only(cpu: &mut Cpu, block: *const Block) -> *const Op {
    // SAFETY: as in `enter`.
    let found = unsafe { &*block };
    let left = cpu.engine.position.budget - i64::from(found.cycles);
    if left < 0 {
        return leave_at(cpu, found.gpa.page_offset());
    }
    cpu.engine.block = block;
    cpu.engine.position.budget = left;
    cpu.engine.position.insns += u64::from(found.len());
    found.ops.as_ptr()
}

/// Goes on with an operation of the running block, which compiled code has stopped in front of.
#[inline(always)]
pub(super) fn resume(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: as in `slowly`.
    let block = unsafe { &*cpu.engine.block };
    if op == block.ops.as_ptr() {
        return (block.first)(cpu, op, bus);
    }
    goto(cpu, op, bus)
}

/// The end of a block whose last instruction has not decided where to go.
fn fall_through(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: as in `fast`.
    let page_offset = unsafe { (*op).aux };
    follow::<NEXT>(cpu, op, page_offset, bus)
}

/// The end of a block whose last instruction has set `next_rip`.
fn go_where_told(cpu: &mut Cpu, _: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    let rip = cpu.next_rip;
    jump(cpu, rip, bus)
}

/// The operation behind a block's last: `ended` if that one is a branch or has set `next_rip`.
pub(super) fn sentinel(next_offset: u64, ended: bool) -> Op {
    Op {
        run: if ended { go_where_told } else { fall_through },
        imm: 0,
        aux: next_offset,
        dst: ZERO,
        src: ZERO,
        base: ZERO,
        index: ZERO,
        seg_base: ZERO,
        scale: 0,
        offset: 0,
    }
}

impl Engine {
    /// Remembers how RIP was reached, so that the next time needs no lookup.
    pub(super) fn remember(&mut self, unlinked: Option<Unlinked>, jump: Jump) {
        // SAFETY: `jump.block` was just found.
        let target = unsafe { &*jump.block };
        if target.crossing || !self.mode.flat_code() {
            return;
        }
        let slot = BlockCache::jump_slot(jump.rip, jump.mode);
        self.cache.jumps[slot] = jump;
        let same = |from: &Unlinked| from.rip == jump.rip && from.generation == jump.generation;
        if let Some(from) = unlinked.filter(same) {
            // SAFETY: no block was dropped in this generation.
            let block = unsafe { &*from.block };
            if block.mode == jump.mode {
                let link = Link {
                    block: jump.block,
                    from_page: from.from_page,
                    to_page: jump.page,
                    generation: jump.generation,
                    code: jump.code,
                };
                block.links[from.link].set(link);
            }
        }
    }
}

impl Cpu {
    /// RIP at an offset from the code page.
    #[inline(always)]
    fn page_rip(&self, page_offset: u64) -> u64 {
        let rip = self.regs[CODE_PAGE as usize].wrapping_add(page_offset);
        if self.engine.mode.is_64() { rip } else { rip & 0xffff_ffff }
    }

    /// The generation of translations and of decoded code together: it grows when either does.
    #[inline(always)]
    pub(super) fn generation(&self) -> u64 {
        self.engine.cache.generation().wrapping_add(self.mmu.code_generation())
    }

    /// The page of `block` becomes the current code page, as fetching from it would make it. Code is flat. If the budget
    /// does not cover the block, nothing is fetched yet: the run may end before it.
    #[inline(never)]
    fn enter_code_page(&mut self, block: *const Block) {
        // SAFETY: a link's or the jump cache's target, in its generation.
        let (gpa, cycles) = unsafe { ((*block).gpa.page_base(), (*block).cycles) };
        if self.engine.position.budget < i64::from(cycles) {
            return;
        }
        let lin = self.regs[CODE_PAGE as usize];
        self.mmu.enter_code_page(lin, gpa, self.cpl == 3);
    }

    /// Whether fetching from the linear page, by a translation that is cached, gives what `block` was decoded from.
    #[inline(never)]
    fn is_fetched_from(&self, page: u64, block: *const Block) -> bool {
        // SAFETY: the caller has compared the generation of decoded code.
        let gpa = unsafe { (*block).gpa.page_base() };
        self.cached_fetch(Lin(page)) == Some(gpa)
    }

    /// The block that was found for RIP is remembered.
    pub(super) fn link_to(&mut self, block: *const Block) {
        let jump = Jump {
            rip: self.rip,
            mode: self.engine.mode,
            generation: self.generation(),
            code: self.engine.cache.generation(),
            block,
            page: self.regs[CODE_PAGE as usize],
        };
        let unlinked = self.engine.unlinked.take();
        self.engine.remember(unlinked, jump);
    }

    /// Whether the budget covers all of `block`, and CS all of its bytes; otherwise the stepper goes on.
    pub(super) fn can_run_whole(&self, block: *const Block) -> bool {
        // SAFETY: just found.
        let block = unsafe { &*block };
        self.engine.position.budget >= i64::from(block.cycles) && self.check_code_limit(block.span()).is_ok()
    }

    /// #GP(0) if fewer than `len` bytes from RIP on are inside CS.
    fn check_code_limit(&self, len: u64) -> Result<(), Fault> {
        let limit = u64::from(self.seg(crate::cpu::regs::Seg::Cs).limit);
        let inside = self.engine.mode.flat_code() || self.rip.saturating_add(len - 1) <= limit;
        if inside { Ok(()) } else { Err(Fault::GP0) }
    }
}
