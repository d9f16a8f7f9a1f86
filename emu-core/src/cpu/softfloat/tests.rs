//! The rules of the manual by example, on every host; `tests/oracle` compares millions of cases with a real processor.

use super::*;

const MASKED: u32 = 0x1f80;
const TO_ZERO: u32 = MASKED | 3 << 13;
const FLUSH: u32 = MASKED | 1 << 15;
const DENORMALS_ARE_ZEROS: u32 = MASKED | 1 << 6;

type Op = fn(&mut Env, u64, u64) -> u64;

/// `op` on doubles gives `result` and reports `flags`.
fn check(mxcsr: u32, op: Op, a: f64, b: f64, result: f64, flags: u8) {
    let mut env = Env::from_mxcsr(mxcsr);
    let bits = op(&mut env, a.to_bits(), b.to_bits());
    let shown = f64::from_bits(bits);
    assert_eq!(
        (bits, env.reported()),
        (result.to_bits(), flags),
        "{a:e} and {b:e} gave {shown:e}, not {result:e}"
    );
}

#[test]
fn results_are_rounded_once_and_say_so() {
    use flag::{DENORMAL, INEXACT, INVALID, OVERFLOW, UNDERFLOW, ZERO_DIVIDE};
    let (tiny, denormal) = (f64::MIN_POSITIVE, f64::from_bits(1));
    let indefinite = f64::from_bits(0xfff8_0000_0000_0000);
    check(MASKED, add::<F64>, 0.1, 0.2, 0.300_000_000_000_000_04, INEXACT);
    check(TO_ZERO, add::<F64>, 0.1, 0.2, 0.3, INEXACT);
    check(MASKED, sub::<F64>, 1.0, 1.0, 0.0, 0);
    check(MASKED | 1 << 13, sub::<F64>, 1.0, 1.0, -0.0, 0);
    check(MASKED, mul::<F64>, f64::MAX, 2.0, f64::INFINITY, OVERFLOW | INEXACT);
    check(TO_ZERO, mul::<F64>, f64::MAX, 2.0, f64::MAX, OVERFLOW | INEXACT);
    check(MASKED, mul::<F64>, tiny, 0.5, tiny / 2.0, 0);
    check(MASKED, mul::<F64>, denormal, 0.5, 0.0, DENORMAL | UNDERFLOW | INEXACT);
    check(FLUSH, mul::<F64>, tiny, 0.5, 0.0, UNDERFLOW | INEXACT);
    check(DENORMALS_ARE_ZEROS, add::<F64>, denormal, 0.0, 0.0, 0);
    check(MASKED, div::<F64>, 1.0, 0.0, f64::INFINITY, ZERO_DIVIDE);
    check(MASKED, div::<F64>, 0.0, 0.0, indefinite, INVALID);
    check(MASKED, |env, a, _| sqrt::<F64>(env, a), 2.0, 0.0, std::f64::consts::SQRT_2, INEXACT);
    check(MASKED, |env, a, _| sqrt::<F64>(env, a), -1.0, 0.0, indefinite, INVALID);
    check(MASKED, max::<F64>, 0.0, -0.0, -0.0, 0);
}

#[test]
fn a_nan_passes_through_quietly_and_the_first_one_wins() {
    let (signaling, quiet) = (0x7ff0_0000_0000_0001, 0xfff8_0000_0000_0002);
    for (a, b, result, flags) in [
        (signaling, quiet, signaling | 1 << 51, flag::INVALID),
        (quiet, signaling, quiet, flag::INVALID),
        (quiet, 0, quiet, 0),
        (0, quiet, quiet, 0),
    ] {
        let mut env = Env::from_mxcsr(MASKED);
        assert_eq!((add::<F64>(&mut env, a, b), env.reported()), (result, flags), "{a:#x} and {b:#x}");
    }
}

#[test]
fn integers_that_do_not_fit_are_indefinite() {
    for (value, rounding, width, result, flags) in [
        (2.5, Rounding::Nearest, IntWidth::I32, 2, flag::INEXACT),
        (3.5, Rounding::Nearest, IntWidth::I32, 4, flag::INEXACT),
        (-2.5, Rounding::Down, IntWidth::I32, 0xffff_fffd, flag::INEXACT),
        (-2.5, Rounding::Zero, IntWidth::I64, u64::MAX - 1, flag::INEXACT),
        (-2_147_483_648.0, Rounding::Nearest, IntWidth::I32, 0x8000_0000, 0),
        (2_147_483_648.0, Rounding::Nearest, IntWidth::I32, 0x8000_0000, flag::INVALID),
        (f64::NAN, Rounding::Nearest, IntWidth::I64, 1 << 63, flag::INVALID),
    ] {
        let mut env = Env::from_mxcsr(MASKED);
        let bits = to_int::<F64>(&mut env, f64::to_bits(value), rounding, width);
        assert_eq!((bits, env.reported()), (result, flags), "{value:e} {rounding:?} {width:?}");
    }
}

#[test]
fn approximations_keep_their_bound() {
    for n in 1..4000u32 {
        let value = f32::from_bits(0x3000_0000 + n * 0x0004_1235);
        let exact = f64::from(value);
        for (bits, want) in [
            (reciprocal(value.to_bits().into()), 1.0 / exact),
            (reciprocal_sqrt(value.to_bits().into()), 1.0 / exact.sqrt()),
        ] {
            let got = f64::from(f32::from_bits(bits as u32));
            assert!(((got - want) / want).abs() <= 1.5 / 4096.0, "{value:e}: {got:e}, not {want:e}");
        }
    }
}
