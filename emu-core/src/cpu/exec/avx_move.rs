//! AVX and AVX2 moves that legacy SSE has no like of: broadcasts, halves in and out, masked loads and stores, and the two that clear
//! upper halves. SDM vol. 2.

use super::Exec;
use super::avx_gather::load_lane;
use super::xmm::{Halves, by_halves, join};
use crate::access::Width;
use crate::cpu::mmu::Intent;
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{Code, EncodingKind, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if code.encoding() != EncodingKind::VEX {
        return None;
    }
    Some(match code.mnemonic() {
        Mnemonic::Vpbroadcastb => broadcast::<1>,
        Mnemonic::Vpbroadcastw => broadcast::<2>,
        Mnemonic::Vpbroadcastd | Mnemonic::Vbroadcastss => broadcast::<4>,
        Mnemonic::Vpbroadcastq | Mnemonic::Vbroadcastsd => broadcast::<8>,
        Mnemonic::Vbroadcastf128 | Mnemonic::Vbroadcasti128 => broadcast_half,
        Mnemonic::Vinsertf128 | Mnemonic::Vinserti128 => insert_half,
        Mnemonic::Vextractf128 | Mnemonic::Vextracti128 => extract_half,
        Mnemonic::Vmaskmovps | Mnemonic::Vpmaskmovd => |cpu, bus, insn| masked(cpu, bus, insn, Width::B4),
        Mnemonic::Vmaskmovpd | Mnemonic::Vpmaskmovq => |cpu, bus, insn| masked(cpu, bus, insn, Width::B8),
        Mnemonic::Vzeroupper => |cpu, _, insn| clear(cpu, insn, |[a, b, ..]| [a, b, 0, 0]),
        Mnemonic::Vzeroall => |cpu, _, insn| clear(cpu, insn, |_| [0; 4]),
        _ => return None,
    })
}

/// The lowest lane of the source to every lane.
fn broadcast<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let lane = cpu.read_unaligned(bus, insn, 1)?[0] as u64;
    let vector = join::<BYTES>(std::iter::repeat(lane));
    cpu.set_result(insn, by_halves(insn, |_| vector));
    Ok(())
}

fn broadcast_half(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [half, _] = cpu.read_unaligned(bus, insn, 1)?;
    cpu.set_result(insn, [half, half]);
    Ok(())
}

fn chosen_half(insn: &Instruction) -> usize {
    usize::from(insn.immediate8() & 1)
}

fn insert_half(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let mut result = cpu.halves(insn.op1_register());
    [result[chosen_half(insn)], _] = cpu.read_unaligned(bus, insn, 2)?;
    cpu.set_result(insn, result);
    Ok(())
}

fn extract_half(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let half = cpu.halves(insn.op1_register())[chosen_half(insn)];
    if insn.op0_kind() == OpKind::Memory {
        return cpu.store_vector(bus, insn, 16, [half, 0]);
    }
    cpu.set_result(insn, [half, 0]);
    Ok(())
}

/// A lane of a vector.
pub(super) fn lane(vector: Halves, width: Width, n: u64) -> u64 {
    let at = n * width.bytes();
    (vector[(at / 16) as usize] >> (at % 16 * 8)) as u64 & width.mask()
}

/// Replaces a lane.
pub(super) fn set_lane(vector: &mut Halves, width: Width, n: u64, value: u64) {
    let at = n * width.bytes();
    let (half, shift) = (&mut vector[(at / 16) as usize], at % 16 * 8);
    *half = *half & !(u128::from(width.mask()) << shift) | u128::from(value & width.mask()) << shift;
}

/// Loads or stores the lanes whose mask, the second operand, has its top bit set. What is not chosen can't fault; what is
/// not loaded is cleared. Alignment is never checked.
fn masked(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let mask = cpu.halves(insn.op1_register());
    let count = insn.memory_size().size() as u64 / width.bytes();
    let chosen = |n: &u64| lane(mask, width, *n) >> (width.bits() - 1) != 0;
    let (seg, start) = cpu.memory_operand(insn);
    let addresses = cpu.address_mask(insn);
    let at = |n: u64| start.wrapping_add(n * width.bytes()) & addresses;
    if insn.op0_kind() == OpKind::Register {
        let mut result = [0, 0];
        for n in (0..count).filter(chosen) {
            let value = load_lane(cpu, bus, seg, at(n), width)?;
            set_lane(&mut result, width, n, value);
        }
        cpu.set_result(insn, result);
        return Ok(());
    }
    // All of them must be writable before the first is written.
    let context = cpu.data_context();
    for n in (0..count).filter(chosen) {
        let lin = cpu.linear(seg, at(n), width.bytes(), Intent::Write)?;
        cpu.probe(bus, lin, width.bytes(), Intent::Write, context)?;
    }
    let value = cpu.halves(insn.op2_register());
    for n in (0..count).filter(chosen) {
        let lin = cpu.linear(seg, at(n), width.bytes(), Intent::Write)?;
        cpu.store_lin(bus, lin, width, lane(value, width, n), context)?;
    }
    Ok(())
}

/// Changes every register that the mode can name.
fn clear(cpu: &mut Cpu, insn: &Instruction, change: fn([u64; 4]) -> [u64; 4]) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let count = if cpu.code_size() == CodeSize::Bits64 { 16 } else { 8 };
    for ymm in &mut cpu.vectors.ymm[..count] {
        *ymm = change(*ymm);
    }
    Ok(())
}
