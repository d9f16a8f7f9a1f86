//! Makes sequences: behind a case's instruction more of them, which find their memory without a register, so that they work on
//! whatever the ones before have left.

use super::segments::Known;
use super::{INSN_MAX, Maker, decode, encode, repeats_a_loop, splits_a_lock, unsafe_here};
use crate::case::{Bits, CODE, CODE_LEN, State, Trial};
use crate::compare::undefined_flags;
use crate::rng::Rng;
use iced_x86::{Code, CpuidFeature, FlowControl, Instruction, Mnemonic, OpKind, Register, RflagsBits};

/// Instructions behind the first at most.
const MORE: u64 = 7;

/// Appends instructions of `codes` to a trial of one, if that one lets others follow.
pub(crate) fn extend(trial: &mut Trial, codes: &[Code], rng: &mut Rng) {
    let bits = trial.case.bits;
    if is_of_x87(&trial.insns[0]) && rng.percent(50) {
        return wait(trial);
    }
    if !can_be_followed(&trial.insns[0]) {
        return;
    }
    let mut known = Known::at_first(&trial.case.state);
    known.follow(&trial.insns[0], Some(&trial.case.state.gprs));
    let wanted = 1 + trial.insns.len() as u64 + rng.below(MORE);
    for _ in 0..100 {
        if trial.insns.len() as u64 >= wanted {
            break;
        }
        let undefined = *trial.undefined.last().unwrap_or(&0);
        let rip = trial.case.state.rip + trial.case.code.len() as u64;
        if rip > CODE + (CODE_LEN - 2 * INSN_MAX) as u64 {
            break;
        }
        let Some((bytes, insn)) = follower(rng.pick(codes), bits, rip, &known, rng) else { continue };
        if read_flags(&insn) & undefined == 0 {
            trial.case.code.extend(bytes);
            known.follow(&insn, None);
            trial.insns.push(insn);
            trial.undefined.push(undefined & !written_flags(&insn) | undefined_flags(&insn));
        }
    }
}

/// Appends WAIT, which raises what an x87 instruction has left unmasked.
fn wait(trial: &mut Trial) {
    const WAIT: u8 = 0x9b;
    let rip = trial.case.state.rip + trial.case.code.len() as u64;
    let follows = trial.insns[0].next_ip() == rip && rip < CODE + CODE_LEN as u64;
    if let Some((insn, _)) = decode(&[WAIT], rip, trial.case.bits).filter(|_| follows) {
        trial.case.code.push(WAIT);
        trial.insns.push(insn);
        trial.undefined.extend_from_within(..);
    }
}

/// Whether an instruction belongs to the x87 unit.
pub(crate) fn is_of_x87(insn: &Instruction) -> bool {
    let of_x87 = [CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387];
    insn.cpuid_features().iter().any(|feature| of_x87.contains(feature))
}

/// An instruction that can stand anywhere.
fn follower(
    code: Code,
    bits: Bits,
    rip: u64,
    known: &Known,
    rng: &mut Rng,
) -> Option<(Vec<u8>, Instruction)> {
    let mut bytes = encode(code, bits, rng);
    let (mut insn, mut offsets) = decode(&bytes, rip, bits)?;
    let has_memory = |insn: &Instruction| insn.op_kinds().any(|kind| kind == OpKind::Memory);
    if has_memory(&insn) {
        // The ModRM byte for an address relative to RIP, or without a base in 32-bit code.
        let modrm = bytes.len() - INSN_MAX;
        bytes[modrm] = bytes[modrm] & 0x38 | 5;
        (insn, offsets) = decode(&bytes, rip, bits)?;
    }
    let finds_memory_alone = insn.is_ip_rel_memory_operand()
        || (insn.memory_base() == Register::None && insn.memory_index() == Register::None);
    if insn.code() != code
        || repeats_a_loop(&insn)
        || unsafe_here(&insn, &bytes)
        || !finds_memory_alone
        || !can_be_followed(&insn)
        || !can_follow(&insn)
    {
        return None;
    }
    bytes.truncate(insn.len());
    let mut state = State::blank(rip);
    let has_memory = has_memory(&insn);
    if has_memory {
        known.place(&insn, &mut state)?;
    }
    let mut maker = Maker { rng, bits, rip, bytes, insn, offsets, state, memory: Vec::new() };
    if has_memory {
        maker.aim();
    }
    let (insn, _) = decode(&maker.bytes, rip, bits)?;
    (insn.code() == code && !splits_a_lock(&insn, &maker.state)).then_some((maker.bytes, insn))
}

/// Whether all that the instruction leaves behind is defined but for flags, on every processor.
fn can_be_followed(insn: &Instruction) -> bool {
    let areas = [CpuidFeature::FXSR, CpuidFeature::XSAVE, CpuidFeature::XSAVEOPT, CpuidFeature::XSAVEC];
    let is_of = |group: &[CpuidFeature]| insn.cpuid_features().iter().any(|feature| group.contains(feature));
    let sixteen = insn.op0_register().size() == 2 || insn.memory_size().size() == 2;
    let unaligned_sha = is_of(&[CpuidFeature::SHA]) && insn.op1_kind() == OpKind::Memory;
    let undefined = sixteen && matches!(insn.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd);
    insn.flow_control() == FlowControl::Next
        && !(is_of(&areas) || is_of_x87(insn) || unaligned_sha || undefined)
        && !matches!(
            insn.mnemonic(),
            Mnemonic::Maskmovq
                | Mnemonic::Maskmovdqu
                | Mnemonic::Vmaskmovdqu
                | Mnemonic::Ldmxcsr
                | Mnemonic::Vldmxcsr
                | Mnemonic::Lar
                | Mnemonic::Enter
                | Mnemonic::Popa
                | Mnemonic::Popad
                | Mnemonic::Pusha
                | Mnemonic::Pushad
        )
}

/// Whether the instruction takes no address from a register.
fn can_follow(insn: &Instruction) -> bool {
    let is_bit_string =
        matches!(insn.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
            && insn.op0_kind() == OpKind::Memory
            && insn.op1_kind() == OpKind::Register;
    !is_bit_string && !insn.is_string_instruction() && insn.mnemonic() != Mnemonic::Xlatb
}

/// Places of flags in RFLAGS.
pub(crate) fn places(flags: u32) -> u64 {
    [
        (RflagsBits::CF, 0),
        (RflagsBits::PF, 2),
        (RflagsBits::AF, 4),
        (RflagsBits::ZF, 6),
        (RflagsBits::SF, 7),
        (RflagsBits::OF, 11),
    ]
    .iter()
    .filter(|(bit, _)| flags & bit != 0)
    .fold(0, |mask, (_, place)| mask | 1 << place)
}

fn read_flags(insn: &Instruction) -> u64 {
    match insn.mnemonic() {
        Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq | Mnemonic::Lahf => u64::MAX,
        _ => places(insn.rflags_read()),
    }
}

/// Flags that are defined afterwards whatever they were. Shifts by nothing leave them alone.
fn written_flags(insn: &Instruction) -> u64 {
    match insn.mnemonic() {
        Mnemonic::Shl
        | Mnemonic::Sal
        | Mnemonic::Shr
        | Mnemonic::Sar
        | Mnemonic::Rol
        | Mnemonic::Ror
        | Mnemonic::Rcl
        | Mnemonic::Rcr
        | Mnemonic::Shld
        | Mnemonic::Shrd => 0,
        _ => places(insn.rflags_modified() & !insn.rflags_undefined()),
    }
}
