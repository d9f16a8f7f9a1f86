//! The arithmetic flags in compiled code: the three words of [`Flags`](crate::cpu::flags::Flags), computed only where somebody looks, and
//! conditions taken from the operands where these are known.

use crate::access::Width;
use crate::cpu::flags::Condition;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;

/// What is known of how the words came about.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    /// Nothing.
    Any,
    /// The result says it all about SF, ZF and PF.
    Computed,
    /// A difference of two values without a borrow into it.
    Difference(Width, Value, Value),
    /// CF and OF are clear.
    Logic,
}

/// The three words.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) result: Value,
    pub(super) carries: Value,
    pub(super) adjust: Value,
    pub(super) origin: Origin,
}

/// A value as one of `width`.
pub(super) fn narrow(f: &mut FunctionBuilder<'_>, value: Value, width: Width) -> Value {
    match width {
        Width::B1 => f.ins().ireduce(types::I8, value),
        Width::B2 => f.ins().ireduce(types::I16, value),
        Width::B4 => f.ins().ireduce(types::I32, value),
        Width::B8 => value,
    }
}

/// Sign-extended to 64 bits.
pub(super) fn sign_extend(f: &mut FunctionBuilder<'_>, value: Value, width: Width) -> Value {
    if width == Width::B8 {
        return value;
    }
    let narrow = narrow(f, value, width);
    f.ins().sextend(types::I64, narrow)
}

/// A condition as 0 or 1.
pub(super) fn number(f: &mut FunctionBuilder<'_>, condition: Value) -> Value {
    f.ins().uextend(types::I64, condition)
}

/// The vector of carries that says CF and OF, both 0 or 1.
fn carries(f: &mut FunctionBuilder<'_>, cf: Value, of: Value) -> Value {
    let differ = f.ins().bxor(cf, of);
    let high = f.ins().ishl_imm_u(cf, 63);
    let low = f.ins().ishl_imm_u(differ, 62);
    f.ins().bor(high, low)
}

impl Words {
    fn new(f: &mut FunctionBuilder<'_>, width: Width, a: Value, b: Value, result: Value, out: Value) -> Self {
        let result = sign_extend(f, result, width);
        let carries = f.ins().ishl_imm_u(out, 64 - width.bits() as i64);
        let differ = f.ins().bxor(a, b);
        let adjust = f.ins().band_imm_u(differ, 0xff);
        Self { result, carries, adjust, origin: Origin::Computed }
    }

    /// As [`Flags::add`](crate::cpu::flags::Flags::add).
    pub(super) fn add(f: &mut FunctionBuilder<'_>, width: Width, a: Value, b: Value, result: Value) -> Self {
        let both = f.ins().band(a, b);
        let any = f.ins().bor(a, b);
        let gone = f.ins().band_not(any, result);
        let out = f.ins().bor(both, gone);
        Self::new(f, width, a, b, result, out)
    }

    /// As [`Flags::sub`](crate::cpu::flags::Flags::sub).
    pub(super) fn sub(f: &mut FunctionBuilder<'_>, width: Width, a: Value, b: Value, result: Value) -> Self {
        let under = f.ins().band_not(b, a);
        let differ = f.ins().bxor(a, b);
        let same = f.ins().band_not(result, differ);
        let out = f.ins().bor(under, same);
        Self::new(f, width, a, b, result, out)
    }

    /// As [`Flags::logic`](crate::cpu::flags::Flags::logic).
    pub(super) fn logic(f: &mut FunctionBuilder<'_>, width: Width, result: Value) -> Self {
        let result = sign_extend(f, result, width);
        let carries = f.ins().iconst(types::I64, 0);
        let adjust = f.ins().band_imm_u(result, 0xff);
        Self { result, carries, adjust, origin: Origin::Logic }
    }

    /// As [`Flags::result_with`](crate::cpu::flags::Flags::result_with), CF and OF as 0 or 1.
    pub(super) fn result_with(
        f: &mut FunctionBuilder<'_>,
        width: Width,
        result: Value,
        cf: Value,
        of: Value,
    ) -> Self {
        let words = Self::logic(f, width, result);
        Self { carries: carries(f, cf, of), origin: Origin::Computed, ..words }
    }

    /// These with other CF and OF, both 0 or 1.
    pub(super) fn with_cf_of(self, f: &mut FunctionBuilder<'_>, cf: Value, of: Value) -> Self {
        let origin = if matches!(self.origin, Origin::Any) { Origin::Any } else { Origin::Computed };
        Self { carries: carries(f, cf, of), origin, ..self }
    }

    /// The one or the other.
    pub(super) fn select(f: &mut FunctionBuilder<'_>, condition: Value, yes: Self, no: Self) -> Self {
        Self {
            result: f.ins().select(condition, yes.result, no.result),
            carries: f.ins().select(condition, yes.carries, no.carries),
            adjust: f.ins().select(condition, yes.adjust, no.adjust),
            origin: Origin::Any,
        }
    }

    /// CF as 0 or 1.
    pub(super) fn cf(&self, f: &mut FunctionBuilder<'_>) -> Value {
        if let Origin::Difference(_, a, b) = self.origin {
            let below = f.ins().icmp(IntCC::UnsignedLessThan, a, b);
            return number(f, below);
        }
        f.ins().ushr_imm_u(self.carries, 63)
    }

    /// OF as 0 or 1.
    pub(super) fn of(&self, f: &mut FunctionBuilder<'_>) -> Value {
        let shifted = f.ins().ishl_imm_u(self.carries, 1);
        let differ = f.ins().bxor(self.carries, shifted);
        f.ins().ushr_imm_u(differ, 63)
    }

    fn zf(&self, f: &mut FunctionBuilder<'_>) -> Value {
        if let Origin::Difference(_, a, b) = self.origin {
            return f.ins().icmp(IntCC::Equal, a, b);
        }
        f.ins().icmp_imm_s(IntCC::Equal, self.result, 0)
    }

    /// SF as 0 or 1.
    fn sf(&self, f: &mut FunctionBuilder<'_>) -> Value {
        let sign = f.ins().ushr_imm_u(self.result, 63);
        if !matches!(self.origin, Origin::Any) {
            return sign;
        }
        let correction = f.ins().ushr_imm_u(self.adjust, 16);
        let both = f.ins().bxor(sign, correction);
        f.ins().band_imm_u(both, 1)
    }

    fn pf(&self, f: &mut FunctionBuilder<'_>) -> Value {
        let correction = f.ins().ushr_imm_u(self.adjust, 8);
        let mut bits = f.ins().bxor(self.result, correction);
        bits = f.ins().band_imm_u(bits, 0xff);
        for distance in [4, 2, 1] {
            let other = f.ins().ushr_imm_u(bits, distance);
            bits = f.ins().bxor(bits, other);
        }
        let odd = f.ins().band_imm_u(bits, 1);
        f.ins().icmp_imm_s(IntCC::Equal, odd, 0)
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, f: &mut FunctionBuilder<'_>, condition: Condition) -> Value {
        let negated = condition.0 & 1 != 0;
        let base = condition.0 >> 1 & 7;
        let comparison = match base {
            1 => Some(IntCC::UnsignedLessThan),
            2 => Some(IntCC::Equal),
            3 => Some(IntCC::UnsignedLessThanOrEqual),
            6 => Some(IntCC::SignedLessThan),
            7 => Some(IntCC::SignedLessThanOrEqual),
            _ => None,
        };
        let with = |code: IntCC| if negated { code.complement() } else { code };
        match (self.origin, comparison) {
            (Origin::Difference(width, a, b), Some(code)) => {
                let (a, b) = (narrow(f, a, width), narrow(f, b, width));
                return f.ins().icmp(with(code), a, b);
            }
            // Without CF and OF what is left are comparisons of the result with zero.
            (Origin::Logic, Some(code)) if base != 1 => {
                let code = if base == 3 { IntCC::Equal } else { code };
                return f.ins().icmp_imm_s(with(code), self.result, 0);
            }
            (Origin::Computed | Origin::Logic | Origin::Difference(..), None) if base == 4 => {
                return f.ins().icmp_imm_s(with(IntCC::SignedLessThan), self.result, 0);
            }
            _ => {}
        }
        let is_set = |f: &mut FunctionBuilder<'_>, bit: Value| f.ins().icmp_imm_s(IntCC::NotEqual, bit, 0);
        let truth = match base {
            0 => {
                let of = self.of(f);
                is_set(f, of)
            }
            1 => {
                let cf = self.cf(f);
                is_set(f, cf)
            }
            2 => self.zf(f),
            3 => {
                let (cf, zf) = (self.cf(f), self.zf(f));
                let cf = is_set(f, cf);
                f.ins().bor(cf, zf)
            }
            4 => {
                let sf = self.sf(f);
                is_set(f, sf)
            }
            5 => self.pf(f),
            6 | 7 => {
                let (sf, of) = (self.sf(f), self.of(f));
                let less = f.ins().bxor(sf, of);
                let less = is_set(f, less);
                if base == 6 {
                    less
                } else {
                    let zf = self.zf(f);
                    f.ins().bor(less, zf)
                }
            }
            _ => unreachable!("three bits"),
        };
        if negated { f.ins().bxor_imm_u(truth, 1) } else { truth }
    }
}
