//! AVX2's gathers: lanes from as many addresses, one after the other, so that one that faults can go on where it stopped. SDM
//! vol. 2, "VGATHERDPD" and relatives; 2.3.12 for the addresses.

use super::Exec;
use super::avx_move::{lane, set_lane};
use super::xmm::{Halves, is_wide};
use crate::access::Width;
use crate::cpu::flags::sign_extend;
use crate::cpu::mmu::Intent;
use crate::cpu::regs::Seg;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, EncodingKind, Instruction, Mnemonic, Register};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if code.encoding() != EncodingKind::VEX {
        return None;
    }
    // The first letter is the width of indices, the second that of what is gathered.
    Some(match code.mnemonic() {
        Mnemonic::Vpgatherdd | Mnemonic::Vgatherdps => {
            |cpu, bus, insn| gather(cpu, bus, insn, Width::B4, Width::B4)
        }
        Mnemonic::Vpgatherdq | Mnemonic::Vgatherdpd => {
            |cpu, bus, insn| gather(cpu, bus, insn, Width::B4, Width::B8)
        }
        Mnemonic::Vpgatherqd | Mnemonic::Vgatherqps => {
            |cpu, bus, insn| gather(cpu, bus, insn, Width::B8, Width::B4)
        }
        Mnemonic::Vpgatherqq | Mnemonic::Vgatherqpd => {
            |cpu, bus, insn| gather(cpu, bus, insn, Width::B8, Width::B8)
        }
        _ => return None,
    })
}

/// Loads the lanes whose mask has its top bit set, and clears masks on the way. What faults leaves the lanes before it gathered,
/// and its own mask and those behind it as they were.
fn gather(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    index_width: Width,
    width: Width,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let (dest, mask_register) = (insn.op0_register(), insn.op2_register());
    let (index_register, numbers) = (insn.memory_index(), Register::number);
    if numbers(dest) == numbers(mask_register)
        || numbers(dest) == numbers(index_register)
        || numbers(mask_register) == numbers(index_register)
    {
        return Err(Fault::UNDEFINED);
    }
    let wide = is_wide(insn) || index_register.is_ymm();
    let count = if wide { 32 } else { 16 } / index_width.bytes().max(width.bytes());
    let indices = cpu.halves(index_register);
    let mut result = cpu.halves(dest);
    let mut mask = cpu.halves(mask_register);
    let (seg, start) = cpu.memory_operand(insn);
    let cut = cpu.address_is_32_bits(insn);
    for n in 0..count {
        if lane(mask, width, n) >> (width.bits() - 1) == 0 {
            set_lane(&mut mask, width, n, 0);
            continue;
        }
        let index = sign_extend(lane(indices, index_width, n), index_width);
        let at = start.wrapping_add(index.wrapping_mul(insn.memory_index_scale().into()));
        let at = if cut { at & 0xffff_ffff } else { at };
        let value = match load_lane(cpu, bus, seg, at, width) {
            Ok(value) => value,
            Err(fault) => {
                cpu.set_halves(dest, result);
                cpu.set_halves(mask_register, mask);
                return Err(fault);
            }
        };
        set_lane(&mut result, width, n, value);
        set_lane(&mut mask, width, n, 0);
    }
    cpu.set_halves(dest, low_bytes(result, count * width.bytes()));
    cpu.set_halves(mask_register, [0, 0]);
    Ok(())
}

/// Loads a lane: gathers and masked loads never raise #AC.
pub(super) fn load_lane(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    seg: Seg,
    at: u64,
    width: Width,
) -> Result<u64, Fault> {
    let lin = cpu.linear(seg, at, width.bytes(), Intent::Read)?;
    cpu.load_lin(bus, lin, width, cpu.data_context())
}

/// What lies above `bytes` cleared.
fn low_bytes([low, high]: Halves, bytes: u64) -> Halves {
    match bytes {
        32 => [low, high],
        16 => [low, 0],
        _ => [low & u128::from(u64::MAX), 0],
    }
}

impl Cpu {
    /// Whether a vector of addresses is cut to 32 bits: by the base, or without one by how the displacement was widened.
    fn address_is_32_bits(&self, insn: &Instruction) -> bool {
        let base = insn.memory_base();
        if base == Register::None { insn.memory_displ_size() != 8 } else { base.size() != 8 }
    }
}
