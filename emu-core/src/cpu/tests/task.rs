//! Hardware tasks: JMP, CALL, interrupts and IRET through TSSs and task gates, what they save and load, busy bits and
//! links, and whose a fault is. SDM vol. 3A, chapter 7.

use super::CODE;
use super::guest::{
    GDT_LIMIT, Guest, INNER_STACK, LDT, Mode, TSS, TSS2, flag, flat, gate, kind, segment, sel,
};
use crate::access::Width::{B1, B2, B4};
use crate::cpu::Attention;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::flags::bit::{CF, IF, NT, ONE, RF, VM};
use crate::cpu::regs::{RAX, RSP, Seg};
use crate::time::VirtTime;

const FREE: u16 = sel::FREE;
/// Where the second task begins.
const ENTRY: u64 = 0x5_3000;
const ENTRY_STACK: u64 = 0x6_1000;
/// Busy bit of a TSS descriptor.
const BUSY: u64 = 1 << 41;

/// A far transfer to a selector, by immediate pointer.
fn far(opcode: u8, selector: u16) -> Vec<u8> {
    let [low, high] = selector.to_le_bytes();
    vec![opcode, 0, 0, 0, 0, low, high]
}

const JMP: u8 = 0xea;
const CALL: u8 = 0x9a;

/// Fields of the 32-bit TSS that tests change.
mod field {
    pub(super) const LINK: u64 = 0;
    pub(super) const CR3: u64 = 0x1c;
    pub(super) const EIP: u64 = 0x20;
    pub(super) const EFLAGS: u64 = 0x24;
    pub(super) const EAX: u64 = 0x28;
    pub(super) const ESP: u64 = 0x38;
    pub(super) const ES: u64 = 0x48;
    pub(super) const CS: u64 = 0x4c;
    pub(super) const SS: u64 = 0x50;
    pub(super) const DS: u64 = 0x54;
    pub(super) const FS: u64 = 0x58;
    pub(super) const LDT: u64 = 0x60;
    pub(super) const TRAP: u64 = 0x64;
}

/// A guest with a second task at level 0 that jumps to itself.
fn guest(program: &[u8]) -> Guest {
    let mut guest = Guest::new(Mode::Protected32, 0, program);
    guest.bus.put(ENTRY, &[0xeb, 0xfe]);
    let fields = [
        (field::EIP, ENTRY),
        (field::EFLAGS, ONE | CF),
        (field::EAX, 0xaaaa_0001),
        (field::EAX + 4, 0xaaaa_0002),
        (field::ESP, ENTRY_STACK),
        (field::ES, u64::from(sel::DATA32)),
        (field::CS, u64::from(sel::CODE32)),
        (field::SS, u64::from(sel::DATA32)),
        (field::DS, u64::from(sel::USER_DATA32)),
    ];
    for (offset, value) in fields {
        guest.write(TSS2 + offset, B4, value);
    }
    guest
}

/// The first task's saved EIP, ESP, EAX, CS, SS.
fn saved(guest: &Guest) -> [u64; 5] {
    [field::EIP, field::ESP, field::EAX, field::CS, field::SS].map(|offset| guest.read(TSS + offset, B4))
}

fn busy(guest: &Guest) -> (bool, bool) {
    (guest.descriptor(sel::TSS) & BUSY != 0, guest.descriptor(sel::TSS2) & BUSY != 0)
}

/// One instruction and nothing of a handler.
fn once(guest: &mut Guest) {
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
}

/// How a task is switched to, and what table 7-2 says of it.
struct Switch<'a> {
    program: &'a [u8],
    /// Length of the instruction: 0 for an event before it.
    len: u64,
    external: bool,
    /// Busy bits of the old and the new task's descriptors afterwards.
    busy: (bool, bool),
    /// NT is set and the link filled in.
    nested: bool,
}

fn check(case: &Switch<'_>) {
    let mut guest = guest(case.program);
    guest.describe(FREE, gate(kind::TASK, sel::TSS2, 0, 0));
    guest.gate(0x40, gate(kind::TASK, sel::TSS2, 0, 0));
    guest.cpu.set_gpr(RAX, 0x1234_5678);
    guest.cpu.set_rflags(ONE | IF);
    guest.write(TSS2 + field::LINK, B2, 0x5555);
    if case.external {
        guest.bus.attention = Some(Attention::Interrupt);
        guest.bus.vector = 0x40;
    }
    guest.step();
    let what = format!("{:x?} external {}", case.program, case.external);
    assert_eq!(guest.cpu.rip(), ENTRY, "{what}: {:?}", guest.exceptions());
    let stack = super::STACK;
    let want = [CODE + case.len, stack, 0x1234_5678, u64::from(sel::CODE32), u64::from(sel::DATA32)];
    assert_eq!(saved(&guest), want, "{what}");
    assert_eq!(guest.read(TSS + field::EFLAGS, B4), ONE | IF, "{what}");
    assert_eq!(busy(&guest), case.busy, "{what}");
    let state = guest.cpu.state();
    assert_eq!((state.tr.selector, state.tr.base), (sel::TSS2, TSS2));
    let link = if case.nested { u64::from(sel::TSS) } else { 0x5555 };
    assert_eq!(guest.read(TSS2 + field::LINK, B2), link, "{what}");
    assert_eq!(guest.cpu.rflags(), ONE | CF | if case.nested { NT } else { 0 }, "{what}");
    assert_eq!(
        (guest.cpu.gpr(RAX), guest.cpu.gpr(1), guest.cpu.gpr(RSP)),
        (0xaaaa_0001, 0xaaaa_0002, ENTRY_STACK)
    );
    let selectors = [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs].map(|seg| guest.cpu.seg(seg).selector);
    assert_eq!(selectors, [sel::DATA32, sel::CODE32, sel::DATA32, sel::USER_DATA32, 0]);
    assert_ne!(guest.cpu.control()[0] & cr0::TS, 0, "{what}");
}

#[test]
fn a_switch_saves_one_task_and_loads_the_other() {
    let int = [0xcd, 0x40];
    for (program, len, external, busy, nested) in [
        (far(JMP, sel::TSS2), 7, false, (false, true), false),
        (far(JMP, FREE), 7, false, (false, true), false),
        (far(CALL, sel::TSS2), 7, false, (true, true), true),
        (far(CALL, FREE), 7, false, (true, true), true),
        (int.to_vec(), 2, false, (true, true), true),
        (int.to_vec(), 0, true, (true, true), true),
    ] {
        check(&Switch { program: &program, len, external, busy, nested });
    }
}

#[test]
fn iret_with_nt_goes_back_to_the_link() {
    // CALL to the task, whose first instruction is IRET.
    let mut guest = guest(&far(CALL, sel::TSS2));
    guest.bus.put(ENTRY, &[0xcf, 0x90]);
    guest.cpu.set_gpr(RAX, 7);
    guest.run(2);
    assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RAX), busy(&guest)), (CODE + 7, 7, (true, false)));
    assert_eq!(guest.cpu.rflags() & NT, 0);
    assert_eq!(guest.read(TSS2 + field::EIP, B4), ENTRY + 1, "it goes on there next time");
    assert_eq!(guest.read(TSS2 + field::EFLAGS, B4) & NT, 0, "NT is cleared in what is saved");
    // Into what is not busy, or no TSS: #TS of the nested task.
    for (selector, error) in
        [(sel::DATA32, sel::DATA32), (0, 0), (FREE, FREE), (GDT_LIMIT + 1, GDT_LIMIT + 1)]
    {
        let mut guest = guest_with_nt(selector);
        guest.step();
        assert_eq!(guest.exceptions(), [(10, Some(u32::from(error)))], "{selector:#x}");
    }
}

fn guest_with_nt(link: u16) -> Guest {
    let mut guest = guest(&[0xcf]);
    guest.describe(FREE, segment(TSS2, 0x67, kind::TSS, 0));
    guest.write(TSS + field::LINK, B2, u64::from(link));
    guest.cpu.set_rflags(ONE | NT);
    guest
}

#[test]
fn a_task_that_cannot_be_switched_to_faults_in_the_old_one() {
    let tss = |kind, limit| segment(TSS2, limit, kind, 0);
    let jmp = far(JMP, FREE);
    let int = vec![0xcd, 0x40];
    for (program, descriptor, want) in [
        (&jmp, tss(kind::TSS_BUSY, 0x67), (13, FREE)),
        (&jmp, tss(kind::TSS - kind::ABSENT, 0x67), (11, FREE)),
        (&jmp, tss(kind::TSS, 0x66), (10, FREE)),
        (&jmp, tss(kind::TSS16, 0x2a), (10, FREE)),
        (&int, tss(kind::TSS_BUSY, 0x67), (13, FREE)),
        (&int, tss(kind::TSS - kind::ABSENT, 0x67), (11, FREE)),
        (&int, tss(kind::LDT, 0x67), (13, FREE)),
        (&jmp, gate(kind::TASK - kind::ABSENT, sel::TSS2, 0, 0), (11, FREE)),
        (&jmp, gate(kind::TASK, sel::DATA32, 0, 0), (13, sel::DATA32)),
        (&jmp, gate(kind::TASK, 0xc, 0, 0), (13, 0xc)),
        (&jmp, gate(kind::TASK, 0, 0, 0), (13, 0)),
    ] {
        let mut guest = guest(program);
        guest.describe(FREE, descriptor);
        guest.gate(0x40, gate(kind::TASK, FREE, 0, 0));
        guest.step();
        let (vector, error) = want;
        assert_eq!(guest.exceptions(), [(vector, Some(u32::from(error)))], "{program:x?} {descriptor:#x}");
        assert_eq!((guest.in_handler(), guest.cpu.state().tr.selector), (Some(vector), sel::TSS));
        assert_eq!(guest.stack(B4, 2)[1], CODE);
        assert_eq!(busy(&guest), (true, false));
    }
    // Privilege: the TSS's DPL for a program's JMP, that of the gate instead where there is one.
    for (descriptor, want) in [
        (tss(kind::TSS, 0x67), Some((13, Some(u32::from(FREE))))),
        (tss(kind::TSS + kind::DPL3, 0x67), None),
        (gate(kind::TASK + kind::DPL3, sel::TSS2, 0, 0), None),
    ] {
        let mut guest = Guest::new(Mode::Protected32, 3, &far(JMP, FREE | 3));
        let other = super::task::guest(&[]);
        let fields: Vec<(u64, u64)> = (0..26).map(|n| (n * 4, other.read(TSS2 + n * 4, B4))).collect();
        for (offset, value) in fields {
            guest.write(TSS2 + offset, B4, value);
        }
        guest.bus.put(ENTRY, &[0xeb, 0xfe]);
        guest.describe(FREE, descriptor);
        guest.step();
        assert_eq!(guest.exceptions().first().copied(), want, "{descriptor:#x}");
        if want.is_none() {
            assert_eq!((guest.cpu.rip(), guest.cpu.cpl()), (ENTRY, 0));
        }
    }
}

/// A field of the new task that is wrong, and the fault, which is its own.
struct Wrong {
    offset: u64,
    value: u64,
    descriptor: u64,
    want: (u8, u16),
}

fn check_wrong(case: &Wrong) {
    for external in [false, true] {
        let mut guest = guest(&far(JMP, sel::TSS2));
        guest.describe(FREE, case.descriptor);
        guest.write(TSS2 + case.offset, B4, case.value);
        if external {
            guest.gate(0x40, gate(kind::TASK, sel::TSS2, 0, 0));
            guest.cpu.set_rflags(ONE | IF);
            guest.bus.attention = Some(Attention::Interrupt);
            guest.bus.vector = 0x40;
        }
        // The handlers need a stack of their own: conforming code would run on a broken one.
        for vector in [10, 11, 12, 13] {
            guest.gate(vector, gate(kind::TASK, FREE + 8, 0, 0));
        }
        guest.describe(FREE + 8, segment(HANDLER_TSS, 0x67, kind::TSS, 0));
        for (offset, value) in [
            (field::EIP, super::guest::handler(10)),
            (field::EFLAGS, ONE),
            (field::ESP, INNER_STACK[2]),
            (field::ES, 0),
            (field::CS, u64::from(sel::CODE32)),
            (field::SS, u64::from(sel::DATA32)),
        ] {
            guest.write(HANDLER_TSS + offset, B4, value);
        }
        guest.step();
        let (vector, error) = case.want;
        let error = u32::from(error) | u32::from(external);
        let what = format!("{:x} = {:x}", case.offset, case.value);
        assert_eq!(guest.exceptions(), [(vector, Some(error))], "{what}");
        assert_eq!(guest.stack(B4, 1), [u64::from(error)], "{what}: the code is on the handler's stack");
        // The new task had become the current one, at its first instruction.
        assert_eq!(guest.read(HANDLER_TSS + field::LINK, B2), u64::from(sel::TSS2), "{what}");
        let eip = if case.offset == field::EIP { case.value } else { ENTRY };
        assert_eq!(guest.read(TSS2 + field::EIP, B4), eip, "{what}");
        assert_eq!(guest.read(TSS + field::EIP, B4), if external { CODE } else { CODE + 7 }, "{what}");
    }
}

const HANDLER_TSS: u64 = 0x7_0000;

#[test]
fn a_fault_of_the_new_tasks_segments_is_the_new_tasks() {
    let wrong =
        |offset, value: u16, descriptor, want| Wrong { offset, value: u64::from(value), descriptor, want };
    for case in [
        wrong(field::LDT, sel::DATA32, 0, (10, sel::DATA32)),
        wrong(field::LDT, GDT_LIMIT + 1, 0, (10, GDT_LIMIT + 1)),
        wrong(field::LDT, 0xc, 0, (10, 0xc)),
        wrong(field::LDT, FREE, segment(LDT, 0xff, kind::LDT - kind::ABSENT, 0), (10, FREE)),
        wrong(field::CS, 0, 0, (10, 0)),
        wrong(field::CS, sel::DATA32, 0, (10, sel::DATA32)),
        wrong(field::CS, sel::CODE32 | 3, 0, (10, sel::CODE32)),
        wrong(field::CS, FREE, flat(kind::CODE - kind::ABSENT, flag::DB), (11, FREE)),
        wrong(field::CS, GDT_LIMIT + 1, 0, (10, GDT_LIMIT + 1)),
        wrong(field::SS, 0, 0, (10, 0)),
        wrong(field::SS, sel::USER_DATA32, 0, (10, sel::USER_DATA32 & !3)),
        wrong(field::SS, FREE, flat(kind::DATA - 2, flag::DB), (10, FREE)),
        wrong(field::SS, FREE, flat(kind::DATA - kind::ABSENT, flag::DB), (12, FREE)),
        wrong(field::DS, FREE, flat(0x99, flag::DB), (10, FREE)),
        wrong(field::FS, FREE | 3, flat(kind::DATA, flag::DB), (10, FREE)),
        wrong(field::FS, FREE, flat(kind::DATA - kind::ABSENT, flag::DB), (11, FREE)),
    ] {
        check_wrong(&case);
    }
    // EIP beyond the limit.
    let case = Wrong {
        offset: field::CS,
        value: u64::from(FREE),
        descriptor: segment(0, ENTRY - 1, kind::CODE, flag::DB),
        want: (13, 0),
    };
    check_wrong(&case);
}

#[test]
fn an_error_code_goes_onto_the_new_tasks_stack() {
    // mov ds, ax of a bad selector, #GP by a task gate.
    let mut guest = guest(&[0x8e, 0xd8]);
    guest.cpu.set_gpr(RAX, 0xfff0);
    guest.gate(13, gate(kind::TASK, sel::TSS2, 0, 0));
    guest.step();
    assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RSP)), (ENTRY, ENTRY_STACK - 4));
    assert_eq!((guest.stack(B4, 1), guest.read(TSS + field::EIP, B4)), (vec![0xfff0], CODE));
}

#[test]
fn a_double_fault_may_have_a_task_of_its_own() {
    // The stack is gone: #SS cannot be pushed, and the task of #DF has one.
    let mut guest = guest(&[0x50]);
    guest.describe(FREE, segment(0, 0xfff, kind::DATA, flag::DB));
    guest.load(Seg::Ss, FREE);
    guest.cpu.set_gpr(RSP, 2);
    guest.gate(8, gate(kind::TASK, sel::TSS2, 0, 0));
    guest.step();
    assert_eq!(guest.exceptions(), [(12, Some(0)), (12, Some(1))]);
    assert_eq!((guest.cpu.rip(), guest.stack(B4, 1)), (ENTRY, vec![0]));
    assert_eq!((guest.read(TSS + field::ESP, B4), guest.read(TSS + field::EIP, B4)), (2, CODE));
}

/// Offsets of the 16-bit TSS (SDM vol. 3A, figure 7-10).
#[test]
fn the_16_bit_task_state_has_words_and_four_segments() {
    let mut guest = guest(&far(JMP, FREE));
    guest.describe(FREE, segment(TSS2, 0x2b, kind::TSS16, 0));
    let words: [(u64, u64); 8] = [
        (0x0e, 0x1000),
        (0x10, ONE),
        (0x12, 0x1111),
        (0x1a, 0x7000),
        (0x22, u64::from(sel::DATA16)),
        (0x24, u64::from(sel::CODE16)),
        (0x26, u64::from(sel::DATA16)),
        (0x28, u64::from(sel::DATA16)),
    ];
    guest.bus.put(TSS2, &[0; 0x68]);
    for (offset, value) in words {
        guest.write(TSS2 + offset, B2, value);
    }
    guest.bus.put(0x1000, &far_word(JMP, sel::TSS));
    once(&mut guest);
    assert_eq!((guest.cpu.rip(), guest.cs_ss()), (0x1000, (sel::CODE16, sel::DATA16)));
    assert_eq!((guest.cpu.gpr(RAX) & 0xffff, guest.cpu.gpr(RSP) & 0xffff), (0x1111, 0x7000));
    assert!(guest.cpu.seg(Seg::Fs).null);
    // And back: its state is saved in words, beyond the end of which nothing is touched.
    guest.write(TSS2 + 0x2c, B2, 0x7777);
    guest.describe(sel::TSS, guest.descriptor(sel::TSS) & !BUSY);
    once(&mut guest);
    assert_eq!(guest.cpu.rip(), CODE + 7);
    assert_eq!((guest.read(TSS2 + 0x0e, B2), guest.read(TSS2 + 0x2c, B2)), (0x1005, 0x7777));
}

fn far_word(opcode: u8, selector: u16) -> Vec<u8> {
    let [low, high] = selector.to_le_bytes();
    vec![opcode, 0, 0, low, high]
}

#[test]
fn a_task_has_its_own_page_tables_and_ldt() {
    // Both tasks' tables are large pages onto themselves; the second one's second entry leads elsewhere.
    let mut guest = guest(&far(JMP, sel::TSS2));
    for (root, second) in [(0x10_2000u64, 0x40_0000u32), (0x10_3000, 0x80_0000)] {
        guest.write(root, B4, 0x87);
        guest.write(root + 4, B4, u64::from(second) | 0x87);
    }
    guest.write(0x80_0000, B4, 0x1234);
    guest.cpu.set_control(cr0::PE | cr0::PG, 0x10_2000, cr4::PSE, 0);
    guest.write(TSS2 + field::CR3, B4, 0x10_3000);
    guest.write(TSS2 + field::LDT, B4, u64::from(sel::LDT));
    guest.describe(4, flat(kind::DATA, flag::DB));
    guest.write(TSS2 + field::FS, B4, 4);
    // mov eax, fs:[0x400000]
    guest.bus.put(ENTRY, &[0x64, 0xa1, 0, 0, 0x40, 0, 0xeb, 0xfe]);
    guest.run(2);
    assert_eq!((guest.cpu.gpr(RAX), guest.cpu.control()[2]), (0x1234, 0x10_3000), "{:?}", guest.exceptions());
    let state = guest.cpu.state();
    assert_eq!((state.ldtr.selector, state.ldtr.base), (sel::LDT, LDT));
    assert_eq!(guest.read(TSS + field::CR3, B4), 0, "CR3 and LDT are not saved");
}

#[test]
fn the_trap_bit_and_local_breakpoints_follow_the_switch() {
    let mut guest = guest(&far(JMP, sel::TSS2));
    guest.write(TSS2 + field::TRAP, B1, 1);
    let mut state = guest.cpu.state();
    state.dr[0] = 0x1234;
    state.dr[7] = 0x7ff;
    guest.cpu.restore(state).unwrap();
    guest.run(2);
    assert_eq!(guest.in_handler(), Some(1));
    assert_eq!(guest.stack(B4, 3), [ENTRY, u64::from(sel::CODE32), ONE | CF]);
    let state = guest.cpu.state();
    assert_eq!((state.dr[6], state.dr[7]), (0xffff_8ff0, 0x6aa), "BT; global enables and GE stay");
}

#[test]
fn a_task_may_be_a_virtual_8086_one() {
    let mut guest = guest(&far(JMP, sel::TSS2));
    guest.write(TSS2 + field::EFLAGS, B4, ONE | VM | IF);
    for (n, offset) in (1..).zip([field::ES, field::CS, field::SS, field::DS, field::FS]) {
        guest.write(TSS2 + offset, B4, n << 12);
    }
    guest.write(TSS2 + field::EIP, B4, 0x10);
    guest.bus.put(0x2_0010, &[0xeb, 0xfe]);
    guest.run(2);
    assert_eq!((guest.cpu.rip(), guest.cpu.cpl()), (0x10, 3), "{:?}", guest.exceptions());
    assert_eq!(guest.cpu.seg_base(Seg::Ds), 0x4_0000);
    assert_eq!(guest.cpu.rflags() & (VM | IF | RF), VM | IF);
}

#[test]
fn a_switch_that_cannot_reach_its_states_changes_nothing() {
    // The second TSS lies in a page that is not there.
    let mut guest = guest(&far(JMP, FREE));
    guest.write(0x10_2000, B4, 0x87);
    guest.cpu.set_control(cr0::PE | cr0::PG, 0x10_2000, cr4::PSE, 0);
    guest.describe(FREE, segment(0x40_0000, 0x67, kind::TSS, 0));
    guest.step();
    assert_eq!(guest.exceptions().first().map(|fault| fault.0), Some(14));
    assert_eq!((busy(&guest), guest.stack(B4, 2)[1]), ((true, false), CODE));
    assert_eq!(guest.read(TSS + field::EIP, B4), 0, "nothing is saved");
}
