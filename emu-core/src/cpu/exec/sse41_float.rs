//! SSE4.1 on floating-point numbers: rounding to integers, dot products. SDM vol. 2.

use super::Exec;
use super::sse_float::{packed, scalar};
use super::xmm::{by_halves, first, is_wide, join, lanes, source};
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
    cpu.check_vector(insn)?;
    let b = cpu.read_vector(bus, insn, source(insn))?;
    let a = cpu.halves(first(insn));
    let immediate = insn.immediate8();
    let count = 16 / BYTES;
    let halves = if is_wide(insn) { 2 } else { 1 };
    let mut sums = [[0; 4]; 2];
    cpu.with_float(|env| {
        for (half, products) in sums.iter_mut().enumerate().take(halves) {
            let both = lanes::<BYTES>(a[half]).zip(lanes::<BYTES>(b[half]));
            for (lane, (product, (a, b))) in products.iter_mut().zip(both).enumerate() {
                if immediate >> (4 + lane) & 1 != 0 {
                    *product = mul::<F>(env, a, b);
                }
            }
        }
    })?;
    let mut left = count;
    while left > 1 {
        left /= 2;
        cpu.with_float(|env| {
            for terms in sums.iter_mut().take(halves) {
                for at in 0..left {
                    terms[at] = add::<F>(env, terms[2 * at], terms[2 * at + 1]);
                }
            }
        })?;
    }
    let chosen = |half: usize, lane: usize| if immediate >> lane & 1 != 0 { sums[half][0] } else { 0 };
    let result = by_halves(insn, |half| join::<BYTES>((0..count).map(|lane| chosen(half, lane))));
    cpu.set_result(insn, result);
    Ok(())
}
