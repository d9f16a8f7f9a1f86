//! x87 loads, stores and moves within the stack, with conversions from and to integers and decimals. SDM vol. 1, 8.3.3-8.3.4;
//! vol. 2A.

use super::Exec;
use super::operand_width;
use super::x87::{index, x87};
use crate::access::Width;
use crate::cpu::flags::Flags;
use crate::cpu::mmu::Intent;
use crate::cpu::softfloat::{
    Env, Extended, F32, F64, F80, Format, IntWidth, Rounding, convert, flag, from_int, narrow, to_int,
};
use crate::cpu::x87::{X87, status};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, MemorySize, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    let mnemonic = code.mnemonic();
    memory(mnemonic)
        .or_else(|| stack(mnemonic))
        .or_else(|| constant(mnemonic))
        .or_else(|| conditional(mnemonic))
}

fn memory(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fld => x87!(load),
        Mnemonic::Fst => x87!(|cpu, bus, insn| store(cpu, bus, insn, false)),
        Mnemonic::Fstp => x87!(|cpu, bus, insn| store(cpu, bus, insn, true)),
        Mnemonic::Fild => x87!(load_integer),
        Mnemonic::Fist => x87!(|cpu, bus, insn| store_integer(cpu, bus, insn, None, false)),
        Mnemonic::Fistp => x87!(|cpu, bus, insn| store_integer(cpu, bus, insn, None, true)),
        Mnemonic::Fisttp => x87!(|cpu, bus, insn| store_integer(cpu, bus, insn, Some(Rounding::Zero), true)),
        Mnemonic::Fbld => x87!(load_decimal),
        Mnemonic::Fbstp => x87!(store_decimal),
        _ => return None,
    })
}

fn stack(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fstpnce => x87!(|cpu, _, insn| store_unchecked(cpu, insn)),
        Mnemonic::Fxch => x87!(|cpu, _, insn| exchange(cpu, insn)),
        Mnemonic::Fincstp => x87!(|cpu, _, _| turn(cpu, 1)),
        Mnemonic::Fdecstp => x87!(|cpu, _, _| turn(cpu, 7)),
        Mnemonic::Ffree => x87!(|cpu, _, insn| free(cpu, insn, false)),
        Mnemonic::Ffreep => x87!(|cpu, _, insn| free(cpu, insn, true)),
        Mnemonic::Fnop => x87!(|_, _, _| Ok(())),
        _ => return None,
    })
}

macro_rules! constant {
    ($exponent:literal, $significand:literal, $rest:ident) => {
        x87!(|cpu, _, _| load_constant(cpu, $exponent, $significand, Rest::$rest))
    };
}

/// What of a constant does not fit 64 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Below,
    Above,
}

/// The constants as 64 bits of their binary expansions, cut off or rounded up.
fn constant(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fldz => constant!(0, 0, Nothing),
        Mnemonic::Fld1 => constant!(0x3fff, 0x8000_0000_0000_0000, Nothing),
        Mnemonic::Fldl2t => constant!(0x4000, 0xd49a_784b_cd1b_8afe, Below),
        Mnemonic::Fldl2e => constant!(0x3fff, 0xb8aa_3b29_5c17_f0bc, Above),
        Mnemonic::Fldpi => constant!(0x4000, 0xc90f_daa2_2168_c235, Above),
        Mnemonic::Fldlg2 => constant!(0x3ffd, 0x9a20_9a84_fbcf_f799, Above),
        Mnemonic::Fldln2 => constant!(0x3ffe, 0xb172_17f7_d1cf_79ac, Above),
        _ => return None,
    })
}

/// Rounded by rounding control, but never inexact. `significand` is the nearest one: `Above` the true value or `Below`.
fn load_constant(cpu: &mut Cpu, exponent: u16, significand: u64, rest: Rest) -> Result<(), Fault> {
    let change: i64 = match (cpu.x87_env().rounding, rest) {
        (Rounding::Down | Rounding::Zero, Rest::Above) => -1,
        (Rounding::Up, Rest::Below) => 1,
        _ => 0,
    };
    let value = Extended { sign_exponent: exponent, significand: significand.wrapping_add_signed(change) };
    cpu.x87.set_condition(status::C1, false);
    cpu.x87.push_if_room(|_| Some(value));
    Ok(())
}

fn load(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    if insn.op0_kind() == OpKind::Register {
        let n = index(insn.op0_register());
        cpu.x87.set_condition(status::C1, false);
        // Without a value, whether there is room for it is not asked.
        match cpu.x87.get(n) {
            Some(value) => cpu.x87.push_if_room(|_| Some(value)),
            None => {
                if let Some(indefinite) = cpu.x87.underflow() {
                    cpu.x87.push(indefinite);
                }
            }
        }
        return Ok(());
    }
    let mut env = cpu.x87_env().exact();
    let value = match insn.memory_size() {
        MemorySize::Float80 => Extended::from_bytes(load_ten(cpu, bus, insn)?),
        MemorySize::Float32 => {
            let bits = cpu.read_operand(bus, insn, 0, Width::B4)?;
            convert::<F32, F80>(&mut env, bits)
        }
        _ => {
            let bits = cpu.read_operand(bus, insn, 0, Width::B8)?;
            convert::<F64, F80>(&mut env, bits)
        }
    };
    cpu.x87.push_if_room(|x87| {
        x87.report(&env);
        // A denormal is loaded even if its exception is unmasked.
        (env.flags & env.unmasked & flag::INVALID == 0).then_some(value)
    });
    Ok(())
}

/// Ten bytes lie well on eight (SDM vol. 3A, table 6-7).
const TEN_ALIGNMENT: u64 = 8;

fn load_ten(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<[u8; 10], Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, 10, Intent::Read)?;
    cpu.check_alignment(lin, TEN_ALIGNMENT)?;
    let mut bytes = [0; 10];
    cpu.load_bytes_lin(bus, lin, &mut bytes, cpu.data_context())?;
    Ok(bytes)
}

fn store_ten(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, bytes: [u8; 10]) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, 10, Intent::Write)?;
    cpu.check_alignment(lin, TEN_ALIGNMENT)?;
    cpu.store_bytes_lin(bus, lin, &bytes, cpu.data_context())
}

fn store(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, pop: bool) -> Result<(), Fault> {
    if insn.op0_kind() == OpKind::Register {
        cpu.x87.set_condition(status::C1, false);
        let value = cpu.x87.get(0).or_else(|| cpu.x87.underflow());
        cpu.x87.put(index(insn.op0_register()), value, pop);
        return Ok(());
    }
    // Memory first: a page fault leaves the unit as it was.
    let mut after = cpu.x87;
    let mut env = cpu.x87_env();
    let value = match after.get(0) {
        Some(value) => Some(value),
        None => after.underflow(),
    };
    let Some(value) = value else { return store_nothing(cpu, bus, insn, after) };
    let is_empty = after.get(0).is_none();
    match insn.memory_size() {
        MemorySize::Float80 => {
            if !is_empty {
                after.set_condition(status::C1, false);
            }
            store_ten(cpu, bus, insn, value.to_bytes())?;
        }
        size => {
            let unpacked = F80::unpack(value);
            let (bits, width) = if size == MemorySize::Float32 {
                (narrow::<F32>(&mut env, &unpacked), Width::B4)
            } else {
                (narrow::<F64>(&mut env, &unpacked), Width::B8)
            };
            let lost = env.flags & env.unmasked & (flag::BEFORE | flag::OVERFLOW | flag::UNDERFLOW) != 0;
            if lost {
                // What is not stored is not inexact either.
                env.flags &= !flag::INEXACT;
            }
            if !is_empty {
                after.report(&env);
            }
            if lost {
                return store_nothing(cpu, bus, insn, after);
            }
            cpu.write_operand(bus, insn, 0, width, bits)?;
        }
    }
    if pop {
        after.pop();
    }
    cpu.x87 = after;
    Ok(())
}

/// An unmasked exception came before the store. Memory that can't be written faults all the same.
fn store_nothing(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, after: X87) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let len = insn.memory_size().size() as u64;
    let lin = cpu.linear(seg, at, len, Intent::Write)?;
    cpu.check_alignment(lin, len.min(TEN_ALIGNMENT))?;
    cpu.probe(bus, lin, len, Intent::Write, cpu.data_context())?;
    cpu.x87 = after;
    Ok(())
}

fn load_integer(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.x87_memory(bus, insn)?;
    let mut env = cpu.x87_env().exact();
    let value = narrow::<F80>(&mut env, &value);
    cpu.x87.push_if_room(|x87| x87.finish(&env, value));
    Ok(())
}

fn store_integer(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    rounding: Option<Rounding>,
    pop: bool,
) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let size = match width {
        Width::B1 | Width::B2 => IntWidth::I16,
        Width::B4 => IntWidth::I32,
        Width::B8 => IntWidth::I64,
    };
    let mut after = cpu.x87;
    let mut env = cpu.x87_env();
    let rounding = rounding.unwrap_or(env.rounding);
    let bits = match after.get(0) {
        Some(value) => {
            let bits = to_int::<F80>(&mut env, value, rounding, size);
            after.finish(&env, bits)
        }
        // What stands for no value does not fit an integer either.
        None => after.underflow().map(|none| to_int::<F80>(&mut env, none, rounding, size)),
    };
    let Some(bits) = bits else { return store_nothing(cpu, bus, insn, after) };
    cpu.write_operand(bus, insn, 0, width, bits)?;
    if pop {
        after.pop();
    }
    cpu.x87 = after;
    Ok(())
}

/// Eighteen decimal digits and a sign (SDM vol. 1, 4.7).
const DECIMAL_END: u64 = 1_000_000_000_000_000_000;
/// The decimal indefinite.
const DECIMAL_INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

fn load_decimal(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let bytes = load_ten(cpu, bus, insn)?;
    let magnitude = bytes[..9]
        .iter()
        .rev()
        .fold(0u64, |value, byte| value * 100 + u64::from(byte >> 4) * 10 + u64::from(byte & 15));
    let mut env = cpu.x87_env().exact();
    let mut value = from_int::<F80>(&mut env, magnitude as i64);
    value.sign_exponent |= u16::from(bytes[9] >> 7) << 15;
    cpu.x87.push_if_room(|x87| x87.finish(&env, value));
    Ok(())
}

fn store_decimal(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let mut after = cpu.x87;
    let mut env = cpu.x87_env();
    let bytes = match after.get(0) {
        Some(value) => {
            let bytes = decimal(&mut env, value);
            after.finish(&env, bytes)
        }
        None => after.underflow().map(|_| DECIMAL_INDEFINITE),
    };
    let Some(bytes) = bytes else { return store_nothing(cpu, bus, insn, after) };
    store_ten(cpu, bus, insn, bytes)?;
    after.pop();
    cpu.x87 = after;
    Ok(())
}

fn decimal(env: &mut Env, value: Extended) -> [u8; 10] {
    let rounding = env.rounding;
    let before = *env;
    let integer = to_int::<F80>(env, value, rounding, IntWidth::I64) as i64;
    if env.flags & flag::INVALID != 0 || integer.unsigned_abs() >= DECIMAL_END {
        *env = Env { flags: before.flags | flag::INVALID, ..before };
        return DECIMAL_INDEFINITE;
    }
    let mut left = integer.unsigned_abs();
    let mut bytes = [0; 10];
    for byte in &mut bytes[..9] {
        let pair = (left % 100) as u8;
        *byte = ((pair / 10) << 4) | (pair % 10);
        left /= 100;
    }
    bytes[9] = u8::from(value.sign()) << 7;
    bytes
}

/// An encoding of FSTP that the manual does not list: an empty register is no fault and is not stored.
fn store_unchecked(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    cpu.x87.set_condition(status::C1, false);
    if let Some(value) = cpu.x87.get(0) {
        cpu.x87.set(index(insn.op0_register()), value);
    }
    cpu.x87.pop();
    Ok(())
}

fn exchange(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Fault> {
    let n = index(insn.op1_register());
    cpu.x87.set_condition(status::C1, false);
    let (a, b) = (cpu.x87.get(0), cpu.x87.get(n));
    if a.is_none() || b.is_none() {
        if let Some(indefinite) = cpu.x87.underflow() {
            cpu.x87.set(0, b.unwrap_or(indefinite));
            cpu.x87.set(n, a.unwrap_or(indefinite));
        }
        return Ok(());
    }
    let (top, other) = (cpu.x87.physical(0), cpu.x87.physical(n));
    cpu.x87.registers.swap(top, other);
    Ok(())
}

fn turn(cpu: &mut Cpu, by: usize) -> Result<(), Fault> {
    cpu.x87.set_condition(status::C1, false);
    cpu.x87.set_top(cpu.x87.top() + by);
    Ok(())
}

fn free(cpu: &mut Cpu, insn: &Instruction, pop: bool) -> Result<(), Fault> {
    cpu.x87.free(index(insn.op0_register()));
    if pop {
        cpu.x87.set_condition(status::C1, false);
        cpu.x87.pop();
    }
    Ok(())
}

/// FCMOVcc, by the flag or flags that it looks at and what they must be.
fn conditional(mnemonic: Mnemonic) -> Option<Exec> {
    Some(match mnemonic {
        Mnemonic::Fcmovb => x87!(|cpu, _, insn| move_if(cpu, insn, Flags::cf)),
        Mnemonic::Fcmove => x87!(|cpu, _, insn| move_if(cpu, insn, Flags::zf)),
        Mnemonic::Fcmovbe => x87!(|cpu, _, insn| move_if(cpu, insn, |flags| flags.cf() || flags.zf())),
        Mnemonic::Fcmovu => x87!(|cpu, _, insn| move_if(cpu, insn, Flags::pf)),
        Mnemonic::Fcmovnb => x87!(|cpu, _, insn| move_if(cpu, insn, |flags| !flags.cf())),
        Mnemonic::Fcmovne => x87!(|cpu, _, insn| move_if(cpu, insn, |flags| !flags.zf())),
        Mnemonic::Fcmovnbe => x87!(|cpu, _, insn| move_if(cpu, insn, |flags| !flags.cf() && !flags.zf())),
        Mnemonic::Fcmovnu => x87!(|cpu, _, insn| move_if(cpu, insn, |flags| !flags.pf())),
        _ => return None,
    })
}

/// An empty register faults whether or not the condition holds.
fn move_if(cpu: &mut Cpu, insn: &Instruction, holds: fn(&Flags) -> bool) -> Result<(), Fault> {
    let result = match (cpu.x87.get(0), cpu.x87.get(index(insn.op1_register()))) {
        (Some(_), Some(other)) => holds(&cpu.flags).then_some(other),
        _ => cpu.x87.underflow(),
    };
    cpu.x87.put(0, result, false);
    Ok(())
}
