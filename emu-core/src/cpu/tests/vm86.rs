//! Virtual-8086 mode: what a program there may do at which IOPL, how its segments load, and the way out. SDM vol. 3B, 21.2 and 21.3.
//! Entering by IRET is in `iret.rs`, by a task switch in `task.rs`, ports in `privilege.rs`.

use super::guest::{Guest, Mode, flag, flat, gate, handler, kind, sel};
use crate::access::Width::{B2, B4};
use crate::cpu::control::cr4;
use crate::cpu::flags::bit::{CF, DF, IF, IOPL, ONE, VM};
use crate::cpu::regs::{RAX, RBX, RSP, Seg};

/// Where the program's segments begin, all of them.
const SEGMENT: u16 = 0x1000;
const BASE: u64 = (SEGMENT as u64) << 4;
const STACK_TOP: u64 = 0x8000;

/// A guest of level 3 in virtual-8086 mode, with further flags.
fn guest(program: &[u8], flags: u64) -> Guest {
    let mut guest = Guest::new(Mode::Protected32, 3, &[]);
    guest.cpu.set_rflags(ONE | VM | flags);
    for seg in Seg::ALL {
        guest.cpu.load_real_segment(seg, SEGMENT);
    }
    guest.bus.put(BASE, program);
    guest.cpu.set_rip(0);
    guest.cpu.set_gpr(RSP, STACK_TOP);
    guest.cpu.update_mode();
    guest
}

/// The exception of a program's first instruction, at IOPL 0 and at IOPL 3.
fn check(program: &[u8], below: Option<(u8, Option<u32>)>, at_3: Option<(u8, Option<u32>)>) {
    for (flags, want) in [(0, below), (IOPL, at_3)] {
        let mut guest = guest(program, flags);
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want, "{program:x?} with flags {flags:#x}");
    }
}

const GP0: Option<(u8, Option<u32>)> = Some((13, Some(0)));
const UD: Option<(u8, Option<u32>)> = Some((6, None));

#[test]
fn instructions_that_touch_the_interrupt_flag_ask_for_iopl_3() {
    let sensitive: &[&[u8]] = &[
        &[0xfa],       // cli
        &[0xfb],       // sti
        &[0x9c],       // pushf
        &[0x66, 0x9c], // pushfd
        &[0x9d],       // popf
        &[0x66, 0x9d], // popfd
        &[0xcf],       // iret
        &[0x66, 0xcf], // iretd
    ];
    for program in sensitive {
        check(program, GP0, None);
    }
    // int 0x40: at IOPL 3 the gate decides.
    check(&[0xcd, 0x40], GP0, Some((13, Some(0x40 * 8 + 2))));
}

#[test]
fn what_is_privileged_is_refused_at_every_iopl() {
    let privileged: &[&[u8]] = &[
        &[0xf4],                         // hlt
        &[0x0f, 0x06],                   // clts
        &[0x0f, 0x08],                   // invd
        &[0x0f, 0x09],                   // wbinvd
        &[0x0f, 0x01, 0x17],             // lgdt [bx]
        &[0x0f, 0x01, 0x1f],             // lidt [bx]
        &[0x0f, 0x01, 0xf0],             // lmsw ax
        &[0x0f, 0x01, 0x3f],             // invlpg [bx]
        &[0x0f, 0x20, 0xc0],             // mov eax, cr0
        &[0x0f, 0x22, 0xd8],             // mov cr3, eax
        &[0x0f, 0x21, 0xf8],             // mov eax, dr7
        &[0x0f, 0x23, 0xf8],             // mov dr7, eax
        &[0x0f, 0x30],                   // wrmsr
        &[0x0f, 0x32],                   // rdmsr
        &[0x0f, 0x35],                   // sysexit
        &[0x66, 0x0f, 0x38, 0x82, 0x07], // invpcid eax, [bx]
    ];
    for program in privileged {
        check(program, GP0, GP0);
    }
}

#[test]
fn what_needs_protection_is_undefined() {
    let undefined: &[&[u8]] = &[
        &[0x63, 0xc0],                   // arpl ax, ax
        &[0x0f, 0x02, 0xc1],             // lar ax, cx
        &[0x0f, 0x03, 0xc1],             // lsl ax, cx
        &[0x0f, 0x00, 0xc0],             // sldt ax
        &[0x0f, 0x00, 0xc8],             // str ax
        &[0x0f, 0x00, 0xd0],             // lldt ax
        &[0x0f, 0x00, 0xd8],             // ltr ax
        &[0x0f, 0x00, 0xe0],             // verr ax
        &[0x0f, 0x00, 0xe8],             // verw ax
        &[0x0f, 0x05],                   // syscall
        &[0xf3, 0x0f, 0xae, 0xc0],       // rdfsbase
        &[0xc5, 0xf8, 0x77],             // vzeroupper
        &[0xc4, 0xe2, 0x78, 0xf2, 0xc1], // andn
    ];
    for program in undefined {
        check(program, UD, UD);
    }
}

#[test]
fn the_tables_are_shown_unless_umip_hides_them() {
    // sgdt [bx] ; sidt [bx] ; smsw [bx]
    for program in [&[0x0f, 0x01, 0x07][..], &[0x0f, 0x01, 0x0f], &[0x0f, 0x01, 0x27]] {
        check(program, None, None);
        let mut guest = guest(program, IOPL);
        let mut state = guest.cpu.state();
        state.cr4 |= cr4::UMIP;
        guest.cpu.restore(state).unwrap();
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), GP0, "{program:x?}");
    }
}

#[test]
fn segments_are_sixteen_times_their_selectors() {
    // mov ds, ax: selectors that would be null, of an LDT, beyond the GDT
    for selector in [0u16, 3, 0x1234, 0xfffc, 0xffff] {
        let mut guest = guest(&[0x8e, 0xd8], 0);
        guest.cpu.set_gpr(RAX, u64::from(selector));
        guest.step();
        let found = *guest.cpu.seg(Seg::Ds);
        assert_eq!((found.selector, found.limit, found.dpl()), (selector, 0xffff, 3));
        assert_eq!(guest.cpu.seg_base(Seg::Ds), u64::from(selector) << 4);
    }
    // jmp 0x2345:0x10 ; call 0x2345:0x10
    for (program, pushed) in [([0xea, 0x10, 0, 0x45, 0x23], 0), ([0x9a, 0x10, 0, 0x45, 0x23], 4)] {
        let mut guest = guest(&program, 0);
        guest.step();
        assert_eq!((guest.cpu.rip(), guest.cpu.seg_base(Seg::Cs)), (0x10, 0x2_3450), "{program:x?}");
        assert_eq!((guest.cpu.gpr(RSP), guest.cpu.cpl()), (STACK_TOP - pushed, 3));
        assert_ne!(guest.cpu.rflags() & VM, 0);
    }
}

#[test]
fn offsets_end_at_64_kilobytes() {
    // mov al, [ebx] ; mov ax, [ebx] ; mov al, ss:[ebx] ; jmp ebx
    for (program, offset, want) in [
        (&[0x67, 0x8a, 0x03][..], 0xffff, None),
        (&[0x67, 0x8a, 0x03], 0x1_0000, GP0),
        (&[0x67, 0x8b, 0x03], 0xffff, GP0),
        (&[0x67, 0x36, 0x8a, 0x03], 0x1_0000, Some((12, Some(0)))),
        (&[0x66, 0xff, 0xe3], 0x1_0000, GP0),
    ] {
        let mut guest = guest(program, 0);
        guest.cpu.set_gpr(RBX, offset);
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want, "{program:x?} at {offset:#x}");
    }
}

#[test]
fn flags_that_are_popped_leave_the_level_and_the_mode_alone() {
    // popfd ; iretd: everything that was set is clear, IOPL and VM are neither.
    for (program, words) in
        [(&[0x66, 0x9d][..], &[ONE | CF | DF][..]), (&[0x66, 0xcf], &[0x20, 0x2000, ONE | CF | DF])]
    {
        let mut guest = guest(program, IOPL | IF);
        guest.push(B4, words);
        guest.step();
        assert_eq!(guest.cpu.rflags(), ONE | CF | DF | VM | IOPL, "{program:x?}");
        assert_eq!(guest.cpu.gpr(RSP), STACK_TOP);
    }
    // iret goes on in the segment that it pops.
    let mut returned = guest(&[0xcf], IOPL);
    returned.push(B2, &[0x20, 0x2000, ONE]);
    returned.step();
    assert_eq!((returned.cpu.rip(), returned.cpu.seg_base(Seg::Cs)), (0x20, 0x2_0000));
    // pushf shows IOPL; pushfd shows no VM.
    let mut shown = guest(&[0x66, 0x9c], IOPL | IF);
    shown.step();
    assert_eq!(shown.stack(B4, 1), [ONE | IOPL | IF]);
}

#[test]
fn a_handler_is_of_level_0_and_not_conforming() {
    let conforming = sel::CONFORMING;
    for (selector, want) in [
        (sel::CODE32, (0x40, None)),
        (sel::CODE1, (13, Some(u32::from(sel::CODE1) & !3))),
        (sel::USER_CODE32, (13, Some(u32::from(sel::USER_CODE32) & !3))),
        (conforming, (13, Some(u32::from(conforming)))),
    ] {
        let mut guest = guest(&[0xcd, 0x40], IOPL);
        guest.describe(sel::CONFORMING, flat(kind::CODE + 4, flag::DB));
        guest.gate(0x40, gate(kind::INTERRUPT + kind::DPL3, selector, handler(0x40), 0));
        guest.step();
        assert_eq!(guest.in_handler(), Some(want.0), "{selector:#x}");
        assert_eq!(guest.exceptions().first().and_then(|found| found.1), want.1, "{selector:#x}");
    }
}
