//! The processor's tests: programs in machine code on a bus of memory and nothing else.

mod engine;

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

/// Executes `insns` more instructions, or stops sooner if the processor does.
fn execute(cpu: &mut Cpu, bus: &mut FlatBus, insns: u64) {
    let limit = cpu.insns() + insns;
    while cpu.insns() < limit {
        match cpu.run(bus, VirtTime(u64::MAX), limit) {
            super::Exit::Device => {}
            super::Exit::Deadline | super::Exit::InsnLimit | super::Exit::Halted | super::Exit::Shutdown => {
                break;
            }
        }
    }
}
