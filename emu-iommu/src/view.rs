//! The unit as people look at it: registers in words, a walk told line by line, what a device can reach. Nothing
//! here changes the unit, fills a cache or leaves a record.

use crate::paging::paging_cache_name;
use crate::spec::descriptor::QueueError;
use crate::spec::fault::{RECORD_F, RECORD_READ, RECORD_REASON_SHIFT, fault_reason_text};
use crate::spec::register::*;
use crate::spec::table::{INTERRUPT_RANGE, PTE_R, PTE_W, TT_PASS_THROUGH};
use crate::translate::{context_key, iotlb_key};
use crate::walk::{self, Context, LEVEL_CONTEXT, LEVEL_ROOT, Leaf, Step};
use crate::{IotlbEntry, Vtd};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE};
use std::borrow::Cow;

/// One register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterView {
    /// The specification's name.
    pub name: Cow<'static, str>,
    /// Offset in the register page.
    pub offset: u64,
    /// What it holds; of a fault recording register the upper half.
    pub value: u64,
    /// The value in words; empty where the number says it all.
    pub meaning: String,
}

/// One line of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkLine {
    /// The line.
    pub text: String,
}

/// Addresses that a device reaches, in one piece on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address on the device's side.
    pub iova: Iova,
    /// First address in memory.
    pub gpa: Gpa,
    /// Bytes.
    pub len: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
}

/// What CAP says in bits of their own.
const CAP_WORDS: [(u64, &str); 7] = [
    (CAP_CM, "caching mode"),
    (CAP_RWBF, "write buffer to be flushed"),
    (CAP_PLMR, "protected low memory"),
    (CAP_PHMR, "protected high memory"),
    (CAP_PSI, "page-selective invalidation"),
    (CAP_SLLPS, "large pages"),
    (CAP_ESRTPS, "taking a table over invalidates"),
];

/// Words for the bits of `value` that are set.
fn words(value: u64, names: &[(u64, &str)]) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    set.join(", ")
}

fn permissions(read: bool, write: bool) -> &'static str {
    match (read, write) {
        (true, true) => "read write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "no access",
    }
}

const PAGE_NAMES: [(u8, &str); 3] = [(12, "4 KiB"), (21, "2 MiB"), (30, "1 GiB")];

fn page_name(shift: u8) -> &'static str {
    PAGE_NAMES.iter().find(|(known, _)| *known == shift).map_or("odd", |(_, name)| name)
}

impl Vtd {
    /// Every register that holds something, then the fault recording registers in use.
    #[must_use]
    pub fn registers(&self) -> Vec<RegisterView> {
        let state = &self.state;
        let offsets = [
            VER, CAP, ECAP, GSTS, RTADDR, CCMD, FSTS, FECTL, FEDATA, FEADDR, FEUADDR, IQH, IQT, IQA, ICS,
            IECTL, IEDATA, IEADDR, IEUADDR, IQERCD, IRTA, IOTLB,
        ];
        let protected = self.config.protected_low || self.config.protected_high;
        let regions: &[u64] = if protected { &[PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT] } else { &[] };
        let mut all: Vec<RegisterView> =
            offsets.iter().chain(regions).copied().map(|offset| self.view(offset)).collect();
        for (index, [low, high]) in state.fault_records.iter().enumerate() {
            if high & RECORD_F != 0 {
                let reason = (high >> RECORD_REASON_SHIFT) as u8;
                let what = if reason >= 0x20 {
                    format!("interrupt {:#x}", low >> 48)
                } else {
                    format!("{} of {low:#x}", if high & RECORD_READ != 0 { "read" } else { "write" })
                };
                all.push(RegisterView {
                    name: format!("FRCD{index}").into(),
                    offset: FRCD + index as u64 * FRCD_LEN + 8,
                    value: *high,
                    meaning: format!("{}: {what}: {}", Bdf(*high as u16), fault_reason_text(reason)),
                });
            }
        }
        all
    }

    fn view(&self, offset: u64) -> RegisterView {
        let shift = (offset & 4) * 8;
        let wide = self.qword(offset & !7).unwrap_or(0);
        let value = if is_wide(offset) { wide } else { wide >> shift & 0xffff_ffff };
        RegisterView {
            name: register_name(offset).unwrap_or("?").into(),
            offset,
            value,
            meaning: self.meaning(offset, value),
        }
    }

    fn meaning(&self, offset: u64, value: u64) -> String {
        let bits = |names: &[(u32, &str)]| {
            words(value, &names.iter().map(|(bit, name)| (u64::from(*bit), *name)).collect::<Vec<_>>())
        };
        match offset {
            CAP => format!(
                "{} address bits, {}",
                self.config.address_bits,
                [format!("{} fault records", self.config.fault_records), words(value, &CAP_WORDS)]
                    .into_iter()
                    .filter(|words| !words.is_empty())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            ECAP => words(
                value,
                &[
                    (ECAP_QI, "queued invalidation"),
                    (ECAP_IR, "interrupt remapping"),
                    (ECAP_EIM, "32-bit destinations"),
                    (ECAP_PT, "pass-through"),
                    (ECAP_SC, "snoop control"),
                ],
            ),
            GSTS => bits(&[
                (TE, "DMA remapping on"),
                (SRTP, "root table set"),
                (QIE, "queue on"),
                (IRE, "interrupt remapping on"),
                (SIRTP, "interrupt table set"),
                (CFI, "compatibility interrupts pass"),
            ]),
            RTADDR if value != self.state.root => format!("in use: {:#x}", self.state.root),
            FSTS => bits(&[(PFO, "overflow"), (PPF, "fault pending"), (IQE, "queue error")]),
            PMEN => bits(&[(PRS, "protected regions in force")]),
            FECTL | IECTL => bits(&[(IM, "masked"), (IP, "pending")]),
            IQA => format!("{} descriptors", 256u64 << (value & IQA_QS)),
            ICS => bits(&[(IWC, "wait complete")]),
            IQERCD => QueueError::text(value).to_owned(),
            IRTA => {
                let eime = if value & IRTA_EIME != 0 { ", 32-bit destinations" } else { "" };
                format!("{} entries{eime}", 2u64 << (value & IRTA_S))
            }
            _ => String::new(),
        }
    }

    /// What a request of `bdf` for `iova` would find: the tables as they are in memory now, entry by entry, and where
    /// the caches say something else.
    #[must_use]
    pub fn walk_explain(&self, mem: &PhysMem, bdf: Bdf, iova: Iova) -> Vec<WalkLine> {
        let mut lines = Vec::new();
        let mut say = |text: String| lines.push(WalkLine { text });
        if self.state.status & TE == 0 {
            say("DMA remapping is off: the address is used as it is".to_owned());
            return lines;
        }
        if INTERRUPT_RANGE.contains(&iova.0) {
            say("the interrupt range is never translated".to_owned());
            return lines;
        }
        let mut steps = Vec::new();
        let found = walk::context(&self.config, Gpa(self.state.root), mem, bdf, &mut |step| steps.push(step));
        for step in &steps {
            say(step_words(*step));
        }
        let context = match found {
            Ok(context) => context,
            Err(fault) => {
                say(fault_words(fault.reason));
                return lines;
            }
        };
        self.explain_cached_context(bdf, context, &mut say);
        if walk::too_wide(&self.config, context, iova) {
            say(fault_words(crate::spec::fault::ADDRESS_WIDTH));
        } else if context.translation_type() == TT_PASS_THROUGH {
            say("pass-through: the address is used as it is".to_owned());
        } else {
            self.explain_page(mem, context, iova, &mut say);
        }
        lines
    }

    fn explain_cached_context(&self, bdf: Bdf, context: Context, say: &mut impl FnMut(String)) {
        let set = self.state.contexts.set_of(context_key(bdf));
        if let Some(entry) = self.state.contexts.peek(set, |entry| entry.source == bdf) {
            let stale = if entry.context == context { "the same" } else { "stale" };
            say(format!("context cache: {stale}, domain {}", entry.domain()));
        }
    }

    fn explain_page(&self, mem: &PhysMem, context: Context, iova: Iova, say: &mut impl FnMut(String)) {
        let walk = |write| {
            let mut steps = Vec::new();
            let found = walk::second_level(&self.config, mem, context.top(), iova, write, &mut |step| {
                steps.push(step)
            });
            (steps, found)
        };
        let (mut steps, mut found) = walk(false);
        // A write-only page refuses the read that is tried first.
        if found.is_err() {
            let (more, again) = walk(true);
            if again.is_ok() {
                (steps, found) = (more, again);
            }
        }
        for step in steps {
            say(step_words(step));
            self.explain_cached_entry(context.domain(), iova, step, say);
        }
        match found {
            Ok(Leaf { gpa, shift, read, write }) => {
                let offset = iova.0 & ((1 << shift) - 1);
                let (to, page) = (gpa.plus(offset), page_name(shift));
                say(format!("{iova} is {to}: {page} page, {}", permissions(read, write)));
                if INTERRUPT_RANGE.contains(&to.0) {
                    say(fault_words(crate::spec::fault::INTERRUPT_ADDRESS));
                }
            }
            Err(fault) => say(fault_words(fault.reason)),
        }
        if let Some(entry) = self.cached_page(context.domain(), iova) {
            let same = found.is_ok_and(|leaf| {
                (entry.gpa, entry.page_shift, entry.read, entry.write)
                    == (leaf.gpa, leaf.shift, leaf.read, leaf.write)
            });
            let stale = if same { "the same" } else { "stale" };
            let gpa = entry.gpa.plus(iova.0 & ((1 << entry.page_shift) - 1));
            let rights = permissions(entry.read, entry.write);
            say(format!("IOTLB: {stale}, {iova} is {gpa}: {rights}"));
        }
    }

    /// What a paging-structure cache has in the place of an entry.
    fn explain_cached_entry(&self, domain: u16, iova: Iova, step: Step, say: &mut impl FnMut(String)) {
        if let Some(entry) = self.state.paging.peek(domain, iova, step.level) {
            let same = entry.table.0 == step.entry[0] & crate::spec::table::ADDRESS;
            let stale = if same { "the same" } else { "stale" };
            let (name, rights) = (paging_cache_name(step.level), permissions(entry.read, entry.write));
            say(format!("{name}: {stale}, {rights}, to {}", entry.table));
        }
    }

    fn cached_page(&self, domain: u16, iova: Iova) -> Option<&IotlbEntry> {
        PAGE_NAMES.iter().find_map(|(shift, _)| {
            let set = self.state.iotlb.set_of(iotlb_key(domain, iova, *shift));
            self.state.iotlb.peek(set, |entry| entry.answers(domain, iova, *shift))
        })
    }

    /// What `bdf` can reach by the tables as they are in memory now, at most `limit` ranges. Tables that lead back
    /// into themselves are followed only so far.
    #[must_use]
    pub fn mapped_ranges(&self, mem: &PhysMem, bdf: Bdf, limit: usize) -> Vec<Range> {
        let mut search = Search { vtd: self, mem, ranges: Vec::new(), limit, tables: TABLES_MAX };
        let all =
            Range { iova: Iova(0), gpa: Gpa(0), len: 1 << self.config.address_bits, read: true, write: true };
        if self.state.status & TE == 0 {
            search.add(all);
            search.ranges.truncate(limit);
            return search.ranges;
        }
        let Ok(context) = walk::context(&self.config, Gpa(self.state.root), mem, bdf, &mut |_| {}) else {
            return Vec::new();
        };
        if context.translation_type() == TT_PASS_THROUGH {
            let bits = (12 + 9 * context.levels()).min(self.config.address_bits);
            search.add(Range { len: 1 << bits, ..all });
        } else {
            search.table(context.table(), context.levels() - 1, Iova(0), PTE_R | PTE_W);
        }
        search.ranges.truncate(limit);
        search.ranges
    }
}

/// More tables than a machine's worth of mappings needs.
const TABLES_MAX: u32 = 1 << 16;

/// Goes through all paging tables of a device.
struct Search<'a> {
    vtd: &'a Vtd,
    mem: &'a PhysMem,
    ranges: Vec<Range>,
    limit: usize,
    tables: u32,
}

impl Search<'_> {
    fn table(&mut self, table: Gpa, level: u8, base: Iova, allowed: u64) {
        let mut bytes = [0; PAGE_SIZE as usize];
        if self.tables == 0 || self.mem.read(table, &mut bytes).is_err() {
            return;
        }
        self.tables -= 1;
        let shift = 12 + 9 * level;
        for (index, entry) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            let allowed = allowed & entry;
            let iova = base.plus((index as u64) << shift);
            if allowed == 0 || self.is_full() || iova.0 >> self.vtd.config.address_bits != 0 {
                continue;
            }
            let gpa = Gpa(entry & crate::spec::table::ADDRESS);
            match walk::check_paging(&self.vtd.config, entry, level) {
                Some(true) => {
                    let (read, write) = (allowed & PTE_R != 0, allowed & PTE_W != 0);
                    self.add(Range { iova, gpa, len: 1 << shift, read, write });
                }
                Some(false) => self.table(gpa, level - 1, iova, allowed),
                None => {}
            }
        }
    }

    fn is_full(&self) -> bool {
        self.ranges.len() > self.limit
    }

    /// Adds a page, to the last range if it goes on there. One range too many is kept while searching, so that the
    /// last one wanted is whole.
    fn add(&mut self, page: Range) {
        if let Some(last) = self.ranges.last_mut()
            && last.iova.plus(last.len) == page.iova
            && last.gpa.plus(last.len) == page.gpa
            && (last.read, last.write) == (page.read, page.write)
        {
            last.len += page.len;
        } else {
            self.ranges.push(page);
        }
    }
}

fn step_words(step: Step) -> String {
    let Step { level, gpa, entry: [low, high] } = step;
    let to = Gpa(low & crate::spec::table::ADDRESS);
    let present = low & crate::spec::table::PRESENT != 0;
    match level {
        LEVEL_ROOT if present => format!("root entry at {gpa}: {low:#x}, context table {to}"),
        LEVEL_ROOT => format!("root entry at {gpa}: {low:#x}, not present"),
        LEVEL_CONTEXT if present => {
            let context = Context([low, high]);
            let (domain, levels) = (context.domain(), context.levels());
            format!("context entry at {gpa}: {high:#x} {low:#x}, domain {domain}, {levels} levels from {to}")
        }
        LEVEL_CONTEXT => format!("context entry at {gpa}: {high:#x} {low:#x}, not present"),
        _ => {
            let rights = permissions(low & PTE_R != 0, low & PTE_W != 0);
            format!("level {} entry at {gpa}: {low:#x}, {rights}, to {to}", level + 1)
        }
    }
}

fn fault_words(reason: u8) -> String {
    format!("fault {reason:#x}: {}", fault_reason_text(reason))
}
