//! F16C: conversions between singles and halves. SDM vol. 1, 14.4; vol. 2.

use super::Exec;
use super::xmm::{by_halves, is_wide, join, lanes};
use crate::cpu::softfloat::{Env, F16, F32, Rounding, convert, flag};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, EncodingKind, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if code.encoding() != EncodingKind::VEX {
        return None;
    }
    Some(match code.mnemonic() {
        Mnemonic::Vcvtph2ps => to_singles,
        Mnemonic::Vcvtps2ph => to_halves,
        _ => return None,
    })
}

/// Denormal halves are ordinary numbers: every one is a normal single.
fn to_singles(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let [source, _] = cpu.read_unaligned(bus, insn, 1)?;
    let result = cpu.with_float(|env| {
        let mut own = Env { denormals_are_zeros: false, ..*env };
        let result = by_halves(insn, |half| {
            let four = lanes::<2>(source).skip(4 * half).take(4);
            join::<4>(four.map(|lane| convert::<F16, F32>(&mut own, lane)))
        });
        env.flags |= own.flags & !flag::DENORMAL;
        result
    })?;
    cpu.set_result(insn, result);
    Ok(())
}

/// Rounds as the immediate says: bits 1:0 are the direction unless bit 2 leaves it to MXCSR. Tiny results are never flushed.
fn to_halves(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let source = cpu.halves(insn.op1_register());
    let immediate = insn.immediate8();
    let count = if is_wide(insn) { 8 } else { 4 };
    if insn.op0_kind() == OpKind::Memory {
        // What the store would raise comes before what the numbers do.
        cpu.probe_vector_store(bus, insn, 2 * count)?;
    }
    let result = cpu.with_float(|env| {
        let mut own = Env { flush_to_zero: false, ..*env };
        if immediate & 4 == 0 {
            own.rounding = Rounding::from_bits(immediate.into());
        }
        let singles = lanes::<4>(source[0]).chain(lanes::<4>(source[1])).take(count);
        let result = join::<2>(singles.map(|lane| convert::<F32, F16>(&mut own, lane)));
        env.flags |= own.flags;
        result
    })?;
    if insn.op0_kind() == OpKind::Memory {
        return cpu.store_vector(bus, insn, 2 * count, [result, 0]);
    }
    cpu.set_result(insn, [result, 0]);
    Ok(())
}
