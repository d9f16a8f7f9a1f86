//! Compiled code that is left in its middle, rewritten and freed while it is in use: each time as the interpreter does.

use super::arena::CHUNK;
use crate::addr::{Gpa, PAGE_SIZE};
use crate::cpu::regs::{RCX, RDI, RSP};
use crate::cpu::{Cpu, CpuConfig, Exit, Tier};
use crate::testing::{FlatBus, identity_map, long_mode};
use crate::time::VirtTime;

const CODE: u64 = 0x10_0000;
const DATA: u64 = 0x30_0000;

fn machine(program: &[u8], tier: Tier) -> (Box<Cpu>, FlatBus) {
    let mut bus = FlatBus::new(16 << 20);
    identity_map(&mut bus.mem, Gpa(0x1000));
    bus.put(CODE, program);
    let mut cpu = Cpu::new(CpuConfig::default());
    long_mode(&mut cpu, Gpa(0x1000));
    cpu.set_tier(tier);
    cpu.set_rip(CODE);
    cpu.set_gpr(RSP, 0x20_0000);
    cpu.set_gpr(RDI, DATA);
    (cpu, bus)
}

fn run_to(cpu: &mut Cpu, bus: &mut FlatBus, insns: u64) {
    while cpu.insns() < insns {
        let exit = cpu.run(bus, VirtTime(u64::MAX), insns);
        assert!(matches!(exit, Exit::InsnLimit | Exit::Device), "{exit:?}");
    }
}

/// Runs a program in the compiled tier and in the stepper, and compares them at many instructions.
fn check(program: &[u8]) {
    let (mut cpu, mut bus) = machine(program, Tier::Eager);
    let (mut other, mut other_bus) = machine(program, Tier::Step);
    let mut at = 0;
    for stride in (1..40).cycle().take(200) {
        at += stride;
        run_to(&mut cpu, &mut bus, at);
        run_to(&mut other, &mut other_bus, at);
        assert_eq!(cpu.state(), other.state(), "after {at} of {program:02x?}");
    }
    let mut pages = [[0; PAGE_SIZE as usize]; 2];
    bus.mem.read(Gpa(DATA), &mut pages[0]).unwrap();
    other_bus.mem.read(Gpa(DATA), &mut pages[1]).unwrap();
    assert!(pages[0] == pages[1], "memory of {program:02x?}");
    assert!(cpu.jit_stats().compiled > 0, "nothing was compiled of {program:02x?}");
}

#[test]
fn a_loop_on_registers_is_left_wherever_a_run_ends() {
    // mov ecx, 1000; l: add rax, rcx; dec ecx; jnz l; jmp start
    check(&[0xb9, 0xe8, 3, 0, 0, 0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9, 0xeb, 0xf2]);
}

#[test]
fn a_loop_on_memory_walks_its_pages() {
    // l: mov eax, [rdi]; add [rdi+8], eax; adc byte [rdi+4], 3; add rdi, 12; jmp l
    check(&[0x8b, 0x07, 0x01, 0x47, 0x08, 0x80, 0x57, 0x04, 3, 0x48, 0x83, 0xc7, 12, 0xeb, 0xf1]);
}

#[test]
fn shifts_by_any_count_leave_the_flags_of_the_interpreter() {
    // l: shl rax, cl; sbb edx, ecx; ror bl, cl; adc ah, bl; sar si, cl; rol r8d, cl; shr rdx, cl; seto bl; inc ecx; imul rax, rcx, 77;
    // setp [rdi]; neg ecx; jmp l
    check(&[
        0x48, 0xd3, 0xe0, 0x19, 0xca, 0xd2, 0xcb, 0x10, 0xdc, 0x66, 0xd3, 0xfe, 0x41, 0xd3, 0xc0, 0x48, 0xd3,
        0xea, 0x0f, 0x90, 0xc3, 0xff, 0xc1, 0x48, 0x6b, 0xc1, 77, 0x0f, 0x9a, 0x07, 0xf7, 0xd9, 0xeb, 0xde,
    ]);
}

#[test]
fn every_condition_is_the_interpreters() {
    for condition in 0..16 {
        // l: inc eax; cmp al, cl; jcc +3; add rcx, 5-ish; test ah, 0x55; setcc dl; sub cx, ax; cmovcc rsi, rcx; jmp l
        check(&[
            0xff,
            0xc0,
            0x38,
            0xc8,
            0x70 | condition,
            4,
            0x48,
            0x83,
            0xc1,
            5,
            0xf6,
            0xc4,
            0x55,
            0x0f,
            0x90 | condition,
            0xc2,
            0x66,
            0x29,
            0xc1,
            0x48,
            0x0f,
            0x40 | condition,
            0xf1,
            0xeb,
            0xe7,
        ]);
    }
}

#[test]
fn calls_cross_pages_and_come_back() {
    let mut program = vec![0xcc; 0x2000];
    // call +0x1000; push rax; pop rbx; lea rcx, [rbx+rbx*2+7]; call rcx' page by register; jmp start
    program[..15]
        .copy_from_slice(&[0xe8, 0xfb, 0x0f, 0, 0, 0x50, 0x5b, 0x48, 0x8d, 0x4c, 0x5b, 7, 0xeb, 0xf2, 0x90]);
    // inc rax; ret
    program[0x1000..0x1004].copy_from_slice(&[0x48, 0xff, 0xc0, 0xc3]);
    check(&program);
}

#[test]
fn an_instruction_without_a_compiled_form_is_done_in_between() {
    // l: inc rax; mul ecx; bsf ebx, eax; xadd rcx, rax; movd xmm0, eax; paddd xmm0, xmm0; pxor xmm1, xmm0; movq rdx, xmm1; jmp l
    check(&[
        0x48, 0xff, 0xc0, 0xf7, 0xe1, 0x0f, 0xbc, 0xd8, 0x48, 0x0f, 0xc1, 0xc1, 0x66, 0x0f, 0x6e, 0xc0, 0x66,
        0x0f, 0xfe, 0xc0, 0x66, 0x0f, 0xef, 0xc8, 0x66, 0x48, 0x0f, 0x7e, 0xca, 0xeb, 0xe1,
    ]);
}

#[test]
fn code_that_rewrites_itself_runs_what_it_wrote() {
    // l: inc byte [rip+1]; mov al, 0; add rbx, rax; jmp l    - the immediate counts up.
    check(&[0xfe, 0x05, 1, 0, 0, 0, 0xb0, 0, 0x48, 0x01, 0xc3, 0xeb, 0xf3]);
}

#[test]
fn code_rewritten_from_outside_is_compiled_anew() {
    // l: mov al, 1; add rcx, rax; jmp l
    let program = [0xb0, 1, 0x48, 0x01, 0xc1, 0xeb, 0xf9];
    let (mut cpu, mut bus) = machine(&program, Tier::Eager);
    run_to(&mut cpu, &mut bus, 300);
    assert_eq!(cpu.gpr(RCX), 100);
    bus.put(CODE + 1, &[9]);
    run_to(&mut cpu, &mut bus, 600);
    assert_eq!(cpu.gpr(RCX), 1000);
}

#[test]
fn code_without_room_is_freed_and_made_again() {
    // Blocks of two: add rcx, 3; jmp next. The last one jumps to the first.
    const BLOCKS: u64 = 3000;
    let mut program: Vec<u8> = [0x48, 0x83, 0xc1, 3, 0xeb, 0].repeat(BLOCKS as usize);
    program.extend([0xe9]);
    let back = -(program.len() as i32 + 4);
    program.extend(back.to_le_bytes());
    let (mut cpu, mut bus) = machine(&program, Tier::Interp);
    cpu.set_tier_and_code_size(Tier::Eager, CHUNK);
    let (mut other, mut other_bus) = machine(&program, Tier::Interp);
    let insns = (BLOCKS * 2 + 1) * 4;
    run_to(&mut cpu, &mut bus, insns);
    run_to(&mut other, &mut other_bus, insns);
    assert_eq!(cpu.state(), other.state());
    assert_eq!(cpu.gpr(RCX), BLOCKS * 3 * 4);
    assert!(cpu.jit_stats().evictions > 1, "{:?}", cpu.jit_stats());
}

#[test]
fn a_tier_may_be_left_and_entered_at_any_time() {
    let program = [0x48, 0x01, 0xc8, 0xff, 0xc1, 0x89, 0x0f, 0xeb, 0xf7];
    let (mut cpu, mut bus) = machine(&program, Tier::Interp);
    let (mut other, mut other_bus) = machine(&program, Tier::Interp);
    for (n, tier) in Tier::ALL.into_iter().cycle().take(40).enumerate() {
        cpu.set_tier(tier);
        let insns = n as u64 * 13;
        run_to(&mut cpu, &mut bus, insns);
        run_to(&mut other, &mut other_bus, insns);
        assert_eq!(cpu.state(), other.state(), "{tier} to {insns}");
    }
}
