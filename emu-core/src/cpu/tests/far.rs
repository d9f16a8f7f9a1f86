//! Far JMP, CALL and RET, direct and through call gates. SDM vol. 3A, 5.8; vol. 2: CALL, JMP, RET.

use super::guest::{GDT_LIMIT, Guest, INNER_STACK, Mode, flag, flat, gate, kind, segment, sel};
use super::{CODE, STACK};
use crate::access::Width::{self, B2, B4, B8};
use crate::cpu::regs::{RBX, RSP, Seg};

const FREE: u16 = sel::FREE;
const ABSENT: u8 = kind::ABSENT;
/// Where far pointers lie, and where they lead.
const POINTER: u64 = 0x5_0000;
const TARGET: u64 = 0x5_1000;
/// JMP FAR [RBX] and CALL FAR [RBX].
const JMP: &[u8] = &[0xff, 0x2b];
const CALL: &[u8] = &[0xff, 0x1b];
/// Code as this level sees it in long mode and outside.
const LONG: u8 = flag::L;

type Outcome = Result<(u16, u64), (u8, u16)>;

/// A transfer to a selector whose descriptor is [`FREE`]'s, by a pointer with offset [`TARGET`].
struct Far {
    mode: Mode,
    cpl: u8,
    program: &'static [u8],
    selector: u16,
    descriptor: u64,
    /// CS and RIP, or vector and error code.
    want: Outcome,
}

fn guest_for(mode: Mode, cpl: u8, program: &[u8], selector: u16) -> Guest {
    let mut guest = Guest::new(mode, cpl, program);
    guest.write(POINTER, B4, TARGET);
    guest.write(POINTER + 4, B2, u64::from(selector));
    guest.cpu.set_gpr(RBX, POINTER);
    guest
}

fn check(case: &Far) {
    let mut guest = guest_for(case.mode, case.cpl, case.program, case.selector);
    guest.describe(FREE, case.descriptor);
    guest.step();
    let what = format!(
        "{:?} at {} {:x?} {:#x} {:#x}",
        case.mode, case.cpl, case.program, case.selector, case.descriptor
    );
    match case.want {
        Ok(want) => {
            assert_eq!((guest.cs_ss().0, guest.cpu.rip()), want, "{what}: {:?}", guest.exceptions());
            assert_eq!(guest.cpu.cpl(), case.cpl, "{what}");
            let pushed = if case.program == CALL { 8 } else { 0 };
            assert_eq!(guest.cpu.gpr(RSP), STACK - pushed, "{what}");
            if case.program == CALL {
                let cs = Guest::new(case.mode, case.cpl, &[]).cs_ss().0;
                assert_eq!(guest.stack(B4, 2), [CODE + 2, u64::from(cs)], "{what}");
            }
            assert_eq!(guest.descriptor(FREE) >> 40 & 1, 1, "{what}: accessed");
        }
        Err((vector, error)) => {
            assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{what}");
        }
    }
}

#[test]
fn direct_transfers_keep_the_level_and_check_the_segment() {
    for program in [JMP, CALL] {
        for (mode, l) in [(Mode::Protected32, 0), (Mode::Long, LONG)] {
            let code = |kind: u8| flat(kind & !1, if l == 0 { flag::DB } else { l });
            let ok = |selector| Ok((selector, TARGET));
            for (cpl, selector, descriptor, want) in [
                (0, FREE, code(kind::CODE), ok(FREE)),
                (3, FREE | 3, code(kind::CODE + kind::DPL3), ok(FREE | 3)),
                // RPL becomes CPL, and may not be above it.
                (3, FREE, code(kind::CODE + kind::DPL3), ok(FREE | 3)),
                (0, FREE | 3, code(kind::CODE), Err((13, FREE))),
                (3, FREE | 3, code(kind::CODE), Err((13, FREE))),
                (0, FREE, code(kind::CODE + kind::DPL3), Err((13, FREE))),
                // Conforming: of this level or an inner one, whatever RPL is.
                (3, FREE | 3, code(kind::CODE + 4), ok(FREE | 3)),
                (0, FREE | 3, code(kind::CODE + 4), ok(FREE)),
                (0, FREE, code(kind::CODE + 4 + kind::DPL3), Err((13, FREE))),
                (0, 0, 0, Err((13, 0))),
                (0, 3, 0, Err((13, 0))),
                (0, GDT_LIMIT + 1, 0, Err((13, GDT_LIMIT + 1))),
                (0, 0xc, 0, Err((13, 0xc))),
                (0, FREE, flat(kind::DATA, flag::DB), Err((13, FREE))),
                (0, FREE, code(kind::CODE - ABSENT), Err((11, FREE))),
                (0, FREE, segment(0, 0x5678, kind::LDT, 0), Err((13, FREE))),
                (0, FREE, segment(0, 0x5678, kind::TSS_BUSY, 0), Err((13, FREE))),
                (0, FREE, gate(kind::INTERRUPT, sel::CODE32, 0, 0), Err((13, FREE))),
            ] {
                check(&Far { mode, cpl, program, selector, descriptor, want });
            }
        }
        // Beyond the limit; L and D together; 64-bit code needs long mode to be 64-bit.
        for (mode, descriptor, want) in [
            (Mode::Protected32, segment(0, TARGET, kind::CODE, flag::DB), Ok((FREE, TARGET))),
            (Mode::Protected32, segment(0, TARGET - 1, kind::CODE, flag::DB), Err((13, 0))),
            (Mode::Long, flat(kind::CODE, flag::L | flag::DB), Err((13, FREE))),
            (Mode::Long, segment(0, 0, kind::CODE, flag::L), Ok((FREE, TARGET))),
            (Mode::Long, segment(0, TARGET - 1, kind::CODE, flag::DB), Err((13, 0))),
            // Nothing of tasks is left there.
            (Mode::Long, segment(0, 0x67, kind::TSS, 0), Err((13, FREE))),
            (Mode::Long, gate(kind::TASK, sel::TSS2, 0, 0), Err((13, FREE))),
            (Mode::Long, gate(kind::CALL16, sel::CODE64, 0, 0), Err((13, FREE))),
        ] {
            check(&Far { mode, cpl: 0, program, selector: FREE, descriptor, want });
        }
    }
}

#[test]
fn far_transfers_change_the_mode_of_long_mode() {
    for (mode, selector, size) in [
        (Mode::Long, sel::CODE32, crate::cpu::CodeSize::Bits32),
        (Mode::Compatibility, sel::CODE64, crate::cpu::CodeSize::Bits64),
        (Mode::Long, sel::CODE16, crate::cpu::CodeSize::Bits16),
    ] {
        let mut guest = guest_for(mode, 0, JMP, selector);
        guest.write(POINTER, B4, 0x5000);
        guest.step();
        assert_eq!((guest.cpu.code_size(), guest.cpu.rip()), (size, 0x5000), "{mode:?} {selector:#x}");
    }
}

#[test]
fn a_64_bit_pointer_takes_ten_bytes_and_must_be_canonical() {
    for (offset, want) in [(0x1_2345_6789, None), (1 << 47, Some((13, Some(0))))] {
        let mut guest = guest_for(Mode::Long, 0, &[0x48, 0xff, 0x1b], 0);
        guest.write(POINTER, B8, offset);
        guest.write(POINTER + 8, B2, u64::from(sel::CODE64));
        guest.cpu.run(&mut guest.bus, crate::time::VirtTime(u64::MAX), 1);
        assert_eq!(guest.exceptions().first().copied(), want);
        if want.is_none() {
            assert_eq!(guest.cpu.rip(), offset);
            assert_eq!(guest.stack(B8, 2), [CODE + 3, u64::from(sel::CODE64)]);
        }
    }
}

#[test]
fn real_mode_takes_any_selector_but_no_offset_beyond_the_limit() {
    // jmp far 0x1234:0x5678 ; call far ; with 32-bit operands
    let mut guest = Guest::new(Mode::Real, 0, &[0xea, 0x78, 0x56, 0x34, 0x12]);
    guest.step();
    assert_eq!((guest.cs_ss().0, guest.cpu.seg_base(Seg::Cs), guest.cpu.rip()), (0x1234, 0x1_2340, 0x5678));
    let mut guest = Guest::new(Mode::Real, 0, &[0x9a, 0x78, 0x56, 0x34, 0x12]);
    guest.step();
    assert_eq!((guest.cs_ss().0, guest.stack(B2, 2)), (0x1234, vec![5, 0xf00d]));
    let mut guest = Guest::new(Mode::Real, 0, &[0x66, 0xea, 0, 0, 1, 0, 0, 0]);
    guest.step();
    assert_eq!(guest.in_handler(), Some(13));
    // retf 2
    let mut guest = Guest::new(Mode::Real, 0, &[0xca, 2, 0]);
    guest.push(B2, &[0x5678, 0x1234, 0]);
    guest.step();
    assert_eq!((guest.cs_ss().0, guest.cpu.rip(), guest.cpu.gpr(RSP)), (0x1234, 0x5678, 0x8000));
}

/// A call through a gate at [`FREE`], two parameters on the stack.
struct Gate<'a> {
    mode: Mode,
    cpl: u8,
    gate: u64,
    /// CS, SS and RSP after it, and the frame.
    want: (u16, u16, u64),
    frame: (Width, &'a [u64]),
}

fn check_gate(case: &Gate<'_>) {
    // The pointer's own offset counts for nothing.
    let mut guest = guest_for(case.mode, case.cpl, CALL, FREE | u16::from(case.cpl));
    guest.describe(FREE, case.gate);
    guest.describe(FREE + 8, 0);
    let parameters = if case.gate >> 40 & 8 == 0 { B2 } else { B4 };
    guest.push(parameters, &[0x1111, 0x2222]);
    guest.step();
    let what = format!("{:?} at {} {:#x}: {:?}", case.mode, case.cpl, case.gate, guest.exceptions());
    let (cs, ss) = guest.cs_ss();
    assert_eq!((cs, ss, guest.cpu.gpr(RSP)), case.want, "{what}");
    let (width, frame) = case.frame;
    assert_eq!(guest.stack(width, frame.len()), frame, "{what}");
    assert_eq!((guest.cpu.rip(), guest.cpu.cpl()), (TARGET & 0xffff_ffff, cs as u8 & 3), "{what}");
}

#[test]
fn call_gates_switch_stacks_and_copy_parameters() {
    let [inner, ring1, _] = INNER_STACK;
    let user = u64::from(sel::USER_CODE32);
    let data = u64::from(sel::USER_DATA32);
    let protected = Mode::Protected32;
    let (gate32, gate16) = (kind::CALL + kind::DPL3, kind::CALL16 + kind::DPL3);
    let low = TARGET & 0xffff;
    for case in [
        Gate {
            mode: protected,
            cpl: 3,
            gate: gate(gate32, sel::CODE32, TARGET, 2),
            want: (sel::CODE32, sel::DATA32, inner - 24),
            frame: (B4, &[CODE + 2, user, 0x1111, 0x2222, STACK - 8, data]),
        },
        Gate {
            mode: protected,
            cpl: 3,
            gate: gate(gate32, sel::CODE1, TARGET, 0),
            want: (sel::CODE1, sel::DATA1, ring1 - 16),
            frame: (B4, &[CODE + 2, user, STACK - 8, data]),
        },
        // The same level: no stack, no parameters copied.
        Gate {
            mode: protected,
            cpl: 0,
            gate: gate(gate32, sel::CODE32, TARGET, 2),
            want: (sel::CODE32, sel::DATA32, STACK - 16),
            frame: (B4, &[CODE + 2, u64::from(sel::CODE32), 0x1111, 0x2222]),
        },
        Gate {
            mode: protected,
            cpl: 3,
            gate: gate(gate32, sel::CONFORMING, TARGET, 2),
            want: (sel::CONFORMING | 3, sel::USER_DATA32, STACK - 16),
            frame: (B4, &[CODE + 2, user, 0x1111, 0x2222]),
        },
        // Long mode: four quadwords, SS null.
        Gate {
            mode: Mode::Long,
            cpl: 3,
            gate: gate(gate32, sel::CODE64, TARGET, 0),
            want: (sel::CODE64, 0, inner - 32),
            frame: (B8, &[CODE + 2, sel::USER_CODE64 as u64, STACK - 8, data]),
        },
        Gate {
            mode: Mode::Compatibility,
            cpl: 3,
            gate: gate(gate32, sel::CODE64, TARGET, 2),
            want: (sel::CODE64, 0, inner - 32),
            frame: (B8, &[CODE + 2, user, STACK - 8, data]),
        },
        Gate {
            mode: Mode::Long,
            cpl: 0,
            gate: gate(gate32, sel::CODE64, TARGET, 0),
            want: (sel::CODE64, sel::DATA32, STACK - 24),
            frame: (B8, &[CODE + 2, sel::CODE64 as u64]),
        },
    ] {
        check_gate(&case);
    }
    // A 16-bit gate: words, and 16 bits of offset.
    let mut guest = guest_for(protected, 3, CALL, FREE | 3);
    guest.describe(FREE, gate(gate16, sel::CODE32, TARGET, 2));
    guest.push(B2, &[0x1111, 0x2222]);
    guest.step();
    let frame = [(CODE + 2) & 0xffff, user, 0x1111, 0x2222, (STACK - 4) & 0xffff, data];
    assert_eq!((guest.cpu.rip(), guest.stack(B2, 6)), (low, frame.to_vec()), "{:?}", guest.exceptions());
    assert_eq!(guest.cpu.gpr(RSP), inner - 12);
}

/// A transfer through a gate that is refused.
#[test]
fn a_gate_refuses_by_its_own_selector_or_by_its_targets() {
    let call = kind::CALL;
    let dpl3 = call + kind::DPL3;
    let other = FREE + 16;
    let none = (other, 0);
    let (p, long) = (Mode::Protected32, Mode::Long);
    for (mode, cpl, program, low, descriptor, want) in [
        // The gate's DPL against CPL; its presence.
        (p, 3, CALL, gate(call, sel::CODE32, TARGET, 0), none, (13, FREE)),
        (p, 3, JMP, gate(call, sel::CODE32, TARGET, 0), none, (13, FREE)),
        (p, 0, CALL, gate(call - ABSENT, sel::CODE32, TARGET, 0), none, (11, FREE)),
        // Its target: null, data, absent, an outer level, beyond the limit.
        (p, 0, CALL, gate(call, 0, TARGET, 0), none, (13, 0)),
        (p, 0, CALL, gate(call, sel::DATA32, TARGET, 0), none, (13, sel::DATA32)),
        (p, 0, CALL, gate(call, other, TARGET, 0), (other, flat(kind::CODE - ABSENT, flag::DB)), (11, other)),
        (p, 0, CALL, gate(call, sel::USER_CODE32, TARGET, 0), none, (13, sel::USER_CODE32 & !3)),
        (p, 0, CALL, gate(call, other, TARGET, 0), (other, segment(0, 0xff, kind::CODE, flag::DB)), (13, 0)),
        (p, 0, CALL, gate(call, GDT_LIMIT + 1, TARGET, 0), none, (13, GDT_LIMIT + 1)),
        // JMP does not go inward.
        (p, 3, JMP, gate(dpl3, sel::CODE32, TARGET, 0), none, (13, sel::CODE32)),
        (long, 3, JMP, gate(dpl3, sel::CODE64, TARGET, 0), none, (13, sel::CODE64)),
        // In long mode it leads to 64-bit code only.
        (long, 0, CALL, gate(call, sel::CODE32, TARGET, 0), none, (13, sel::CODE32)),
        (
            long,
            0,
            CALL,
            gate(call, other, TARGET, 0),
            (other, flat(kind::CODE, flag::L | flag::DB)),
            (13, other),
        ),
    ] {
        let mut guest = guest_for(mode, cpl, program, FREE | u16::from(cpl));
        guest.describe(FREE, low);
        guest.describe(FREE + 8, 0);
        guest.describe(descriptor.0, descriptor.1);
        guest.step();
        let (vector, error) = want;
        assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{mode:?} at {cpl} {low:#x}");
    }
    // The RPL of the pointer counts as well.
    let mut guest = guest_for(p, 0, CALL, FREE | 3);
    guest.describe(FREE, gate(call, sel::CODE32, TARGET, 0));
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(u32::from(FREE)))]);
    // Long mode: a type in the upper half; a target that is not canonical; a gate cut by the table's end.
    for (high, error) in [(1 << 40, u32::from(FREE)), (0x8000, 0)] {
        let mut guest = guest_for(long, 0, CALL, FREE);
        guest.describe(FREE, gate(call, sel::CODE64, TARGET, 0));
        guest.describe(FREE + 8, high);
        guest.step();
        assert_eq!(guest.exceptions(), [(13, Some(error))], "{high:x}");
    }
    let last = GDT_LIMIT - 7;
    let mut guest = guest_for(long, 0, CALL, last);
    guest.describe(last, gate(call, sel::CODE64, TARGET, 0));
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(u32::from(last)))]);
}

#[test]
fn jmp_through_a_gate_takes_its_offset_and_pushes_nothing() {
    for (mode, target) in [(Mode::Protected32, sel::CODE32), (Mode::Long, sel::CODE64)] {
        let mut guest = guest_for(mode, 0, JMP, FREE);
        guest.write(POINTER, B4, 0);
        guest.describe(FREE, gate(kind::CALL, target, TARGET, 3));
        guest.describe(FREE + 8, 0);
        guest.step();
        assert_eq!((guest.cs_ss().0, guest.cpu.rip(), guest.cpu.gpr(RSP)), (target, TARGET, STACK));
    }
}

/// A far return with this frame; two further words are released of both stacks.
struct Return<'a> {
    mode: Mode,
    cpl: u8,
    frame: &'a [u64],
    descriptor: u64,
    /// CS, SS and RSP, or vector and error code.
    want: Result<(u16, u16, u64), (u8, u16)>,
}

/// RETF 8, of dwords outside of 64-bit mode and quadwords in it.
fn check_return(case: &Return<'_>) {
    let (program, width): (&[u8], _) =
        if case.mode == Mode::Long { (&[0x48, 0xca, 8, 0], B8) } else { (&[0xca, 8, 0], B4) };
    let mut guest = Guest::new(case.mode, case.cpl, program);
    guest.describe(FREE, case.descriptor);
    guest.cpu.set_gpr(RSP, INNER_STACK[0]);
    guest.push(width, case.frame);
    let what = format!("{:?} {:x?} {:#x}", case.mode, case.frame, case.descriptor);
    let rsp = guest.cpu.gpr(RSP);
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, crate::time::VirtTime(u64::MAX), limit);
    match case.want {
        Ok(want) => {
            let (cs, ss) = guest.cs_ss();
            assert_eq!((cs, ss, guest.cpu.gpr(RSP)), want, "{what}: {:?}", guest.exceptions());
            assert_eq!((guest.cpu.rip(), guest.cpu.cpl()), (case.frame[0], cs as u8 & 3), "{what}");
        }
        Err((vector, error)) => {
            assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{what}");
            assert_eq!(guest.cpu.gpr(RSP) & !0xff, (rsp - 1) & !0xff, "{what}");
        }
    }
}

#[test]
fn far_returns_go_to_the_same_level_or_outward() {
    let (code, data) = (u64::from(sel::USER_CODE32), u64::from(sel::USER_DATA32));
    let free = u64::from(FREE);
    let [inner, ..] = INNER_STACK;
    let p = Mode::Protected32;
    let to = 0x5_2000;
    let outer = 0x6_0000;
    let frame = |cs: u64, ss: u64| [to, cs, 0, 0, outer, ss];
    let flat32 = |kind| flat(kind, flag::DB);
    for (frame, descriptor, want) in [
        (vec![to, u64::from(sel::CODE32), 0, 0], 0, Ok((sel::CODE32, sel::DATA32, inner))),
        (frame(code, data).to_vec(), 0, Ok((sel::USER_CODE32, sel::USER_DATA32, outer + 8))),
        (frame(free | 3, data).to_vec(), flat32(kind::CODE + 4), Ok((FREE | 3, sel::USER_DATA32, outer + 8))),
        (vec![to, 0, 0, 0], 0, Err((13, 0))),
        (vec![to, 3, 0, 0], 0, Err((13, 0))),
        (vec![to, u64::from(sel::DATA32), 0, 0], 0, Err((13, sel::DATA32))),
        (vec![to, u64::from(sel::CODE32) | 3, 0, 0], 0, Err((13, sel::CODE32))),
        (vec![to, code & !3, 0, 0], 0, Err((13, sel::USER_CODE32 & !3))),
        (vec![to, free, 0, 0], flat32(kind::CODE - ABSENT), Err((11, FREE))),
        (vec![to, free, 0, 0], segment(0, to - 1, kind::CODE, flag::DB), Err((13, 0))),
        (vec![to, u64::from(GDT_LIMIT) + 1, 0, 0], 0, Err((13, GDT_LIMIT + 1))),
        // The outer stack.
        (frame(code, 0).to_vec(), 0, Err((13, 0))),
        (frame(code, 3).to_vec(), 0, Err((13, 0))),
        (frame(code, u64::from(sel::DATA32)).to_vec(), 0, Err((13, sel::DATA32))),
        (frame(code, data & !3).to_vec(), 0, Err((13, sel::USER_DATA32 & !3))),
        (frame(code, free | 3).to_vec(), flat32(0xf1), Err((13, FREE))),
        (frame(code, free | 3).to_vec(), flat32(kind::DATA + kind::DPL3 - ABSENT), Err((12, FREE))),
    ] {
        check_return(&Return { mode: p, cpl: 0, frame: &frame, descriptor, want });
    }
    let (code64, user64) = (u64::from(sel::CODE64), u64::from(sel::USER_CODE64));
    for (frame, descriptor, want) in [
        // A far return to the same level takes no stack off, in 64-bit mode either.
        (vec![to, code64, 0], 0, Ok((sel::CODE64, sel::DATA32, inner))),
        (vec![to, user64, 0, outer, data], 0, Ok((sel::USER_CODE64, sel::USER_DATA32, outer + 8))),
        (vec![to, code, 0, outer, data], 0, Ok((sel::USER_CODE32, sel::USER_DATA32, outer + 8))),
        (vec![1 << 47, code64, 0], 0, Err((13, 0))),
        (vec![to, user64, 0, outer, 3], 0, Err((13, 0))),
        // Null stacks are for 64-bit code below CPL 3.
        (
            vec![to, free | 1, 0, outer, 1],
            flat(kind::CODE + kind::DPL1, flag::L),
            Ok((FREE | 1, 1, outer + 8)),
        ),
        (vec![to, free | 1, 0, outer, 1], flat(kind::CODE + kind::DPL1, flag::DB), Err((13, 0))),
    ] {
        check_return(&Return { mode: Mode::Long, cpl: 0, frame: &frame, descriptor, want });
    }
    // Not inward.
    check_return(&Return {
        mode: p,
        cpl: 3,
        frame: &[to, u64::from(sel::CODE32), 0, 0],
        descriptor: 0,
        want: Err((13, sel::CODE32)),
    });
}

#[test]
fn a_return_outward_takes_away_the_segments_of_the_inner_level() {
    let mut guest = Guest::new(Mode::Protected32, 0, &[0xcb]);
    let (code, data) = (u64::from(sel::USER_CODE32), u64::from(sel::USER_DATA32));
    guest.push(B4, &[0x5_2000, code, 0x6_0000, data]);
    for (seg, selector) in [
        (Seg::Es, sel::DATA32),
        (Seg::Ds, sel::USER_DATA32),
        (Seg::Fs, sel::CONFORMING),
        (Seg::Gs, sel::CODE32),
    ] {
        guest.load(seg, selector);
    }
    guest.step();
    let left = [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs].map(|seg| guest.cpu.seg(seg).selector);
    assert_eq!(left, [0, sel::USER_DATA32, sel::CONFORMING, 0]);
    assert!(guest.cpu.seg(Seg::Es).null && guest.cpu.seg(Seg::Gs).null);
}

#[test]
fn a_call_whose_push_faults_has_not_happened() {
    // A full expand-up stack: the limit is below what is pushed.
    for selector in [sel::CODE32, FREE] {
        let mut guest = guest_for(Mode::Protected32, 0, CALL, selector);
        guest.describe(FREE, gate(kind::CALL, sel::CODE32, TARGET, 0));
        guest.describe(FREE + 8, segment(0, 0xffff, kind::DATA, flag::DB));
        guest.load(Seg::Ss, FREE + 8);
        guest.cpu.set_gpr(RSP, 4);
        guest.gate(12, gate(kind::TASK, sel::TSS2, 0, 0));
        let limit = guest.cpu.insns() + 1;
        guest.cpu.run(&mut guest.bus, crate::time::VirtTime(u64::MAX), limit);
        assert_eq!(guest.exceptions().first(), Some(&(12, Some(0))), "{selector:#x}");
    }
}
