//! Reading the tables: how a request is to be translated ([`context`], [`pasid`]), and the two kinds of paging structure
//! ([`first`], [`second`]). Pure: it looks at memory and tells an observer each entry; caches, traces and faults are
//! others'.

mod context;
mod first;
mod pasid;
mod second;

pub use context::Context;
pub(crate) use context::{ContextFault, check_context, context};
pub(crate) use first::{FirstStage, FirstTables, Used, check_first, first_stage};
pub use pasid::PasidEntry;
pub(crate) use pasid::{check_pasid, check_scalable_context, pasid, scalable_context};
pub(crate) use second::{SecondStage, check_paging, second_stage};

use crate::config::IommuConfig;
use crate::spec::fault::Reasons;
use emu_core::mem::PhysMem;
use emu_core::trace::Granularity;
use emu_core::{Gpa, Iova};
use serde::{Deserialize, Serialize};

/// Level of a context table in [`Step`].
pub(crate) const LEVEL_CONTEXT: u8 = 5;
/// Level of the root table in [`Step`].
pub(crate) const LEVEL_ROOT: u8 = 6;
/// Level of a PASID table in [`Step`].
pub(crate) const LEVEL_PASID: u8 = 7;
/// Level of a PASID directory in [`Step`].
pub(crate) const LEVEL_DIRECTORY: u8 = 8;
/// Level of a scalable-mode context table in [`Step`].
pub(crate) const LEVEL_SM_CONTEXT: u8 = 9;
/// Level of the scalable-mode root table in [`Step`]: the half of the entry that counts is told first.
pub(crate) const LEVEL_SM_ROOT: u8 = 10;
/// Added to the level of a first-stage table in [`Step`].
pub(crate) const FIRST_STAGE: u8 = 16;

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// 0 is the table of 4 KiB pages.
    pub(crate) level: u8,
    pub(crate) gpa: Gpa,
    /// The entry, or its first two qwords.
    pub(crate) entry: [u64; 2],
}

/// What the entries of a walk allow together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Anything at all to a request without privilege; a second stage does not ask.
    pub user: bool,
    /// Execution; a second stage does not ask.
    pub execute: bool,
}

impl Rights {
    /// Everything.
    pub(crate) const ALL: Self = Self { read: true, write: true, user: true, execute: true };

    /// What both allow.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            write: self.write && other.write,
            user: self.user && other.user,
            execute: self.execute && other.execute,
        }
    }

    /// Reading or writing.
    pub(crate) const fn allow(self, write: bool) -> bool {
        if write { self.write } else { self.read }
    }
}

/// Where a walk begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Of the table's entries.
    pub(crate) level: u8,
    pub(crate) gpa: Gpa,
    /// What the entries above grant.
    pub(crate) rights: Rights,
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

/// Whose translations: what they are tagged with in the caches besides their domain and address (6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// A domain's, by second-stage tables alone, as all of legacy mode's are.
    Second,
    /// A PASID's, by first-stage tables.
    First(u32),
    /// A PASID's, by first-stage tables within second-stage ones.
    Nested(u32),
}

impl Space {
    /// The PASID.
    #[must_use]
    pub const fn pasid(self) -> Option<u32> {
        match self {
            Self::Second => None,
            Self::First(pasid) | Self::Nested(pasid) => Some(pasid),
        }
    }

    /// Whether an invalidation names what is tagged with this and `domain`; `overlaps` says whether it lies in the 2^n bytes
    /// around an address (6.5.2.3, 6.5.2.4). Pages of a domain are those of its second stage: of what is translated twice all has
    /// to go, since its tag is the first stage's address.
    pub(crate) fn is_named_by(
        self,
        domain: u16,
        what: Granularity,
        overlaps: impl Fn(Iova, u32) -> bool,
    ) -> bool {
        match what {
            Granularity::Global => true,
            Granularity::Domain(named) => domain == named,
            Granularity::Pages { domain: named, iova, mask, .. } => {
                let here = match self {
                    Self::Second => overlaps(iova, 12 + u32::from(mask)),
                    Self::First(_) => false,
                    Self::Nested(_) => true,
                };
                domain == named && here
            }
            Granularity::Pasid { domain: named, pasid } => domain == named && self.pasid() == Some(pasid),
            Granularity::PasidPages { domain: named, pasid, iova, mask, .. } => {
                domain == named && self.pasid() == Some(pasid) && overlaps(iova, 12 + u32::from(mask))
            }
            Granularity::Device { .. } | Granularity::Index { .. } => false,
        }
    }
}

/// The tables between a request and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stages {
    Second(SecondStage),
    /// With a second stage for what the first answers, and for where its tables are, in a nested translation.
    First(FirstStage, Option<SecondStage>),
}

/// What lies between a request and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing. Addresses may have so many bits.
    PassThrough(u8),
    Tables(Stages),
}

/// How a request is translated, as its context or PASID entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) domain: u16,
    pub(crate) space: Space,
    pub(crate) way: Way,
    /// What refusals are called.
    pub(crate) reasons: &'static Reasons,
    /// Faults are not to be recorded.
    pub(crate) silent: bool,
}

impl Route {
    /// Why no table has a place for `iova`.
    pub(crate) fn misses(&self, config: &IommuConfig, iova: Iova) -> Option<u8> {
        let beyond = |bits: u8| iova.0 >> bits.min(config.address_bits) != 0;
        match self.way {
            Way::PassThrough(bits) => beyond(bits).then_some(self.reasons.too_wide_passing),
            Way::Tables(Stages::Second(second)) => beyond(second.bits()).then_some(self.reasons.too_wide),
            Way::Tables(Stages::First(first, _)) => first.misses(iova),
        }
    }
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PagingFault {
    pub(crate) reason: u8,
    /// The entry that refused stands for the page whatever the access: not present, or malformed.
    pub(crate) for_any_access: bool,
}

/// A page's place by one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Where the page lies.
    pub(crate) gpa: Gpa,
    /// 12, 21 or 30.
    pub(crate) shift: u8,
    pub(crate) rights: Rights,
    /// Its dirty bit is set, or nobody keeps one.
    pub(crate) dirty: bool,
}

impl Leaf {
    /// Where `address`, which is in the page, lies.
    pub(crate) const fn place(&self, address: u64) -> Gpa {
        self.gpa.plus(address & ((1 << self.shift) - 1))
    }
}

/// Reads an entry of two qwords.
pub(crate) fn entry128(mem: &PhysMem, gpa: Gpa) -> Option<[u64; 2]> {
    entry::<2>(mem, gpa)
}

/// Reads an entry of `N` qwords.
pub(crate) fn entry<const N: usize>(mem: &PhysMem, gpa: Gpa) -> Option<[u64; N]> {
    let mut qwords = [0; N];
    for (index, qword) in (0..).zip(&mut qwords) {
        *qword = mem.read_u64(gpa.plus(index * 8)).ok()?;
    }
    Some(qwords)
}
