//! Single bits and their counts: BT and kin, BSF, BSR, POPCNT, BSWAP, MOVBE. SDM vol. 2.

use super::{Exec, operand_width};
use crate::access::Width;
use crate::cpu::flags::{Flags, bit, sign_extend};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Bt => |cpu, bus, insn| bit_test(cpu, bus, insn, None),
        Mnemonic::Bts => |cpu, bus, insn| bit_test(cpu, bus, insn, Some(|value, mask| value | mask)),
        Mnemonic::Btr => |cpu, bus, insn| bit_test(cpu, bus, insn, Some(|value, mask| value & !mask)),
        Mnemonic::Btc => |cpu, bus, insn| bit_test(cpu, bus, insn, Some(|value, mask| value ^ mask)),
        Mnemonic::Bsf => |cpu, bus, insn| scan(cpu, bus, insn, u64::trailing_zeros),
        Mnemonic::Bsr => |cpu, bus, insn| scan(cpu, bus, insn, |value| 63 - value.leading_zeros()),
        Mnemonic::Popcnt => popcnt,
        Mnemonic::Bswap => bswap,
        Mnemonic::Movbe => movbe,
        _ => return None,
    })
}

/// What becomes of the operand and the mask of the bit.
type Change = fn(u64, u64) -> u64;

fn bit_test(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    change: Option<Change>,
) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let index = cpu.read_operand(bus, insn, 1, operand_width_of_index(insn, width))?;
    let mask = 1 << (index & u64::from(width.bits() - 1));
    let in_memory = insn.op0_kind() == OpKind::Memory;
    let (seg, mut at) = if in_memory { cpu.memory_operand(insn) } else { (crate::cpu::regs::Seg::Ds, 0) };
    if in_memory && insn.op1_kind() == OpKind::Register {
        // A register's index is signed and reaches beyond the operand.
        let units = sign_extend(index, width) as i64 >> width.bits().trailing_zeros();
        at = cpu.cut_address(insn, at.wrapping_add((units as u64).wrapping_mul(width.bytes())));
    }
    let value = match (in_memory, change.is_some()) {
        (false, _) => cpu.read_operand(bus, insn, 0, width)?,
        (true, false) => cpu.load(bus, seg, at, width)?,
        (true, true) => cpu.load_for_update(bus, seg, at, width)?,
    };
    if let Some(change) = change {
        let changed = change(value, mask);
        if in_memory {
            cpu.store(bus, seg, at, width, changed)?;
        } else {
            cpu.set_reg(insn.op0_register(), changed);
        }
    }
    // OF, SF, AF and PF are undefined, ZF is not: all stay.
    cpu.flags = cpu.flags.with_cf_of(value & mask != 0, cpu.flags.of());
    Ok(())
}

fn operand_width_of_index(insn: &Instruction, width: Width) -> Width {
    if insn.op1_kind() == OpKind::Register { width } else { Width::B1 }
}

fn scan(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, find: fn(u64) -> u32) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let value = cpu.read_operand(bus, insn, 1, width)?;
    if value != 0 {
        cpu.set_reg(insn.op0_register(), u64::from(find(value)));
    }
    // A zero source leaves the destination alone, whatever its width. All flags but ZF are undefined and stay.
    let flags = cpu.flags.bits() & !bit::ZF | if value == 0 { bit::ZF } else { 0 };
    cpu.flags = Flags::from_bits(flags);
    Ok(())
}

fn popcnt(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let value = cpu.read_operand(bus, insn, 1, operand_width(insn, 0))?;
    cpu.set_reg(insn.op0_register(), u64::from(value.count_ones()));
    cpu.flags = Flags::from_bits(if value == 0 { bit::ZF } else { 0 });
    Ok(())
}

fn bswap(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let register = insn.op0_register();
    let value = cpu.reg(register);
    let swapped = match operand_width(insn, 0) {
        Width::B8 => value.swap_bytes(),
        Width::B4 => u64::from((value as u32).swap_bytes()),
        // Undefined; processors clear the register.
        Width::B1 | Width::B2 => 0,
    };
    cpu.set_reg(register, swapped);
    Ok(())
}

fn movbe(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = operand_width(insn, 0);
    let value = cpu.read_operand(bus, insn, 1, width)?;
    cpu.write_operand(bus, insn, 0, width, value.swap_bytes() >> (64 - width.bits()))
}
