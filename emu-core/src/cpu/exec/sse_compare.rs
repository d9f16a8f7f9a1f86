//! SSE and SSE2 floating-point comparisons: masks (CMPccPS and relatives) and flags (COMISS and relatives). SDM vol. 2.

use super::Exec;
use super::sse_float::{low, packed, scalar};
use super::xmm::is_vex;
use crate::cpu::flags::{Flags, bit};
use crate::cpu::softfloat::{Env, F32, F64, Format, Relation, compare};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Cmpps_xmm_xmmm128_imm8 => |cpu, bus, insn| packed::<4>(cpu, bus, insn, mask::<F32>(insn)),
        Code::Cmppd_xmm_xmmm128_imm8 => |cpu, bus, insn| packed::<8>(cpu, bus, insn, mask::<F64>(insn)),
        Code::Cmpss_xmm_xmmm32_imm8 => |cpu, bus, insn| scalar::<4>(cpu, bus, insn, mask::<F32>(insn)),
        Code::Cmpsd_xmm_xmmm64_imm8 => |cpu, bus, insn| scalar::<8>(cpu, bus, insn, mask::<F64>(insn)),
        Code::Comiss_xmm_xmmm32 => |cpu, bus, insn| to_flags::<F32, 4>(cpu, bus, insn, true),
        Code::Comisd_xmm_xmmm64 => |cpu, bus, insn| to_flags::<F64, 8>(cpu, bus, insn, true),
        Code::Ucomiss_xmm_xmmm32 => |cpu, bus, insn| to_flags::<F32, 4>(cpu, bus, insn, false),
        Code::Ucomisd_xmm_xmmm64 => |cpu, bus, insn| to_flags::<F64, 8>(cpu, bus, insn, false),
        _ => return None,
    })
}

/// The lane operation of CMPccPS and relatives: all ones where the predicate holds (SDM vol. 2A, table 3-1).
fn mask<F: Format<Bits = u64>>(insn: &Instruction) -> impl Fn(&mut Env, u64, u64) -> u64 {
    let predicate = insn.immediate8() & if is_vex(insn) { 0x1f } else { 7 };
    // Those about less and greater take no NaN quietly; bit 4 is for the other way.
    let signals = matches!(predicate & 3, 1 | 2) != (predicate & 0x10 != 0);
    let (opposite, moves_unordered) = (predicate & 4 != 0, predicate & 8 != 0);
    move |env, a, b| {
        let relation = compare::<F>(env, a, b, signals);
        let unordered = relation == Relation::Unordered;
        let holds = match predicate & 3 {
            0 => relation == Relation::Equal,
            1 => relation == Relation::Less,
            2 => matches!(relation, Relation::Less | Relation::Equal),
            _ => unordered,
        };
        if holds ^ (unordered && moves_unordered) ^ opposite { u64::MAX } else { 0 }
    }
}

/// ZF, PF and CF tell the relation; OF, AF and SF are cleared.
fn to_flags<F: Format<Bits = u64>, const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    signals: bool,
) -> Result<(), Fault> {
    cpu.check_vector(insn)?;
    let source = low::<BYTES>(cpu.read_unaligned(bus, insn, 1)?[0]);
    let dest = low::<BYTES>(cpu.xmm(insn.op0_register()));
    let relation = cpu.with_float(|env| compare::<F>(env, dest, source, signals))?;
    cpu.flags = Flags::from_bits(match relation {
        Relation::Less => bit::CF,
        Relation::Equal => bit::ZF,
        Relation::Greater => 0,
        Relation::Unordered => bit::ZF | bit::PF | bit::CF,
    });
    Ok(())
}
