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
}
