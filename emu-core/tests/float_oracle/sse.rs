//! Programs of SSE to SSE4.1 floating point: MXCSR, two registers and RAX loaded, an instruction, all stored.

use crate::area::{AREA_LEN, Area, Program, get, put};
use crate::operands;
use crate::rng::Rng;

/// What is in the area. The host's own MXCSR is put back before a program ends.
const XMM0: usize = 0;
const XMM1: usize = 16;
const RAX: usize = 32;
const FLAGS: usize = 40;
const MXCSR: usize = 48;
const MXCSR_DEFAULT: usize = 52;

/// `ldmxcsr [rdi+48]; movups xmm0, [rdi]; movups xmm1, [rdi+16]; mov rax, [rdi+32]; cmp ecx, ecx`
const LOAD: [u8; 17] =
    [0x0f, 0xae, 0x57, 0x30, 0x0f, 0x10, 0x07, 0x0f, 0x10, 0x4f, 0x10, 0x48, 0x8b, 0x47, 0x20, 0x39, 0xc9];
/// `mov [rdi+32], rax; lahf; mov [rdi+40], ah; movups [rdi], xmm0; stmxcsr [rdi+48]; ldmxcsr [rdi+52]`
const STORE: [u8; 19] = [
    0x48, 0x89, 0x47, 0x20, 0x9f, 0x88, 0x67, 0x28, 0x0f, 0x11, 0x07, 0x0f, 0xae, 0x5f, 0x30, 0x0f, 0xae,
    0x57, 0x34,
];

/// XMM0 or EAX with XMM1; or XMM0 with EAX.
const XMM0_XMM1: u8 = 0xc1;
const XMM0_EAX: u8 = 0xc0;

/// One for every form of everything that computes.
pub(crate) fn programs() -> Vec<Program> {
    const PREFIXES: [&[u8]; 4] = [&[], &[0x66], &[0xf3], &[0xf2]];
    // Roots, sums, products, conversions between formats and to and from packed integers, differences, minima, quotients,
    // maxima; ordered and unordered comparison to flags; horizontal sums and differences.
    const PLAIN: [u8; 15] =
        [0x51, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0xe6, 0x2e, 0x2f, 0x7c, 0x7d, 0xd0];
    let mut insns: Vec<Vec<u8>> = Vec::new();
    for prefix in PREFIXES {
        insns.extend(PLAIN.map(|opcode| [prefix, &[0x0f, opcode, XMM0_XMM1]].concat()));
        insns.extend((0..8).map(|predicate| [prefix, &[0x0f, 0xc2, XMM0_XMM1, predicate]].concat()));
    }
    for prefix in [0xf3, 0xf2] {
        // To and from integers of 32 and of 64 bits.
        for (opcode, modrm) in [(0x2a, XMM0_EAX), (0x2c, XMM0_XMM1), (0x2d, XMM0_XMM1)] {
            insns.push(vec![prefix, 0x0f, opcode, modrm]);
            insns.push(vec![prefix, 0x48, 0x0f, opcode, modrm]);
        }
    }
    if std::is_x86_feature_detected!("sse4.1") {
        let rounds = (0x08..=0x0b).flat_map(|opcode| (0..16).map(move |how| (opcode, how)));
        let products =
            [0x40, 0x41].into_iter().flat_map(|opcode| [0xff, 0x71, 0x3f].map(|how| (opcode, how)));
        insns.extend(
            rounds.chain(products).map(|(opcode, how)| vec![0x66, 0x0f, 0x3a, opcode, XMM0_XMM1, how]),
        );
    }
    let programs: Vec<Program> = insns.iter().filter_map(|insn| Program::new(&LOAD, insn, &STORE)).collect();
    assert!(programs.len() > 120, "the forms were decoded");
    programs
}

/// Registers of singles, doubles or integers; any rounding and flushing, all exceptions masked.
pub(crate) fn fill(program: &Program, rng: &mut Rng) -> Area {
    const MASKS: u64 = 0x1f80;
    let mut area = [0; AREA_LEN];
    let name = program.name.to_lowercase();
    // What the name tells is right for most forms, and the rest meets all formats all the same.
    let singles = name.contains("ps") || name.contains("ss");
    let bytes = if singles ^ rng.percent(10) { 4 } else { 8 };
    if rng.percent(4) {
        put::<16>(&mut area, XMM0, rng.vector());
        put::<16>(&mut area, XMM1, rng.vector());
    } else {
        for at in (0..16).step_by(bytes) {
            for (register, lane) in [XMM0, XMM1].into_iter().zip(operands::pair(rng, bytes)) {
                let lane = lane.to_le_bytes();
                area[register + at..register + at + bytes].copy_from_slice(&lane[..bytes]);
            }
        }
    }
    put::<8>(&mut area, RAX, rng.value().into());
    let chosen = if rng.percent(60) { rng.next() & 0xe040 } else { rng.next() & 0x6000 };
    put::<4>(&mut area, MXCSR, (MASKS | chosen).into());
    put::<4>(&mut area, MXCSR_DEFAULT, MASKS.into());
    area
}

/// How the host's state differs from ours.
pub(crate) fn differences(_: &Program, _: &Area, after: [&Area; 2]) -> Vec<String> {
    let fields = [
        ("xmm0", after.map(|area| get::<16>(area, XMM0))),
        ("rax", after.map(|area| get::<8>(area, RAX))),
        ("flags", after.map(|area| get::<1>(area, FLAGS))),
        ("mxcsr", after.map(|area| get::<4>(area, MXCSR))),
    ];
    let different = fields.into_iter().filter(|(_, [host, ours])| host != ours);
    different.map(|(what, [host, ours])| format!("{what}: host {host:#x}, ours {ours:#x}")).collect()
}
