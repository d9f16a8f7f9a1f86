//! Reading the tables: root and context entry, then the second-level paging structures (VT-d specification, 3.4, 3.7,
//! 9.1, 9.3, 9.8). Pure: it looks at memory and tells an observer each entry; caches, traces and faults are others'.

use crate::config::IommuConfig;
use crate::spec::{fault, table::*};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa, Iova};
use serde::{Deserialize, Serialize};

/// Level of a context table in [`Step`].
pub(crate) const LEVEL_CONTEXT: u8 = 5;
/// Level of the root table in [`Step`].
pub(crate) const LEVEL_ROOT: u8 = 6;

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// 0 is the table of 4 KiB pages.
    pub(crate) level: u8,
    pub(crate) gpa: Gpa,
    pub(crate) entry: [u64; 2],
}

/// Where a walk begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Of the table's entries.
    pub(crate) level: u8,
    pub(crate) gpa: Gpa,
    /// R and W as far as the entries above grant them.
    pub(crate) allowed: u64,
}

/// Who watches a walk.
pub(crate) trait Observer {
    /// An entry was read.
    fn read(&mut self, step: Step);

    /// A good entry led to this table.
    fn leads_to(&mut self, _table: Table) {}
}

impl<F: FnMut(Step)> Observer for F {
    fn read(&mut self, step: Step) {
        self(step);
    }
}

/// A context entry as memory holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Context(pub [u64; 2]);

impl Context {
    /// Faults of this device are not to be recorded.
    #[must_use]
    pub const fn fault_processing_disabled(self) -> bool {
        self.0[0] & CONTEXT_FPD != 0
    }

    /// Translation type.
    #[must_use]
    pub const fn translation_type(self) -> u64 {
        self.0[0] >> CONTEXT_TT_SHIFT & 3
    }

    /// Domain.
    #[must_use]
    pub const fn domain(self) -> u16 {
        (self.0[1] >> CONTEXT_DOMAIN_SHIFT) as u16
    }

    /// The topmost paging table.
    #[must_use]
    pub const fn table(self) -> Gpa {
        Gpa(self.0[0] & ADDRESS)
    }

    /// Where the walks of the device begin.
    pub(crate) const fn top(self) -> Table {
        Table { level: self.levels() - 1, gpa: self.table(), allowed: PTE_R | PTE_W }
    }

    /// Address width, encoded.
    #[must_use]
    pub const fn width(self) -> u64 {
        self.0[1] & CONTEXT_AW
    }

    /// Levels of its paging structure: 3 to 5 in a valid entry.
    #[must_use]
    pub const fn levels(self) -> u8 {
        self.width() as u8 + 2
    }
}

/// Why there is no context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextFault {
    pub(crate) reason: u8,
    /// FPD of the context entry, if it came to that.
    pub(crate) silent: bool,
}

/// Finds and checks the context entry of `bdf` below `root`.
pub(crate) fn context(
    config: &IommuConfig,
    root: Gpa,
    mem: &PhysMem,
    bdf: Bdf,
    see: &mut impl FnMut(Step),
) -> Result<Context, ContextFault> {
    let loud = |reason| ContextFault { reason, silent: false };
    let gpa = root.plus(u64::from(bdf.bus()) * ENTRY_LEN);
    let entry = entry128(mem, gpa).ok_or(loud(fault::ROOT_FETCH))?;
    see(Step { level: LEVEL_ROOT, gpa, entry });
    if entry[0] & PRESENT == 0 {
        return Err(loud(fault::ROOT_NOT_PRESENT));
    }
    if entry[0] & (ROOT_RESERVED | config.beyond_host()) != 0 || entry[1] != 0 {
        return Err(loud(fault::ROOT_RESERVED));
    }
    let gpa = Gpa(entry[0] & ADDRESS).plus(u64::from(bdf.devfn()) * ENTRY_LEN);
    let entry = entry128(mem, gpa).ok_or(loud(fault::CONTEXT_FETCH))?;
    see(Step { level: LEVEL_CONTEXT, gpa, entry });
    let context = Context(entry);
    match check_context(config, context) {
        Some(reason) => Err(ContextFault { reason, silent: context.fault_processing_disabled() }),
        None => Ok(context),
    }
}

/// What is wrong with a context entry, as a fault reason.
pub(crate) fn check_context(config: &IommuConfig, context: Context) -> Option<u8> {
    let [low, high] = context.0;
    if low & PRESENT == 0 {
        return Some(fault::CONTEXT_NOT_PRESENT);
    }
    let passes = config.pass_through && context.translation_type() == TT_PASS_THROUGH;
    // The pointer of an entry that passes addresses through is ignored, all of it.
    let reserved_low = CONTEXT_RESERVED_LOW | if passes { 0 } else { config.beyond_host() };
    let reserved_high = CONTEXT_RESERVED_HIGH | (config.beyond_domain() & 0xffff) << CONTEXT_DOMAIN_SHIFT;
    if low & reserved_low != 0 || high & reserved_high != 0 {
        return Some(fault::CONTEXT_RESERVED);
    }
    let width = match context.width() {
        AW_39..=AW_57 => config.walks(context.levels()),
        _ => false,
    };
    let known = passes || context.translation_type() == TT_TRANSLATE;
    (!width || !known).then_some(fault::CONTEXT_INVALID)
}

/// Whether `iova` lies beyond what the device's tables or the unit can translate: reason 4.
pub(crate) fn too_wide(config: &IommuConfig, context: Context, iova: Iova) -> bool {
    iova.0 >> (12 + 9 * context.levels()).min(config.address_bits) != 0
}

/// A translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Where the page lies.
    pub(crate) gpa: Gpa,
    /// 12, 21 or 30.
    pub(crate) shift: u8,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PagingFault {
    pub(crate) reason: u8,
    /// The entry that refused stands for the page whatever the access: not present, or malformed.
    pub(crate) for_any_access: bool,
}

/// The permission fault of an access.
pub(crate) const fn permission_fault(write: bool) -> u8 {
    if write { fault::WRITE } else { fault::READ }
}

/// Walks tables from `start` on for an access to `iova`.
pub(crate) fn second_level(
    config: &IommuConfig,
    mem: &PhysMem,
    start: Table,
    iova: Iova,
    write: bool,
    observer: &mut impl Observer,
) -> Result<Leaf, PagingFault> {
    let wanted = if write { PTE_W } else { PTE_R };
    let Table { mut level, gpa: mut table, mut allowed } = start;
    loop {
        let shift = 12 + 9 * level;
        let gpa = table.plus((iova.0 >> shift & 0x1ff) * PTE_LEN);
        let fault = |reason, for_any_access| Err(PagingFault { reason, for_any_access });
        let Ok(entry) = mem.read_u64(gpa) else { return fault(fault::PAGING_FETCH, true) };
        observer.read(Step { level, gpa, entry: [entry, 0] });
        if entry & (PTE_R | PTE_W) == 0 {
            return fault(permission_fault(write), true);
        }
        let Some(is_leaf) = check_paging(config, entry, level) else {
            return fault(fault::PAGING_RESERVED, true);
        };
        allowed &= entry;
        if allowed & wanted == 0 {
            return fault(permission_fault(write), false);
        }
        let gpa = Gpa(entry & ADDRESS);
        if is_leaf {
            return Ok(Leaf { gpa, shift, read: allowed & PTE_R != 0, write: allowed & PTE_W != 0 });
        }
        table = gpa;
        level -= 1;
        observer.leads_to(Table { level, gpa, allowed });
    }
}

/// Whether a present paging entry at `level` is a leaf; `None` if it has reserved bits set.
pub(crate) fn check_paging(config: &IommuConfig, entry: u64, level: u8) -> Option<bool> {
    let is_leaf = level == 0 || entry & PTE_PS != 0;
    let pointer_beyond = config.beyond_host() & ADDRESS;
    let snoop = if config.snoop_control { 0 } else { PTE_SNP };
    let by_kind = match (level, is_leaf) {
        (0, _) => snoop,
        (1 | 2, true) if config.superpages => ((1 << (12 + 9 * level)) - PAGE_LOW) | snoop,
        (_, true) => PTE_PS,
        (_, false) => PTE_SNP,
    };
    (entry & (pointer_beyond | PTE_TM | by_kind) == 0).then_some(is_leaf)
}

/// The first address bit of a page.
const PAGE_LOW: u64 = 1 << 12;

/// Reads an entry of two qwords.
pub(crate) fn entry128(mem: &PhysMem, gpa: Gpa) -> Option<[u64; 2]> {
    let mut bytes = [0; 16];
    mem.read(gpa, &mut bytes).ok()?;
    let value = u128::from_le_bytes(bytes);
    Some([value as u64, (value >> 64) as u64])
}
