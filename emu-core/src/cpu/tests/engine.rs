//! Blocks, links, deadlines, self-modifying code: that the engine's bookkeeping cannot be seen.

use super::{CODE, execute, long};
use crate::cpu::regs::{RAX, RCX};
use crate::cpu::{Activity, Exit};
use crate::time::VirtTime;

/// mov ecx, 1000; l: add rax, rcx; dec ecx; jnz l; jmp $
const SUM: &[u8] = &[0xb9, 0xe8, 3, 0, 0, 0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9, 0xeb, 0xfe];

#[test]
fn a_loop_computes_and_counts() {
    let (mut cpu, mut bus) = long(SUM);
    execute(&mut cpu, &mut bus, 3001);
    assert_eq!((cpu.gpr(RAX), cpu.gpr(RCX), cpu.insns()), (500_500, 0, 3001));
    assert_eq!(cpu.rip(), CODE + 12);
}

#[test]
fn every_instruction_limit_is_met_exactly() {
    let (mut whole, mut bus) = long(SUM);
    let (mut single, mut other) = long(SUM);
    for insns in 1..200 {
        execute(&mut single, &mut other, 1);
        let (mut cpu, mut bus) = long(SUM);
        execute(&mut cpu, &mut bus, insns);
        assert_eq!(cpu.insns(), insns);
        assert_eq!((cpu.state(), cpu.rip()), (single.state(), single.rip()), "after {insns}");
    }
    execute(&mut whole, &mut bus, 199);
    assert_eq!(whole.state(), single.state());
}

#[test]
fn a_deadline_is_met_at_the_first_boundary_after_it() {
    let (mut cpu, mut bus) = long(SUM);
    execute(&mut cpu, &mut bus, 1);
    let start = cpu.now();
    let deadline = VirtTime(start.0 + 500 * 10 - 1);
    assert_eq!(cpu.run(&mut bus, deadline, u64::MAX), Exit::Deadline);
    assert_eq!((cpu.insns(), cpu.now().0), (11, start.0 + 5000));
}

#[test]
fn code_that_rewrites_the_next_instruction_executes_the_new_one() {
    // mov byte [rip+1], 7 ; mov al, 0 ; jmp $   - the store changes the immediate of the mov that follows it.
    let (mut cpu, mut bus) = long(&[0xc6, 0x05, 1, 0, 0, 0, 7, 0xb0, 0, 0xeb, 0xfe]);
    execute(&mut cpu, &mut bus, 2);
    assert_eq!(cpu.gpr(RAX), 7);
}

#[test]
fn memory_changed_from_outside_is_decoded_anew() {
    let (mut cpu, mut bus) = long(&[0xb0, 1, 0xeb, 0xfc]);
    execute(&mut cpu, &mut bus, 20);
    bus.put(CODE + 1, &[9]);
    execute(&mut cpu, &mut bus, 20);
    assert_eq!(cpu.gpr(RAX), 9);
}

#[test]
fn an_instruction_across_pages_sees_changes_on_both() {
    let (mut cpu, mut bus) = long(&[]);
    let start = CODE + 0xffe;
    // mov eax, 0x44332211 ; jmp back
    bus.put(start, &[0xb8, 0x11, 0x22, 0x33, 0x44, 0xeb, 0xf9]);
    cpu.set_rip(start);
    execute(&mut cpu, &mut bus, 5);
    assert_eq!((cpu.gpr(RAX), cpu.rip()), (0x4433_2211, start + 5));
    bus.put(CODE + 0x1000, &[0xaa]);
    execute(&mut cpu, &mut bus, 2);
    assert_eq!((cpu.gpr(RAX), cpu.rip()), (0x4433_aa11, start + 5));
}

#[test]
fn an_undefined_instruction_without_a_table_shuts_down() {
    let (mut cpu, mut bus) = long(&[0x0f, 0x0b]);
    execute(&mut cpu, &mut bus, 5);
    assert_eq!((cpu.activity(), cpu.insns()), (Activity::Shutdown, 0));
}
