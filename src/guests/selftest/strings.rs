//! String instructions: all of them with every width, address size, direction, prefix of repetition and segment, from a table whose entries are
//! called in RAM; and some cases written out.

use super::at;
use super::forms::far_called;
use super::model::{ALL, Sum, Width, ZF, sub};
use super::part::{Part, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    al, ax, bx, cx, di, ds, dword_ptr, eax, ebp, ecx, edi, es, esi, fs, gs, si, word_ptr,
};

/// Where DS, ES and FS point, one behind the other, and how much belongs to each.
const SEGMENTS: [u32; 3] = [0x900, 0x910, 0x920];
const AREA: usize = 0x100;
/// (E)SI and (E)DI before.
const MIDDLE: u32 = 0x80;
/// (E/R)AX before: what is stored, and looked for.
const WANTED: u32 = 0x2c2b_2a29;
const DF: u32 = 0x400;

/// What the areas of DS, ES and FS begin with. ES differs from the others in places, so that comparisons end in different ways.
fn areas() -> [Vec<u8>; 3] {
    let byte = |at: usize, skew: usize| (at * 5 / 3 + usize::from(at % skew == 3)) as u8;
    let pattern = |skew| (0..AREA).map(|at| byte(at, skew)).collect::<Vec<u8>>();
    let mut areas = [pattern(AREA), pattern(9), pattern(7)];
    // What SCAS looks for, on both sides of where it starts.
    for at in [0x68, 0x8c] {
        areas[1][at..at + 4].copy_from_slice(&WANTED.to_le_bytes());
    }
    areas
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Movs,
    Cmps,
    Stos,
    Lods,
    Scas,
}

impl Op {
    const ALL: [Self; 5] = [Self::Movs, Self::Cmps, Self::Stos, Self::Lods, Self::Scas];

    /// The opcode for bytes.
    fn opcode(self) -> u8 {
        match self {
            Self::Movs => 0xa4,
            Self::Cmps => 0xa6,
            Self::Stos => 0xaa,
            Self::Lods => 0xac,
            Self::Scas => 0xae,
        }
    }

    fn compares(self) -> bool {
        matches!(self, Self::Cmps | Self::Scas)
    }
}

/// One instruction with what it starts from.
struct Case {
    op: Op,
    width: Width,
    wide_address: bool,
    /// F2 or F3.
    repeat: Option<u8>,
    /// FS instead of DS.
    other: bool,
    flags: u32,
    count: u32,
    /// Upper halves of ESI, EDI and ECX, which 16-bit addresses leave alone.
    upper: u32,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.other.then_some(0x64));
        bytes.extend(self.wide_address.then_some(0x67));
        bytes.extend((self.width.0 == 32).then_some(0x66));
        bytes.extend(self.repeat);
        bytes.push(self.op.opcode() | u8::from(self.width.0 != 8));
        bytes
    }

    /// An entry of the table: the instruction, ECX, flags, the upper halves.
    fn entry(&self) -> Vec<u8> {
        let mut entry = far_called(&self.bytes(), 8);
        entry.extend((self.upper << 16 | self.count).to_le_bytes());
        entry.extend((self.flags as u16).to_le_bytes());
        entry.extend((self.upper as u16).to_le_bytes());
        entry
    }

    /// What it leaves: EAX, ECX, ESI, EDI, flags, and the area of ES.
    fn outcome(&self) -> ([u32; 5], Vec<u8>) {
        let [data, mut extra, other] = areas();
        let source = if self.other { other } else { data };
        let bytes = self.width.0 as usize / 8;
        let step = if self.flags & DF != 0 { (bytes as u32).wrapping_neg() } else { bytes as u32 };
        let get = |area: &[u8], at: u32| {
            let at = at as usize;
            area[at..at + bytes].iter().rev().fold(0u32, |all, byte| all << 8 | u32::from(*byte))
        };
        let (mut result, mut count, mut source_at, mut extra_at, mut flags) =
            (WANTED, self.count, MIDDLE, MIDDLE, self.flags);
        let mask = self.width.mask() as u32;
        let uses_source = !matches!(self.op, Op::Stos | Op::Scas);
        let uses_extra = self.op != Op::Lods;
        while self.repeat.is_none() || count != 0 {
            let compared = |a: u32, b: u32| flags & !ALL | sub(self.width, a.into(), b.into(), 0).1;
            let put = |extra: &mut Vec<u8>, value: u32| {
                extra[extra_at as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            };
            match self.op {
                Op::Movs => put(&mut extra, get(&source, source_at)),
                Op::Stos => put(&mut extra, result),
                Op::Lods => result = result & !mask | get(&source, source_at),
                Op::Cmps => flags = compared(get(&source, source_at), get(&extra, extra_at)),
                Op::Scas => flags = compared(result, get(&extra, extra_at)),
            }
            source_at = if uses_source { source_at.wrapping_add(step) } else { source_at };
            extra_at = if uses_extra { extra_at.wrapping_add(step) } else { extra_at };
            let Some(repeat) = self.repeat else { break };
            count -= 1;
            if self.op.compares() && (flags & ZF != 0) != (repeat == 0xf3) {
                break;
            }
        }
        let upper = self.upper << 16;
        ([result, count | upper, source_at | upper, extra_at | upper, flags | 2], extra)
    }
}

/// Every combination for one instruction. Counts, flags and upper halves go round.
fn cases(op: Op) -> Vec<Case> {
    let repeats: &[Option<u8>] =
        if op.compares() { &[None, Some(0xf3), Some(0xf2)] } else { &[None, Some(0xf3)] };
    let mut cases = Vec::new();
    for width in [Width(8), Width(16), Width(32)] {
        for variant in 0..8u32 {
            for repeat in repeats.iter().copied() {
                for count in [0, 1, 7] {
                    let (wide_address, backwards, other) =
                        (variant & 1 != 0, variant & 2 != 0, variant & 4 != 0);
                    // Without repetition the count does not matter; FS does only where there is a source.
                    if repeat.is_none() && count != 7
                        || other && matches!(op, Op::Stos | Op::Scas) && count != 7
                    {
                        continue;
                    }
                    let flags =
                        if cases.len() % 2 == 0 { 2 } else { 2 | ALL } | if backwards { DF } else { 0 };
                    let upper = if wide_address { 0 } else { 0x8421 };
                    cases.push(Case { op, width, wide_address, repeat, other, flags, count, upper });
                }
            }
        }
    }
    cases
}

pub(super) fn stage(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x12, "string instructions")?;
    particular(part)?;
    let patterns = part.table(areas().into_iter())?;
    let start = part.address(patterns);
    for op in Op::ALL {
        every(part, &cases(op), start)?;
    }
    Ok(())
}

/// Calls each case and sums what it leaves.
fn every(part: &mut Part, cases: &[Case], patterns: u32) -> Result<(), IcedError> {
    const ENTRY: u32 = 16;
    let mut sum = Sum::default();
    for case in cases {
        let (registers, area) = case.outcome();
        registers.into_iter().for_each(|value| sum.fold(value));
        for dword in area.as_chunks().0 {
            sum.fold(u32::from_le_bytes(*dword));
        }
    }
    let table = part.table(cases.iter().map(Case::entry))?;
    let (begin, end) = (part.address(table), part.address(table) + cases.len() as u32 * ENTRY);
    part.check()?;
    code! { part.a => mov(ax, SEGMENTS[0]); mov(es, ax); mov(si, patterns); xor(di, di); mov(cx, 3 * AREA as u32 / 4); }
    // rep movsd from CS
    part.raw(&[0x2e, 0xf3, 0x66, 0xa5])?;
    for (segment, value) in [ds, es, fs].into_iter().zip(SEGMENTS) {
        code! { part.a => mov(ax, value); mov(segment, ax); }
    }
    code! { part.a => xor(ebp, ebp); mov(bx, begin); }
    let each = part.here()?;
    for place in [0, 4] {
        code! { part.a => mov(eax, dword_ptr(bx + place).cs()); mov(dword_ptr(at::SNIPPET + place).gs(), eax); }
    }
    code! { part.a => mov(si, patterns + AREA as u32); xor(di, di); mov(cx, AREA as u32 / 4); }
    part.raw(&[0x2e, 0xf3, 0x66, 0xa5])?;
    code! { part.a =>
        mov(ecx, dword_ptr(bx + 8).cs()); mov(ax, word_ptr(bx + 14).cs()); shl(eax, 16); mov(ax, MIDDLE);
        mov(esi, eax); mov(edi, eax); mov(eax, WANTED); push(word_ptr(bx + 12).cs()); popf();
    }
    part.call_snippet()?;
    part.a.pushf()?;
    for register in [eax, ecx, esi, edi] {
        code! { part.a => rol(ebp, 5); xor(ebp, register); }
    }
    code! { part.a => pop(ax); movzx(eax, ax); rol(ebp, 5); xor(ebp, eax); cld(); xor(di, di); }
    let words = part.here()?;
    let (again, further) = (part.label(words), part.label(each));
    code! { part.a =>
        rol(ebp, 5); xor(ebp, dword_ptr(di).es()); add(di, 4); cmp(di, AREA as u32); jb(again);
        add(bx, ENTRY); cmp(bx, end); jb(further);
        xor(ax, ax); mov(ds, ax); mov(es, ax); mov(ax, 0xe000); mov(fs, ax);
    }
    part.register_is(ebp, sum.0)
}

/// Overlaps, the way back from where a comparison ends, counts of zero, and ES that no prefix replaces.
fn particular(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    let area = 0x9000u32;
    // 64 bytes of a pattern, 0 to 63, by STOSB.
    part.check()?;
    code! { part.a => mov(di, area); mov(cx, 64); xor(al, al); }
    let each = part.here()?;
    let again = part.label(each);
    code! { part.a => stosb(); inc(al); loop_(again); }
    part.word_is(area + 60, 0x3f3e_3d3c)?;
    // Forwards and overlapping: MOVSB by one repeats the first byte.
    part.check()?;
    code! { part.a => mov(si, area); mov(di, area + 1); mov(cx, 15); }
    part.a.rep().movsb()?;
    part.word_is(area + 12, 0)?;
    // Backwards, words: the overlap is kept.
    part.check()?;
    code! { part.a => std(); mov(si, area + 0x2e); mov(di, area + 0x30); mov(cx, 8); }
    part.a.rep().movsw()?;
    code! { part.a => cld(); cmp(si, area + 0x1e); jne(fail); cmp(di, area + 0x20); jne(fail); test(cx, cx); jnz(fail); }
    part.word_is(area + 0x30, 0x3332_2f2e)?;
    part.word_is(area + 0x20, 0x2120_2120)?;
    // From another segment: FS is the ROM at E000; dwords backwards.
    part.check()?;
    code! { part.a => std(); mov(si, 12); mov(di, area + 12); mov(cx, 4); }
    part.raw(&[0xf3, 0x64, 0x66, 0xa5])?;
    code! { part.a => cld(); mov(eax, dword_ptr(area + 8)); cmp(eax, dword_ptr(8).fs()); jne(fail); cmp(si, 0xfffc); jne(fail); }
    // ES takes no override: stored at 0000, whatever DS and the prefix say.
    part.check()?;
    code! { part.a => mov(ax, 0x1234); mov(di, area); push(gs); pop(gs); }
    part.raw(&[0x64, 0xab])?;
    code! { part.a => cmp(word_ptr(area), 0x1234); jne(fail); }
    // SCASB stops at the byte, or at the end; CMPSB at a difference. A count of zero does nothing, flags included.
    part.check()?;
    code! { part.a => mov(di, area + 0x30); mov(cx, 20); mov(al, 0x35); }
    part.raw(&[0xf2, 0xae])?;
    code! { part.a => jne(fail); cmp(cx, 14); jne(fail); cmp(di, area + 0x36); jne(fail); }
    part.check()?;
    code! { part.a => mov(si, area + 0x34); mov(di, area + 0x36); mov(cx, 9); }
    part.raw(&[0xf3, 0xa6])?;
    code! { part.a => je(fail); jae(fail); cmp(cx, 8); jne(fail); xor(cx, cx); stc(); }
    part.raw(&[0xf3, 0xa6])?;
    code! { part.a => jnc(fail); jne(fail); cmp(si, area + 0x35); jne(fail); }
    // 32-bit addresses and counts.
    part.check()?;
    code! { part.a => mov(esi, area + 0x30); mov(ecx, 2); mov(al, 0); }
    part.raw(&[0xf3, 0x67, 0xac])?;
    code! { part.a => cmp(al, 0x2f); jne(fail); cmp(esi, area + 0x32); jne(fail); test(ecx, ecx); jnz(fail); }
    Ok(())
}
