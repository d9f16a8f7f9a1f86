//! Floating point in integers: the same bits and flags on every host, by the rules of x86.
//!
//! Every operation unpacks its operands to sign, exponent and a 64-bit significand, computes exactly (or with a sticky
//! bit), and rounds once. The format is a type parameter; 64 bits hold the significand of the widest one. What depends
//! on control bits, and what an operation reports, goes through [`Env`].
//!
//! Manual: Intel SDM vol. 1, 4.8 (formats, NaNs), 4.9 (exceptions), 10.2.3 (MXCSR), 11.5 (SIMD exceptions).

mod add;
mod approximate;
mod compare;
mod convert;
mod divide;
mod env;
mod format;
mod multiply;
mod nan;
mod round;
mod sqrt;
#[cfg(test)]
mod tests;

pub use add::{add, sub};
pub use approximate::{reciprocal, reciprocal_sqrt};
pub use compare::{Relation, compare, max, min};
pub use convert::{IntWidth, convert, from_int, to_int};
pub use divide::div;
pub use env::{Env, Rounding, flag};
pub use format::{F32, F64, Format, Ieee, Kind, Unpacked};
pub use multiply::mul;
pub use sqrt::sqrt;
