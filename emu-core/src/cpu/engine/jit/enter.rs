//! Into compiled code and back. One of the few modules with unsafe code.
//!
//! What makes it sound: an entry address is that of a function that [`super::translate`] wrote for the very block that it is found in,
//! and its code is freed only by the run loop, when none of it runs and no block has an address in it any more. Compiled code touches
//! fields of the processor at the offsets in [`super::layout`], fields of live blocks, and host memory behind a TLB tag that it has
//! compared, as [`crate::cpu::mmu`]'s fast path does. While it runs, Rust code works on the processor only inside helpers, which get it by
//! the same address.
#![allow(unsafe_code, reason = "compiled code is called by address and calls back with addresses")]

use super::Helpers;
use super::translate::BLOCK;
use crate::cpu::engine::block::{Block, Op};
use crate::cpu::engine::dispatch;
use crate::cpu::sem::vector::Vector;
use crate::cpu::{Cpu, CpuBus};

/// What helpers need beside the processor.
struct Around<'a> {
    bus: &'a mut dyn CpuBus,
}

/// The function in front of all: processor, [`Around`], block, its entry.
type Entrance = unsafe extern "C" fn(*mut Cpu, *mut Around<'_>, *const Block, usize) -> u64;

/// An operation's fast form: answers whether it did it.
pub(in crate::cpu::engine) type Quick = unsafe extern "C" fn(*mut Cpu, *const Op) -> u64;

/// The fast form of `V`.
///
/// # Safety
/// Both addresses must be live, and nothing else work on the processor.
pub(in crate::cpu::engine) unsafe extern "C" fn quick<V: Vector>(cpu: *mut Cpu, op: *const Op) -> u64 {
    // SAFETY: the caller vouches for both.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    u64::from(V::run(cpu, op).is_some())
}

/// An operation's slow form: answers whether the block goes on.
unsafe extern "C" fn slow(cpu: *mut Cpu, around: *mut Around<'_>, block: *const Block, op: *const Op) -> u64 {
    // SAFETY: compiled code passes on what it was called with, and an operation of the block that it was compiled from.
    let (cpu, around) = unsafe { (&mut *cpu, &mut *around) };
    u64::from(dispatch::slow_in(cpu, block, op, around.bus))
}

/// The block that a link leads to, or null with the chain left.
unsafe extern "C" fn follow(
    cpu: *mut Cpu,
    around: *mut Around<'_>,
    block: *const Block,
    link: u64,
) -> *const Block {
    // SAFETY: as in `slow`.
    let (cpu, around) = unsafe { (&mut *cpu, &mut *around) };
    dispatch::follow_from(cpu, block, link as usize, around.bus)
}

/// The block at an address, or null with the chain left.
unsafe extern "C" fn jump(cpu: *mut Cpu, block: *const Block, rip: u64) -> *const Block {
    // SAFETY: as in `slow`.
    let cpu = unsafe { &mut *cpu };
    dispatch::jump_from(cpu, block, rip)
}

/// Where these are.
pub(super) fn helpers() -> Helpers {
    let (slow, follow, jump) = (slow as *const (), follow as *const (), jump as *const ());
    Helpers { slow: slow.addr(), follow: follow.addr(), jump: jump.addr() }
}

/// The handler of a block's first operation in the compiled tier: runs its code, or counts towards there being some.
pub(in crate::cpu::engine) fn gate(cpu: &mut Cpu, op: *const Op, bus: &mut dyn CpuBus) -> *const Op {
    // SAFETY: inside a chain `engine.block` is the live block that `op` belongs to.
    let block = unsafe { &*cpu.engine.block };
    if block.entry.get() == 0 {
        heat(cpu, block);
        return (block.first)(cpu, op, bus);
    }
    let op = run(cpu, bus);
    if op.is_null() { op } else { dispatch::resume(cpu, op, bus) }
}

/// Counts a run of a block, and compiles it if it was the last before that.
#[inline(always)]
fn heat(cpu: &mut Cpu, block: &Block) {
    match block.hot.get() {
        0 => {}
        1 => {
            block.hot.set(0);
            compile(cpu, block);
        }
        left => block.hot.set(left - 1),
    }
}

#[cold]
#[inline(never)]
fn compile(cpu: &mut Cpu, block: &Block) {
    if let Some(jit) = &mut cpu.engine.jit {
        jit.compile(block);
    }
}

/// Runs compiled code from the block that was just entered. Answers the operation to go on with, or null.
// Not part of the handler: that has to end in a jump, so nothing of its own may be lent by address.
#[inline(never)]
fn run(cpu: &mut Cpu, bus: &mut dyn CpuBus) -> *const Op {
    let block = cpu.engine.block;
    let Some(entrance) = cpu.engine.jit.as_ref().map(|jit| jit.entrance) else { return std::ptr::null() };
    // SAFETY: as in `gate`.
    let entry = unsafe {
        dispatch::uncharge(cpu, &*block);
        (*block).entry.get()
    };
    let mut around = Around { bus };
    // SAFETY: `entrance` is the address of a function that was compiled with this signature; the rest as the module says.
    let answer = unsafe {
        let entrance: Entrance = std::mem::transmute(std::ptr::with_exposed_provenance::<()>(entrance));
        entrance(cpu, &raw mut around, block, entry)
    };
    let address = std::ptr::with_exposed_provenance::<u8>((answer & !BLOCK) as usize);
    if answer & BLOCK == 0 {
        return address.cast();
    }
    let block = address.cast::<Block>();
    let op = dispatch::enter_only(cpu, block);
    if !op.is_null() {
        // SAFETY: a link's or the jump cache's target, in its generation.
        heat(cpu, unsafe { &*block });
    }
    op
}
