//! That every encoding of an announced feature has an implementation, by walking the opcode maps in all three code sizes.
//! What the implementations do is for the oracle and the tests of the families.

use super::block::ModeKey;
use super::specialise::implemented;
use crate::cpu::system::CpuidModel;
use iced_x86::{Code, CpuidFeature as Feature, Decoder, DecoderOptions, EncodingKind, Mnemonic};
use std::collections::BTreeMap;

/// iced's features that every x86-64 processor has, or that CPUID announces under a name of its own; `None` for the rest.
fn announced_as(feature: Feature) -> Option<&'static str> {
    Some(match feature {
        Feature::INTEL8086
        | Feature::INTEL8086_ONLY
        | Feature::INTEL186
        | Feature::INTEL286
        | Feature::INTEL386
        | Feature::INTEL486
        | Feature::X64
        | Feature::CPUID
        | Feature::MULTIBYTENOP
        | Feature::PAUSE
        | Feature::RDPMC => "",
        Feature::FPU | Feature::FPU287 | Feature::FPU387 => "fpu",
        Feature::TSC => "tsc",
        Feature::MSR => "msr",
        Feature::CX8 => "cx8",
        Feature::SEP => "sep",
        Feature::CMOV => "cmov",
        Feature::CLFSH => "clflush",
        Feature::MMX => "mmx",
        Feature::FXSR => "fxsr",
        Feature::SSE => "sse",
        Feature::SSE2 => "sse2",
        Feature::SSE3 => "pni",
        Feature::SSSE3 => "ssse3",
        Feature::SSE4_1 => "sse4_1",
        Feature::SSE4_2 => "sse4_2",
        Feature::CMPXCHG16B => "cx16",
        Feature::MOVBE => "movbe",
        Feature::POPCNT => "popcnt",
        Feature::XSAVE => "xsave",
        Feature::XSAVEOPT => "xsaveopt",
        Feature::XSAVEC => "xsavec",
        Feature::XSAVES => "xsaves",
        Feature::RDRAND => "rdrand",
        Feature::RDSEED => "rdseed",
        Feature::FSGSBASE => "fsgsbase",
        Feature::INVPCID => "invpcid",
        Feature::SMAP => "smap",
        Feature::SYSCALL => "syscall",
        Feature::RDTSCP => "rdtscp",
        Feature::ADX => "adx",
        Feature::AES => "aes",
        Feature::PCLMULQDQ => "pclmulqdq",
        Feature::SHA => "sha_ni",
        _ => return None,
    })
}

/// What is #UD by definition.
fn is_undefined(code: Code) -> bool {
    matches!(code.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2)
}

/// Every legacy encoding that the decoder knows in a code size, with bytes that have it.
fn codes(bits: u32) -> BTreeMap<u32, (Code, Vec<u8>)> {
    const PREFIXES: [&[u8]; 4] = [&[], &[0x66], &[0xf3], &[0xf2]];
    const MAPS: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    const WAIT: [&[u8]; 2] = [&[], &[0x9b]];
    // The middle of the ModRM byte and the form with memory; for the form with registers all of it matters.
    let modrms: Vec<u8> = (0x00..0x40).step_by(8).chain(0xc0..=0xff).collect();
    let rex: &[&[u8]] = if bits == 64 { &[&[], &[0x48]] } else { &[&[]] };
    let mut found = BTreeMap::new();
    for (wait, prefix, rex, map) in all_of(&WAIT, &PREFIXES, rex, &MAPS) {
        for opcode in 0..=0xff {
            for modrm in &modrms {
                let mut bytes = [wait, prefix, rex, map, &[opcode, *modrm][..]].concat();
                bytes.resize(20, 0);
                let insn = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
                if !insn.is_invalid() && insn.code().encoding() == EncodingKind::Legacy {
                    bytes.truncate(insn.len());
                    found.entry(insn.code() as u32).or_insert((insn.code(), bytes));
                }
            }
        }
    }
    found
}

/// The product of four lists.
fn all_of<'a>(
    a: &'a [&'a [u8]],
    b: &'a [&'a [u8]],
    c: &'a [&'a [u8]],
    d: &'a [&'a [u8]],
) -> impl Iterator<Item = (&'a [u8], &'a [u8], &'a [u8], &'a [u8])> {
    a.iter().flat_map(move |a| {
        b.iter().flat_map(move |b| c.iter().flat_map(move |c| d.iter().map(move |d| (*a, *b, *c, *d))))
    })
}

#[test]
fn cpuid_announces_only_what_is_implemented_in_full() {
    let model = CpuidModel::default();
    let is_announced =
        |feature: &Feature| announced_as(*feature).is_some_and(|name| name.is_empty() || model.has(name));
    let mut missing = Vec::new();
    for (size, bits) in [16, 32, 64].into_iter().enumerate() {
        let codes = codes(bits);
        assert!(codes.len() > 1000, "the maps of {bits}-bit code were walked");
        for (code, bytes) in codes.into_values() {
            let insn = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
            let announced = code.cpuid_features().iter().all(is_announced) && !is_undefined(code);
            if announced && !implemented(&insn, ModeKey(size as u8)) {
                missing.push(format!("{code:?} in {bits}-bit code, {bytes:02x?}"));
            }
        }
    }
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
}
