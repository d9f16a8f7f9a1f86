//! States for programs to start in.

use crate::area::{Area, Program, put};
use crate::pairs::{Fields, Shape};
use crate::rng::Rng;
use crate::x87::{CONTROL, FLAGS, OPERAND, STACK, STATUS, TAGS};
use iced_x86::MemorySize;

const SINGLE: Shape = Shape { exponent: 8, fraction: 23 };
const DOUBLE: Shape = Shape { exponent: 11, fraction: 52 };
const EXTENDED: Shape = Shape { exponent: 15, fraction: 63 };

/// Two singles or doubles, in the low bits.
pub(crate) fn pair(rng: &mut Rng, bytes: usize) -> [u64; 2] {
    let shape = if bytes == 4 { SINGLE } else { DOUBLE };
    if rng.percent(35) {
        return [rng.float(shape.exponent, shape.fraction), rng.float(shape.exponent, shape.fraction)];
    }
    shape.pair(rng).map(|fields| {
        u64::from(fields.negative) << (shape.exponent + shape.fraction)
            | fields.exponent << shape.fraction
            | fields.fraction
    })
}

/// Two numbers of extended precision; some spell nothing.
fn extended_pair(rng: &mut Rng) -> [u128; 2] {
    if rng.percent(35) {
        return [rng.extended(), rng.extended()];
    }
    EXTENDED.pair(rng).map(|Fields { negative, exponent, fraction }| {
        let integer_bit = u64::from(exponent != 0) << 63;
        u128::from(u64::from(negative) << 15 | exponent) << 64 | u128::from(integer_bit | fraction)
    })
}

/// Eighteen decimal digits and a sign.
fn decimal(rng: &mut Rng) -> u128 {
    let most = rng.pick(&[1, 10, 1 << 31, 1 << 53, 1_000_000_000_000_000_000]);
    let (mut left, mut packed) = (rng.below(most), 0);
    for digit in 0..18 {
        packed |= u128::from(left % 10) << (4 * digit);
        left /= 10;
    }
    packed | u128::from(rng.below(2)) << 79
}

/// A memory operand of the x87 unit.
fn memory_operand(rng: &mut Rng, size: MemorySize) -> u128 {
    match size {
        MemorySize::Float32 => pair(rng, 4)[0].into(),
        MemorySize::Float64 => pair(rng, 8)[0].into(),
        MemorySize::Bcd => decimal(rng),
        MemorySize::Float80 => extended_pair(rng)[0],
        _ => rng.value().into(),
    }
}

/// Registers, any rounding and precision, most exceptions masked and none waiting; most registers full, and often one free.
pub(crate) fn x87_state(program: &Program, rng: &mut Rng) -> Area {
    let mut area = [0; 128];
    let top = rng.below(8) as u16;
    let masks = if rng.percent(75) { 0x3f } else { rng.next() as u16 & 0x3f };
    let precision = rng.pick(&[0x300, 0x300, 0x200, 0]);
    let control = 0x40 | masks | precision | (rng.below(4) as u16) << 10;
    const CONDITIONS: u16 = 0x4700;
    let sticky = if rng.percent(10) { rng.next() as u16 & masks } else { 0 };
    put::<2>(&mut area, CONTROL, control.into());
    put::<2>(&mut area, STATUS, (top << 11 | rng.next() as u16 & CONDITIONS | sticky).into());
    // Two bits for each physical register: three where it is empty.
    let last = (top + 7) & 7;
    let tags = match rng.below(8) {
        0 => 0,
        1 => (0..8).fold(0, |tags, n| tags | rng.pick(&[0, 0, 3]) << (2 * n)),
        _ => 3 << (2 * last),
    };
    put::<2>(&mut area, TAGS, tags);
    for n in (0..8).step_by(2) {
        let [first, second] = extended_pair(rng);
        put::<10>(&mut area, STACK + 10 * n, first);
        put::<10>(&mut area, STACK + 10 * (n + 1), second);
    }
    put::<10>(&mut area, OPERAND, memory_operand(rng, program.insn.memory_size()));
    put::<1>(&mut area, FLAGS, rng.next().into());
    area
}
