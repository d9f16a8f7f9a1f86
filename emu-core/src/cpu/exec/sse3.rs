//! SSE3 and SSSE3: horizontal sums, duplicating moves, signs, absolute values, byte shuffles; SSSE3 on MMX registers as well. SDM
//! vol. 2. FISTTP, which SSE3 brought too, is in `x87_move`.

use super::Exec;
use super::sse_float::packed_pairs;
use super::sse_int::{binary, saturate_signed};
use super::xmm::{by_halves, first, join, lanes, map2, signed, source};
use crate::cpu::softfloat::{Env, F32, F64, add, sub};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

macro_rules! binary {
    ($op:expr) => {
        |cpu, bus, insn| binary(cpu, bus, insn, $op)
    };
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    floats(code).or_else(|| lanewise(code)).or_else(|| across(code))
}

fn floats(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Movsldup_xmm_xmmm128 => binary!(|_, b| duplicate::<4>(b, 0)),
        Code::Movshdup_xmm_xmmm128 => binary!(|_, b| duplicate::<4>(b, 1)),
        Code::Movddup_xmm_xmmm64 => |cpu, bus, insn| {
            cpu.check_vector(insn)?;
            let source = cpu.read_unaligned(bus, insn, 1)?;
            cpu.set_result(insn, by_halves(insn, |half| duplicate::<8>(source[half], 0)));
            Ok(())
        },
        Code::Lddqu_xmm_m128 => |cpu, bus, insn| {
            cpu.check_vector(insn)?;
            let value = cpu.read_unaligned(bus, insn, 1)?;
            cpu.set_result(insn, value);
            Ok(())
        },
        Code::Addsubps_xmm_xmmm128 => |cpu, bus, insn| alternate::<4>(cpu, bus, insn, sub::<F32>, add::<F32>),
        Code::Addsubpd_xmm_xmmm128 => |cpu, bus, insn| alternate::<8>(cpu, bus, insn, sub::<F64>, add::<F64>),
        Code::Haddps_xmm_xmmm128 => |cpu, bus, insn| packed_pairs::<4>(cpu, bus, insn, add::<F32>),
        Code::Haddpd_xmm_xmmm128 => |cpu, bus, insn| packed_pairs::<8>(cpu, bus, insn, add::<F64>),
        Code::Hsubps_xmm_xmmm128 => |cpu, bus, insn| packed_pairs::<4>(cpu, bus, insn, sub::<F32>),
        Code::Hsubpd_xmm_xmmm128 => |cpu, bus, insn| packed_pairs::<8>(cpu, bus, insn, sub::<F64>),
        _ => return None,
    })
}

/// Every second lane, from `first` on, twice.
fn duplicate<const BYTES: usize>(value: u128, first: usize) -> u128 {
    join::<BYTES>(lanes::<BYTES>(value).skip(first).step_by(2).flat_map(|lane| [lane, lane]))
}

/// One operation on even lanes, another on odd ones.
fn alternate<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    even: fn(&mut Env, u64, u64) -> u64,
    odd: fn(&mut Env, u64, u64) -> u64,
) -> Result<(), Fault> {
    let mut lane = 0;
    super::sse_float::packed::<BYTES>(cpu, bus, insn, |env, a, b| {
        lane += 1;
        if lane % 2 == 1 { even(env, a, b) } else { odd(env, a, b) }
    })
}

fn lanewise(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Psignb_xmm_xmmm128 | Code::Psignb_mm_mmm64 => binary!(sign::<1>),
        Code::Psignw_xmm_xmmm128 | Code::Psignw_mm_mmm64 => binary!(sign::<2>),
        Code::Psignd_xmm_xmmm128 | Code::Psignd_mm_mmm64 => binary!(sign::<4>),
        Code::Pabsb_xmm_xmmm128 | Code::Pabsb_mm_mmm64 => binary!(|_, b| absolute::<1>(b)),
        Code::Pabsw_xmm_xmmm128 | Code::Pabsw_mm_mmm64 => binary!(|_, b| absolute::<2>(b)),
        Code::Pabsd_xmm_xmmm128 | Code::Pabsd_mm_mmm64 => binary!(|_, b| absolute::<4>(b)),
        Code::Pmulhrsw_xmm_xmmm128 | Code::Pmulhrsw_mm_mmm64 => binary!(|a, b| {
            map2::<2>(a, b, |a, b| ((((signed::<2>(a) * signed::<2>(b)) >> 14) + 1) >> 1) as u64)
        }),
        Code::Pmaddubsw_xmm_xmmm128 | Code::Pmaddubsw_mm_mmm64 => binary!(|a, b| {
            map2::<2>(a, b, |a, b| {
                let low = (a & 0xff) as i64 * signed::<1>(b & 0xff);
                let high = (a >> 8) as i64 * signed::<1>(b >> 8);
                saturate_signed::<2>(low + high)
            })
        }),
        _ => return None,
    })
}

/// The first operand with the sign of the second, or zero.
fn sign<const BYTES: usize>(a: u128, b: u128) -> u128 {
    map2::<BYTES>(a, b, |a, b| match signed::<BYTES>(b) {
        0 => 0,
        ..0 => a.wrapping_neg(),
        _ => a,
    })
}

fn absolute<const BYTES: usize>(value: u128) -> u128 {
    join::<BYTES>(lanes::<BYTES>(value).map(|lane| signed::<BYTES>(lane).unsigned_abs()))
}

fn across(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Phaddw_xmm_xmmm128 | Code::Phaddw_mm_mmm64 => {
            |cpu, bus, insn| pairs::<2>(cpu, bus, insn, |a, b| (a + b) as u64)
        }
        Code::Phaddd_xmm_xmmm128 | Code::Phaddd_mm_mmm64 => {
            |cpu, bus, insn| pairs::<4>(cpu, bus, insn, |a, b| (a + b) as u64)
        }
        Code::Phaddsw_xmm_xmmm128 | Code::Phaddsw_mm_mmm64 => {
            |cpu, bus, insn| pairs::<2>(cpu, bus, insn, |a, b| saturate_signed::<2>(a + b))
        }
        Code::Phsubw_xmm_xmmm128 | Code::Phsubw_mm_mmm64 => {
            |cpu, bus, insn| pairs::<2>(cpu, bus, insn, |a, b| (a - b) as u64)
        }
        Code::Phsubd_xmm_xmmm128 | Code::Phsubd_mm_mmm64 => {
            |cpu, bus, insn| pairs::<4>(cpu, bus, insn, |a, b| (a - b) as u64)
        }
        Code::Phsubsw_xmm_xmmm128 | Code::Phsubsw_mm_mmm64 => {
            |cpu, bus, insn| pairs::<2>(cpu, bus, insn, |a, b| saturate_signed::<2>(a - b))
        }
        Code::Pshufb_xmm_xmmm128 => binary!(|a, b| shuffle_bytes(a, b, 15)),
        Code::Pshufb_mm_mmm64 => binary!(|a, b| shuffle_bytes(a, b, 7)),
        Code::Palignr_xmm_xmmm128_imm8 | Code::Palignr_mm_mmm64_imm8 => align,
        _ => return None,
    })
}

/// Neighbours of the first source, then neighbours of the second, each pair to one lane.
fn pairs<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: fn(i64, i64) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let sums = |[a, b]: [u128; 2]| {
        // Both MMX registers are one vector's length.
        let all = if insn.op0_register().is_mm() { [a | b << 64, 0] } else { [a, b] };
        join::<BYTES>(all.into_iter().flat_map(|vector| {
            let second = lanes::<BYTES>(vector).skip(1).step_by(2);
            let pairs = lanes::<BYTES>(vector).step_by(2).zip(second);
            pairs.map(|(a, b)| op(signed::<BYTES>(a), signed::<BYTES>(b)))
        }))
    };
    cpu.set_result(insn, by_halves(insn, |half| sums([a[half], b[half]])));
    Ok(())
}

/// Every byte is the one that its mask names, or zero if the mask's top bit is set.
fn shuffle_bytes(value: u128, order: u128, last: u64) -> u128 {
    join::<1>(
        lanes::<1>(order)
            .map(|at| if at & 0x80 != 0 { 0 } else { (value >> ((at & last) * 8)) as u64 & 0xff }),
    )
}

/// PALIGNR: a window into both sources, one behind the other.
fn align(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let low = cpu.read_vector(bus, insn, source(insn))?;
    let high = cpu.halves(first(insn));
    let bits = u32::from(insn.immediate8()) * 8;
    let window = |high: u128, low: u128| {
        if insn.op0_register().is_mm() {
            return (high << 64 | low).checked_shr(bits).unwrap_or(0);
        }
        let from_high = if bits < 128 {
            high.checked_shl(128 - bits).unwrap_or(0)
        } else {
            high.checked_shr(bits - 128).unwrap_or(0)
        };
        low.checked_shr(bits).unwrap_or(0) | from_high
    };
    cpu.set_result(insn, by_halves(insn, |half| window(high[half], low[half])));
    Ok(())
}
