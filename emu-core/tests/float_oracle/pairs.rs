//! Pairs of numbers that arithmetic trips over, in any binary format: those that cancel, that align at any distance, whose
//! product or quotient lies at an edge of the format, and small integers.

use crate::rng::Rng;

/// Bits of the exponent and of the fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) exponent: u32,
    pub(crate) fraction: u32,
}

/// A number by its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) negative: bool,
    /// The biased exponent.
    pub(crate) exponent: u64,
    /// Without the integer bit.
    pub(crate) fraction: u64,
}

impl Shape {
    fn exponent_max(self) -> i64 {
        (1 << self.exponent) - 1
    }

    fn bias(self) -> i64 {
        self.exponent_max() >> 1
    }

    fn fraction_mask(self) -> u64 {
        (1 << self.fraction) - 1
    }

    /// A number, with an exponent brought into the format.
    fn number(self, rng: &mut Rng, exponent: i64, fraction: u64) -> Fields {
        Fields {
            negative: rng.percent(50),
            exponent: exponent.clamp(0, self.exponent_max()) as u64,
            fraction: fraction & self.fraction_mask(),
        }
    }

    /// A fraction with few bits, or few bits missing, or any.
    fn fraction(self, rng: &mut Rng) -> u64 {
        let (all, bit) = (self.fraction_mask(), rng.below(self.fraction.into()));
        match rng.below(8) {
            0 => 0,
            1 => all,
            2 => 1 << bit,
            3 => all << bit,
            4 => all >> bit,
            5 => 1 << bit | 1 << rng.below(self.fraction.into()),
            6 => rng.next() << (self.fraction / 2),
            _ => rng.next(),
        }
    }

    /// Any exponent of a normal number.
    fn exponent(self, rng: &mut Rng) -> i64 {
        let most = self.exponent_max() as u64;
        match rng.below(4) {
            0 => self.bias() + rng.below(16) as i64 - 8,
            1 => rng.below(u64::from(self.fraction) + 4) as i64,
            2 => self.exponent_max() - 1 - rng.below(8) as i64,
            _ => 1 + rng.below(most - 1) as i64,
        }
    }

    /// Two numbers.
    pub(crate) fn pair(self, rng: &mut Rng) -> [Fields; 2] {
        let (exponent, fraction) = (self.exponent(rng), self.fraction(rng));
        let near = rng.below(6) as i64 - 3;
        let (other_exponent, other_fraction) = match rng.below(5) {
            // Nearly the same.
            0 => (exponent + rng.pick(&[0, 0, 0, 1, -1]), fraction.wrapping_add_signed(near)),
            // The last bit of one around the first of the other, and anywhere between.
            1 => (exponent - rng.below(u64::from(self.fraction) + 5) as i64, self.fraction(rng)),
            // A product at an edge: too large, tiny, less than the least.
            2 => {
                let edge = rng.pick(&[
                    self.exponent_max(),
                    0,
                    -i64::from(self.fraction),
                    -i64::from(self.fraction) / 2,
                ]);
                (edge + self.bias() - exponent + near, self.fraction(rng))
            }
            // A quotient likewise.
            3 => {
                let edge = rng.pick(&[
                    self.exponent_max(),
                    0,
                    -i64::from(self.fraction),
                    -i64::from(self.fraction) / 2,
                ]);
                (exponent + self.bias() - edge + near, self.fraction(rng))
            }
            _ => return [self.integer(rng), self.integer(rng)],
        };
        let pair = [self.number(rng, exponent, fraction), self.number(rng, other_exponent, other_fraction)];
        if rng.percent(50) { pair } else { [pair[1], pair[0]] }
    }

    /// A small integer, or one and a half of one.
    fn integer(self, rng: &mut Rng) -> Fields {
        let digits = 1 + rng.below(20);
        let value = 1 + rng.below(1 << digits);
        let log = value.ilog2();
        let fraction = (value << (self.fraction - log)) & self.fraction_mask();
        let halves = rng.below(2) as i64;
        self.number(rng, self.bias() + i64::from(log) - halves, fraction)
    }
}
