//! The processor's tests: programs in machine code on a bus of memory and nothing else.

mod calls;
mod control;
mod debug;
mod engine;
mod far;
mod features;
mod general;
mod guest;
mod interrupt;
mod iret;
mod mapped;
mod paging;
mod privilege;
mod segments;
mod task;
mod tlb;
mod undefined;
mod vm86;
mod wakeup;

use super::control::cr0;
use super::regs::{Seg, Segment, rights};
use super::{Cpu, CpuConfig};
use crate::addr::Gpa;
use crate::testing::{FlatBus, identity_map, long_mode};
use crate::time::VirtTime;

/// Where test programs start.
const CODE: u64 = 0x10_0000;
/// Top of their stack.
const STACK: u64 = 0x20_0000;
/// Page tables.
const TABLES: u64 = 0x1000;

/// A processor in 64-bit mode at [`CODE`] with `program` there.
fn long(program: &[u8]) -> (Box<Cpu>, FlatBus) {
    let mut bus = FlatBus::new(16 << 20);
    identity_map(&mut bus.mem, Gpa(TABLES));
    bus.put(CODE, program);
    let mut cpu = Cpu::new(CpuConfig::default());
    long_mode(&mut cpu, Gpa(TABLES));
    cpu.set_rip(CODE);
    cpu.set_gpr(4, STACK);
    (cpu, bus)
}

/// A processor in flat 32-bit protected mode, without paging, at [`CODE`] with `program` there.
fn protected(program: &[u8]) -> (Box<Cpu>, FlatBus) {
    let mut bus = FlatBus::new(16 << 20);
    bus.put(CODE, program);
    let mut cpu = Cpu::new(CpuConfig::default());
    cpu.set_control(cr0::PE, 0, 0, 0);
    let data = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::DB | rights::G;
    for seg in Seg::ALL {
        let (selector, rights) = if seg == Seg::Cs { (8, data | rights::CODE) } else { (16, data) };
        cpu.set_seg(seg, 0, Segment { selector, limit: u32::MAX, rights, null: false });
    }
    cpu.set_rip(CODE);
    cpu.set_gpr(4, STACK);
    (cpu, bus)
}

/// Where real-mode programs start: offset 0x100 of a segment at 0x2000; the others are at 0.
const REAL_CODE: u64 = 0x2_0100;

/// A processor in real mode at [`REAL_CODE`] with `program` there, and its stack below 0x8000.
fn real(program: &[u8]) -> (Box<Cpu>, FlatBus) {
    let mut bus = FlatBus::new(1 << 20);
    bus.put(REAL_CODE, program);
    let mut cpu = Cpu::new(CpuConfig::default());
    let code = Segment { selector: 0x2000, ..*cpu.seg(Seg::Cs) };
    cpu.set_seg(Seg::Cs, 0x2_0000, code);
    cpu.set_rip(0x100);
    cpu.set_gpr(4, 0x8000);
    (cpu, bus)
}

/// Executes `insns` more instructions, or stops sooner if the processor does.
fn execute(cpu: &mut Cpu, bus: &mut FlatBus, insns: u64) {
    let limit = cpu.insns() + insns;
    while cpu.insns() < limit {
        match cpu.run(bus, VirtTime(u64::MAX), limit) {
            super::Exit::Device => {}
            super::Exit::Deadline
            | super::Exit::InsnLimit
            | super::Exit::Halted
            | super::Exit::Shutdown
            | super::Exit::Livelock
            | super::Exit::Breakpoint
            | super::Exit::Watchpoint => break,
        }
    }
}
