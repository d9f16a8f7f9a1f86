//! Runs programs on our processor, in 64-bit mode without a system.

use crate::area::{AREA_LEN, Area, Program, SLOT};
use emu_core::cpu::{Cpu, CpuConfig, Exit, regs};
use emu_core::testing::{FlatBus, identity_map, long_mode};
use emu_core::{Gpa, VirtTime};

const TABLES: u64 = 0x1000;
const AREA: u64 = 0x1_0000;
const STACK: u64 = 0x1_2000;
/// Where programs return to.
const END: u64 = 0x1_3000;
const CODE: u64 = 0x2_0000;
const MEMORY: u64 = 0x10_0000;
/// No program takes more instructions.
const INSNS_MAX: u64 = 100;

/// Our processor, with programs in its memory.
pub(crate) struct Guest {
    cpu: Box<Cpu>,
    bus: FlatBus,
}

impl Guest {
    pub(crate) fn new(programs: &[Program]) -> Self {
        let mut bus = FlatBus::new(MEMORY);
        let mut cpu = Cpu::new(CpuConfig::default());
        identity_map(&mut bus.mem, Gpa(TABLES));
        long_mode(&mut cpu, Gpa(TABLES));
        // out 0xf4, al
        bus.put(END, &[0xe6, 0xf4]);
        bus.put(STACK, &END.to_le_bytes());
        for (slot, program) in (0..).zip(programs) {
            bus.put(CODE + slot * SLOT as u64, &program.bytes);
        }
        Self { cpu, bus }
    }

    /// Executes a program on an area.
    pub(crate) fn run(&mut self, program: usize, area: &mut Area) {
        self.bus.put(AREA, area);
        self.bus.out.clear();
        self.bus.records.clear();
        self.cpu.set_gpr(regs::RSP, STACK);
        self.cpu.set_gpr(regs::RDI, AREA);
        self.cpu.set_rip(CODE + (program * SLOT) as u64);
        let limit = self.cpu.insns() + INSNS_MAX;
        let exit = self.cpu.run(&mut self.bus, VirtTime(u64::MAX), limit);
        assert_eq!(exit, Exit::Device, "program {program} stopped at {:#x}", self.cpu.rip());
        let mut after = [0; AREA_LEN];
        self.bus.mem.read(Gpa(AREA), &mut after).expect("inside memory");
        *area = after;
    }
}
