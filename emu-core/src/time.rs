//! Virtual time: integer picoseconds since the machine was switched on. Nothing here knows the host's clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant in virtual time, in picoseconds since power-on. Overflows after 213 days of guest time, saturating.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VirtTime(pub u64);

/// A span of virtual time, in picoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VirtDuration(pub u64);

impl VirtTime {
    /// Power-on.
    pub const ZERO: Self = Self(0);
    /// Later than every event.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `span` later.
    #[must_use]
    pub const fn after(self, span: VirtDuration) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Time passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> VirtDuration {
        VirtDuration(self.0.saturating_sub(earlier.0))
    }

    /// Whole nanoseconds since power-on.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0 / 1_000
    }
}

impl VirtDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `n` picoseconds.
    #[must_use]
    pub const fn from_ps(n: u64) -> Self {
        Self(n)
    }

    /// `n` nanoseconds, saturating.
    #[must_use]
    pub const fn from_ns(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// `n` microseconds, saturating.
    #[must_use]
    pub const fn from_us(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }

    /// `n` milliseconds, saturating.
    #[must_use]
    pub const fn from_ms(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000_000))
    }

    /// `n` seconds, saturating.
    #[must_use]
    pub const fn from_s(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000_000_000))
    }

    /// The time that `ticks` of a clock of `hz` take, rounded up so that a timer never fires early. `hz` 0 means never.
    #[must_use]
    pub fn from_ticks(ticks: u64, hz: u64) -> Self {
        if hz == 0 {
            return Self(u64::MAX);
        }
        let ps = (u128::from(ticks) * 1_000_000_000_000).div_ceil(u128::from(hz));
        Self(u64::try_from(ps).unwrap_or(u64::MAX))
    }

    /// Whole ticks of a clock of `hz` that fit into this span.
    #[must_use]
    pub fn as_ticks(self, hz: u64) -> u64 {
        let ticks = u128::from(self.0) * u128::from(hz) / 1_000_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `n` times this span, saturating.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

/// Writes picoseconds as a decimal with the unit that keeps the number readable.
fn write_ps(f: &mut fmt::Formatter<'_>, ps: u64) -> fmt::Result {
    match ps {
        0..1_000_000 => write!(f, "{}.{:03} ns", ps / 1_000, ps % 1_000),
        1_000_000..1_000_000_000 => write!(f, "{}.{:03} us", ps / 1_000_000, ps / 1_000 % 1_000),
        1_000_000_000..1_000_000_000_000 => {
            write!(f, "{}.{:06} ms", ps / 1_000_000_000, ps / 1_000 % 1_000_000)
        }
        _ => write!(f, "{}.{:09} s", ps / 1_000_000_000_000, ps / 1_000 % 1_000_000_000),
    }
}

impl fmt::Display for VirtTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ps(f, self.0)
    }
}

impl fmt::Debug for VirtTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for VirtDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ps(f, self.0)
    }
}

impl fmt::Debug for VirtDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_up_and_back() {
        for hz in [1, 32_768, 1_193_182, 3_579_545, 25_000_000, 1_000_000_000] {
            for ticks in [0, 1, 2, 7, 65_535, 1_000_003] {
                assert_eq!(
                    VirtDuration::from_ticks(ticks, hz).as_ticks(hz),
                    ticks,
                    "{ticks} ticks at {hz} Hz"
                );
            }
        }
    }

    #[test]
    fn display_picks_a_readable_unit() {
        let shown = |ps| VirtTime(ps).to_string();
        assert_eq!(shown(999), "0.999 ns");
        assert_eq!(shown(1_500_000), "1.500 us");
        assert_eq!(shown(2_000_000_001_000), "2.000000001 s");
    }
}
