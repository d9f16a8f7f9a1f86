//! SSE4.1 on integers: blends, extensions, minima and maxima, products, single lanes, PTEST; and PCMPGTQ of SSE4.2. SDM vol. 2.

use super::Exec;
use super::sse_int::{binary, pack, saturate_unsigned};
use super::xmm::{by_halves, first, is_vex, join, lanes, map2, signed, source};
use crate::access::Width;
use crate::cpu::flags::{Flags, bit};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, OpKind, Register};

macro_rules! binary {
    ($op:expr) => {
        |cpu, bus, insn| binary(cpu, bus, insn, $op)
    };
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    lanewise(code)
        .or_else(|| blend(code))
        .or_else(|| extend(code))
        .or_else(|| single(code))
        .or_else(|| across(code))
}

fn lanewise(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pminsb_xmm_xmmm128 => binary!(|a, b| choose::<1>(a, b, |a, b| a < b)),
        Code::Pminsd_xmm_xmmm128 => binary!(|a, b| choose::<4>(a, b, |a, b| a < b)),
        Code::Pmaxsb_xmm_xmmm128 => binary!(|a, b| choose::<1>(a, b, |a, b| a > b)),
        Code::Pmaxsd_xmm_xmmm128 => binary!(|a, b| choose::<4>(a, b, |a, b| a > b)),
        Code::Pminuw_xmm_xmmm128 => binary!(|a, b| map2::<2>(a, b, u64::min)),
        Code::Pminud_xmm_xmmm128 => binary!(|a, b| map2::<4>(a, b, u64::min)),
        Code::Pmaxuw_xmm_xmmm128 => binary!(|a, b| map2::<2>(a, b, u64::max)),
        Code::Pmaxud_xmm_xmmm128 => binary!(|a, b| map2::<4>(a, b, u64::max)),
        Code::Pmulld_xmm_xmmm128 => binary!(|a, b| map2::<4>(a, b, u64::wrapping_mul)),
        Code::Pmuldq_xmm_xmmm128 => binary!(|a, b| {
            map2::<8>(a, b, |a, b| (signed::<4>(a & 0xffff_ffff) * signed::<4>(b & 0xffff_ffff)) as u64)
        }),
        Code::Pcmpeqq_xmm_xmmm128 => {
            binary!(|a, b| map2::<8>(a, b, |a, b| if a == b { u64::MAX } else { 0 }))
        }
        Code::Pcmpgtq_xmm_xmmm128 => {
            binary!(|a, b| map2::<8>(a, b, |a, b| if a as i64 > b as i64 { u64::MAX } else { 0 }))
        }
        Code::Packusdw_xmm_xmmm128 => binary!(|a, b| pack::<4, 2>(a, b, saturate_unsigned::<2>)),
        _ => return None,
    })
}

fn choose<const BYTES: usize>(a: u128, b: u128, first: fn(i64, i64) -> bool) -> u128 {
    map2::<BYTES>(a, b, |a, b| if first(signed::<BYTES>(a), signed::<BYTES>(b)) { a } else { b })
}

fn blend(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pblendw_xmm_xmmm128_imm8 => by_immediate::<2>,
        Code::Blendps_xmm_xmmm128_imm8 => by_immediate::<4>,
        Code::Blendpd_xmm_xmmm128_imm8 => by_immediate::<8>,
        Code::Pblendvb_xmm_xmmm128 => by_mask::<1>,
        Code::Blendvps_xmm_xmmm128 => by_mask::<4>,
        Code::Blendvpd_xmm_xmmm128 => by_mask::<8>,
        _ => return None,
    })
}

fn by_immediate<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    // Words of the upper half are chosen by the same eight bits.
    let bits_a_half = if BYTES == 2 { 0 } else { 16 / BYTES };
    blended::<BYTES>(cpu, bus, insn, |half, lane| insn.immediate8() >> (half * bits_a_half + lane) & 1 != 0)
}

/// By the top bits of a register's lanes: XMM0's, or with VEX those of the fourth operand.
fn by_mask<const BYTES: usize>(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let mask = cpu.halves(if is_vex(insn) { insn.op3_register() } else { Register::XMM0 });
    let top = |lane: usize| lane * BYTES * 8 + BYTES * 8 - 1;
    blended::<BYTES>(cpu, bus, insn, |half, lane| mask[half] >> top(lane) & 1 != 0)
}

/// The second source's lanes where `picks` says, told half and lane; else the first's.
fn blended<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    picks: impl Fn(usize, usize) -> bool,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let result = by_halves(insn, |half| {
        let both = lanes::<BYTES>(a[half]).zip(lanes::<BYTES>(b[half])).enumerate();
        join::<BYTES>(both.map(|(lane, (a, b))| if picks(half, lane) { b } else { a }))
    });
    cpu.set_result(insn, result);
    Ok(())
}

fn extend(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pmovsxbw_xmm_xmmm64 => |cpu, bus, insn| extended::<1, 2>(cpu, bus, insn, true),
        Code::Pmovsxbd_xmm_xmmm32 => |cpu, bus, insn| extended::<1, 4>(cpu, bus, insn, true),
        Code::Pmovsxbq_xmm_xmmm16 => |cpu, bus, insn| extended::<1, 8>(cpu, bus, insn, true),
        Code::Pmovsxwd_xmm_xmmm64 => |cpu, bus, insn| extended::<2, 4>(cpu, bus, insn, true),
        Code::Pmovsxwq_xmm_xmmm32 => |cpu, bus, insn| extended::<2, 8>(cpu, bus, insn, true),
        Code::Pmovsxdq_xmm_xmmm64 => |cpu, bus, insn| extended::<4, 8>(cpu, bus, insn, true),
        Code::Pmovzxbw_xmm_xmmm64 => |cpu, bus, insn| extended::<1, 2>(cpu, bus, insn, false),
        Code::Pmovzxbd_xmm_xmmm32 => |cpu, bus, insn| extended::<1, 4>(cpu, bus, insn, false),
        Code::Pmovzxbq_xmm_xmmm16 => |cpu, bus, insn| extended::<1, 8>(cpu, bus, insn, false),
        Code::Pmovzxwd_xmm_xmmm64 => |cpu, bus, insn| extended::<2, 4>(cpu, bus, insn, false),
        Code::Pmovzxwq_xmm_xmmm32 => |cpu, bus, insn| extended::<2, 8>(cpu, bus, insn, false),
        Code::Pmovzxdq_xmm_xmmm64 => |cpu, bus, insn| extended::<4, 8>(cpu, bus, insn, false),
        _ => return None,
    })
}

/// The low lanes of the source, made wider.
fn extended<const FROM: usize, const TO: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    by_sign: bool,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [source, _] = cpu.read_unaligned(bus, insn, 1)?;
    let widened = |lane| if by_sign { signed::<FROM>(lane) as u64 } else { lane };
    let half = |half| lanes::<FROM>(source).skip(half * 16 / TO).map(widened).take(16 / TO);
    cpu.set_result(insn, by_halves(insn, |n| join::<TO>(half(n))));
    Ok(())
}

fn single(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pextrb_r32m8_xmm_imm8 | Code::Pextrb_r64m8_xmm_imm8 => {
            |cpu, bus, insn| extract(cpu, bus, insn, Width::B1)
        }
        Code::Pextrw_r32m16_xmm_imm8 | Code::Pextrw_r64m16_xmm_imm8 => {
            |cpu, bus, insn| extract(cpu, bus, insn, Width::B2)
        }
        Code::Pextrd_rm32_xmm_imm8 | Code::Extractps_rm32_xmm_imm8 | Code::Extractps_r64m32_xmm_imm8 => {
            |cpu, bus, insn| extract(cpu, bus, insn, Width::B4)
        }
        Code::Pextrq_rm64_xmm_imm8 => |cpu, bus, insn| extract(cpu, bus, insn, Width::B8),
        Code::Pinsrb_xmm_r32m8_imm8 | Code::Pinsrb_xmm_r64m8_imm8 => {
            |cpu, bus, insn| insert(cpu, bus, insn, Width::B1)
        }
        Code::Pinsrd_xmm_rm32_imm8 => |cpu, bus, insn| insert(cpu, bus, insn, Width::B4),
        Code::Pinsrq_xmm_rm64_imm8 => |cpu, bus, insn| insert(cpu, bus, insn, Width::B8),
        Code::Insertps_xmm_xmmm32_imm8 => insert_single,
        Code::Movntdqa_xmm_m128 => |cpu, bus, insn| {
            cpu.check_vector(insn)?;
            cpu.check_aligned(insn, insn.memory_size().size() as u64)?;
            let value = cpu.read_unaligned(bus, insn, 1)?;
            cpu.set_result(insn, value);
            Ok(())
        },
        _ => return None,
    })
}

/// Where the lane that the immediate names starts, in bits.
fn lane_start(insn: &Instruction, width: Width) -> u32 {
    let lanes = 16 / width.bytes() as u32;
    u32::from(insn.immediate8()) % lanes * width.bytes() as u32 * 8
}

fn lane_mask(width: Width) -> u64 {
    u64::MAX >> (64 - width.bytes() * 8)
}

fn extract(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = (cpu.xmm(insn.op1_register()) >> lane_start(insn, width)) as u64 & lane_mask(width);
    cpu.write_operand(bus, insn, 0, width, value)
}

fn insert(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_operand(bus, insn, source(insn), width)? & lane_mask(width);
    let start = lane_start(insn, width);
    let old = cpu.xmm(first(insn));
    let merged = old & !(u128::from(lane_mask(width)) << start) | u128::from(value) << start;
    cpu.set_result(insn, [merged, 0]);
    Ok(())
}

/// INSERTPS: bits 7:6 of the immediate name the source's lane, 5:4 the destination's, 3:0 lanes to clear.
fn insert_single(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let immediate = insn.immediate8();
    let in_register = insn.op_kind(source(insn)) == OpKind::Register;
    let lane = if in_register { u32::from(immediate >> 6) } else { 0 };
    let value = cpu.read_unaligned(bus, insn, source(insn))?[0] >> (lane * 32);
    let target = usize::from(immediate >> 4 & 3);
    let result = join::<4>(lanes::<4>(cpu.xmm(first(insn))).enumerate().map(|(lane, old)| {
        let new = if lane == target { value as u64 } else { old };
        if immediate >> lane & 1 != 0 { 0 } else { new }
    }));
    cpu.set_result(insn, [result, 0]);
    Ok(())
}

fn across(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Ptest_xmm_xmmm128 => |cpu, bus, insn| test(cpu, bus, insn, u128::MAX),
        Code::Phminposuw_xmm_xmmm128 => binary!(|_, b| {
            let least = lanes::<2>(b).enumerate().min_by_key(|(at, word)| (*word, *at));
            least.map_or(0, |(at, word)| u128::from(word) | (at as u128) << 16)
        }),
        Code::Mpsadbw_xmm_xmmm128_imm8 => sums_of_differences,
        _ => return None,
    })
}

/// PTEST and relatives: ZF tells that no bit of the mask is set in both operands, CF that none is in the second alone.
pub(super) fn test(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, mask: u128) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, 1)?;
    let a = cpu.halves(insn.op0_register());
    let zf = if by_halves(insn, |half| a[half] & b[half] & mask) == [0; 2] { bit::ZF } else { 0 };
    let cf = if by_halves(insn, |half| !a[half] & b[half] & mask) == [0; 2] { bit::CF } else { 0 };
    cpu.flags = Flags::from_bits(zf | cf);
    Ok(())
}

/// MPSADBW: four bytes of the second source against each of eight places in the first. The upper half has three bits of the immediate of its
/// own.
fn sums_of_differences(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?.map(u128::to_le_bytes);
    let a = cpu.halves(first(insn)).map(u128::to_le_bytes);
    let result = by_halves(insn, |half| {
        let places = insn.immediate8() >> (3 * half);
        let (block, start) = (usize::from(places & 3) * 4, usize::from(places >> 2 & 1) * 4);
        let difference = |at: usize, n: usize| u64::from(a[half][at + n].abs_diff(b[half][block + n]));
        join::<2>((start..start + 8).map(|at| (0..4).map(|n| difference(at, n)).sum()))
    });
    cpu.set_result(insn, result);
    Ok(())
}
