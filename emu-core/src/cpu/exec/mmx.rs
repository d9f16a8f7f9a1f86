//! MMX: its registers, which are the significands of the x87 registers, and its moves, packing, shuffling and conversions. What it
//! has in common with SSE2 is in `sse_int`. SDM vol. 1, chapter 9; vol. 3A, chapter 12.

use super::Exec;
use super::sse_int::{interleave, pack, saturate_signed, saturate_unsigned, shuffle_words};
use super::xmm::{join, lanes};
use crate::access::Width;
use crate::cpu::control::cr0;
use crate::cpu::softfloat::{Env, Extended, F32, F64, IntWidth, Rounding, from_int, to_int};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, OpKind, Register};

impl Cpu {
    /// #UD where MMX is emulated, #NM while the registers are another task's, #MF while an x87 exception waits.
    pub(super) fn check_mmx(&self) -> Result<(), Fault> {
        if self.cr0 & cr0::EM != 0 { Err(Fault::UNDEFINED) } else { self.check_x87() }
    }

    /// An MMX register, by number.
    pub(super) fn mm(&self, register: Register) -> u64 {
        self.x87.registers[register.number() & 7].significand
    }

    /// Sets an MMX register: as an x87 register it is no number, and all eight are in use.
    pub(super) fn set_mm(&mut self, register: Register, value: u64) {
        self.enter_mmx();
        self.x87.registers[register.number() & 7] = Extended { sign_exponent: 0xffff, significand: value };
    }

    /// What every MMX instruction but EMMS does to the x87 unit.
    pub(super) fn enter_mmx(&mut self) {
        self.x87.set_top(0);
        self.x87.valid = 0xff;
    }

    /// Operand `n`: an MMX register, or four or eight bytes of memory.
    fn read_mm(&mut self, bus: &mut dyn CpuBus, insn: &Instruction, n: u32) -> Result<u64, Fault> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.mm(insn.op_register(n)));
        }
        let width = if insn.memory_size().size() == 4 { Width::B4 } else { Width::B8 };
        self.read_operand(bus, insn, n, width)
    }
}

pub(super) fn lookup(code: Code) -> Option<Exec> {
    moves(code).or_else(|| packing(code)).or_else(|| conversion(code))
}

fn moves(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Movd_mm_rm32 => |cpu, bus, insn| from_general(cpu, bus, insn, Width::B4),
        Code::Movq_mm_rm64 => |cpu, bus, insn| from_general(cpu, bus, insn, Width::B8),
        Code::Movd_rm32_mm => |cpu, bus, insn| to_general(cpu, bus, insn, Width::B4),
        Code::Movq_rm64_mm => |cpu, bus, insn| to_general(cpu, bus, insn, Width::B8),
        Code::Movq_mm_mmm64 => |cpu, bus, insn| {
            cpu.check_mmx()?;
            let value = cpu.read_mm(bus, insn, 1)?;
            cpu.set_mm(insn.op0_register(), value);
            Ok(())
        },
        Code::Movq_mmm64_mm | Code::Movntq_m64_mm => store,
        Code::Movq2dq_xmm_mm => |cpu, _, insn| {
            check_both(cpu)?;
            let value = cpu.mm(insn.op1_register());
            cpu.enter_mmx();
            cpu.set_xmm(insn.op0_register(), value.into());
            Ok(())
        },
        Code::Movdq2q_mm_xmm => |cpu, _, insn| {
            check_both(cpu)?;
            let value = cpu.xmm(insn.op1_register()) as u64;
            cpu.set_mm(insn.op0_register(), value);
            Ok(())
        },
        Code::Pmovmskb_r32_mm | Code::Pmovmskb_r64_mm => sign_mask,
        Code::Maskmovq_rDI_mm_mm => store_masked,
        Code::Emms => |cpu, _, _| {
            cpu.check_mmx()?;
            cpu.x87.set_top(0);
            cpu.x87.valid = 0;
            Ok(())
        },
        _ => return None,
    })
}

/// Instructions on registers of both sorts: SSE's conditions, then MMX's.
fn check_both(cpu: &Cpu) -> Result<(), Fault> {
    cpu.check_sse()?;
    cpu.check_mmx()
}

fn from_general(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let value = cpu.read_operand(bus, insn, 1, width)?;
    cpu.set_mm(insn.op0_register(), value);
    Ok(())
}

fn to_general(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, width: Width) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let value = cpu.mm(insn.op1_register());
    cpu.write_operand(bus, insn, 0, width, value)?;
    cpu.enter_mmx();
    Ok(())
}

fn store(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let value = cpu.mm(insn.op1_register());
    if insn.op0_kind() == OpKind::Register {
        cpu.set_mm(insn.op0_register(), value);
        return Ok(());
    }
    cpu.write_operand(bus, insn, 0, Width::B8, value)?;
    cpu.enter_mmx();
    Ok(())
}

fn sign_mask(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let bytes = cpu.mm(insn.op1_register()).to_le_bytes();
    let mask = (0..8).fold(0, |mask, n| mask | u64::from(bytes[n] >> 7) << n);
    cpu.enter_mmx();
    cpu.set_reg(insn.op0_register(), mask);
    Ok(())
}

/// MASKMOVQ: bytes whose mask has its top bit set.
fn store_masked(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let value = cpu.mm(insn.op1_register()).to_le_bytes();
    let mask = cpu.mm(insn.op2_register()).to_le_bytes();
    cpu.store_masked_bytes(bus, insn, &value, &mask)?;
    cpu.enter_mmx();
    Ok(())
}

fn packing(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Punpcklbw_mm_mmm32 => |cpu, bus, insn| unpack::<1>(cpu, bus, insn, 0),
        Code::Punpcklwd_mm_mmm32 => |cpu, bus, insn| unpack::<2>(cpu, bus, insn, 0),
        Code::Punpckldq_mm_mmm32 => |cpu, bus, insn| unpack::<4>(cpu, bus, insn, 0),
        Code::Punpckhbw_mm_mmm64 => |cpu, bus, insn| unpack::<1>(cpu, bus, insn, 64),
        Code::Punpckhwd_mm_mmm64 => |cpu, bus, insn| unpack::<2>(cpu, bus, insn, 64),
        Code::Punpckhdq_mm_mmm64 => |cpu, bus, insn| unpack::<4>(cpu, bus, insn, 64),
        Code::Packsswb_mm_mmm64 => |cpu, bus, insn| pack_both::<2, 1>(cpu, bus, insn, saturate_signed::<1>),
        Code::Packssdw_mm_mmm64 => |cpu, bus, insn| pack_both::<4, 2>(cpu, bus, insn, saturate_signed::<2>),
        Code::Packuswb_mm_mmm64 => |cpu, bus, insn| pack_both::<2, 1>(cpu, bus, insn, saturate_unsigned::<1>),
        Code::Pshufw_mm_mmm64_imm8 => |cpu, bus, insn| {
            cpu.check_mmx()?;
            let source = cpu.read_mm(bus, insn, 1)?;
            cpu.set_mm(insn.op0_register(), shuffle_words(source.into(), insn.immediate8(), 0) as u64);
            Ok(())
        },
        Code::Pextrw_r32_mm_imm8 | Code::Pextrw_r64_mm_imm8 => |cpu, _, insn| {
            cpu.check_mmx()?;
            let word = cpu.mm(insn.op1_register()) >> (u32::from(insn.immediate8() & 3) * 16) & 0xffff;
            cpu.enter_mmx();
            cpu.set_reg(insn.op0_register(), word);
            Ok(())
        },
        Code::Pinsrw_mm_r32m16_imm8 | Code::Pinsrw_mm_r64m16_imm8 => |cpu, bus, insn| {
            cpu.check_mmx()?;
            let word = cpu.read_operand(bus, insn, 1, Width::B2)? & 0xffff;
            let shift = u32::from(insn.immediate8() & 3) * 16;
            let dest = insn.op0_register();
            let merged = cpu.mm(dest) & !(0xffff << shift) | word << shift;
            cpu.set_mm(dest, merged);
            Ok(())
        },
        _ => return None,
    })
}

/// The half of all lanes of both, interleaved, that starts at bit `start`.
fn unpack<const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    start: u32,
) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let source = cpu.read_mm(bus, insn, 1)?;
    let dest = insn.op0_register();
    let all = interleave::<BYTES>(cpu.mm(dest).into(), source.into(), false);
    cpu.set_mm(dest, (all >> start) as u64);
    Ok(())
}

fn pack_both<const FROM: usize, const TO: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    saturate: fn(i64) -> u64,
) -> Result<(), Fault> {
    cpu.check_mmx()?;
    let source = cpu.read_mm(bus, insn, 1)?;
    let dest = insn.op0_register();
    let both = u128::from(source) << 64 | u128::from(cpu.mm(dest));
    cpu.set_mm(dest, pack::<FROM, TO>(both, 0, saturate) as u64);
    Ok(())
}

/// A conversion that ends in #XM has entered MMX all the same.
fn conversion(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Cvtpi2ps_xmm_mmm64 => to_singles,
        Code::Cvtpi2pd_xmm_mmm64 => to_doubles,
        Code::Cvtps2pi_mm_xmmm64 => |cpu, bus, insn| from_singles(cpu, bus, insn, |env| env.rounding),
        Code::Cvttps2pi_mm_xmmm64 => |cpu, bus, insn| from_singles(cpu, bus, insn, |_| Rounding::Zero),
        Code::Cvtpd2pi_mm_xmmm128 => |cpu, bus, insn| from_doubles(cpu, bus, insn, |env| env.rounding),
        Code::Cvttpd2pi_mm_xmmm128 => |cpu, bus, insn| from_doubles(cpu, bus, insn, |_| Rounding::Zero),
        _ => return None,
    })
}

/// The two integers of the source; from memory they leave the x87 unit alone.
fn integers(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<[i64; 2], Fault> {
    let from_register = insn.op1_kind() == OpKind::Register;
    cpu.check_sse()?;
    if from_register {
        cpu.check_mmx()?;
    }
    let source = cpu.read_mm(bus, insn, 1)?;
    if from_register {
        cpu.enter_mmx();
    }
    Ok([i64::from(source as i32), i64::from((source >> 32) as i32)])
}

fn to_singles(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let source = integers(cpu, bus, insn)?;
    let low = cpu.with_float(|env| join::<4>(source.map(|value| from_int::<F32>(env, value)).into_iter()))?;
    let dest = insn.op0_register();
    cpu.set_xmm(dest, cpu.xmm(dest) >> 64 << 64 | low);
    Ok(())
}

fn to_doubles(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let source = integers(cpu, bus, insn)?;
    let both =
        cpu.with_float(|env| join::<8>(source.map(|value| from_int::<F64>(env, value)).into_iter()))?;
    cpu.set_xmm(insn.op0_register(), both);
    Ok(())
}

fn from_singles(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    rounding: fn(&Env) -> Rounding,
) -> Result<(), Fault> {
    check_both(cpu)?;
    let [source, _] = cpu.read_unaligned(bus, insn, 1)?;
    cpu.enter_mmx();
    let result = cpu.with_float(|env| {
        join::<4>(
            lanes::<4>(source).take(2).map(|lane| to_int::<F32>(env, lane, rounding(env), IntWidth::I32)),
        )
    })?;
    cpu.set_mm(insn.op0_register(), result as u64);
    Ok(())
}

fn from_doubles(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    rounding: fn(&Env) -> Rounding,
) -> Result<(), Fault> {
    check_both(cpu)?;
    let [source, _] = cpu.read_vector(bus, insn, 1)?;
    cpu.enter_mmx();
    let result = cpu.with_float(|env| {
        join::<4>(lanes::<8>(source).map(|lane| to_int::<F64>(env, lane, rounding(env), IntWidth::I32)))
    })?;
    cpu.set_mm(insn.op0_register(), result as u64);
    Ok(())
}
