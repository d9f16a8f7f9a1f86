//! Which vector instructions have a fast form, by code and by where their source is.

use super::block::Handler;
use super::{dispatch, jit};
use crate::cpu::sem::vector::{
    Add, Aligned, And, AndNot, Arithmetic, Bitwise, Div, Load, Logic, Memory, Merge, Mul, Or, Packed,
    Register, Scalar, Sqrt, Store, Sub, Vector, Xor,
};
use iced_x86::{Code, Instruction, OpKind};

/// The instances of a hot vector instruction.
#[derive(Clone, Copy)]
pub(super) struct Hot {
    pub(super) handler: Handler,
    /// What compiled code calls.
    pub(super) quick: jit::Quick,
}

fn hot<V: Vector>() -> Hot {
    Hot { handler: dispatch::vector::<V>, quick: jit::quick::<V> }
}

/// The fast form of a legacy SSE instruction.
pub(super) fn fast_form(insn: &Instruction) -> Option<Hot> {
    moves(insn).or_else(|| logic(insn)).or_else(|| arithmetic(insn))
}

fn in_memory(insn: &Instruction) -> bool {
    insn.op_kinds().any(|kind| kind == OpKind::Memory)
}

fn moves(insn: &Instruction) -> Option<Hot> {
    let memory = in_memory(insn);
    Some(match insn.code() {
        Code::Movaps_xmm_xmmm128 | Code::Movapd_xmm_xmmm128 | Code::Movdqa_xmm_xmmm128 if memory => {
            hot::<Load<16, Aligned>>()
        }
        Code::Movups_xmm_xmmm128 | Code::Movupd_xmm_xmmm128 | Code::Movdqu_xmm_xmmm128 if memory => {
            hot::<Load<16, Memory>>()
        }
        Code::Movaps_xmmm128_xmm | Code::Movapd_xmmm128_xmm | Code::Movdqa_xmmm128_xmm if memory => {
            hot::<Store<16, true>>()
        }
        Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm | Code::Movdqu_xmmm128_xmm if memory => {
            hot::<Store<16, false>>()
        }
        Code::Movaps_xmm_xmmm128
        | Code::Movapd_xmm_xmmm128
        | Code::Movdqa_xmm_xmmm128
        | Code::Movups_xmm_xmmm128
        | Code::Movupd_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128 => hot::<Load<16, Register>>(),
        Code::Movss_xmm_xmmm32 if memory => hot::<Load<4, Memory>>(),
        Code::Movss_xmm_xmmm32 => hot::<Merge<4>>(),
        Code::Movsd_xmm_xmmm64 | Code::Movq_xmm_xmmm64 if memory => hot::<Load<8, Memory>>(),
        Code::Movsd_xmm_xmmm64 => hot::<Merge<8>>(),
        Code::Movq_xmm_xmmm64 => hot::<Load<8, Register>>(),
        Code::Movss_xmmm32_xmm if memory => hot::<Store<4, false>>(),
        Code::Movsd_xmmm64_xmm | Code::Movq_xmmm64_xmm if memory => hot::<Store<8, false>>(),
        _ => return None,
    })
}

fn logic(insn: &Instruction) -> Option<Hot> {
    fn pick<O: Bitwise>(memory: bool) -> Hot {
        if memory { hot::<Logic<O, Aligned>>() } else { hot::<Logic<O, Register>>() }
    }
    let memory = in_memory(insn);
    Some(match insn.code() {
        Code::Pxor_xmm_xmmm128 | Code::Xorps_xmm_xmmm128 | Code::Xorpd_xmm_xmmm128 => pick::<Xor>(memory),
        Code::Pand_xmm_xmmm128 | Code::Andps_xmm_xmmm128 | Code::Andpd_xmm_xmmm128 => pick::<And>(memory),
        Code::Pandn_xmm_xmmm128 | Code::Andnps_xmm_xmmm128 | Code::Andnpd_xmm_xmmm128 => {
            pick::<AndNot>(memory)
        }
        Code::Por_xmm_xmmm128 | Code::Orps_xmm_xmmm128 | Code::Orpd_xmm_xmmm128 => pick::<Or>(memory),
        _ => return None,
    })
}

fn arithmetic(insn: &Instruction) -> Option<Hot> {
    fn scalar<O: Arithmetic, const BYTES: usize>(memory: bool) -> Hot {
        if memory { hot::<Scalar<O, BYTES, Memory>>() } else { hot::<Scalar<O, BYTES, Register>>() }
    }
    fn packed<O: Arithmetic, const BYTES: usize>(memory: bool) -> Hot {
        if memory { hot::<Packed<O, BYTES, Aligned>>() } else { hot::<Packed<O, BYTES, Register>>() }
    }
    let memory = in_memory(insn);
    Some(match insn.code() {
        Code::Addss_xmm_xmmm32 => scalar::<Add, 4>(memory),
        Code::Addsd_xmm_xmmm64 => scalar::<Add, 8>(memory),
        Code::Subss_xmm_xmmm32 => scalar::<Sub, 4>(memory),
        Code::Subsd_xmm_xmmm64 => scalar::<Sub, 8>(memory),
        Code::Mulss_xmm_xmmm32 => scalar::<Mul, 4>(memory),
        Code::Mulsd_xmm_xmmm64 => scalar::<Mul, 8>(memory),
        Code::Divss_xmm_xmmm32 => scalar::<Div, 4>(memory),
        Code::Divsd_xmm_xmmm64 => scalar::<Div, 8>(memory),
        Code::Sqrtss_xmm_xmmm32 => scalar::<Sqrt, 4>(memory),
        Code::Sqrtsd_xmm_xmmm64 => scalar::<Sqrt, 8>(memory),
        Code::Addps_xmm_xmmm128 => packed::<Add, 4>(memory),
        Code::Addpd_xmm_xmmm128 => packed::<Add, 8>(memory),
        Code::Subps_xmm_xmmm128 => packed::<Sub, 4>(memory),
        Code::Subpd_xmm_xmmm128 => packed::<Sub, 8>(memory),
        Code::Mulps_xmm_xmmm128 => packed::<Mul, 4>(memory),
        Code::Mulpd_xmm_xmmm128 => packed::<Mul, 8>(memory),
        Code::Divps_xmm_xmmm128 => packed::<Div, 4>(memory),
        Code::Divpd_xmm_xmmm128 => packed::<Div, 8>(memory),
        Code::Sqrtps_xmm_xmmm128 => packed::<Sqrt, 4>(memory),
        Code::Sqrtpd_xmm_xmmm128 => packed::<Sqrt, 8>(memory),
        _ => return None,
    })
}
