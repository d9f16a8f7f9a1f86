//! Hot instructions, written once over a [`Builder`]: the interpreter's fast path, its slow path and the compiled tier are
//! different builders of the same semantics.
//!
//! An instruction here is a type that implements [`Sem`]. It reads its operands from an [`Op`], makes its one access
//! that can fault before it changes anything, and says where control goes.

pub(crate) mod alu;
pub(crate) mod branch;
mod fast;
pub(crate) mod moves;
pub(crate) mod shift;
mod slow;
pub(crate) mod vector;
pub(crate) mod width;

pub(crate) use fast::Fast;
pub(crate) use slow::{SlowFn, run_slow};

use super::engine::Op;
use super::flags::Condition;
use crate::access::Width;

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow<V> {
    /// To the next one.
    Next,
    /// To the branch's target, `Op::imm` from the code page.
    Taken,
    /// Past the branch, `Op::aux` from the code page.
    NotTaken,
    /// To a computed RIP.
    To(V),
}

/// Shifts and rotations by a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    Left,
    Right,
    Arithmetic,
    RotateLeft,
    RotateRight,
}

/// The primitives that hot instructions are made of. Values are 64 bits wide and, unless said otherwise, zero-extended
/// from their width.
pub(crate) trait Builder {
    /// A value.
    type V: Copy;
    /// A truth value.
    type C: Copy;
    /// Why an access did not happen.
    type Stop;

    /// A constant.
    fn imm(&mut self, value: u64) -> Self::V;
    /// A general register; bytes are numbered as in [`Op::dst`].
    fn reg(&mut self, slot: u8, width: Width) -> Self::V;
    /// Sets a general register by the rules for partial registers.
    fn set_reg(&mut self, slot: u8, width: Width, value: Self::V);
    /// The effective address of the memory operand, without its segment, not cut to the address size.
    fn offset(&mut self, op: &Op) -> Self::V;
    /// Loads the memory operand.
    fn load(&mut self, op: &Op, width: Width) -> Result<Self::V, Self::Stop>;
    /// Stores to the memory operand.
    fn store(&mut self, op: &Op, width: Width, value: Self::V) -> Result<(), Self::Stop>;
    /// Replaces the memory operand by what `change` makes of it. `change` runs only if the store can't fail any more.
    fn update(
        &mut self,
        op: &Op,
        width: Width,
        change: impl FnOnce(&mut Self, Self::V) -> Self::V,
    ) -> Result<(), Self::Stop>;
    /// Pushes.
    fn push(&mut self, width: Width, value: Self::V) -> Result<(), Self::Stop>;
    /// Pops.
    fn pop(&mut self, width: Width) -> Result<Self::V, Self::Stop>;
    /// The quadword on top of the stack, left there.
    fn top(&mut self) -> Result<Self::V, Self::Stop>;
    /// Refuses a branch target that is not canonical, before the branch has changed anything.
    fn target(&mut self, rip: Self::V) -> Result<(), Self::Stop>;
    /// Moves the stack pointer up.
    fn release(&mut self, bytes: u64);

    /// Sum, not cut.
    fn add(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Difference, not cut.
    fn sub(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise and.
    fn and(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise or.
    fn or(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise exclusive or.
    fn xor(&mut self, a: Self::V, b: Self::V) -> Self::V;
    /// Zero-extends from `width`.
    fn cut(&mut self, value: Self::V, width: Width) -> Self::V;
    /// Sign-extends from `width` to 64 bits.
    fn sext(&mut self, value: Self::V, width: Width) -> Self::V;
    /// All ones if bit 63 is set, else zero.
    fn sign(&mut self, value: Self::V) -> Self::V;
    /// CF as 0 or 1.
    fn carry(&mut self) -> Self::V;
    /// One of the sixteen conditions.
    fn condition(&mut self, condition: Condition) -> Self::C;
    /// The one or the other.
    fn select(&mut self, condition: Self::C, yes: Self::V, no: Self::V) -> Self::V;
    /// Where a conditional branch goes.
    fn choose(&mut self, taken: Self::C) -> Flow<Self::V>;

    /// Flags of a sum.
    fn flags_add(&mut self, width: Width, a: Self::V, b: Self::V, result: Self::V);
    /// Flags of a difference.
    fn flags_sub(&mut self, width: Width, a: Self::V, b: Self::V, result: Self::V);
    /// Flags of a bitwise operation.
    fn flags_logic(&mut self, width: Width, result: Self::V);
    /// Flags of a sum, CF left alone.
    fn flags_inc(&mut self, width: Width, a: Self::V, result: Self::V);
    /// Flags of a difference, CF left alone.
    fn flags_dec(&mut self, width: Width, a: Self::V, result: Self::V);
    /// Shifts and sets flags; by zero it leaves them alone. `count` is already masked to 5 or 6 bits.
    fn shift(&mut self, kind: Shift, width: Width, value: Self::V, count: Self::V) -> Self::V;
    /// Signed product, cut to `width`, with its flags.
    fn multiply(&mut self, width: Width, a: Self::V, b: Self::V) -> Self::V;
    /// RIP at the start of the code page plus a constant.
    fn rip(&mut self, page_offset: u64) -> Self::V;
}

/// A hot instruction.
pub(crate) trait Sem {
    /// Does it.
    fn run<B: Builder>(b: &mut B, op: &Op) -> Result<Flow<B::V>, B::Stop>;
}
