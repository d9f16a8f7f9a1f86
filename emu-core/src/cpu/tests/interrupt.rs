//! Exceptions and interrupts on their way through the IDT: frames to the byte, error codes, privilege, what happens when
//! a delivery faults. SDM vol. 3A, 6.12 to 6.14; vol. 2A, "INT n/INTO/INT3/INT1".

use super::guest::{
    GDT_LIMIT, Guest, IDT, INNER_STACK, Mode, TSS, flag, flat, gate, handler, ist_stack, kind, sel,
};
use super::{CODE, STACK};
use crate::access::Width::{self, B2, B4, B8};
use crate::cpu::flags::bit::{self, IF, NT, ONE, RF, TF};
use crate::cpu::regs::{RAX, RSP, Seg, TableRegister};
use crate::cpu::{Activity, Attention};
use crate::trace::TraceEvent;

/// INT 0x40.
const INT_40: &[u8] = &[0xcd, 0x40];
/// UD2.
const UD2: &[u8] = &[0x0f, 0x0b];
/// MOV DS, AX.
const MOV_DS_AX: &[u8] = &[0x8e, 0xd8];
/// NOP, NOP.
const NOPS: &[u8] = &[0x90, 0x90];

/// One delivery and what it leaves.
struct Delivery<'a> {
    mode: Mode,
    cpl: u8,
    /// The vector's gate, if it is not the guest's own.
    gate: Option<u64>,
    program: &'a [u8],
    vector: u8,
    /// Width and words of the frame, top of stack first.
    frame: (Width, &'a [u64]),
    /// The handler's CS, SS and RSP.
    handler: (u16, u16, u64),
    /// The handler's IF and NT.
    flags: u64,
}

fn check(case: &Delivery<'_>) {
    let mut guest = Guest::new(case.mode, case.cpl, case.program);
    if let Some(gate) = case.gate {
        guest.gate(case.vector, gate);
    }
    guest.cpu.set_rflags(ONE | IF | if case.mode == Mode::Long { 0 } else { NT });
    guest.step();
    let what = format!("{:?} at {} through {:x?}", case.mode, case.cpl, case.gate);
    assert_eq!(guest.in_handler(), Some(case.vector), "{what}: {:?}", guest.exceptions());
    let (width, frame) = case.frame;
    assert_eq!(guest.stack(width, frame.len()), frame, "{what}");
    let (cs, ss) = guest.cs_ss();
    assert_eq!((cs, ss, guest.cpu.gpr(RSP)), case.handler, "{what}");
    assert_eq!(guest.cpu.rflags() & (IF | NT | TF | RF | bit::VM), case.flags, "{what}");
}

/// RFLAGS in the frame of a fault, and of anything else.
const FAULT_FLAGS: u64 = ONE | IF | NT | RF;
const TRAP_FLAGS: u64 = ONE | IF | NT;
const LONG_FLAGS: u64 = ONE | IF;

const USER32: u16 = sel::USER_CODE32;
const INT_GATE_3: u64 = gate(kind::INTERRUPT + kind::DPL3, sel::CODE32, handler(0x40), 0);

#[test]
fn frames_of_legacy_modes_lie_as_the_figures_show() {
    let [inner, ring1, _] = INNER_STACK;
    let (code16, code32) = (u64::from(sel::CODE16), u64::from(sel::CODE32));
    let (user, data) = (u64::from(sel::USER_CODE32), u64::from(sel::USER_DATA32));
    let dpl3 = |kind: u8, code| Some(gate(kind + kind::DPL3, code, handler(0x40), 0));
    let trap = |code, vector| Some(gate(kind::TRAP, code, handler(vector), 0));
    let from_user = [CODE + 2, user, TRAP_FLAGS, STACK, data];
    let in_words = [2, user, TRAP_FLAGS, STACK & 0xffff, data];
    let (real, p16, p32) = (Mode::Real, Mode::Protected16, Mode::Protected32);
    let int = (INT_40, 0x40);
    let ud = (UD2, 6);
    for ((mode, cpl), gate, (program, vector), frame, handler, flags) in [
        // Real mode: FLAGS, CS, IP in words; IF is cleared whatever "gate" there is, NT stays.
        ((real, 0), None, int, (B2, &[2, 0xf00d, TRAP_FLAGS][..]), (0, 0, 0x7ffa), NT),
        ((real, 0), None, ud, (B2, &[0, 0xf00d, TRAP_FLAGS]), (0, 0, 0x7ffa), NT),
        // A 16-bit gate from 16-bit code, and a 32-bit one: dwords, on the 16-bit stack.
        ((p16, 0), None, int, (B2, &[2, code16, TRAP_FLAGS]), (sel::CODE16, sel::DATA16, 0x7ffa), 0),
        (
            (p16, 0),
            trap(sel::CODE32, 0x40),
            int,
            (B4, &[2, code16, TRAP_FLAGS]),
            (sel::CODE32, sel::DATA16, 0x7ff4),
            IF,
        ),
        // 32-bit gates of the same level: interrupt and trap.
        (
            (p32, 0),
            None,
            int,
            (B4, &[CODE + 2, code32, TRAP_FLAGS]),
            (sel::CODE32, sel::DATA32, STACK - 12),
            0,
        ),
        (
            (p32, 0),
            trap(sel::CODE32, 6),
            ud,
            (B4, &[CODE, code32, FAULT_FLAGS]),
            (sel::CODE32, sel::DATA32, STACK - 12),
            IF,
        ),
        // Inward: SS and ESP as well, on the stack out of the TSS.
        (
            (p32, 3),
            dpl3(kind::INTERRUPT, sel::CODE32),
            int,
            (B4, &from_user),
            (sel::CODE32, sel::DATA32, inner - 20),
            0,
        ),
        (
            (p32, 3),
            dpl3(kind::TRAP, sel::CODE1),
            int,
            (B4, &from_user),
            (sel::CODE1, sel::DATA1, ring1 - 20),
            IF,
        ),
        // A 16-bit gate from a program: everything in words.
        (
            (p32, 3),
            dpl3(kind::INTERRUPT16, sel::CODE32),
            int,
            (B2, &in_words),
            (sel::CODE32, sel::DATA32, inner - 10),
            0,
        ),
        // Conforming code keeps level and stack.
        (
            (p32, 3),
            dpl3(kind::TRAP16, sel::CONFORMING),
            int,
            (B2, &in_words[..3]),
            (sel::CONFORMING | 3, sel::USER_DATA32, STACK - 6),
            IF,
        ),
    ] {
        check(&Delivery { mode, cpl, gate, program, vector, frame, handler, flags });
    }
}

#[test]
fn an_error_code_lies_on_top_of_the_frame() {
    for (mode, cpl, width, below) in
        [(Mode::Protected16, 0, B2, 8), (Mode::Protected32, 0, B4, 16), (Mode::Protected32, 3, B4, 24)]
    {
        let mut guest = Guest::new(mode, cpl, MOV_DS_AX);
        guest.cpu.set_gpr(RAX, 0xfff7);
        let (cs, rip) = (u64::from(guest.cs_ss().0), guest.cpu.rip());
        let top = if cpl == 0 { guest.cpu.gpr(RSP) } else { INNER_STACK[0] };
        guest.step();
        assert_eq!((guest.in_handler(), guest.cpu.gpr(RSP)), (Some(13), top - below), "{mode:?} {cpl}");
        assert_eq!(guest.stack(width, 3), [0xfff4, rip, cs]);
    }
}

#[test]
fn frames_of_long_mode_are_five_aligned_quadwords() {
    let [inner, ..] = INNER_STACK;
    let data = sel::DATA32 as u64;
    let user = sel::USER_DATA32 as u64;
    let long = |cpl, gate, program, vector, frame, handler, flags| Delivery {
        mode: Mode::Long,
        cpl,
        gate,
        program,
        vector,
        frame: (B8, frame),
        handler,
        flags,
    };
    let same = [CODE + 2, sel::CODE64 as u64, LONG_FLAGS, STACK, data];
    let from_user = [CODE + 2, sel::USER_CODE64 as u64, LONG_FLAGS, STACK, user];
    let fault = [CODE, sel::USER_CODE64 as u64, LONG_FLAGS | RF, STACK, user];
    let with_dpl = |kind: u8, ist| Some(gate(kind + kind::DPL3, sel::CODE64, handler(0x40), ist));
    for case in [
        long(0, None, INT_40, 0x40, &same, (sel::CODE64, sel::DATA32, STACK - 40), 0),
        long(0, with_dpl(kind::TRAP, 0), INT_40, 0x40, &same, (sel::CODE64, sel::DATA32, STACK - 40), IF),
        // An interrupt stack without a change of privilege keeps SS.
        long(
            0,
            with_dpl(kind::TRAP, 7),
            INT_40,
            0x40,
            &same,
            (sel::CODE64, sel::DATA32, ist_stack(7) - 40),
            IF,
        ),
        // Inward: SS becomes null with the new level as RPL.
        long(3, with_dpl(kind::INTERRUPT, 0), INT_40, 0x40, &from_user, (sel::CODE64, 0, inner - 40), 0),
        long(
            3,
            with_dpl(kind::INTERRUPT, 1),
            INT_40,
            0x40,
            &from_user,
            (sel::CODE64, 0, ist_stack(1) - 40),
            0,
        ),
        long(3, None, UD2, 6, &fault, (sel::CODE64, 0, inner - 40), 0),
    ] {
        check(&case);
    }
    let from_32_bit = Delivery {
        mode: Mode::Compatibility,
        cpl: 3,
        gate: with_dpl(kind::INTERRUPT, 0),
        program: INT_40,
        vector: 0x40,
        frame: (B8, &[CODE + 2, USER32 as u64, TRAP_FLAGS, STACK, user]),
        handler: (sel::CODE64, 0, inner - 40),
        flags: 0,
    };
    check(&from_32_bit);
}

#[test]
fn the_stack_of_long_mode_is_aligned_before_the_frame() {
    let mut guest = Guest::new(Mode::Long, 0, INT_40);
    guest.cpu.set_gpr(RSP, STACK - 3);
    guest.step();
    assert_eq!(guest.cpu.gpr(RSP), STACK - 16 - 40);
    assert_eq!(guest.stack(B8, 4)[3], STACK - 3);
    // With an error code it is six quadwords below the same line.
    let mut guest = Guest::new(Mode::Long, 0, MOV_DS_AX);
    guest.cpu.set_gpr(RSP, STACK - 8);
    guest.cpu.set_gpr(RAX, 0xfff4);
    guest.step();
    assert_eq!((guest.in_handler(), guest.cpu.gpr(RSP)), (Some(13), STACK - 16 - 48));
    assert_eq!(guest.stack(B8, 2), [0xfff4, CODE]);
}

/// A software interrupt from CPL 3, and whether a gate of DPL 0 lets it through.
#[test]
fn only_software_interrupts_ask_for_the_dpl_of_the_gate() {
    for (program, vector, refused) in [
        // int 0x40 ; int3 ; int 3 ; int1 ; ud2 ; div by a zero register
        (&[0xcd, 0x40][..], 0x40, true),
        (&[0xcc], 3, true),
        (&[0xcd, 3], 3, true),
        (&[0xf1], 1, false),
        (&[0x0f, 0x0b], 6, false),
        (&[0xf7, 0xf1], 0, false),
    ] {
        for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
            let mut guest = Guest::new(mode, 3, program);
            guest.step();
            if refused {
                let error = Some(u32::from(vector) << 3 | 2);
                assert_eq!(guest.exceptions(), [(13, error)], "{mode:?} {program:x?}");
                assert_eq!(guest.in_handler(), Some(13), "{mode:?} {program:x?}");
            } else {
                assert_eq!(guest.in_handler(), Some(vector), "{mode:?} {program:x?}");
            }
        }
    }
    // INTO, outside of 64-bit mode, if OF is set.
    for (flags, vector) in [(ONE, None), (ONE | bit::OF, Some(13))] {
        let mut guest = Guest::new(Mode::Protected32, 3, &[0xce]);
        guest.cpu.set_rflags(flags);
        guest.step();
        assert_eq!(guest.in_handler(), vector);
    }
}

/// What of a delivery through vector 0x40 faults, from CPL 0 by INT 0x40 or by an interrupt.
struct Refusal {
    mode: Mode,
    /// The gate.
    gate: u64,
    /// A further descriptor.
    descriptor: (u16, u64),
    /// Vector and error code, EXT left out.
    want: (u8, u32),
}

#[test]
fn a_bad_gate_or_target_faults_with_its_selector() {
    let target = |selector| gate(kind::INTERRUPT, selector, handler(0x40), 0);
    let idt_entry = 0x40 << 3 | 2;
    let free = sel::FREE;
    let none = (sel::FREE, 0);
    let (protected, long) = (Mode::Protected32, Mode::Long);
    let mut cases = vec![
        // The gate: absent, of a wrong type.
        (protected, target(sel::CODE32) & !(1 << 47), none, (11, idt_entry)),
        (long, target(sel::CODE64) & !(1 << 47), none, (11, idt_entry)),
        (protected, gate(kind::CALL, sel::CODE32, handler(0x40), 0), none, (13, idt_entry)),
        (protected, gate(kind::TSS, sel::CODE32, handler(0x40), 0), none, (13, idt_entry)),
        (long, gate(kind::INTERRUPT16, sel::CODE64, handler(0x40), 0), none, (13, idt_entry)),
        (long, gate(kind::TASK, sel::CODE64, handler(0x40), 0), none, (13, idt_entry)),
        // The target: null, beyond the table, no code, absent, of an outer level, in no LDT, of the wrong size.
        (protected, target(0), none, (13, 0)),
        (protected, target(3), none, (13, 0)),
        (long, target(0), none, (13, 0)),
        (protected, target(GDT_LIMIT + 1), none, (13, GDT_LIMIT as u32 + 1)),
        (protected, target(sel::DATA32), none, (13, sel::DATA32 as u32)),
        (protected, target(sel::TSS), none, (13, sel::TSS as u32)),
        (protected, target(free), (free, flat(kind::CODE - kind::ABSENT, flag::DB)), (11, free as u32)),
        (protected, target(sel::USER_CODE32), none, (13, sel::USER_CODE32 as u32 & !3)),
        (protected, target(0x0c), none, (13, 0x0c)),
        (long, target(sel::CODE32), none, (13, sel::CODE32 as u32)),
        (long, target(free), (free, flat(kind::CODE, flag::L | flag::DB)), (13, free as u32)),
        (long, target(free), (free, flat(kind::CODE - kind::ABSENT, flag::L)), (11, free as u32)),
    ];
    // The handler beyond the limit of its segment.
    let small = (free, segment_of(0xff));
    cases.push((protected, target(free), small, (13, 0)));
    for (mode, gate, descriptor, want) in cases {
        check_refusal(&Refusal { mode, gate, descriptor, want });
    }
}

const fn segment_of(limit: u64) -> u64 {
    super::guest::segment(0, limit, kind::CODE, flag::DB)
}

fn check_refusal(case: &Refusal) {
    for external in [false, true] {
        let mut guest = Guest::new(case.mode, 0, if external { NOPS } else { INT_40 });
        guest.gate(0x40, case.gate);
        guest.describe(case.descriptor.0, case.descriptor.1);
        if external {
            guest.cpu.set_rflags(ONE | IF);
            guest.bus.attention = Some(Attention::Interrupt);
            guest.bus.vector = 0x40;
        }
        guest.step();
        let (vector, error) = case.want;
        let error = error | u32::from(external);
        assert_eq!(guest.exceptions(), [(vector, Some(error))], "{:x} external {external}", case.gate);
        assert_eq!(guest.in_handler(), Some(vector));
        let width = if case.mode == Mode::Long { B8 } else { B4 };
        assert_eq!(guest.stack(width, 2), [u64::from(error), CODE]);
    }
}

#[test]
fn a_vector_beyond_the_idt_is_general_protection() {
    for (mode, size) in [(Mode::Protected32, 8), (Mode::Long, 16)] {
        for (limit, fits) in [(0x40 * size + size - 1, true), (0x40 * size + size - 2, false)] {
            let mut guest = Guest::new(mode, 0, INT_40);
            guest.cpu.set_idtr(TableRegister { base: IDT, limit });
            guest.step();
            let want = if fits { (0x40, vec![]) } else { (13, vec![(13, Some(0x40 << 3 | 2))]) };
            assert_eq!(
                (guest.in_handler(), guest.exceptions()),
                (Some(want.0), want.1),
                "{mode:?} {limit:x}"
            );
        }
    }
}

#[test]
fn in_real_mode_too_the_table_has_an_end() {
    for (limit, vector) in [(0x103, 0x40), (0x102, 13)] {
        let mut guest = Guest::new(Mode::Real, 0, INT_40);
        guest.cpu.set_idtr(TableRegister { base: IDT, limit });
        guest.step();
        assert_eq!((guest.in_handler(), guest.cpu.gpr(RSP)), (Some(vector), 0x7ffa), "no error code");
    }
    // Without room for #GP and #DF it shuts down.
    let mut guest = Guest::new(Mode::Real, 0, INT_40);
    guest.cpu.set_idtr(TableRegister { base: IDT, limit: 0x1f });
    guest.step();
    assert_eq!(guest.cpu.activity(), Activity::Shutdown);
}

#[test]
fn handlers_of_64_bit_gates_must_be_canonical() {
    let mut guest = Guest::new(Mode::Long, 0, INT_40);
    guest.bus.put(IDT + 0x40 * 16 + 8, &[0, 0x80, 0, 0]);
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(0))]);
}

/// The stack for the handler of a program's INT 0x40.
#[test]
fn a_bad_stack_out_of_the_tss_is_an_invalid_tss_or_a_stack_fault() {
    let free = sel::FREE;
    let none = (free, 0);
    for (selector, descriptor, want) in [
        (0u16, none, (10, 0)),
        (sel::DATA32 | 3, none, (10, sel::DATA32)),
        (sel::USER_DATA32, none, (10, sel::USER_DATA32 & !3)),
        (sel::CODE32, none, (10, sel::CODE32)),
        (GDT_LIMIT + 1, none, (10, GDT_LIMIT + 1)),
        (free, (free, flat(kind::DATA - 2, flag::DB)), (10, free)),
        (free, (free, flat(kind::DATA - kind::ABSENT, flag::DB)), (12, free)),
        // No room for the frame: the fault names the new stack.
        (free, (free, super::guest::segment(0, 0x2_fff0, kind::DATA, flag::DB)), (12, free)),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 3, INT_40);
        guest.gate(0x40, INT_GATE_3);
        // #TS and #SS have a task state with a good stack: conforming code needs none.
        for vector in [10, 12] {
            guest.gate(vector, gate(kind::INTERRUPT, sel::CONFORMING, handler(vector), 0));
        }
        guest.describe(descriptor.0, descriptor.1);
        guest.write(TSS + 8, B2, u64::from(selector));
        guest.step();
        let (vector, error) = want;
        assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{selector:#x}");
        assert_eq!(guest.in_handler(), Some(vector));
    }
    // A task state that ends before the stack.
    for (mode, limit, fits) in [
        (Mode::Protected32, 8, false),
        (Mode::Protected32, 9, true),
        (Mode::Long, 10, false),
        (Mode::Long, 11, true),
    ] {
        let mut guest = Guest::new(mode, 3, UD2);
        let mut tss = guest.cpu.state().tr;
        tss.limit = limit;
        guest.cpu.set_tr(tss);
        guest.step();
        let first = guest.exceptions().get(1).copied();
        assert_eq!(first, (!fits).then_some((10, Some(u32::from(sel::TSS) | 1))), "{mode:?} {limit}");
    }
}

#[test]
fn a_16_bit_task_state_holds_stacks_in_words() {
    // SP and SS of level 0 at 2 and 4; the handler's gate is a 16-bit one.
    let mut guest = Guest::new(Mode::Protected32, 3, INT_40);
    guest.gate(0x40, gate(kind::INTERRUPT16 + kind::DPL3, sel::CODE32, handler(0x40), 0));
    let mut tss = guest.cpu.state().tr;
    (tss.rights, tss.limit) = (u16::from(kind::TSS16 | 2), 0x2b);
    guest.cpu.set_tr(tss);
    guest.write(TSS + 2, B2, 0x7800);
    guest.write(TSS + 4, B2, u64::from(sel::DATA16));
    guest.step();
    assert_eq!((guest.in_handler(), guest.cs_ss()), (Some(0x40), (sel::CODE32, sel::DATA16)));
    assert_eq!(guest.cpu.gpr(RSP), 0x7800 - 10);
    let user = [u64::from(sel::USER_CODE32), u64::from(sel::USER_DATA32)];
    assert_eq!(guest.stack(B2, 5), [2, user[0], ONE, STACK & 0xffff, user[1]]);
}

#[test]
fn a_stack_that_is_not_canonical_is_a_stack_fault() {
    let mut guest = Guest::new(Mode::Long, 3, UD2);
    guest.write(TSS + 4, B8, 1 << 47);
    guest.gate(12, gate(kind::INTERRUPT, sel::CODE64, handler(12), 1));
    guest.step();
    // Everything below 1 << 47 is canonical; one frame above is not.
    assert_eq!(guest.exceptions()[..1], [(6, None)]);
    let mut guest = Guest::new(Mode::Long, 3, UD2);
    guest.write(TSS + 4, B8, (1 << 47) + 64);
    guest.gate(12, gate(kind::INTERRUPT, sel::CODE64, handler(12), 1));
    guest.step();
    assert_eq!(guest.exceptions(), [(6, None), (12, Some(1))]);
    assert_eq!(guest.in_handler(), Some(12));
}

/// Makes the delivery of `vector` raise #NP by an absent gate.
fn absent(guest: &mut Guest, vector: u8) {
    guest.gate(vector, gate(kind::INTERRUPT - kind::ABSENT, sel::CODE32, handler(vector), 0));
}

#[test]
fn a_fault_upon_a_contributory_exception_is_a_double_fault() {
    // What the program raises first, and whether #NP during its delivery makes #DF.
    for (program, first, double) in [
        // div by zero ; mov ds, bad ; mov ss, bad ; ud2 ; int3 ; bound ; page fault comes below
        (&[0xf7, 0xf1][..], 0, true),
        (&[0x8e, 0xd8], 13, true),
        (&[0x0f, 0x0b], 6, false),
        (&[0xf0, 0x90], 6, false),
        (&[0x62, 0x03], 5, false),
        (&[0xf1], 1, false),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 0, program);
        guest.cpu.set_gpr(RAX, 0x8000_fff0);
        absent(&mut guest, first);
        guest.step();
        assert_eq!(guest.in_handler(), Some(if double { 8 } else { 11 }), "{program:x?}");
        if double {
            assert_eq!(guest.stack(B4, 2), [0, CODE], "the error code is zero");
        }
    }
}

#[test]
fn page_faults_during_deliveries_combine_as_the_table_says() {
    // In long mode, a page fault whose gate is absent; a general protection whose stack is not mapped, and the reverse.
    let unmapped_read = [0x8a, 0x04, 0x25, 0, 0, 0, 0xff]; // mov al, [0xffffffffff000000]
    let mut guest = Guest::new(Mode::Long, 0, &unmapped_read);
    absent(&mut guest, 14);
    guest.step();
    assert_eq!(guest.in_handler(), Some(8));
    assert_eq!(guest.cpu.control()[1], 0xffff_ffff_ff00_0000, "CR2 is of the page fault");
    // #GP, then #PF on its stack: serial. The page fault is delivered on another stack.
    let mut guest = Guest::new(Mode::Long, 0, MOV_DS_AX);
    guest.cpu.set_gpr(RAX, 0xfff0);
    guest.write(TSS + 0x24, B8, 0xffff_ffff_ff00_0000);
    guest.gate(13, gate(kind::INTERRUPT, sel::CODE64, handler(13), 1));
    guest.step();
    assert_eq!(guest.in_handler(), Some(14));
    assert_eq!(guest.exceptions(), [(13, Some(0xfff0)), (14, Some(2))]);
    // #PF upon #PF.
    let mut guest = Guest::new(Mode::Long, 0, &unmapped_read);
    guest.write(TSS + 0x24, B8, 0xffff_ffff_fe00_0000);
    guest.gate(14, gate(kind::INTERRUPT, sel::CODE64, handler(14), 1));
    guest.step();
    assert_eq!(guest.in_handler(), Some(8));
}

#[test]
fn a_fault_upon_a_double_fault_shuts_down() {
    for vector in [8, 11] {
        let mut guest = Guest::new(Mode::Protected32, 0, &[0xf7, 0xf1]);
        absent(&mut guest, 0);
        absent(&mut guest, 8);
        absent(&mut guest, vector);
        guest.step();
        assert_eq!(guest.cpu.activity(), Activity::Shutdown);
        let last = guest.bus.records.last().map(|(_, event)| *event);
        assert_eq!(last, Some(TraceEvent::CpuShutdown { rip: CODE }));
        guest.run(10);
        assert_eq!(guest.cpu.activity(), Activity::Shutdown, "nothing leaves it");
    }
}

#[test]
fn an_interrupt_is_benign_whatever_its_vector() {
    // 8259s are often left at vectors 8 to 15. A fault of their delivery is no double fault.
    for vector in [8u8, 10, 13, 14] {
        let mut guest = Guest::new(Mode::Protected32, 0, NOPS);
        absent(&mut guest, vector);
        guest.cpu.set_rflags(ONE | IF);
        guest.bus.attention = Some(Attention::Interrupt);
        guest.bus.vector = vector;
        guest.step();
        assert_eq!(guest.in_handler(), Some(11), "{vector}");
    }
}

#[test]
fn interrupts_push_no_error_code_even_at_vectors_that_have_one() {
    for program in [NOPS, &[0xcd, 13][..]] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        guest.cpu.set_rflags(ONE | IF);
        if program == NOPS {
            guest.bus.attention = Some(Attention::Interrupt);
            guest.bus.vector = 13;
        }
        guest.step();
        assert_eq!((guest.in_handler(), guest.cpu.gpr(RSP)), (Some(13), STACK - 40));
    }
}

#[test]
fn the_pushed_rf_is_set_by_faults_and_kept_by_interrupts() {
    // RF as it was, the event, RF in the frame.
    for (before, program, external, want) in [
        (0, UD2, false, RF),
        (RF, UD2, false, RF),
        (0, NOPS, true, 0),
        // An interrupt right after an IRET that set RF finds it set.
        (RF, NOPS, true, RF),
        // A software interrupt clears it before it is pushed.
        (RF, INT_40, false, 0),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 0, program);
        guest.cpu.set_rflags(ONE | IF | before);
        if external {
            guest.bus.attention = Some(Attention::Interrupt);
            guest.bus.vector = 0x40;
        }
        guest.step();
        assert!(guest.in_handler().is_some());
        assert_eq!(guest.stack(B4, 3)[2] & RF, want, "{before:x} {program:x?}");
        assert_eq!(guest.cpu.rflags() & RF, 0);
    }
}

#[test]
fn an_interrupt_between_repetitions_pushes_rf() {
    // rep stosb, interrupted after three of five.
    let mut guest = Guest::new(Mode::Protected32, 0, &[0xf3, 0xaa, 0x90]);
    guest.cpu.set_gpr(1, 5);
    guest.cpu.set_gpr(7, 0x5_0000);
    guest.cpu.set_rflags(ONE | IF);
    guest.run(3);
    guest.bus.attention = Some(Attention::Interrupt);
    guest.bus.vector = 0x40;
    guest.step();
    assert_eq!(guest.in_handler(), Some(0x40));
    assert_eq!(guest.stack(B4, 3), [CODE, u64::from(sel::CODE32), ONE | IF | RF]);
    // After the last one RF is clear.
    let mut guest = Guest::new(Mode::Protected32, 0, &[0xf3, 0xaa, 0x90]);
    guest.cpu.set_gpr(1, 3);
    guest.cpu.set_gpr(7, 0x5_0000);
    guest.cpu.set_rflags(ONE | IF);
    guest.run(3);
    guest.bus.attention = Some(Attention::Interrupt);
    guest.bus.vector = 0x40;
    guest.step();
    assert_eq!(guest.stack(B4, 3), [CODE + 2, u64::from(sel::CODE32), ONE | IF]);
}

#[test]
fn accessed_bits_of_entered_segments_are_set() {
    let mut guest = Guest::new(Mode::Protected32, 0, INT_40);
    guest.describe(sel::FREE, flat(kind::CODE - 1, flag::DB));
    guest.gate(0x40, gate(kind::INTERRUPT, sel::FREE, handler(0x40), 0));
    guest.step();
    assert_eq!(guest.in_handler(), Some(0x40));
    assert_eq!(guest.descriptor(sel::FREE), flat(kind::CODE, flag::DB));
    assert_eq!(guest.cpu.seg(Seg::Cs).selector, sel::FREE);
}

#[test]
fn a_virtual_8086_task_is_interrupted_onto_the_stack_of_level_0() {
    // INT 0x40 with IOPL 3; the segments are pushed and become null.
    let mut guest = Guest::new(Mode::Protected32, 3, &[]);
    guest.cpu.set_rflags(ONE | IF | bit::IOPL | bit::VM);
    guest.gate(0x40, INT_GATE_3);
    for (seg, selector) in Seg::ALL.into_iter().zip([0x1111u16, 0x2222, 0x1000, 0x4444, 0x5555, 0x6666]) {
        guest.cpu.load_real_segment(seg, selector);
    }
    guest.bus.put(0x2_2220, INT_40);
    guest.cpu.set_rip(0);
    guest.cpu.set_gpr(RSP, 0x100);
    guest.cpu.update_mode();
    guest.step();
    assert_eq!(guest.in_handler(), Some(0x40), "{:?}", guest.exceptions());
    let flags = ONE | IF | bit::IOPL | bit::VM;
    assert_eq!(guest.stack(B4, 9), [2, 0x2222, flags, 0x100, 0x1000, 0x1111, 0x4444, 0x5555, 0x6666]);
    for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
        assert!(guest.cpu.seg(seg).null);
    }
    assert_eq!((guest.cpu.cpl(), guest.cpu.gpr(RSP)), (0, INNER_STACK[0] - 36));
}

#[test]
fn virtual_8086_mode_below_iopl_3_may_break_but_not_interrupt() {
    // int 3 as CD 03 is refused, int3 as CC and into are not; nor are pushf, cli and iret allowed.
    for (program, vector, error) in [
        (&[0xcd, 3][..], 13, Some(0)),
        (&[0xcc], 3, None),
        (&[0xce], 4, None),
        (&[0x9c], 13, Some(0)),
        (&[0xfa], 13, Some(0)),
        (&[0xcf], 13, Some(0)),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 3, &[]);
        for n in [3, 4] {
            guest.gate(n, gate(kind::INTERRUPT + kind::DPL3, sel::CODE32, handler(n), 0));
        }
        guest.cpu.set_rflags(ONE | bit::VM | bit::OF);
        for seg in Seg::ALL {
            guest.cpu.load_real_segment(seg, 0x1000);
        }
        guest.bus.put(0x1_0000, program);
        guest.cpu.set_rip(0);
        guest.cpu.set_gpr(RSP, 0x8000);
        guest.step();
        assert_eq!(guest.in_handler(), Some(vector), "{program:x?}");
        assert_eq!(guest.exceptions().first().and_then(|found| found.1), error, "{program:x?}");
    }
}
