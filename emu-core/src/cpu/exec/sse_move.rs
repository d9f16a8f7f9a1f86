//! SSE and SSE2 moves, and their VEX forms: whole registers, scalars, halves, masks, non-temporal stores. SDM vol. 2. Non-temporal hints mean
//! nothing here: there are no caches.

use super::Exec;
use super::xmm::{by_halves, first, is_wide, lanes, source};
use crate::access::Width;
use crate::cpu::mmu::Intent;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, OpKind, Register};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Movaps_xmm_xmmm128 | Code::Movapd_xmm_xmmm128 | Code::Movdqa_xmm_xmmm128 => load_aligned,
        Code::Movaps_xmmm128_xmm
        | Code::Movapd_xmmm128_xmm
        | Code::Movdqa_xmmm128_xmm
        | Code::Movntps_m128_xmm
        | Code::Movntpd_m128_xmm
        | Code::Movntdq_m128_xmm => store_aligned,
        Code::Movups_xmm_xmmm128 | Code::Movupd_xmm_xmmm128 | Code::Movdqu_xmm_xmmm128 => load,
        Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm | Code::Movdqu_xmmm128_xmm => store,
        Code::Movss_xmm_xmmm32 => |cpu, bus, insn| load_scalar(cpu, bus, insn, 4),
        Code::Movsd_xmm_xmmm64 => |cpu, bus, insn| load_scalar(cpu, bus, insn, 8),
        Code::Movss_xmmm32_xmm => |cpu, bus, insn| store_scalar(cpu, bus, insn, 4),
        Code::Movsd_xmmm64_xmm => |cpu, bus, insn| store_scalar(cpu, bus, insn, 8),
        Code::Movq_xmm_xmmm64 => move_quad,
        Code::Movq_xmmm64_xmm => store_quad,
        Code::Movd_xmm_rm32 | Code::Movq_xmm_rm64 => from_general,
        Code::Movd_rm32_xmm | Code::Movq_rm64_xmm => to_general,
        Code::Movlps_xmm_m64 | Code::Movlpd_xmm_m64 => |cpu, bus, insn| load_half(cpu, bus, insn, 0),
        Code::Movhps_xmm_m64 | Code::Movhpd_xmm_m64 => |cpu, bus, insn| load_half(cpu, bus, insn, 64),
        Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => |cpu, bus, insn| store_half(cpu, bus, insn, 0),
        Code::Movhps_m64_xmm | Code::Movhpd_m64_xmm => |cpu, bus, insn| store_half(cpu, bus, insn, 64),
        Code::Movhlps_xmm_xmm => |cpu, _, insn| move_half(cpu, insn, 64, 0),
        Code::Movlhps_xmm_xmm => |cpu, _, insn| move_half(cpu, insn, 0, 64),
        Code::Movmskps_r32_xmm | Code::Movmskps_r64_xmm => |cpu, _, insn| sign_mask::<4>(cpu, insn),
        Code::Movmskpd_r32_xmm | Code::Movmskpd_r64_xmm => |cpu, _, insn| sign_mask::<8>(cpu, insn),
        Code::Pmovmskb_r32_xmm | Code::Pmovmskb_r64_xmm => |cpu, _, insn| sign_mask::<1>(cpu, insn),
        Code::Maskmovdqu_rDI_xmm_xmm => store_masked,
        _ => return None,
    })
}

fn load_aligned(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    if insn.op1_kind() == OpKind::Memory {
        cpu.check_aligned(insn, insn.memory_size().size() as u64)?;
    }
    load(cpu, bus, insn)
}

fn load(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_unaligned(bus, insn, 1)?;
    cpu.set_result(insn, by_halves(insn, |half| value[half]));
    Ok(())
}

fn store_aligned(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    if insn.op0_kind() == OpKind::Memory {
        cpu.check_aligned(insn, insn.memory_size().size() as u64)?;
    }
    store(cpu, bus, insn)
}

fn store(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.halves(insn.op1_register());
    if insn.op0_kind() == OpKind::Memory {
        return cpu.store_vector(bus, insn, insn.memory_size().size(), value);
    }
    cpu.set_result(insn, by_halves(insn, |half| value[half]));
    Ok(())
}

fn low_mask(bytes: usize) -> u128 {
    (1 << (bytes * 8)) - 1
}

/// From memory the rest is cleared; from a register it is that of the first source.
fn load_scalar(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, bytes: usize) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    if insn.op1_kind() == OpKind::Memory {
        let value = cpu.load_vector(bus, insn, bytes)?;
        cpu.set_result(insn, value);
    } else {
        merge_low(cpu, insn, bytes);
    }
    Ok(())
}

fn store_scalar(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, bytes: usize) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    if insn.op0_kind() == OpKind::Memory {
        return cpu.store_vector(bus, insn, bytes, cpu.halves(insn.op1_register()));
    }
    merge_low(cpu, insn, bytes);
    Ok(())
}

/// The low bytes of the second source under the rest of the first.
fn merge_low(cpu: &mut Cpu, insn: &Instruction, bytes: usize) {
    let mask = low_mask(bytes);
    let second = cpu.xmm(insn.op_register(source(insn)));
    let merged = cpu.xmm(first(insn)) & !mask | second & mask;
    cpu.set_result(insn, [merged, 0]);
}

/// MOVQ clears the upper half from any source.
fn move_quad(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [value, _] = cpu.read_unaligned(bus, insn, 1)?;
    cpu.set_result(insn, [value & low_mask(8), 0]);
    Ok(())
}

fn store_quad(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.xmm(insn.op1_register()) & low_mask(8);
    if insn.op0_kind() == OpKind::Memory {
        return cpu.store_vector(bus, insn, 8, [value, 0]);
    }
    cpu.set_result(insn, [value, 0]);
    Ok(())
}

fn from_general(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_operand(bus, insn, 1, super::operand_width(insn, 1))?;
    cpu.set_result(insn, [value.into(), 0]);
    Ok(())
}

fn to_general(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let width = super::operand_width(insn, 0);
    let value = cpu.xmm(insn.op1_register()) as u64 & width.mask();
    cpu.write_operand(bus, insn, 0, width, value)
}

fn load_half(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, shift: u32) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [half, _] = cpu.load_vector(bus, insn, 8)?;
    let merged = cpu.xmm(first(insn)) & !(low_mask(8) << shift) | half << shift;
    cpu.set_result(insn, [merged, 0]);
    Ok(())
}

fn store_half(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, shift: u32) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.xmm(insn.op1_register()) >> shift;
    cpu.store_vector(bus, insn, 8, [value, 0])
}

fn move_half(cpu: &mut Cpu, insn: &Instruction, from: u32, to: u32) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let half = cpu.xmm(insn.op_register(source(insn))) >> from & low_mask(8);
    let merged = cpu.xmm(first(insn)) & !(low_mask(8) << to) | half << to;
    cpu.set_result(insn, [merged, 0]);
    Ok(())
}

/// The top bit of every lane.
fn sign_mask<const BYTES: usize>(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.halves(insn.op1_register());
    let signs = |half: u128| {
        let tops = lanes::<BYTES>(half).map(|lane| lane >> (BYTES * 8 - 1) & 1);
        tops.enumerate().fold(0, |mask, (lane, top)| mask | top << lane)
    };
    let high = if is_wide(insn) { signs(value[1]) << (16 / BYTES) } else { 0 };
    cpu.set_reg(insn.op0_register(), signs(value[0]) | high);
    Ok(())
}

/// Bytes whose mask byte has its top bit set go to [rDI].
fn store_masked(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.xmm(insn.op1_register()).to_le_bytes();
    let mask = cpu.xmm(insn.op2_register()).to_le_bytes();
    cpu.store_masked_bytes(bus, insn, &value, &mask)
}

impl Cpu {
    /// Stores the bytes whose mask has its top bit set, at DS:rDI.
    pub(super) fn store_masked_bytes(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        value: &[u8],
        mask: &[u8],
    ) -> Result<(), Fault> {
        let (seg, _) = self.memory_operand(insn);
        let at = match insn.op0_kind() {
            OpKind::MemorySegDI => self.reg(Register::DI),
            OpKind::MemorySegEDI => self.reg(Register::EDI),
            _ => self.reg(Register::RDI),
        };
        let chosen = || (0..).zip(value.iter().zip(mask)).filter(|(_, (_, mask))| **mask & 0x80 != 0);
        // All of them must be writable before the first is written.
        for (index, _) in chosen() {
            let lin = self.linear(seg, at.wrapping_add(index), 1, Intent::Write)?;
            self.probe(bus, lin, 1, Intent::Write, self.data_context())?;
        }
        for (index, (byte, _)) in chosen() {
            self.store(bus, seg, at.wrapping_add(index), Width::B1, u64::from(*byte))?;
        }
        Ok(())
    }
}
