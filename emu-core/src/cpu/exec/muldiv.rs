//! MUL, DIV and the one-operand forms of IMUL and IDIV. SDM vol. 2.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::{Flags, sign_extend};
use crate::cpu::regs::{RAX, RDX};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    let one_operand = code.op_code().op_count() == 1;
    Some(match code.mnemonic() {
        Mnemonic::Mul => mul,
        Mnemonic::Imul if one_operand => imul,
        Mnemonic::Div => div,
        Mnemonic::Idiv => idiv,
        _ => return None,
    })
}

/// The double-width product goes to AX or rDX:rAX.
fn set_product(cpu: &mut Cpu, width: Width, product: u128, lost: bool) {
    let low = product as u64 & width.mask();
    if width == Width::B1 {
        cpu.set_gpr_part(RAX, Width::B2, product as u64 & 0xffff);
    } else {
        cpu.set_gpr_part(RAX, width, low);
        cpu.set_gpr_part(RDX, width, (product >> width.bits()) as u64 & width.mask());
    }
    // ZF, SF and PF are undefined; they follow the low half.
    cpu.flags = Flags::result_with(width, low, lost, lost);
}

fn mul(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let factor = cpu.read_operand(bus, insn, 0, width)?;
    let product = u128::from(cpu.gpr(RAX) & width.mask()) * u128::from(factor);
    set_product(cpu, width, product, product >> width.bits() != 0);
    Ok(())
}

fn imul(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let factor = cpu.read_operand(bus, insn, 0, width)?;
    let signed = |value: u64| i128::from(sign_extend(value & width.mask(), width) as i64);
    let product = signed(cpu.gpr(RAX)) * signed(factor);
    let lost = signed(product as u64) != product;
    set_product(cpu, width, product as u128, lost);
    Ok(())
}

/// The dividend: AX, or rDX:rAX.
fn dividend(cpu: &Cpu, width: Width) -> u128 {
    if width == Width::B1 {
        return u128::from(cpu.gpr(RAX) & 0xffff);
    }
    let half = |register| u128::from(cpu.gpr(register) & width.mask());
    half(RDX) << width.bits() | half(RAX)
}

fn set_quotient(cpu: &mut Cpu, width: Width, quotient: u64, remainder: u64) {
    if width == Width::B1 {
        cpu.set_gpr_part(RAX, Width::B2, quotient & 0xff | (remainder & 0xff) << 8);
    } else {
        cpu.set_gpr_part(RAX, width, quotient & width.mask());
        cpu.set_gpr_part(RDX, width, remainder & width.mask());
    }
}

fn div(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let divisor = u128::from(cpu.read_operand(bus, insn, 0, width)?);
    let dividend = dividend(cpu, width);
    let quotient = dividend.checked_div(divisor).ok_or(Fault::DIVIDE)?;
    if quotient > u128::from(width.mask()) {
        return Err(Fault::DIVIDE);
    }
    set_quotient(cpu, width, quotient as u64, (dividend % divisor) as u64);
    Ok(())
}

fn idiv(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let divisor = sign_extend(cpu.read_operand(bus, insn, 0, width)?, width) as i64;
    let unused = 128 - 2 * width.bits();
    let dividend = (dividend(cpu, width) << unused) as i128 >> unused;
    let quotient = dividend.checked_div(i128::from(divisor)).ok_or(Fault::DIVIDE)?;
    if i128::from(sign_extend(quotient as u64 & width.mask(), width) as i64) != quotient {
        return Err(Fault::DIVIDE);
    }
    set_quotient(cpu, width, quotient as u64, (dividend % i128::from(divisor)) as u64);
    Ok(())
}
