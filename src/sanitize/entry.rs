//! Entries of the unit's tables as the sanitizer takes them: how long they are, which of their bits count, where they lead, and
//! which requests they are for. Levels are those of [`emu_core::trace::TraceEvent::WalkStep`], and [`IRT`].
//!
//! Layouts: VT-d specification, chapter 9; the masks are those of `emu_iommu::spec`.

use emu_core::trace::{Granularity, IommuCache};
use emu_core::{Bdf, Gpa, Iova, PAGE_SIZE};
use emu_iommu::spec::{irte, scalable, table};

/// Legacy mode's context table.
pub(super) const CONTEXT: u8 = 5;
/// Legacy mode's root table.
pub(super) const ROOT: u8 = 6;
const PASID: u8 = 7;
const DIRECTORY: u8 = 8;
pub(super) const SCALABLE_CONTEXT: u8 = 9;
pub(super) const SCALABLE_ROOT: u8 = 10;
const FIRST_STAGE: u8 = 16;
/// The interrupt remap table.
pub(super) const IRT: u8 = 32;

/// An entry, its missing qwords zero.
pub(super) type Entry = [u64; 8];

/// Whose requests an entry, or the first of a table's, is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: u8,
    /// Of a root table's entry only the bus counts.
    pub(super) source: Option<Bdf>,
    pub(super) domain: Option<u16>,
    pub(super) pasid: Option<u32>,
    /// The first address; of an interrupt entry its index.
    pub(super) iova: Iova,
}

impl Place {
    /// The first entry of a table of that level.
    pub(super) fn top(level: u8) -> Self {
        let source = matches!(level, ROOT | SCALABLE_ROOT).then_some(Bdf(0));
        Self { level, source, domain: None, pasid: None, iova: Iova(0) }
    }

    /// The entry at that offset of the table that begins with this one.
    pub(super) fn of_entry(self, offset: u64) -> Self {
        let index = offset / len(self.level);
        let with_source = |number: u64| Self {
            source: Some(Bdf(self.source.map_or(0, |source| source.0) | number as u16)),
            ..self
        };
        match self.level {
            ROOT => with_source(index << 8),
            SCALABLE_ROOT => with_source((index / 2) << 8 | (index & 1) << 7),
            CONTEXT | SCALABLE_CONTEXT => with_source(index),
            DIRECTORY => Self { pasid: Some(self.pasid.unwrap_or(0) + (index << 6) as u32), ..self },
            PASID => Self { pasid: Some(self.pasid.unwrap_or(0) + index as u32), ..self },
            IRT => Self { iova: self.iova.plus(index), ..self },
            _ => Self { iova: self.iova.plus(index << self.shift()), ..self },
        }
    }

    /// Address bits below an entry of a paging table.
    pub(super) const fn shift(self) -> u32 {
        12 + 9 * (self.level % FIRST_STAGE) as u32
    }

    /// The cache that keeps such entries, or what follows from them.
    pub(super) const fn cache(self) -> IommuCache {
        match self.level {
            ROOT | CONTEXT | SCALABLE_ROOT | SCALABLE_CONTEXT => IommuCache::Context,
            DIRECTORY | PASID => IommuCache::Pasid,
            IRT => IommuCache::InterruptEntry,
            _ => IommuCache::Iotlb,
        }
    }

    /// Whether an invalidation of `cache` reaches what follows from this entry. `leaf`: it leads to no table.
    pub(super) fn is_named(&self, cache: IommuCache, what: Granularity, leaf: bool) -> bool {
        let of_domain = |named: u16| self.domain.is_none_or(|domain| domain == named);
        let of_pasid = |named: u32| self.pasid.is_none_or(|pasid| pasid == named);
        let is_paging = self.cache() == IommuCache::Iotlb;
        let overlaps = |iova: Iova, mask: u8| {
            let low = self.shift().max(12 + u32::from(mask)).min(63);
            is_paging && (self.iova.0 ^ iova.0) >> low == 0
        };
        match (cache, what) {
            (IommuCache::PagingStructure, _) => false,
            (_, Granularity::Global) => true,
            (IommuCache::Context, Granularity::Domain(named)) => of_domain(named),
            (IommuCache::Context, Granularity::Device { domain, source, mask }) => {
                let ignored = [0, 0b100, 0b110, 0b111][usize::from(mask & 3)];
                let is_context = matches!(self.level, CONTEXT | SCALABLE_CONTEXT);
                let same = |own: Bdf| (own.0 ^ source.0) & !ignored == 0;
                (self.level == SCALABLE_CONTEXT || of_domain(domain))
                    && is_context
                    && self.source.is_some_and(same)
            }
            (IommuCache::Pasid | IommuCache::Iotlb, Granularity::Domain(named)) => of_domain(named),
            (IommuCache::Pasid | IommuCache::Iotlb, Granularity::Pasid { domain, pasid }) => {
                of_domain(domain) && of_pasid(pasid)
            }
            (IommuCache::Iotlb, Granularity::Pages { domain, iova, mask, leaf_only }) => {
                of_domain(domain) && overlaps(iova, mask) && (leaf || !leaf_only)
            }
            (IommuCache::Iotlb, Granularity::PasidPages { domain, pasid, iova, mask, leaf_only }) => {
                of_domain(domain) && of_pasid(pasid) && overlaps(iova, mask) && (leaf || !leaf_only)
            }
            (IommuCache::InterruptEntry, Granularity::Index { index, mask }) => {
                self.level == IRT && (self.iova.0 as u16 ^ index) >> mask.min(15) == 0
            }
            _ => false,
        }
    }
}

/// Bytes of an entry; of scalable mode's root entries each half is one.
pub(super) const fn len(level: u8) -> u64 {
    match level {
        ROOT | CONTEXT | IRT => 16,
        SCALABLE_CONTEXT => scalable::CONTEXT_LEN,
        PASID => scalable::PASID_LEN,
        _ => 8,
    }
}

/// Where the entry begins that `at` is told for: of a scalable-mode root entry the step names the whole.
pub(super) fn start(level: u8, at: Gpa) -> Gpa {
    Gpa(at.0 / len(level) * len(level))
}

/// An entry's qwords.
pub(super) fn words(bytes: &[u8]) -> Entry {
    let mut entry = [0; 8];
    for (word, bytes) in entry.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    entry
}

/// Whether it says anything.
pub(super) const fn is_present(level: u8, entry: &Entry) -> bool {
    match level {
        0..=4 => entry[0] & (table::PTE_R | table::PTE_W) != 0,
        _ => entry[0] & table::PRESENT != 0,
    }
}

/// The bits that the unit acts on; all entries that are not present are the same.
pub(super) fn essence(level: u8, entry: &Entry) -> Entry {
    const SECOND: u64 = table::PTE_R | table::PTE_W | table::PTE_PS | table::PTE_SNP | table::ADDRESS;
    const FIRST: u64 = scalable::FS_P
        | scalable::FS_RW
        | scalable::FS_US
        | scalable::FS_PS
        | scalable::FS_XD
        | table::ADDRESS;
    /// Software's own bits of a context entry, and of an interrupt entry.
    const CONTEXT_AVAILABLE: u64 = 0x78;
    const IRTE_AVAILABLE: u64 = 0xf00;
    let mut essence = [0; 8];
    if !is_present(level, entry) {
        return essence;
    }
    essence = *entry;
    match level {
        0..=4 => essence[0] &= SECOND,
        FIRST_STAGE..IRT => essence[0] &= FIRST,
        CONTEXT => essence[1] &= !CONTEXT_AVAILABLE,
        IRT => essence[0] &= !IRTE_AVAILABLE,
        _ => {}
    }
    essence
}

/// Whether a paging entry maps a page.
pub(super) const fn is_leaf(level: u8, entry: &Entry) -> bool {
    match level {
        0 | FIRST_STAGE => true,
        1..=4 | 17..=31 => entry[0] & table::PTE_PS != 0,
        _ => false,
    }
}

/// The address that an entry has.
pub(super) const fn pointer(entry: &Entry) -> Gpa {
    Gpa(entry[0] & table::ADDRESS)
}

/// The tables that an entry leads to, page by page. Those of a nested first stage lie behind the second: only walks show them.
pub(super) fn children(place: &Place, entry: &Entry) -> Vec<(Gpa, Place)> {
    if !is_present(place.level, entry) || is_leaf(place.level, entry) {
        return Vec::new();
    }
    let to = pointer(entry);
    let below = |level| Place { level, ..*place };
    match place.level {
        ROOT => vec![(to, below(CONTEXT))],
        SCALABLE_ROOT => vec![(to, below(SCALABLE_CONTEXT))],
        CONTEXT => {
            let domain = Some((entry[1] >> table::CONTEXT_DOMAIN_SHIFT) as u16);
            let passes = entry[0] >> table::CONTEXT_TT_SHIFT & 3 == table::TT_PASS_THROUGH;
            let level = (entry[1] & table::CONTEXT_AW) as u8 + 1;
            if passes || level > 4 { vec![] } else { vec![(to, Place { level, domain, ..*place })] }
        }
        SCALABLE_CONTEXT => {
            let entries = 1u64 << ((entry[0] >> scalable::CONTEXT_PDTS_SHIFT & 7) + 7);
            let pages = (entries * scalable::DIRECTORY_LEN).div_ceil(PAGE_SIZE);
            let page = |number: u64| {
                let pasid = Some((number * PAGE_SIZE / scalable::DIRECTORY_LEN) as u32 * 64);
                (to.plus(number * PAGE_SIZE), Place { level: DIRECTORY, pasid, ..*place })
            };
            (0..pages).map(page).collect()
        }
        DIRECTORY => vec![(to, below(PASID))],
        PASID => {
            let domain = Some(entry[1] as u16);
            let second = (entry[0] >> scalable::PASID_AW_SHIFT & 7) as u8 + 1;
            let first = FIRST_STAGE + 3 + u8::from(entry[2] >> scalable::PASID_FSPM_SHIFT & 3 == 1);
            let of_domain = |level, pasid| Place { level, domain, pasid, ..*place };
            match entry[0] >> scalable::PASID_PGTT_SHIFT & 7 {
                scalable::PGTT_FIRST => vec![(Gpa(entry[2] & table::ADDRESS), of_domain(first, place.pasid))],
                scalable::PGTT_SECOND | scalable::PGTT_NESTED if second <= 4 => {
                    vec![(to, of_domain(second, None))]
                }
                _ => vec![],
            }
        }
        1..=4 | 17..=20 => vec![(to, Place { level: place.level - 1, ..*place })],
        _ => vec![],
    }
}

/// Whether an interrupt entry lets every source use it.
pub(super) const fn is_open(entry: [u64; 2]) -> bool {
    entry[0] & irte::P != 0 && entry[1] >> irte::SVT_SHIFT & 3 == irte::SVT_NONE
}
