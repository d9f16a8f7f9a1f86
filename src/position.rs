//! Positions in a run, in one grammar everywhere: `insns=N`, `time=2s`, `packet=7`, `record=N`, `serial=TEXT`.

use crate::units::Span;
use emu_core::VirtTime;
use std::fmt;
use std::str::FromStr;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// After that many instructions.
    Insns(u64),
    /// At the first instruction boundary at or after that time.
    Time(VirtTime),
    /// After that frame came in from the wire, counting from 0.
    Packet(u64),
    /// After that trace record.
    Record(u64),
    /// After the guest has sent that text to its first serial port or the debug console.
    Serial(String),
}

/// Why a position can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position: use insns=N, time=2s, packet=N, record=N or serial=TEXT")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let refuse = || PositionError(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(refuse)?;
        let number = || value.replace('_', "").parse::<u64>().map_err(|_| refuse());
        Ok(match key.trim() {
            "insns" => Self::Insns(number()?),
            "time" => Self::Time(VirtTime::ZERO.after(value.parse::<Span>().map_err(|_| refuse())?.0)),
            "packet" => Self::Packet(number()?),
            "record" => Self::Record(number()?),
            "serial" if !value.is_empty() => Self::Serial(value.to_owned()),
            _ => return Err(refuse()),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insns(n) => write!(f, "insns={n}"),
            Self::Time(time) => write!(f, "time={}", Span(time.since(VirtTime::ZERO))),
            Self::Packet(n) => write!(f, "packet={n}"),
            Self::Record(n) => write!(f, "record={n}"),
            Self::Serial(text) => write!(f, "serial={text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in ["insns=12345", "time=2s", "time=1500us", "packet=7", "record=99", "serial=login: "] {
            assert_eq!(text.parse::<Position>().map(|position| position.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_position_is_named() {
        for text in ["", "insns", "insns=", "insns=x", "time=5", "serial=", "nonsense=1"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError(text.to_owned())));
        }
    }
}
