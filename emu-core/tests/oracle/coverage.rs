//! Which instructions there are, and which of them the oracle compares: a list under review.
//!
//! Not compared are those that the host's kernel would answer, that show the host's own state, or that processors differ on; each
//! group names where else it is tested.

use crate::case::Bits;
use crate::table;
use emu_core::cpu::CpuidModel;
use iced_x86::{Code, CpuidFeature, EncodingKind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Every instruction of the encodings that the processor knows.
fn instructions() -> impl Iterator<Item = Code> {
    Code::values().filter(|code| {
        let op = code.op_code();
        op.is_instruction()
            && matches!(op.encoding(), EncodingKind::Legacy | EncodingKind::VEX)
            && op.decoder_option() == 0
            && !op.fwait()
            && (op.intel_decoder16() || op.intel_decoder32() || op.intel_decoder64())
    })
}

fn is_compared(code: Code) -> bool {
    [Bits::B64, Bits::B32].iter().any(|bits| table::is_tried(code, *bits))
}

#[test]
fn every_announced_instruction_is_compared_or_listed() {
    let model = CpuidModel::default();
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    let mut other: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut absent: BTreeMap<String, usize> = BTreeMap::new();
    for code in instructions() {
        let name = |feature: &CpuidFeature| format!("{feature:?}");
        let features: Vec<String> = code.cpuid_features().iter().map(name).collect();
        let features = features.join(" + ");
        if !model.announces(code) {
            *absent.entry(features).or_default() += 1;
        } else if is_compared(code) {
            *compared.entry(features).or_default() += 1;
        } else {
            let reason = table::why_not(code).unwrap_or("only in 16-bit code: cpu/tests/general.rs");
            other.entry(reason).or_default().push(format!("{code:?}"));
        }
    }
    let mut text = String::from("compared with the host's processor\n");
    for (features, count) in &compared {
        let _ = writeln!(text, "  {features}: {count}");
    }
    text += "implemented, and tested otherwise\n";
    for (reason, codes) in &other {
        let _ = writeln!(text, "  {reason}\n    {}", codes.join(" "));
    }
    text += "neither: CPUID does not announce the feature, so they are #UD\n";
    for (features, count) in &absent {
        let _ = writeln!(text, "  {features}: {count}");
    }
    insta::assert_snapshot!(text);
}
