//! LDMXCSR, STMXCSR, FXSAVE and FXRSTOR. SDM vol. 2; the layout of the area is in vol. 1, tables 10-2 and 13.5.

use super::Exec;
use crate::access::Width;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::mmu::Intent;
use crate::cpu::softfloat::Extended;
use crate::cpu::x87::X87;
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

/// Bits of MXCSR that exist (MXCSR_MASK).
pub(crate) const MXCSR_MASK: u32 = 0xffff;

/// Offsets in the FXSAVE area, which is also the start of the XSAVE area.
pub(super) mod area {
    pub(in crate::cpu::exec) const CONTROL: usize = 0;
    pub(in crate::cpu::exec) const STATUS: usize = 2;
    pub(in crate::cpu::exec) const VALID: usize = 4;
    pub(in crate::cpu::exec) const OPCODE: usize = 6;
    pub(in crate::cpu::exec) const INSTRUCTION: usize = 8;
    pub(in crate::cpu::exec) const OPERAND: usize = 16;
    pub(in crate::cpu::exec) const MXCSR: usize = 24;
    pub(in crate::cpu::exec) const MXCSR_MASK: usize = 28;
    /// ST(0), and every 16 bytes another.
    pub(in crate::cpu::exec) const ST: usize = 32;
    /// XMM0, and every 16 bytes another.
    pub(in crate::cpu::exec) const XMM: usize = 160;
    /// Bytes that must be accessible.
    pub(in crate::cpu::exec) const LEN: usize = 512;
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Ldmxcsr_m32 => load_mxcsr,
        Code::Stmxcsr_m32 => store_mxcsr,
        Code::Fxsave_m512byte => |cpu, bus, insn| save(cpu, bus, insn, false),
        Code::Fxsave64_m512byte => |cpu, bus, insn| save(cpu, bus, insn, true),
        Code::Fxrstor_m512byte => |cpu, bus, insn| restore(cpu, bus, insn, false),
        Code::Fxrstor64_m512byte => |cpu, bus, insn| restore(cpu, bus, insn, true),
        _ => return None,
    })
}

fn load_mxcsr(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = cpu.read_operand(bus, insn, 0, Width::B4)? as u32;
    if value & !MXCSR_MASK != 0 {
        return Err(Fault::GP0);
    }
    cpu.vectors.mxcsr = value;
    Ok(())
}

fn store_mxcsr(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let value = u64::from(cpu.vectors.mxcsr);
    cpu.write_operand(bus, insn, 0, Width::B4, value)
}

/// #NM while the registers are not to be touched, #GP(0) for an area that does not lie on 16 bytes.
fn check_area(cpu: &Cpu, insn: &Instruction) -> Result<(), Fault> {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 {
        return Err(Fault::DEVICE);
    }
    cpu.check_aligned(insn, 16)
}

/// Number of XMM registers that the area holds: none while the system does not know of them, all sixteen in 64-bit mode.
fn saved_registers(cpu: &Cpu) -> usize {
    match (cpu.cr4 & cr4::OSFXSR != 0, cpu.code_size()) {
        (false, _) => 0,
        (true, CodeSize::Bits64) => 16,
        (true, CodeSize::Bits16 | CodeSize::Bits32) => 8,
    }
}

pub(super) fn put<const N: usize>(image: &mut [u8; area::LEN], at: usize, bytes: [u8; N]) {
    image[at..at + N].copy_from_slice(&bytes);
}

pub(super) fn get<const N: usize>(image: &[u8; area::LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|n| image[at + n])
}

/// What is reserved or belongs to software in the area is not written.
fn save(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, wide: bool) -> Result<(), Fault> {
    check_area(cpu, insn)?;
    let mut image = [0; area::LEN];
    save_x87(&cpu.x87, &mut image, wide);
    put(&mut image, area::MXCSR, cpu.vectors.mxcsr.to_le_bytes());
    put(&mut image, area::MXCSR_MASK, MXCSR_MASK.to_le_bytes());
    let count = saved_registers(cpu);
    for (n, ymm) in cpu.vectors.ymm.iter().take(count).enumerate() {
        put(&mut image, area::XMM + 16 * n, ymm[0].to_le_bytes());
        put(&mut image, area::XMM + 16 * n + 8, ymm[1].to_le_bytes());
    }
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, area::LEN as u64, Intent::Write)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, area::LEN as u64, Intent::Write, context)?;
    cpu.store_bytes_lin(bus, lin, &image[..area::XMM + 16 * count], context)
}

pub(super) fn save_x87(x87: &X87, image: &mut [u8; area::LEN], wide: bool) {
    // Without REX.W offsets have 32 bits; behind them are selectors, which are not kept.
    let mask = if wide { u64::MAX } else { 0xffff_ffff };
    put(image, area::CONTROL, x87.control.to_le_bytes());
    put(image, area::STATUS, x87.status.to_le_bytes());
    put(image, area::VALID, [x87.valid, 0]);
    put(image, area::OPCODE, x87.opcode.to_le_bytes());
    put(image, area::INSTRUCTION, (x87.instruction & mask).to_le_bytes());
    put(image, area::OPERAND, (x87.operand & mask).to_le_bytes());
    for n in 0..8 {
        // Ten bytes of sixteen; the others are written as zeros.
        put(image, area::ST + 16 * n, [0; 16]);
        put(image, area::ST + 16 * n, x87.registers[x87.physical(n)].to_bytes());
    }
}

fn restore(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, wide: bool) -> Result<(), Fault> {
    check_area(cpu, insn)?;
    let (seg, at) = cpu.memory_operand(insn);
    let mut image = [0; area::LEN];
    cpu.load_bytes(bus, seg, at, &mut image)?;
    let mxcsr = u32::from_le_bytes(get(&image, area::MXCSR));
    if mxcsr & !MXCSR_MASK != 0 {
        return Err(Fault::GP0);
    }
    let count = saved_registers(cpu);
    for (n, ymm) in cpu.vectors.ymm.iter_mut().take(count).enumerate() {
        ymm[0] = u64::from_le_bytes(get(&image, area::XMM + 16 * n));
        ymm[1] = u64::from_le_bytes(get(&image, area::XMM + 16 * n + 8));
    }
    cpu.vectors.mxcsr = mxcsr;
    cpu.x87 = restored_x87(&image, wide);
    Ok(())
}

pub(super) fn restored_x87(image: &[u8; area::LEN], wide: bool) -> X87 {
    let mask = if wide { u64::MAX } else { 0xffff_ffff };
    let mut x87 = X87 {
        valid: image[area::VALID],
        opcode: u16::from_le_bytes(get(image, area::OPCODE)) & 0x7ff,
        instruction: u64::from_le_bytes(get(image, area::INSTRUCTION)) & mask,
        operand: u64::from_le_bytes(get(image, area::OPERAND)) & mask,
        ..X87::RESET
    };
    x87.set_control(u16::from_le_bytes(get(image, area::CONTROL)));
    x87.set_status(u16::from_le_bytes(get(image, area::STATUS)));
    for n in 0..8 {
        let physical = x87.physical(n);
        x87.registers[physical] = Extended::from_bytes(get(image, area::ST + 16 * n));
    }
    x87
}
