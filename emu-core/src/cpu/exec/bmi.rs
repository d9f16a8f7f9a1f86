//! BMI1, BMI2, LZCNT and ADX: bit fields, bit counts, shifts and products that leave flags alone, sums with two carries. SDM vol. 1,
//! 5.1.16; vol. 2.
//!
//! Flags that the manual leaves undefined: AF and PF are cleared, and all that a count does not define.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::{Flags, bit, sign_extend};
use crate::cpu::regs::RDX;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    fields(code).or_else(|| shifts(code)).or_else(|| sums(code))
}

fn fields(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Andn => |cpu, bus, insn| {
            let (width, b) = third(cpu, bus, insn)?;
            let result = !cpu.reg(insn.op1_register()) & b;
            set(cpu, insn, width, result, false)
        },
        Mnemonic::Blsi => |cpu, bus, insn| {
            let (width, value) = second(cpu, bus, insn)?;
            set(cpu, insn, width, value & value.wrapping_neg(), value != 0)
        },
        Mnemonic::Blsmsk => |cpu, bus, insn| {
            let (width, value) = second(cpu, bus, insn)?;
            set(cpu, insn, width, value ^ value.wrapping_sub(1), value == 0)
        },
        Mnemonic::Blsr => |cpu, bus, insn| {
            let (width, value) = second(cpu, bus, insn)?;
            set(cpu, insn, width, value & value.wrapping_sub(1), value == 0)
        },
        Mnemonic::Bextr => extract,
        Mnemonic::Bzhi => |cpu, bus, insn| {
            let (width, value) = second(cpu, bus, insn)?;
            let from = cpu.reg(insn.op2_register()) & 0xff;
            let beyond = from >= u64::from(width.bits());
            let result = if beyond { value } else { value & ((1 << from) - 1) };
            set(cpu, insn, width, result, beyond)
        },
        Mnemonic::Pdep => |cpu, bus, insn| {
            let (_, mask) = third(cpu, bus, insn)?;
            cpu.set_reg(insn.op0_register(), deposit(cpu.reg(insn.op1_register()), mask));
            Ok(())
        },
        Mnemonic::Pext => |cpu, bus, insn| {
            let (_, mask) = third(cpu, bus, insn)?;
            cpu.set_reg(insn.op0_register(), gather(cpu.reg(insn.op1_register()), mask));
            Ok(())
        },
        Mnemonic::Tzcnt => |cpu, bus, insn| count(cpu, bus, insn, |value, _| value.trailing_zeros()),
        Mnemonic::Lzcnt => {
            |cpu, bus, insn| count(cpu, bus, insn, |value, width| value.leading_zeros() + width.bits() - 64)
        }
        _ => return None,
    })
}

/// Width and value of the second operand, in modes that have VEX.
fn second(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(Width, u64), Fault> {
    super::system::protected_only(cpu)?;
    let width = operand_width(insn, 0);
    Ok((width, cpu.read_operand(bus, insn, 1, width)?))
}

/// The same of the third.
fn third(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(Width, u64), Fault> {
    super::system::protected_only(cpu)?;
    let width = operand_width(insn, 0);
    Ok((width, cpu.read_operand(bus, insn, 2, width)?))
}

/// Sets the destination, SF and ZF by it, and CF.
fn set(cpu: &mut Cpu, insn: &Instruction, width: Width, result: u64, cf: bool) -> Result<(), Fault> {
    let result = result & width.mask();
    cpu.set_reg(insn.op0_register(), result);
    let sf = if result >> (width.bits() - 1) != 0 { bit::SF } else { 0 };
    let zf = if result == 0 { bit::ZF } else { 0 };
    cpu.flags = Flags::from_bits(sf | zf | u64::from(cf));
    Ok(())
}

/// BEXTR: as many bits from where on as the two low bytes of the control say. SF is undefined and cleared.
fn extract(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (_, value) = second(cpu, bus, insn)?;
    let control = cpu.reg(insn.op2_register());
    let (start, len) = (control as u32 & 0xff, (control >> 8) as u32 & 0xff);
    let mask = if len > 63 { u64::MAX } else { (1 << len) - 1 };
    let result = value.checked_shr(start).unwrap_or(0) & mask;
    cpu.set_reg(insn.op0_register(), result);
    cpu.flags = Flags::from_bits(if result == 0 { bit::ZF } else { 0 });
    Ok(())
}

/// The low bits of `value` to the places that are set in `mask`.
fn deposit(value: u64, mask: u64) -> u64 {
    let places = (0..64).filter(|place| mask >> place & 1 != 0);
    places.enumerate().fold(0, |all, (n, place)| all | (value >> n & 1) << place)
}

/// The bits of `value` at the places that are set in `mask`, side by side.
fn gather(value: u64, mask: u64) -> u64 {
    let places = (0..64).filter(|place| mask >> place & 1 != 0);
    places.enumerate().fold(0, |all, (n, place)| all | (value >> place & 1) << n)
}

/// TZCNT and LZCNT: CF tells that there was no bit, ZF that the count is zero.
fn count(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    zeros: fn(u64, Width) -> u32,
) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let value = cpu.read_operand(bus, insn, 1, width)?;
    let count = zeros(value, width).min(width.bits());
    cpu.set_reg(insn.op0_register(), count.into());
    let cf = if value == 0 { bit::CF } else { 0 };
    let zf = if count == 0 { bit::ZF } else { 0 };
    cpu.flags = Flags::from_bits(cf | zf);
    Ok(())
}

fn shifts(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Shlx => |cpu, bus, insn| shift(cpu, bus, insn, |value, n, _| value << n),
        Mnemonic::Shrx => |cpu, bus, insn| shift(cpu, bus, insn, |value, n, _| value >> n),
        Mnemonic::Sarx => {
            |cpu, bus, insn| shift(cpu, bus, insn, |v, n, width| (sign_extend(v, width) as i64 >> n) as u64)
        }
        Mnemonic::Rorx => |cpu, bus, insn| {
            let (width, value) = second(cpu, bus, insn)?;
            let n = u32::from(insn.immediate8());
            let turned = if width == Width::B4 {
                u64::from((value as u32).rotate_right(n))
            } else {
                value.rotate_right(n)
            };
            cpu.set_reg(insn.op0_register(), turned);
            Ok(())
        },
        Mnemonic::Mulx => |cpu, bus, insn| {
            let (width, b) = third(cpu, bus, insn)?;
            let product = u128::from(cpu.gpr(RDX) & width.mask()) * u128::from(b);
            cpu.set_reg(insn.op1_register(), product as u64 & width.mask());
            cpu.set_reg(insn.op0_register(), (product >> width.bits()) as u64);
            Ok(())
        },
        _ => return None,
    })
}

fn shift(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    op: fn(u64, u32, Width) -> u64,
) -> Result<(), Fault> {
    let (width, value) = second(cpu, bus, insn)?;
    let count = cpu.reg(insn.op2_register()) as u32 & (width.bits() - 1);
    cpu.set_reg(insn.op0_register(), op(value, count, width) & width.mask());
    Ok(())
}

fn sums(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Adcx => |cpu, bus, insn| add(cpu, bus, insn, false),
        Mnemonic::Adox => |cpu, bus, insn| add(cpu, bus, insn, true),
        _ => return None,
    })
}

/// The carry comes from and goes to CF or OF; all other flags stay.
fn add(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, by_of: bool) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let b = cpu.read_operand(bus, insn, 1, width)?;
    let a = cpu.reg(insn.op0_register());
    let (cf, of) = (cpu.flags.cf(), cpu.flags.of());
    let sum = u128::from(a) + u128::from(b) + u128::from(if by_of { of } else { cf });
    let carry = sum >> width.bits() != 0;
    cpu.set_reg(insn.op0_register(), sum as u64 & width.mask());
    cpu.flags = if by_of { cpu.flags.with_cf_of(cf, carry) } else { cpu.flags.with_cf_of(carry, of) };
    Ok(())
}
