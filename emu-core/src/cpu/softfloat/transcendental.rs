//! F2XM1, FYL2X, FYL2XP1, FPATAN, and sine and cosine for the rest. SDM vol. 1, 8.3.7-8.3.10; vol. 2A.
//!
//! The manual promises an error below one unit in the last place and leaves the bits to the processor. Here the results are
//! true values rounded once, but for one case in billions where 120 bits don't tell which way. Arguments of trigonometric
//! functions are reduced by the 66-bit value of pi that the manual names (vol. 1, 8.3.8).

use super::nan::{invalid, note_denormals, propagate};
use super::wide::Wide;
use super::{Env, Extended, F80, Format, Kind, Unpacked, flag};

/// Terms that vanish beside the first by this many bits no longer matter.
const ENOUGH: i32 = 126;
/// No series here needs as many terms.
const TERMS_MAX: i32 = 128;

/// Sums a series whose terms get smaller until they don't matter; `next` makes the n-th term, from 1 on, out of the one
/// before.
fn series(first: Wide, mut next: impl FnMut(Wide, i32) -> (Wide, Wide)) -> Wide {
    let (mut sum, mut power) = (first, first);
    for n in 1..TERMS_MAX {
        let (following, term) = next(power, n);
        if term.is_zero() || term.exp() < sum.exp() - ENOUGH {
            // Directed rounding still asks on which side of the sum the rest lies.
            return sum.nudged(term.is_negative());
        }
        power = following;
        sum = sum.plus(term);
    }
    sum
}

/// `e^z - 1`, for |z| below 1.
fn exp_minus_1(z: Wide) -> Wide {
    series(z, |power, n| {
        let term = power.times(z).over(Wide::integer(n + 1));
        (term, term)
    })
}

/// `2 * atanh(t)`, for small |t|.
fn twice_atanh(t: Wide) -> Wide {
    if t.is_zero() {
        return Wide::ZERO;
    }
    let square = t.times(t);
    series(t, |power, n| {
        let power = power.times(square);
        (power, power.over(Wide::integer(2 * n + 1)))
    })
    .shifted(1)
}

/// `atan(t)`, for t from 0 to 1.
fn atan(t: Wide) -> Wide {
    // Three halvings of the angle.
    const HALVINGS: i32 = 3;
    let mut t = t;
    for _ in 0..HALVINGS {
        t = t.over(Wide::ONE.plus(Wide::ONE.plus(t.times(t)).sqrt()));
    }
    let square = t.times(t).negated();
    series(t, |power, n| {
        let power = power.times(square);
        (power, power.over(Wide::integer(2 * n + 1)))
    })
    .shifted(HALVINGS)
}

fn sin(r: Wide) -> Wide {
    let square = r.times(r).negated();
    series(r, |term, n| {
        let term = term.times(square).over(Wide::integer(2 * n * (2 * n + 1)));
        (term, term)
    })
}

fn cos(r: Wide) -> Wide {
    let square = r.times(r).negated();
    series(Wide::ONE, |term, n| {
        let term = term.times(square).over(Wide::integer(2 * n * (2 * n - 1)));
        (term, term)
    })
}

/// `2^a - 1`, for a from -1 to 1. Beyond that the manual defines nothing; the operand stays.
#[must_use]
pub fn exp2_minus_1(env: &mut Env, bits: Extended) -> Extended {
    let a = F80::unpack(bits);
    if let Some(nan) = propagate::<F80>(env, &a, &a) {
        return nan;
    }
    note_denormals(env, &[&a]);
    match a.kind {
        Kind::Infinity if a.sign => F80::pack(true, F80::EXP_MAX as u32, 1 << 63),
        Kind::Normal if a.exp >= 0 => {
            let is_one = a.exp == 0 && a.sig == 1 << 63;
            match (is_one, a.sign) {
                (true, true) => F80::pack(true, F80::EXP_MAX as u32 - 1, 1 << 63),
                _ => bits,
            }
        }
        Kind::Normal | Kind::Denormal => exp_minus_1(Wide::of(&a).times(Wide::LN_2)).round(env),
        _ => bits,
    }
}

/// `y * log2(x)`.
#[must_use]
pub fn y_log2(env: &mut Env, y: Extended, x: Extended) -> Extended {
    let (y, x) = (F80::unpack(y), F80::unpack(x));
    if let Some(nan) = propagate::<F80>(env, &x, &y) {
        return nan;
    }
    if x.sign && x.kind != Kind::Zero {
        return invalid::<F80>(env);
    }
    let is_one = x.is_finite_nonzero() && x.exp == 0 && x.sig == 1 << 63;
    // The logarithm's sign, and what else is special about it.
    let logarithm = match x.kind {
        Kind::Zero => Unpacked { sign: true, kind: Kind::Infinity, exp: 0, sig: 0 },
        Kind::Infinity => Unpacked { sign: false, kind: Kind::Infinity, exp: 0, sig: 0 },
        _ if is_one => Unpacked::integer(0),
        _ => Unpacked { sign: x.exp < 0, kind: Kind::Normal, exp: 0, sig: 1 << 63 },
    };
    let special = special_product(env, &y, &logarithm, &x);
    special.unwrap_or_else(|| times_log2(env, &y, Wide::of(&x)))
}

/// `y` times the logarithm of a positive number other than one. That of a power of two is whole.
fn times_log2(env: &mut Env, y: &Unpacked, x: Wide) -> Extended {
    let product = Wide::of(y).times(log2(x));
    if x.is_power_of_two() { product.round_whole(env) } else { product.round(env) }
}

/// The product if one of the factors makes it special. `argument` is what the second one is the logarithm of.
fn special_product(env: &mut Env, y: &Unpacked, log: &Unpacked, argument: &Unpacked) -> Option<Extended> {
    let sign = y.sign ^ log.sign;
    match (y.kind, log.kind) {
        (Kind::Infinity, Kind::Zero) | (Kind::Zero, Kind::Infinity) => return Some(invalid::<F80>(env)),
        (Kind::Infinity, Kind::Infinity) => return Some(F80::infinity(sign)),
        (_, Kind::Infinity) if argument.kind != Kind::Infinity => {
            env.flags |= flag::ZERO_DIVIDE;
            return Some(F80::infinity(sign));
        }
        _ => note_denormals(env, &[y, argument]),
    }
    match (y.kind, log.kind) {
        (Kind::Infinity, _) | (_, Kind::Infinity) => Some(F80::infinity(sign)),
        (Kind::Zero, _) | (_, Kind::Zero) => Some(F80::zero(sign)),
        _ => None,
    }
}

/// Of a positive number other than one.
fn log2(x: Wide) -> Wide {
    // About between the square roots of one half and of two.
    let exp = if x.is_in_upper_half() { x.exp() + 1 } else { x.exp() };
    let m = x.shifted(-exp);
    let t = m.minus(Wide::ONE).over(m.plus(Wide::ONE));
    Wide::integer(exp).plus(twice_atanh(t).times(Wide::LOG2_E))
}

/// `y * log2(x + 1)`, made for small x.
#[must_use]
pub fn y_log2_plus_1(env: &mut Env, y: Extended, x: Extended) -> Extended {
    let (y, x) = (F80::unpack(y), F80::unpack(x));
    if let Some(nan) = propagate::<F80>(env, &x, &y) {
        return nan;
    }
    // The manual defines nothing from -1 down.
    if x.sign && (x.kind == Kind::Infinity || x.is_finite_nonzero() && x.exp >= 0) {
        return invalid::<F80>(env);
    }
    special_product(env, &y, &x, &x).unwrap_or_else(|| {
        let x = Wide::of(&x);
        if x.exp() >= -2 {
            return times_log2(env, &y, x.plus(Wide::ONE));
        }
        let logarithm = twice_atanh(x.over(x.plus(Wide::ONE.shifted(1)))).times(Wide::LOG2_E);
        Wide::of(&y).times(logarithm).round(env)
    })
}

/// The angle of the point (x, y).
#[must_use]
pub fn atan2(env: &mut Env, y: Extended, x: Extended) -> Extended {
    let (y, x) = (F80::unpack(y), F80::unpack(x));
    if let Some(nan) = propagate::<F80>(env, &x, &y) {
        return nan;
    }
    note_denormals(env, &[&y, &x]);
    let quarters = |n: i32| Wide::PI.times(Wide::integer(n)).shifted(-2);
    let angle = match (y.kind, x.kind, x.sign) {
        (Kind::Zero, _, false) => return F80::zero(y.sign),
        (_, Kind::Infinity, false) if y.kind != Kind::Infinity => return F80::zero(y.sign),
        (Kind::Zero, _, true) => quarters(4),
        (Kind::Infinity, Kind::Infinity, false) => quarters(1),
        (Kind::Infinity, Kind::Infinity, true) => quarters(3),
        (_, Kind::Infinity, true) => quarters(4),
        (Kind::Infinity, _, _) | (_, Kind::Zero, _) => quarters(2),
        _ => angle(&y, &x),
    };
    angle.with_sign(y.sign).round(env)
}

/// From 0 to pi, of numbers other than zero; the sign of y does not count.
fn angle(y: &Unpacked, x: &Unpacked) -> Wide {
    let (y, x, left) = (Wide::of(y).with_sign(false), Wide::of(x).with_sign(false), x.sign);
    let acute =
        if y.minus(x).is_negative() { atan(y.over(x)) } else { Wide::PI.shifted(-1).minus(atan(x.over(y))) };
    if left { Wide::PI.minus(acute) } else { acute }
}

/// An angle brought between -pi/4 and pi/4, and how many quarter turns were taken off.
struct Reduced {
    rest: Wide,
    quarters: u8,
}

/// pi in units of 2^-64.
const PI_66: u128 = 0x3_243f_6a88_85a3_08d3;

/// Reduces a number other than zero below 2^63.
fn reduce(a: &Unpacked) -> Reduced {
    if a.exp < -1 {
        return Reduced { rest: Wide::of(a), quarters: 0 };
    }
    // In units of 2^-65, of which pi/2 has as many as pi has of twice that.
    let units = u128::from(a.sig) << (a.exp + 2);
    let (mut quarters, mut rest) = (units / PI_66, units % PI_66);
    let beyond = rest > PI_66 / 2;
    if beyond {
        quarters += 1;
        rest = PI_66 - rest;
    }
    let quarters = (quarters % 4) as u8;
    let quarters = if a.sign { (4 - quarters) % 4 } else { quarters };
    Reduced { rest: Wide::scaled(rest, -65).with_sign(a.sign ^ beyond), quarters }
}

/// What there is of an angle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Angle {
    /// Sine and cosine.
    Values(Extended, Extended),
    /// 2^63 or more: the operand stays and C2 is set.
    OutOfRange,
}

/// Which of the two functions are wanted: flags and C1 are of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// FSIN.
    Sine,
    /// FCOS.
    Cosine,
    /// FSINCOS.
    Both,
    /// FPTAN: the tangent stands in the place of the sine, one in that of the cosine.
    Tangent,
}

/// Sine, cosine or tangent.
#[must_use]
pub fn trigonometric(env: &mut Env, bits: Extended, wanted: Wanted) -> Angle {
    let a = F80::unpack(bits);
    let one = F80::pack(false, F80::EXP_MAX as u32, 1 << 63);
    if let Some(nan) = propagate::<F80>(env, &a, &a) {
        return Angle::Values(nan, nan);
    }
    note_denormals(env, &[&a]);
    match a.kind {
        Kind::Zero => Angle::Values(bits, one),
        Kind::Infinity => {
            let none = invalid::<F80>(env);
            Angle::Values(none, none)
        }
        _ if a.exp >= 63 => Angle::OutOfRange,
        _ => {
            let (sine, cosine) = sine_and_cosine(&reduce(&a));
            match wanted {
                Wanted::Sine => Angle::Values(sine.round(env), one),
                Wanted::Cosine => Angle::Values(bits, cosine.round(env)),
                Wanted::Both => {
                    let sine = sine.round(env);
                    Angle::Values(sine, cosine.round(env))
                }
                Wanted::Tangent => Angle::Values(tangent(&reduce(&a)).round(env), one),
            }
        }
    }
}

fn tangent(reduced: &Reduced) -> Wide {
    // Below, the tangent differs from the angle by less than the quotient could tell.
    const TINY: i32 = -60;
    if reduced.quarters.is_multiple_of(2) && reduced.rest.exp() < TINY {
        return reduced.rest.nudged(reduced.rest.is_negative());
    }
    let (sine, cosine) = sine_and_cosine(reduced);
    sine.over(cosine)
}

fn sine_and_cosine(reduced: &Reduced) -> (Wide, Wide) {
    let (sine, cosine) = (sin(reduced.rest), cos(reduced.rest));
    match reduced.quarters {
        0 => (sine, cosine),
        1 => (cosine, sine.negated()),
        2 => (sine.negated(), cosine.negated()),
        _ => (cosine.negated(), sine),
    }
}
