//! What the sanitizer found, in words and as JSON. `docs/sanitizer.md` says what each kind means, and what it can't know.

use super::{Actor, Moment, Writer};
use crate::view::symbols::Symbols;
use crate::view::{bits, text};
use emu_core::trace::TraceRecord;
use emu_core::{Bdf, Gpa, VirtDuration};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The IOTLB, or a paging-structure cache, served a translation that the tables no longer have.
    StaleIotlb,
    /// The context cache served an entry that the table no longer has.
    StaleContext,
    /// The PASID cache did.
    StalePasid,
    /// The interrupt-entry cache did.
    StaleInterrupt,
    /// An entry changed and was used without the invalidation that the change needs.
    MissingInvalidation,
    /// A mapping allows more than the device was asked to do.
    WideMapping,
    /// A page that a device can still reach is in use for something else.
    ReusedPage,
    /// An interrupt entry does not check who uses it.
    UnverifiedInterrupt,
    /// A device may still master the bus after its context was taken away.
    BusMasterAfterDetach,
}

impl Kind {
    /// As it is named in reports and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleIotlb => "stale-iotlb",
            Self::StaleContext => "stale-context",
            Self::StalePasid => "stale-pasid",
            Self::StaleInterrupt => "stale-interrupt",
            Self::MissingInvalidation => "missing-invalidation",
            Self::WideMapping => "wide-mapping",
            Self::ReusedPage => "reused-page",
            Self::UnverifiedInterrupt => "unverified-interrupt",
            Self::BusMasterAfterDetach => "bus-master-after-detach",
        }
    }

    /// What would mend it.
    const fn mend(self) -> &'static str {
        match self {
            Self::StaleIotlb => {
                "after a change of a paging entry, invalidate the IOTLB for its pages and wait for it"
            }
            Self::StaleContext => {
                "after a change of a context entry, invalidate the context cache, then the IOTLB"
            }
            Self::StalePasid => "after a change of a PASID entry, invalidate the PASID cache, then the IOTLB",
            Self::StaleInterrupt => {
                "after a change of an interrupt entry, invalidate the interrupt entry cache"
            }
            Self::MissingInvalidation => {
                "invalidate before the entry can be used: other hardware keeps it longer"
            }
            Self::WideMapping => "map with the rights and the length of what the device is asked to do",
            Self::ReusedPage => "unmap, invalidate and wait before the page is given back",
            Self::UnverifiedInterrupt => "set SVT and SID of the interrupt entry to its device",
            Self::BusMasterAfterDetach => "clear Command.BusMaster before the context entry",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Wrong: some hardware punishes it.
    Error,
    /// Between an unmapping and its invalidation, which did come: a choice of lazy drivers.
    Window,
    /// As the guest wants it, and worth knowing.
    Note,
}

impl Severity {
    /// As it is named in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Window => "window",
            Self::Note => "note",
        }
    }
}

/// One finding; further ones of the same kind by the same writer are counted.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// Whose requests.
    pub device: Option<Bdf>,
    /// What happened.
    pub what: String,
    /// The table entry that it is about.
    pub entry: Option<Gpa>,
    /// Who wrote that entry last; `None` if it was before the watch began.
    pub writer: Option<Writer>,
    /// When it was found.
    pub at: Moment,
    /// How often.
    pub count: u64,
    /// The longest time between the change and the invalidation.
    pub longest: Option<VirtDuration>,
    /// The record in which it showed, and those that led to it.
    pub chain: Vec<TraceRecord>,
}

impl Writer {
    /// Who and when.
    #[must_use]
    pub fn words(&self, symbols: &Symbols) -> String {
        let who = match self.actor {
            Actor::Cpu { rip } => match symbols.name(rip) {
                Some(name) => format!("{name} ({rip:#x})"),
                None => format!("code at {rip:#x}"),
            },
            Actor::Device(bdf) => format!("a DMA of {bdf}"),
            Actor::Unit => "the unit itself".to_owned(),
        };
        format!("{who} at {}", self.at)
    }
}

impl Finding {
    /// Lines for people.
    #[must_use]
    pub fn to_text(&self, symbols: &Symbols) -> String {
        let mut out = String::new();
        let device = self.device.map(|bdf| format!("  {bdf}")).unwrap_or_default();
        let often = if self.count > 1 { format!("  {} times", self.count) } else { String::new() };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {}{device}{often}", self.severity.name(), self.kind.name());
        let _ = writeln!(out, "  {}", self.what);
        if let Some(longest) = self.longest {
            let _ =
                writeln!(out, "  longest time from the change to its invalidation: {} ns", longest.0 / 1000);
        }
        if let Some(entry) = self.entry {
            let who = self.writer.map_or_else(
                || "unknown: it was written before the watch began".to_owned(),
                |writer| writer.words(symbols),
            );
            let _ = writeln!(out, "  entry at {entry} written by {who}");
        }
        let _ = writeln!(out, "  seen at {}", self.at);
        for (depth, record) in self.chain.iter().enumerate() {
            let _ =
                writeln!(out, "    {}{}", if depth == 0 { "" } else { "because of " }, text::line(record));
            if depth == 0 {
                for line in bits::of(record) {
                    let _ = writeln!(out, "      {line}");
                }
            }
        }
        let _ = writeln!(out, "  to mend it: {}", self.kind.mend());
        out
    }

    /// The same as an object.
    #[must_use]
    pub fn to_json(&self, symbols: &Symbols) -> Value {
        json!({
            "kind": self.kind.name(),
            "severity": self.severity.name(),
            "device": self.device.map(|bdf| bdf.to_string()),
            "what": self.what,
            "entry": self.entry.map(|entry| entry.to_string()),
            "writer": self.writer.map(|writer| writer.words(symbols)),
            "record": self.at.record.0,
            "insns": self.at.insns,
            "count": self.count,
            "longest_ns": self.longest.map(|span| span.0 / 1000),
            "chain": self.chain.iter().map(|record| record.id.0).collect::<Vec<_>>(),
            "mend": self.kind.mend(),
        })
    }
}

/// All findings, the worst first.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one, or counts it with those that it is like.
    pub(super) fn add(&mut self, finding: Finding) {
        let who = |finding: &Finding| {
            (finding.kind, finding.severity, finding.device, finding.writer.map(|w| w.actor))
        };
        match self.0.iter_mut().find(|known| who(known) == who(&finding)) {
            Some(known) => {
                known.count += finding.count;
                known.longest = known.longest.max(finding.longest);
            }
            None => self.0.push(finding),
        }
    }

    /// Them.
    #[must_use]
    pub fn all(&self) -> Vec<&Finding> {
        let mut all: Vec<&Finding> = self.0.iter().collect();
        all.sort_by_key(|finding| (finding.severity, finding.kind, finding.at.record));
        all
    }
}
