//! IRET in every mode, and which flags a program may change by it, by POPF, CLI and STI. SDM vol. 2A, "IRET"; vol. 2B,
//! "POPF", "STI"; vol. 3A, 6.8.3.

use super::CODE;
use super::guest::{Guest, INNER_STACK, Mode, flag, flat, kind, segment, sel};
use crate::access::Width::{self, B2, B4, B8};
use crate::cpu::CodeSize;
use crate::cpu::flags::bit::{AC, ARITHMETIC, DF, ID, IF, IOPL, NT, ONE, RF, TF, VIF, VIP, VM};
use crate::cpu::regs::{RSP, Seg};
use crate::time::VirtTime;
use crate::trace::TraceEvent;

const FREE: u16 = sel::FREE;
/// Where a return leads, and the stack it finds there.
const TO: u64 = 0x5_2000;
const OUTER: u64 = 0x6_0000;
const CODE32: u64 = sel::CODE32 as u64;
const CODE64: u64 = sel::CODE64 as u64;
const DATA: u64 = sel::DATA32 as u64;
const USER32: u64 = sel::USER_CODE32 as u64;
const USER64: u64 = sel::USER_CODE64 as u64;
const USER_DATA: u64 = sel::USER_DATA32 as u64;

/// IRET with operands of a width.
fn iret(mode: Mode, width: Width) -> &'static [u8] {
    match (mode, width) {
        (_, B8) => &[0x48, 0xcf],
        (Mode::Real | Mode::Protected16, B2) | (_, B4) => &[0xcf],
        _ => &[0x66, 0xcf],
    }
}

/// Runs one instruction and nothing of a handler.
fn once(guest: &mut Guest) {
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
}

/// A return from level 0 and what it leads to.
struct Return<'a> {
    mode: Mode,
    width: Width,
    frame: &'a [u64],
    /// [`FREE`]'s.
    descriptor: u64,
    /// CS, SS and RSP, or vector and error code.
    want: Result<(u16, u16, u64), (u8, u16)>,
}

fn check(case: &Return<'_>) {
    let mut guest = Guest::new(case.mode, 0, iret(case.mode, case.width));
    guest.describe(FREE, case.descriptor);
    if case.mode != Mode::Protected16 {
        guest.cpu.set_gpr(RSP, INNER_STACK[0]);
    }
    guest.push(case.width, case.frame);
    let before = (guest.cpu.gpr(RSP), guest.cpu.rflags());
    once(&mut guest);
    let what = format!("{:?} {:?} {:x?} {:#x}", case.mode, case.width, case.frame, case.descriptor);
    match case.want {
        Ok(want) => {
            let (cs, ss) = guest.cs_ss();
            assert_eq!((cs, ss, guest.cpu.gpr(RSP)), want, "{what}: {:?}", guest.exceptions());
            assert_eq!((guest.cpu.rip(), guest.cpu.cpl()), (case.frame[0], cs as u8 & 3), "{what}");
            let last = guest.bus.records.iter().rev().find_map(|(_, event)| match event {
                TraceEvent::CpuIret { rip } => Some(*rip),
                _ => None,
            });
            assert_eq!(last, Some(case.frame[0]), "{what}: traced");
        }
        Err((vector, error)) => {
            assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{what}");
            let width = if case.mode.is_long() { B8 } else { B4 };
            let frame = guest.stack(width, 5);
            assert_eq!((frame[0], frame[1]), (u64::from(error), CODE), "{what}");
            if case.mode.is_long() {
                assert_eq!(frame[4], before.0, "{what}: the frame is still there");
            }
            assert_eq!(frame[3] & (IF | TF), before.1 & (IF | TF));
        }
    }
}

#[test]
fn returns_of_protected_mode_take_a_stack_off_only_outward() {
    let [inner, ..] = INNER_STACK;
    let p = Mode::Protected32;
    let free = u64::from(FREE);
    let code = |kind| flat(kind, flag::DB);
    for (frame, descriptor, want) in [
        (vec![TO, CODE32, ONE], 0, Ok((sel::CODE32, sel::DATA32, inner))),
        (vec![TO, USER32, ONE, OUTER, USER_DATA], 0, Ok((sel::USER_CODE32, sel::USER_DATA32, OUTER))),
        (
            vec![TO, free | 3, ONE, OUTER, USER_DATA],
            code(kind::CODE + 4),
            Ok((FREE | 3, sel::USER_DATA32, OUTER)),
        ),
        (vec![TO, 0, ONE], 0, Err((13, 0))),
        (vec![TO, 2, ONE], 0, Err((13, 0))),
        (vec![TO, DATA, ONE], 0, Err((13, sel::DATA32))),
        (vec![TO, CODE32 | 3, ONE], 0, Err((13, sel::CODE32))),
        (vec![TO, USER32 & !3, ONE], 0, Err((13, sel::USER_CODE32 & !3))),
        (vec![TO, u64::from(sel::TSS), ONE], 0, Err((13, sel::TSS))),
        (vec![TO, free, ONE], code(kind::CODE - kind::ABSENT), Err((11, FREE))),
        (vec![TO, free, ONE], segment(0, TO - 1, kind::CODE, flag::DB), Err((13, 0))),
        (vec![TO, USER32, ONE, OUTER, 0], 0, Err((13, 0))),
        (vec![TO, USER32, ONE, OUTER, DATA], 0, Err((13, sel::DATA32))),
        (vec![TO, USER32, ONE, OUTER, USER32], 0, Err((13, sel::USER_CODE32 & !3))),
        (
            vec![TO, USER32, ONE, OUTER, free | 3],
            code(kind::DATA + kind::DPL3 - kind::ABSENT),
            Err((12, FREE)),
        ),
    ] {
        check(&Return { mode: p, width: B4, frame: &frame, descriptor, want });
    }
    // Words: the upper half of ESP stays, and that of EIP is cleared.
    let frame = [0x5678, CODE32, ONE];
    check(&Return {
        mode: p,
        width: B2,
        frame: &frame,
        descriptor: 0,
        want: Ok((sel::CODE32, sel::DATA32, inner)),
    });
    let frame = [0x5678, u64::from(sel::CODE16), ONE];
    let want = Ok((sel::CODE16, sel::DATA16, 0x8000));
    check(&Return { mode: Mode::Protected16, width: B2, frame: &frame, descriptor: 0, want });
}

#[test]
fn returns_of_64_bit_mode_always_take_a_stack_off() {
    let long = Mode::Long;
    let free = u64::from(FREE);
    let ring1 = |flags| flat(kind::CODE + kind::DPL1, flags);
    for (width, frame, descriptor, want) in [
        (B8, [TO, CODE64, ONE, OUTER, DATA], 0, Ok((sel::CODE64, sel::DATA32, OUTER))),
        // Any stack pointer, canonical or not: it is not used yet.
        (B8, [TO, CODE64, ONE, 1 << 47, DATA], 0, Ok((sel::CODE64, sel::DATA32, 1 << 47))),
        (B8, [TO, CODE64, ONE, OUTER, 0], 0, Ok((sel::CODE64, 0, OUTER))),
        (B8, [TO, USER64, ONE, OUTER, USER_DATA], 0, Ok((sel::USER_CODE64, sel::USER_DATA32, OUTER))),
        // To compatibility mode, of which the stack pointer is 32 bits.
        (
            B8,
            [TO, USER32, ONE, 1 << 32 | OUTER, USER_DATA],
            0,
            Ok((sel::USER_CODE32, sel::USER_DATA32, OUTER)),
        ),
        (B8, [TO, CODE32, ONE, OUTER, DATA], 0, Ok((sel::CODE32, sel::DATA32, OUTER))),
        (B4, [TO, CODE64, ONE, OUTER, DATA], 0, Ok((sel::CODE64, sel::DATA32, OUTER))),
        (B2, [0x5678, CODE64, ONE, 0x1234, DATA], 0, Ok((sel::CODE64, sel::DATA32, 0x1234))),
        (B8, [TO, free | 1, ONE, OUTER, 1], ring1(flag::L), Ok((FREE | 1, 1, OUTER))),
        // A null stack is neither for programs nor for compatibility mode.
        (B8, [TO, USER64, ONE, OUTER, 3], 0, Err((13, 0))),
        (B8, [TO, CODE32, ONE, OUTER, 0], 0, Err((13, 0))),
        (B8, [TO, free | 1, ONE, OUTER, 1], ring1(flag::DB), Err((13, 0))),
        (B8, [1 << 47, CODE64, ONE, OUTER, DATA], 0, Err((13, 0))),
        (B8, [1 << 32, CODE32, ONE, OUTER, DATA], 0, Err((13, 0))),
        (B8, [TO, 0, ONE, OUTER, DATA], 0, Err((13, 0))),
        (B8, [TO, DATA, ONE, OUTER, DATA], 0, Err((13, sel::DATA32))),
        (B8, [TO, CODE64, ONE, OUTER, USER_DATA], 0, Err((13, sel::USER_DATA32 & !3))),
        (B8, [TO, USER64, ONE, OUTER, DATA], 0, Err((13, sel::DATA32))),
        (B8, [TO, free, ONE, OUTER, DATA], flat(kind::CODE, flag::L | flag::DB), Err((13, FREE))),
        (B8, [TO, free, ONE, OUTER, DATA], flat(kind::CODE - kind::ABSENT, flag::L), Err((11, FREE))),
        (B8, [TO, CODE64, ONE, OUTER, free], flat(kind::DATA - kind::ABSENT, flag::DB), Err((12, FREE))),
        // VM means nothing in long mode.
        (B8, [TO, CODE64, ONE | VM, OUTER, DATA], 0, Ok((sel::CODE64, sel::DATA32, OUTER))),
    ] {
        check(&Return { mode: long, width, frame: &frame, descriptor, want });
    }
    // From compatibility mode the level decides, as in protected mode.
    let [inner, ..] = INNER_STACK;
    let compat = Mode::Compatibility;
    let want = Ok((sel::CODE32, sel::DATA32, inner));
    check(&Return { mode: compat, width: B4, frame: &[TO, CODE32, ONE], descriptor: 0, want });
    let want = Ok((sel::CODE64, sel::DATA32, inner));
    check(&Return { mode: compat, width: B4, frame: &[TO, CODE64, ONE], descriptor: 0, want });
}

#[test]
fn nested_tasks_are_not_for_long_mode() {
    for mode in [Mode::Long, Mode::Compatibility] {
        let mut guest = Guest::new(mode, 0, iret(mode, B4));
        guest.push(B4, &[TO, CODE32, ONE, OUTER, DATA]);
        guest.cpu.set_rflags(ONE | NT);
        guest.step();
        assert_eq!(guest.exceptions(), [(13, Some(0))], "{mode:?}");
    }
}

#[test]
fn real_mode_returns_within_the_limit() {
    let mut guest = Guest::new(Mode::Real, 0, &[0xcf]);
    guest.push(B2, &[0x5678, 0x1234, 0xffff]);
    once(&mut guest);
    assert_eq!((guest.cs_ss().0, guest.cpu.rip(), guest.cpu.gpr(RSP)), (0x1234, 0x5678, 0x8000));
    assert_eq!(guest.cpu.rflags(), ARITHMETIC | TF | IF | DF | IOPL | NT | ONE);
    let mut guest = Guest::new(Mode::Real, 0, &[0x66, 0xcf]);
    guest.push(B4, &[0x1_0000, 0x1234, ONE]);
    guest.step();
    assert_eq!(guest.in_handler(), Some(13));
}

#[test]
fn a_return_to_virtual_8086_mode_loads_nine_dwords() {
    let mut guest = Guest::new(Mode::Protected32, 0, &[0xcf]);
    let flags = ONE | VM | IF | IOPL | VIP;
    guest.push(B4, &[0x56, 0x1234, flags, 0x78, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000]);
    once(&mut guest);
    assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RSP), guest.cpu.cpl()), (0x56, 0x78, 3));
    assert_eq!((guest.cpu.rflags(), guest.cpu.code_size()), (flags, CodeSize::Bits16));
    for (seg, selector) in Seg::ALL.into_iter().zip([0x3000, 0x1234, 0x2000, 0x4000, 0x5000, 0x6000]) {
        let found = *guest.cpu.seg(seg);
        assert_eq!((found.selector, found.limit, found.dpl()), (selector, 0xffff, 3), "{seg:?}");
        assert_eq!(guest.cpu.seg_base(seg), u64::from(selector) << 4);
    }
    // Programs can't go there: VM is left alone.
    let mut guest = Guest::new(Mode::Protected32, 3, &[0xcf]);
    guest.push(B4, &[TO, USER32, ONE | VM]);
    once(&mut guest);
    assert_eq!((guest.cpu.rip(), guest.cpu.rflags() & VM), (TO, 0));
}

/// What may change: level, IOPL and other flags before, the instruction, and the flags it may change.
struct Change<'a> {
    cpl: u8,
    before: u64,
    program: &'a [u8],
    may: u64,
}

/// Sets and clears everything and looks at what followed.
fn check_change(case: &Change<'_>) {
    let returns = case.program.ends_with(&[0xcf]);
    for ones in [false, true] {
        let mut guest = Guest::new(Mode::Long, case.cpl, case.program);
        let (code, data) = if case.cpl == 0 { (CODE64, DATA) } else { (USER64, USER_DATA) };
        // TF would step; it is among what every level may change.
        let loaded = if ones { !(TF | VIF | VIP) } else { 0 };
        let loaded = if case.may & VIP != 0 && ones { loaded | VIF | VIP } else { loaded };
        if returns {
            guest.push(B8, &[TO, code, loaded, OUTER, data]);
        } else {
            guest.push(B8, &[loaded]);
        }
        guest.cpu.set_rflags(case.before | ONE);
        once(&mut guest);
        let want = case.before & !case.may & !RF | loaded & case.may & !TF | ONE;
        let what = format!("{:x?} at {} from {:x}", case.program, case.cpl, case.before);
        assert_eq!(guest.cpu.rflags(), want, "{what}: {:?}", guest.exceptions());
    }
}

#[test]
fn each_level_changes_the_flags_that_it_may() {
    let always = ARITHMETIC | DF | NT | AC | ID;
    let words = ARITHMETIC | DF | NT;
    let popf: &[u8] = &[0x9d];
    let popfw: &[u8] = &[0x66, 0x9d];
    let iretq: &[u8] = &[0x48, 0xcf];
    for (cpl, before, program, may) in [
        (0, 0, popf, always | IF | IOPL),
        (0, IOPL | IF, popf, always | IF | IOPL),
        (3, 0, popf, always),
        (3, IF, popf, always),
        (3, 0x2000, popf, always),
        (3, IOPL, popf, always | IF),
        (0, 0, popfw, words | IF | IOPL),
        (3, IF | AC, popfw, words),
        (0, 0, iretq, always | IF | IOPL | RF | VIF | VIP),
        (3, 0, iretq, always | RF),
        (3, IF, iretq, always | RF),
        (3, IOPL, iretq, always | IF | RF),
    ] {
        check_change(&Change { cpl, before, program, may });
    }
}

#[test]
fn cli_and_sti_ask_for_iopl() {
    for (program, before, after) in [(0xfau8, IF, 0), (0xfb, 0, IF)] {
        for (cpl, iopl, allowed) in [(0, 0, true), (3, 0, false), (3, 0x2000, false), (3, IOPL, true)] {
            let mut guest = Guest::new(Mode::Long, cpl, &[program, 0x90]);
            guest.cpu.set_rflags(ONE | before | iopl);
            once(&mut guest);
            let want = if allowed { None } else { Some((13, Some(0))) };
            assert_eq!(guest.exceptions().first().copied(), want, "{program:x} {cpl} {iopl:x}");
            if allowed {
                assert_eq!(guest.cpu.rflags() & IF, after);
            }
        }
    }
}

#[test]
fn pushf_shows_neither_rf_nor_vm() {
    let mut guest = Guest::new(Mode::Long, 0, &[0x9c]);
    guest.cpu.set_rflags(ONE | RF | IF | AC | ID);
    once(&mut guest);
    assert_eq!(guest.stack(B8, 1), [ONE | IF | AC | ID]);
}
