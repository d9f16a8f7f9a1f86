//! SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the instructions for FS and GS bases. SDM vol. 2; vol. 3A, 5.8.7 and
//! 5.8.8. As on Intel's processors SYSCALL is for 64-bit mode alone.

use super::CODE;
use super::guest::{Guest, Mode, sel};
use crate::cpu::control::{cr4, efer};
use crate::cpu::flags::bit::{ALL, CF, DF, IF, IOPL, NT, ONE, RF, TF, VM};
use crate::cpu::regs::{R11, RAX, RBX, RCX, RDX, RSP, Seg, Segment, rights};
use crate::cpu::{CodeSize, CpuState};
use crate::time::VirtTime;

const SYSCALL: &[u8] = &[0x0f, 0x05];
const SYSRET: &[u8] = &[0x0f, 0x07];
const SYSRETQ: &[u8] = &[0x48, 0x0f, 0x07];
const SYSENTER: &[u8] = &[0x0f, 0x34];
const SYSEXIT: &[u8] = &[0x0f, 0x35];
const SYSEXITQ: &[u8] = &[0x48, 0x0f, 0x35];
const SWAPGS: &[u8] = &[0x0f, 0x01, 0xf8];

/// Where the system begins, and its stack.
const SYSTEM: u64 = 0xffff_8000_0012_3456;
const SYSTEM_STACK: u64 = 0xffff_8000_0065_4320;
/// Not canonical.
const HOLE: u64 = 1 << 47;

/// A guest with the registers that these instructions use; selectors that no table has, for none is looked at.
fn guest(mode: Mode, cpl: u8, program: &[u8], change: impl FnOnce(&mut CpuState)) -> Guest {
    let mut guest = Guest::new(mode, cpl, program);
    let mut state = guest.cpu.state();
    state.efer |= efer::SCE;
    state.msrs.star = 0x1003 << 32 | 0x2000 << 48;
    state.msrs.lstar = SYSTEM;
    state.msrs.sysenter_cs = 0x3003;
    state.msrs.sysenter_eip = SYSTEM;
    state.msrs.sysenter_esp = SYSTEM_STACK;
    state.msrs.kernel_gs_base = 0x7777;
    change(&mut state);
    guest.cpu.restore(state).unwrap();
    guest
}

fn once(guest: &mut Guest) {
    let limit = guest.cpu.insns() + 1;
    guest.cpu.run(&mut guest.bus, VirtTime(u64::MAX), limit);
}

/// A flat segment as these instructions make it.
fn flat(selector: u16, dpl: u16, extra: u16) -> Segment {
    let base = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::G;
    Segment { selector, limit: u32::MAX, rights: base | dpl << 5 | extra, null: false }
}

/// CS and SS with their hidden parts.
fn check_segments(guest: &Guest, code: (u16, u16), stack: u16, dpl: u16) {
    assert_eq!(*guest.cpu.seg(Seg::Cs), flat(code.0, dpl, rights::CODE | code.1));
    assert_eq!(*guest.cpu.seg(Seg::Ss), flat(stack, dpl, rights::DB));
    assert_eq!((guest.cpu.seg_base(Seg::Cs), guest.cpu.seg_base(Seg::Ss)), (0, 0));
    assert_eq!(u16::from(guest.cpu.cpl()), dpl);
}

/// The instruction is refused with a vector, and an error code of 0 if that has one.
fn refused(guest: &mut Guest, vector: u8) {
    let rcx = guest.cpu.gpr(RCX);
    guest.step();
    assert_eq!(guest.exceptions(), [(vector, (vector == 13).then_some(0))]);
    assert_eq!(guest.cpu.gpr(RCX), rcx);
}

#[test]
fn syscall_enters_the_system_and_remembers_where_from() {
    for cpl in [0, 3] {
        let flags = ONE | IF | CF | DF | NT | RF;
        let mut guest = guest(Mode::Long, cpl, SYSCALL, |state| {
            state.msrs.fmask = IF | DF;
            state.rflags = flags;
        });
        let rsp = guest.cpu.gpr(RSP);
        once(&mut guest);
        assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RCX), guest.cpu.gpr(RSP)), (SYSTEM, CODE + 2, rsp));
        assert_eq!((guest.cpu.gpr(R11), guest.cpu.rflags()), (flags & !RF, ONE | CF | NT));
        check_segments(&guest, (0x1000, rights::L), 0x1008, 0);
        assert_eq!(guest.cpu.code_size(), CodeSize::Bits64);
    }
}

#[test]
fn sysret_leaves_for_64_bit_or_compatibility_code() {
    for (program, code, extra, size) in
        [(SYSRETQ, 0x2013, rights::L, CodeSize::Bits64), (SYSRET, 0x2003, rights::DB, CodeSize::Bits32)]
    {
        let mut guest = guest(Mode::Long, 0, program, |state| {
            state.gprs[RCX as usize] = 0x1_0005_5555;
            state.gprs[R11 as usize] = ALL & !TF | 1 << 63;
        });
        let rsp = guest.cpu.gpr(RSP);
        once(&mut guest);
        let rip = if size == CodeSize::Bits64 { 0x1_0005_5555 } else { 0x5_5555 };
        assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RSP), guest.cpu.code_size()), (rip, rsp, size));
        assert_eq!(guest.cpu.rflags(), ALL & !(TF | RF | VM) | ONE);
        check_segments(&guest, (code, extra), 0x200b, 3);
    }
}

#[test]
fn syscall_and_sysret_are_refused_where_they_do_not_exist() {
    for program in [SYSCALL, SYSRET] {
        for mode in [Mode::Compatibility, Mode::Protected32] {
            refused(&mut guest(mode, 0, program, |_| {}), 6);
        }
        refused(&mut guest(Mode::Long, 0, program, |state| state.efer &= !efer::SCE), 6);
    }
    refused(&mut guest(Mode::Long, 3, SYSRETQ, |_| {}), 13);
    // A target that is not canonical faults in the system, on its stack of now.
    refused(&mut guest(Mode::Long, 0, SYSRETQ, |state| state.gprs[RCX as usize] = HOLE), 13);
    let mut compatible = guest(Mode::Long, 0, SYSRET, |state| state.gprs[RCX as usize] = HOLE | 0x5_5555);
    once(&mut compatible);
    assert_eq!(compatible.cpu.rip(), 0x5_5555);
}

#[test]
fn sysenter_loads_everything_from_its_registers() {
    for (mode, cpl, mask, extra) in [
        (Mode::Protected32, 3, 0xffff_ffff, rights::DB),
        (Mode::Protected32, 0, 0xffff_ffff, rights::DB),
        (Mode::Compatibility, 3, u64::MAX, rights::L),
        (Mode::Long, 3, u64::MAX, rights::L),
    ] {
        let mut guest = guest(mode, cpl, SYSENTER, |state| state.rflags = ONE | IF | CF | IOPL);
        once(&mut guest);
        assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RSP)), (SYSTEM & mask, SYSTEM_STACK & mask), "{mode:?}");
        assert_eq!(guest.cpu.rflags(), ONE | CF | IOPL);
        check_segments(&guest, (0x3000, extra), 0x3008, 0);
    }
}

#[test]
fn sysexit_goes_to_rdx_and_rcx() {
    for (mode, program, code, stack, mask, extra) in [
        (Mode::Protected32, SYSEXIT, 0x3013, 0x301b, 0xffff_ffff, rights::DB),
        (Mode::Long, SYSEXIT, 0x3013, 0x301b, 0xffff_ffff, rights::DB),
        (Mode::Long, SYSEXITQ, 0x3023, 0x302b, u64::MAX, rights::L),
    ] {
        let (rip, rsp) = (0x1_0005_5555, 0x2_0006_6666);
        let mut guest = guest(mode, 0, program, |state| {
            state.gprs[RDX as usize] = rip;
            state.gprs[RCX as usize] = rsp;
        });
        let flags = guest.cpu.rflags();
        once(&mut guest);
        assert_eq!((guest.cpu.rip(), guest.cpu.gpr(RSP)), (rip & mask, rsp & mask), "{mode:?}");
        assert_eq!(guest.cpu.rflags(), flags);
        check_segments(&guest, (code, extra), stack, 3);
    }
}

#[test]
fn sysenter_and_sysexit_are_refused_without_a_selector_or_protection() {
    for program in [SYSENTER, SYSEXIT] {
        for null in [0, 3, 0x1_0000] {
            refused(&mut guest(Mode::Protected32, 0, program, |state| state.msrs.sysenter_cs = null), 13);
        }
        let mut real = Guest::new(Mode::Real, 0, program);
        real.step();
        assert_eq!(real.in_handler(), Some(13));
    }
    refused(&mut guest(Mode::Protected32, 3, SYSEXIT, |_| {}), 13);
    for register in [RCX, RDX] {
        refused(&mut guest(Mode::Long, 0, SYSEXITQ, |state| state.gprs[usize::from(register)] = HOLE), 13);
    }
}

#[test]
fn swapgs_exchanges_the_base_with_its_register() {
    let mut swapped = guest(Mode::Long, 0, SWAPGS, |state| state.seg_bases[Seg::Gs as usize] = 0x1111);
    once(&mut swapped);
    assert_eq!((swapped.cpu.seg_base(Seg::Gs), swapped.cpu.state().msrs.kernel_gs_base), (0x7777, 0x1111));
    refused(&mut guest(Mode::Long, 3, SWAPGS, |_| {}), 13);
    refused(&mut guest(Mode::Compatibility, 0, SWAPGS, |_| {}), 6);
    refused(&mut guest(Mode::Protected32, 0, SWAPGS, |_| {}), 6);
}

#[test]
fn programs_reach_the_bases_if_the_system_lets_them() {
    // wrgsbase rbx ; rdgsbase rax ; wrfsbase ebx ; rdfsbase rax
    let program = [
        0xf3, 0x48, 0x0f, 0xae, 0xdb, 0xf3, 0x48, 0x0f, 0xae, 0xc8, 0xf3, 0x0f, 0xae, 0xd3, 0xf3, 0x48, 0x0f,
        0xae, 0xc0,
    ];
    let with = |mode, cr4, base| {
        guest(mode, 3, &program, |state| {
            state.cr4 |= cr4;
            state.gprs[RBX as usize] = base;
        })
    };
    let mut allowed = with(Mode::Long, cr4::FSGSBASE, 0xffff_8000_1234_5678);
    allowed.run(2);
    assert_eq!(allowed.cpu.gpr(RAX), 0xffff_8000_1234_5678);
    allowed.run(2);
    assert_eq!(allowed.cpu.gpr(RAX), 0x1234_5678, "the 32-bit form extends by zeros");
    refused(&mut with(Mode::Long, 0, 0), 6);
    let in_32_bits = |state: &mut CpuState| state.cr4 |= cr4::FSGSBASE;
    refused(&mut guest(Mode::Compatibility, 3, &program[10..14], in_32_bits), 6);
    refused(&mut with(Mode::Long, cr4::FSGSBASE, HOLE), 13);
}

#[test]
fn a_system_call_and_its_return_meet_again() {
    // The system: sysretq. The program goes on behind its SYSCALL with its own flags.
    let mut guest = guest(Mode::Long, 3, &[0x0f, 0x05, 0x90], |state| {
        state.msrs.lstar = 0x5_0000;
        state.msrs.fmask = u64::from(u32::MAX);
        state.msrs.star = u64::from(sel::CODE64) << 32 | u64::from(sel::USER_CODE32) << 48;
        state.rflags = ONE | IF | CF;
    });
    guest.bus.put(0x5_0000, SYSRETQ);
    guest.run(3);
    assert_eq!((guest.cpu.rip(), guest.cpu.cpl(), guest.cpu.rflags()), (CODE + 3, 3, ONE | IF | CF));
}
