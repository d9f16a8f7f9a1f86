//! SSE4.1 on floating-point numbers: rounding to integers, dot products. SDM vol. 2.

use super::Exec;
use super::sse_float::{packed, scalar};
use super::xmm::{join, lanes};
use crate::cpu::softfloat::{Env, F32, F64, Format, Rounding, add, flag, mul, round_to_integer};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Roundps_xmm_xmmm128_imm8 => |cpu, bus, insn| packed::<4>(cpu, bus, insn, rounded::<F32>(insn)),
        Code::Roundpd_xmm_xmmm128_imm8 => |cpu, bus, insn| packed::<8>(cpu, bus, insn, rounded::<F64>(insn)),
        Code::Roundss_xmm_xmmm32_imm8 => |cpu, bus, insn| scalar::<4>(cpu, bus, insn, rounded::<F32>(insn)),
        Code::Roundsd_xmm_xmmm64_imm8 => |cpu, bus, insn| scalar::<8>(cpu, bus, insn, rounded::<F64>(insn)),
        Code::Dpps_xmm_xmmm128_imm8 => |cpu, bus, insn| dot_product::<F32, 4>(cpu, bus, insn),
        Code::Dppd_xmm_xmmm128_imm8 => |cpu, bus, insn| dot_product::<F64, 8>(cpu, bus, insn),
        _ => return None,
    })
}

/// Rounds as the immediate says: bits 1:0 are the direction unless bit 2 leaves it to MXCSR; bit 3 keeps quiet about what
/// was not exact (SDM vol. 2B, table 4-18). Denormals are not reported.
fn rounded<F: Format<Bits = u64>>(insn: &Instruction) -> impl Fn(&mut Env, u64, u64) -> u64 {
    let immediate = insn.immediate8();
    move |env, _, b| {
        let mut own = Env { flags: 0, ..*env };
        if immediate & 4 == 0 {
            own.rounding = Rounding::from_bits(immediate.into());
        }
        let result = round_to_integer::<F>(&mut own, b);
        let silent = flag::DENORMAL | if immediate & 8 != 0 { flag::INEXACT } else { 0 };
        env.flags |= own.flags & !silent;
        result
    }
}

/// Products of the lanes that bits 7:4 of the immediate name, summed in pairs, to the lanes that bits 3:0 name. Products
/// raise their exceptions before sums are made.
fn dot_product<F: Format<Bits = u64>, const BYTES: usize>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
) -> Result<(), Fault> {
    cpu.check_sse()?;
    let source = cpu.read_xmm(bus, insn, 1)?;
    let dest = insn.op0_register();
    let old = cpu.xmm(dest);
    let immediate = insn.immediate8();
    let count = 16 / BYTES;
    let mut products = [0; 4];
    cpu.with_float(|env| {
        let both = lanes::<BYTES>(old).zip(lanes::<BYTES>(source));
        for (lane, (product, (a, b))) in products.iter_mut().zip(both).enumerate() {
            if immediate >> (4 + lane) & 1 != 0 {
                *product = mul::<F>(env, a, b);
            }
        }
    })?;
    let halves = if count == 4 {
        cpu.with_float(|env| {
            [add::<F>(env, products[0], products[1]), add::<F>(env, products[2], products[3])]
        })?
    } else {
        [products[0], products[1]]
    };
    let sum = cpu.with_float(|env| add::<F>(env, halves[0], halves[1]))?;
    let result = join::<BYTES>((0..count).map(|lane| if immediate >> lane & 1 != 0 { sum } else { 0 }));
    cpu.set_xmm(dest, result);
    Ok(())
}
