//! Runs a case on our processor: at CPL 3 in 64-bit mode, under a kernel that is nothing but a descriptor table and one
//! OUT for each exception.

use crate::case::{
    Bits, CODE, CODE_LEN, CPU_NUMBER, Case, DATA, INT3, Outcome, READ_ONLY_LEN, Segments, State, USER_CS_32,
    USER_CS_64, WRITABLE_LEN, X87State, read_only_bytes,
};
use emu_core::cpu::control::{cr0, cr4, efer};
use emu_core::cpu::regs::{RSP, Seg, Segment, SystemSegment, TableRegister, rights};
use emu_core::cpu::softfloat::Extended;
use emu_core::cpu::{Cpu, CpuConfig, Exit, X87};
use emu_core::testing::FlatBus;
use emu_core::{Gpa, PAGE_SIZE, VirtTime};

/// Where physical memory is mapped for the kernel.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// Physical addresses: page tables grow from the first.
const TABLES: u64 = 0x1000;
const GDT: u64 = 0x4_0000;
const IDT: u64 = 0x4_1000;
const TSS: u64 = 0x4_2000;
const STACK_TOP: u64 = 0x4_4000;
const HANDLERS: u64 = 0x4_4000;
const KERNEL_END: u64 = 0x4_5000;
const CODE_AT: u64 = 0x5_0000;
const DATA_AT: u64 = 0x6_0000;
const MEMORY: u64 = 0x10_0000;
/// Bytes from one handler to the next.
const HANDLER_STEP: u64 = 16;

/// Those that a program may load, in the order of [`Segments::selectors`].
const SEGMENTS: [Seg; 5] = [Seg::Es, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs];

/// Selectors are as Linux has them, so that a pushed or moved one is the same.
const KERNEL_CS: u16 = 0x10;
const TSS_SELECTOR: u16 = 0x40;

/// A case never takes more instructions: iterations of a repeated one, INT3, OUT.
const INSNS_MAX: u64 = 100_000;

mod entry {
    pub(crate) const P: u64 = 1;
    pub(crate) const RW: u64 = 2;
    pub(crate) const US: u64 = 4;
    pub(crate) const XD: u64 = 1 << 63;
}

/// Our processor.
pub(crate) struct Guest {
    cpu: Box<Cpu>,
    bus: FlatBus,
    last: (u64, usize),
    next_table: u64,
}

impl Guest {
    /// A processor under its kernel.
    /// `cpu_number` is what Linux has made the limit of that segment.
    pub(crate) fn new(cpu_number: u32) -> Self {
        let mut guest = Self {
            cpu: Cpu::new(CpuConfig::default()),
            bus: FlatBus::new(MEMORY),
            last: (CODE_AT, 0),
            next_table: TABLES + PAGE_SIZE,
        };
        for page in (0..KERNEL_END).step_by(PAGE_SIZE as usize) {
            guest.map(KERNEL + page, page, entry::RW);
        }
        for page in (0..CODE_LEN as u64).step_by(PAGE_SIZE as usize) {
            guest.map(CODE + page, CODE_AT + page, entry::US);
        }
        for page in (0..(WRITABLE_LEN + READ_ONLY_LEN) as u64).step_by(PAGE_SIZE as usize) {
            let writable = if page < WRITABLE_LEN as u64 { entry::RW } else { 0 };
            guest.map(DATA + page, DATA_AT + page, entry::US | entry::XD | writable);
        }
        guest.bus.put(CODE_AT, &[INT3; CODE_LEN]);
        guest.bus.put(DATA_AT + WRITABLE_LEN as u64, &read_only_bytes());
        guest.write_kernel(cpu_number);
        guest.enter();
        guest
    }

    /// Maps a page.
    fn map(&mut self, lin: u64, gpa: u64, bits: u64) {
        let mut table = TABLES;
        for shift in [39, 30, 21] {
            let at = table + (lin >> shift & 0x1ff) * 8;
            let mut next = self.read(at);
            if next == 0 {
                next = self.next_table | entry::P | entry::RW | entry::US;
                self.next_table += PAGE_SIZE;
                assert!(self.next_table <= GDT, "room for tables");
                self.bus.put(at, &next.to_le_bytes());
            }
            table = next & !(PAGE_SIZE - 1);
        }
        self.bus.put(table + (lin >> 12 & 0x1ff) * 8, &(gpa | bits | entry::P).to_le_bytes());
    }

    fn read(&self, gpa: u64) -> u64 {
        let mut bytes = [0; 8];
        self.bus.mem.read(Gpa(gpa), &mut bytes).expect("inside memory");
        u64::from_le_bytes(bytes)
    }

    /// Descriptors, gates and handlers.
    fn write_kernel(&mut self, cpu_number: u32) {
        // Kernel code and data, 32-bit user code, user data and code: flat.
        let descriptors: [u64; 7] = [
            0,
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00cf_fb00_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
        ];
        for (n, descriptor) in (0..).zip(descriptors) {
            self.bus.put(GDT + n * 8, &descriptor.to_le_bytes());
        }
        // Read-only, growing down, of 32 bits, for programs.
        let number =
            0x0040_f500_0000_0000 | u64::from(cpu_number & 0xffff) | u64::from(cpu_number >> 16) << 48;
        self.bus.put(GDT + u64::from(CPU_NUMBER & !7), &number.to_le_bytes());
        self.bus.put(TSS + 4, &(KERNEL + STACK_TOP).to_le_bytes());
        // No I/O map: it would start behind the segment.
        self.bus.put(TSS + 0x66, &0x68u16.to_le_bytes());
        for vector in 0..256 {
            let handler = KERNEL + HANDLERS + vector * HANDLER_STEP;
            // A present interrupt gate that INT3 may use.
            let low =
                handler & 0xffff | u64::from(KERNEL_CS) << 16 | 0xee00 << 32 | (handler >> 16 & 0xffff) << 48;
            self.bus.put(IDT + vector * 16, &low.to_le_bytes());
            self.bus.put(IDT + vector * 16 + 8, &(handler >> 32).to_le_bytes());
            // out 0xf4, al
            self.bus.put(HANDLERS + vector * HANDLER_STEP, &[0xe6, 0xf4]);
        }
    }

    fn enter(&mut self) {
        let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE | cr0::AM | cr0::MP;
        let extensions = cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE | cr4::FSGSBASE;
        self.cpu.set_control(controls, TABLES, extensions, efer::LME | efer::NXE | efer::SCE);
        const X87_SSE_AND_AVX: u64 = 7;
        self.cpu.set_xcr0(X87_SSE_AND_AVX);
        self.cpu.set_gdtr(TableRegister { base: KERNEL + GDT, limit: 8 * 16 - 1 });
        self.cpu.set_idtr(TableRegister { base: KERNEL + IDT, limit: 0xfff });
        let busy = 11;
        let task = SystemSegment {
            selector: TSS_SELECTOR,
            base: KERNEL + TSS,
            limit: 0x67,
            rights: rights::P | busy,
            null: false,
        };
        self.cpu.set_tr(task);
        self.cpu.set_ldtr(SystemSegment { selector: 0, null: true, ..task });
    }

    /// Executes the case.
    pub(crate) fn run(&mut self, case: &Case) -> Outcome {
        self.bus.put(self.last.0, &vec![INT3; self.last.1]);
        self.last = (case.state.rip - CODE + CODE_AT, case.code.len());
        self.bus.put(self.last.0, &case.code);
        self.bus.put(DATA_AT, &case.memory);
        self.bus.out.clear();
        self.bus.records.clear();
        self.load(&case.state, case.bits);
        let limit = self.cpu.insns() + INSNS_MAX;
        let exit = self.cpu.run(&mut self.bus, VirtTime(u64::MAX), limit);
        assert_eq!(exit, Exit::Device, "{:x?} ends in a handler, not at {:#x}", case.code, self.cpu.rip());
        self.take()
    }

    fn take_x87(&self) -> X87State {
        let unit = self.cpu.x87();
        let spell = |value: Extended| u128::from(value.sign_exponent) << 64 | u128::from(value.significand);
        X87State {
            control: unit.control,
            status: unit.status,
            valid: unit.valid,
            st: std::array::from_fn(|n| spell(unit.registers[unit.physical(n)])),
            last: (unit.opcode, unit.instruction, unit.operand),
        }
    }

    fn load(&mut self, state: &State, bits: Bits) {
        let data = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::DB | rights::G | 3 << 5;
        let (code, code_selector) = match bits {
            Bits::B32 => (data | rights::CODE, USER_CS_32),
            Bits::B64 => (data & !rights::DB | rights::CODE | rights::L, USER_CS_64),
        };
        let flat = |selector, rights| Segment { selector, limit: u32::MAX, rights, null: selector < 4 };
        self.cpu.set_seg(Seg::Cs, 0, flat(code_selector, code));
        for (seg, selector) in SEGMENTS.into_iter().zip(state.segments.selectors) {
            self.cpu.set_seg(seg, 0, flat(selector, data));
        }
        for (seg, base) in [Seg::Fs, Seg::Gs].into_iter().zip(state.segments.bases) {
            self.cpu.set_seg(seg, base, *self.cpu.seg(seg));
        }
        for (n, value) in (0..).zip(state.gprs) {
            self.cpu.set_gpr(n, value);
        }
        for (n, value) in (0..).zip(state.ymm) {
            self.cpu.set_ymm_bits(n, value);
        }
        self.cpu.set_mxcsr(state.mxcsr);
        let x87 = &state.x87;
        let mut unit = X87 { control: x87.control, status: x87.status, valid: x87.valid, ..X87::RESET };
        for (n, value) in x87.st.iter().enumerate() {
            let extended = Extended { sign_exponent: (value >> 64) as u16, significand: *value as u64 };
            unit.registers[unit.physical(n)] = extended;
        }
        self.cpu.set_x87(unit);
        self.cpu.set_rflags(state.rflags);
        self.cpu.set_rip(state.rip);
    }

    /// Reads the outcome off the exception's stack frame.
    fn take(&self) -> Outcome {
        let handler = self.cpu.rip().wrapping_sub(KERNEL + HANDLERS);
        assert!(handler < 256 * HANDLER_STEP, "{:#x} is in a handler", self.cpu.rip());
        let vector = (handler / HANDLER_STEP) as u8;
        let mut frame = self.cpu.gpr(RSP) - KERNEL;
        let mut pop = || {
            frame += 8;
            self.read(frame - 8)
        };
        let error = if matches!(vector, 8 | 10..=14 | 17) { pop() as u32 } else { 0 };
        let (rip, _cs, rflags, rsp, ss) = (pop(), pop(), pop(), pop(), pop());
        let mut gprs = std::array::from_fn(|n| self.cpu.gpr(n as u8));
        gprs[RSP as usize] = rsp;
        let mut memory = vec![0; WRITABLE_LEN];
        self.bus.mem.read(Gpa(DATA_AT), &mut memory).expect("inside memory");
        let [_, cr2, ..] = self.cpu.control();
        // The delivery has put a null selector into SS; the frame has the program's.
        let selector = |seg| if seg == Seg::Ss { ss as u16 } else { self.cpu.seg(seg).selector };
        let segments = Segments {
            selectors: SEGMENTS.map(selector),
            bases: [Seg::Fs, Seg::Gs].map(|seg| self.cpu.seg_base(seg)),
        };
        Outcome {
            state: State {
                gprs,
                rip,
                rflags,
                ymm: std::array::from_fn(|n| self.cpu.ymm_bits(n as u8)),
                mxcsr: self.cpu.mxcsr(),
                x87: self.take_x87(),
                segments,
            },
            vector,
            error,
            cr2: if vector == 14 { cr2 } else { 0 },
            memory,
        }
    }
}
