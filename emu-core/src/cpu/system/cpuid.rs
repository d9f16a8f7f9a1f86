//! The CPUID model: one table that tells a consistent story, and announces only what works. SDM vol. 2A, "CPUID".

use crate::cpu::Cpu;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::mmu::PHYS_BITS;
use iced_x86::{Code, CpuidFeature};
use serde::{Deserialize, Serialize};

/// What the time-stamp counter and the local APIC's timer are derived from, in Hz (leaf 0x15 ECX).
pub const CRYSTAL_HZ: u64 = 25_000_000;

/// Family 6, model 0x8d, stepping 1.
const SIGNATURE: u32 = 0x0008_06d1;
/// Highest basic and extended leaves.
const MAX_BASIC: u32 = 0x16;
const MAX_EXTENDED: u32 = 0x8000_0008;

/// Output registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// A feature bit: its name as Linux's /proc/cpuinfo has it, where it is, and which CR4 bits it makes settable.
struct Feature {
    name: &'static str,
    leaf: u32,
    out: Out,
    bit: u32,
    cr4: u64,
}

const fn feature(name: &'static str, leaf: u32, out: Out, bit: u32) -> Feature {
    Feature { name, leaf, out, bit, cr4: 0 }
}

const fn with_cr4(name: &'static str, leaf: u32, out: Out, bit: u32, cr4: u64) -> Feature {
    Feature { name, leaf, out, bit, cr4 }
}

/// CR4 bits that need no feature of this table.
const CR4_ALWAYS: u64 = cr4::PCE;

/// Everything that is modelled in full, and so announced.
const FEATURES: &[Feature] = &[
    feature("fpu", 1, Out::Edx, 0),
    with_cr4("de", 1, Out::Edx, 2, cr4::DE),
    with_cr4("pse", 1, Out::Edx, 3, cr4::PSE),
    with_cr4("tsc", 1, Out::Edx, 4, cr4::TSD),
    feature("msr", 1, Out::Edx, 5),
    with_cr4("pae", 1, Out::Edx, 6, cr4::PAE),
    with_cr4("mce", 1, Out::Edx, 7, cr4::MCE),
    feature("cx8", 1, Out::Edx, 8),
    feature("apic", 1, Out::Edx, 9),
    feature("sep", 1, Out::Edx, 11),
    feature("mtrr", 1, Out::Edx, 12),
    with_cr4("pge", 1, Out::Edx, 13, cr4::PGE),
    feature("mca", 1, Out::Edx, 14),
    feature("cmov", 1, Out::Edx, 15),
    feature("pat", 1, Out::Edx, 16),
    feature("pse36", 1, Out::Edx, 17),
    feature("clflush", 1, Out::Edx, 19),
    feature("mmx", 1, Out::Edx, 23),
    with_cr4("fxsr", 1, Out::Edx, 24, cr4::OSFXSR),
    with_cr4("sse", 1, Out::Edx, 25, cr4::OSXMMEXCPT),
    feature("sse2", 1, Out::Edx, 26),
    feature("pni", 1, Out::Ecx, 0),
    feature("pclmulqdq", 1, Out::Ecx, 1),
    feature("ssse3", 1, Out::Ecx, 9),
    feature("fma", 1, Out::Ecx, 12),
    feature("cx16", 1, Out::Ecx, 13),
    with_cr4("pcid", 1, Out::Ecx, 17, cr4::PCIDE),
    feature("sse4_1", 1, Out::Ecx, 19),
    feature("sse4_2", 1, Out::Ecx, 20),
    feature("x2apic", 1, Out::Ecx, 21),
    feature("movbe", 1, Out::Ecx, 22),
    feature("popcnt", 1, Out::Ecx, 23),
    feature("tsc_deadline_timer", 1, Out::Ecx, 24),
    feature("aes", 1, Out::Ecx, 25),
    with_cr4("xsave", 1, Out::Ecx, 26, cr4::OSXSAVE),
    feature("avx", 1, Out::Ecx, 28),
    feature("f16c", 1, Out::Ecx, 29),
    feature("rdrand", 1, Out::Ecx, 30),
    feature("arat", 6, Out::Eax, 2),
    with_cr4("fsgsbase", 7, Out::Ebx, 0, cr4::FSGSBASE),
    feature("tsc_adjust", 7, Out::Ebx, 1),
    feature("bmi1", 7, Out::Ebx, 3),
    feature("avx2", 7, Out::Ebx, 5),
    feature("fdp_excptn_only", 7, Out::Ebx, 6),
    with_cr4("smep", 7, Out::Ebx, 7, cr4::SMEP),
    feature("bmi2", 7, Out::Ebx, 8),
    feature("erms", 7, Out::Ebx, 9),
    feature("invpcid", 7, Out::Ebx, 10),
    feature("zero_fcs_fds", 7, Out::Ebx, 13),
    feature("rdseed", 7, Out::Ebx, 18),
    feature("adx", 7, Out::Ebx, 19),
    with_cr4("smap", 7, Out::Ebx, 20, cr4::SMAP),
    feature("sha_ni", 7, Out::Ebx, 29),
    with_cr4("umip", 7, Out::Ecx, 2, cr4::UMIP),
    feature("spec_ctrl", 7, Out::Edx, 26),
    feature("stibp", 7, Out::Edx, 27),
    feature("arch_capabilities", 7, Out::Edx, 29),
    feature("ssbd", 7, Out::Edx, 31),
    // Of subleaf 1.
    feature("xsaveopt", 0xd, Out::Eax, 0),
    feature("xsavec", 0xd, Out::Eax, 1),
    feature("xgetbv1", 0xd, Out::Eax, 2),
    feature("xsaves", 0xd, Out::Eax, 3),
    feature("lahf_lm", 0x8000_0001, Out::Ecx, 0),
    feature("abm", 0x8000_0001, Out::Ecx, 5),
    feature("syscall", 0x8000_0001, Out::Edx, 11),
    feature("nx", 0x8000_0001, Out::Edx, 20),
    feature("pdpe1gb", 0x8000_0001, Out::Edx, 26),
    feature("rdtscp", 0x8000_0001, Out::Edx, 27),
    feature("lm", 0x8000_0001, Out::Edx, 29),
    feature("invariant_tsc", 0x8000_0007, Out::Edx, 8),
];

/// What a feature is built on: hiding the second hides the first.
const NEEDS: &[(&str, &str)] = &[
    ("sse", "fxsr"),
    ("sse2", "sse"),
    ("pni", "sse2"),
    ("ssse3", "pni"),
    ("sse4_1", "ssse3"),
    ("sse4_2", "sse4_1"),
    ("aes", "sse2"),
    ("pclmulqdq", "sse2"),
    ("sha_ni", "ssse3"),
    ("xsave", "fxsr"),
    ("xsaveopt", "xsave"),
    ("xsavec", "xsave"),
    ("xgetbv1", "xsave"),
    ("xsaves", "xsavec"),
    ("avx", "xsave"),
    ("avx", "sse4_2"),
    ("avx2", "avx"),
    ("f16c", "avx"),
    ("fma", "avx"),
    ("x2apic", "apic"),
    ("tsc_deadline_timer", "apic"),
    ("tsc_adjust", "tsc"),
    ("invariant_tsc", "tsc"),
    ("rdtscp", "tsc"),
    ("stibp", "spec_ctrl"),
    ("ssbd", "spec_ctrl"),
];

/// Which processor the machine claims to have, and what of it is hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CpuidModel {
    /// The brand string, at most 47 bytes.
    pub brand: String,
    /// Features that the processor lacks, by their names in /proc/cpuinfo; with them goes what is built on them.
    pub hide: Vec<String>,
}

impl Default for CpuidModel {
    fn default() -> Self {
        Self { brand: "Glassbox virtual processor".to_owned(), hide: Vec::new() }
    }
}

impl CpuidModel {
    /// Family, model and stepping as in leaf 1 EAX: also what EDX holds after reset.
    #[must_use]
    pub const fn signature(&self) -> u32 {
        SIGNATURE
    }

    /// The first name in [`Self::hide`] that is no feature.
    #[must_use]
    pub fn unknown_feature(&self) -> Option<&str> {
        self.hide.iter().map(String::as_str).find(|name| FEATURES.iter().all(|feature| feature.name != *name))
    }

    /// Whether a feature is announced.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.announced().any(|feature| feature.name == name)
    }

    fn announced(&self) -> impl Iterator<Item = &'static Feature> {
        FEATURES.iter().filter(|feature| !self.is_hidden(feature.name))
    }

    fn is_hidden(&self, name: &str) -> bool {
        let needed = || NEEDS.iter().filter(|(feature, _)| *feature == name);
        !self.hide.is_empty()
            && (self.hide.iter().any(|hidden| hidden == name)
                || needed().any(|(_, base)| self.is_hidden(base)))
    }

    /// Whether an instruction is of announced features only.
    #[must_use]
    pub fn announces(&self, code: Code) -> bool {
        code.cpuid_features()
            .iter()
            .all(|f| Self::name_of(*f).is_some_and(|name| name.is_empty() || self.has(name)))
    }

    /// Whether an instruction belongs to a feature that is hidden.
    pub(crate) fn lacks(&self, code: Code) -> bool {
        !self.hide.is_empty()
            && code
                .cpuid_features()
                .iter()
                .any(|f| Self::name_of(*f).is_some_and(|name| self.is_hidden(name)))
    }

    /// The name under which CPUID announces one of iced's features: empty for what every x86-64 processor has, `None` for what is not
    /// modelled.
    pub(crate) fn name_of(feature: CpuidFeature) -> Option<&'static str> {
        type Feature = CpuidFeature;
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
            Feature::LZCNT => "abm",
            Feature::BMI1 => "bmi1",
            Feature::BMI2 => "bmi2",
            Feature::ADX => "adx",
            Feature::AES => "aes",
            Feature::PCLMULQDQ => "pclmulqdq",
            Feature::SHA => "sha_ni",
            Feature::AVX => "avx",
            Feature::AVX2 => "avx2",
            Feature::F16C => "f16c",
            Feature::FMA => "fma",
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
            _ => return None,
        })
    }

    /// CR4 bits that can be set.
    pub(crate) fn cr4_mask(&self) -> u64 {
        self.announced().fold(CR4_ALWAYS, |mask, feature| mask | feature.cr4)
    }

    fn bits(&self, leaf: u32, out: Out) -> u32 {
        self.announced()
            .filter(|feature| feature.leaf == leaf && feature.out == out)
            .fold(0, |bits, feature| bits | 1 << feature.bit)
    }

    /// Sixteen bytes of the brand string.
    fn brand_part(&self, part: u32) -> [u32; 4] {
        let mut bytes = [0; 48];
        let len = self.brand.len().min(47);
        bytes[..len].copy_from_slice(&self.brand.as_bytes()[..len]);
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes[16 * part as usize..].chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        words
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Cpu {
    /// CPUID: EAX, EBX, ECX, EDX of a leaf.
    pub(crate) fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        // Beyond the highest leaf, basic or extended, the highest basic one answers.
        let leaf = match leaf {
            0..=MAX_BASIC | 0x8000_0000..=MAX_EXTENDED => leaf,
            _ => MAX_BASIC,
        };
        let model = &self.config.cpuid;
        let bits = |out| model.bits(leaf, out);
        match leaf {
            // "GenuineIntel".
            0 => [MAX_BASIC, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
            1 => {
                // CLFLUSH lines of 64 bytes, one logical processor, APIC id 0; OSXSAVE mirrors CR4.
                let os_xsave = if self.cr4 & cr4::OSXSAVE != 0 { 1 << 27 } else { 0 };
                [SIGNATURE, 8 << 8 | 1 << 16, bits(Out::Ecx) | os_xsave, bits(Out::Edx)]
            }
            // One query; the descriptor says to look into leaf 4.
            2 => [0xff01, 0, 0, 0],
            4 => cache(subleaf),
            6 => [bits(Out::Eax), 0, 0, 0],
            7 if subleaf == 0 => [0, bits(Out::Ebx), bits(Out::Ecx), bits(Out::Edx)],
            0xb => self.topology(subleaf),
            0xd => self.xsave_layout(subleaf),
            0x15 => {
                let common = gcd(self.tsc_hz(), CRYSTAL_HZ);
                [(CRYSTAL_HZ / common) as u32, (self.tsc_hz() / common) as u32, CRYSTAL_HZ as u32, 0]
            }
            0x16 => {
                let mhz = (self.tsc_hz() / 1_000_000) as u32 & 0xffff;
                [mhz, mhz, 100, 0]
            }
            0x8000_0000 => [MAX_EXTENDED, 0, 0, 0],
            0x8000_0001 => [0, 0, bits(Out::Ecx), bits(Out::Edx)],
            0x8000_0002..=0x8000_0004 => model.brand_part(leaf - 0x8000_0002),
            // 256 KiB of second-level cache, 8-way, lines of 64 bytes.
            0x8000_0006 => [0, 0, 256 << 16 | 6 << 12 | 64, 0],
            0x8000_0007 => [0, 0, 0, bits(Out::Edx)],
            0x8000_0008 => [PHYS_BITS | 48 << 8, 0, 0, 0],
            _ => [0; 4],
        }
    }

    /// Components of XSAVE's area, and their lengths.
    fn xsave_layout(&self, subleaf: u32) -> [u32; 4] {
        let len = |components: u64| Self::xsave_len(components) as u32;
        let supported = self.xcr0_supported();
        match subleaf {
            0 => [supported as u32, len(self.xcr0), len(supported), 0],
            1 => [self.config.cpuid.bits(0xd, Out::Eax), len(self.xcr0), 0, 0],
            // The upper halves of the YMM registers.
            2 if supported & 4 != 0 => [256, 576, 0, 0],
            _ => [0; 4],
        }
    }

    /// Extended topology: one thread, one core.
    fn topology(&self, level: u32) -> [u32; 4] {
        match level {
            0 => [0, 1, 1 << 8, 0],
            1 => [0, 1, 2 << 8 | 1, 0],
            _ => [0, 0, level & 0xff, 0],
        }
    }

    /// Whether x87, SSE and friends are off: EM for all, TS until the system has switched.
    pub(crate) fn sse_enabled(&self) -> bool {
        self.cr0 & cr0::EM == 0 && self.cr4 & cr4::OSFXSR != 0
    }
}

/// Deterministic cache parameters: 32 KiB of data, 32 KiB of instructions, 256 KiB unified.
fn cache(subleaf: u32) -> [u32; 4] {
    let describe = |kind: u32, level: u32, ways: u32, sets: u32| {
        [kind | level << 5 | 1 << 8, 63 | (ways - 1) << 22, sets - 1, 0]
    };
    match subleaf {
        0 => describe(1, 1, 8, 64),
        1 => describe(2, 1, 8, 64),
        2 => describe(3, 2, 8, 512),
        _ => [0; 4],
    }
}
