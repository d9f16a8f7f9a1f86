//! XSAVE and its relatives as a system uses them: what CPUID says of the area, what XCR0 takes, what the compacted form holds
//! and which areas are refused. SDM vol. 1, 13.2, 13.3, 13.8, 13.10-13.12.

use crate::machine::{DATA, GENERAL_PROTECTION, Machine, TABLES};
use emu_core::Gpa;
use emu_core::cpu::X87;
use emu_core::cpu::control::{cr0, cr4, efer};
use emu_core::cpu::regs::{RAX, RBX, RCX, RDI, RDX};

const XSAVES: [u8; 3] = [0x0f, 0xc7, 0x2f];
const XRSTORS: [u8; 3] = [0x0f, 0xc7, 0x1f];
const XSAVE: [u8; 3] = [0x0f, 0xae, 0x27];
const XRSTOR: [u8; 3] = [0x0f, 0xae, 0x2f];
const XSETBV: [u8; 3] = [0x0f, 0x01, 0xd1];
const CPUID: [u8; 2] = [0x0f, 0xa2];

/// Offsets in the area.
const MXCSR: u64 = 24;
const STATE: u64 = 512;
const LAYOUT: u64 = 520;
const RESERVED: u64 = 528;
const AREA_LEN: u64 = 576;
const COMPACTED: u64 = 1 << 63;
const X87_AND_SSE: u64 = 3;

/// With XSAVE on, and both components.
fn machine() -> Machine {
    let mut machine = Machine::new();
    let extensions = cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE;
    let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE;
    machine.cpu.set_control(controls, TABLES, extensions, efer::LME | efer::NXE);
    machine.set_registers(&[(RAX, X87_AND_SSE), (RCX, 0), (RDX, 0), (RDI, DATA)]);
    assert_eq!(machine.run(&XSETBV), None);
    machine
}

fn read(machine: &Machine, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    machine.bus.mem.read(Gpa(DATA + offset), &mut bytes).expect("inside memory");
    u64::from_le_bytes(bytes)
}

/// Something in every register.
fn fill(machine: &mut Machine) {
    let mut unit = X87 { control: 0x27f, status: 0x3841, valid: 0x81, opcode: 0x123, ..X87::RESET };
    (unit.instruction, unit.operand) = (0x1234_5678, 0x8765_4321);
    for (n, register) in (1u16..).zip(&mut unit.registers) {
        (register.sign_exponent, register.significand) = (n, u64::from(n) << 60);
    }
    machine.cpu.set_x87(unit);
    machine.cpu.set_mxcsr(0x9fc3);
    for n in 0..16 {
        machine.cpu.set_xmm_bits(n, u128::from(n) << 100 | 1);
    }
}

fn clear(machine: &mut Machine) {
    machine.cpu.set_x87(X87::RESET);
    machine.cpu.set_mxcsr(0x1f80);
    for n in 0..16 {
        machine.cpu.set_xmm_bits(n, 0);
    }
}

fn vectors(machine: &Machine) -> Vec<u128> {
    (0..16).map(|n| machine.cpu.xmm_bits(n)).collect()
}

#[test]
fn state_survives_both_forms() {
    for (save, restore, layout) in [(XSAVE, XRSTOR, 0), (XSAVES, XRSTORS, COMPACTED | X87_AND_SSE)] {
        let mut machine = machine();
        fill(&mut machine);
        let before = (*machine.cpu.x87(), machine.cpu.mxcsr(), vectors(&machine));
        assert_eq!(machine.run(&save), None);
        assert_eq!((read(&machine, STATE), read(&machine, LAYOUT)), (X87_AND_SSE, layout));
        clear(&mut machine);
        machine.set_registers(&[(RAX, X87_AND_SSE)]);
        assert_eq!(machine.run(&restore), None);
        assert_eq!((*machine.cpu.x87(), machine.cpu.mxcsr(), vectors(&machine)), before);
    }
}

#[test]
fn the_initial_state_is_told_by_the_header_alone() {
    let mut machine = machine();
    // fninit; its registers are not initial yet.
    clear(&mut machine);
    assert_eq!(machine.run(&[0xdb, 0xe3]), None);
    machine.bus.put(DATA, &[0xee; AREA_LEN as usize]);
    assert_eq!(machine.run(&XSAVES), None);
    assert_eq!((read(&machine, STATE), read(&machine, LAYOUT)), (0, COMPACTED | X87_AND_SSE));
    assert_eq!(read(&machine, 0), 0xeeee_eeee_eeee_eeee, "nothing else is written");
    let initial = *machine.cpu.x87();
    fill(&mut machine);
    // A header as the manual wants it: what is reserved is zero.
    machine.bus.put(DATA + RESERVED, &[0; 48]);
    assert_eq!(machine.run(&XRSTORS), None);
    assert_eq!((*machine.cpu.x87(), machine.cpu.mxcsr()), (initial, 0x1f80));
    assert!(vectors(&machine).iter().all(|value| *value == 0));
}

#[test]
fn areas_that_nobody_saved_are_refused_and_change_nothing() {
    const BOTH_FORMS: [bool; 2] = [true, true];
    const STANDARD_TAKES: [bool; 2] = [false, true];
    // Where, what is there, and whether XRSTOR and XRSTORS refuse a compacted area with it.
    let cases: [(u64, u64, [bool; 2]); 8] = [
        (STATE, 1 << 2, BOTH_FORMS),
        (STATE, 1 << 63, BOTH_FORMS),
        (LAYOUT, COMPACTED | 7, BOTH_FORMS),
        (LAYOUT, COMPACTED | 1, BOTH_FORMS),
        (LAYOUT, 3, BOTH_FORMS),
        (RESERVED, 1, BOTH_FORMS),
        (RESERVED + 40, 1 << 63, BOTH_FORMS),
        (LAYOUT, 0, STANDARD_TAKES),
    ];
    for (offset, value, refused) in cases {
        for (restore, refused) in [XRSTOR, XRSTORS].into_iter().zip(refused) {
            let mut machine = machine();
            fill(&mut machine);
            assert_eq!(machine.run(&XSAVES), None);
            machine.bus.put(DATA + offset, &value.to_le_bytes());
            clear(&mut machine);
            let expected = refused.then_some(GENERAL_PROTECTION);
            assert_eq!(machine.run(&restore), expected, "{value:#x} at {offset}, {restore:02x?}");
            let untouched = *machine.cpu.x87() == X87::RESET && vectors(&machine) == [0; 16];
            assert_eq!(untouched, refused, "{value:#x} at {offset}, {restore:02x?}");
        }
    }
}

#[test]
fn areas_lie_on_64_bytes_and_mxcsr_has_16_bits() {
    let mut machine = machine();
    for insn in [XSAVE, XSAVES, XRSTOR, XRSTORS] {
        machine.set_registers(&[(RDI, DATA + 32)]);
        assert_eq!(machine.run(&insn), Some(GENERAL_PROTECTION), "{insn:02x?}");
    }
    machine.set_registers(&[(RDI, DATA)]);
    fill(&mut machine);
    assert_eq!(machine.run(&XSAVES), None);
    machine.bus.put(DATA + MXCSR, &0x1_0000u32.to_le_bytes());
    assert_eq!(machine.run(&XRSTORS), Some(GENERAL_PROTECTION));
}

#[test]
fn xcr0_takes_what_cpuid_offers() {
    let mut machine = machine();
    let offered = {
        machine.set_registers(&[(RAX, 0xd), (RCX, 0)]);
        assert_eq!(machine.run(&CPUID), None);
        machine.cpu.gpr(RDX) << 32 | machine.cpu.gpr(RAX)
    };
    assert_eq!(offered & X87_AND_SSE, X87_AND_SSE);
    let beyond = !offered & (offered + 1);
    for (register, low, high, refused) in [
        (0, 1, 0, false),
        (0, 3, 0, false),
        (0, 0, 0, true),
        (0, 2, 0, true),
        (0, 3 | beyond, 0, true),
        (0, 3, 1 << 31, true),
        (1, 3, 0, true),
        // AVX without SSE makes no sense, offered or not.
        (0, 5, 0, true),
    ] {
        machine.set_registers(&[(RCX, register), (RAX, low), (RDX, high)]);
        let expected = refused.then_some(GENERAL_PROTECTION);
        assert_eq!(machine.run(&XSETBV), expected, "XCR{register} = {high:#x}:{low:#x}");
    }
}

#[test]
fn cpuid_tells_the_length_of_areas() {
    let mut machine = machine();
    let mut leaf = |leaf, subleaf| {
        machine.set_registers(&[(RAX, leaf), (RCX, subleaf)]);
        assert_eq!(machine.run(&CPUID), None);
        [RAX, RBX, RCX, RDX].map(|register| machine.cpu.gpr(register))
    };
    const OSXSAVE: u64 = 1 << 27;
    assert_ne!(leaf(1, 0)[2] & OSXSAVE, 0);
    let [_, now, most, _] = leaf(0xd, 0);
    assert_eq!(now, AREA_LEN, "for what XCR0 has");
    assert!(most >= now, "for all that there is");
    let [forms, compacted, ..] = leaf(0xd, 1);
    assert_eq!(forms & 0xf, 0xf, "XSAVEOPT, XSAVEC, XGETBV of 1, XSAVES");
    assert_eq!(compacted, AREA_LEN);
}
