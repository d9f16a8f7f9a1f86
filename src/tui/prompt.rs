//! Lines that are typed: a position to go to, a filter for the trace.

use crate::position::Position;
use crate::view::expression::{Expression, Fields};
use crate::view::jsonl;
use emu_core::trace::{TraceMask, TraceRecord};

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Where to go.
    Position,
    /// Which records to show.
    Filter,
}

/// A line in the making.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) asked: Asked,
    pub(super) text: String,
}

impl Prompt {
    pub(super) const fn new(asked: Asked) -> Self {
        Self { asked, text: String::new() }
    }

    /// What may be typed.
    pub(super) const fn hint(&self) -> &'static str {
        match self.asked {
            Asked::Position => "go to  insns=N  time=20ms  packet=N  record=N  serial=TEXT",
            Asked::Filter => {
                "show  kinds (dma,irq) or an expression (domain == 1 and event ~ Iotlb); empty: all"
            }
        }
    }
}

/// Which records are shown.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    Kinds(String, TraceMask),
    Condition(String, Expression),
}

impl Filter {
    /// From what was typed; nothing typed is no filter.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(kinds) = TraceMask::parse(text) {
            return Ok(Some(Self::Kinds(text.to_owned(), kinds)));
        }
        let condition = text.parse::<Expression>().map_err(|error| error.to_string())?;
        Ok(Some(Self::Condition(text.to_owned(), condition)))
    }

    /// As it was typed.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Kinds(text, _) | Self::Condition(text, _) => text,
        }
    }

    /// Whether a record is shown.
    pub(super) fn shows(&self, record: &TraceRecord) -> bool {
        match self {
            Self::Kinds(_, kinds) => kinds.has(record.event.kind()),
            Self::Condition(_, condition) => condition.holds(&Fields::of(jsonl::object(record))),
        }
    }
}

/// A position, or why it is none.
pub(super) fn position(text: &str) -> Result<Position, String> {
    text.trim().parse::<Position>().map_err(|error| error.to_string())
}
