//! PCLMULQDQ: products without carries. SDM vol. 2B.

use super::Exec;
use super::xmm::{first, source};
use iced_x86::Code;

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Pclmulqdq_xmm_xmmm128_imm8 => |cpu, bus, insn| {
            cpu.check_vector(insn)?;
            let [b, _] = cpu.read_vector(bus, insn, source(insn))?;
            let a = cpu.xmm(first(insn));
            let half = |value: u128, chosen: bool| if chosen { (value >> 64) as u64 } else { value as u64 };
            let immediate = insn.immediate8();
            let product = product(half(a, immediate & 1 != 0), half(b, immediate & 0x10 != 0));
            cpu.set_result(insn, [product, 0]);
            Ok(())
        },
        _ => return None,
    })
}

/// The sum of shifted copies of `a`, one for each bit of `b`, as polynomials over two elements.
fn product(a: u64, b: u64) -> u128 {
    (0..64).filter(|bit| b >> bit & 1 != 0).fold(0, |sum, bit| sum ^ u128::from(a) << bit)
}
