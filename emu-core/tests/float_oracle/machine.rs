//! Our processor under a system that is nothing but a handler for every exception: for what only a system may do, or may see.

use emu_core::cpu::regs::{RSP, TableRegister};
use emu_core::cpu::{Cpu, CpuConfig, Exit};
use emu_core::testing::{FlatBus, identity_map, long_mode};
use emu_core::{Gpa, VirtTime};

pub(crate) const TABLES: u64 = 0x1000;
const GDT: u64 = 0x8000;
const IDT: u64 = 0x9000;
const HANDLERS: u64 = 0xa000;
const HANDLER_STEP: u64 = 16;
pub(crate) const CODE: u64 = 0xc000;
pub(crate) const DATA: u64 = 0xd000;
const STACK: u64 = 0xf000;
const MEMORY: u64 = 0x40_0000;

pub(crate) const UNDEFINED: u8 = 6;
pub(crate) const NOT_AVAILABLE: u8 = 7;
pub(crate) const X87_ERROR: u8 = 16;
pub(crate) const SIMD_ERROR: u8 = 19;
pub(crate) const GENERAL_PROTECTION: u8 = 13;
pub(crate) const PAGE_FAULT: u8 = 14;

/// A processor and its memory.
pub(crate) struct Machine {
    pub(crate) cpu: Box<Cpu>,
    pub(crate) bus: FlatBus,
}

impl Machine {
    /// In 64-bit mode, with a handler for every exception.
    pub(crate) fn new() -> Self {
        let mut bus = FlatBus::new(MEMORY);
        let mut cpu = Cpu::new(CpuConfig::default());
        identity_map(&mut bus.mem, Gpa(TABLES));
        long_mode(&mut cpu, Gpa(TABLES));
        for (n, descriptor) in (0..).zip([0u64, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff]) {
            bus.put(GDT + n * 8, &descriptor.to_le_bytes());
        }
        for vector in 0..32 {
            let handler = HANDLERS + vector * HANDLER_STEP;
            bus.put(IDT + vector * 16, &(handler | 8 << 16 | 0x8e00 << 32).to_le_bytes());
            // out 0xf4, al
            bus.put(handler, &[0xe6, 0xf4]);
        }
        cpu.set_gdtr(TableRegister { base: GDT, limit: 23 });
        cpu.set_idtr(TableRegister { base: IDT, limit: 32 * 16 - 1 });
        Self { cpu, bus }
    }

    /// Executes an instruction; answers the exception that it raised.
    pub(crate) fn run(&mut self, insn: &[u8]) -> Option<u8> {
        // Behind it: out 0xf4, al
        self.bus.put(CODE, &[insn, &[0xe6, 0xf4]].concat());
        self.cpu.set_gpr(RSP, STACK);
        self.cpu.set_rip(CODE);
        let limit = self.cpu.insns() + 10;
        let exit = self.cpu.run(&mut self.bus, VirtTime(u64::MAX), limit);
        assert_eq!(exit, Exit::Device, "{insn:02x?} stopped at {:#x}", self.cpu.rip());
        let handler = self.cpu.rip().wrapping_sub(HANDLERS);
        (handler < 32 * HANDLER_STEP).then_some((handler / HANDLER_STEP) as u8)
    }

    /// Sets general registers.
    pub(crate) fn set_registers(&mut self, values: &[(u8, u64)]) {
        for (register, value) in values {
            self.cpu.set_gpr(*register, *value);
        }
    }
}
