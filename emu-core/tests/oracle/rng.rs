//! Random numbers that are the same everywhere: SplitMix64, and the values that instructions trip over.

/// A generator.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// For case `index` of a run with `seed`: each case can be made without those before it.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut rng = Self(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        rng.next();
        rng
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A number that is likely to be a corner case of some width.
    pub(crate) fn value(&mut self) -> u64 {
        let bits = self.pick(&[8, 16, 32, 64]);
        let mask = u64::MAX >> (64 - bits);
        let value = match self.below(8) {
            0 => self.below(3),
            1 => u64::MAX.wrapping_sub(self.below(3)),
            2 => 1 << self.below(64),
            3 => (1 << (bits - 1)) + self.below(2),
            4 => mask >> 1,
            5 => self.below(256),
            6 => self.next() & mask,
            _ => return self.next(),
        };
        match self.below(3) {
            0 => value,
            1 => value | self.next() & !mask,
            _ => ((value << (64 - bits)) as i64 >> (64 - bits)) as u64,
        }
    }

    /// A floating-point number of `exp` and `fraction` bits that is likely to be a corner case.
    pub(crate) fn float(&mut self, exp: u32, fraction: u32) -> u64 {
        let sign = self.below(2) << (exp + fraction);
        let exp_max = (1u64 << exp) - 1;
        let bias = exp_max >> 1;
        let biased = match self.below(10) {
            0 | 1 => 0,
            2 => exp_max,
            3 => 1 + self.below(3),
            4 => exp_max - 1 - self.below(3),
            // Around one, and where integers end.
            5 | 6 => bias - 3 + self.below(6),
            7 => bias + self.pick(&[22, 23, 24, 30, 31, 32, 51, 52, 53, 62, 63, 64]) % bias,
            _ => self.below(exp_max + 1),
        };
        let all = (1u64 << fraction) - 1;
        let fraction = match self.below(8) {
            0 | 1 => 0,
            2 => all,
            3 => 1 << self.below(fraction.into()),
            4 => all & !(all >> self.below(fraction.into())),
            5 => 1,
            _ => self.next() & all,
        };
        sign | biased << all.count_ones() | fraction
    }

    /// 80 bits: a number, or nothing that still is one.
    pub(crate) fn extended(&mut self) -> u128 {
        let sign = self.next() & 0x8000;
        let exponent = match self.below(10) {
            0 => 0,
            1 => 0x7fff,
            2 => 1 + self.below(70),
            3 => 0x7ffe - self.below(70),
            4..7 => 0x3fff - 4 + self.below(80),
            7 => 0x3fff + self.pick(&[15, 31, 63, 127, 1023, 128, 1024]),
            8 => 0x3fff - self.pick(&[126, 127, 140, 149, 150, 1022, 1023, 1060, 1074]),
            _ => self.next() & 0x7fff,
        };
        let significand = match self.below(8) {
            0 => 0,
            1 => 1 << 63,
            2 => u64::MAX,
            3 => self.next(),
            4 => 3 << 62 | 1 << self.below(62),
            // As from doubles and singles.
            5 => 1 << 63 | self.next() & !0x7ff,
            6 => 1 << 63 | self.next() & !0xff_ffff_ffff | self.pick(&[0, 1, 0x80_0000_0000]),
            _ => 1 << 63 | self.next(),
        };
        u128::from(sign | exponent) << 64 | u128::from(significand)
    }

    /// 16 bytes: integers, singles or doubles.
    pub(crate) fn vector(&mut self) -> u128 {
        let lanes = match self.below(4) {
            0 => [self.value(), self.value()],
            1 => [self.next(), self.next()],
            2 => [self.float(11, 52), self.float(11, 52)],
            _ => {
                let mut pair = || self.float(8, 23) | self.float(8, 23) << 32;
                [pair(), pair()]
            }
        };
        u128::from(lanes[1]) << 64 | u128::from(lanes[0])
    }
}
