//! Programs of the x87 unit: FRSTOR, an instruction, FNSAVE. And what of the states after must be equal.

use crate::area::{Area, Program, get};
use iced_x86::{Instruction, Mnemonic};

/// Fields of FNSAVE's image (SDM vol. 1, figure 8-9), and what else is in the area.
pub(crate) const CONTROL: usize = 0;
pub(crate) const STATUS: usize = 4;
pub(crate) const TAGS: usize = 8;
pub(crate) const STACK: usize = 28;
/// The instruction's operand in memory.
pub(crate) const OPERAND: usize = 112;
/// SF, ZF, AF, PF, CF as LAHF has them.
pub(crate) const FLAGS: usize = 126;

/// `frstor [rdi]; mov ah, [rdi+126]; sahf`
const LOAD: [u8; 6] = [0xdd, 0x27, 0x8a, 0x67, 126, 0x9e];
/// `lahf; mov [rdi+126], ah; fnsave [rdi]`
const STORE: [u8; 6] = [0x9f, 0x88, 0x67, 126, 0xdd, 0x37];

/// A program around an instruction.
pub(crate) fn program(insn: &[u8]) -> Option<Program> {
    Program::new(&LOAD, insn, &STORE)
}

/// One for every encoding, but for those that load or store more than the operand.
pub(crate) fn programs() -> Vec<Program> {
    let in_memory = (0..8).map(|n| vec![0x47 | n << 3, OPERAND as u8]);
    let modrms: Vec<Vec<u8>> = in_memory.chain((0xc0..=0xff).map(|modrm| vec![modrm])).collect();
    let programs: Vec<Program> = (0xd8..=0xdf)
        .flat_map(|escape| modrms.iter().filter_map(move |rest| program(&[&[escape], &rest[..]].concat())))
        .filter(|program| !is_left_out(program.insn.mnemonic()))
        .collect();
    assert!(programs.len() > 400, "the maps were walked");
    programs
}

/// Whole states; and FPREM, on which processors disagree only while it is not finished, stays.
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

/// Condition codes on which processors differ: AMD's leave C1 as it is where Intel's clear it, and a comparison with an
/// unmasked invalid operand sets them, or does not.
fn undefined_status(insn: &Instruction, lost: bool) -> u128 {
    const C1: u128 = 1 << 9;
    const RELATION: u128 = 0x4500;
    match insn.mnemonic() {
        _ if lost => RELATION | C1,
        Mnemonic::Ffree => C1,
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
    line("status", after.map(|area| get::<2>(area, STATUS) & !undefined_status(insn, lost)));
    line("tags", after.map(|area| get::<2>(area, TAGS)));
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
