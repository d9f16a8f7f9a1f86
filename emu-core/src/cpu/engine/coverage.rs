//! That every encoding of an announced feature has an implementation, by walking the opcode maps in all three code sizes.
//! What the implementations do is for the oracle and the tests of the families.

use super::block::ModeKey;
use super::specialise::implemented;
use crate::cpu::system::CpuidModel;
use iced_x86::{Code, Decoder, DecoderOptions, EncodingKind, Mnemonic};
use std::collections::BTreeMap;

/// What is #UD by definition.
fn is_undefined(code: Code) -> bool {
    matches!(code.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2)
}

/// Every legacy and VEX encoding that the decoder knows in a code size, with bytes that have it.
fn codes(bits: u32) -> BTreeMap<u32, (Code, Vec<u8>)> {
    let mut found = legacy_codes(bits);
    vex_codes(bits, &mut found);
    found
}

/// All of VEX's maps, prefixes, widths and lengths, without a further source and with one.
fn vex_codes(bits: u32, found: &mut BTreeMap<u32, (Code, Vec<u8>)>) {
    for (map, rest) in (1..=3).flat_map(|map| (0..=0xff).map(move |rest| (map, rest))) {
        // W, the further source, L and the prefix.
        let fields: u8 = rest & 0x87 | if rest & 8 != 0 { 0x78 } else { 0x68 };
        if rest & 0x70 != 0 {
            continue;
        }
        for opcode in 0..=0xff {
            // With an index in a SIB byte, for gathers.
            for modrm in (0x04..0x40).step_by(8).chain(0xc1..=0xff) {
                let mut bytes = vec![0xc4, 0xe0 | map, fields, opcode, modrm, 0x10];
                bytes.resize(20, 0);
                keep(bits, bytes, found);
            }
        }
    }
}

/// Enters the code that `bytes` start with, if it is new.
fn keep(bits: u32, mut bytes: Vec<u8>, found: &mut BTreeMap<u32, (Code, Vec<u8>)>) {
    let insn = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
    let known = matches!(insn.code().encoding(), EncodingKind::Legacy | EncodingKind::VEX);
    if !insn.is_invalid() && known {
        bytes.truncate(insn.len());
        found.entry(insn.code() as u32).or_insert((insn.code(), bytes));
    }
}

fn legacy_codes(bits: u32) -> BTreeMap<u32, (Code, Vec<u8>)> {
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
                keep(bits, bytes, &mut found);
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
    let mut missing = Vec::new();
    for (size, bits) in [16, 32, 64].into_iter().enumerate() {
        let codes = codes(bits);
        assert!(codes.len() > 1000, "the maps of {bits}-bit code were walked");
        for (code, bytes) in codes.into_values() {
            let insn = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
            let announced = model.announces(code) && !is_undefined(code);
            if announced && !implemented(&insn, ModeKey(size as u8)) {
                missing.push(format!("{code:?} in {bits}-bit code, {bytes:02x?}"));
            }
        }
    }
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
}
