//! Segment registers: what they may be loaded with, what may be reached through them, and the instructions that look at
//! descriptors or load LDTR and TR. SDM vol. 3A, 3.4.5, 5.3 to 5.6 and 5.10; vol. 2: MOV, LAR, LSL, VERR, LLDT, LTR.

use super::CODE;
use super::guest::{GDT, GDT_LIMIT, Guest, Mode, flag, flat, gate, kind, segment, sel};
use crate::access::Width::{B1, B4, B8};
use crate::cpu::flags::bit::{ONE, ZF};
use crate::cpu::regs::{RAX, RBP, RBX, RCX, RSP, Seg, TableRegister};

const FREE: u16 = sel::FREE;
const ABSENT: u8 = kind::ABSENT;
/// Data, read-only; code, execute-only; conforming, execute-only.
const READ_ONLY: u8 = 0x91;
const EXECUTE_ONLY: u8 = 0x99;
const CONFORMING: u8 = 0x9f;
/// Data that grows downwards.
const DOWN: u8 = 0x97;

/// A fault's vector and error code.
type Outcome = Result<(), (u8, u16)>;

/// MOV of a selector to a segment register; the descriptor is [`FREE`]'s.
struct Load {
    mode: Mode,
    cpl: u8,
    seg: Seg,
    selector: u16,
    descriptor: u64,
    want: Outcome,
}

fn mov_to(seg: Seg) -> [u8; 2] {
    [0x8e, 0xc0 | (seg as u8) << 3]
}

fn check_load(case: &Load) {
    let mut guest = Guest::new(case.mode, case.cpl, &mov_to(case.seg));
    guest.describe(FREE, case.descriptor);
    guest.cpu.set_gpr(RAX, u64::from(case.selector));
    let before = *guest.cpu.seg(case.seg);
    guest.step();
    let what = format!("{:?} {:?} at {} {:#x}", case.mode, case.seg, case.cpl, case.selector);
    match case.want {
        Ok(()) => {
            assert_eq!(
                (guest.in_handler(), guest.cpu.seg(case.seg).selector),
                (None, case.selector),
                "{what}"
            );
            let null = case.selector & !3 == 0;
            assert_eq!(guest.cpu.seg(case.seg).null, null);
            if case.selector & !3 == FREE {
                assert_eq!(guest.descriptor(FREE), case.descriptor | 1 << 40, "{what}: accessed");
            }
        }
        Err((vector, error)) => {
            assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{what}");
            if case.seg != Seg::Ss || case.cpl == 0 && case.mode != Mode::Long {
                assert_eq!(*guest.cpu.seg(case.seg), before, "{what}");
            }
            assert_eq!(guest.descriptor(FREE), case.descriptor, "{what}: not accessed");
        }
    }
}

#[test]
fn data_segments_load_if_type_privilege_and_presence_allow() {
    let data = |kind: u8| flat(kind & !1, flag::DB);
    let beyond = GDT_LIMIT + 1;
    for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
        for (cpl, selector, descriptor, want) in [
            (0, 0, 0, Ok(())),
            (3, 3, 0, Ok(())),
            (0, FREE, data(kind::DATA), Ok(())),
            (0, FREE, data(READ_ONLY), Ok(())),
            (0, FREE, data(kind::DATA + kind::DPL3), Ok(())),
            (0, FREE | 3, data(kind::DATA + kind::DPL3), Ok(())),
            (3, FREE, data(kind::DATA + kind::DPL3), Ok(())),
            (3, FREE, data(kind::DATA), Err((13, FREE))),
            (0, FREE | 1, data(kind::DATA), Err((13, FREE))),
            (0, FREE | 3, data(kind::DATA + kind::DPL1), Err((13, FREE))),
            (0, FREE, data(kind::CODE), Ok(())),
            (0, FREE, data(EXECUTE_ONLY), Err((13, FREE))),
            (3, FREE | 3, data(CONFORMING), Ok(())),
            (3, FREE | 3, data(0x9d), Err((13, FREE))),
            (3, FREE | 3, data(kind::CODE), Err((13, FREE))),
            (0, FREE, u64::from(kind::TSS) << 40, Err((13, FREE))),
            (0, FREE, u64::from(kind::LDT) << 40, Err((13, FREE))),
            (0, FREE, data(kind::DATA - ABSENT), Err((11, FREE))),
            // A wrong type comes before absence.
            (0, FREE, data(EXECUTE_ONLY - ABSENT), Err((13, FREE))),
            (0, beyond, 0, Err((13, beyond))),
            (0, beyond | 3, 0, Err((13, beyond))),
            (0, 4, 0, Err((13, 4))),
            (0, 0xc, 0, Err((13, 0xc))),
        ] {
            for seg in [Seg::Ds, Seg::Es, Seg::Fs, Seg::Gs] {
                check_load(&Load { mode, cpl, seg, selector, descriptor, want });
            }
        }
    }
}

#[test]
fn a_stack_segment_is_writable_and_of_exactly_this_privilege() {
    let data = |kind: u8| flat(kind & !1, flag::DB);
    for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
        let null: [(u8, u16, Outcome); 4] = match mode {
            Mode::Long => [(0, 0, Ok(())), (0, 3, Err((13, 0))), (3, 3, Err((13, 0))), (3, 0, Err((13, 0)))],
            _ => [(0, 0, Err((13, 0))), (0, 3, Err((13, 0))), (3, 3, Err((13, 0))), (3, 0, Err((13, 0)))],
        };
        for (cpl, selector, want) in null {
            check_load(&Load { mode, cpl, seg: Seg::Ss, selector, descriptor: 0, want });
        }
        for (cpl, selector, descriptor, want) in [
            (0, FREE, data(kind::DATA), Ok(())),
            (3, FREE | 3, data(kind::DATA + kind::DPL3), Ok(())),
            (0, FREE, data(DOWN), Ok(())),
            (0, FREE | 3, data(kind::DATA), Err((13, FREE))),
            (0, FREE, data(kind::DATA + kind::DPL3), Err((13, FREE))),
            (3, FREE | 3, data(kind::DATA), Err((13, FREE))),
            (3, FREE, data(kind::DATA + kind::DPL3), Err((13, FREE))),
            (0, FREE, data(READ_ONLY), Err((13, FREE))),
            (0, FREE, data(kind::CODE), Err((13, FREE))),
            (0, FREE, u64::from(kind::TSS) << 40, Err((13, FREE))),
            // Absence of a stack is #SS.
            (0, FREE, data(kind::DATA - ABSENT), Err((12, FREE))),
            (0, GDT_LIMIT + 1, 0, Err((13, GDT_LIMIT + 1))),
        ] {
            check_load(&Load { mode, cpl, seg: Seg::Ss, selector, descriptor, want });
        }
    }
}

#[test]
fn a_descriptor_out_of_the_ldt_needs_one() {
    let selector = 0x0c | 3;
    for (limit, want) in [(0xf, None), (0xe, Some((13, Some(0x0c))))] {
        let mut guest = Guest::new(Mode::Protected32, 3, &mov_to(Seg::Es));
        guest.use_ldt();
        let mut ldt = guest.cpu.state().ldtr;
        ldt.limit = limit;
        guest.cpu.set_ldtr(ldt);
        guest.describe(selector, segment(0x1234_5678, 0xfff, kind::DATA + kind::DPL3, flag::DB));
        guest.cpu.set_gpr(RAX, u64::from(selector));
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want);
        if want.is_none() {
            assert_eq!((guest.cpu.seg_base(Seg::Es), guest.cpu.seg(Seg::Es).limit), (0x1234_5678, 0xfff));
        }
    }
}

#[test]
fn cs_is_not_for_mov() {
    for mode in [Mode::Real, Mode::Protected32, Mode::Long] {
        let mut guest = Guest::new(mode, 0, &mov_to(Seg::Cs));
        guest.step();
        assert_eq!(guest.in_handler(), Some(6));
    }
}

/// An access of a program through DS or SS with this descriptor.
struct Reach {
    seg: Seg,
    descriptor: u64,
    offset: u64,
    /// Bytes: 1 or 4.
    len: u64,
    write: bool,
    inside: bool,
}

fn check_reach(case: &Reach) {
    // (ss:) mov al, [ebx] and its three relatives
    let opcode = if case.write { 0x88 } else { 0x8a } + u8::from(case.len == 4);
    let program = if case.seg == Seg::Ss { vec![0x36, opcode, 0x03] } else { vec![opcode, 0x03] };
    let mut guest = Guest::new(Mode::Protected32, 0, &program);
    guest.describe(FREE, case.descriptor);
    if case.seg != Seg::Ss {
        guest.load(case.seg, FREE);
    } else {
        // The handler needs a stack, whatever the tested one is.
        guest.load(Seg::Ss, FREE);
        for vector in [12, 13] {
            guest.gate(vector, gate(kind::TASK, sel::TSS2, 0, 0));
        }
    }
    guest.cpu.set_gpr(RBX, case.offset);
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, crate::time::VirtTime(u64::MAX), limit);
    let vector = if case.seg == Seg::Ss { 12 } else { 13 };
    let want = (!case.inside).then_some((vector, Some(0)));
    let what = format!("{:?} {:x} at {:x} of {}", case.seg, case.descriptor, case.offset, case.len);
    assert_eq!(guest.exceptions().first().copied(), want, "{what}");
}

#[test]
fn limits_hold_to_the_byte_upwards_and_downwards() {
    let up = |limit| segment(0x10_0000, limit, kind::DATA, flag::DB);
    let down = |limit, flags| segment(0x10_0000, limit, DOWN, flags);
    let pages = segment(0, 2, kind::DATA, flag::DB | flag::G);
    for seg in [Seg::Ds, Seg::Ss] {
        for (descriptor, offset, len, inside) in [
            (up(0xfff), 0xfff, 1, true),
            (up(0xfff), 0x1000, 1, false),
            (up(0xfff), 0xffc, 4, true),
            (up(0xfff), 0xffd, 4, false),
            (up(0xfff), 0xffff_ffff, 1, false),
            (pages, 0x2fff, 1, true),
            (pages, 0x3000, 1, false),
            // Four bytes across the end of the address space are outside of the largest segment.
            (flat(kind::DATA, flag::DB), 0xffff_fffc, 4, true),
            (flat(kind::DATA, flag::DB), 0xffff_fffd, 4, false),
            (down(0xfff, flag::DB), 0xfff, 1, false),
            (down(0xfff, flag::DB), 0x1000, 1, true),
            (down(0xfff, flag::DB), 0xffe, 4, false),
            (down(0xfff, flag::DB), 0xffff_ffff, 1, true),
            (down(0xfff, flag::DB), 0xffff_fffe, 4, false),
            // Without B its upper end is 0xffff.
            (down(0xfff, 0), 0xffff, 1, true),
            (down(0xfff, 0), 0x1_0000, 1, false),
            (down(0xfff, 0), 0xfffd, 4, false),
            // In pages: everything up to 0xfff is out, with a limit of 0.
            (down(0, flag::DB | flag::G), 0xfff, 1, false),
            (down(0, flag::DB | flag::G), 0x1000, 1, true),
        ] {
            for write in [false, true] {
                check_reach(&Reach { seg, descriptor, offset, len, write, inside });
            }
        }
    }
}

#[test]
fn types_decide_over_reading_and_writing() {
    for (descriptor, read, write) in [
        (flat(READ_ONLY, flag::DB), true, false),
        (flat(kind::DATA, flag::DB), true, true),
        (flat(kind::CODE, flag::DB), true, false),
        (flat(EXECUTE_ONLY, flag::DB), false, false),
    ] {
        for (is_write, inside) in [(false, read), (true, write)] {
            let reach = Reach { seg: Seg::Ds, descriptor, offset: 0x5_0000, len: 4, write: is_write, inside };
            check_reach(&reach);
        }
    }
}

#[test]
fn nothing_is_reached_through_a_null_segment_except_in_64_bit_mode() {
    for (mode, want) in [
        (Mode::Protected32, Some((13, Some(0)))),
        (Mode::Compatibility, Some((13, Some(0)))),
        (Mode::Long, None),
    ] {
        // mov ds, eax ; mov al, [rbx]
        let mut guest = Guest::new(mode, 0, &[0x8e, 0xd8, 0x8a, 0x03]);
        guest.cpu.set_gpr(RAX, 0);
        guest.cpu.set_gpr(RBX, 0x5_0000);
        guest.run(2);
        assert_eq!(guest.exceptions().first().copied(), want, "{mode:?}");
    }
}

#[test]
fn in_real_mode_a_word_across_the_segments_end_faults() {
    // mov ax, [0xffff] ; push at SP = 1 ; mov ax, ss:[0xffff]
    for (program, sp, vector) in [
        (&[0xa1, 0xff, 0xff][..], 0x8000, Some(13)),
        (&[0xa0, 0xff, 0xff], 0x8000, None),
        (&[0x36, 0xa1, 0xff, 0xff], 0x8000, Some(12)),
        (&[0xa1, 0xfe, 0xff], 0x8000, None),
        (&[0x50], 2, None),
    ] {
        let mut guest = Guest::new(Mode::Real, 0, program);
        guest.cpu.set_gpr(RSP, sp);
        guest.step();
        assert_eq!(guest.in_handler(), vector, "{program:x?}");
    }
}

#[test]
fn code_ends_at_its_limit() {
    // A NOP as the last byte; a three-byte NOP across; a jump behind it.
    for (offset, program, want) in [
        (0xfff, &[0x90][..], None),
        (0xffe, &[0x0f, 0x1f, 0x00], Some(0xffe)),
        (0x1000, &[0x90], Some(0x1000)),
        (0x100, &[0xe9, 0xfb, 0x0e, 0, 0], Some(0x100)),
        (0x100, &[0xe9, 0xfa, 0x0e, 0, 0], None),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 0, &[]);
        guest.describe(FREE, segment(CODE, 0xfff, kind::CODE, flag::DB));
        guest.load(Seg::Cs, FREE);
        guest.bus.put(CODE + offset, program);
        guest.cpu.set_rip(offset);
        guest.step();
        assert_eq!(guest.in_handler(), want.map(|_| 13), "{offset:x} {program:x?}");
        if let Some(rip) = want {
            assert_eq!(guest.stack(B4, 3)[..2], [0, rip]);
        }
    }
}

#[test]
fn addresses_that_are_not_canonical_fault_by_the_register_they_were_made_with() {
    const HOLE: u64 = 1 << 47;
    for (program, register, value, want) in [
        // mov al, [rbx] ; [rbp+0] ; [rsp] ; push ; pop ; mov eax at the hole's edge ; fs:
        (&[0x8a, 0x03][..], RBX, HOLE, Some((13, Some(0)))),
        (&[0x8a, 0x45, 0], RBP, HOLE, Some((12, Some(0)))),
        (&[0x8a, 0x04, 0x24], RSP, HOLE, Some((12, Some(0)))),
        (&[0x50], RSP, HOLE + 64, Some((12, Some(0)))),
        (&[0x58], RSP, HOLE, Some((12, Some(0)))),
        (&[0xe8, 0, 0, 0, 0], RSP, HOLE + 64, Some((12, Some(0)))),
        (&[0x8b, 0x03], RBX, HOLE - 2, Some((13, Some(0)))),
        (&[0x8a, 0x03], RBX, !(HOLE - 1) - 1, Some((13, Some(0)))),
        (&[0x64, 0x8a, 0x03], RBX, HOLE - 16, Some((13, Some(0)))),
        // jmp rbx ; call rbx, which pushes nothing
        (&[0xff, 0xe3], RBX, HOLE, Some((13, Some(0)))),
        (&[0xff, 0xd3], RBX, HOLE, Some((13, Some(0)))),
        // In the upper half there is nothing but page faults.
        (&[0x8a, 0x03], RBX, !(HOLE - 1), Some((14, Some(0)))),
        (&[0x8a, 0x03], RBX, u64::MAX, Some((14, Some(0)))),
    ] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        let mut state = guest.cpu.state();
        state.seg_bases[Seg::Fs as usize] = 32;
        state.gprs[usize::from(register)] = value;
        guest.cpu.restore(state).unwrap();
        for vector in [12, 13, 14] {
            guest.gate(vector, gate(kind::INTERRUPT, sel::CODE64, super::guest::handler(vector), 1));
        }
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want, "{program:x?} {value:x}");
        let frame = guest.stack(B8, 5);
        let rsp = if register == RSP { value } else { super::STACK };
        assert_eq!((frame[1], frame[4]), (CODE, rsp), "{program:x?}: nothing has happened");
    }
    // ret to nowhere: the stack pointer stays.
    let mut guest = Guest::new(Mode::Long, 0, &[0xc3]);
    guest.push(B8, &[HOLE]);
    let rsp = guest.cpu.gpr(RSP);
    guest.step();
    let frame = guest.stack(B8, 5);
    assert_eq!((guest.in_handler(), frame[1], frame[4]), (Some(13), CODE, rsp));
}

/// What a program at a level learns of a descriptor: LAR, LSL, VERR, VERW.
struct Look {
    mode: Mode,
    cpl: u8,
    selector: u16,
    descriptor: u64,
    lar: Option<u64>,
    lsl: Option<u64>,
    verr: bool,
    verw: bool,
}

fn check_look(case: &Look) {
    let what = format!("{:?} at {} {:#x} {:#x}", case.mode, case.cpl, case.selector, case.descriptor);
    for (program, want) in [
        ([0x0f, 0x02, 0xc1], case.lar.map(Some)),
        ([0x0f, 0x03, 0xc1], case.lsl.map(Some)),
        ([0x0f, 0x00, 0xe1], case.verr.then_some(None)),
        ([0x0f, 0x00, 0xe9], case.verw.then_some(None)),
    ] {
        for zf in [0, ZF] {
            let mut guest = Guest::new(case.mode, case.cpl, &program);
            guest.describe(FREE, case.descriptor);
            guest.cpu.set_rflags(ONE | zf);
            guest.cpu.set_gpr(RAX, 0x5555_5555);
            guest.cpu.set_gpr(RCX, u64::from(case.selector));
            guest.step();
            assert_eq!(guest.cpu.rip(), CODE + 3, "{what} {program:x?}");
            assert_eq!(guest.cpu.rflags() & ZF != 0, want.is_some(), "{what} {program:x?}");
            let rax = want.flatten().unwrap_or(0x5555_5555);
            assert_eq!(guest.cpu.gpr(RAX), rax, "{what} {program:x?}");
            assert_eq!(guest.descriptor(FREE), case.descriptor, "nothing is marked accessed");
        }
    }
}

#[test]
fn a_program_may_look_at_descriptors_that_it_could_use() {
    let (p, long) = (Mode::Protected32, Mode::Long);
    let look = |mode, cpl, selector, descriptor, lar, lsl, verr, verw| Look {
        mode,
        cpl,
        selector,
        descriptor,
        lar,
        lsl,
        verr,
        verw,
    };
    let small = |kind| segment(0x1234, 0x5678, kind, flag::DB);
    let rights = |kind: u8, flags: u64| Some(u64::from(kind) << 8 | flags << 20);
    let system = |kind| segment(0x1234, 0x5678, kind, 0);
    for case in [
        look(p, 0, 0, 0, None, None, false, false),
        look(p, 0, 3, 0, None, None, false, false),
        look(p, 0, GDT_LIMIT + 1, 0, None, None, false, false),
        look(p, 0, 0xc, 0, None, None, false, false),
        look(p, 0, FREE, small(0x92), rights(0x92, 4), Some(0x5678), true, true),
        look(p, 0, FREE, flat(0x90, 0), rights(0x90, 8), Some(0xffff_ffff), true, false),
        look(p, 0, FREE, small(0x98), rights(0x98, 4), Some(0x5678), false, false),
        look(p, 0, FREE, small(0x9a), rights(0x9a, 4), Some(0x5678), true, false),
        // Absent segments are looked at all the same.
        look(p, 0, FREE, small(0x12), rights(0x12, 4), Some(0x5678), true, true),
        // Privilege, by CPL and by RPL; conforming code is for all.
        look(p, 3, FREE, small(0x92), None, None, false, false),
        look(p, 0, FREE | 3, small(0x92), None, None, false, false),
        look(p, 3, FREE | 3, small(0xf2), rights(0xf2, 4), Some(0x5678), true, true),
        look(p, 3, FREE | 3, small(0x9e), rights(0x9e, 4), Some(0x5678), true, false),
        // System descriptors: which have rights to show, which a limit.
        look(p, 0, FREE, system(0x81), rights(0x81, 0), Some(0x5678), false, false),
        look(p, 0, FREE, system(0x82), rights(0x82, 0), Some(0x5678), false, false),
        look(p, 0, FREE, system(0x83), rights(0x83, 0), Some(0x5678), false, false),
        look(p, 0, FREE, system(0x84), rights(0x84, 0), None, false, false),
        look(p, 0, FREE, system(0x85), rights(0x85, 0), None, false, false),
        look(p, 0, FREE, system(0x86), None, None, false, false),
        look(p, 0, FREE, system(0x87), None, None, false, false),
        look(p, 0, FREE, system(0x89), rights(0x89, 0), Some(0x5678), false, false),
        look(p, 0, FREE, system(0x8b), rights(0x8b, 0), Some(0x5678), false, false),
        look(p, 0, FREE, system(0x8c), rights(0x8c, 0), None, false, false),
        look(p, 0, FREE, system(0x8e), None, None, false, false),
        look(p, 0, FREE, system(0x80), None, None, false, false),
        look(p, 0, FREE, system(0x88), None, None, false, false),
        look(p, 3, FREE, system(0x89), None, None, false, false),
        // Long mode has fewer.
        look(long, 0, FREE, system(0x81), None, None, false, false),
        look(long, 0, FREE, system(0x82), rights(0x82, 0), Some(0x5678), false, false),
        look(long, 0, FREE, system(0x84), None, None, false, false),
        look(long, 0, FREE, system(0x85), None, None, false, false),
        look(long, 0, FREE, system(0x89), rights(0x89, 0), Some(0x5678), false, false),
        look(long, 0, FREE, system(0x8b), rights(0x8b, 0), Some(0x5678), false, false),
        look(long, 0, FREE, system(0x8c), rights(0x8c, 0), None, false, false),
        look(long, 3, FREE | 3, small(0xf2), rights(0xf2, 4), Some(0x5678), true, true),
    ] {
        check_look(&case);
    }
    // lar ax, cx shows only the low word; and leaves the rest.
    let mut guest = Guest::new(Mode::Protected32, 0, &[0x66, 0x0f, 0x02, 0xc1]);
    guest.describe(FREE, small(0x92));
    guest.cpu.set_gpr(RAX, 0x5555_5555);
    guest.cpu.set_gpr(RCX, u64::from(FREE));
    guest.step();
    assert_eq!(guest.cpu.gpr(RAX), 0x5555_9200);
}

#[test]
fn protected_mode_instructions_are_undefined_in_real_mode() {
    // lldt ; ltr ; sldt ; str ; verr ; lar ; lsl ; arpl
    for program in [
        &[0x0f, 0x00, 0xd0][..],
        &[0x0f, 0x00, 0xd8],
        &[0x0f, 0x00, 0xc0],
        &[0x0f, 0x00, 0xc8],
        &[0x0f, 0x00, 0xe0],
        &[0x0f, 0x02, 0xc0],
        &[0x0f, 0x03, 0xc0],
        &[0x63, 0xc0],
    ] {
        let mut guest = Guest::new(Mode::Real, 0, program);
        guest.step();
        assert_eq!(guest.in_handler(), Some(6), "{program:x?}");
    }
}

/// LLDT or LTR of [`FREE`] or another selector; in long mode with an upper half.
struct SystemLoad {
    mode: Mode,
    cpl: u8,
    task: bool,
    selector: u16,
    low: u64,
    high: u64,
    want: Outcome,
}

fn check_system_load(case: &SystemLoad) {
    let mut guest = Guest::new(case.mode, case.cpl, &[0x0f, 0x00, if case.task { 0xd8 } else { 0xd0 }]);
    guest.describe(FREE, case.low);
    if case.mode.is_long() {
        guest.describe(FREE + 8, case.high);
    }
    guest.cpu.set_gpr(RAX, u64::from(case.selector));
    let before = (guest.cpu.state().ldtr, guest.cpu.state().tr);
    guest.step();
    let what = format!("{:?} task {} {:#x} {:#x}", case.mode, case.task, case.selector, case.low);
    let state = guest.cpu.state();
    match case.want {
        Ok(()) => {
            assert_eq!(guest.cpu.rip(), CODE + 3, "{what}: {:?}", guest.exceptions());
            let loaded = if case.task { state.tr } else { state.ldtr };
            assert_eq!(loaded.selector, case.selector, "{what}");
            if case.selector & !3 != 0 {
                let high = if case.mode.is_long() { case.high << 32 } else { 0 };
                assert_eq!((loaded.base, loaded.limit), (high | 0x12_3456, 0x5678), "{what}");
            }
            let busy = u64::from(case.task) << 41;
            assert_eq!(guest.descriptor(FREE), case.low | busy, "{what}");
        }
        Err((vector, error)) => {
            assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{what}");
            assert_eq!((state.ldtr, state.tr), before, "{what}");
            assert_eq!(guest.descriptor(FREE), case.low, "{what}");
        }
    }
}

#[test]
fn ldtr_and_tr_load_what_they_are_for() {
    let (p, long) = (Mode::Protected32, Mode::Long);
    let system = |kind| segment(0x12_3456, 0x5678, kind, 0);
    let load = |mode, cpl, task, selector, low, high, want| SystemLoad {
        mode,
        cpl,
        task,
        selector,
        low,
        high,
        want,
    };
    for case in [
        load(p, 0, false, FREE, system(kind::LDT), 0, Ok(())),
        load(p, 0, false, 0, 0, 0, Ok(())),
        load(p, 3, false, FREE, system(kind::LDT), 0, Err((13, 0))),
        load(p, 0, false, FREE, system(kind::TSS), 0, Err((13, FREE))),
        load(p, 0, false, FREE, flat(kind::DATA, 0), 0, Err((13, FREE))),
        load(p, 0, false, FREE, system(kind::LDT - ABSENT), 0, Err((11, FREE))),
        load(p, 0, false, FREE | 4, system(kind::LDT), 0, Err((13, FREE | 4))),
        load(p, 0, false, GDT_LIMIT + 1, 0, 0, Err((13, GDT_LIMIT + 1))),
        load(p, 0, true, FREE, system(kind::TSS), 0, Ok(())),
        load(p, 0, true, FREE, system(kind::TSS16), 0, Ok(())),
        load(p, 0, true, FREE | 3, system(kind::TSS), 0, Ok(())),
        load(p, 0, true, 0, 0, 0, Err((13, 0))),
        load(p, 3, true, FREE, system(kind::TSS), 0, Err((13, 0))),
        load(p, 0, true, FREE, system(kind::TSS_BUSY), 0, Err((13, FREE))),
        load(p, 0, true, FREE, system(kind::LDT), 0, Err((13, FREE))),
        load(p, 0, true, FREE, system(kind::TSS - ABSENT), 0, Err((11, FREE))),
        load(long, 0, true, FREE, system(kind::TSS), 0xffff_8000, Ok(())),
        load(long, 0, true, FREE, system(kind::TSS16), 0, Err((13, FREE))),
        load(long, 0, true, FREE, system(kind::TSS), 0x8000, Err((13, FREE))),
        load(long, 0, true, FREE, system(kind::TSS), 1 << 40, Err((13, FREE))),
        load(long, 0, true, GDT_LIMIT - 7, 0, 0, Err((13, GDT_LIMIT - 7))),
        load(long, 0, false, FREE, system(kind::LDT), 0x7fff, Ok(())),
        load(long, 0, false, 0, 0, 0, Ok(())),
    ] {
        check_system_load(&case);
    }
}

#[test]
fn the_tables_registers_load_and_store_as_wide_as_the_mode() {
    // lgdt [rbx] ; sgdt [rbx+0x10]
    let program = [0x0f, 0x01, 0x13, 0x0f, 0x01, 0x43, 0x10];
    for (mode, cpl, base, stored) in [
        (Mode::Protected32, 0, 0x9abc_def0, 0x9abc_def0u64),
        (Mode::Long, 0, 0xffff_8000_1234_5678, 0xffff_8000_1234_5678),
    ] {
        let mut guest = Guest::new(mode, cpl, &program);
        guest.cpu.set_gpr(RBX, 0x5_0000);
        guest.bus.put(0x5_0000, &[0x67, 0x45]);
        guest.write(0x5_0002, B8, base);
        guest.run(2);
        assert_eq!(guest.cpu.state().gdtr, TableRegister { base: stored, limit: 0x4567 });
        assert_eq!(guest.read(0x5_0012, if mode == Mode::Long { B8 } else { B4 }), stored);
        if mode == Mode::Protected32 {
            assert_eq!(guest.read(0x5_0016, B1), 0, "six bytes are stored");
        }
    }
    // A base that is not canonical; CPL 3.
    for (cpl, base) in [(0, 1u64 << 47), (3, 0)] {
        let mut guest = Guest::new(Mode::Long, cpl, &program);
        guest.cpu.set_gpr(RBX, 0x5_0000);
        guest.write(0x5_0002, B8, base);
        guest.step();
        assert_eq!(guest.exceptions(), [(13, Some(0))]);
        assert_eq!(guest.cpu.state().gdtr.base, GDT);
    }
    // 16-bit operands: 24 bits of base. The whole image is read anyway.
    let mut guest = Guest::new(Mode::Protected32, 0, &[0x66, 0x0f, 0x01, 0x13]);
    guest.cpu.set_gpr(RBX, 0x5_0000);
    guest.write(0x5_0002, B4, 0x9abc_def0);
    guest.step();
    assert_eq!(guest.cpu.state().gdtr.base, 0xbc_def0);
}
