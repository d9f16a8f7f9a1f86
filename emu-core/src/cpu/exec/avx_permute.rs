//! AVX and AVX2: permutations across and within halves, shifts lane by lane, tests of signs. SDM vol. 2.

use super::Exec;
use super::avx_move::lane;
use super::sse41_int::test;
use super::xmm::{Halves, by_halves, join, lanes, map2, signed};
use crate::access::Width;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, EncodingKind, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if code.encoding() != EncodingKind::VEX {
        return None;
    }
    Some(match code.mnemonic() {
        Mnemonic::Vpermilps => permute_singles,
        Mnemonic::Vpermilpd => permute_doubles,
        Mnemonic::Vpermd | Mnemonic::Vpermps => permute_by_vector,
        Mnemonic::Vpermq | Mnemonic::Vpermpd => permute_by_immediate,
        Mnemonic::Vperm2f128 | Mnemonic::Vperm2i128 => permute_halves,
        Mnemonic::Vpsllvd => {
            |cpu, bus, insn| shift::<4>(cpu, bus, insn, |v, n| v.checked_shl(n).unwrap_or(0))
        }
        Mnemonic::Vpsllvq => {
            |cpu, bus, insn| shift::<8>(cpu, bus, insn, |v, n| v.checked_shl(n).unwrap_or(0))
        }
        Mnemonic::Vpsrlvd => {
            |cpu, bus, insn| shift::<4>(cpu, bus, insn, |v, n| v.checked_shr(n).unwrap_or(0))
        }
        Mnemonic::Vpsrlvq => {
            |cpu, bus, insn| shift::<8>(cpu, bus, insn, |v, n| v.checked_shr(n).unwrap_or(0))
        }
        Mnemonic::Vpsravd => {
            |cpu, bus, insn| shift::<4>(cpu, bus, insn, |v, n| (signed::<4>(v) >> n.min(31)) as u64)
        }
        Mnemonic::Vtestps => |cpu, bus, insn| test(cpu, bus, insn, SIGNS_OF_SINGLES),
        Mnemonic::Vtestpd => |cpu, bus, insn| test(cpu, bus, insn, SIGNS_OF_DOUBLES),
        _ => return None,
    })
}

const SIGNS_OF_SINGLES: u128 = 0x8000_0000_8000_0000_8000_0000_8000_0000;
const SIGNS_OF_DOUBLES: u128 = 0x8000_0000_0000_0000_8000_0000_0000_0000;

/// The vector to permute within its halves, and the control of each: a vector, or an immediate's bits for each lane in turn.
fn permutation<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    control: fn(u8, usize) -> u64,
) -> Result<(Halves, [[u64; 4]; 2]), Fault> {
    cpu.check_vector(insn)?;
    let mut controls = [[0; 4]; 2];
    let by_immediate = insn.op_kind(2) == OpKind::Immediate8;
    let (value, vector) = if by_immediate {
        (cpu.read_vector(bus, insn, 1)?, [0, 0])
    } else {
        (cpu.halves(insn.op1_register()), cpu.read_vector(bus, insn, 2)?)
    };
    for (half, controls) in controls.iter_mut().enumerate() {
        for (n, (place, lane)) in controls.iter_mut().zip(lanes::<BYTES>(vector[half])).enumerate() {
            *place = if by_immediate { control(insn.immediate8(), half * 16 / BYTES + n) } else { lane };
        }
    }
    Ok((value, controls))
}

fn permute_singles(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (value, controls) = permutation::<4>(cpu, bus, insn, |order, n| u64::from(order >> (2 * (n % 4))))?;
    let pick = |half: usize, control: u64| (value[half] >> (32 * (control & 3))) as u64;
    let result = by_halves(insn, |half| join::<4>(controls[half].iter().map(|control| pick(half, *control))));
    cpu.set_result(insn, result);
    Ok(())
}

/// It is bit 1 of a control lane that counts.
fn permute_doubles(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (value, controls) = permutation::<8>(cpu, bus, insn, |order, n| u64::from(order >> n & 1) << 1)?;
    let pick = |half: usize, control: u64| (value[half] >> (32 * (control & 2))) as u64;
    let result = by_halves(insn, |half| join::<8>(controls[half].iter().map(|control| pick(half, *control))));
    cpu.set_result(insn, result);
    Ok(())
}

/// Eight lanes of the last operand, by the second.
fn permute_by_vector(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_vector(bus, insn, 2)?;
    let order = cpu.halves(insn.op1_register());
    let picked = |half: usize| lanes::<4>(order[half]).map(|n| lane(value, Width::B4, n & 7));
    cpu.set_result(insn, by_halves(insn, |half| join::<4>(picked(half))));
    Ok(())
}

/// Four lanes, two bits of the immediate for each.
fn permute_by_immediate(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_vector(bus, insn, 1)?;
    let order = u64::from(insn.immediate8());
    let picked = |half: u64| (2 * half..2 * half + 2).map(|n| lane(value, Width::B8, order >> (2 * n) & 3));
    cpu.set_result(insn, by_halves(insn, |half| join::<8>(picked(half as u64))));
    Ok(())
}

/// Any two of four halves, or none.
fn permute_halves(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, 2)?;
    let a = cpu.halves(insn.op1_register());
    let result = by_halves(insn, |half| {
        let field = usize::from(insn.immediate8() >> (4 * half));
        if field & 8 != 0 { 0 } else { [a, b][field >> 1 & 1][field & 1] }
    });
    cpu.set_result(insn, result);
    Ok(())
}

/// Every lane by a count of its own; those that are as large as the lane are up to `op`, which is told 64 for all beyond 63.
fn shift<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: fn(u64, u32) -> u64,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let counts = cpu.read_vector(bus, insn, 2)?;
    let value = cpu.halves(insn.op1_register());
    let count = |n: u64| n.min(64) as u32;
    let shifted = |half: usize| map2::<BYTES>(value[half], counts[half], |v, n| op(v, count(n)));
    cpu.set_result(insn, by_halves(insn, shifted));
    Ok(())
}
