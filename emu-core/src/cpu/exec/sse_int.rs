//! Integer MMX and SSE2: arithmetic, comparison, logic, shifts; and packing and shuffling of XMM registers. What MMX has of the
//! last two is in `mmx`. SDM vol. 2.
//!
//! Operations are on 128 bits. An MMX register is the low half of such a vector, and of the result only that is kept.

use super::Exec;
use super::xmm::{by_halves, first, join, lanes, map2, signed, source};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, OpKind};

/// Two vectors to one: the destination's and the source's.
type Binary = fn(u128, u128) -> u128;

/// A function item for each binary operation, so that the table below reads like the manual's index.
macro_rules! binary {
    ($op:expr) => {
        |cpu, bus, insn| binary(cpu, bus, insn, $op)
    };
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    arithmetic(code).or_else(|| logic_and_compare(code)).or_else(|| packing(code)).or_else(|| shifts(code))
}

pub(super) fn binary(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: Binary,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    cpu.set_result(insn, by_halves(insn, |half| op(a[half], b[half])));
    Ok(())
}

fn clamp(value: i64, low: i64, high: i64) -> u64 {
    value.clamp(low, high) as u64
}

pub(super) fn saturate_signed<const BYTES: usize>(value: i64) -> u64 {
    let half = 1i64 << (BYTES * 8 - 1);
    clamp(value, -half, half - 1)
}

pub(super) fn saturate_unsigned<const BYTES: usize>(value: i64) -> u64 {
    clamp(value, 0, (1 << (BYTES * 8)) - 1)
}

fn arithmetic(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Paddb_xmm_xmmm128 | Code::Paddb_mm_mmm64 => binary!(|a, b| map2::<1>(a, b, u64::wrapping_add)),
        Code::Paddw_xmm_xmmm128 | Code::Paddw_mm_mmm64 => binary!(|a, b| map2::<2>(a, b, u64::wrapping_add)),
        Code::Paddd_xmm_xmmm128 | Code::Paddd_mm_mmm64 => binary!(|a, b| map2::<4>(a, b, u64::wrapping_add)),
        Code::Paddq_xmm_xmmm128 | Code::Paddq_mm_mmm64 => binary!(|a, b| map2::<8>(a, b, u64::wrapping_add)),
        Code::Psubb_xmm_xmmm128 | Code::Psubb_mm_mmm64 => binary!(|a, b| map2::<1>(a, b, u64::wrapping_sub)),
        Code::Psubw_xmm_xmmm128 | Code::Psubw_mm_mmm64 => binary!(|a, b| map2::<2>(a, b, u64::wrapping_sub)),
        Code::Psubd_xmm_xmmm128 | Code::Psubd_mm_mmm64 => binary!(|a, b| map2::<4>(a, b, u64::wrapping_sub)),
        Code::Psubq_xmm_xmmm128 | Code::Psubq_mm_mmm64 => binary!(|a, b| map2::<8>(a, b, u64::wrapping_sub)),
        Code::Paddsb_xmm_xmmm128 | Code::Paddsb_mm_mmm64 => {
            binary!(|a, b| saturating::<1>(a, b, i64::wrapping_add))
        }
        Code::Paddsw_xmm_xmmm128 | Code::Paddsw_mm_mmm64 => {
            binary!(|a, b| saturating::<2>(a, b, i64::wrapping_add))
        }
        Code::Psubsb_xmm_xmmm128 | Code::Psubsb_mm_mmm64 => {
            binary!(|a, b| saturating::<1>(a, b, i64::wrapping_sub))
        }
        Code::Psubsw_xmm_xmmm128 | Code::Psubsw_mm_mmm64 => {
            binary!(|a, b| saturating::<2>(a, b, i64::wrapping_sub))
        }
        Code::Paddusb_xmm_xmmm128 | Code::Paddusb_mm_mmm64 => {
            binary!(|a, b| unsigned::<1>(a, b, i64::wrapping_add))
        }
        Code::Paddusw_xmm_xmmm128 | Code::Paddusw_mm_mmm64 => {
            binary!(|a, b| unsigned::<2>(a, b, i64::wrapping_add))
        }
        Code::Psubusb_xmm_xmmm128 | Code::Psubusb_mm_mmm64 => {
            binary!(|a, b| unsigned::<1>(a, b, i64::wrapping_sub))
        }
        Code::Psubusw_xmm_xmmm128 | Code::Psubusw_mm_mmm64 => {
            binary!(|a, b| unsigned::<2>(a, b, i64::wrapping_sub))
        }
        Code::Pmullw_xmm_xmmm128 | Code::Pmullw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, u64::wrapping_mul))
        }
        Code::Pmulhw_xmm_xmmm128 | Code::Pmulhw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, |a, b| ((signed::<2>(a) * signed::<2>(b)) >> 16) as u64))
        }
        Code::Pmulhuw_xmm_xmmm128 | Code::Pmulhuw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, |a, b| (a * b) >> 16))
        }
        Code::Pmuludq_xmm_xmmm128 | Code::Pmuludq_mm_mmm64 => {
            binary!(|a, b| map2::<8>(a, b, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff)))
        }
        Code::Pmaddwd_xmm_xmmm128 | Code::Pmaddwd_mm_mmm64 => binary!(multiply_add),
        Code::Pavgb_xmm_xmmm128 | Code::Pavgb_mm_mmm64 => {
            binary!(|a, b| map2::<1>(a, b, |a, b| (a + b + 1) >> 1))
        }
        Code::Pavgw_xmm_xmmm128 | Code::Pavgw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, |a, b| (a + b + 1) >> 1))
        }
        Code::Pminub_xmm_xmmm128 | Code::Pminub_mm_mmm64 => binary!(|a, b| map2::<1>(a, b, u64::min)),
        Code::Pmaxub_xmm_xmmm128 | Code::Pmaxub_mm_mmm64 => binary!(|a, b| map2::<1>(a, b, u64::max)),
        Code::Pminsw_xmm_xmmm128 | Code::Pminsw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, |a, b| if signed::<2>(a) < signed::<2>(b) { a } else { b }))
        }
        Code::Pmaxsw_xmm_xmmm128 | Code::Pmaxsw_mm_mmm64 => {
            binary!(|a, b| map2::<2>(a, b, |a, b| if signed::<2>(a) > signed::<2>(b) { a } else { b }))
        }
        Code::Psadbw_xmm_xmmm128 | Code::Psadbw_mm_mmm64 => binary!(sum_of_differences),
        _ => return None,
    })
}

fn saturating<const BYTES: usize>(a: u128, b: u128, op: fn(i64, i64) -> i64) -> u128 {
    map2::<BYTES>(a, b, |a, b| saturate_signed::<BYTES>(op(signed::<BYTES>(a), signed::<BYTES>(b))))
}

fn unsigned<const BYTES: usize>(a: u128, b: u128, op: fn(i64, i64) -> i64) -> u128 {
    map2::<BYTES>(a, b, |a, b| saturate_unsigned::<BYTES>(op(a as i64, b as i64)))
}

fn multiply_add(a: u128, b: u128) -> u128 {
    map2::<4>(a, b, |a, b| {
        let low = signed::<2>(a & 0xffff) * signed::<2>(b & 0xffff);
        let high = signed::<2>(a >> 16) * signed::<2>(b >> 16);
        (low + high) as u64
    })
}

fn sum_of_differences(a: u128, b: u128) -> u128 {
    map2::<8>(a, b, |a, b| {
        a.to_le_bytes().into_iter().zip(b.to_le_bytes()).map(|(a, b)| u64::from(a.abs_diff(b))).sum()
    })
}

/// All ones where the comparison holds.
fn compare<const BYTES: usize>(a: u128, b: u128, holds: fn(i64, i64) -> bool) -> u128 {
    map2::<BYTES>(a, b, |a, b| if holds(signed::<BYTES>(a), signed::<BYTES>(b)) { u64::MAX } else { 0 })
}

fn logic_and_compare(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pand_xmm_xmmm128 | Code::Pand_mm_mmm64 | Code::Andps_xmm_xmmm128 | Code::Andpd_xmm_xmmm128 => {
            binary!(|a, b| a & b)
        }
        Code::Pandn_xmm_xmmm128
        | Code::Pandn_mm_mmm64
        | Code::Andnps_xmm_xmmm128
        | Code::Andnpd_xmm_xmmm128 => {
            binary!(|a, b| !a & b)
        }
        Code::Por_xmm_xmmm128 | Code::Por_mm_mmm64 | Code::Orps_xmm_xmmm128 | Code::Orpd_xmm_xmmm128 => {
            binary!(|a, b| a | b)
        }
        Code::Pxor_xmm_xmmm128 | Code::Pxor_mm_mmm64 | Code::Xorps_xmm_xmmm128 | Code::Xorpd_xmm_xmmm128 => {
            binary!(|a, b| a ^ b)
        }
        Code::Pcmpeqb_xmm_xmmm128 | Code::Pcmpeqb_mm_mmm64 => {
            binary!(|a, b| compare::<1>(a, b, |a, b| a == b))
        }
        Code::Pcmpeqw_xmm_xmmm128 | Code::Pcmpeqw_mm_mmm64 => {
            binary!(|a, b| compare::<2>(a, b, |a, b| a == b))
        }
        Code::Pcmpeqd_xmm_xmmm128 | Code::Pcmpeqd_mm_mmm64 => {
            binary!(|a, b| compare::<4>(a, b, |a, b| a == b))
        }
        Code::Pcmpgtb_xmm_xmmm128 | Code::Pcmpgtb_mm_mmm64 => {
            binary!(|a, b| compare::<1>(a, b, |a, b| a > b))
        }
        Code::Pcmpgtw_xmm_xmmm128 | Code::Pcmpgtw_mm_mmm64 => {
            binary!(|a, b| compare::<2>(a, b, |a, b| a > b))
        }
        Code::Pcmpgtd_xmm_xmmm128 | Code::Pcmpgtd_mm_mmm64 => {
            binary!(|a, b| compare::<4>(a, b, |a, b| a > b))
        }
        _ => return None,
    })
}

fn packing(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Punpcklbw_xmm_xmmm128 => binary!(|a, b| interleave::<1>(a, b, false)),
        Code::Punpcklwd_xmm_xmmm128 => binary!(|a, b| interleave::<2>(a, b, false)),
        Code::Punpckldq_xmm_xmmm128 | Code::Unpcklps_xmm_xmmm128 => {
            binary!(|a, b| interleave::<4>(a, b, false))
        }
        Code::Punpcklqdq_xmm_xmmm128 | Code::Unpcklpd_xmm_xmmm128 => {
            binary!(|a, b| interleave::<8>(a, b, false))
        }
        Code::Punpckhbw_xmm_xmmm128 => binary!(|a, b| interleave::<1>(a, b, true)),
        Code::Punpckhwd_xmm_xmmm128 => binary!(|a, b| interleave::<2>(a, b, true)),
        Code::Punpckhdq_xmm_xmmm128 | Code::Unpckhps_xmm_xmmm128 => {
            binary!(|a, b| interleave::<4>(a, b, true))
        }
        Code::Punpckhqdq_xmm_xmmm128 | Code::Unpckhpd_xmm_xmmm128 => {
            binary!(|a, b| interleave::<8>(a, b, true))
        }
        Code::Packsswb_xmm_xmmm128 => binary!(|a, b| pack::<2, 1>(a, b, saturate_signed::<1>)),
        Code::Packssdw_xmm_xmmm128 => binary!(|a, b| pack::<4, 2>(a, b, saturate_signed::<2>)),
        Code::Packuswb_xmm_xmmm128 => binary!(|a, b| pack::<2, 1>(a, b, saturate_unsigned::<1>)),
        Code::Pshufd_xmm_xmmm128_imm8 => |cpu, bus, insn| shuffle(cpu, bus, insn, shuffle_dwords),
        Code::Pshuflw_xmm_xmmm128_imm8 => {
            |cpu, bus, insn| shuffle(cpu, bus, insn, |value, order| shuffle_words(value, order, 0))
        }
        Code::Pshufhw_xmm_xmmm128_imm8 => {
            |cpu, bus, insn| shuffle(cpu, bus, insn, |value, order| shuffle_words(value, order, 64))
        }
        Code::Shufps_xmm_xmmm128_imm8 => |cpu, bus, insn| shuffle_two(cpu, bus, insn, 0, shuffle_singles),
        Code::Shufpd_xmm_xmmm128_imm8 => |cpu, bus, insn| shuffle_two(cpu, bus, insn, 2, shuffle_doubles),
        Code::Pextrw_r32_xmm_imm8 | Code::Pextrw_r64_xmm_imm8 => extract_word,
        Code::Pinsrw_xmm_r32m16_imm8 | Code::Pinsrw_xmm_r64m16_imm8 => insert_word,
        _ => return None,
    })
}

pub(super) fn interleave<const BYTES: usize>(a: u128, b: u128, high: bool) -> u128 {
    let skip = if high { 8 / BYTES } else { 0 };
    join::<BYTES>(lanes::<BYTES>(a).zip(lanes::<BYTES>(b)).skip(skip).flat_map(|(a, b)| [a, b]))
}

pub(super) fn pack<const FROM: usize, const TO: usize>(a: u128, b: u128, saturate: fn(i64) -> u64) -> u128 {
    join::<TO>(lanes::<FROM>(a).chain(lanes::<FROM>(b)).map(|lane| saturate(signed::<FROM>(lane))))
}

fn shuffle(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: fn(u128, u8) -> u128,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let source = cpu.read_vector(bus, insn, 1)?;
    cpu.set_result(insn, by_halves(insn, |half| op(source[half], insn.immediate8())));
    Ok(())
}

/// Of the immediate the upper half takes as many bits further up as it has lanes to choose by single bits.
fn shuffle_two(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    bits_a_half: usize,
    op: fn(u128, u128, u8) -> u128,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let order = |half: usize| insn.immediate8() >> (half * bits_a_half);
    cpu.set_result(insn, by_halves(insn, |half| op(a[half], b[half], order(half))));
    Ok(())
}

/// The lane of `value` that a 2-bit field of `order` names.
fn pick(value: u128, order: u8, field: u32, lane_bits: u32) -> u64 {
    let lane = u32::from(order >> (2 * field) & 3);
    (value >> (lane * lane_bits)) as u64
}

fn shuffle_dwords(value: u128, order: u8) -> u128 {
    join::<4>((0..4).map(|field| pick(value, order, field, 32)))
}

pub(super) fn shuffle_words(value: u128, order: u8, shift: u32) -> u128 {
    let half = value >> shift & u128::from(u64::MAX);
    let shuffled =
        (0..4).fold(0, |all, field| all | u128::from(pick(half, order, field, 16) & 0xffff) << (field * 16));
    value & !(u128::from(u64::MAX) << shift) | shuffled << shift
}

fn shuffle_singles(a: u128, b: u128, order: u8) -> u128 {
    join::<4>((0..4).map(|field| pick(if field < 2 { a } else { b }, order, field, 32)))
}

fn shuffle_doubles(a: u128, b: u128, order: u8) -> u128 {
    let low = a >> (u32::from(order & 1) * 64) & u128::from(u64::MAX);
    let high = b >> (u32::from(order >> 1 & 1) * 64) & u128::from(u64::MAX);
    low | high << 64
}

fn extract_word(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let lane = u32::from(insn.immediate8() & 7);
    let word = cpu.xmm(insn.op1_register()) >> (lane * 16) & 0xffff;
    cpu.set_reg(insn.op0_register(), word as u64);
    Ok(())
}

fn insert_word(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let word = cpu.read_operand(bus, insn, source(insn), crate::access::Width::B2)?;
    let shift = u32::from(insn.immediate8() & 7) * 16;
    let merged = cpu.xmm(first(insn)) & !(0xffff << shift) | u128::from(word) << shift;
    cpu.set_result(insn, [merged, 0]);
    Ok(())
}

/// A lane shifted by a count below its width; larger counts are the callers'.
type ShiftOp = fn(u64, u32) -> u64;

fn shifts(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Psllw_xmm_xmmm128 | Code::Psllw_mm_mmm64 | Code::Psllw_xmm_imm8 | Code::Psllw_mm_imm8 => {
            |cpu, bus, insn| shift::<2>(cpu, bus, insn, |v, n| v << n)
        }
        Code::Pslld_xmm_xmmm128 | Code::Pslld_mm_mmm64 | Code::Pslld_xmm_imm8 | Code::Pslld_mm_imm8 => {
            |cpu, bus, insn| shift::<4>(cpu, bus, insn, |v, n| v << n)
        }
        Code::Psllq_xmm_xmmm128 | Code::Psllq_mm_mmm64 | Code::Psllq_xmm_imm8 | Code::Psllq_mm_imm8 => {
            |cpu, bus, insn| shift::<8>(cpu, bus, insn, |v, n| v << n)
        }
        Code::Psrlw_xmm_xmmm128 | Code::Psrlw_mm_mmm64 | Code::Psrlw_xmm_imm8 | Code::Psrlw_mm_imm8 => {
            |cpu, bus, insn| shift::<2>(cpu, bus, insn, |v, n| v >> n)
        }
        Code::Psrld_xmm_xmmm128 | Code::Psrld_mm_mmm64 | Code::Psrld_xmm_imm8 | Code::Psrld_mm_imm8 => {
            |cpu, bus, insn| shift::<4>(cpu, bus, insn, |v, n| v >> n)
        }
        Code::Psrlq_xmm_xmmm128 | Code::Psrlq_mm_mmm64 | Code::Psrlq_xmm_imm8 | Code::Psrlq_mm_imm8 => {
            |cpu, bus, insn| shift::<8>(cpu, bus, insn, |v, n| v >> n)
        }
        Code::Psraw_xmm_xmmm128 | Code::Psraw_mm_mmm64 | Code::Psraw_xmm_imm8 | Code::Psraw_mm_imm8 => {
            shift_arithmetic::<2>
        }
        Code::Psrad_xmm_xmmm128 | Code::Psrad_mm_mmm64 | Code::Psrad_xmm_imm8 | Code::Psrad_mm_imm8 => {
            shift_arithmetic::<4>
        }
        Code::Pslldq_xmm_imm8 => |cpu, _, insn| shift_bytes(cpu, insn, |value, bits| value << bits),
        Code::Psrldq_xmm_imm8 => |cpu, _, insn| shift_bytes(cpu, insn, |value, bits| value >> bits),
        _ => return None,
    })
}

/// The count: an immediate, or the low quadword of the source.
fn shift_count(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<u64, Fault> {
    cpu.check_vector(insn)?;
    let n = insn.op_count() - 1;
    if matches!(insn.op_kind(n), OpKind::Register | OpKind::Memory) {
        Ok(cpu.read_vector(bus, insn, n)?[0] as u64)
    } else {
        Ok(u64::from(insn.immediate8()))
    }
}

fn shift<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: ShiftOp,
) -> Result<(), Fault> {
    let count = shift_count(cpu, bus, insn)?;
    let value = cpu.halves(first(insn));
    let in_range = count < BYTES as u64 * 8;
    let shifted = |half: u128| join::<BYTES>(lanes::<BYTES>(half).map(|lane| op(lane, count as u32)));
    let result = by_halves(insn, |half| if in_range { shifted(value[half]) } else { 0 });
    cpu.set_result(insn, result);
    Ok(())
}

fn shift_arithmetic<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    let count = shift_count(cpu, bus, insn)?.min(BYTES as u64 * 8 - 1) as u32;
    let value = cpu.halves(first(insn));
    let shifted = |half: u128| lanes::<BYTES>(half).map(|lane| (signed::<BYTES>(lane) >> count) as u64);
    cpu.set_result(insn, by_halves(insn, |half| join::<BYTES>(shifted(value[half]))));
    Ok(())
}

fn shift_bytes(cpu: &mut Cpu, insn: &Instruction, op: fn(u128, u32) -> u128) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let bytes = u32::from(insn.immediate8());
    let value = cpu.halves(first(insn));
    cpu.set_result(insn, by_halves(insn, |half| if bytes > 15 { 0 } else { op(value[half], bytes * 8) }));
    Ok(())
}
