//! Debug registers: single steps, breakpoints on instructions, data and ports, general detect. SDM vol. 3B, 18.2 and 18.3.

use super::guest::{Guest, INNER_STACK, Mode, handler, kind, sel};
use super::{CODE, STACK};
use crate::access::Width::{B2, B4, B8};
use crate::cpu::Attention;
use crate::cpu::control::{cr4, efer};
use crate::cpu::flags::bit::{IF, ONE, RF, TF};
use crate::cpu::regs::{RAX, RBX, RCX, RDI, RDX, RSI, RSP, Seg};

/// DR6 after reset, and its bits.
const DR6: u64 = 0xffff_0ff0;
const BS: u64 = 1 << 14;
const BD: u64 = 1 << 13;
/// DR7: always one; general detect.
const DR7: u64 = 0x400;
const GD: u64 = 1 << 13;
/// Where watched data is.
const DATA: u64 = 0x5_0000;
/// NOP NOP NOP.
const NOPS: &[u8] = &[0x90, 0x90, 0x90];

fn flags(guest: &mut Guest, flags: u64) {
    guest.cpu.set_rflags(ONE | flags);
}

fn dr(guest: &Guest, n: usize) -> u64 {
    guest.cpu.state().dr[n]
}

/// Sets debug registers as MOV does.
fn set_dr(guest: &mut Guest, n: usize, value: u64) {
    let mut state = guest.cpu.state();
    state.dr[n] = value;
    guest.cpu.restore(state).unwrap();
}

/// DR7 with breakpoint `n` enabled: condition and length as encoded.
fn dr7(n: u32, condition: u64, len: u64) -> u64 {
    DR7 | 1 << (2 * n) | condition << (16 + 4 * n) | len << (18 + 4 * n)
}

/// A program run with TF set at its start: how many instructions retire before the trap, and where it returns to.
struct Step<'a> {
    program: &'a [u8],
    prepare: fn(&mut Guest),
    retired: u64,
    rip: u64,
    rf: u64,
}

fn check(case: &Step<'_>) {
    let mut guest = Guest::new(Mode::Long, 0, case.program);
    guest.cpu.set_gpr(RAX, u64::from(sel::DATA32));
    guest.cpu.set_gpr(RCX, 3);
    guest.cpu.set_gpr(RDI, DATA);
    flags(&mut guest, TF);
    (case.prepare)(&mut guest);
    while guest.in_handler() != Some(1) {
        assert!(guest.cpu.insns() < 20, "no trap: {:x?}", case.program);
        guest.step();
    }
    assert_eq!(guest.cpu.insns(), case.retired, "{:x?}", case.program);
    let frame = guest.stack(B8, 3);
    assert_eq!((frame[0], frame[2] & RF), (case.rip, case.rf), "{:x?}", case.program);
    assert_eq!(dr(&guest, 6), DR6 | BS, "{:x?}", case.program);
    assert_eq!(guest.cpu.rflags() & (TF | RF), 0);
}

#[test]
fn the_trap_flag_traps_after_each_instruction_but_those_that_hold_it_off() {
    let nothing: fn(&mut Guest) = |_| {};
    let step = |program, retired, rip, rf| Step { program, prepare: nothing, retired, rip, rf };
    for case in [
        step(NOPS, 1, CODE + 1, 0),
        // cli ; sti, the shadow of which holds off interrupts only
        step(&[0xfa, 0x90], 1, CODE + 1, 0),
        step(&[0xfb, 0x90, 0x90], 1, CODE + 1, 0),
        // mov ss, eax ; nop - the trap of the first is lost, that of the second is not
        step(&[0x8e, 0xd0, 0x90, 0x90], 2, CODE + 3, 0),
        // hlt traps behind itself instead of waiting
        step(&[0xf4, 0x90], 1, CODE + 1, 0),
        // rep stosb: after each iteration, with RF until the last
        step(&[0xf3, 0xaa, 0x90], 1, CODE, RF),
        Step {
            program: &[0xf3, 0xaa, 0x90],
            prepare: |guest| guest.cpu.set_gpr(RCX, 1),
            retired: 1,
            rip: CODE + 2,
            rf: 0,
        },
        // popf that sets TF: the next one traps
        Step {
            program: &[0x9d, 0x90, 0x90],
            prepare: |guest| {
                flags(guest, 0);
                guest.push(B8, &[ONE | TF]);
            },
            retired: 2,
            rip: CODE + 2,
            rf: 0,
        },
        // popf that clears it: this one still traps
        Step {
            program: &[0x9d, 0x90],
            prepare: |guest| guest.push(B8, &[ONE]),
            retired: 1,
            rip: CODE + 1,
            rf: 0,
        },
        // iretq that sets TF: the next one traps
        Step {
            program: &[0x48, 0xcf, 0x90, 0x90],
            prepare: |guest| {
                flags(guest, 0);
                let frame = [CODE + 2, u64::from(sel::CODE64), ONE | TF, STACK, u64::from(sel::DATA32)];
                guest.push(B8, &frame);
            },
            retired: 2,
            rip: CODE + 3,
            rf: 0,
        },
    ] {
        check(&case);
    }
}

#[test]
fn software_interrupts_are_not_stepped_into() {
    for program in [&[0xcd, 0x40][..], &[0xcc], &[0xf1]] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        flags(&mut guest, TF);
        guest.run(5);
        assert_eq!(dr(&guest, 6), DR6, "{program:x?}");
        assert_eq!(guest.stack(B8, 3)[2] & TF, TF, "the program is stepped on after it");
    }
    // An instruction that faults has not been completed either.
    let mut guest = Guest::new(Mode::Long, 0, &[0x0f, 0x0b]);
    flags(&mut guest, TF);
    guest.run(5);
    assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(6), DR6));
}

/// MSRs of the system calls: target 0x5_0100.
fn system_calls(guest: &mut Guest, fmask: u64) {
    let mut state = guest.cpu.state();
    state.efer |= efer::SCE;
    state.msrs.star = u64::from(sel::CODE64) << 32 | u64::from(sel::USER_CODE32) << 48;
    state.msrs.lstar = DATA + 0x100;
    state.msrs.fmask = fmask;
    state.msrs.sysenter_cs = u64::from(sel::CODE64);
    state.msrs.sysenter_eip = DATA + 0x100;
    state.msrs.sysenter_esp = INNER_STACK[0];
    guest.cpu.restore(state).unwrap();
    guest.bus.put(DATA + 0x100, NOPS);
}

#[test]
fn system_calls_step_by_the_flag_they_leave() {
    // syscall with and without TF in FMASK; sysenter, which clears no TF.
    for (program, fmask, trap) in [
        (&[0x0f, 0x05][..], TF, None),
        (&[0x0f, 0x05], 0, Some(DATA + 0x100)),
        (&[0x0f, 0x34], 0, Some(DATA + 0x100)),
    ] {
        let mut guest = Guest::new(Mode::Long, 3, program);
        system_calls(&mut guest, fmask);
        flags(&mut guest, TF);
        // The system's stack at SYSCALL is the program's; the handler gets its own.
        guest.gate(1, super::guest::gate(kind::INTERRUPT, sel::CODE64, handler(1), 1));
        guest.run(2);
        match trap {
            Some(rip) => assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0]), (Some(1), rip)),
            None => assert_eq!((guest.in_handler(), guest.cpu.rip()), (None, DATA + 0x101)),
        }
    }
    // sysretq that sets TF traps before the program's first instruction.
    let mut guest = Guest::new(Mode::Long, 0, &[0x48, 0x0f, 0x07]);
    system_calls(&mut guest, 0);
    guest.cpu.set_gpr(RCX, DATA + 0x100);
    guest.cpu.set_gpr(11, ONE | TF | IF);
    guest.run(2);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0]), (Some(1), DATA + 0x100));
}

#[test]
fn steps_may_be_of_branches_alone() {
    // DEBUGCTL.BTF. nop ; jz + 0, not taken ; jmp + 0, a branch all the same
    let mut guest = Guest::new(Mode::Long, 0, &[0x90, 0x74, 0x00, 0xeb, 0x00, 0x90, 0x90]);
    let mut state = guest.cpu.state();
    state.msrs.debugctl = 3;
    state.rflags = ONE | TF;
    guest.cpu.restore(state).unwrap();
    guest.run(4);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0], dr(&guest, 6)), (Some(1), CODE + 5, DR6 | BS));
    assert_eq!(guest.cpu.state().msrs.debugctl, 0, "one trap, and it is off");
}

#[test]
fn a_single_step_comes_before_an_interrupt() {
    let mut guest = Guest::new(Mode::Long, 0, NOPS);
    flags(&mut guest, TF | IF);
    guest.step();
    guest.bus.attention = Some(Attention::Interrupt);
    guest.bus.vector = 0x40;
    // The debug handler's gate clears IF, so the interrupt waits.
    guest.step();
    assert_eq!((guest.in_handler(), guest.bus.attention), (Some(1), Some(Attention::Interrupt)));
}

#[test]
fn an_instruction_breakpoint_faults_before_its_instruction_unless_rf_is_set() {
    for mode in [Mode::Protected32, Mode::Compatibility, Mode::Long] {
        for (enable, rf, hit) in [(1, 0, true), (2, 0, true), (0, 0, false), (1, RF, false)] {
            let mut guest = Guest::new(mode, 0, NOPS);
            set_dr(&mut guest, 0, CODE);
            set_dr(&mut guest, 7, DR7 | enable);
            flags(&mut guest, rf);
            guest.run(2);
            if !hit {
                assert_eq!((guest.cpu.rip(), dr(&guest, 6)), (CODE + 2, DR6), "{mode:?} {enable} {rf:x}");
                continue;
            }
            assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(1), DR6 | 1));
            let frame = guest.stack(if mode.is_long() { B8 } else { B4 }, 3);
            assert_eq!((frame[0], frame[2] & RF), (CODE, 0), "the handler sets RF itself");
        }
    }
}

#[test]
fn each_of_four_breakpoints_has_its_bit() {
    for n in 0..4 {
        let mut guest = Guest::new(Mode::Long, 0, NOPS);
        set_dr(&mut guest, n, CODE + 1);
        set_dr(&mut guest, 7, dr7(n as u32, 0, 0));
        guest.run(2);
        assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(1), DR6 | 1 << n));
        assert_eq!(guest.stack(B8, 1), [CODE + 1]);
    }
}

#[test]
fn a_load_of_ss_hides_the_instruction_breakpoint_behind_it() {
    // mov ss, eax ; nop
    for (program, hit) in [(&[0x8e, 0xd0, 0x90, 0x90][..], false), (&[0x8e, 0xd8, 0x90, 0x90], true)] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        guest.cpu.set_gpr(RAX, u64::from(sel::DATA32));
        set_dr(&mut guest, 0, CODE + 2);
        set_dr(&mut guest, 7, dr7(0, 0, 0));
        guest.run(2);
        assert_eq!(guest.in_handler(), hit.then_some(1));
    }
}

#[test]
fn general_detect_guards_the_debug_registers_until_its_handler() {
    // mov rax, dr0 ; mov dr3, rax
    for program in [&[0x0f, 0x21, 0xc0][..], &[0x0f, 0x23, 0xd8]] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        set_dr(&mut guest, 7, DR7 | GD);
        guest.step();
        assert_eq!((guest.in_handler(), dr(&guest, 6), dr(&guest, 7)), (Some(1), DR6 | BD, DR7));
        let frame = guest.stack(B8, 3);
        assert_eq!((frame[0], frame[2] & RF), (CODE, RF), "a fault");
    }
}

#[test]
fn moves_of_debug_registers_check_privilege_number_and_value() {
    let mov_dr = |n: u8| [0x0f, 0x23, 0xc0 | n << 3];
    for (cpl, number, control, value, want) in [
        (3, 0, 0, 0, Some(13)),
        (0, 4, 0, 0xf, None),
        (0, 5, 0, 1, None),
        (0, 4, cr4::DE, 0, Some(6)),
        (0, 5, cr4::DE, 0, Some(6)),
        (3, 4, cr4::DE, 0, Some(6)),
        (0, 6, 0, 1 << 32, Some(13)),
        (0, 7, 0, 1 << 63, Some(13)),
        (0, 0, 0, 1 << 63, None),
    ] {
        let mut guest = Guest::new(Mode::Long, cpl, &mov_dr(number));
        let [cr0, _, cr3, cr4, efer] = guest.cpu.control();
        guest.cpu.set_control(cr0, cr3, cr4 | control, efer);
        guest.cpu.set_gpr(RAX, value);
        guest.step();
        assert_eq!(guest.in_handler(), want, "DR{number} at {cpl}");
        if want.is_none() {
            let read = dr(&guest, [0, 1, 2, 3, 6, 7, 6, 7][usize::from(number)]);
            let fixed = [0, 0, 0, 0, DR6, DR7, DR6, DR7][usize::from(number)];
            assert_eq!(read, value | fixed);
        }
    }
    // Reserved bits read as they must.
    for (number, want) in [(6, 0xffff_efff), (7, 0xffff_2fff)] {
        let mut guest = Guest::new(Mode::Long, 0, &mov_dr(number));
        guest.cpu.set_gpr(RAX, 0xffff_ffff);
        guest.step();
        assert_eq!(dr(&guest, usize::from(number)), want);
    }
}

/// An instruction that touches data, with RBX and RDI at [`DATA`], RSI behind it and RSP 8 above.
struct Watch<'a> {
    program: &'a [u8],
    /// Condition, encoded length, address.
    watch: (u64, u64, u64),
    hit: bool,
}

const WRITE: u64 = 1;
const ACCESS: u64 = 3;

/// Once with the pages' tags made before the breakpoint was set, once without; and in a loop that nothing steps.
fn check_watch(case: &Watch<'_>) {
    for warm in [false, true] {
        let mut program = NOPS.to_vec();
        program.extend(case.program);
        program.extend([0xeb, 0xfe]);
        let mut guest = Guest::new(Mode::Long, 0, &program);
        let prepare = |guest: &mut Guest| {
            for (register, value) in
                [(RAX, 0), (RBX, DATA), (RCX, 1), (RDX, 0), (RDI, DATA), (RSI, DATA + 0x40), (RSP, DATA + 8)]
            {
                guest.cpu.set_gpr(register, value);
            }
        };
        prepare(&mut guest);
        let (condition, len, address) = case.watch;
        if warm {
            guest.run(4);
            prepare(&mut guest);
            guest.cpu.set_rip(CODE);
        }
        set_dr(&mut guest, 2, address);
        set_dr(&mut guest, 7, dr7(2, condition, len));
        let stepped = guest.cpu.engine_stats().stepped;
        let before = guest.cpu.insns();
        guest.gate(1, super::guest::gate(kind::INTERRUPT, sel::CODE64, handler(1), 1));
        // Far from the limit, where nothing needs the stepper.
        guest.run(2000);
        let what = format!("{:x?} watched {:x?} warm {warm}", case.program, case.watch);
        let hit = guest.exceptions().contains(&(1, None));
        assert_eq!((hit, dr(&guest, 6)), (case.hit, DR6 | u64::from(case.hit) << 2), "{what}");
        if hit {
            let behind = CODE + 3 + case.program.len() as u64;
            let frame = guest.stack(B8, 3);
            assert!(frame[0] == behind || case.program[0] == 0xe8, "{what}: a trap, behind it");
            assert_eq!(frame[2] & RF, 0);
        }
        assert!(guest.cpu.insns() > before);
        assert!(guest.cpu.engine_stats().stepped < stepped + 20, "{what}: nothing is stepped for it");
    }
}

#[test]
fn data_breakpoints_trap_behind_what_touches_them() {
    let watch = |program, watch, hit| Watch { program, watch, hit };
    let byte = |condition| (condition, 0, DATA);
    for case in [
        // mov [rbx], eax ; mov eax, [rbx] ; add [rbx], eax ; cmp [rbx], eax ; xchg
        watch(&[0x89, 0x03], byte(WRITE), true),
        watch(&[0x89, 0x03], byte(ACCESS), true),
        watch(&[0x8b, 0x03], byte(WRITE), false),
        watch(&[0x8b, 0x03], byte(ACCESS), true),
        watch(&[0x01, 0x03], byte(WRITE), true),
        watch(&[0x39, 0x03], byte(WRITE), false),
        watch(&[0x39, 0x03], byte(ACCESS), true),
        watch(&[0x87, 0x03], byte(WRITE), true),
        // Where the four bytes end, and lengths: 2, 8, 4; the address is aligned down to the length.
        watch(&[0x89, 0x03], (WRITE, 0, DATA + 3), true),
        watch(&[0x89, 0x03], (WRITE, 0, DATA + 4), false),
        watch(&[0x89, 0x03], (WRITE, 0, DATA - 1), false),
        watch(&[0x89, 0x03], (WRITE, 1, DATA - 2), false),
        watch(&[0x89, 0x03], (WRITE, 1, DATA - 1), false),
        watch(&[0x89, 0x43, 0x04], (WRITE, 2, DATA), true),
        watch(&[0x89, 0x43, 0x04], (WRITE, 3, DATA), false),
        watch(&[0x89, 0x43, 0x04], (WRITE, 3, DATA + 7), true),
        // Across the page: from its last byte but one.
        watch(&[0x89, 0x83, 0xfe, 0x0f, 0, 0], (WRITE, 0, DATA + 0x1001), true),
        watch(&[0x89, 0x83, 0xfe, 0x0f, 0, 0], (WRITE, 0, DATA + 0xfff), true),
        watch(&[0x89, 0x83, 0xfe, 0x0f, 0, 0], (WRITE, 0, DATA + 0x1002), false),
        // push ; pop ; call ; enter ; movsb ; stosb by rep ; cmpsb
        watch(&[0x50], byte(WRITE), true),
        watch(&[0x58], (ACCESS, 0, DATA + 8), true),
        watch(&[0xe8, 0, 0, 0, 0], byte(WRITE), true),
        watch(&[0xc8, 0, 0, 0], byte(WRITE), true),
        watch(&[0xa4], byte(WRITE), true),
        watch(&[0xa4], (ACCESS, 0, DATA + 0x40), true),
        watch(&[0xa4], (WRITE, 0, DATA + 0x40), false),
        watch(&[0xf3, 0xaa], byte(WRITE), true),
        watch(&[0xa6], byte(ACCESS), true),
        // cmpxchg16b [rbx] ; movups [rbx], xmm0 ; movups xmm0, [rbx]
        watch(&[0x48, 0x0f, 0xc7, 0x0b], (WRITE, 0, DATA + 15), true),
        watch(&[0x0f, 0x11, 0x03], (WRITE, 0, DATA + 15), true),
        watch(&[0x0f, 0x10, 0x03], (ACCESS, 0, DATA + 15), true),
        // lea and prefetch touch nothing; nor do fetches.
        watch(&[0x48, 0x8d, 0x03], byte(ACCESS), false),
        watch(&[0x0f, 0x18, 0x0b], byte(ACCESS), false),
        watch(&[0x90], (ACCESS, 0, CODE + 3), false),
    ] {
        check_watch(&case);
    }
}

#[test]
fn the_trap_of_a_data_breakpoint_waits_behind_a_load_of_ss() {
    // mov ss, [rbx] ; nop
    let mut guest = Guest::new(Mode::Long, 0, &[0x8e, 0x13, 0x90, 0x90]);
    guest.write(DATA, B2, u64::from(sel::DATA32));
    guest.cpu.set_gpr(RBX, DATA);
    set_dr(&mut guest, 0, DATA);
    set_dr(&mut guest, 7, dr7(0, ACCESS, 0));
    guest.run(3);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0]), (Some(1), CODE + 3));
}

#[test]
fn a_trap_held_off_by_a_load_of_ss_may_surface_in_a_handler() {
    // mov ss, [rbx] ; int 0x40: the trap comes before the handler's first instruction.
    let mut guest = Guest::new(Mode::Long, 0, &[0x8e, 0x13, 0xcd, 0x40]);
    guest.write(DATA, B2, u64::from(sel::DATA32));
    guest.cpu.set_gpr(RBX, DATA);
    set_dr(&mut guest, 0, DATA);
    set_dr(&mut guest, 7, dr7(0, ACCESS, 0));
    guest.run(3);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0]), (Some(1), handler(0x40)));
}

#[test]
fn a_page_in_use_is_watched_from_the_move_that_arms_it_on() {
    // mov [rbx], cl twice, which makes the way to the page short ; mov dr0, rbx or mov dr7, rax ; mov [rbx], cl ; nop
    for (register, address, control) in [(0xc3u8, 0, dr7(0, WRITE, 0)), (0xf8, DATA, DR7)] {
        let program = [0x88, 0x0b, 0x88, 0x0b, 0x0f, 0x23, register, 0x88, 0x0b, 0x90];
        let mut guest = Guest::new(Mode::Long, 0, &program);
        guest.cpu.set_gpr(RAX, dr7(0, WRITE, 0));
        guest.cpu.set_gpr(RBX, DATA);
        set_dr(&mut guest, 0, address);
        set_dr(&mut guest, 7, control);
        // Far from the limit, so that the stores are not stepped.
        guest.run(2000);
        assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(1), DR6 | 1), "{register:x}");
        assert_eq!(guest.stack(B8, 1)[0], CODE + 9);
    }
}

#[test]
fn data_breakpoints_are_linear_addresses_in_every_mode() {
    // mov [bx], al with DS based at 0x4000 ; mov [ebx], al
    for (mode, base, offset) in
        [(Mode::Real, 0x4000, 0x1234), (Mode::Protected32, 0x4000, 0x1234), (Mode::Compatibility, 0, DATA)]
    {
        for (watched, hit) in [(base + offset, true), (offset + base + 1, false)] {
            let program: &[u8] = if mode == Mode::Real { &[0x88, 0x07, 0x90] } else { &[0x88, 0x03, 0x90] };
            let mut guest = Guest::new(mode, 0, program);
            let data = *guest.cpu.seg(Seg::Ds);
            guest.cpu.set_seg(Seg::Ds, base, data);
            guest.cpu.set_gpr(RBX, offset);
            set_dr(&mut guest, 1, watched);
            set_dr(&mut guest, 7, dr7(1, WRITE, 0));
            guest.run(2);
            assert_eq!(
                (guest.in_handler(), dr(&guest, 6)),
                (hit.then_some(1), DR6 | u64::from(hit) << 1),
                "{mode:?}"
            );
        }
    }
}

#[test]
fn a_repetition_traps_behind_the_iteration_that_touched() {
    // rep stosb over six bytes, the fourth of which is watched.
    let mut guest = Guest::new(Mode::Long, 0, &[0xf3, 0xaa, 0x90]);
    guest.cpu.set_gpr(RCX, 6);
    guest.cpu.set_gpr(RDI, DATA);
    set_dr(&mut guest, 0, DATA + 3);
    set_dr(&mut guest, 7, dr7(0, WRITE, 0));
    guest.run(5);
    assert_eq!(guest.in_handler(), Some(1));
    assert_eq!((guest.cpu.gpr(RCX), guest.cpu.gpr(RDI)), (2, DATA + 4));
    let frame = guest.stack(B8, 3);
    assert_eq!((frame[0], frame[2] & RF), (CODE, RF), "it goes on from there");
}

#[test]
fn an_instruction_that_faults_has_not_touched_its_breakpoint() {
    // movsb from the watched byte to where nothing is mapped.
    let mut guest = Guest::new(Mode::Long, 0, &[0xa4]);
    guest.cpu.set_gpr(RSI, DATA);
    guest.cpu.set_gpr(RDI, 0xffff_ffff_0000_0000);
    set_dr(&mut guest, 0, DATA);
    set_dr(&mut guest, 7, dr7(0, ACCESS, 0));
    guest.run(3);
    assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(14), DR6));
}

#[test]
fn pushes_of_a_delivery_are_watched_too() {
    let mut guest = Guest::new(Mode::Long, 0, &[0xcd, 0x40]);
    set_dr(&mut guest, 0, STACK - 8);
    set_dr(&mut guest, 7, dr7(0, WRITE, 0));
    guest.run(2);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)), (Some(1), vec![handler(0x40)]));
}

#[test]
fn port_breakpoints_need_debugging_extensions() {
    // in al, 0x42 ; out 0x42, eax ; in ax, 0x41 ; outsb with DX = 0x42
    for (program, extensions, len, hit) in [
        (&[0xe4, 0x42][..], true, 0, true),
        (&[0xe4, 0x42], false, 0, false),
        (&[0xe7, 0x42], true, 0, true),
        (&[0x66, 0xe5, 0x41], true, 0, true),
        (&[0xe4, 0x43], true, 0, false),
        (&[0xe4, 0x43], true, 1, true),
        (&[0x6e], true, 0, true),
        // A port is not an address.
        (&[0x8a, 0x04, 0x25, 0x42, 0, 0, 0], true, 0, false),
    ] {
        let mut guest = Guest::new(Mode::Long, 0, program);
        if extensions {
            let [cr0, _, cr3, cr4, efer] = guest.cpu.control();
            guest.cpu.set_control(cr0, cr3, cr4 | cr4::DE, efer);
        }
        guest.cpu.set_gpr(RDX, 0x42);
        guest.cpu.set_gpr(RSI, DATA);
        set_dr(&mut guest, 1, 0x42);
        set_dr(&mut guest, 7, dr7(1, 2, len));
        guest.run(2);
        let want = if hit { (Some(1), DR6 | 2) } else { (None, DR6) };
        assert_eq!((guest.in_handler(), dr(&guest, 6)), want, "{program:x?} {extensions}");
        if hit {
            assert_eq!(guest.stack(B8, 1), [CODE + program.len() as u64], "a trap, behind it");
        }
    }
}

#[test]
fn debug_status_gathers_until_software_clears_it() {
    let mut guest = Guest::new(Mode::Long, 0, &[0x88, 0x03, 0x90]);
    guest.cpu.set_gpr(RBX, DATA);
    flags(&mut guest, TF);
    for (n, condition) in [(0, WRITE), (3, ACCESS)] {
        set_dr(&mut guest, n, DATA);
        let armed = dr(&guest, 7) | dr7(n as u32, condition, 0);
        set_dr(&mut guest, 7, armed);
    }
    guest.run(2);
    assert_eq!((guest.in_handler(), dr(&guest, 6)), (Some(1), DR6 | BS | 9), "one trap for all of them");
}

#[test]
fn breakpoints_are_armed_again_by_a_restored_state() {
    let mut guest = Guest::new(Mode::Long, 0, &[0x8b, 0x03, 0x8b, 0x03, 0x90]);
    guest.cpu.set_gpr(RBX, DATA);
    guest.step();
    set_dr(&mut guest, 0, DATA);
    set_dr(&mut guest, 7, dr7(0, ACCESS, 0));
    let state = guest.cpu.state();
    guest.cpu.restore(state).unwrap();
    guest.run(2);
    assert_eq!(guest.in_handler(), Some(1));
}

#[test]
fn a_breakpoint_that_a_delivery_meets_comes_before_the_handlers_first_instruction() {
    let mut guest = Guest::new(Mode::Protected32, 0, NOPS);
    flags(&mut guest, TF);
    set_dr(&mut guest, 0, STACK - 4);
    set_dr(&mut guest, 7, dr7(0, 1, 3));
    guest.run(2);
    assert_eq!(guest.exceptions(), [(1, None), (1, None)]);
    assert_eq!((guest.cpu.insns(), guest.stack(B4, 1)), (2, vec![handler(1)]));
    let retired = guest.bus.records.iter().map(|(insns, _)| *insns).collect::<Vec<_>>();
    assert_eq!(retired, [1, 1], "the handler's loop has not begun");
}
