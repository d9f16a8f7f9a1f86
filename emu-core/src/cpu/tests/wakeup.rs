//! What is looked at between instructions: interrupts and their shadows, HLT, NMI and its blocking, INIT and start-up, the
//! task priority. SDM vol. 3A, 6.7, 6.8, 9.4 and 11.8.6.

use super::guest::{Guest, Mode, handler, sel};
use super::{CODE, STACK};
use crate::access::Width::B8;
use crate::cpu::flags::bit::{IF, ONE};
use crate::cpu::regs::{RAX, RBX, RCX, RDX, Seg};
use crate::cpu::{Activity, Attention, Exit};
use crate::time::VirtTime;

const VECTOR: u8 = 0x40;

/// With an interrupt waiting from the start; where it returns to.
struct Waiting<'a> {
    program: &'a [u8],
    flags: u64,
    attention: Attention,
    /// RIP in the frame; `None` if nothing is delivered.
    taken_at: Option<u64>,
}

fn check(case: &Waiting<'_>) {
    let mut guest = Guest::new(Mode::Long, 0, case.program);
    guest.cpu.set_rflags(ONE | case.flags);
    guest.cpu.set_gpr(RAX, u64::from(sel::DATA32));
    guest.cpu.set_gpr(RBX, CODE + 0x100);
    guest.bus.put(CODE + 0x100, &[0, 0, 0, 0, sel::DATA32 as u8, 0]);
    guest.push(B8, &[u64::from(sel::DATA32), ONE | IF]);
    guest.bus.attention = Some(case.attention);
    guest.bus.vector = VECTOR;
    guest.run(8);
    let vector = if case.attention == Attention::Nmi { 2 } else { VECTOR };
    let what = format!("{:x?} with {:?}", case.program, case.attention);
    match case.taken_at {
        Some(rip) => {
            assert_eq!(guest.in_handler(), Some(vector), "{what}");
            assert_eq!(guest.stack(B8, 1)[0], rip, "{what}");
            assert_eq!(guest.bus.attention, None);
        }
        None => assert_eq!((guest.in_handler(), guest.bus.attention), (None, Some(case.attention)), "{what}"),
    }
}

#[test]
fn interrupts_come_as_soon_as_the_flag_and_its_shadow_allow() {
    let waiting =
        |program, flags, taken_at| Waiting { program, flags, attention: Attention::Interrupt, taken_at };
    for case in [
        waiting(&[0x90; 16], IF, Some(CODE)),
        waiting(&[0x90; 16], 0, None),
        // sti ; nop: after the instruction that follows
        waiting(&[0xfb, 0x90, 0x90, 0xeb, 0xfe], 0, Some(CODE + 2)),
        // sti ; cli: never
        waiting(&[0xfb, 0xfa, 0x90, 0x90, 0xeb, 0xfe], 0, None),
        // sti ; sti ; nop: the second one finds IF set and holds nothing off
        waiting(&[0xfb, 0xfb, 0x90, 0x90, 0xeb, 0xfe], 0, Some(CODE + 2)),
        // sti ; hlt: the halt is woken
        waiting(&[0xfb, 0xf4, 0x90], 0, Some(CODE + 2)),
        // pop rcx ; popf: at once
        waiting(&[0x59, 0x9d, 0x90, 0x90, 0xeb, 0xfe], 0, Some(CODE + 2)),
        // sti ; mov ss, eax: the shadow of the one does not lengthen by that of the other's predecessor
        waiting(&[0xfb, 0x8e, 0xd0, 0x90, 0x90, 0xeb, 0xfe], 0, Some(CODE + 4)),
        // sti ; lss ecx, [rbx] ; nop: LSS holds nothing off
        waiting(&[0xfb, 0x0f, 0xb2, 0x0b, 0x90, 0x90, 0xeb, 0xfe], 0, Some(CODE + 4)),
    ] {
        check(&case);
    }
}

#[test]
fn an_nmi_asks_for_no_flag() {
    for flags in [0, IF] {
        check(&Waiting { program: &[0x90; 16], flags, attention: Attention::Nmi, taken_at: Some(CODE) });
    }
}

/// Executes `before` instructions, then holds up an event.
fn after(program: &[u8], before: u64, attention: Attention) -> Guest {
    let mut guest = Guest::new(Mode::Long, 0, program);
    guest.cpu.set_rflags(ONE | IF);
    guest.cpu.set_gpr(RAX, u64::from(sel::DATA32));
    guest.run(before);
    guest.bus.attention = Some(attention);
    guest.bus.vector = VECTOR;
    guest
}

#[test]
fn an_interrupt_is_taken_at_exactly_the_instruction_it_came_at() {
    // l: inc ecx ; jmp l
    for n in 0..40 {
        let mut guest = after(&[0xff, 0xc1, 0xeb, 0xfc], n, Attention::Interrupt);
        guest.step();
        let here = CODE + 2 * (n % 2);
        assert_eq!((guest.stack(B8, 1)[0], guest.cpu.gpr(RCX)), (here, n.div_ceil(2)), "{n}");
        assert_eq!(guest.cpu.insns(), n + 1);
    }
}

#[test]
fn a_load_of_ss_holds_off_interrupts_and_nmis() {
    // mov ss, eax ; nop and pop ss's relatives: mov ds is none.
    for (program, held) in [(&[0x8e, 0xd0, 0x90, 0x90][..], true), (&[0x8e, 0xd8, 0x90, 0x90], false)] {
        for attention in [Attention::Interrupt, Attention::Nmi] {
            let mut guest = after(program, 1, attention);
            guest.run(2);
            assert_eq!(guest.stack(B8, 1)[0], CODE + if held { 3 } else { 2 }, "{program:x?} {attention:?}");
        }
    }
    // pop ss, outside of 64-bit mode
    let mut guest = Guest::new(Mode::Protected32, 0, &[0x17, 0x90, 0x90]);
    guest.cpu.set_rflags(ONE | IF);
    guest.push(crate::access::Width::B4, &[u64::from(sel::DATA32)]);
    guest.step();
    guest.bus.attention = Some(Attention::Interrupt);
    guest.bus.vector = VECTOR;
    guest.run(2);
    assert_eq!(guest.stack(crate::access::Width::B4, 1)[0], CODE + 2);
}

#[test]
fn a_halt_waits_for_what_can_wake_it() {
    for (flags, attention, woken) in [
        (IF, None, None),
        (IF, Some(Attention::Interrupt), Some(VECTOR)),
        (0, Some(Attention::Interrupt), None),
        (0, Some(Attention::Nmi), Some(2)),
    ] {
        let mut guest = Guest::new(Mode::Long, 0, &[0xf4, 0x90]);
        guest.cpu.set_rflags(ONE | flags);
        guest.step();
        assert_eq!((guest.cpu.activity(), guest.cpu.rip()), (Activity::Halted, CODE + 1));
        guest.bus.attention = attention;
        guest.bus.vector = VECTOR;
        guest.step();
        assert_eq!(guest.in_handler(), woken, "{flags:x} {attention:?}");
        if woken.is_some() {
            assert_eq!(guest.stack(B8, 1), [CODE + 1], "it returns behind the HLT");
        } else {
            assert_eq!(guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), u64::MAX), Exit::Halted);
        }
    }
    let mut guest = Guest::new(Mode::Long, 3, &[0xf4]);
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(0))], "not for programs");
}

#[test]
fn a_halted_processor_lets_time_pass_and_retires_nothing() {
    let mut guest = Guest::new(Mode::Long, 0, &[0xf4]);
    guest.step();
    let (insns, now) = (guest.cpu.insns(), guest.cpu.now());
    guest.cpu.skip_to(VirtTime(now.0 + 1_000_000));
    assert_eq!(guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), u64::MAX), Exit::Halted);
    assert_eq!((guest.cpu.insns(), guest.cpu.now()), (insns, VirtTime(now.0 + 1_000_000)));
}

#[test]
fn an_nmi_blocks_others_until_iret_even_one_that_faults() {
    // The handler: nop ; nop ; iretq.
    let nmi = |body: &[u8]| {
        let mut guest = Guest::new(Mode::Long, 0, &[0x90; 16]);
        guest.bus.put(handler(2), body);
        guest.bus.attention = Some(Attention::Nmi);
        guest.run(1);
        assert_eq!(guest.in_handler(), Some(2));
        guest.bus.attention = Some(Attention::Nmi);
        guest
    };
    let mut guest = nmi(&[0x90, 0x90, 0x48, 0xcf]);
    guest.run(1);
    assert_eq!(guest.bus.attention, Some(Attention::Nmi), "blocked in the handler");
    guest.run(2);
    assert_eq!((guest.in_handler(), guest.bus.attention), (Some(2), None), "taken behind the IRET");
    assert_eq!(guest.stack(B8, 1), [CODE]);
    // An interrupt is not blocked by it.
    let mut guest = nmi(&[0xfb, 0x90, 0x90, 0x90]);
    guest.bus.attention = Some(Attention::Interrupt);
    guest.bus.vector = VECTOR;
    guest.run(3);
    assert_eq!(guest.in_handler(), Some(VECTOR));
    // An IRET to nowhere: #GP, and the NMI comes before the first instruction of its handler.
    let mut guest = nmi(&[0x90, 0x48, 0xcf]);
    let top = guest.top();
    guest.write(top + 8, B8, 0);
    guest.run(1);
    assert_eq!(guest.exceptions(), [(13, Some(0))]);
    assert_eq!((guest.in_handler(), guest.stack(B8, 1)[0]), (Some(2), handler(13)));
}

#[test]
fn init_resets_and_waits_for_a_start_up() {
    let mut guest = Guest::new(Mode::Long, 0, &[0x90; 16]);
    guest.cpu.set_gpr(RBX, 5);
    guest.bus.attention = Some(Attention::Init);
    guest.step();
    assert_eq!(guest.cpu.activity(), Activity::WaitForStartUp);
    let [cr0, _, cr3, cr4, efer] = guest.cpu.control();
    assert_eq!((cr0, cr3, cr4, efer), (0x10, 0, 0, 0), "CD and NW stay as they were");
    assert_eq!((guest.cpu.gpr(RBX), guest.cpu.rflags()), (0, ONE));
    assert_ne!(guest.cpu.gpr(RDX), 0, "the signature");
    // Neither interrupts nor NMIs end the wait.
    for attention in [Attention::Interrupt, Attention::Nmi] {
        guest.bus.attention = Some(attention);
        guest.step();
        assert_eq!(guest.cpu.activity(), Activity::WaitForStartUp);
    }
    // mov ax, cs ; jmp $ at page 0x9a
    guest.bus.put(0x9_a000, &[0x8c, 0xc8, 0xeb, 0xfe]);
    guest.bus.attention = Some(Attention::StartUp(0x9a));
    guest.run(2);
    assert_eq!((guest.cpu.activity(), guest.cpu.gpr(RAX)), (Activity::Running, 0x9a00));
    assert_eq!((guest.cpu.seg_base(Seg::Cs), guest.cpu.rip()), (0x9_a000, 2));
    // A second one finds it running and is lost.
    guest.bus.attention = Some(Attention::StartUp(0x10));
    guest.run(1);
    assert_eq!((guest.cpu.seg_base(Seg::Cs), guest.bus.attention), (0x9_a000, None));
}

#[test]
fn init_starts_the_bootstrap_processor_anew() {
    let mut guest = Guest::new(Mode::Long, 0, &[0x90; 4]);
    guest.bus.bootstrap = true;
    guest.bus.attention = Some(Attention::Init);
    assert_eq!(guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), 0), Exit::InsnLimit);
    assert_eq!((guest.cpu.activity(), guest.bus.attention), (Activity::Running, None));
    assert_eq!((guest.cpu.seg_base(Seg::Cs), guest.cpu.rip()), (0xffff_0000, 0xfff0));
}

#[test]
fn init_is_taken_in_a_halt_and_in_an_nmi_handler() {
    let mut guest = Guest::new(Mode::Long, 0, &[0xf4]);
    guest.step();
    guest.bus.attention = Some(Attention::Init);
    guest.step();
    assert_eq!(guest.cpu.activity(), Activity::WaitForStartUp);
    let mut guest = Guest::new(Mode::Long, 0, &[0x90; 4]);
    guest.bus.attention = Some(Attention::Nmi);
    guest.step();
    guest.bus.attention = Some(Attention::Init);
    guest.step();
    assert_eq!(guest.cpu.activity(), Activity::WaitForStartUp);
}

#[test]
fn cr8_is_the_task_priority_in_four_bits() {
    // mov cr8, rax ; mov rcx, cr8
    let program = [0x44, 0x0f, 0x22, 0xc0, 0x44, 0x0f, 0x20, 0xc1];
    for (cpl, value, want) in [(0, 9, Ok(9)), (0, 16, Err(13)), (0, 1 << 32, Err(13)), (3, 1, Err(13))] {
        let mut guest = Guest::new(Mode::Long, cpl, &program);
        guest.cpu.set_gpr(RAX, value);
        guest.run(2);
        match want {
            Ok(value) => assert_eq!((guest.bus.cr8, guest.cpu.gpr(RCX)), (value, value)),
            Err(vector) => assert_eq!(guest.in_handler(), Some(vector), "{cpl} {value:x}"),
        }
    }
}

#[test]
fn an_interrupt_that_has_gone_is_no_interrupt() {
    // The controller has nothing to say at the acknowledge cycle: a running processor goes on, a halted one sleeps on.
    for (program, rip, activity) in
        [(&[0x90; 4][..], 3, Activity::Running), (&[0xf4, 0x90], 1, Activity::Halted)]
    {
        let mut guest = after(program, 1, Attention::Interrupt);
        guest.bus.gone = true;
        guest.run(2);
        assert_eq!((guest.cpu.rip(), guest.cpu.activity()), (CODE + rip, activity));
        assert_eq!((guest.cpu.gpr(4), guest.bus.attention), (STACK, None));
    }
}
