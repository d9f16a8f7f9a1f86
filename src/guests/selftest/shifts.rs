//! Shifts and rotates: by CL with all 256 counts, by one, by immediate counts; SHLD and SHRD.

use super::at;
use super::model::{AF, CF, OF, PF, SF, Shift, Sum, Width, ZF, double_shift, shift};
use super::part::{Mark, Part, code};
use super::sums::{BEFORE, VALUES, flags, is_sum, pairs, prefix};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    cx, dword_ptr, eax, ebp, ebx, ecx, edx, esi, qword_ptr, rax, rbx, rcx, rdx, rsi, word_ptr,
};

/// By /digit: /6 is SHL once more.
const KINDS: [Shift; 8] =
    [Shift::Rol, Shift::Ror, Shift::Rcl, Shift::Rcr, Shift::Shl, Shift::Shr, Shift::Shl, Shift::Sar];

/// SHLD and SHRD: the opcode with an immediate count; with CL it is one more.
const DOUBLE: [(bool, u8); 2] = [(true, 0xa4), (false, 0xac)];

/// Immediate counts: a small one, and one that is masked to 9, which rotates a byte and its carry by nothing.
const IMMEDIATES: [u8; 2] = [3, 0xe9];

/// Masks of flags that are defined for each count, and where they are.
type Tables = Vec<(Vec<u8>, Mark)>;

/// SHLD or SHRD with what is defined; `None` if the result is not, which is so for counts beyond the width.
fn double(left: bool, width: Width, a: u64, b: u64, count: u32, before: u32) -> Option<(u64, u32, u32)> {
    let masked = count & if width.0 == 64 { 63 } else { 31 };
    if masked > width.0 {
        return None;
    }
    let (result, flags) = double_shift(left, width, a, b, masked, before);
    let overflow = if masked <= 1 { OF } else { 0 };
    let half = if masked == 0 { AF } else { 0 };
    Some((result, flags, CF | PF | ZF | SF | overflow | half))
}

/// By CL.
pub(super) fn by_cl(part: &mut Part, widths: &[Width]) -> Result<(), IcedError> {
    let mut tables = Vec::new();
    for width in widths.iter().copied() {
        let (prefix, low) = prefix(part.a.bitness(), width);
        for (digit, kind) in (0u8..).zip(KINDS) {
            let insn = [&prefix[..], &[0xd2 | low, 0xc0 | digit << 3]].concat();
            counts(part, &mut tables, &insn, width, |value, _, count, before| {
                Some(shift(kind, width, value, count, before))
            })?;
        }
        for (left, opcode) in DOUBLE.into_iter().filter(|_| width.0 != 8) {
            let insn = [&prefix[..], &[0x0f, opcode + 1, 0xd0]].concat();
            counts(part, &mut tables, &insn, width, |value, other, count, before| {
                double(left, width, value, other, count, before)
            })?;
        }
    }
    let over = part.mark();
    let behind = part.label(over);
    part.a.jmp(behind)?;
    for (masks, mark) in tables {
        part.set(mark)?;
        part.raw(&masks)?;
    }
    part.set(over)
}

/// By one and by immediates.
pub(super) fn by_immediate(part: &mut Part, widths: &[Width]) -> Result<(), IcedError> {
    for width in widths.iter().copied() {
        let (prefix, low) = prefix(part.a.bitness(), width);
        for (digit, kind) in (0u8..).zip(KINDS) {
            let modrm = 0xc0 | digit << 3;
            let immediate = IMMEDIATES.map(|count| (count, vec![0xc0 | low, modrm, count]));
            for (count, insn) in [(1, vec![0xd0 | low, modrm])].into_iter().chain(immediate) {
                let (_, _, defined) = shift(kind, width, 0, count.into(), 0);
                pairs(part, &[&prefix[..], &insn].concat(), width, defined, |value, _, before| {
                    let (result, flags, _) = shift(kind, width, value, count.into(), before);
                    (result, flags)
                })?;
            }
        }
        for (left, opcode) in DOUBLE.into_iter().filter(|_| width.0 != 8) {
            for count in IMMEDIATES {
                let Some((_, _, defined)) = double(left, width, 0, 0, count.into(), 0) else { continue };
                let insn = [&prefix[..], &[0x0f, opcode, 0xc8, count]].concat();
                pairs(part, &insn, width, defined, |a, b, before| {
                    double(left, width, a, b, count.into(), before)
                        .map_or((0, 0), |(result, flags, _)| (result, flags))
                })?;
            }
        }
    }
    Ok(())
}

/// Sums `insn` over values (and (E/R)DX from the value after it), flags and counts. A count for which the result is undefined has
/// an all-ones mask, and is left out.
fn counts(
    part: &mut Part,
    tables: &mut Tables,
    insn: &[u8],
    width: Width,
    model: impl Fn(u64, u64, u32, u32) -> Option<(u64, u32, u32)>,
) -> Result<(), IcedError> {
    const SKIP: u16 = 0xffff;
    let masks: Vec<u16> =
        (0..256).map(|count| model(1, 1, count, 2).map_or(SKIP, |(_, _, defined)| defined as u16)).collect();
    let masks: Vec<u8> = masks.iter().flat_map(|mask| mask.to_le_bytes()).collect();
    let mark = match tables.iter().find(|(known, _)| *known == masks) {
        Some((_, mark)) => *mark,
        None => {
            let mark = part.mark();
            tables.push((masks, mark));
            mark
        }
    };
    let wide = part.a.bitness() == 64;
    let mut sum = Sum::default();
    for pair in VALUES.windows(2) {
        for count in 0..256 {
            for before in BEFORE {
                if let Some((result, flags, defined)) = model(pair[0] & width.mask(), pair[1], count, before)
                {
                    sum.fold(result as u32);
                    if wide {
                        sum.fold((result >> 32) as u32);
                    }
                    sum.fold(flags & defined);
                }
            }
        }
    }
    part.check()?;
    let end = at::VALUES + (VALUES.len() as u32 - 1) * 8;
    let (skip, table) = (part.mark(), part.address(mark));
    let next = part.label(skip);
    code! { part.a => xor(ebp, ebp); mov(esi, at::VALUES); }
    let outer = part.here()?;
    part.a.xor(ecx, ecx)?;
    let inner = part.here()?;
    let mask = if wide { word_ptr(rcx * 2 + table) } else { word_ptr(ecx * 2 + table).cs() };
    code! { part.a => cmp(mask, u32::from(SKIP)); je(next); }
    for before in BEFORE {
        if wide {
            code! { part.a => mov(rax, qword_ptr(rsi)); mov(rdx, qword_ptr(rsi + 8)); }
        } else {
            code! { part.a => mov(eax, dword_ptr(esi)); mov(edx, dword_ptr(esi + 8)); }
        }
        match width.0 {
            8 => part.a.and(eax, 0xff)?,
            16 => part.a.and(eax, 0xffff)?,
            32 => part.a.mov(eax, eax)?,
            _ => {}
        }
        flags(part, before)?;
        part.raw(insn)?;
        if wide {
            code! { part.a => pushfq(); pop(rbx); }
        } else {
            code! { part.a => pushfd(); pop(ebx); }
        }
        code! { part.a => movzx(edx, mask); and(ebx, edx); rol(ebp, 5); xor(ebp, eax); }
        if wide {
            code! { part.a => shr(rax, 32); rol(ebp, 5); xor(ebp, eax); }
        }
        code! { part.a => rol(ebp, 5); xor(ebp, ebx); }
    }
    part.set(skip)?;
    let (again, further) = (part.label(inner), part.label(outer));
    code! { part.a => inc(cx); cmp(cx, 256); jb(again); add(esi, 8); cmp(esi, end); jb(further); }
    is_sum(part, sum)
}
