//! Every instruction that is not hot: one plain function each, by family, found by iced `Code`.
//!
//! A function gets the decoded instruction, computes, makes all accesses that can fault, and only then changes
//! registers and flags; a fault therefore leaves nothing half done. RIP already points behind the instruction in
//! `next_rip`; branches set that. A family is a file with a function from `Code` to [`Exec`], listed in [`FAMILIES`]; what
//! none claims is #UD.

mod aes;
mod avx_gather;
mod avx_move;
mod avx_permute;
mod bits;
mod bmi;
mod branch;
mod carryless;
mod exchange;
mod fma;
mod half;
mod io;
mod misc;
mod mmx;
mod muldiv;
mod operand;
mod random;
mod rotate;
mod sha;
mod sse3;
mod sse41_float;
mod sse41_int;
mod sse42;
mod sse_compare;
mod sse_convert;
mod sse_float;
mod sse_int;
mod sse_move;
mod sse_state;
mod stack;
mod string;
mod system;
mod vex;
mod x87;
mod x87_arithmetic;
mod x87_compare;
mod x87_control;
mod x87_move;
mod x87_transcendental;
mod xmm;
mod xsave;

pub(crate) use operand::{gpr_index, gpr_width, is_high_byte, operand_width};

use super::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction};

/// An instruction's implementation.
pub(crate) type Exec = fn(&mut Cpu, &mut dyn CpuBus, &Instruction) -> Result<(), Fault>;

/// Families, each a function from `Code` to what it implements.
const FAMILIES: [fn(Code) -> Option<Exec>; 37] = [
    aes::lookup,
    avx_gather::lookup,
    avx_move::lookup,
    avx_permute::lookup,
    bits::lookup,
    bmi::lookup,
    branch::lookup,
    carryless::lookup,
    exchange::lookup,
    fma::lookup,
    half::lookup,
    io::lookup,
    misc::lookup,
    mmx::lookup,
    muldiv::lookup,
    random::lookup,
    rotate::lookup,
    sha::lookup,
    sse3::lookup,
    sse41_float::lookup,
    sse41_int::lookup,
    sse42::lookup,
    sse_compare::lookup,
    sse_convert::lookup,
    sse_float::lookup,
    sse_int::lookup,
    sse_move::lookup,
    sse_state::lookup,
    stack::lookup,
    string::lookup,
    system::lookup,
    x87_arithmetic::lookup,
    x87_compare::lookup,
    x87_control::lookup,
    x87_move::lookup,
    x87_transcendental::lookup,
    xsave::lookup,
];

/// The implementation of `code`; `None` if there is none and it raises #UD.
pub(crate) fn lookup(code: Code) -> Option<Exec> {
    let code = vex::twin(code).unwrap_or(code);
    FAMILIES.iter().find_map(|family| family(code))
}

/// #UD.
pub(crate) fn undefined(_: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    Err(Fault::UNDEFINED)
}
