//! Which records of a trace are wanted. What a block's index rules out is not read.

use super::expression::{Expression, Fields};
use super::file::BlockIndex;
use super::jsonl;
use crate::position::Position;
use emu_core::trace::{RecordId, TraceEvent, TraceMask, TraceRecord};
use std::collections::BTreeSet;

/// Conditions that a record must all meet.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Kinds.
    pub kinds: TraceMask,
    /// Sources, as `e1000.0` or `e1000`; none is all.
    pub sources: Vec<String>,
    /// From there on.
    pub from: Option<Position>,
    /// Up to there, without it.
    pub to: Option<Position>,
    /// Speaks of that domain.
    pub domain: Option<u64>,
    /// Speaks of that vector.
    pub vector: Option<u64>,
    /// A condition on its fields.
    pub condition: Option<Expression>,
    /// One of these: a packet's journey.
    pub only: Option<BTreeSet<RecordId>>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            kinds: TraceMask::ALL,
            sources: Vec::new(),
            from: None,
            to: None,
            domain: None,
            vector: None,
            condition: None,
            only: None,
        }
    }
}

/// Says of one record after the other whether it is wanted.
#[derive(Clone, Debug)]
pub struct Sieve<'f> {
    filter: &'f Filter,
    /// A position that a record must name was met.
    begun: bool,
    ended: bool,
}

impl Filter {
    /// Starts at the first record.
    #[must_use]
    pub fn sieve(&self) -> Sieve<'_> {
        Sieve { filter: self, begun: self.from.is_none(), ended: false }
    }

    /// Whether a block may have wanted records, as far as its index can tell.
    #[must_use]
    pub fn may_want(&self, block: &BlockIndex) -> bool {
        let early = match &self.from {
            Some(Position::Insns(n)) => block.insns.1 < *n,
            Some(Position::Time(time)) => block.times.1 < time.0,
            Some(Position::Record(id)) => block.ids.1 < *id,
            Some(Position::Packet(_) | Position::Serial(_)) | None => false,
        };
        let late = match &self.to {
            Some(Position::Insns(n)) => block.insns.0 >= *n,
            Some(Position::Time(time)) => block.times.0 >= time.0,
            Some(Position::Record(id)) => block.ids.0 >= *id,
            Some(Position::Packet(_) | Position::Serial(_)) | None => false,
        };
        // A packet's position is a record of one kind, whatever kinds are wanted.
        let marked = [&self.from, &self.to].iter().any(|at| matches!(at, Some(Position::Packet(_))));
        let apart = self
            .only
            .as_ref()
            .is_some_and(|only| only.range(RecordId(block.ids.0)..=RecordId(block.ids.1)).next().is_none());
        !early && !late && (marked || !apart && block.has(self.kinds))
    }

    fn meets(&self, record: &TraceRecord) -> bool {
        let source = || {
            let name = record.source.to_string();
            self.sources.iter().any(|wanted| {
                name == *wanted
                    || name.strip_prefix(wanted.as_str()).is_some_and(|index| {
                        index.trim_start_matches('.').chars().all(|digit| digit.is_ascii_digit())
                    })
            })
        };
        let only = self.only.as_ref().is_none_or(|only| only.contains(&record.id));
        if !only || !self.kinds.has(record.event.kind()) || !(self.sources.is_empty() || source()) {
            return false;
        }
        if self.domain.is_none() && self.vector.is_none() && self.condition.is_none() {
            return true;
        }
        let fields = Fields::of(jsonl::object(record));
        let names = |name: &str, wanted: Option<u64>| {
            wanted.is_none_or(|wanted| fields.get(name).and_then(serde_json::Value::as_u64) == Some(wanted))
        };
        names("domain", self.domain)
            && names("vector", self.vector)
            && self.condition.as_ref().is_none_or(|condition| condition.holds(&fields))
    }
}

impl Sieve<'_> {
    /// Whether the range is over: nothing more can be wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether `record` is wanted. Records come in order.
    pub fn wants(&mut self, record: &TraceRecord) -> bool {
        if !self.begun {
            self.begun = self.filter.from.as_ref().is_some_and(|from| reached(from, record));
        }
        if !self.ended {
            self.ended = self.filter.to.as_ref().is_some_and(|to| reached(to, record));
        }
        self.begun && !self.ended && self.filter.meets(record)
    }
}

/// Whether the run is at or past `position` when `record` is made. `packet=N` is the arrival of that frame.
fn reached(position: &Position, record: &TraceRecord) -> bool {
    match position {
        Position::Insns(n) => record.insns >= *n,
        Position::Time(time) => record.time >= *time,
        Position::Record(id) => record.id.0 >= *id,
        Position::Packet(n) => matches!(record.event, TraceEvent::FrameIn { packet, .. } if packet >= *n),
        Position::Serial(_) => false,
    }
}
