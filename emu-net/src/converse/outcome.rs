//! How a conversation went.

use super::script::Protocol;
use emu_core::trace::ConversationStep;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a conversation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It has not begun.
    #[default]
    Waiting,
    /// It is on.
    Playing,
    /// It has come to its end.
    Complete,
    /// The guest has reset the connection.
    Reset,
    /// The guest does not answer any more.
    Silent,
    /// The capture does not have what is needed.
    NotPlayed,
}

impl Status {
    /// Whether nothing more can come.
    pub(super) fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Playing)
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Waiting => "has not begun",
            Self::Playing => "was not finished",
            Self::Complete => "complete",
            Self::Reset => "reset by the guest",
            Self::Silent => "given up: the guest does not answer",
            Self::NotPlayed => "not played",
        }
    }
}

/// Where the guest first did otherwise than in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parting {
    /// The captured frame, as Wireshark numbers it.
    pub frame: u64,
    /// What it did.
    pub how: Departure,
}

/// What the guest did otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Departure {
    /// It said something else, at this byte of what it says in all.
    Said(u64),
    /// It said so many bytes more in its turn.
    More(u64),
    /// It said so many bytes less in its turn.
    Less(u64),
    /// It closed its stream before the capture's did.
    Closed,
    /// It reset the connection.
    Reset,
    /// It said nothing.
    Silent,
    /// It spoke when it was not its turn.
    Unasked,
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            Departure::Said(at) => write!(f, "byte {at} differs"),
            Departure::More(bytes) => write!(f, "{bytes} bytes more"),
            Departure::Less(bytes) => write!(f, "{bytes} bytes less"),
            Departure::Closed => f.write_str("closed early"),
            Departure::Reset => f.write_str("reset"),
            Departure::Silent => f.write_str("silent"),
            Departure::Unasked => f.write_str("spoke unasked"),
        }?;
        write!(f, " (frame {})", self.frame)
    }
}

/// How one conversation went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Who asked whom, as captured.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// How far it is.
    pub status: Status,
    /// Captured frames that have had their turn.
    pub turns: u64,
    /// Of so many.
    pub of: u64,
    /// Frames sent to the guest.
    pub sent: u64,
    /// Sent again because nothing came back.
    pub again: u64,
    /// Acknowledgements that the capture does not have.
    pub acknowledged: u64,
    /// Frames of the guest's.
    pub heard: u64,
    /// Where the guest first did otherwise than in the capture.
    pub parted: Option<Parting>,
    /// Why it is not played.
    pub reason: Option<&'static str>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.status.words())?;
        match self.reason {
            Some(reason) => return write!(f, ", {reason}"),
            None => write!(f, ", {} of {} turns", self.turns, self.of)?,
        }
        if self.again > 0 {
            write!(f, ", {} sent again", self.again)?;
        }
        self.parted.map_or(Ok(()), |parted| write!(f, ", parted: {parted}"))
    }
}

/// Something that a trace should know: which conversation, what happened, at which turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its place among the conversations.
    pub conversation: u32,
    /// What happened.
    pub what: ConversationStep,
    /// The captured frame whose turn it is.
    pub frame: u64,
}
