//! Which instructions are tried: everything of a few CPUID features that runs at CPL 3, less what is listed.

use crate::case::Bits;
use iced_x86::{Code, CpuidFeature, EncodingKind, Mnemonic};

/// What every case is made of.
const FEATURES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::MOVBE,
    CpuidFeature::POPCNT,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::MMX,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
    CpuidFeature::AVX,
    CpuidFeature::AVX2,
    CpuidFeature::FMA,
    CpuidFeature::F16C,
    CpuidFeature::BMI1,
    CpuidFeature::BMI2,
    CpuidFeature::LZCNT,
    CpuidFeature::ADX,
    CpuidFeature::AES,
    CpuidFeature::PCLMULQDQ,
    CpuidFeature::SHA,
    CpuidFeature::FXSR,
    CpuidFeature::XSAVE,
    CpuidFeature::XSAVEOPT,
    CpuidFeature::XSAVEC,
    CpuidFeature::FPU,
    CpuidFeature::FPU287,
    CpuidFeature::FPU387,
    CpuidFeature::FSGSBASE,
];

/// Left out, with the reason and where else they are tested.
const LEFT_OUT: &[(&str, &[Mnemonic])] = &[
    (
        "traps and far transfers into the host's kernel: cpu/tests/{calls,far,interrupt,iret}.rs",
        &[
            Mnemonic::Int,
            Mnemonic::Int1,
            Mnemonic::Int3,
            Mnemonic::Iret,
            Mnemonic::Iretd,
            Mnemonic::Iretq,
            Mnemonic::Retf,
            Mnemonic::Syscall,
        ],
    ),
    (
        "may set TF and NT: cpu/tests/{debug,privilege,task}.rs",
        &[Mnemonic::Popf, Mnemonic::Popfd, Mnemonic::Popfq],
    ),
    (
        "show the host's descriptor tables and machine state: cpu/tests/{privilege,segments}.rs",
        &[Mnemonic::Sldt, Mnemonic::Str, Mnemonic::Sgdt, Mnemonic::Sidt, Mnemonic::Smsw],
    ),
    ("what the system has chosen: float_oracle/extended_state.rs", &[Mnemonic::Xgetbv, Mnemonic::Xsetbv]),
    (
        "each processor has approximations of its own: cpu/softfloat/tests.rs",
        &[
            Mnemonic::Rcpps,
            Mnemonic::Rcpss,
            Mnemonic::Rsqrtps,
            Mnemonic::Rsqrtss,
            Mnemonic::Vrcpps,
            Mnemonic::Vrcpss,
            Mnemonic::Vrsqrtps,
            Mnemonic::Vrsqrtss,
        ],
    ),
    (
        "processors disagree on the length of their operands: undefined by definition",
        &[Mnemonic::Ud0, Mnemonic::Ud1],
    ),
];

/// The codes to try on this host.
pub(crate) fn codes(bits: Bits) -> Vec<Code> {
    let host_runs = |code: &Code| code.cpuid_features().iter().all(|feature| host_has(*feature));
    Code::values().filter(|code| is_tried(*code, bits) && host_runs(code)).collect()
}

/// Whether a code is tried in a mode, on a host that has it.
pub(crate) fn is_tried(code: Code, bits: Bits) -> bool {
    let op = code.op_code();
    op.is_instruction()
        && matches!(op.encoding(), EncodingKind::Legacy | EncodingKind::VEX)
        && match bits {
            Bits::B32 => op.mode32() && op.intel_decoder32(),
            Bits::B64 => op.mode64() && op.intel_decoder64(),
        }
        && op.decoder_option() == 0
        && !op.fwait()
        && why_not(code).is_none()
}

/// Why a code is not tried at all.
pub(crate) fn why_not(code: Code) -> Option<&'static str> {
    let listed = LEFT_OUT.iter().find(|(_, mnemonics)| mnemonics.contains(&code.mnemonic()));
    let is_far =
        code.is_call_far_indirect() || code.is_jmp_far_indirect() || code.is_call_far() || code.is_jmp_far();
    match code {
        _ if listed.is_some() => listed.map(|(reason, _)| *reason),
        _ if is_far => Some(LEFT_OUT[0].0),
        _ if !code.cpuid_features().iter().all(|feature| FEATURES.contains(feature)) => {
            Some("the system's, or not the same twice: cpu/tests")
        }
        Code::Reservednop_rm16_r16_0F0D
        | Code::Reservednop_rm32_r32_0F0D
        | Code::Reservednop_rm64_r64_0F0D => {
            Some("without memory AMD's processors refuse 0F 0D, PREFETCHW, for which Intel's do nothing")
        }
        Code::Lss_r64_m1664 | Code::Lfs_r64_m1664 | Code::Lgs_r64_m1664 => {
            Some("AMD's processors know no pointers of ten bytes: cpu/tests/segments.rs")
        }
        Code::Bswap_r16 => Some("its result is undefined: cpu/tests/undefined.rs"),
        Code::Popw_CS => Some("of the 8086 alone: its opcode has been an escape since"),
        Code::Movsxd_r16_rm16 => Some("AMD's processors read four bytes"),
        _ => None,
    }
}

fn host_has(feature: CpuidFeature) -> bool {
    match feature {
        CpuidFeature::MOVBE => is_x86_feature_detected!("movbe"),
        CpuidFeature::POPCNT => is_x86_feature_detected!("popcnt"),
        CpuidFeature::SSE3 => is_x86_feature_detected!("sse3"),
        CpuidFeature::SSSE3 => is_x86_feature_detected!("ssse3"),
        CpuidFeature::SSE4_1 => is_x86_feature_detected!("sse4.1"),
        CpuidFeature::SSE4_2 => is_x86_feature_detected!("sse4.2"),
        CpuidFeature::AVX => is_x86_feature_detected!("avx"),
        CpuidFeature::AVX2 => is_x86_feature_detected!("avx2"),
        CpuidFeature::FMA => is_x86_feature_detected!("fma"),
        CpuidFeature::F16C => is_x86_feature_detected!("f16c"),
        CpuidFeature::BMI1 => is_x86_feature_detected!("bmi1"),
        CpuidFeature::BMI2 => is_x86_feature_detected!("bmi2"),
        CpuidFeature::LZCNT => is_x86_feature_detected!("lzcnt"),
        CpuidFeature::ADX => is_x86_feature_detected!("adx"),
        CpuidFeature::AES => is_x86_feature_detected!("aes"),
        CpuidFeature::PCLMULQDQ => is_x86_feature_detected!("pclmulqdq"),
        CpuidFeature::SHA => is_x86_feature_detected!("sha"),
        CpuidFeature::XSAVE => is_x86_feature_detected!("xsave"),
        CpuidFeature::XSAVEOPT => is_x86_feature_detected!("xsaveopt"),
        CpuidFeature::XSAVEC => is_x86_feature_detected!("xsavec"),
        CpuidFeature::CMPXCHG16B => is_x86_feature_detected!("cmpxchg16b"),
        _ => true,
    }
}
