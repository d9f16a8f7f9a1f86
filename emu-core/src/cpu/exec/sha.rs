//! SHA-1 and SHA-256 extensions. SDM vol. 1, 12.14 of the instructions in vol. 2B, chapter 4; FIPS 180-4 for the functions.
//!
//! Vectors hold four words; the manual counts them from the highest, so `words` does too.

use super::Exec;
use super::sse_int::binary;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Register};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Sha1nexte_xmm_xmmm128 => |cpu, bus, insn| binary(cpu, bus, insn, next_e),
        Code::Sha1msg1_xmm_xmmm128 => |cpu, bus, insn| binary(cpu, bus, insn, message_1_of_sha1),
        Code::Sha1msg2_xmm_xmmm128 => |cpu, bus, insn| binary(cpu, bus, insn, message_2_of_sha1),
        Code::Sha1rnds4_xmm_xmmm128_imm8 => rounds_of_sha1,
        Code::Sha256msg1_xmm_xmmm128 => |cpu, bus, insn| binary(cpu, bus, insn, message_1_of_sha256),
        Code::Sha256msg2_xmm_xmmm128 => |cpu, bus, insn| binary(cpu, bus, insn, message_2_of_sha256),
        Code::Sha256rnds2_xmm_xmmm128 => rounds_of_sha256,
        _ => return None,
    })
}

/// Words of a vector, the highest first.
fn words(value: u128) -> [u32; 4] {
    [96, 64, 32, 0].map(|shift| (value >> shift) as u32)
}

fn vector(words: [u32; 4]) -> u128 {
    words.into_iter().fold(0, |all, word| all << 32 | u128::from(word))
}

fn next_e(a: u128, b: u128) -> u128 {
    let [word, ..] = words(b);
    let next = word.wrapping_add(words(a)[0].rotate_left(30));
    vector([next, words(b)[1], words(b)[2], words(b)[3]])
}

fn message_1_of_sha1(a: u128, b: u128) -> u128 {
    let ([w0, w1, w2, w3], [w4, w5, ..]) = (words(a), words(b));
    vector([w2 ^ w0, w3 ^ w1, w4 ^ w2, w5 ^ w3])
}

fn message_2_of_sha1(a: u128, b: u128) -> u128 {
    let ([a0, a1, a2, a3], [_, w13, w14, w15]) = (words(a), words(b));
    let w16 = (a0 ^ w13).rotate_left(1);
    let w17 = (a1 ^ w14).rotate_left(1);
    let w18 = (a2 ^ w15).rotate_left(1);
    vector([w16, w17, w18, (a3 ^ w16).rotate_left(1)])
}

/// The function of a round and its constant (FIPS 180-4, 4.1.1, 4.2.1).
fn function_of_sha1(kind: u8, b: u32, c: u32, d: u32) -> u32 {
    match kind & 3 {
        0 => (b & c ^ !b & d).wrapping_add(0x5a82_7999),
        1 => (b ^ c ^ d).wrapping_add(0x6ed9_eba1),
        2 => (b & c ^ b & d ^ c & d).wrapping_add(0x8f1b_bcdc),
        _ => (b ^ c ^ d).wrapping_add(0xca62_c1d6),
    }
}

/// Four rounds. The first word of the source already has E added.
fn rounds_of_sha1(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [message, _] = cpu.read_vector(bus, insn, 1)?;
    let [mut a, mut b, mut c, mut d] = words(cpu.xmm(insn.op0_register()));
    let mut e = 0u32;
    for word in words(message) {
        let next = function_of_sha1(insn.immediate8(), b, c, d)
            .wrapping_add(a.rotate_left(5))
            .wrapping_add(word)
            .wrapping_add(e);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    cpu.set_result(insn, [vector([a, b, c, d]), 0]);
    Ok(())
}

/// The small sigmas of the message schedule (FIPS 180-4, 4.1.2).
fn sigma_0(w: u32) -> u32 {
    w.rotate_right(7) ^ w.rotate_right(18) ^ w >> 3
}

fn sigma_1(w: u32) -> u32 {
    w.rotate_right(17) ^ w.rotate_right(19) ^ w >> 10
}

fn message_1_of_sha256(a: u128, b: u128) -> u128 {
    let ([w3, w2, w1, w0], [.., w4]) = (words(a), words(b));
    let next = |w: u32, following: u32| w.wrapping_add(sigma_0(following));
    vector([next(w3, w4), next(w2, w3), next(w1, w2), next(w0, w1)])
}

fn message_2_of_sha256(a: u128, b: u128) -> u128 {
    let ([a3, a2, a1, a0], [w15, w14, ..]) = (words(a), words(b));
    let w16 = a0.wrapping_add(sigma_1(w14));
    let w17 = a1.wrapping_add(sigma_1(w15));
    let w18 = a2.wrapping_add(sigma_1(w16));
    vector([a3.wrapping_add(sigma_1(w17)), w18, w17, w16])
}

/// Two rounds: the destination holds C, D, G and H, the source A, B, E and F, XMM0 the words with their constants.
fn rounds_of_sha256(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [source, _] = cpu.read_vector(bus, insn, 1)?;
    let [mut a, mut b, mut e, mut f] = words(source);
    let [mut c, mut d, mut g, mut h] = words(cpu.xmm(insn.op0_register()));
    let [.., second, first] = words(cpu.xmm(Register::XMM0));
    for word in [first, second] {
        let chosen = e & f ^ !e & g;
        let from_e = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let from_a = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = a & b ^ a & c ^ b & c;
        let step = chosen.wrapping_add(from_e).wrapping_add(word).wrapping_add(h);
        let next = step.wrapping_add(majority).wrapping_add(from_a);
        (a, b, c, d, e, f, g, h) = (next, a, b, c, step.wrapping_add(d), e, f, g);
    }
    let _ = (c, d, g, h);
    cpu.set_result(insn, [vector([a, b, e, f]), 0]);
    Ok(())
}
