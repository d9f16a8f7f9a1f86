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
mod extended;
mod format;
mod fused;
mod integral;
mod multiply;
mod nan;
mod native;
mod remainder;
mod round;
mod sqrt;
#[cfg(test)]
mod tests;
mod transcendental;
mod wide;

pub use add::{add, sub, sum_values};
pub use approximate::{reciprocal, reciprocal_sqrt};
pub use compare::{Relation, compare, max, min, relate};
pub use convert::{IntWidth, convert, from_int, narrow, to_int};
pub use divide::{div, div_values};
pub use env::{Env, NanChoice, Rounding, flag};
pub use extended::{Extended, F80};
pub use format::{F16, F32, F64, Format, Ieee, Kind, Unpacked};
pub use fused::{Signs, fused_multiply_add};
pub use integral::{extract, round_to_integer, scale};
pub use multiply::{mul, mul_values};
pub use native::Operation;
pub use remainder::{Quotient, Reduction, Remainder, remainder};
pub use sqrt::sqrt;
pub use transcendental::{Angle, Wanted, atan2, exp2_minus_1, trigonometric, y_log2, y_log2_plus_1};
