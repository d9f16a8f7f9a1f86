//! Sums over operands: each instruction is tried with many, its results and defined flags are folded into one number, and that is
//! compared with what the manual's pseudo code (`model.rs`) gives when the ROM is made.

use super::at;
use super::model::{AF, ALL, CF, OF, PF, SF, Sum, Width, ZF, add, ascii, decimal, sub};
use super::part::{Part, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{bx, dword_ptr, eax, ebp, ebx, ecx, edi, esi, qword_ptr, rax, rbx, rcx, rdi, rsi};

/// Operands: signs, carries out of nibbles, bytes, words and dwords.
pub(super) const VALUES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x0f0f,
    0x7fff,
    0x8000,
    0xffff,
    0x1234_5678_9abc_def0,
    0x7fff_ffff,
    0x8000_0000_0000_0000,
    0x7fff_ffff_ffff_fff9,
    u64::MAX,
];

/// The flags that an instruction meets.
pub(super) const BEFORE: [u32; 2] = [2, 2 | ALL];

/// Two-operand instructions: the opcode of `op r/m, r` less its low bit.
const ARITHMETIC: [(&str, u8); 8] = [
    ("add", 0),
    ("or", 8),
    ("adc", 0x10),
    ("sbb", 0x18),
    ("and", 0x20),
    ("sub", 0x28),
    ("xor", 0x30),
    ("cmp", 0x38),
];
/// Of one: opcode and /digit, for all widths but bytes, which are one less.
const UNARY: [(&str, u8, u8); 4] = [("not", 0xf7, 2), ("neg", 0xf7, 3), ("inc", 0xff, 0), ("dec", 0xff, 1)];

fn two(opcode: u8, width: Width, a: u64, b: u64, flags: u32) -> (u64, u32, u32) {
    let carry = u64::from(flags & CF);
    let logic = |result: u64| (result & width.mask(), width.of_result(result), ALL & !AF);
    let full = |(result, flags): (u64, u32)| (result, flags, ALL);
    match opcode {
        0 => full(add(width, a, b, 0)),
        8 => logic(a | b),
        0x10 => full(add(width, a, b, carry)),
        0x18 => full(sub(width, a, b, carry)),
        0x20 => logic(a & b),
        0x28 => full(sub(width, a, b, 0)),
        0x30 => logic(a ^ b),
        _ => (a & width.mask(), sub(width, a, b, 0).1, ALL),
    }
}

fn one(name: &str, width: Width, a: u64, flags: u32) -> (u64, u32) {
    match name {
        "not" => (!a & width.mask(), flags & ALL),
        "neg" => sub(width, 0, a, 0),
        "inc" => {
            let (result, new) = add(width, a, 1, 0);
            (result, new & !CF | flags & CF)
        }
        _ => {
            let (result, new) = sub(width, a, 1, 0);
            (result, new & !CF | flags & CF)
        }
    }
}

/// Prefix, and the opcode's low bit, of an operand width in a code size.
pub(super) fn prefix(bits: u32, width: Width) -> (Vec<u8>, u8) {
    let mut bytes = Vec::new();
    if width.0 == 16 && bits != 16 || width.0 == 32 && bits == 16 {
        bytes.push(0x66);
    }
    if width.0 == 64 {
        bytes.push(0x48);
    }
    (bytes, u8::from(width.0 != 8))
}

/// All widths that a code size has.
fn widths(bits: u32) -> Vec<Width> {
    let mut widths = vec![Width(8), Width(16), Width(32)];
    if bits == 64 {
        widths.push(Width(64));
    }
    widths
}

/// Every arithmetic instruction, over all pairs of [`VALUES`].
pub(super) fn arithmetic(part: &mut Part) -> Result<(), IcedError> {
    let bits = part.a.bitness();
    for width in widths(bits) {
        let (prefix, low) = prefix(bits, width);
        for (_, opcode) in ARITHMETIC {
            let insn = [&prefix[..], &[opcode | low, 0xc8]].concat();
            let defined = if matches!(opcode, 8 | 0x20 | 0x30) { ALL & !AF } else { ALL };
            pairs(part, &insn, width, defined, |a, b, flags| {
                let (result, new, defined) = two(opcode, width, a, b, flags);
                (result, new & defined)
            })?;
        }
        for (name, opcode, digit) in UNARY {
            let insn = [&prefix[..], &[opcode & !1 | low, 0xc0 | digit << 3]].concat();
            pairs(part, &insn, width, ALL, |a, _, flags| one(name, width, a, flags))?;
        }
        // imul ax, cx: result in one register; of the flags only CF and OF.
        if width.0 != 8 {
            let insn = [&prefix[..], &[0x0f, 0xaf, 0xc1]].concat();
            pairs(part, &insn, width, CF | OF, |a, b, _| {
                let product = i128::from(width.signed(a)) * i128::from(width.signed(b));
                let lost = i128::from(width.signed(product as u64)) != product;
                (product as u64 & width.mask(), if lost { CF | OF } else { 0 })
            })?;
        }
    }
    Ok(())
}

/// `insn` on (E/R)AX and (E/R)CX for all pairs of values and flags. The accumulator is folded in its width.
pub(super) fn pairs(
    part: &mut Part,
    insn: &[u8],
    width: Width,
    defined: u32,
    model: impl Fn(u64, u64, u32) -> (u64, u32),
) -> Result<(), IcedError> {
    let mut sum = Sum::default();
    for a in VALUES {
        for b in VALUES {
            for before in BEFORE {
                let (result, flags) = model(a, b, before);
                sum.fold(result as u32);
                if part.a.bitness() == 64 {
                    sum.fold((result >> 32) as u32);
                }
                sum.fold(flags & defined);
            }
        }
    }
    part.check()?;
    let end = at::VALUES + VALUES.len() as u32 * 8;
    code! { part.a => xor(ebp, ebp); mov(esi, at::VALUES); }
    let outer = part.here()?;
    part.a.mov(edi, at::VALUES)?;
    let inner = part.here()?;
    for before in BEFORE {
        load(part, width)?;
        flags(part, before)?;
        part.raw(insn)?;
        fold(part, defined)?;
    }
    let (again, further) = (part.label(inner), part.label(outer));
    code! { part.a => add(edi, 8); cmp(edi, end); jb(again); add(esi, 8); cmp(esi, end); jb(further); }
    is_sum(part, sum)
}

/// Fails unless EBP is the sum.
pub(super) fn is_sum(part: &mut Part, sum: Sum) -> Result<(), IcedError> {
    part.register_is(ebp, sum.0)
}

/// (E/R)AX and (E/R)CX from the values at ESI and EDI, no wider than `width`.
pub(super) fn load(part: &mut Part, width: Width) -> Result<(), IcedError> {
    let wide = part.a.bitness() == 64;
    if wide {
        code! { part.a => mov(rax, qword_ptr(rsi)); mov(rcx, qword_ptr(rdi)); }
    } else {
        code! { part.a => mov(eax, dword_ptr(esi)); mov(ecx, dword_ptr(edi)); }
    }
    match width.0 {
        8 => code! { part.a => and(eax, 0xff); and(ecx, 0xff); },
        16 => code! { part.a => and(eax, 0xffff); and(ecx, 0xffff); },
        32 => code! { part.a => mov(eax, eax); mov(ecx, ecx); },
        _ => {}
    }
    Ok(())
}

/// Flags as given.
pub(super) fn flags(part: &mut Part, value: u32) -> Result<(), IcedError> {
    match part.a.bitness() {
        16 => code! { part.a => mov(bx, value); push(bx); popf(); },
        32 => code! { part.a => push(value); popfd(); },
        _ => code! { part.a => push(value as i32); popfq(); },
    }
    Ok(())
}

/// Folds the accumulator and the defined flags into EBP.
pub(super) fn fold(part: &mut Part, defined: u32) -> Result<(), IcedError> {
    match part.a.bitness() {
        16 => code! { part.a => pushf(); pop(bx); and(ebx, defined); rol(ebp, 5); xor(ebp, eax); },
        32 => code! { part.a => pushfd(); pop(ebx); and(ebx, defined); rol(ebp, 5); xor(ebp, eax); },
        _ => code! { part.a =>
            pushfq(); pop(rbx); and(ebx, defined); rol(ebp, 5); xor(ebp, eax); shr(rax, 32); rol(ebp, 5); xor(ebp, eax);
        },
    }
    code! { part.a => rol(ebp, 5); xor(ebp, ebx); }
    Ok(())
}

/// DAA, DAS, AAA, AAS, AAM and AAD over all of AX, or of AL, and the flags they read.
pub(super) fn decimals(part: &mut Part) -> Result<(), IcedError> {
    let with_flags = [2, 2 | CF, 2 | AF, 2 | AF | CF];
    for (opcode, subtract) in [(0x27, false), (0x2f, true)] {
        accumulators(part, &[opcode], 0x100, &with_flags, ALL & !OF, |ax, flags| {
            let (al, flags) = decimal(subtract, ax as u8, flags);
            (ax & 0xff00 | u16::from(al), flags)
        })?;
    }
    for (opcode, subtract) in [(0x37, false), (0x3f, true)] {
        accumulators(part, &[opcode], 0x1_0000, &[2, 2 | AF], AF | CF, |ax, flags| {
            ascii(subtract, ax, flags)
        })?;
    }
    let of = |al: u16| Width(8).of_result(u64::from(al));
    for base in [10u8, 16, 7, 255, 1] {
        accumulators(part, &[0xd4, base], 0x100, &[2], SF | ZF | PF, |ax, _| {
            let (high, low) = ((ax & 0xff) / u16::from(base), (ax & 0xff) % u16::from(base));
            (high << 8 | low, of(low))
        })?;
    }
    for base in [10u8, 0, 255] {
        accumulators(part, &[0xd5, base], 0x1_0000, &[2], SF | ZF | PF, |ax, _| {
            let al = (ax >> 8).wrapping_mul(u16::from(base)).wrapping_add(ax) & 0xff;
            (al, of(al))
        })?;
    }
    Ok(())
}

fn accumulators(
    part: &mut Part,
    insn: &[u8],
    end: u32,
    befores: &[u32],
    defined: u32,
    model: impl Fn(u16, u32) -> (u16, u32),
) -> Result<(), IcedError> {
    let mut sum = Sum::default();
    for ax_in in 0..end {
        for before in befores {
            let (ax_out, flags) = model(ax_in as u16, *before);
            sum.fold(u32::from(ax_out));
            sum.fold(flags & defined);
        }
    }
    part.check()?;
    code! { part.a => xor(ebp, ebp); xor(esi, esi); }
    let each = part.here()?;
    for before in befores {
        flags(part, *before)?;
        part.a.mov(eax, esi)?;
        part.raw(insn)?;
        fold(part, defined)?;
    }
    let again = part.label(each);
    code! { part.a => inc(esi); cmp(esi, end); jb(again); }
    is_sum(part, sum)
}
