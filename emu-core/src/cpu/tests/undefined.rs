//! What the manual leaves open is the same on every run: the choices of docs/undefined.md, a row each.

use super::{execute, long, protected};
use crate::cpu::Cpu;
use crate::cpu::flags::bit::{AF, CF, OF, PF, SF, ZF};
use crate::cpu::regs::{RAX, RCX, RDX};
use crate::testing::FlatBus;

const ALL: u64 = CF | PF | AF | ZF | SF | OF;

/// Executes one instruction with EAX, ECX and EDX given and all flags set or all clear, and compares the flags of `open` and EAX.
fn check(
    (mut cpu, mut bus): (Box<Cpu>, FlatBus),
    [rax, rcx, rdx]: [u64; 3],
    flags: u64,
    open: u64,
    expected: (u64, u64),
) {
    cpu.set_gpr(RAX, rax);
    cpu.set_gpr(RCX, rcx);
    cpu.set_gpr(RDX, rdx);
    cpu.set_rflags(cpu.rflags() & !ALL | flags);
    let rip = cpu.rip();
    execute(&mut cpu, &mut bus, 1);
    assert_ne!(cpu.rip(), rip, "it is done");
    assert_eq!((cpu.rflags() & open, cpu.gpr(RAX)), expected, "from flags {flags:#x}");
}

#[test]
fn flags_and_results_that_are_open_are_always_the_same() {
    let rest = PF | AF | SF | OF;
    type Row<'a> = (&'a [u8], [u64; 3], u64, (u64, u64));
    let table: [Row<'_>; 21] = [
        // and eax, ecx
        (&[0x21, 0xc8], [7, 3, 0], AF, (0, 3)),
        // shl eax, 2: the last bit out is 1, the new sign 0
        (&[0xc1, 0xe0, 2], [0x4000_0000, 0, 0], OF | AF, (OF, 0)),
        // shr eax, 2 ; sar eax, 2
        (&[0xc1, 0xe8, 2], [0x8000_0000, 0, 0], OF | AF, (0, 0x2000_0000)),
        (&[0xc1, 0xf8, 2], [0x8000_0000, 0, 0], OF | AF, (0, 0xe000_0000)),
        // rol eax, 2: the sign changes in the second step
        (&[0xc1, 0xc0, 2], [0x2000_0000, 0, 0], OF, (OF, 0x8000_0000)),
        // ror eax, 2: 10 in the upper bits
        (&[0xc1, 0xc8, 2], [2, 0, 0], OF, (OF, 0x8000_0000)),
        // shld eax, ecx, 2
        (&[0x0f, 0xa4, 0xc8, 2], [0x2000_0000, 0, 0], OF | AF, (OF, 0x8000_0000)),
        // shld ax, cx, 20: four bits of the value again
        (&[0x66, 0x0f, 0xa4, 0xc8, 20], [0x1234, 0xabcd, 0], 0, (0, 0xbcd1)),
        // mul ecx: 2^32 - 2 in the low half
        (&[0xf7, 0xe1], [0xffff_ffff, 2, 0], SF | ZF | PF | AF, (SF, 0xffff_fffe)),
        // imul eax, ecx
        (&[0x0f, 0xaf, 0xc1], [0xffff_ffff, 2, 0], SF | ZF | PF | AF, (SF, 0xffff_fffe)),
        // bsf eax, ecx of zero
        (&[0x0f, 0xbc, 0xc1], [u64::MAX, 0, 0], ZF, (ZF, u64::MAX)),
        // bsr rax, rcx of zero
        (&[0x48, 0x0f, 0xbd, 0xc1], [5, 0, 0], ZF, (ZF, 5)),
        // bswap ax
        (&[0x66, 0x0f, 0xc8], [0x1234, 0, 0], 0, (0, 0)),
        // andn eax, ecx, edx
        (&[0xc4, 0xe2, 0x70, 0xf2, 0xc2], [0, 1, 3], AF | PF, (0, 2)),
        // blsi, blsmsk and blsr eax, ecx
        (&[0xc4, 0xe2, 0x78, 0xf3, 0xd9], [0, 6, 0], AF | PF, (0, 2)),
        (&[0xc4, 0xe2, 0x78, 0xf3, 0xd1], [0, 6, 0], AF | PF, (0, 3)),
        (&[0xc4, 0xe2, 0x78, 0xf3, 0xc9], [0, 6, 0], AF | PF, (0, 4)),
        // bzhi eax, ecx, edx
        (&[0xc4, 0xe2, 0x68, 0xf5, 0xc1], [0, 0xff, 2], AF | PF, (0, 3)),
        // bextr eax, ecx, edx: 32 bits with the sign set
        (&[0xc4, 0xe2, 0x68, 0xf7, 0xc1], [0, 0x8000_0000, 0x2000], SF | AF | PF, (0, 0x8000_0000)),
        // tzcnt and lzcnt eax, ecx
        (&[0xf3, 0x0f, 0xbc, 0xc1], [0, 8, 0], rest, (0, 3)),
        (&[0xf3, 0x0f, 0xbd, 0xc1], [0, 8, 0], rest, (0, 28)),
    ];
    for (program, registers, open, expected) in table {
        for flags in [0, ALL] {
            check(long(program), registers, flags, open, expected);
        }
    }
}

#[test]
fn flags_that_are_left_alone_stay_as_they_were() {
    let table: [(&[u8], [u64; 3], u64, u64); 4] = [
        // div ecx ; idiv ecx
        (&[0xf7, 0xf1], [7, 2, 0], ALL, 3),
        (&[0xf7, 0xf9], [7, 2, 0], ALL, 3),
        // bsf eax, ecx
        (&[0x0f, 0xbc, 0xc1], [0, 8, 0], ALL & !ZF, 3),
        // bt eax, ecx
        (&[0x0f, 0xa3, 0xc8], [3, 1, 0], ALL & !CF, 3),
    ];
    for (program, registers, open, rax) in table {
        for flags in [0, ALL] {
            check(long(program), registers, flags, open, (flags & open, rax));
        }
    }
}

#[test]
fn decimal_adjustments_clear_what_they_leave_open() {
    type Row<'a> = (&'a [u8], u64, u64, (u64, u64));
    let table: [Row<'_>; 6] = [
        // daa ; das
        (&[0x27], 0x79, OF, (0, 0x79)),
        (&[0x2f], 0x79, OF, (0, 0x79)),
        // aam ; aad
        (&[0xd4, 10], 57, OF | CF | AF, (0, 0x507)),
        (&[0xd5, 10], 0x507, OF | CF | AF, (0, 57)),
        // aaa ; aas
        (&[0x37], 5, OF | SF | ZF | PF, (PF, 5)),
        (&[0x3f], 5, OF | SF | ZF | PF, (PF, 5)),
    ];
    for (program, rax, open, expected) in table {
        for flags in [0, OF | SF | ZF | PF] {
            check(protected(program), [rax, 0, 0], flags, open, expected);
        }
    }
}
