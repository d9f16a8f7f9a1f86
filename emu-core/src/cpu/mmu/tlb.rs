//! The TLBs: a direct-mapped data TLB per access context, an instruction TLB, and the tags of the fast path.

use crate::addr::{Gpa, Lin, PAGE_SIZE};
use serde::{Deserialize, Serialize};

/// Data TLB entries per context.
pub(super) const DATA_ENTRIES: usize = 1024;
/// Instruction TLB entries.
pub(super) const CODE_ENTRIES: usize = 1024;

/// Under which rules a data access is made: each has its own TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// CPL 3.
    User = 0,
    /// Supervisor, user pages forbidden by SMAP. Implicit supervisor accesses too, if SMAP is on.
    Supervisor = 1,
    /// Supervisor, user pages allowed: SMAP off, or RFLAGS.AC set.
    SupervisorRelaxed = 2,
}

/// log2 of the size of the largest pages.
const HUGE_LOG2: u32 = 30;

/// A tag that no address can equal.
const NEVER: u64 = u64::MAX;

/// The fast path's view of a translation. A tag is the linear page address if an access of that kind may go straight to
/// the host, else [`NEVER`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(crate) struct FastEntry {
    pub(super) read: u64,
    pub(super) write: u64,
    /// Host address minus linear address.
    pub(super) addend: u64,
}

impl FastEntry {
    pub(super) const EMPTY: Self = Self { read: NEVER, write: NEVER, addend: 0 };
}

/// One cached translation of a 4 KiB page (larger pages are cached by the pages touched).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlbEntry {
    /// Linear page address.
    pub lin: Lin,
    /// Physical page address.
    pub gpa: Gpa,
    /// Process-context identifier it was filled under.
    pub pcid: u16,
    /// Survives CR3 loads.
    pub global: bool,
    /// Every level allows writes.
    pub writable: bool,
    /// Every level allows user access.
    pub user: bool,
    /// Execution allowed.
    pub executable: bool,
    /// The leaf's dirty bit is known to be set.
    pub dirty: bool,
    /// log2 of the page's true size: 12, 21, 22 or 30.
    pub size_log2: u8,
}

/// The page that instructions are being fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodePage {
    /// Linear page address.
    pub lin: Lin,
    /// Physical page address.
    pub gpa: Gpa,
    /// Fetched at CPL 3.
    pub user: bool,
}

/// What a snapshot keeps: entries with their index, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlbState {
    /// Data entries by context and index.
    pub data: Vec<(u16, TlbEntry)>,
    /// Instruction entries by index.
    pub code: Vec<(u16, TlbEntry)>,
    /// Current code page.
    pub code_page: Option<CodePage>,
    /// PAE page-directory-pointer entries, loaded with CR3.
    pub pdptes: [u64; 4],
    /// Counters.
    pub stats: MmuStats,
}

/// Counters of architectural translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MmuStats {
    /// Page walks made.
    pub walks: u64,
    /// Table entries that walks read.
    pub walk_reads: u64,
    /// Flushes of everything or of all non-global entries.
    pub flushes: u64,
}

/// Regions of 2 MiB in which some entry may be part of a page larger than 4 KiB: a bit each, modulo 2 GiB.
#[derive(Clone, Debug)]
pub(super) struct LargePages {
    regions: [u64; 16],
    /// Some entry is part of a page of 1 GiB.
    huge: bool,
}

impl LargePages {
    const NONE: Self = Self { regions: [0; 16], huge: false };

    fn place(lin: Lin) -> (usize, u64) {
        let region = (lin.0 >> 21) as usize % 1024;
        (region / 64, 1 << (region % 64))
    }

    /// Remembers where an entry is, if it is part of a larger page.
    pub(super) fn note(&mut self, entry: &TlbEntry) {
        if entry.size_log2 > 22 {
            self.huge = true;
        } else if entry.size_log2 > 12 {
            // A page of 4 MiB is two regions.
            for lin in [entry.lin.0, entry.lin.0 ^ 1 << 21] {
                let (word, bit) = Self::place(Lin(lin));
                self.regions[word] |= bit;
            }
        }
    }

    fn may_cover(&self, lin: Lin) -> bool {
        let (word, bit) = Self::place(lin);
        self.huge || self.regions[word] & bit != 0
    }
}

/// Translation caches of one processor.
#[derive(Debug)]
pub(crate) struct Mmu {
    /// Contexts 0-2 in turn; a fourth of the array is never filled, for accesses that must always take the slow path.
    pub(super) fast: Box<[FastEntry; 4 * DATA_ENTRIES]>,
    pub(super) data: Box<[Option<TlbEntry>]>,
    pub(super) code: Box<[Option<TlbEntry>]>,
    /// Where the current context's fast entries start.
    pub(super) fast_base: usize,
    pub(super) context: Context,
    pub(super) code_page: Option<CodePage>,
    /// Grows whenever a translation that code may have been linked through is dropped.
    pub(super) code_generation: u64,
    pub(super) pdptes: [u64; 4],
    /// Where entries are parts of larger pages.
    pub(super) large: LargePages,
    pub(super) stats: MmuStats,
}

/// Where compiled code finds the fast path's tags.
pub(crate) mod layout {
    use super::{DATA_ENTRIES, FastEntry, Mmu};
    use std::mem::offset_of;

    /// The address of all tags.
    pub(crate) const FAST: usize = offset_of!(Mmu, fast);
    /// The number of the current context's first.
    pub(crate) const FAST_BASE: usize = offset_of!(Mmu, fast_base);
    pub(crate) const TAG_READ: usize = offset_of!(FastEntry, read);
    pub(crate) const TAG_WRITE: usize = offset_of!(FastEntry, write);
    pub(crate) const TAG_ADDEND: usize = offset_of!(FastEntry, addend);
    /// log2 of a tag's size.
    pub(crate) const TAG_LOG2: i64 = size_of::<FastEntry>().trailing_zeros() as i64;
    /// What of a page's number selects a tag, times its size.
    pub(crate) const TAG_MASK: i64 = (DATA_ENTRIES as i64 - 1) << TAG_LOG2;
}

impl Mmu {
    pub(crate) fn new() -> Self {
        Self {
            fast: Box::new([FastEntry::EMPTY; 4 * DATA_ENTRIES]),
            data: vec![None; 3 * DATA_ENTRIES].into_boxed_slice(),
            code: vec![None; CODE_ENTRIES].into_boxed_slice(),
            fast_base: 2 * DATA_ENTRIES,
            context: Context::SupervisorRelaxed,
            code_page: None,
            code_generation: 1,
            pdptes: [0; 4],
            large: LargePages::NONE,
            stats: MmuStats::default(),
        }
    }

    /// Index of a page's data entry in `context`.
    pub(super) fn data_index(context: Context, lin: u64) -> usize {
        context as usize * DATA_ENTRIES + (lin / PAGE_SIZE) as usize % DATA_ENTRIES
    }

    /// Index of a page's instruction entry.
    pub(super) fn code_index(user: bool, lin: u64) -> usize {
        ((lin / PAGE_SIZE) as usize ^ (usize::from(user) << 9)) % CODE_ENTRIES
    }

    /// Selects the context of explicit data accesses. `checked` sends every access the slow way (alignment checks).
    pub(super) fn select(&mut self, context: Context, checked: bool) {
        self.context = context;
        self.fast_base = if checked { 3 } else { context as usize } * DATA_ENTRIES;
    }

    /// The generation that links between blocks of different pages were made in.
    pub(crate) fn code_generation(&self) -> u64 {
        self.code_generation
    }

    /// Drops all translations: MOV to CR0, CR4, reset.
    pub(crate) fn flush_all(&mut self) {
        self.data.fill(None);
        self.code.fill(None);
        self.large = LargePages::NONE;
        self.stats.flushes += 1;
        self.drop_fast();
        self.drop_code_page();
    }

    /// Drops what a load of CR3 with that PCID drops: everything of the PCID that is not global.
    pub(crate) fn flush_pcid(&mut self, pcid: u16) {
        self.stats.flushes += 1;
        self.retain(|entry| entry.global || entry.pcid != pcid);
    }

    /// Drops everything that is not global, whatever its PCID (INVPCID type 3).
    pub(crate) fn flush_non_global(&mut self) {
        self.stats.flushes += 1;
        self.retain(|entry| entry.global);
    }

    /// Drops one page, and the whole of a larger page that it is part of. With `pcid`, only what that PCID or a global
    /// entry would use (INVLPG); without `global`, global entries stay (INVPCID type 0).
    pub(crate) fn flush_page(&mut self, lin: Lin, pcid: u16, global: bool) {
        let concerned = |entry: &TlbEntry| {
            let span = !0 << entry.size_log2;
            entry.lin.0 & span == lin.0 & span && if entry.global { global } else { entry.pcid == pcid }
        };
        // Of the page that is being executed only the address is known, not how large the page is that it is part of.
        let is_near = |code: CodePage| code.lin.0 >> HUGE_LOG2 == lin.0 >> HUGE_LOG2;
        let mut fetched = self.code_page.is_some_and(is_near);
        if self.large.may_cover(lin) {
            fetched |= self.drop_entries(concerned);
            self.drop_fast();
        } else {
            for context in [Context::User, Context::Supervisor, Context::SupervisorRelaxed] {
                let index = Self::data_index(context, lin.0);
                if self.data[index].as_ref().is_some_and(concerned) {
                    self.data[index] = None;
                    self.fast[index] = FastEntry::EMPTY;
                }
            }
            for user in [false, true] {
                let entry = &mut self.code[Self::code_index(user, lin.0)];
                if entry.as_ref().is_some_and(concerned) {
                    *entry = None;
                    fetched = true;
                }
            }
        }
        // Links lead through translations of code only.
        if fetched {
            self.drop_code_page();
        }
    }

    fn retain(&mut self, keep: impl Fn(&TlbEntry) -> bool) {
        self.drop_entries(|entry| !keep(entry));
        self.drop_fast();
        self.drop_code_page();
    }

    /// Answers whether one of them was for fetching.
    fn drop_entries(&mut self, concerned: impl Fn(&TlbEntry) -> bool) -> bool {
        let mut fetched = false;
        for slot in &mut self.data {
            if slot.as_ref().is_some_and(&concerned) {
                *slot = None;
            }
        }
        for slot in &mut self.code {
            if slot.as_ref().is_some_and(&concerned) {
                *slot = None;
                fetched = true;
            }
        }
        fetched
    }

    /// Forgets all tags; translations stay and make new ones without a walk.
    pub(crate) fn drop_fast(&mut self) {
        self.fast.fill(FastEntry::EMPTY);
    }

    /// Forgets write tags of one physical page: it now holds decoded code.
    pub(crate) fn drop_write_tags(&mut self, page: Gpa) {
        for (fast, entry) in self.fast.iter_mut().zip(self.data.iter()) {
            if entry.is_some_and(|entry| entry.gpa == page) {
                fast.write = NEVER;
            }
        }
    }

    /// Forgets all write tags: memory wants to hear of the next store to each page.
    pub(crate) fn drop_all_write_tags(&mut self) {
        for fast in self.fast.iter_mut() {
            fast.write = NEVER;
        }
    }

    /// Goes on fetching from a page whose translation is known to be cached.
    pub(crate) fn enter_code_page(&mut self, lin: u64, gpa: Gpa, user: bool) {
        self.code_page = Some(CodePage { lin: Lin(lin), gpa, user });
    }

    /// Whether the page that is being executed is still known: nothing that its translation depends on has changed.
    pub(crate) fn has_code_page(&self) -> bool {
        self.code_page.is_some()
    }

    /// The next fetch translates anew, and links between pages are forgotten.
    pub(crate) fn drop_code_page(&mut self) {
        self.code_page = None;
        self.code_generation += 1;
    }

    /// What a snapshot keeps.
    #[must_use]
    pub(crate) fn state(&self) -> TlbState {
        let list = |entries: &[Option<TlbEntry>]| {
            entries.iter().enumerate().filter_map(|(index, entry)| Some((index as u16, (*entry)?))).collect()
        };
        TlbState {
            data: list(&self.data),
            code: list(&self.code),
            code_page: self.code_page,
            pdptes: self.pdptes,
            stats: self.stats,
        }
    }

    /// Goes on from a snapshot. `Err` names an entry that can't be where it says it is.
    pub(crate) fn restore(&mut self, state: TlbState) -> Result<(), Lin> {
        self.flush_all();
        for (index, entry) in &state.data {
            let slot = self.data.get_mut(usize::from(*index)).ok_or(entry.lin)?;
            if (entry.lin.0 / PAGE_SIZE) as usize % DATA_ENTRIES != usize::from(*index) % DATA_ENTRIES {
                return Err(entry.lin);
            }
            *slot = Some(*entry);
            self.large.note(entry);
        }
        for (index, entry) in &state.code {
            let index = usize::from(*index);
            if index != Self::code_index(false, entry.lin.0) && index != Self::code_index(true, entry.lin.0) {
                return Err(entry.lin);
            }
            self.code[index] = Some(*entry);
            self.large.note(entry);
        }
        self.code_page = state.code_page;
        self.pdptes = state.pdptes;
        self.stats = state.stats;
        Ok(())
    }
}
