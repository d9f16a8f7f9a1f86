//! Faults explained: the line that Linux prints, the walk to the entry that refused, who wrote that entry and when, whether a
//! cache was stale, and what would mend it.

use super::entry::IRT;
use super::tables::Tables;
use super::{Moment, Writer};
use crate::view::bits;
use crate::view::symbols::Symbols;
use emu_core::mem::PhysMem;
use emu_core::trace::IommuCache;
use emu_core::{Bdf, Gpa, Iova};
use emu_iommu::spec::{fault as reason, irte, register};
use emu_iommu::{TableEntry, TruePage, Vtd, fault_reason_text, is_interrupt_reason, linux_fault_line};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// An entry on the way, and who wrote it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The entry.
    pub entry: TableEntry,
    /// In words.
    pub meaning: String,
    /// Who wrote it last; `None` if it was before the watch began.
    pub writer: Option<Writer>,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked.
    pub bdf: Bdf,
    /// For what address, or which interrupt entry.
    pub address: u64,
    /// The fault reason.
    pub reason: u8,
    /// A write.
    pub write: bool,
    /// It is in a fault recording register.
    pub recorded: bool,
}

/// A fault with its reasons.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What was refused.
    pub refusal: Refusal,
    /// When.
    pub at: Moment,
    /// The entries that memory has, the last being the one that refused unless a cache did.
    pub steps: Vec<Step>,
    /// What memory says of the request: a page, or a reason.
    pub truth: Option<Result<TruePage, u8>>,
    /// Caches that held something else.
    pub stale: Vec<IommuCache>,
}

/// The index and the bytes of an interrupt entry.
fn interrupt_step(vtd: &Vtd, mem: &PhysMem, index: u64) -> Option<TableEntry> {
    let base = vtd.state().interrupt_table;
    let size = 2u64 << (base & register::IRTA_S);
    let gpa = Gpa(base & !0xfff).plus(index * irte::IRTE_LEN);
    if index >= size {
        return None;
    }
    Some(TableEntry { level: IRT, gpa, entry: [mem.read_u64(gpa).ok()?, mem.read_u64(gpa.plus(8)).ok()?] })
}

impl Explained {
    /// By the tables, the caches and the writers as they are now.
    pub(super) fn new(vtd: &Vtd, mem: &PhysMem, tables: &Tables, refusal: Refusal, at: Moment) -> Self {
        let step = |entry: TableEntry| {
            let meaning = if entry.level == IRT {
                bits::interrupt_entry(entry.entry)
            } else {
                bits::walk_entry(entry.level, entry.entry)
            };
            Step { meaning, writer: tables.writer(entry.gpa), entry }
        };
        if is_interrupt_reason(refusal.reason) {
            let found = interrupt_step(vtd, mem, refusal.address);
            let cached =
                vtd.interrupt_entries().find(|cached| u64::from(cached.entry.index) == refusal.address);
            let differs =
                |entry: &TableEntry| cached.is_some_and(|cached| cached.entry.irte.0 != entry.entry);
            let stale = found.as_ref().is_some_and(differs).then_some(IommuCache::InterruptEntry);
            let stale = stale.into_iter().collect();
            return Self { refusal, at, steps: found.into_iter().map(step).collect(), truth: None, stale };
        }
        let (iova, write) = (Iova(refusal.address), refusal.write);
        match vtd.truth(mem, refusal.bdf, iova, write) {
            Some(truth) => Self {
                refusal,
                at,
                steps: truth.steps.into_iter().map(step).collect(),
                truth: Some(truth.page),
                stale: truth.stale,
            },
            None => Self { refusal, at, steps: Vec::new(), truth: None, stale: Vec::new() },
        }
    }

    /// The line that Linux prints.
    #[must_use]
    pub fn linux(&self) -> String {
        let Refusal { bdf, address, reason, write, .. } = self.refusal;
        linux_fault_line(bdf, None, address, write, reason)
    }

    /// Whether memory would allow what was refused.
    fn only_a_cache_refused(&self) -> bool {
        matches!(self.truth, Some(Ok(_)))
    }

    /// What would mend it.
    #[must_use]
    pub fn mend(&self) -> String {
        let Refusal { bdf, address, reason, write, .. } = self.refusal;
        let page = address & !0xfff;
        let right = if write { "writing" } else { "reading" };
        match reason {
            _ if self.only_a_cache_refused() => {
                "the tables allow it: invalidate the caches that are stale after a change".to_owned()
            }
            reason::ROOT_NOT_PRESENT | reason::SM_ROOT_NOT_PRESENT => {
                format!("give bus {:#x} a root entry", bdf.bus())
            }
            reason::CONTEXT_NOT_PRESENT | reason::SM_CONTEXT_NOT_PRESENT => {
                format!("give {bdf} a context entry before it masters the bus, or clear Command.BusMaster")
            }
            reason::CONTEXT_INVALID | reason::PASID_INVALID => {
                "the entry's translation type or address width is one that CAP and ECAP do not offer"
                    .to_owned()
            }
            reason::WRITE
            | reason::READ
            | reason::SM_WRITE
            | reason::SM_READ
            | reason::SECOND_NOT_PRESENT => {
                let last = self.steps.last().is_some_and(|step| step.entry.entry[0] & 3 == 0);
                let what = if last { "nothing is mapped there" } else { "the mapping lacks that right" };
                format!(
                    "{what}: map {page:#x} for {right} before {bdf} is told of it, or keep it mapped for longer"
                )
            }
            reason::ADDRESS_WIDTH | reason::SM_TOO_WIDE | reason::SM_PASSED_TOO_WIDE => {
                "use addresses within the domain's width".to_owned()
            }
            reason::ROOT_RESERVED
            | reason::CONTEXT_RESERVED
            | reason::PAGING_RESERVED
            | reason::IRTE_RESERVED => {
                "clear the reserved bits; which there are depends on CAP and ECAP".to_owned()
            }
            reason::INTERRUPT_ADDRESS | reason::SM_INTERRUPT_ADDRESS => {
                "do not map 0xfee00000-0xfeefffff: it is for interrupts".to_owned()
            }
            reason::INDEX => "the index lies beyond IRTA's size: allocate entries within it".to_owned(),
            reason::IRTE_NOT_PRESENT => {
                format!(
                    "write interrupt entry {address} before its device may interrupt, or mask the device first"
                )
            }
            reason::COMPATIBILITY => "program the device with a message in remappable format".to_owned(),
            reason::SOURCE => {
                format!("set SID of interrupt entry {address} to {bdf}, if that device may use it")
            }
            _ => format!("{}: see `glassbox explain fault {reason:#x}`", fault_reason_text(reason)),
        }
    }

    /// Lines for people.
    #[must_use]
    pub fn to_text(&self, symbols: &Symbols) -> String {
        let mut out = format!("{}\n", self.linux());
        let Refusal { address, recorded, reason, .. } = self.refusal;
        let lost = if recorded { "" } else { ", not recorded (FPD, or an overflow)" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  at {}{lost}; the address itself is {address:#x}", self.at);
        for step in &self.steps {
            let level = level_name(step.entry.level);
            let [low, high] = step.entry.entry;
            let wide = !matches!(step.entry.level, 0..=4 | 8 | 16..=20);
            let raw = if wide { format!("{high:#x} {low:#x}") } else { format!("{low:#x}") };
            let _ = writeln!(out, "  {level:<22} {}: {raw}  {}", step.entry.gpa, step.meaning);
        }
        match (self.only_a_cache_refused(), self.steps.last()) {
            (true, _) => out.push_str("  the tables allow it by now: a cache refused\n"),
            (false, Some(step)) => {
                let who = step.writer.map_or_else(
                    || "unknown: nobody has written it since the watch began".to_owned(),
                    |writer| writer.words(symbols),
                );
                let _ = writeln!(
                    out,
                    "  refused by the last of them, {}; written by {who}",
                    fault_reason_text(reason)
                );
            }
            (false, None) => {
                let _ = writeln!(out, "  refused before any entry was read: {}", fault_reason_text(reason));
            }
        }
        let stale: Vec<&str> = self.stale.iter().map(|cache| cache_name(*cache)).collect();
        let stale = if stale.is_empty() { "none".to_owned() } else { stale.join(", ") };
        let _ = writeln!(out, "  stale caches: {stale}");
        let _ = writeln!(out, "  to mend it: {}", self.mend());
        out
    }

    /// The same as an object.
    #[must_use]
    pub fn to_json(&self, symbols: &Symbols) -> Value {
        let step = |step: &Step| {
            json!({
                "level": level_name(step.entry.level),
                "at": step.entry.gpa.to_string(),
                "entry": format!("{:#x} {:#x}", step.entry.entry[1], step.entry.entry[0]),
                "meaning": step.meaning,
                "writer": step.writer.map(|writer| writer.words(symbols)),
            })
        };
        json!({
            "linux": self.linux(),
            "record": self.at.record.0,
            "insns": self.at.insns,
            "recorded": self.refusal.recorded,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "stale": self.stale.iter().map(|cache| cache_name(*cache)).collect::<Vec<_>>(),
            "mend": self.mend(),
        })
    }
}

/// A table by its level.
fn level_name(level: u8) -> String {
    match level {
        5 | 9 => "context entry".to_owned(),
        6 | 10 => "root entry".to_owned(),
        7 => "PASID table entry".to_owned(),
        8 => "PASID directory entry".to_owned(),
        IRT => "interrupt entry".to_owned(),
        16.. => format!("first-stage level {}", level - 15),
        level => format!("paging level {}", level + 1),
    }
}

/// A cache by its name.
pub(super) const fn cache_name(cache: IommuCache) -> &'static str {
    match cache {
        IommuCache::Context => "context cache",
        IommuCache::Iotlb => "IOTLB",
        IommuCache::InterruptEntry => "interrupt entry cache",
        IommuCache::Pasid => "PASID cache",
        IommuCache::PagingStructure => "paging-structure caches",
    }
}
