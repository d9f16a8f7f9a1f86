//! SSE4.2: CRC32 and the string comparisons PCMPxSTRx. SDM vol. 1, 12.10.3; vol. 2B, 4.1.

use super::Exec;
use super::operand_width;
use super::xmm::{is_vex, join, lanes, signed};
use crate::cpu::flags::{Flags, bit};
use crate::cpu::regs::{RAX, RCX, RDX};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Register};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Crc32_r32_rm8
        | Code::Crc32_r64_rm8
        | Code::Crc32_r32_rm16
        | Code::Crc32_r32_rm32
        | Code::Crc32_r64_rm64 => crc32,
        Code::Pcmpistri_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, None, false),
        Code::Pcmpistrm_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, None, true),
        Code::Pcmpestri_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, Some(32), false),
        Code::Pcmpestri64_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, Some(64), false),
        Code::Pcmpestrm_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, Some(32), true),
        Code::Pcmpestrm64_xmm_xmmm128_imm8 => |cpu, bus, insn| strings(cpu, bus, insn, Some(64), true),
        _ => return None,
    })
}

/// The Castagnoli polynomial, lowest power first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

fn crc32(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 1);
    let source = cpu.read_operand(bus, insn, 1, width)?;
    let dest = insn.op0_register();
    let mut crc = cpu.reg(dest) as u32;
    for byte in &source.to_le_bytes()[..width.bytes() as usize] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 };
        }
    }
    cpu.set_reg(dest, u64::from(crc));
    Ok(())
}

/// The immediate of PCMPxSTRx (SDM vol. 2B, 4.1.2-4.1.5).
#[derive(Clone, Copy)]
struct Control(u8);

impl Control {
    fn lanes(self) -> usize {
        if self.0 & 1 != 0 { 8 } else { 16 }
    }

    /// The elements, sign-extended if they are signed.
    fn elements(self, value: u128) -> [i64; 16] {
        let mut elements = [0; 16];
        let all: &mut dyn Iterator<Item = i64> = match self.0 & 3 {
            0 => &mut lanes::<1>(value).map(|lane| lane as i64),
            1 => &mut lanes::<2>(value).map(|lane| lane as i64),
            2 => &mut lanes::<1>(value).map(signed::<1>),
            _ => &mut lanes::<2>(value).map(signed::<2>),
        };
        for (place, element) in elements.iter_mut().zip(all) {
            *place = element;
        }
        elements
    }

    /// Bit by bit of the second string: how it fares against the first, before polarity.
    fn aggregate(self, a: &[i64], b: &[i64]) -> u32 {
        let lanes = self.lanes();
        let bit_if = |holds: bool, at: usize| u32::from(holds) << at;
        match self.0 >> 2 & 3 {
            // Equal any.
            0 => (0..b.len()).fold(0, |all, at| all | bit_if(a.contains(&b[at]), at)),
            // Ranges.
            1 => (0..b.len()).fold(0, |all, at| {
                let inside = a.chunks_exact(2).any(|range| (range[0]..=range[1]).contains(&b[at]));
                all | bit_if(inside, at)
            }),
            // Equal each: behind both ends all is equal.
            2 => (0..lanes).fold(0, |all, at| all | bit_if(a.get(at) == b.get(at), at)),
            // Equal ordered: the first string lies there, as far as the second reaches into the register.
            _ => (0..lanes).fold(0, |all, at| {
                let found = a.iter().zip(at..lanes).all(|(element, place)| b.get(place) == Some(element));
                all | bit_if(found, at)
            }),
        }
    }

    /// Applies polarity; `valid` elements of the second string count where it is masked.
    fn polarity(self, bits: u32, valid: usize) -> u32 {
        let all = (1 << self.lanes()) - 1;
        match self.0 >> 4 & 3 {
            1 => !bits & all,
            3 => bits ^ ((1 << valid) - 1),
            _ => bits,
        }
    }
}

/// Elements before the first that is zero.
fn implicit_length(elements: &[i64; 16], lanes: usize) -> usize {
    elements[..lanes].iter().position(|element| *element == 0).unwrap_or(lanes)
}

/// The magnitude of a length in a register, at most all lanes.
fn explicit_length(cpu: &Cpu, register: u8, bits: u32, lanes: usize) -> usize {
    let value = cpu.gpr(register);
    let value = if bits == 64 { value as i64 } else { i64::from(value as i32) };
    value.unsigned_abs().min(lanes as u64) as usize
}

/// Compares; `lengths` is the width of explicit ones. The answer is a mask in XMM0 or an index in ECX, and flags.
fn strings(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    lengths: Option<u32>,
    mask: bool,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [second, _] = cpu.read_unaligned(bus, insn, 1)?;
    let control = Control(insn.immediate8());
    let lanes = control.lanes();
    let (a, b) = (control.elements(cpu.xmm(insn.op0_register())), control.elements(second));
    let (a_len, b_len) = match lengths {
        Some(bits) => (explicit_length(cpu, RAX, bits, lanes), explicit_length(cpu, RDX, bits, lanes)),
        None => (implicit_length(&a, lanes), implicit_length(&b, lanes)),
    };
    let bits = control.polarity(control.aggregate(&a[..a_len], &b[..b_len]), b_len);
    if mask {
        let mask = control.mask(bits);
        if is_vex(insn) {
            cpu.set_halves(Register::XMM0, [mask, 0]);
        } else {
            cpu.set_xmm(Register::XMM0, mask);
        }
    } else {
        cpu.set_gpr(RCX, control.index(bits));
    }
    let flag = |holds: bool, bit: u64| if holds { bit } else { 0 };
    cpu.flags = Flags::from_bits(
        flag(bits != 0, bit::CF)
            | flag(b_len < lanes, bit::ZF)
            | flag(a_len < lanes, bit::SF)
            | flag(bits & 1 != 0, bit::OF),
    );
    Ok(())
}

impl Control {
    /// As bits, or as elements of all ones.
    fn mask(self, bits: u32) -> u128 {
        let whole = |at: usize| if bits >> at & 1 != 0 { u64::MAX } else { 0 };
        match (self.0 >> 6 & 1, self.lanes()) {
            (0, _) => bits.into(),
            (_, 8) => join::<2>((0..8).map(whole)),
            _ => join::<1>((0..16).map(whole)),
        }
    }

    /// The lowest or the highest bit; one past the end if there is none.
    fn index(self, bits: u32) -> u64 {
        let index = match (bits, self.0 >> 6 & 1) {
            (0, _) => self.lanes() as u32,
            (_, 0) => bits.trailing_zeros(),
            _ => 31 - bits.leading_zeros(),
        };
        index.into()
    }
}
