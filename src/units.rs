//! Sizes and spans as people write them: `64M`, `10ms`. In scenarios and on the command line alike.

use emu_core::VirtDuration;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a number with a unit can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number and one of the units.
    #[error("`{text}` is not a number with one of the units {units}")]
    Form {
        /// What was written.
        text: String,
        /// What would do.
        units: &'static str,
    },
    /// More than 64 bits hold.
    #[error("`{0}` is too large")]
    Range(String),
}

/// Splits digits (with a fraction, if any) from the unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// `number` times `unit`, exactly; a fraction must come out even.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let divisor = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
    if product % u128::from(divisor) != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(product / u128::from(divisor)).ok()?)
}

fn parse(text: &str, units: &'static str, factor: impl Fn(&str) -> Option<u64>) -> Result<u64, UnitError> {
    let (number, unit) = split(text.trim());
    let form = || UnitError::Form { text: text.to_owned(), units };
    let factor = factor(unit).ok_or_else(form)?;
    if number.is_empty() || !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(form());
    }
    scale(number, factor).ok_or_else(|| UnitError::Range(text.to_owned()))
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, "K, M, G or none (MiB, as QEMU's -m has it)", |unit| match unit {
            "K" | "KiB" => Some(1 << 10),
            "" | "M" | "MiB" => Some(1 << 20),
            "G" | "GiB" => Some(1 << 30),
            "B" => Some(1),
            _ => None,
        })
        .map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n.is_multiple_of(1 << 30) && n > 0 => write!(f, "{}G", n >> 30),
            n if n.is_multiple_of(1 << 20) && n > 0 => write!(f, "{}M", n >> 20),
            n if n.is_multiple_of(1 << 10) && n > 0 => write!(f, "{}K", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

/// A span of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub VirtDuration);

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, "ps, ns, us, ms or s", |unit| match unit {
            "ps" => Some(1),
            "ns" => Some(1_000),
            "us" => Some(1_000_000),
            "ms" => Some(1_000_000_000),
            "s" => Some(1_000_000_000_000),
            _ => None,
        })
        .map(|ps| Self(VirtDuration::from_ps(ps)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000_000, "s"), (1_000_000_000, "ms"), (1_000_000, "us"), (1_000, "ns")];
        let ps = self.0.0;
        match units.iter().find(|(unit, _)| ps >= *unit && ps.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ps / unit),
            None => write!(f, "{ps}ps"),
        }
    }
}

macro_rules! as_string {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = UnitError;

            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_string!(Bytes Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in
            [("64M", 64 << 20), ("512", 512 << 20), ("2G", 2 << 30), ("1.5G", 3 << 29), ("4K", 4096)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn spans_are_read_and_written() {
        for (text, ps) in [("10ms", 10_000_000_000), ("2s", 2_000_000_000_000), ("1.5ns", 1500), ("7ps", 7)] {
            assert_eq!(text.parse(), Ok(Span(VirtDuration::from_ps(ps))), "{text}");
            let span = Span(VirtDuration::from_ps(ps));
            assert_eq!(span.to_string().parse(), Ok(span), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "M", "12X", "-3M", "99999999999999999999G", "1.0000000001K", ".5G"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        for text in ["10", "ms", "1h", "0.1ps", "99999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
