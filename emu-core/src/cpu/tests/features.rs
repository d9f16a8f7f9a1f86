//! Which instructions a processor has: AVX as far as the system has switched it on, and no feature that is hidden.

use super::{CODE, execute, long, real};
use crate::Gpa;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::regs::{RAX, RCX};
use crate::cpu::system::CpuidModel;
use crate::cpu::{Cpu, CpuConfig};
use crate::testing::{FlatBus, long_mode};
use crate::trace::TraceEvent;

const UNDEFINED: u8 = 6;
const NOT_AVAILABLE: u8 = 7;
const PAGE_FAULT: u8 = 14;
/// vpxor ymm1, ymm1, ymm1
const VPXOR: [u8; 4] = [0xc5, 0xf5, 0xef, 0xc9];

/// The exception that the first instruction of a machine raises.
fn first_exception((cpu, bus): &mut (Box<Cpu>, FlatBus)) -> Option<u8> {
    execute(cpu, bus, 1);
    bus.records.iter().find_map(|(_, event)| match event {
        TraceEvent::CpuException { vector, .. } => Some(*vector),
        _ => None,
    })
}

/// A machine in 64-bit mode with more of CR0 and CR4, and XCR0.
fn switched(program: &[u8], more_cr0: u64, more_cr4: u64, xcr0: u64) -> (Box<Cpu>, FlatBus) {
    let (mut cpu, bus) = long(program);
    let [cr0, _, cr3, cr4, efer] = cpu.control();
    cpu.set_control(cr0 | more_cr0, cr3, cr4 | more_cr4, efer);
    cpu.set_xcr0(xcr0);
    (cpu, bus)
}

#[test]
fn avx_runs_only_where_the_system_has_switched_it_on() {
    let table = [
        (0, cr4::OSXSAVE, 7, None),
        (0, cr4::OSXSAVE, 3, Some(UNDEFINED)),
        (0, cr4::OSXSAVE, 1, Some(UNDEFINED)),
        (0, 0, 7, Some(UNDEFINED)),
        (cr0::TS, cr4::OSXSAVE, 7, Some(NOT_AVAILABLE)),
        (cr0::TS, cr4::OSXSAVE, 3, Some(UNDEFINED)),
        // Only legacy SSE asks about EM.
        (cr0::EM, cr4::OSXSAVE, 7, None),
    ];
    for (cr0, cr4, xcr0, expected) in table {
        let got = first_exception(&mut switched(&VPXOR, cr0, cr4, xcr0));
        assert_eq!(got, expected, "CR0 {cr0:#x}, CR4 {cr4:#x}, XCR0 {xcr0:#x}");
    }
}

#[test]
fn nothing_is_vex_encoded_in_real_mode() {
    // vpxor xmm1, xmm1, xmm1 ; andn eax, ecx, edx
    for program in [&[0xc5, 0xf1, 0xef, 0xc9][..], &[0xc4, 0xe2, 0x70, 0xf2, 0xc2]] {
        assert_eq!(first_exception(&mut real(program)), Some(UNDEFINED), "{program:02x?}");
    }
}

/// A machine whose processor lacks a feature.
fn without(feature: &str, program: &[u8]) -> (Box<Cpu>, FlatBus) {
    let (_, bus) = long(program);
    let cpuid = CpuidModel { hide: vec![feature.to_owned()], ..CpuidModel::default() };
    let mut cpu = Cpu::new(CpuConfig { cpuid, ..CpuConfig::default() });
    long_mode(&mut cpu, Gpa(super::TABLES));
    cpu.set_rip(CODE);
    let [cr0, _, cr3, cr4, efer] = cpu.control();
    cpu.set_control(cr0, cr3, cr4 | cr4::OSXSAVE, efer);
    cpu.set_xcr0(7);
    (cpu, bus)
}

#[test]
fn instructions_of_hidden_features_are_undefined() {
    let table: [(&str, &[u8]); 8] = [
        ("popcnt", &[0xf3, 0x0f, 0xb8, 0xc1]),
        ("movbe", &[0x0f, 0x38, 0xf0, 0x03]),
        ("bmi2", &[0xc4, 0xe2, 0x73, 0xf7, 0xc2]),
        ("aes", &[0x66, 0x0f, 0x38, 0xdc, 0xc1]),
        ("sse4_1", &[0x66, 0x0f, 0x38, 0x17, 0xc1]),
        ("avx2", &VPXOR),
        // What is built on it goes with it.
        ("avx", &VPXOR),
        ("xsave", &VPXOR),
    ];
    for (feature, program) in table {
        let got = first_exception(&mut without(feature, program));
        assert_eq!(got, Some(UNDEFINED), "{feature} {program:02x?}");
    }
}

#[test]
fn counts_of_zeros_are_scans_to_a_processor_without_them() {
    // tzcnt eax, ecx ; lzcnt eax, ecx: of 8 from either end
    let table: [(&str, &[u8], u64, u64); 2] =
        [("bmi1", &[0xf3, 0x0f, 0xbc, 0xc1], 3, 3), ("abm", &[0xf3, 0x0f, 0xbd, 0xc1], 28, 3)];
    for (feature, program, counted, scanned) in table {
        for (mut machine, expected) in [(long(program), counted), (without(feature, program), scanned)] {
            machine.0.set_gpr(RCX, 8);
            execute(&mut machine.0, &mut machine.1, 1);
            assert_eq!(machine.0.gpr(RAX), expected, "{feature}");
        }
    }
}

#[test]
fn a_gather_that_faults_keeps_what_it_has_and_goes_on_from_there() {
    // vpgatherdd xmm0, [rax + xmm1 * 4], xmm2
    let (mut cpu, mut bus) = switched(&[0xc4, 0xe2, 0x69, 0x90, 0x04, 0x88], 0, cr4::OSXSAVE, 7);
    bus.put(0x30_0000, &[0x11, 0, 0, 0, 0x22, 0, 0, 0]);
    cpu.set_gpr(RAX, 0x30_0000);
    // The third lane is not asked for, the fourth lies behind all that is mapped.
    let far = 0x4000_0000u128;
    cpu.set_ymm_bits(1, [far << 96 | 1 << 32, 0]);
    cpu.set_ymm_bits(2, [0x8000_0000_0000_0000_8000_0000_8000_0000, u128::MAX]);
    cpu.set_ymm_bits(0, [0x99 << 64, u128::MAX]);
    let mut machine = (cpu, bus);
    assert_eq!(first_exception(&mut machine), Some(PAGE_FAULT));
    let (cpu, _) = &machine;
    assert_eq!(cpu.ymm_bits(0)[0], 0x99 << 64 | 0x22 << 32 | 0x11, "two lanes arrived");
    assert_eq!(cpu.ymm_bits(2)[0], 0x8000_0000 << 96, "and are not asked for again");
}
