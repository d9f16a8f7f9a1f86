//! A processor's world without a machine: memory, and ports and device registers that only remember.

use crate::access::Width;
use crate::addr::Gpa;
use crate::cpu::regs::{Seg, Segment, rights};
use crate::cpu::{ApicGp, Attention, Cpu, CpuBus, Reply, Stamp, control};
use crate::mem::PhysMem;
use crate::time::VirtDuration;
use crate::trace::{RecordId, TraceEvent};

/// Memory and little else. Device registers and ports read as all-ones.
#[derive(Debug)]
pub struct FlatBus {
    /// Guest memory.
    pub mem: PhysMem,
    /// What the processor sees as waiting; consumed when taken.
    pub attention: Option<Attention>,
    /// Vector that the next acknowledge answers.
    pub vector: u8,
    /// It answers none: INTR has gone.
    pub gone: bool,
    /// The processor is the bootstrap processor.
    pub bootstrap: bool,
    /// OUTs: port, width, value.
    pub out: Vec<(u16, Width, u32)>,
    /// Stores to where there is no memory: address, width, value.
    pub stores: Vec<(Gpa, Width, u64)>,
    /// What the processor reported, with the instruction count.
    pub records: Vec<(u64, TraceEvent)>,
    /// CR8.
    pub cr8: u64,
}

impl FlatBus {
    /// With `bytes` of RAM.
    ///
    /// # Panics
    /// If the host can't map that much.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test without memory can't go on")]
    pub fn new(bytes: u64) -> Self {
        Self {
            mem: PhysMem::new(bytes).expect("guest memory"),
            attention: None,
            vector: 0,
            gone: false,
            bootstrap: false,
            out: Vec::new(),
            stores: Vec::new(),
            records: Vec::new(),
            cr8: 0,
        }
    }

    /// Puts bytes into memory.
    ///
    /// # Panics
    /// If there is no memory.
    #[allow(clippy::expect_used, reason = "a mistake in the test")]
    pub fn put(&mut self, gpa: u64, bytes: &[u8]) {
        self.mem.write(Gpa(gpa), bytes).expect("inside memory");
    }

    fn record(&mut self, at: Stamp, event: TraceEvent) -> RecordId {
        self.records.push((at.insns, event));
        RecordId(self.records.len() as u64 - 1)
    }
}

impl CpuBus for FlatBus {
    fn mem(&mut self) -> &mut PhysMem {
        &mut self.mem
    }

    fn mem_ref(&self) -> &PhysMem {
        &self.mem
    }

    fn mmio_read(&mut self, _: Stamp, _: Gpa, width: Width) -> Reply {
        Reply { value: width.mask(), cost: VirtDuration::ZERO }
    }

    fn mmio_write(&mut self, _: Stamp, gpa: Gpa, width: Width, value: u64) -> Reply {
        self.stores.push((gpa, width, value));
        Reply { value: 0, cost: VirtDuration::ZERO }
    }

    fn port_read(&mut self, _: Stamp, _: u16, width: Width) -> Reply {
        Reply { value: width.mask(), cost: VirtDuration::ZERO }
    }

    fn port_write(&mut self, _: Stamp, port: u16, width: Width, value: u32) -> Reply {
        self.out.push((port, width, value));
        Reply { value: 0, cost: VirtDuration::ZERO }
    }

    fn attention(&self) -> Option<Attention> {
        self.attention
    }

    fn take_attention(&mut self, _: Stamp, _: Attention) {
        self.attention = None;
    }

    fn acknowledge(&mut self, _: Stamp) -> Option<(u8, Option<RecordId>)> {
        self.attention = None;
        (!self.gone).then_some((self.vector, None))
    }

    fn apic_msr_read(&mut self, _: Stamp, msr: u32) -> Result<u64, ApicGp> {
        // There is no APIC; only IA32_APIC_BASE tells that the processor is the first.
        if msr == 0x1b && self.bootstrap { Ok(0xfee0_0100) } else { Err(ApicGp) }
    }

    fn apic_msr_write(&mut self, _: Stamp, _: u32, _: u64) -> Result<(), ApicGp> {
        Err(ApicGp)
    }

    fn set_tsc_offset(&mut self, _: Stamp, _: u64) {}

    fn cr8(&self) -> u64 {
        self.cr8
    }

    fn set_cr8(&mut self, _: Stamp, value: u64) {
        self.cr8 = value;
    }

    fn trace(&mut self, at: Stamp, event: TraceEvent) -> RecordId {
        self.record(at, event)
    }

    fn enter_interrupt(&mut self, at: Stamp, vector: u8, rip: u64, _: Option<RecordId>) {
        self.record(at, TraceEvent::CpuInterrupt { vector, rip });
    }

    fn leave_interrupt(&mut self, at: Stamp, rip: u64) {
        self.record(at, TraceEvent::CpuIret { rip });
    }
}

/// Writes 4-level tables that map the low 4 GiB onto themselves by 2 MiB pages, user and writable, in 6 pages from `at`.
pub fn identity_map(mem: &mut PhysMem, at: Gpa) {
    const PRESENT_WRITE_USER: u64 = 7;
    const LARGE: u64 = 1 << 7;
    let mut put = |gpa: u64, value: u64| {
        // Outside of memory nothing is mapped, and the test that asked for it sees page faults.
        let _ = mem.write(Gpa(gpa), &value.to_le_bytes());
    };
    put(at.0, (at.0 + 0x1000) | PRESENT_WRITE_USER);
    for directory in 0..4 {
        let table = at.0 + 0x2000 + directory * 0x1000;
        put(at.0 + 0x1000 + directory * 8, table | PRESENT_WRITE_USER);
        for entry in 0..512 {
            put(table + entry * 8, (directory << 30 | entry << 21) | PRESENT_WRITE_USER | LARGE);
        }
    }
}

/// Puts a processor in 64-bit mode at CPL 0 with flat segments and the tables at `tables`, as a boot loader would.
pub fn long_mode(cpu: &mut Cpu, tables: Gpa) {
    use control::{cr0, cr4, efer};
    let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE;
    cpu.set_control(controls, tables.0, cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT, efer::LME | efer::NXE);
    let data = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::DB | rights::G;
    for seg in Seg::ALL {
        let (selector, rights) =
            if seg == Seg::Cs { (8, (data & !rights::DB) | rights::CODE | rights::L) } else { (16, data) };
        cpu.set_seg(seg, 0, Segment { selector, limit: u32::MAX, rights, null: false });
    }
}
