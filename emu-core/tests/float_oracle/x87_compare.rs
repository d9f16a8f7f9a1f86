//! Which x87 instructions are tried, and what of the states after them must be equal.

use crate::area::{Area, Program, get};
use crate::x87::{CONTROL, FLAGS, OPERAND, STACK, STATUS, TAGS, program};
use iced_x86::{Instruction, Mnemonic};

/// One for every encoding, but for those that load or store more than the operand. Functions have an encoding each where
/// sums have dozens, so they get as many programs.
pub(crate) fn programs() -> Vec<Program> {
    const EVEN: usize = 16;
    let in_memory = (0..8).map(|n| vec![0x47 | n << 3, OPERAND as u8]);
    let modrms: Vec<Vec<u8>> = in_memory.chain((0xc0..=0xff).map(|modrm| vec![modrm])).collect();
    let all = (0xd8..=0xdf)
        .flat_map(|escape| modrms.iter().filter_map(move |rest| program(&[&[escape], &rest[..]].concat())));
    let all: Vec<Program> = all.filter(|program| !is_left_out(program.insn.mnemonic())).collect();
    assert!(all.len() > 400, "the maps were walked");
    let is_function = |program: &&Program| program.insn.op_count() < 2;
    let functions = all.iter().filter(is_function).cloned().cycle();
    let more = EVEN * all.iter().filter(is_function).count();
    functions.take(more).chain(all.iter().cloned()).collect()
}

/// Those that replace the state.
fn is_left_out(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Fnstenv | Mnemonic::Fldenv | Mnemonic::Fnsave | Mnemonic::Frstor)
}

/// Functions whose last bit the manual leaves open.
fn is_transcendental(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        Mnemonic::F2xm1
            | Mnemonic::Fyl2x
            | Mnemonic::Fyl2xp1
            | Mnemonic::Fptan
            | Mnemonic::Fpatan
            | Mnemonic::Fsin
            | Mnemonic::Fcos
            | Mnemonic::Fsincos
    )
}

fn is_comparison(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        Mnemonic::Fcom
            | Mnemonic::Fcomp
            | Mnemonic::Fcompp
            | Mnemonic::Ficom
            | Mnemonic::Ficomp
            | Mnemonic::Fucom
            | Mnemonic::Fucomp
            | Mnemonic::Fucompp
            | Mnemonic::Ftst
    ) || compares_to_flags(insn)
}

fn compares_to_flags(insn: &Instruction) -> bool {
    matches!(insn.mnemonic(), Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip)
}

/// Whether the manual defines no result: arguments beyond the range of F2XM1 and FYL2XP1.
fn is_undefined(insn: &Instruction, before: &Area) -> bool {
    let first = get::<10>(before, STACK);
    matches!(insn.mnemonic(), Mnemonic::F2xm1 | Mnemonic::Fyl2xp1) && first >> 64 & 0x7fff >= 0x3ffd
}

/// Whether two numbers are at most one unit of the last place apart.
fn is_close(a: u128, b: u128) -> bool {
    // The integer bit says nothing that the exponent does not.
    let place = |value: u128| value >> 64 << 63 | value & u128::from(u64::MAX >> 1);
    place(a).abs_diff(place(b)) <= 1
}

/// Whether the result lies next to the largest or to the least normal number.
fn is_at_an_end(after: &Area) -> bool {
    matches!(get::<10>(after, STACK) >> 64 & 0x7fff, 0 | 1 | 0x7ffe | 0x7fff)
}

/// Of the tag word, only which registers are empty.
fn emptiness(tags: u128) -> u128 {
    tags & tags >> 1 & 0x5555
}

/// Condition codes on which processors differ: AMD's leave C1 as it is where Intel's clear it, and a comparison with an
/// unmasked invalid operand sets them, or does not. Whether an approximation next to the end of the range lies beyond it is
/// open too.
fn undefined_status(insn: &Instruction, after: [&Area; 2], lost: bool) -> u128 {
    const C1: u128 = 1 << 9;
    const RANGE: u128 = 0x18;
    const RELATION: u128 = 0x4500;
    match insn.mnemonic() {
        _ if lost => RELATION | C1,
        Mnemonic::Ffree => C1,
        _ if is_transcendental(insn) && after.into_iter().any(is_at_an_end) => C1 | RANGE,
        _ if compares_to_flags(insn) || is_transcendental(insn) => C1,
        _ => 0,
    }
}

/// How the host's state differs from ours.
pub(crate) fn differences(program: &Program, before: &Area, after: [&Area; 2]) -> Vec<String> {
    const WAITS: u128 = 1 << 7;
    let insn = &program.insn;
    if is_undefined(insn, before) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let mut line = |what: &str, [host, ours]: [u128; 2]| {
        if host != ours {
            lines.push(format!("{what}: host {host:#x}, ours {ours:#x}"));
        }
    };
    let lost = is_comparison(insn) && get::<2>(after[0], STATUS) & WAITS != 0;
    line("control", after.map(|area| get::<2>(area, CONTROL)));
    line("status", after.map(|area| get::<2>(area, STATUS) & !undefined_status(insn, after, lost)));
    // Close to the least normal number an approximation may be a denormal one.
    let tags = if is_transcendental(insn) { emptiness } else { |tags| tags };
    line("tags", after.map(|area| tags(get::<2>(area, TAGS))));
    for n in 0..8 {
        let values = after.map(|area| get::<10>(area, STACK + 10 * n));
        if !(is_transcendental(insn) && is_close(values[0], values[1])) {
            line(&format!("st{n}"), values);
        }
    }
    line("operand", after.map(|area| get::<10>(area, OPERAND)));
    if !lost {
        line("flags", after.map(|area| get::<1>(area, FLAGS)));
    }
    lines
}
