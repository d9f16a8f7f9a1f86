//! MUL, IMUL, DIV and IDIV of one operand: bytes exhaustively, other widths over values; both halves of the result, and CF and OF of products.

use super::at;
use super::model::{CF, OF, Sum, Width};
use super::part::{Part, code};
use super::sums::{VALUES, fold, is_sum, load, prefix};
use iced_x86::IcedError;
use iced_x86::code_asm::{ah, cl, dl, eax, ebp, ebx, edi, edx, esi, rax, rbx, rdx};

/// The /digits of opcodes F6 and F7.
const MUL: u8 = 4;
const IMUL: u8 = 5;
const DIV: u8 = 6;
const IDIV: u8 = 7;

/// Flags of an instruction's result that are defined.
fn defined(digit: u8) -> u32 {
    if digit >= DIV { 0 } else { CF | OF }
}

/// Of values, or of pairs of bytes: (E/R)AX is `a`; multiplied by `b`, or the lower half of what is divided.
pub(super) fn products(part: &mut Part, widths: &[Width]) -> Result<(), IcedError> {
    for width in widths.iter().copied() {
        for digit in [MUL, IMUL, DIV, IDIV] {
            if width.0 == 8 { bytes(part, digit)? } else { values(part, digit, width)? }
        }
    }
    Ok(())
}

fn bytes(part: &mut Part, digit: u8) -> Result<(), IcedError> {
    let mut sum = Sum::default();
    for pair in 0..0x1_0000u64 {
        let (low, high, flags) = product(digit, Width(8), pair & 0xff, pair >> 8);
        sum.fold((high << 8 | low) as u32);
        sum.fold(flags & defined(digit));
    }
    part.check()?;
    code! { part.a => xor(ebp, ebp); xor(esi, esi); }
    let each = part.here()?;
    code! { part.a => mov(eax, esi); mov(cl, ah); }
    divisor(part, digit, Width(8))?;
    // The upper half is AH here, not DX.
    if digit >= DIV {
        code! { part.a => mov(ah, dl); }
    }
    part.raw(&[0xf6, 0xc1 | digit << 3])?;
    fold(part, defined(digit))?;
    let again = part.label(each);
    code! { part.a => inc(esi); cmp(esi, 0x1_0000); jb(again); }
    is_sum(part, sum)
}

fn values(part: &mut Part, digit: u8, width: Width) -> Result<(), IcedError> {
    let wide = part.a.bitness() == 64;
    let (prefix, low) = prefix(part.a.bitness(), width);
    let mut sum = Sum::default();
    for a in VALUES {
        for b in VALUES {
            let (low, high, flags) = product(digit, width, a & width.mask(), b & width.mask());
            for half in [low, high] {
                sum.fold(half as u32);
                if wide {
                    sum.fold((half >> 32) as u32);
                }
            }
            sum.fold(flags & defined(digit));
        }
    }
    part.check()?;
    let last = at::VALUES + VALUES.len() as u32 * 8;
    code! { part.a => xor(ebp, ebp); mov(esi, at::VALUES); }
    let outer = part.here()?;
    part.a.mov(edi, at::VALUES)?;
    let inner = part.here()?;
    load(part, width)?;
    part.a.xor(edx, edx)?;
    divisor(part, digit, width)?;
    part.raw(&[&prefix[..], &[0xf6 | low, 0xc1 | digit << 3]].concat())?;
    if wide {
        code! { part.a =>
            pushfq(); pop(rbx); rol(ebp, 5); xor(ebp, eax); shr(rax, 32); rol(ebp, 5); xor(ebp, eax);
            rol(ebp, 5); xor(ebp, edx); shr(rdx, 32); rol(ebp, 5); xor(ebp, edx);
        }
    } else {
        code! { part.a => pushfd(); pop(ebx); rol(ebp, 5); xor(ebp, eax); rol(ebp, 5); xor(ebp, edx); }
    }
    let (again, further) = (part.label(inner), part.label(outer));
    code! { part.a =>
        and(ebx, defined(digit)); rol(ebp, 5); xor(ebp, ebx);
        add(edi, 8); cmp(edi, last); jb(again); add(esi, 8); cmp(esi, last); jb(further);
    }
    is_sum(part, sum)
}

/// Makes a divisor of CL, CX, ECX or RCX, and the upper half of what is divided in DL to RDX, so that the quotient fits: see [`halves`].
fn divisor(part: &mut Part, digit: u8, width: Width) -> Result<(), IcedError> {
    let (prefix, low) = prefix(part.a.bitness(), width);
    let insns: &[&[u8]] = match digit {
        // shr cx, 1; or cx, 1; mov dx, cx; shr dx, 1
        DIV => &[&[0xd0 | low, 0xe9], &[0x80 | (3 * low), 0xc9, 1], &[0x88 | low, 0xca], &[0xd0 | low, 0xea]],
        // sar cx, 2; or cx, 1; mov dx, cx; add cx, cx; add cx, dx; mov dx, cx; sar dx, 2
        IDIV => &[
            &[0xc0 | low, 0xf9, 2],
            &[0x80 | (3 * low), 0xc9, 1],
            &[0x88 | low, 0xca],
            &[low, 0xc9],
            &[low, 0xd1],
            &[0x88 | low, 0xca],
            &[0xc0 | low, 0xfa, 2],
        ],
        _ => &[],
    };
    insns.iter().try_for_each(|insn| part.raw(&[&prefix[..], insn].concat()))
}

/// What `b` makes for DIV and IDIV: the upper half of what is divided, and the divisor. The former is a half or a quarter of the latter,
/// and the signed divisor at least 3 away from 0, so that the quotient is less than half of what fits.
fn halves(digit: u8, width: Width, b: u64) -> (i128, i128) {
    if digit == DIV {
        let divisor = b >> 1 | 1;
        (i128::from(divisor >> 1), i128::from(divisor))
    } else {
        let divisor = (i128::from(width.signed(b)) >> 2 | 1) * 3;
        (divisor >> 2, divisor)
    }
}

/// The halves of what MUL, IMUL, DIV and IDIV leave, lower first, and the flags of products.
fn product(digit: u8, width: Width, a: u64, b: u64) -> (u64, u64, u32) {
    let mask = |value: u128| value as u64 & width.mask();
    let split = |wide: u128| (mask(wide), mask(wide >> width.0));
    match digit {
        MUL => {
            let (low, high) = split(u128::from(a) * u128::from(b));
            (low, high, if high != 0 { CF | OF } else { 0 })
        }
        IMUL => {
            let wide = i128::from(width.signed(a)) * i128::from(width.signed(b));
            let (low, high) = split(wide as u128);
            (low, high, if i128::from(width.signed(low)) != wide { CF | OF } else { 0 })
        }
        _ => {
            let (high, divisor) = halves(digit, width, b);
            let dividend = high << width.0 | i128::from(a);
            (mask((dividend / divisor) as u128), mask((dividend % divisor) as u128), 0)
        }
    }
}
