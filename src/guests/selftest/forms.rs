//! Addresses: every form of 16 and 32 bits, with its default segment and with others, by what is read from there; forms of 64 bits by LEA.
//! The instructions are a table. Each is copied to RAM and called there, since it uses all registers.

use super::at;
use super::model::Sum;
use super::part::{Part, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    ax, bl, bx, byte_ptr, ds, dword_ptr, eax, ebp, ebx, ecx, edi, edx, es, esi, esp, fs, r8, r9, r10, r11,
    r12, r13, r14, r15, rax, rbp, rbx, rcx, rdi, rdx, rsi, sp, ss,
};

/// Segments of data and of the stack, and another one; their first 128 KiB are filled by [`fill`].
const DATA: u32 = 0x3000;
const STACK: u32 = 0x4000;
const OTHER: u32 = 0x3800;
/// The stack pointer, and what it is in the called instruction.
const SP: u32 = 0x100;
const SP_INSIDE: u32 = SP - 4;
/// Steps of the filling.
const STEP: u32 = 0x9e37_79b1;

/// General registers in their encoding's order. Small enough that eight times one, another and a displacement stay within 64 KiB.
const REGISTERS: [u32; 8] = [0x123, 0x456, 0x789, 0xabc, SP_INSIDE, 0xdef, 0x311, 0xe57];

/// An instruction and what it reads.
struct Form {
    bytes: Vec<u8>,
    value: u32,
}

/// The byte at an address in the filled memory.
fn filling(address: u32) -> u32 {
    (address - DATA * 16 + 1).wrapping_mul(STEP) >> 24
}

/// MOV AX from there, if that is a place that the test leaves alone.
fn form(overridden: Option<(u8, u32)>, insn: &[u8], default: u32, offset: u32) -> Option<Form> {
    let (prefix, segment) = overridden.map_or((None, default), |(prefix, segment)| (Some(prefix), segment));
    let address = segment * 16 + offset;
    let on_stack = (STACK * 16 + SP_INSIDE - 8..=STACK * 16 + SP).contains(&address);
    let bytes = prefix.into_iter().chain(insn.iter().copied()).collect();
    let value = filling(address) | filling(address + 1) << 8;
    (offset < 0xffff && !on_stack).then_some(Form { bytes, value })
}

/// The segment prefix of the n-th form: mostly none.
fn overriding(index: usize) -> Option<(u8, u32)> {
    let prefixes = [(0x26, STACK), (0x36, STACK), (0x3e, DATA), (0x64, OTHER)];
    index.is_multiple_of(3).then(|| prefixes[index / 3 % 4])
}

/// SDM vol. 2A, table 2-1.
fn forms16() -> Vec<Form> {
    let [_, _, _, b, _, p, s, d] = REGISTERS;
    let sums = [(b + s, DATA), (b + d, DATA), (p + s, STACK), (p + d, STACK)];
    let bases = [sums.as_slice(), &[(s, DATA), (d, DATA), (p, STACK), (b, DATA)]].concat();
    let mut forms = Vec::new();
    for mode in 0..3u8 {
        for (rm, (base, segment)) in (0u8..).zip(bases.iter().copied()) {
            let direct = mode == 0 && rm == 6;
            let displacements: &[u32] = match mode {
                0 if direct => &[0x2345, 0xf234],
                0 => &[0],
                1 => &[0x34, 0xffdf],
                _ => &[0x2345, 0xf234],
            };
            for displacement in displacements {
                let (base, segment) = if direct { (0, DATA) } else { (base, segment) };
                let width = if direct { 2 } else { usize::from(mode) };
                let insn = [&[0x8b, mode << 6 | rm], &displacement.to_le_bytes()[..width]].concat();
                for overridden in [None, overriding(forms.len() * 3)] {
                    forms.extend(form(overridden, &insn, segment, base.wrapping_add(*displacement) & 0xffff));
                }
            }
        }
    }
    forms
}

/// SDM vol. 2A, tables 2-2 and 2-3: all SIB bytes without a displacement, every third with one.
fn forms32() -> Vec<Form> {
    let mut forms = Vec::new();
    let mut add = |mode: u8, rm: u8, sib: Option<u8>| {
        let base = sib.map_or(rm, |sib| sib & 7);
        let none = mode == 0 && base == 5;
        let (displacement, width) = match mode {
            1 => (0xffff_ffdfu32, 1),
            0 if !none => (0, 0),
            _ => (0x6543, 4),
        };
        let scaled = sib.filter(|sib| sib >> 3 & 7 != 4);
        let index = scaled.map_or(0, |sib| REGISTERS[usize::from(sib >> 3 & 7)] << (sib >> 6));
        let value = if none { 0 } else { REGISTERS[usize::from(base)] };
        let segment = if !none && matches!(base, 4 | 5) { STACK } else { DATA };
        let offset = value.wrapping_add(index).wrapping_add(displacement);
        let insn =
            [&[0x67, 0x8b, mode << 6 | rm], sib.as_slice(), &displacement.to_le_bytes()[..width]].concat();
        forms.extend(form(overriding(forms.len()), &insn, segment, offset));
    };
    for mode in 0..3 {
        for rm in (0..8).filter(|rm| *rm != 4) {
            add(mode, rm, None);
        }
        for sib in (0..=255u8).filter(|sib| mode == 0 || sib % 3 == mode) {
            add(mode, 4, Some(sib));
        }
    }
    forms
}

/// In real mode. GS is the segment 0, for what the test itself keeps in memory.
pub(super) fn stage(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x11, "addresses of 16 and 32 bits")?;
    fill(part)?;
    reads(part, &forms16(), 0x7654_0000)?;
    reads(part, &forms32(), 0)
}

/// Fills both segments, byte by byte.
fn fill(part: &mut Part) -> Result<(), IcedError> {
    part.a.xor(eax, eax)?;
    for segment in [DATA, STACK] {
        code! { part.a => mov(bx, segment); mov(es, bx); xor(edi, edi); }
        let each = part.here()?;
        let again = part.label(each);
        code! { part.a =>
            add(eax, STEP); mov(ebx, eax); shr(ebx, 24); mov(byte_ptr(edi).es(), bl); inc(edi); cmp(edi, 0x1_0000); jb(again);
        }
    }
    Ok(())
}

fn reads(part: &mut Part, forms: &[Form], upper: u32) -> Result<(), IcedError> {
    const ENTRY: usize = 12;
    let mut sum = Sum::default();
    forms.iter().for_each(|form| sum.fold(form.value));
    let table = part.table(forms.iter().map(|form| far_called(&form.bytes, ENTRY)))?;
    let (begin, end) = (part.address(table), part.address(table) + (forms.len() * ENTRY) as u32);
    part.check()?;
    for (segment, value) in [(fs, OTHER), (ds, DATA), (es, STACK)] {
        code! { part.a => mov(bx, value); mov(segment, bx); }
    }
    code! { part.a => mov(bx, STACK); mov(ss, bx); mov(esp, SP); xor(ebp, ebp); mov(esi, begin); }
    let each = part.here()?;
    for place in (0..ENTRY as u32).step_by(4) {
        code! { part.a => mov(eax, dword_ptr(esi + place).cs()); mov(dword_ptr(at::SNIPPET + place).gs(), eax); }
    }
    code! { part.a => mov(dword_ptr(at::SUM).gs(), ebp); mov(dword_ptr(at::NEXT).gs(), esi); }
    let registers = [eax, ecx, edx, ebx, esp, ebp, esi, edi];
    for (register, value) in registers.into_iter().zip(REGISTERS).filter(|(register, _)| *register != esp) {
        part.a.mov(register, value | upper)?;
    }
    part.call_snippet()?;
    let again = part.label(each);
    code! { part.a =>
        movzx(eax, ax); mov(ebp, dword_ptr(at::SUM).gs()); rol(ebp, 5); xor(ebp, eax); mov(esi, dword_ptr(at::NEXT).gs());
        add(esi, ENTRY as u32); cmp(esi, end); jb(again);
        xor(ax, ax); mov(ds, ax); mov(es, ax); mov(ss, ax); mov(sp, at::STACK);
    }
    part.register_is(ebp, sum.0)
}

/// An instruction with a far return behind it, as an entry of a table.
pub(super) fn far_called(insn: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = insn.to_vec();
    assert!(bytes.len() < len, "an instruction too long for its table");
    bytes.resize(len, 0xcb);
    bytes
}

/// Registers in 64-bit code, in their encoding's order. The stack pointer is what it is in the called instruction.
const WIDE: [u64; 16] = [
    0x0123_4567_89ab_cdef,
    0xfedc_ba98_7654_3210,
    0x8000_0000_0000_0001,
    0x0000_0001_ffff_ffff,
    at::STACK as u64 - 8,
    0x7fff_ffff_8000_0000,
    0xffff_ffff_ffff_fff0,
    0x0f0f_1e1e_2d2d_3c3c,
    0x1111_2222_3333_4444,
    0x9999_aaaa_bbbb_cccc,
    0x5555_6666_7777_8888,
    0x0000_0000_ffff_fff8,
    0xdddd_eeee_ffff_0000,
    0x0102_0304_0506_0708,
    0xa0b0_c0d0_e0f0_0010,
    0x3141_5926_5358_9793,
];

/// LEA RAX with all prefixes that reach further registers, every eleventh SIB byte, with and without address size prefix.
fn forms64() -> Vec<(Vec<u8>, u64)> {
    let mut forms: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut add = |mode: u8, rm: u8, sib: Option<u8>, rex: u8| {
        let base = sib.map_or(rm, |sib| sib & 7);
        let none = mode == 0 && base == 5;
        let (displacement, width) = match mode {
            1 => (-0x21i32, 1),
            0 if !none => (0, 0),
            _ => (-0x1234_5678, 4),
        };
        let extended = |low: u8, bit: u8| usize::from(low | (rex >> bit & 1) << 3);
        let scaled = sib.map(|sib| (extended(sib >> 3 & 7, 1), sib >> 6)).filter(|(index, _)| *index != 4);
        let index = scaled.map_or(0, |(index, scale)| WIDE[index] << scale);
        let narrow = forms.len().is_multiple_of(4);
        let insn =
            [&[0x48 | rex, 0x8d, mode << 6 | rm], sib.as_slice(), &displacement.to_le_bytes()[..width]]
                .concat();
        let prefix: &[u8] = if narrow { &[0x67] } else { &[] };
        let bytes = [prefix, &insn].concat();
        // Without a base, and without SIB, the displacement is from the next instruction.
        let base = match (none, sib) {
            (true, None) => u64::from(at::SNIPPET) + bytes.len() as u64,
            (true, Some(_)) => 0,
            (false, _) => WIDE[extended(base, 0)],
        };
        let address = base.wrapping_add(index).wrapping_add(displacement as u64);
        forms.push((bytes, if narrow { address & 0xffff_ffff } else { address }));
    };
    for mode in 0..3 {
        for rex in 0..4 {
            for rm in (0..8).filter(|rm| *rm != 4) {
                add(mode, rm, None, rex);
            }
            for sib in (0..=255u8).filter(|sib| sib % 11 == mode * 3 + rex) {
                add(mode, 4, Some(sib), rex);
            }
        }
    }
    forms
}

/// In 64-bit code.
pub(super) fn wide(part: &mut Part) -> Result<(), IcedError> {
    const ENTRY: usize = 12;
    let forms = forms64();
    let mut sum = Sum::default();
    for (_, value) in &forms {
        sum.fold(*value as u32);
        sum.fold((value >> 32) as u32);
    }
    let table = part.table(forms.iter().map(|(insn, _)| {
        let mut entry = far_called(insn, ENTRY);
        entry[insn.len()] = 0xc3;
        entry
    }))?;
    let (begin, end) = (part.address(table), part.address(table) + (forms.len() * ENTRY) as u32);
    part.check()?;
    code! { part.a => xor(ebp, ebp); mov(esi, begin); }
    let each = part.here()?;
    for place in (0..ENTRY as u32).step_by(4) {
        code! { part.a => mov(eax, dword_ptr(rsi + place)); mov(dword_ptr(at::SNIPPET + place), eax); }
    }
    code! { part.a => mov(dword_ptr(at::SUM), ebp); mov(dword_ptr(at::NEXT), esi); }
    let registers = [rax, rcx, rdx, rbx, rax, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
    for (index, (register, value)) in registers.into_iter().zip(WIDE).enumerate() {
        if index != 4 {
            part.a.mov(register, value)?;
        }
    }
    part.call_snippet()?;
    let again = part.label(each);
    code! { part.a =>
        mov(ebp, dword_ptr(at::SUM)); rol(ebp, 5); xor(ebp, eax); shr(rax, 32); rol(ebp, 5); xor(ebp, eax);
        mov(esi, dword_ptr(at::NEXT)); add(esi, ENTRY as u32); cmp(esi, end); jb(again);
    }
    part.register_is(ebp, sum.0)
}
