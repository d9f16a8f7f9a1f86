//! General-purpose instructions where the host's processor can't be asked: 16- and 32-bit modes, supervisor faults,
//! repetitions that are left in their middle.

use super::{CODE, REAL_CODE, STACK, execute, long, protected, real};
use crate::access::Width;
use crate::addr::Gpa;
use crate::cpu::regs::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Seg, TableRegister};
use crate::cpu::{Activity, Cpu};
use crate::testing::FlatBus;
use crate::time::VirtTime;
use crate::trace::TraceEvent;

/// Registers before and after one instruction.
type Registers<'a> = &'a [(u8, u64)];

fn set(cpu: &mut Cpu, registers: Registers<'_>) {
    for (register, value) in registers {
        cpu.set_gpr(*register, *value);
    }
}

/// Executes one instruction and looks at registers.
fn check(
    mut machine: (Box<Cpu>, FlatBus),
    before: Registers<'_>,
    after: Registers<'_>,
) -> (Box<Cpu>, FlatBus) {
    set(&mut machine.0, before);
    execute(&mut machine.0, &mut machine.1, 1);
    for (register, value) in after {
        assert_eq!(machine.0.gpr(*register), *value, "register {register}");
    }
    machine
}

fn read(bus: &FlatBus, gpa: u64, width: Width) -> u64 {
    let mut bytes = [0; 8];
    bus.mem.read(Gpa(gpa), &mut bytes[..width.bytes() as usize]).unwrap();
    u64::from_le_bytes(bytes)
}

/// The exception that the first instruction of a machine raises: vector and address. Without a table it shuts down.
fn first_exception(machine: &mut (Box<Cpu>, FlatBus)) -> Option<(u8, Option<u64>)> {
    execute(&mut machine.0, &mut machine.1, 1);
    machine.1.records.iter().find_map(|(_, event)| match event {
        TraceEvent::CpuException { vector, address, .. } => Some((*vector, address.map(|lin| lin.0))),
        _ => None,
    })
}

#[test]
fn lea_is_cut_to_the_address_size() {
    // lea r9, [r11d + 0x10] ; lea eax, [ebx + ecx]
    check(long(&[0x67, 0x4d, 0x8d, 0x4b, 0x10]), &[(11, 0xffff_ffff_ffff_fff8)], &[(9, 8)]);
    check(long(&[0x67, 0x8d, 0x04, 0x0b]), &[(RBX, u64::MAX), (RCX, 3), (RAX, u64::MAX)], &[(RAX, 2)]);
}

#[test]
fn hint_opcodes_do_nothing() {
    // rdsspq rax ; nop [eax] as 0F 18 /7 and 0F 1F ; prefetchwt1 ; wait
    for program in [
        &[0xf3, 0x48, 0x0f, 0x1e, 0xc8][..],
        &[0x0f, 0x18, 0x38],
        &[0x0f, 0x1f, 0x00],
        &[0x0f, 0x0d, 0x10],
        &[0x9b],
    ] {
        let (cpu, _) = check(long(program), &[(RAX, 1 << 63)], &[(RAX, 1 << 63)]);
        assert_eq!(cpu.rip(), CODE + program.len() as u64, "{program:x?}");
    }
}

#[test]
fn a_fetch_that_faults_tells_its_address() {
    let mut machine = long(&[0xff, 0xe0]);
    machine.0.set_gpr(RAX, 0x1_0000_0123);
    machine.0.set_idtr(TableRegister { base: 0, limit: 0 });
    execute(&mut machine.0, &mut machine.1, 1);
    assert_eq!(first_exception(&mut machine), Some((14, Some(0x1_0000_0123))));
}

#[test]
fn long_mode_ignores_the_old_segment_prefixes() {
    // mov eax, ss:[rbx] ; mov eax, ds:[rbp+0] - the default segment decides between #GP and #SS.
    for (program, vector) in [(&[0x36, 0x8b, 0x03][..], 13), (&[0x3e, 0x8b, 0x45, 0], 12)] {
        let mut machine = long(program);
        set(&mut machine.0, &[(RBX, 1 << 63), (RBP, 1 << 63)]);
        assert_eq!(first_exception(&mut machine), Some((vector, None)), "{program:x?}");
    }
}

#[test]
fn pusha_and_popa_keep_everything_but_the_stack_pointer() {
    let before = [(RAX, 1), (RCX, 2), (RDX, 3), (RBX, 4), (RBP, 6), (RSI, 7), (RDI, 8)];
    let (cpu, bus) = check(protected(&[0x60]), &before, &[(RSP, STACK - 32)]);
    let pushed: Vec<u64> = (0..8).map(|n| read(&bus, STACK - 4 - 4 * n, Width::B4)).collect();
    assert_eq!(pushed, [1, 2, 3, 4, STACK, 6, 7, 8]);
    let mut popped = protected(&[0x61]);
    for n in 0..8u64 {
        popped.1.put(STACK + 4 * n, &(n as u32 + 1).to_le_bytes());
    }
    let after = [(RDI, 1), (RSI, 2), (RBP, 3), (RSP, STACK + 32), (RBX, 5), (RDX, 6), (RCX, 7), (RAX, 8)];
    check(popped, &[], &after);
    drop(cpu);
    // In real mode: words, and SP alone.
    let (_, bus) = check(real(&[0x60]), &[(RDI, 0xffff_1234)], &[(RSP, 0x7ff0)]);
    assert_eq!(read(&bus, 0x7ff0, Width::B2), 0x1234);
}

#[test]
fn near_branches_of_short_modes_cut_the_instruction_pointer() {
    // Real mode: jmp -0x200 from 0x103 wraps to 0xff03; call pushes a word; jcc with a 32-bit operand is checked.
    let (cpu, _) = check(real(&[0xe9, 0x00, 0xfe]), &[], &[]);
    assert_eq!(cpu.rip(), 0xff03);
    let (cpu, bus) = check(real(&[0xe8, 0x10, 0x00]), &[], &[(RSP, 0x7ffe)]);
    assert_eq!((cpu.rip(), read(&bus, 0x7ffe, Width::B2)), (0x113, 0x103));
    let mut far = real(&[0x66, 0x0f, 0x85, 0, 0, 1, 0]);
    assert_eq!(first_exception(&mut far), Some((13, None)), "beyond the limit");
    // ret imm16 with 16-bit operands in 32-bit mode.
    let mut ret = protected(&[0x66, 0xc2, 0x06, 0x00]);
    ret.1.put(STACK, &0x1234u16.to_le_bytes());
    let (cpu, _) = check(ret, &[], &[(RSP, STACK + 8)]);
    assert_eq!(cpu.rip(), 0x1234);
}

#[test]
fn counters_of_loops_have_the_address_size() {
    // loop $-2 in real mode counts CX; with 67 it counts ECX.
    check(real(&[0xe2, 0xfe]), &[(RCX, 0x1_0001)], &[(RCX, 0x1_0000)]);
    check(real(&[0x67, 0xe2, 0xfe]), &[(RCX, 0x1_0000)], &[(RCX, 0xffff)]);
    // jcxz
    let (cpu, _) = check(real(&[0xe3, 0x10]), &[(RCX, 0x5_0000)], &[]);
    assert_eq!(cpu.rip(), 0x112);
    let (cpu, _) = check(protected(&[0xe3, 0x10]), &[(RCX, 0x5_0000)], &[]);
    assert_eq!(cpu.rip(), CODE + 2);
}

#[test]
fn a_branch_that_is_refused_changes_nothing() {
    // 32-bit mode with a short code segment: call, ret and loop out of it.
    for program in [&[0xe8, 0, 0, 0, 0x10][..], &[0xc3], &[0xe2, 0x7f]] {
        let mut machine = protected(program);
        let code = crate::cpu::regs::Segment { limit: CODE as u32 + 0x40, ..*machine.0.seg(Seg::Cs) };
        machine.0.set_seg(Seg::Cs, 0, code);
        machine.1.put(STACK, &0x7fff_0000u32.to_le_bytes());
        machine.0.set_gpr(RCX, 5);
        assert_eq!(first_exception(&mut machine), Some((13, None)), "{program:x?}");
        assert_eq!((machine.0.gpr(RSP), machine.0.gpr(RCX)), (STACK, 5), "{program:x?}");
    }
}

#[test]
fn decimal_adjustments_follow_the_manual() {
    // Instruction, AX and flags before, AX and CF after (SDM's examples, and the corners).
    const CASES: &[(&[u8], u64, u64, u64, bool)] = &[
        (&[0x27], 0x00ae, 0, 0x0014, true),
        (&[0x27], 0x002e, 1, 0x0094, true),
        (&[0x2f], 0x00ee, 0, 0x0088, true),
        (&[0x37], 0x000f, 0, 0x0105, true),
        (&[0x37], 0x00fa, 0, 0x0200, true),
        (&[0x3f], 0x0205, 0x10, 0x000f, true),
        (&[0xd4, 0x0a], 0x0055, 0, 0x0805, false),
        (&[0xd5, 0x0a], 0x0805, 0, 0x0055, false),
    ];
    for (program, before, flags, after, cf) in CASES {
        let mut machine = protected(program);
        machine.0.set_rflags(*flags);
        let (cpu, _) = check(machine, &[(RAX, *before)], &[(RAX, *after)]);
        assert_eq!(cpu.rflags() & 1 != 0, *cf, "{program:x?}");
    }
    assert_eq!(first_exception(&mut protected(&[0xd4, 0])), Some((0, None)), "aam 0 divides by zero");
}

#[test]
fn bound_looks_at_both_limits() {
    // bound eax, [ebx]
    for (index, inside) in [(-3i32, true), (7, true), (-4, false), (8, false)] {
        let mut machine = protected(&[0x62, 0x03]);
        machine.1.put(0x5000, &[(-3i32).to_le_bytes(), 7i32.to_le_bytes()].concat());
        set(&mut machine.0, &[(RAX, u64::from(index as u32)), (RBX, 0x5000)]);
        let expected = if inside { None } else { Some((5, None)) };
        assert_eq!(first_exception(&mut machine), expected, "{index}");
    }
}

#[test]
fn pop_to_memory_addresses_with_the_popped_stack_pointer() {
    // pop dword [esp+4] ; pop [esp]
    let mut machine = protected(&[0x8f, 0x44, 0x24, 0x04]);
    machine.1.put(STACK, &0x1234_5678u32.to_le_bytes());
    let (_, bus) = check(machine, &[], &[(RSP, STACK + 4)]);
    assert_eq!(read(&bus, STACK + 8, Width::B4), 0x1234_5678);
}

#[test]
fn enter_copies_the_frames_of_outer_procedures() {
    // enter 0x10, 3 in 32-bit mode
    let mut machine = protected(&[0xc8, 0x10, 0, 3]);
    for (n, value) in [(1u64, 0x1111u32), (2, 0x2222)] {
        machine.1.put(0x9000 - 4 * n, &value.to_le_bytes());
    }
    let (_, bus) = check(machine, &[(RBP, 0x9000)], &[(RBP, STACK - 4), (RSP, STACK - 16 - 0x10)]);
    let frame: Vec<u64> = (1..=4).map(|n| read(&bus, STACK - 4 * n, Width::B4)).collect();
    assert_eq!(frame, [0x9000, 0x1111, 0x2222, STACK - 4]);
}

#[test]
fn string_instructions_wrap_at_the_address_size() {
    // rep movsb in real mode: SI passes 0xffff.
    let mut machine = real(&[0xf3, 0xa4]);
    machine.1.put(0xffff, &[1]);
    machine.1.put(0, &[2]);
    set(&mut machine.0, &[(RSI, 0xabcd_ffff), (RDI, 0x5000), (RCX, 0x7_0002)]);
    execute(&mut machine.0, &mut machine.1, 2);
    assert_eq!(read(&machine.1, 0x5000, Width::B2), 0x0201);
    assert_eq!((machine.0.gpr(RSI), machine.0.gpr(RCX)), (0xabcd_0001, 0x7_0000));
    assert_eq!(machine.0.rip() + 0x2_0000, REAL_CODE + 2);
}

#[test]
fn each_iteration_counts_and_can_be_the_last_before_a_stop() {
    for stop in 1..=5 {
        // rep stosq
        let mut machine = long(&[0xf3, 0x48, 0xab]);
        set(&mut machine.0, &[(RAX, 0x55), (RDI, 0x30_0000), (RCX, 5)]);
        execute(&mut machine.0, &mut machine.1, stop);
        let (cpu, _) = &machine;
        assert_eq!((cpu.insns(), cpu.gpr(RCX), cpu.gpr(RDI)), (stop, 5 - stop, 0x30_0000 + 8 * stop));
        assert_eq!(cpu.rip(), if stop == 5 { CODE + 3 } else { CODE });
    }
}

#[test]
fn a_deadline_interrupts_a_repetition() {
    let mut machine = long(&[0xf3, 0xaa, 0xeb, 0xfe]);
    set(&mut machine.0, &[(RDI, 0x30_0000), (RCX, 1000)]);
    execute(&mut machine.0, &mut machine.1, 1);
    let (cpu, bus) = &mut machine;
    let start = cpu.now();
    cpu.run(bus, VirtTime(start.0 + 500 * 100), u64::MAX);
    assert_eq!((cpu.insns(), cpu.gpr(RCX)), (101, 899));
    assert_eq!(cpu.now().0, start.0 + 500 * 100);
}

#[test]
fn a_repetition_that_faults_has_done_what_came_before() {
    let mut machine = long(&[0xf3, 0xa4]);
    // The identity map ends at 4 GiB.
    let end = 1 << 32;
    set(&mut machine.0, &[(RSI, 0x30_0000), (RDI, end - 3), (RCX, 10)]);
    assert_eq!(first_exception(&mut machine), None);
    execute(&mut machine.0, &mut machine.1, 5);
    assert_eq!(first_exception(&mut machine), Some((14, Some(end))));
    let (cpu, _) = &machine;
    assert_eq!((cpu.gpr(RCX), cpu.gpr(RDI), cpu.gpr(RSI)), (7, end, 0x30_0003));
    assert_eq!(cpu.insns(), 3);
}

#[test]
fn ports_are_written_and_read_in_order() {
    // out dx, al ; in eax, 0x40 ; rep outsw
    let mut machine = long(&[0xee, 0xe5, 0x40, 0xf3, 0x66, 0x6f]);
    machine.1.put(0x30_0000, &[1, 2, 3, 4]);
    set(&mut machine.0, &[(RAX, 0xab), (RDX, 0x3f8), (RCX, 2), (RSI, 0x30_0000)]);
    execute(&mut machine.0, &mut machine.1, 4);
    let (cpu, bus) = &machine;
    assert_eq!(bus.out, [(0x3f8, Width::B1, 0xab), (0x3f8, Width::B2, 0x201), (0x3f8, Width::B2, 0x403)]);
    assert_eq!((cpu.gpr(RAX), cpu.gpr(RCX), cpu.insns()), (0xffff_ffff, 0, 4));
    assert_eq!(cpu.activity(), Activity::Running);
}
