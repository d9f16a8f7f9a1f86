//! Instructions that are refused: by privilege, by control registers, by prefixes, length or mode, and by their operands:
//! #GP, #UD, #AC, #DE, #BR. SDM vol. 2; vol. 3A, 5.9 and 6.15.

use super::CODE;
use super::guest::{Guest, Mode, TSS, sel};
use crate::access::Width::{B1, B2, B4, B8};
use crate::cpu::CpuState;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::flags::bit::{AC, IOPL, ONE, VM};
use crate::cpu::regs::{RAX, RBX, RCX, RDX, RSI, RSP, Seg};
use crate::time::VirtTime;

/// Where operands are: RBX.
const DATA: u64 = 0x5_0000;
const GP0: Option<(u8, Option<u32>)> = Some((13, Some(0)));
const UD: Option<(u8, Option<u32>)> = Some((6, None));

/// An instruction under a state, and its first exception.
struct Refused<'a> {
    mode: Mode,
    cpl: u8,
    program: &'a [u8],
    change: fn(&mut CpuState),
    want: Option<(u8, Option<u32>)>,
}

fn check(case: &Refused<'_>) -> Guest {
    let mut guest = Guest::new(case.mode, case.cpl, case.program);
    let mut state = guest.cpu.state();
    state.gprs[RBX as usize] = DATA;
    state.gprs[RSI as usize] = DATA;
    (case.change)(&mut state);
    guest.cpu.restore(state).unwrap();
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
    let found = guest.exceptions().first().copied();
    assert_eq!(found, case.want, "{:?} at {} {:x?}", case.mode, case.cpl, case.program);
    guest
}

fn nothing(_: &mut CpuState) {}

#[test]
fn privileged_instructions_are_for_level_0() {
    let instructions: &[&[u8]] = &[
        &[0xf4],                         // hlt
        &[0x0f, 0x06],                   // clts
        &[0x0f, 0x08],                   // invd
        &[0x0f, 0x09],                   // wbinvd
        &[0x0f, 0x01, 0x13],             // lgdt [rbx]
        &[0x0f, 0x01, 0x1b],             // lidt [rbx]
        &[0x0f, 0x00, 0xd0],             // lldt ax
        &[0x0f, 0x00, 0xd8],             // ltr ax
        &[0x0f, 0x01, 0xf0],             // lmsw ax
        &[0x0f, 0x01, 0x3b],             // invlpg [rbx]
        &[0x0f, 0x20, 0xc0],             // mov rax, cr0
        &[0x0f, 0x22, 0xd8],             // mov cr3, rax
        &[0x0f, 0x21, 0xf8],             // mov rax, dr7
        &[0x0f, 0x23, 0xf8],             // mov dr7, rax
        &[0x0f, 0x30],                   // wrmsr
        &[0x0f, 0x32],                   // rdmsr
        &[0x0f, 0x33],                   // rdpmc, without CR4.PCE
        &[0x0f, 0x35],                   // sysexit
        &[0x66, 0x0f, 0x38, 0x82, 0x03], // invpcid
        &[0xe4, 0x40],                   // in
        &[0xee],                         // out
        &[0x6e],                         // outsb
        &[0xfa],                         // cli
        &[0xfb],                         // sti
    ];
    for program in instructions {
        for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
            check(&Refused { mode, cpl: 3, program, change: nothing, want: GP0 });
        }
        check(&Refused { mode: Mode::Protected32, cpl: 1, program, change: nothing, want: GP0 });
    }
}

#[test]
fn user_mode_instruction_prevention_hides_the_tables() {
    // sgdt ; sidt ; sldt ; str ; smsw
    let instructions: [&[u8]; 5] = [
        &[0x0f, 0x01, 0x03],
        &[0x0f, 0x01, 0x0b],
        &[0x0f, 0x00, 0x03],
        &[0x0f, 0x00, 0x0b],
        &[0x0f, 0x01, 0x23],
    ];
    for program in instructions {
        for mode in [Mode::Protected32, Mode::Long] {
            for (cpl, change, want) in [
                (3, (|state| state.cr4 |= cr4::UMIP) as fn(&mut CpuState), GP0),
                (3, nothing, None),
                (0, |state| state.cr4 |= cr4::UMIP, None),
            ] {
                check(&Refused { mode, cpl, program, change, want });
            }
        }
    }
}

#[test]
fn counters_are_open_to_programs_as_cr4_says() {
    // rdtsc ; rdtscp
    for program in [&[0x0f, 0x31][..], &[0x0f, 0x01, 0xf9]] {
        for (cpl, change, want) in [
            (3, nothing as fn(&mut CpuState), None),
            (3, |state| state.cr4 |= cr4::TSD, GP0),
            (0, |state| state.cr4 |= cr4::TSD, None),
        ] {
            check(&Refused { mode: Mode::Long, cpl, program, change, want });
        }
    }
    // rdpmc: there is no counter to read, at any level.
    for cpl in [0, 3] {
        check(&Refused {
            mode: Mode::Long,
            cpl,
            program: &[0x0f, 0x33],
            change: |state| state.cr4 |= cr4::PCE,
            want: GP0,
        });
    }
    let guest = check(&Refused {
        mode: Mode::Long,
        cpl: 3,
        program: &[0x0f, 0x01, 0xf9],
        change: |state| {
            state.msrs.tsc_aux = 0x77;
            state.gprs[RDX as usize] = u64::MAX;
        },
        want: None,
    });
    assert_eq!((guest.cpu.gpr(RCX), guest.cpu.gpr(RDX) >> 32), (0x77, 0));
}

/// CPL, IOPL, the map's byte for ports 0x40 to 0x47 and its successor.
#[test]
fn ports_are_open_by_iopl_or_by_the_map() {
    // in al, 0x42 ; out 0x42, ax ; in eax, 0x42 ; in eax, 0x46, which reaches into the next byte
    for (program, iopl, map, want) in [
        (&[0xe4, 0x42][..], 0, [0xff, 0xff], GP0),
        (&[0xe4, 0x42], IOPL, [0xff, 0xff], None),
        (&[0xe4, 0x42], 0, [0xfb, 0xff], None),
        (&[0xe4, 0x42], 0, [0x04, 0x00], GP0),
        (&[0x66, 0xe7, 0x42], 0, [0xf3, 0xff], None),
        (&[0x66, 0xe7, 0x42], 0, [0xfb, 0xff], GP0),
        (&[0xe5, 0x46], 0, [0x3f, 0xfc], None),
        (&[0xe5, 0x46], 0, [0x3f, 0xfe], GP0),
    ] {
        for mode in [Mode::Protected32, Mode::Long] {
            let mut guest = Guest::new(mode, 3, program);
            let mut state = guest.cpu.state();
            state.tr.limit = 0x70 + 0x2000;
            state.rflags = ONE | iopl;
            guest.cpu.restore(state).unwrap();
            guest.write(TSS + 0x66, B2, 0x70);
            guest.bus.put(TSS + 0x70 + 8, &map);
            let limit = guest.cpu.insns() + 1;
            guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
            assert_eq!(guest.exceptions().first().copied(), want, "{mode:?} {program:x?} {map:x?}");
        }
    }
    // A map that ends before the second byte it would be read by; a TSS of 16 bits; virtual-8086 mode asks the map always.
    for (limit, kind, flags, want) in [
        (0x70 + 9, 0x8bu16, 0, None),
        (0x70 + 8, 0x8b, 0, GP0),
        (0x70 + 9, 0x83, 0, GP0),
        (0x70 + 8, 0x8b, IOPL | VM, GP0),
        (0x70 + 9, 0x8b, IOPL | VM, None),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 3, &[0xe4, 0x42]);
        let mut state = guest.cpu.state();
        (state.tr.limit, state.tr.rights) = (limit, kind);
        state.rflags = ONE | flags;
        guest.cpu.restore(state).unwrap();
        guest.write(TSS + 0x66, B2, 0x70);
        guest.write(TSS + 0x70 + 8, B2, 0);
        let limit = guest.cpu.insns() + 1;
        guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
        assert_eq!(guest.exceptions().first().copied(), want, "{limit:x} {kind:x} {flags:x}");
    }
}

#[test]
fn lock_is_for_updates_of_memory() {
    // lock add [rbx], eax ; xchg ; cmpxchg8b ; btr ; not ; and what it is not for: add eax, [rbx] ; add eax, ebx ; cmp ;
    // mov ; nop ; test ; bt ; push ; shl
    for (program, want) in [
        (&[0xf0, 0x01, 0x03][..], None),
        (&[0xf0, 0x87, 0x03], None),
        (&[0xf0, 0x0f, 0xc7, 0x0b], None),
        (&[0xf0, 0x0f, 0xb3, 0x03], None),
        (&[0xf0, 0xf7, 0x13], None),
        (&[0xf0, 0x03, 0x03], UD),
        (&[0xf0, 0x01, 0xd8], UD),
        (&[0xf0, 0x39, 0x03], UD),
        (&[0xf0, 0x89, 0x03], UD),
        (&[0xf0, 0x90], UD),
        (&[0xf0, 0x85, 0x03], UD),
        (&[0xf0, 0x0f, 0xa3, 0x03], UD),
        (&[0xf0, 0x50], UD),
        (&[0xf0, 0xd1, 0x23], UD),
    ] {
        for mode in [Mode::Protected32, Mode::Long] {
            check(&Refused { mode, cpl: 0, program, change: nothing, want });
        }
    }
}

#[test]
fn what_is_no_instruction_is_undefined() {
    // ud2 ; ud1 ; ud0 ; rsm ; mov cr1 ; mov cr5 ; lea of a register ; mov sreg 6
    for program in [
        &[0x0f, 0x0b][..],
        &[0x0f, 0xb9, 0xc0],
        &[0x0f, 0xff, 0xc0],
        &[0x0f, 0xaa],
        &[0x0f, 0x22, 0xc8],
        &[0x0f, 0x20, 0xe8],
        &[0x8d, 0xc0],
        &[0x8e, 0xf0],
    ] {
        for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
            check(&Refused { mode, cpl: 0, program, change: nothing, want: UD });
        }
    }
    // What 64-bit mode has no longer.
    for program in [
        &[0x06][..],
        &[0x07],
        &[0x0e],
        &[0x16],
        &[0x17],
        &[0x1e],
        &[0x1f],
        &[0x27],
        &[0x2f],
        &[0x37],
        &[0x3f],
        &[0x60],
        &[0x61],
        &[0x82, 0xc0, 0x00],
        &[0x9a, 0, 0, 0, 0, 8, 0],
        &[0xce],
        &[0xd4, 0x0a],
        &[0xd5, 0x0a],
        &[0xd6],
        &[0xea, 0, 0, 0, 0, 8, 0],
    ] {
        check(&Refused { mode: Mode::Long, cpl: 0, program, change: nothing, want: UD });
    }
    // clac and stac outside of level 0
    for program in [&[0x0f, 0x01, 0xca][..], &[0x0f, 0x01, 0xcb]] {
        check(&Refused { mode: Mode::Long, cpl: 3, program, change: nothing, want: UD });
        check(&Refused { mode: Mode::Long, cpl: 0, program, change: nothing, want: None });
    }
}

#[test]
fn fifteen_bytes_are_an_instruction_and_sixteen_are_not() {
    for (prefixes, want) in [(14, None), (15, GP0), (40, GP0)] {
        let mut program = vec![0x66; prefixes];
        program.push(0x90);
        for mode in [Mode::Protected32, Mode::Long] {
            let guest = check(&Refused { mode, cpl: 0, program: &program, change: nothing, want });
            if want.is_none() {
                assert_eq!(guest.cpu.rip(), CODE + 15);
            }
        }
        // Across a page.
        let mut guest = Guest::new(Mode::Long, 0, &[]);
        let start = CODE + 0xff8;
        guest.bus.put(start, &program);
        guest.cpu.set_rip(start);
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want, "{prefixes} across");
    }
}

#[test]
fn alignment_is_checked_for_programs_that_ask_for_it() {
    const AM: fn(&mut CpuState) = |state| {
        state.cr0 |= cr0::AM;
        state.rflags |= AC;
    };
    const ODD: fn(&mut CpuState) = |state| {
        AM(state);
        state.gprs[RBX as usize] += 1;
        state.gprs[RSP as usize] += 1;
    };
    let fault = Some((17, Some(0)));
    for (cpl, program, change, want) in [
        // mov eax, [rbx] ; mov [rbx], ax ; mov al, [rbx] ; add [rbx], eax ; push ; pop
        (3, &[0x8b, 0x03][..], ODD, fault),
        (3, &[0x66, 0x89, 0x03], ODD, fault),
        (3, &[0x8a, 0x03], ODD, None),
        (3, &[0x01, 0x03], ODD, fault),
        (3, &[0x50], ODD, fault),
        (3, &[0x58], ODD, fault),
        (3, &[0x8b, 0x03], AM, None),
        (0, &[0x8b, 0x03], ODD, None),
        (
            3,
            &[0x8b, 0x03],
            |state: &mut CpuState| {
                ODD(state);
                state.rflags &= !AC;
            },
            None,
        ),
        (
            3,
            &[0x8b, 0x03],
            |state: &mut CpuState| {
                ODD(state);
                state.cr0 &= !cr0::AM;
            },
            None,
        ),
    ] {
        for mode in [Mode::Protected32, Mode::Long] {
            check(&Refused { mode, cpl, program, change, want });
        }
    }
    // lfs ax, [rbx] ; lfs eax, [rbx] ; sgdt [rbx]: an operand of parts lies well on the size of one of them.
    for (program, offset, want) in [
        (&[0x66, 0x0f, 0xb4, 0x03][..], 1, fault),
        (&[0x66, 0x0f, 0xb4, 0x03], 2, None),
        (&[0x0f, 0xb4, 0x03], 2, fault),
        (&[0x0f, 0xb4, 0x03], 4, None),
        (&[0x0f, 0x01, 0x03], 0, fault),
        (&[0x0f, 0x01, 0x03], 1, fault),
        (&[0x0f, 0x01, 0x03], 2, None),
    ] {
        for mode in [Mode::Protected32, Mode::Long] {
            let mut guest = Guest::new(mode, 3, program);
            let mut state = guest.cpu.state();
            AM(&mut state);
            state.gprs[RBX as usize] += offset;
            guest.cpu.restore(state).unwrap();
            guest.step();
            assert_eq!(guest.exceptions().first().copied(), want, "{mode:?} {program:x?} at {offset}");
        }
    }
    // mov rax, [rbx] of a dword boundary; and once the page is known.
    let odd: fn(&mut CpuState) = |state| {
        AM(state);
        state.gprs[RBX as usize] += 4;
    };
    check(&Refused { mode: Mode::Long, cpl: 3, program: &[0x48, 0x8b, 0x03], change: odd, want: fault });
    let mut guest = Guest::new(Mode::Long, 3, &[0x8b, 0x03, 0x8b, 0x43, 0x01]);
    let mut state = guest.cpu.state();
    AM(&mut state);
    state.gprs[RBX as usize] = DATA;
    guest.cpu.restore(state).unwrap();
    guest.run(3);
    assert_eq!(guest.exceptions(), [(17, Some(0))]);
}

#[test]
fn alignment_is_checked_over_a_page_in_use_once_the_flag_is_set() {
    // mov eax, [rbx+1] twice ; push 0x40002 ; popf ; mov eax, [rbx+1]
    let program =
        [0x8b, 0x43, 0x01, 0x8b, 0x43, 0x01, 0x68, 0x02, 0x00, 0x04, 0x00, 0x9d, 0x8b, 0x43, 0x01, 0x90];
    let mut guest = Guest::new(Mode::Long, 3, &program);
    let mut state = guest.cpu.state();
    state.cr0 |= cr0::AM;
    state.gprs[RBX as usize] = DATA;
    guest.cpu.restore(state).unwrap();
    guest.run(2000);
    assert_eq!((guest.exceptions(), guest.stack(B8, 2)[1]), (vec![(17, Some(0))], CODE + 12));
}

#[test]
fn divisions_that_have_no_quotient_are_divide_errors() {
    let de = Some((0, None));
    // div cl ; div ecx ; idiv cl ; idiv ecx ; idiv rcx ; aam 0
    for (mode, program, rax, rdx, rcx, want) in [
        (Mode::Long, &[0xf6, 0xf1][..], 5, 0, 0, de),
        (Mode::Long, &[0xf6, 0xf1], 0x1fe, 0, 1, de),
        (Mode::Long, &[0xf6, 0xf1], 0xff, 0, 1, None),
        (Mode::Long, &[0xf7, 0xf1], 0, 1, 1, de),
        (Mode::Long, &[0xf7, 0xf1], 0, 1, 2, None),
        (Mode::Long, &[0xf6, 0xf9], 0xff80, 0, 0xff, de),
        (Mode::Long, &[0xf7, 0xf9], 0x8000_0000, 0xffff_ffff, 0xffff_ffff, de),
        (Mode::Long, &[0xf7, 0xf9], 0x8000_0001, 0xffff_ffff, 0xffff_ffff, None),
        (Mode::Long, &[0x48, 0xf7, 0xf9], 1 << 63, u64::MAX, u64::MAX, de),
        (Mode::Protected32, &[0xd4, 0x00], 5, 0, 0, de),
    ] {
        let mut guest = Guest::new(mode, 0, program);
        for (register, value) in [(RAX, rax), (RDX, rdx), (RCX, rcx)] {
            guest.cpu.set_gpr(register, value);
        }
        let limit = guest.cpu.insns() + 1;
        guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
        assert_eq!(guest.exceptions().first().copied(), want, "{program:x?} {rdx:x}:{rax:x}");
        if want.is_some() {
            assert_eq!((guest.cpu.gpr(RAX), guest.cpu.gpr(RDX)), (rax, rdx), "nothing has changed");
        }
    }
}

#[test]
fn bound_takes_signed_limits_inclusively() {
    for (index, want) in [(-4i32, None), (5, None), (-5, Some((5, None))), (6, Some((5, None)))] {
        // bound eax, [ebx]
        let mut guest = Guest::new(Mode::Protected32, 3, &[0x62, 0x03]);
        guest.write(DATA, B4, -4i64 as u64);
        guest.write(DATA + 4, B4, 5);
        guest.cpu.set_gpr(RBX, DATA);
        guest.cpu.set_gpr(RAX, u64::from(index as u32));
        let limit = guest.cpu.insns() + 1;
        guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
        assert_eq!(guest.exceptions().first().copied(), want, "{index}");
    }
}

/// WRMSR of a value: taken and read back, or refused.
#[test]
fn model_specific_registers_hold_what_they_may() {
    const HOLE: u64 = 1 << 47;
    const KERNEL: u64 = 0xffff_8000_0000_1234;
    let long = efer::LME | efer::LMA | efer::NXE;
    for (msr, value, want) in [
        // EFER: reserved bits, LME under paging; LMA is not for writing.
        (0xc000_0080u32, long, Some(long)),
        (0xc000_0080, efer::LME | efer::SCE, Some(efer::LME | efer::LMA | efer::SCE)),
        (0xc000_0080, efer::NXE, None),
        (0xc000_0080, long | 1 << 1, None),
        (0xc000_0080, long | 1 << 14, None),
        (0xc000_0081, u64::MAX, Some(u64::MAX)),
        (0xc000_0082, KERNEL, Some(KERNEL)),
        (0xc000_0082, HOLE, None),
        (0xc000_0083, HOLE, None),
        (0xc000_0084, 0xffff_ffff, Some(0xffff_ffff)),
        (0xc000_0100, KERNEL, Some(KERNEL)),
        (0xc000_0100, HOLE, None),
        (0xc000_0101, HOLE, None),
        (0xc000_0102, HOLE, None),
        (0xc000_0102, KERNEL, Some(KERNEL)),
        (0xc000_0103, 0xffff_ffff, Some(0xffff_ffff)),
        (0xc000_0103, 1 << 32, None),
        (0x174, 0x33, Some(0x33)),
        (0x175, HOLE, None),
        (0x175, KERNEL, Some(KERNEL)),
        (0x176, HOLE, None),
        (0x277, 0x0007_0406_0007_0406, Some(0x0007_0406_0007_0406)),
        (0x277, 0x0007_0406_0007_0402, None),
        (0x277, 0x0800_0000_0000_0000, None),
        (0x2ff, 0xc06, Some(0xc06)),
        (0x2ff, 0x1000, None),
        (0x2ff, 0x02, None),
        (0x1d9, 3, Some(3)),
        (0x1d9, 4, None),
        (0x250, 0x0606_0606_0606_0606, Some(0x0606_0606_0606_0606)),
        (0x250, 0x0706_0606_0606_0606, None),
        (0x200, 0xe000_0006, Some(0xe000_0006)),
        (0x200, 0xe000_0002, None),
        // Read-only, and not there at all.
        (0xfe, 0x508, None),
        (0x179, 0, None),
        (0xc000_0104, 0, None),
        (0x1234_5678, 0, None),
    ] {
        // wrmsr ; rdmsr
        let mut guest = Guest::new(Mode::Long, 0, &[0x0f, 0x30, 0x0f, 0x32, 0x90]);
        guest.cpu.set_gpr(RCX, u64::from(msr) | 0xffff << 32);
        guest.cpu.set_gpr(RAX, value & 0xffff_ffff);
        guest.cpu.set_gpr(RDX, value >> 32);
        guest.run(2);
        let found = guest.exceptions().first().copied();
        assert_eq!(found, if want.is_none() { GP0 } else { None }, "{msr:#x} = {value:#x}");
        if let Some(want) = want {
            assert_eq!(guest.cpu.gpr(RDX) << 32 | guest.cpu.gpr(RAX), want, "{msr:#x}");
        }
    }
    // Reading what is not there.
    for msr in [0u64, 0x1234_5678, 0xc000_0104, 0x600] {
        let mut guest = Guest::new(Mode::Long, 0, &[0x0f, 0x32]);
        guest.cpu.set_gpr(RCX, msr);
        guest.step();
        assert_eq!(guest.exceptions(), [(13, Some(0))], "{msr:#x}");
    }
}

#[test]
fn base_registers_are_those_of_the_segments() {
    // wrmsr of FS_BASE ; mov al, fs:[0]
    let mut guest = Guest::new(Mode::Long, 0, &[0x0f, 0x30, 0x64, 0x8a, 0x04, 0x25, 0, 0, 0, 0]);
    guest.cpu.set_gpr(RCX, 0xc000_0100);
    guest.cpu.set_gpr(RAX, DATA);
    guest.cpu.set_gpr(RDX, 0);
    guest.write(DATA, B1, 0x42);
    guest.run(2);
    assert_eq!((guest.cpu.gpr(RAX) & 0xff, guest.cpu.seg_base(Seg::Fs)), (0x42, DATA));
    // A load of the segment replaces the base.
    let mut guest = Guest::new(Mode::Long, 0, &[0x8e, 0xe0]);
    let mut state = guest.cpu.state();
    state.seg_bases[Seg::Fs as usize] = 1 << 40;
    state.gprs[RAX as usize] = u64::from(sel::DATA32);
    guest.cpu.restore(state).unwrap();
    guest.step();
    assert_eq!(guest.cpu.seg_base(Seg::Fs), 0);
}

#[test]
fn lmsw_sets_protection_but_never_clears_it() {
    // lmsw ax
    for (mode, value, low) in
        [(Mode::Real, 0xffff, 0xf), (Mode::Protected32, 0, 1), (Mode::Protected32, 0xffff, 0xf)]
    {
        let mut guest = Guest::new(mode, 0, &[0x0f, 0x01, 0xf0]);
        guest.cpu.set_gpr(RAX, value);
        let limit = guest.cpu.insns() + 1;
        guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
        assert_eq!(guest.cpu.control()[0] & 0xf, low, "{mode:?} {value:x}");
    }
}
