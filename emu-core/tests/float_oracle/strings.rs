//! Programs of SSE4.2's string comparisons. Random registers hardly ever hold two strings that have anything to do with each
//! other; these do.

use crate::area::{AREA_LEN, Area, Program, get, put};
use crate::rng::Rng;

const XMM0: usize = 0;
const FIRST: usize = 16;
const SECOND: usize = 32;
const RAX: usize = 48;
const RDX: usize = 56;
const RCX: usize = 64;
const RFLAGS: usize = 72;

/// `movups xmm0, [rdi]; movups xmm1, [rdi+16]; movups xmm2, [rdi+32]; mov rax, [rdi+48]; mov rdx, [rdi+56]; mov rcx, [rdi+64]`
const LOAD: [u8; 23] = [
    0x0f, 0x10, 0x07, 0x0f, 0x10, 0x4f, 0x10, 0x0f, 0x10, 0x57, 0x20, 0x48, 0x8b, 0x47, 0x30, 0x48, 0x8b,
    0x57, 0x38, 0x48, 0x8b, 0x4f, 0x40,
];
/// `movups [rdi], xmm0; mov [rdi+64], rcx; pushfq; pop rax; mov [rdi+72], rax`
const STORE: [u8; 13] = [0x0f, 0x11, 0x07, 0x48, 0x89, 0x4f, 0x40, 0x9c, 0x58, 0x48, 0x89, 0x47, 0x48];

/// One for every instruction and every way to compare, with lengths of 32 and of 64 bits.
pub(crate) fn programs() -> Vec<Program> {
    const XMM1_XMM2: u8 = 0xca;
    if !std::is_x86_feature_detected!("sse4.2") {
        return Vec::new();
    }
    let forms = (0x60..=0x63).flat_map(|opcode| (0..0x80).map(move |how| (opcode, how)));
    let programs: Vec<Program> = forms
        .flat_map(|(opcode, how)| {
            let narrow = Program::new(&LOAD, &[0x66, 0x0f, 0x3a, opcode, XMM1_XMM2, how], &STORE);
            let wide = Program::new(&LOAD, &[0x66, 0x48, 0x0f, 0x3a, opcode, XMM1_XMM2, how], &STORE);
            narrow.into_iter().chain(wide)
        })
        .collect();
    assert!(programs.len() >= 0x300, "the forms were decoded");
    programs
}

/// Strings of few different characters, the first often a part of the second or a list of ranges; ends and lengths at random.
pub(crate) fn fill(program: &Program, rng: &mut Rng) -> Area {
    let mut area = [0; AREA_LEN];
    let bytes = if program.insn.immediate8() & 1 != 0 { 2 } else { 1 };
    let alphabet =
        if rng.percent(50) { [1, 2, 3, 0] } else { [rng.next() as u16, 0x7fff, 0x8080, rng.next() as u16] };
    let end_of_alphabet = 3 + rng.below(2) as usize;
    let lanes = 16 / bytes;
    let mut second: Vec<u16> = (0..lanes).map(|_| rng.pick(&alphabet[..end_of_alphabet])).collect();
    let start = rng.below(lanes as u64) as usize;
    let mut first = match rng.below(4) {
        0 => second.clone(),
        1 => [&second[start..], &second[..start]].concat(),
        2 => (0..lanes).map(|_| rng.next() as u16).collect(),
        _ => (0..lanes).map(|_| rng.pick(&alphabet[..end_of_alphabet])).collect(),
    };
    for string in [&mut first, &mut second] {
        if rng.percent(60) {
            string[rng.below(lanes as u64) as usize] = 0;
        }
    }
    for (at, string) in [(FIRST, first), (SECOND, second)] {
        for (n, element) in string.into_iter().enumerate() {
            area[at + n * bytes..at + (n + 1) * bytes].copy_from_slice(&element.to_le_bytes()[..bytes]);
        }
    }
    for at in [RAX, RDX] {
        let small = rng.below(41).wrapping_sub(20);
        let value = match rng.below(5) {
            0 => rng.value(),
            1 => small & 0xffff_ffff | rng.next() << 32,
            _ => small,
        };
        put::<8>(&mut area, at, value.into());
    }
    put::<16>(&mut area, XMM0, rng.vector());
    put::<8>(&mut area, RCX, rng.next().into());
    area
}

/// How the host's state differs from ours.
pub(crate) fn differences(_: &Program, _: &Area, after: [&Area; 2]) -> Vec<String> {
    const ARITHMETIC: u128 = 0x8d5;
    let fields = [
        ("xmm0", after.map(|area| get::<16>(area, XMM0))),
        ("rcx", after.map(|area| get::<8>(area, RCX))),
        ("flags", after.map(|area| get::<8>(area, RFLAGS) & ARITHMETIC)),
    ];
    let different = fields.into_iter().filter(|(_, [host, ours])| host != ours);
    different.map(|(what, [host, ours])| format!("{what}: host {host:#x}, ours {ours:#x}")).collect()
}
