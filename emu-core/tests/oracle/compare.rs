//! What must be equal.

use crate::case::{BREAKPOINT, Case, Outcome, SINGLE_STEP, Segments, Trial};
use crate::generate::{is_of_x87, places};
use iced_x86::{CpuidFeature, Instruction, Mnemonic, Register};

const PAGE_FAULT: u8 = 14;
const ALIGNMENT: u8 = 17;
const GENERAL_PROTECTION: u8 = 13;
/// A bit of MXCSR that only AMD's processors have.
const AMD_MXCSR_BIT: u32 = 1 << 17;
/// Arithmetic flags, TF, DF, RF, AC.
const COMPARED_FLAGS: u64 = 0x5_0dd5;
const RESUME: u64 = 1 << 16;
/// CF, PF, AF, ZF, SF, OF.
const ARITHMETIC_FLAGS: u64 = 0x8d5;
/// An unmasked exception is waiting, in the status word.
const WAITS: u16 = 1 << 7;
/// Where Linux ends what programs may use.
const TASK_END: u64 = 0x7fff_ffff_f000;
/// P in a page fault's error code.
const PRESENT: u32 = 1;

/// Flags that the manual leaves undefined, at their places in RFLAGS.
pub(crate) fn undefined_flags(insn: &Instruction) -> u64 {
    places(insn.rflags_undefined())
}

/// Condition codes on which processors differ. AMD's leave C1 as it is where Intel's clear it, and the other way around;
/// and a comparison with an unmasked invalid operand sets them, or does not.
fn undefined_conditions(insn: &Instruction, host: &Outcome) -> u16 {
    const C1: u16 = 1 << 9;
    match insn.mnemonic() {
        Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip | Mnemonic::Ffree => C1,
        _ if is_invalid_comparison(insn, host) => 0x4500,
        _ if is_transcendental(insn) => C1,
        _ => 0,
    }
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

/// Whether two extended numbers are at most one unit of the last place apart.
fn is_close(a: u128, b: u128) -> bool {
    // The integer bit says nothing that the exponent does not.
    let place = |value: u128| value >> 64 << 63 | value & u128::from(u64::MAX >> 1);
    place(a).abs_diff(place(b)) <= 1
}

/// Whether a byte is of MXCSR_MASK, in which AMD's processors have one more bit.
fn is_mxcsr_mask(host: &Outcome, ours: &Outcome, at: usize) -> bool {
    let word = |outcome: &Outcome| outcome.memory[at & !3..][..4].to_vec();
    word(host) == [0xff, 0xff, 2, 0] && word(ours) == [0xff, 0xff, 0, 0]
}

/// A comparison by the x87 unit that raised an unmasked exception.
fn is_invalid_comparison(insn: &Instruction, host: &Outcome) -> bool {
    let compares = matches!(
        insn.mnemonic(),
        Mnemonic::Fcom
            | Mnemonic::Fcomp
            | Mnemonic::Fcompp
            | Mnemonic::Ficom
            | Mnemonic::Ficomp
            | Mnemonic::Fucom
            | Mnemonic::Fucomp
            | Mnemonic::Fucompp
            | Mnemonic::Fcomi
            | Mnemonic::Fcomip
            | Mnemonic::Fucomi
            | Mnemonic::Fucomip
            | Mnemonic::Ftst
    );
    compares && host.state.x87.status & WAITS != 0
}

/// Whether the manual leaves the result undefined: double shifts of 16 bits by more than 16, arguments
/// beyond the range of F2XM1 and FYL2XP1.
pub(crate) fn result_is_undefined(insn: &Instruction, case: &Case) -> bool {
    let sixteen = insn.op0_register().size() == 2 || insn.memory_size().size() == 2;
    match insn.mnemonic() {
        Mnemonic::F2xm1 | Mnemonic::Fyl2xp1 => case.state.x87.st[0] >> 64 & 0x7fff >= 0x3ffd,
        Mnemonic::Shld | Mnemonic::Shrd => {
            let by_cl = insn.op2_kind() == iced_x86::OpKind::Register;
            let count = if by_cl { case.state.gprs[1] } else { insn.immediate(2) };
            sixteen && count & 31 > 16
        }
        _ => false,
    }
}

/// Whether an access just below the canonical half's end was made by an offset beyond it, which AMD's processors refuse for itself;
/// ours come to the page, or before it to the alignment of what is accessed.
fn is_offset_beyond(insn: &Instruction, host: &Outcome, ours: &Outcome) -> bool {
    matches!(insn.memory_segment(), Register::FS | Register::GS)
        && host.vector == GENERAL_PROTECTION
        && match ours.vector {
            PAGE_FAULT => (TASK_END..1 << 47).contains(&ours.cr2),
            ALIGNMENT => true,
            _ => false,
        }
}

/// Where an instruction can raise two faults processors disagree on which: of a call AMD's raise that of the push, Intel's
/// that of a target that is not canonical; CMPS may look at either operand first. AMD's also check the alignment of the
/// place where ENTER leaves the stack pointer. Areas, far pointers and ten bytes are accessed piece by piece, in any order. Whether MASKMOVDQU looks at bytes that it does not write is left open.
fn is_another_fault(insn: &Instruction, host: &Outcome, ours: &Outcome) -> bool {
    let both = host.vector != BREAKPOINT && ours.vector != BREAKPOINT;
    match insn.mnemonic() {
        _ if is_offset_beyond(insn, host, ours) => true,
        Mnemonic::Call => both && ours.vector == GENERAL_PROTECTION,
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => {
            both && host.state.gprs == ours.state.gprs
        }
        Mnemonic::Enter => host.vector == ALIGNMENT,
        Mnemonic::Lds
        | Mnemonic::Les
        | Mnemonic::Lss
        | Mnemonic::Lfs
        | Mnemonic::Lgs
        | Mnemonic::Fbstp
        | Mnemonic::Fnsave
        | Mnemonic::Frstor
        | Mnemonic::Fnstenv
        | Mnemonic::Fldenv
        | Mnemonic::Fxsave
        | Mnemonic::Fxsave64
        | Mnemonic::Fxrstor
        | Mnemonic::Fxrstor64
        | Mnemonic::Xsave
        | Mnemonic::Xsave64
        | Mnemonic::Xsaveopt
        | Mnemonic::Xsaveopt64
        | Mnemonic::Xsavec
        | Mnemonic::Xsavec64
        | Mnemonic::Xrstor
        | Mnemonic::Xrstor64 => both || host.state.mxcsr & AMD_MXCSR_BIT != 0,
        Mnemonic::Fld | Mnemonic::Fstp | Mnemonic::Fbld => both && insn.memory_size().size() == 10,
        // AMD's MXCSR has one more bit.
        Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr => host.state.mxcsr & AMD_MXCSR_BIT != 0,
        Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu | Mnemonic::Maskmovq => host.vector != BREAKPOINT,
        // AMD's processors take these operands unaligned.
        _ if insn.cpuid_features() == [CpuidFeature::SHA] => ours.vector == GENERAL_PROTECTION,
        _ => false,
    }
}

/// What LAR leaves undefined of its result (SDM vol. 2A, "LAR"): where descriptors have the limit.
const LAR_UNDEFINED: u64 = 0xf_0000;

fn is_destination_of_lar(insn: &Instruction, register: usize) -> bool {
    insn.mnemonic() == Mnemonic::Lar && insn.op0_register().full_register().number() == register
}

/// How the host's outcome differs from ours, a line for each difference. `all_flags` compares undefined flags too.
pub(crate) fn differences(trial: &Trial, host: &Outcome, ours: &Outcome, all_flags: bool) -> Vec<String> {
    let bits = trial.case.bits;
    let (insn, undefined) = trial.end(host);
    let computing = trial.computing(insn);
    let mut lines = Vec::new();
    if is_another_fault(insn, host, ours) {
        return lines;
    }
    let mut line = |what: &str, host: u64, ours: u64| {
        if host != ours {
            lines.push(format!("{what}: host {host:#x}, ours {ours:#x}"));
        }
    };
    line("vector", host.vector.into(), ours.vector.into());
    line("rip", host.state.rip, ours.state.rip);
    if host.vector == ours.vector {
        // Linux does not tell programs whether a kernel address is mapped.
        let hidden = if host.vector == PAGE_FAULT && host.cr2 >= TASK_END { PRESENT } else { 0 };
        line("error code", (host.error | hidden).into(), (ours.error | hidden).into());
        line("cr2", host.cr2, ours.cr2);
    }
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    // POPA that faults may have loaded some registers, which the repetition does again.
    let half_loaded =
        matches!(insn.mnemonic(), Mnemonic::Popa | Mnemonic::Popad) && host.vector != BREAKPOINT;
    let mask = if half_loaded { 0 } else { bits.mask() };
    for (n, name) in NAMES.iter().enumerate().take(bits.registers()) {
        let mask = if is_destination_of_lar(insn, n) { mask & !LAR_UNDEFINED } else { mask };
        line(name, host.state.gprs[n] & mask, ours.state.gprs[n] & mask);
    }
    // The area of an FXRSTOR may have addresses that are none, of which processors keep more or fewer bits.
    if is_of_x87(computing) && host.state.x87.status & WAITS != 0 && trial.case.state.x87.status & WAITS == 0
    {
        let [host, ours] = [host, ours].map(|outcome| outcome.state.x87.last);
        line("fop", host.0.into(), ours.0.into());
        line("fip", host.1, ours.1);
        line("fdp", host.2, ours.2);
    }
    let segments = [host, ours].map(|outcome| outcome.state.segments);
    for (n, name) in ["es", "ss", "ds", "fs", "gs"].iter().enumerate() {
        // A null selector loses its last two bits on the way back from a handler.
        let selector = |segments: Segments| if segments.selectors[n] < 4 { 0 } else { segments.selectors[n] };
        let [host, ours] = segments.map(|segments| selector(segments).into());
        line(name, host, ours);
    }
    for (n, name) in ["fs base", "gs base"].iter().enumerate() {
        let [host, ours] = segments.map(|segments| segments.bases[n]);
        line(name, host, ours);
    }
    let done = host.vector == BREAKPOINT;
    let mut undefined = if all_flags { 0 } else { undefined };
    if is_invalid_comparison(computing, host) {
        undefined = ARITHMETIC_FLAGS;
    }
    // Between iterations Intel's processors push RF with a trap, AMD's do not.
    if host.vector == SINGLE_STEP && host.state.rip == insn.ip() {
        undefined |= RESUME;
    }
    let mask = COMPARED_FLAGS & !undefined;
    line("rflags", host.state.rflags & mask, ours.state.rflags & mask);
    let differ = |(host, ours): &(&[u128; 2], [u128; 2])| **host != *ours;
    for (n, (host, ours)) in
        host.state.ymm.iter().zip(ours.state.ymm).enumerate().filter(|(_, pair)| differ(pair))
    {
        for (half, (host, ours)) in host.iter().zip(ours).enumerate() {
            line(&format!("ymm{n} {}..", 128 * half), *host as u64, ours as u64);
            line(&format!("ymm{n} {}..", 128 * half + 64), (host >> 64) as u64, (ours >> 64) as u64);
        }
    }
    line("fcw", host.state.x87.control.into(), ours.state.x87.control.into());
    let conditions = !undefined_conditions(computing, host);
    let status = |outcome: &Outcome| (outcome.state.x87.status & conditions).into();
    line("fsw", status(host), status(ours));
    line("ftw", host.state.x87.valid.into(), ours.state.x87.valid.into());
    for (n, (host, ours)) in host.state.x87.st.iter().zip(ours.state.x87.st).enumerate() {
        if *host == ours || is_transcendental(computing) && is_close(*host, ours) {
            continue;
        }
        line(&format!("st{n} significand"), *host as u64, ours as u64);
        line(&format!("st{n} exponent"), (host >> 64) as u64, (ours >> 64) as u64);
    }
    line("mxcsr", host.state.mxcsr.into(), ours.state.mxcsr.into());
    // What ENTER and PUSHA could not finish may lie below the stack pointer or not.
    let half_done = matches!(insn.mnemonic(), Mnemonic::Enter | Mnemonic::Pusha | Mnemonic::Pushad) && !done;
    if host.memory != ours.memory
        && !half_done
        && let Some(at) = (0..host.memory.len())
            .find(|at| host.memory[*at] != ours.memory[*at] && !is_mxcsr_mask(host, ours, *at))
    {
        let at = at & !7;
        let quad =
            |memory: &[u8]| memory[at..at + 8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        line(&format!("memory at data+{at:#x}"), quad(&host.memory), quad(&ours.memory));
    }
    lines
}
