//! SSE4.1 on integers: blends, extensions, minima and maxima, products, single lanes, PTEST; and PCMPGTQ of SSE4.2. SDM vol. 2.

use super::Exec;
use super::sse_int::{binary, pack, saturate_unsigned};
use super::xmm::{join, lanes, map2, signed};
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
        Code::Pblendvb_xmm_xmmm128 => by_xmm0::<1>,
        Code::Blendvps_xmm_xmmm128 => by_xmm0::<4>,
        Code::Blendvpd_xmm_xmmm128 => by_xmm0::<8>,
        _ => return None,
    })
}

fn by_immediate<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    blended::<BYTES>(cpu, bus, insn, |_, lane| insn.immediate8() >> lane & 1 != 0)
}

/// By the top bits of XMM0's lanes.
fn by_xmm0<const BYTES: usize>(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    blended::<BYTES>(cpu, bus, insn, |mask, lane| mask >> (lane * BYTES * 8 + BYTES * 8 - 1) & 1 != 0)
}

/// The source's lanes where `picks` says, told XMM0 and the lane; else the destination's.
fn blended<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    picks: impl Fn(u128, usize) -> bool,
) -> Result<(), Fault> {
    cpu.check_sse()?;
    let source = cpu.read_xmm(bus, insn, 1)?;
    let mask = cpu.xmm(Register::XMM0);
    let dest = insn.op0_register();
    let both = lanes::<BYTES>(cpu.xmm(dest)).zip(lanes::<BYTES>(source)).enumerate();
    let result = join::<BYTES>(both.map(|(lane, (a, b))| if picks(mask, lane) { b } else { a }));
    cpu.set_xmm(dest, result);
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
    cpu.check_sse()?;
    let source = cpu.read_scalar(bus, insn, 1)?;
    let widened = lanes::<FROM>(source).map(|lane| if by_sign { signed::<FROM>(lane) as u64 } else { lane });
    let result = join::<TO>(widened.take(16 / TO));
    cpu.set_xmm(insn.op0_register(), result);
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
            cpu.check_sse()?;
            let value = cpu.read_xmm(bus, insn, 1)?;
            cpu.set_xmm(insn.op0_register(), value);
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
    cpu.check_sse()?;
    let value = (cpu.xmm(insn.op1_register()) >> lane_start(insn, width)) as u64 & lane_mask(width);
    cpu.write_operand(bus, insn, 0, width, value)
}

fn insert(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_sse()?;
    let value = cpu.read_operand(bus, insn, 1, width)? & lane_mask(width);
    let start = lane_start(insn, width);
    let dest = insn.op0_register();
    let merged = cpu.xmm(dest) & !(u128::from(lane_mask(width)) << start) | u128::from(value) << start;
    cpu.set_xmm(dest, merged);
    Ok(())
}

/// INSERTPS: bits 7:6 of the immediate name the source's lane, 5:4 the destination's, 3:0 lanes to clear.
fn insert_single(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_sse()?;
    let immediate = insn.immediate8();
    let value = if insn.op1_kind() == OpKind::Register {
        cpu.xmm(insn.op1_register()) >> (u32::from(immediate >> 6) * 32)
    } else {
        cpu.load_vector(bus, insn, 4)?
    };
    let dest = insn.op0_register();
    let target = usize::from(immediate >> 4 & 3);
    let result = join::<4>(lanes::<4>(cpu.xmm(dest)).enumerate().map(|(lane, old)| {
        let new = if lane == target { value as u64 } else { old };
        if immediate >> lane & 1 != 0 { 0 } else { new }
    }));
    cpu.set_xmm(dest, result);
    Ok(())
}

fn across(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Ptest_xmm_xmmm128 => |cpu, bus, insn| {
            cpu.check_sse()?;
            let source = cpu.read_xmm(bus, insn, 1)?;
            let dest = cpu.xmm(insn.op0_register());
            let zf = if source & dest == 0 { bit::ZF } else { 0 };
            let cf = if source & !dest == 0 { bit::CF } else { 0 };
            cpu.flags = Flags::from_bits(zf | cf);
            Ok(())
        },
        Code::Phminposuw_xmm_xmmm128 => binary!(|_, b| {
            let least = lanes::<2>(b).enumerate().min_by_key(|(at, word)| (*word, *at));
            least.map_or(0, |(at, word)| u128::from(word) | (at as u128) << 16)
        }),
        Code::Mpsadbw_xmm_xmmm128_imm8 => sums_of_differences,
        _ => return None,
    })
}

/// MPSADBW: four bytes of the source against each of eight places in the destination.
fn sums_of_differences(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_sse()?;
    let source = cpu.read_xmm(bus, insn, 1)?.to_le_bytes();
    let dest = insn.op0_register();
    let old = cpu.xmm(dest).to_le_bytes();
    let block = usize::from(insn.immediate8() & 3) * 4;
    let first = usize::from(insn.immediate8() >> 2 & 1) * 4;
    let sum = |at: usize| (0..4).map(|n| u64::from(old[at + n].abs_diff(source[block + n]))).sum();
    cpu.set_xmm(dest, join::<2>((0..8).map(|n| sum(first + n))));
    Ok(())
}
