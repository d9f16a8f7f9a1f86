//! When floating-point and vector instructions may run at all: every combination of the control bits that say so, against the
//! manual's rules (SDM vol. 3A, 2.5, tables 12-1 and 13-1). And what an exception leaves behind for its handler.

use crate::machine::{
    CODE, DATA, Machine, NOT_AVAILABLE, PAGE_FAULT, SIMD_ERROR, TABLES, UNDEFINED, X87_ERROR,
};
use emu_core::cpu::control::{cr0, cr4, efer};
use emu_core::cpu::regs::{RAX, RBX, RCX, RDI, RDX, RSI, Seg, Segment, rights};
use emu_core::cpu::{Exit, X87};
use emu_core::{Gpa, VirtTime};

/// What may keep an instruction from running.
#[derive(Clone, Copy, Debug)]
struct Bits {
    em: bool,
    ts: bool,
    mp: bool,
    ne: bool,
    osfxsr: bool,
    osxsave: bool,
    /// An unmasked x87 exception waits.
    waits: bool,
}

impl Bits {
    fn all() -> impl Iterator<Item = Self> {
        (0..128u32).map(|n| {
            let bit = |at: u32| n >> at & 1 != 0;
            Self {
                em: bit(0),
                ts: bit(1),
                mp: bit(2),
                ne: bit(3),
                osfxsr: bit(4),
                osxsave: bit(5),
                waits: bit(6),
            }
        })
    }

    fn waiting(self) -> Option<u8> {
        (self.waits && self.ne).then_some(X87_ERROR)
    }

    fn x87_control(self) -> Option<u8> {
        (self.em || self.ts).then_some(NOT_AVAILABLE)
    }

    fn x87(self) -> Option<u8> {
        self.x87_control().or(self.waiting())
    }

    fn wait(self) -> Option<u8> {
        (self.mp && self.ts).then_some(NOT_AVAILABLE).or(self.waiting())
    }

    fn mmx(self) -> Option<u8> {
        self.em.then_some(UNDEFINED).or(self.ts.then_some(NOT_AVAILABLE)).or(self.waiting())
    }

    fn sse(self) -> Option<u8> {
        (self.em || !self.osfxsr).then_some(UNDEFINED).or(self.ts.then_some(NOT_AVAILABLE))
    }

    /// Both sorts of registers.
    fn mixed(self) -> Option<u8> {
        self.sse().or(self.waiting())
    }

    fn xsave(self) -> Option<u8> {
        (!self.osxsave).then_some(UNDEFINED).or(self.ts.then_some(NOT_AVAILABLE))
    }

    fn xcr(self) -> Option<u8> {
        (!self.osxsave).then_some(UNDEFINED)
    }

    fn always(self) -> Option<u8> {
        None
    }
}

/// Puts the processor under these bits.
fn set(machine: &mut Machine, bits: Bits) {
    let pick = |on: bool, bit: u64| if on { bit } else { 0 };
    let controls = cr0::PE | cr0::PG | cr0::WP;
    let chosen = pick(bits.em, cr0::EM) | pick(bits.ts, cr0::TS) | pick(bits.mp, cr0::MP);
    let extensions = pick(bits.osfxsr, cr4::OSFXSR) | pick(bits.osxsave, cr4::OSXSAVE);
    machine.cpu.set_control(
        controls | chosen | pick(bits.ne, cr0::NE),
        TABLES,
        cr4::PAE | cr4::OSXMMEXCPT | extensions,
        efer::LME | efer::NXE,
    );
    let divided_by_zero = 0x8084;
    let status = if bits.waits { divided_by_zero } else { 0 };
    machine.cpu.set_x87(X87 { control: 0x37b, status, valid: 0, ..X87::RESET });
}

#[test]
fn control_bits_keep_instructions_from_running() {
    type Rule = fn(Bits) -> Option<u8>;
    let rules: [(&str, &[u8], Rule); 34] = [
        ("fldz", &[0xd9, 0xee], Bits::x87),
        ("fld dword [rdi]", &[0xd9, 0x07], Bits::x87),
        ("fldcw [rdi]", &[0xd9, 0x2f], Bits::x87),
        ("fldenv [rdi]", &[0xd9, 0x27], Bits::x87),
        ("frstor [rdi]", &[0xdd, 0x27], Bits::x87),
        ("fnop", &[0xd9, 0xd0], Bits::x87),
        ("fnstcw [rdi]", &[0xd9, 0x3f], Bits::x87_control),
        ("fnstsw ax", &[0xdf, 0xe0], Bits::x87_control),
        ("fnstenv [rdi]", &[0xd9, 0x37], Bits::x87_control),
        ("fnsave [rdi]", &[0xdd, 0x37], Bits::x87_control),
        ("fninit", &[0xdb, 0xe3], Bits::x87_control),
        ("fnclex", &[0xdb, 0xe2], Bits::x87_control),
        ("fwait", &[0x9b], Bits::wait),
        ("fxsave [rdi]", &[0x0f, 0xae, 0x07], Bits::x87_control),
        ("fxrstor [rdi]", &[0x0f, 0xae, 0x0f], Bits::x87_control),
        ("paddb mm0, mm1", &[0x0f, 0xfc, 0xc1], Bits::mmx),
        ("pshufw mm0, mm1, 0", &[0x0f, 0x70, 0xc1, 0], Bits::mmx),
        ("emms", &[0x0f, 0x77], Bits::mmx),
        ("movntq [rdi], mm0", &[0x0f, 0xe7, 0x07], Bits::mmx),
        ("addps xmm0, xmm1", &[0x0f, 0x58, 0xc1], Bits::sse),
        ("movaps xmm0, [rdi]", &[0x0f, 0x28, 0x07], Bits::sse),
        ("pxor xmm0, xmm1", &[0x66, 0x0f, 0xef, 0xc1], Bits::sse),
        ("pshufb xmm0, xmm1", &[0x66, 0x0f, 0x38, 0x00, 0xc1], Bits::sse),
        ("pcmpistri xmm0, xmm1, 0", &[0x66, 0x0f, 0x3a, 0x63, 0xc1, 0], Bits::sse),
        ("stmxcsr [rdi]", &[0x0f, 0xae, 0x1f], Bits::sse),
        ("movq2dq xmm0, mm1", &[0xf3, 0x0f, 0xd6, 0xc1], Bits::mixed),
        ("cvtpi2ps xmm0, mm1", &[0x0f, 0x2a, 0xc1], Bits::mixed),
        ("cvtps2pi mm0, xmm1", &[0x0f, 0x2d, 0xc1], Bits::mixed),
        ("movnti [rdi], eax", &[0x0f, 0xc3, 0x07], Bits::always),
        ("crc32 eax, cl", &[0xf2, 0x0f, 0x38, 0xf0, 0xc1], Bits::always),
        ("xsave [rdi]", &[0x0f, 0xae, 0x27], Bits::xsave),
        ("xsavec [rdi]", &[0x0f, 0xc7, 0x27], Bits::xsave),
        ("xgetbv", &[0x0f, 0x01, 0xd0], Bits::xcr),
        ("xsetbv", &[0x0f, 0x01, 0xd1], Bits::xcr),
    ];
    let mut machine = Machine::new();
    for (name, insn, rule) in rules {
        for bits in Bits::all() {
            set(&mut machine, bits);
            // All zeros are an area that may be restored, and one is a valid XCR0.
            machine.bus.put(DATA, &[0; 1024]);
            machine.set_registers(&[(RAX, 1), (RCX, 0), (RDX, 0), (RDI, DATA)]);
            assert_eq!(machine.run(insn), rule(bits), "{name} with {bits:?}");
        }
    }
}

#[test]
fn an_unmasked_sse_exception_is_undefined_until_the_system_knows_it() {
    const DIVISION_UNMASKED: u32 = 0x1d80;
    let mut machine = Machine::new();
    for (known, vector) in [(0, UNDEFINED), (cr4::OSXMMEXCPT, SIMD_ERROR)] {
        let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE;
        machine.cpu.set_control(controls, TABLES, cr4::PAE | cr4::OSFXSR | known, efer::LME | efer::NXE);
        machine.cpu.set_mxcsr(DIVISION_UNMASKED);
        machine.cpu.set_xmm_bits(0, 0x3f80_0000);
        machine.cpu.set_xmm_bits(1, 0);
        // divss xmm0, xmm1
        assert_eq!(machine.run(&[0xf3, 0x0f, 0x5e, 0xc1]), Some(vector));
        assert_eq!(machine.cpu.mxcsr(), DIVISION_UNMASKED | 4, "the flag tells the handler");
        assert_eq!(machine.cpu.xmm_bits(0), 0x3f80_0000, "without a result");
    }
}

/// Runs `fdiv` of one by a zero in memory; answers opcode, instruction and operand as the unit has them.
fn divide(machine: &mut Machine, insn: &[u8], control: u16) -> (u16, u64, u64) {
    let mut unit = X87 { control, valid: 0xff, ..X87::RESET };
    for register in &mut unit.registers {
        (register.sign_exponent, register.significand) = (0x3fff, 1 << 63);
    }
    machine.cpu.set_x87(unit);
    machine.bus.put(CODE, insn);
    machine.bus.put(DATA, &[0; 8]);
    machine.cpu.set_rip(CODE);
    let limit = machine.cpu.insns() + 1;
    assert_eq!(machine.cpu.run(&mut machine.bus, VirtTime(u64::MAX), limit), Exit::InsnLimit);
    let unit = machine.cpu.x87();
    (unit.opcode, unit.instruction, unit.operand)
}

#[test]
fn the_unit_tells_a_handler_where_the_exception_was() {
    const MASKED: u16 = 0x37f;
    const DIVISION_UNMASKED: u16 = 0x37b;
    let mut machine = Machine::new();
    machine.cpu.set_gpr(RDI, DATA);
    // fdiv dword [rdi]; with a prefix, which counts for the place but is no part of the opcode.
    let (plain, prefixed) = (&[0xd8, 0x37][..], &[0x3e, 0xd8, 0x37][..]);
    assert_eq!(divide(&mut machine, plain, DIVISION_UNMASKED), (0x037, CODE, DATA));
    assert_eq!(divide(&mut machine, prefixed, DIVISION_UNMASKED), (0x037, CODE, DATA));
    let longer = &[0xd8, 0x34, 0x27];
    assert_eq!(divide(&mut machine, longer, DIVISION_UNMASKED), (0x034, CODE, DATA), "as it was encoded");
    assert_eq!(divide(&mut machine, plain, MASKED), (0, CODE, 0), "opcode and operand only of exceptions");

    // The same in 16-bit code: fdiv dword [bx+si].
    let rights = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::G | rights::CODE;
    machine.cpu.set_seg(Seg::Cs, 0, Segment { selector: 8, limit: u32::MAX, rights, null: false });
    machine.cpu.set_gpr(RBX, DATA - 0x10);
    machine.cpu.set_gpr(RSI, 0x10);
    assert_eq!(divide(&mut machine, &[0xd8, 0x30], DIVISION_UNMASKED), (0x030, CODE, DATA));
}

#[test]
fn a_masked_store_that_faults_has_stored_nothing() {
    let mut machine = Machine::new();
    // The second of two pages of 2 MiB is not mapped.
    let end = 0x20_0000u64;
    let second_entry = TABLES + 0x2000 + 8;
    machine.bus.put(second_entry, &[0; 8]);
    machine.cpu.set_xmm_bits(0, u128::MAX);
    machine.cpu.set_xmm_bits(1, 0x8080_8080_8080_8080_8080_8080_8080_8080);
    machine.set_registers(&[(RDI, end - 8)]);
    // maskmovdqu xmm0, xmm1
    assert_eq!(machine.run(&[0x66, 0x0f, 0xf7, 0xc1]), Some(PAGE_FAULT));
    let mut stored = [1; 8];
    machine.bus.mem.read(Gpa(end - 8), &mut stored).expect("inside memory");
    assert_eq!(stored, [0; 8]);
}
