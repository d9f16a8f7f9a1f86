//! What the context cache, the PASID cache and the IOTLB keep, and how entries are found and judged.

use super::Access;
use crate::config::IommuConfig;
use crate::spec::fault::{EXECUTE, PRIVILEGE, Reasons};
use crate::spec::scalable::PASID;
use crate::spec::table::INTERRUPT_RANGE;
use crate::walk::{self, Context, FirstStage, Leaf, PasidEntry, Rights, Route, Space};
use emu_core::{Bdf, Gpa, Iova};
use serde::{Deserialize, Serialize};

/// An entry of the context cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextEntry {
    /// Whose it is.
    pub source: Bdf,
    /// It is one of scalable mode, whose entries have no domain.
    pub scalable: bool,
    /// The entry as it was read; zero where it could not be.
    pub context: Context,
    /// 0 for a good entry. In caching mode faulty ones are kept too: the fault reason.
    pub fault: u8,
}

impl ContextEntry {
    /// The domain that invalidations know it by: faulty entries are in domain 0 (6.2.2).
    #[must_use]
    pub const fn domain(&self) -> u16 {
        if self.fault == 0 && !self.scalable { self.context.domain() } else { 0 }
    }

    pub(crate) fn is_valid(&self, config: &IommuConfig) -> bool {
        let wrong = match (self.scalable, config.scalable) {
            (false, _) => walk::check_context(config, self.context),
            (true, Some(scalable)) => {
                // Only entries whose upper half is zero are cached.
                let [low, high] = self.context.0;
                walk::check_scalable_context(config, &scalable, [low, high, 0, 0])
            }
            (true, None) => return false,
        };
        self.fault != 0 || wrong.is_none()
    }
}

/// An entry of the PASID cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasidCacheEntry {
    /// Whose it is.
    pub source: Bdf,
    /// PASID.
    pub pasid: u32,
    /// The PASID table entry as it was read; zero where it could not be.
    pub entry: PasidEntry,
    /// It, or the directory's entry above it, disables the recording of faults.
    pub silent: bool,
    /// 0 for a good entry. In caching mode faulty ones are kept too: the fault reason.
    pub fault: u8,
}

impl PasidCacheEntry {
    /// The domain that invalidations know it by: faulty entries are in domain 0.
    #[must_use]
    pub const fn domain(&self) -> u16 {
        if self.fault == 0 { self.entry.domain() } else { 0 }
    }

    pub(crate) fn is_valid(&self, config: &IommuConfig) -> bool {
        let Some(scalable) = config.scalable else { return false };
        self.pasid <= PASID && (self.fault != 0 || walk::check_pasid(config, &scalable, self.entry).is_none())
    }
}

/// An entry of the IOTLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IotlbEntry {
    /// Domain.
    pub domain: u16,
    /// Whose translation.
    pub space: Space,
    /// First address of the page.
    pub iova: Iova,
    /// Where it lies.
    pub gpa: Gpa,
    /// 12, 21 or 30.
    pub page_shift: u8,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be written with privilege.
    pub privileged_write: bool,
    /// May be used without privilege.
    pub user: bool,
    /// May be executed.
    pub execute: bool,
    /// May be executed with privilege.
    pub privileged_execute: bool,
    /// Its dirty bits are set, or nobody keeps any: a write need not walk the tables to set them.
    pub dirty: bool,
    /// 0 for a translation. In caching mode faults are kept too: a reason other than of permission.
    pub fault: u8,
}

impl IotlbEntry {
    /// A page by a second stage alone, which does not tell requests with privilege from those without.
    pub(crate) fn of_second(route: &Route, iova: Iova, leaf: Leaf) -> Self {
        let Leaf { gpa, shift, rights: Rights { read, write, user, execute }, dirty } = leaf;
        Self {
            domain: route.domain,
            space: route.space,
            iova: Iova(iova.0 >> shift << shift),
            gpa,
            page_shift: shift,
            read,
            write,
            privileged_write: write,
            user,
            execute,
            privileged_execute: execute,
            dirty,
            fault: 0,
        }
    }

    /// A page by a first stage.
    pub(crate) fn of_first(route: &Route, first: &FirstStage, iova: Iova, leaf: Leaf) -> Self {
        let Rights { write, user, execute, .. } = leaf.rights;
        Self {
            privileged_write: write || !first.write_protect,
            privileged_execute: execute && !(user && first.user_not_executed),
            ..Self::of_second(route, iova, leaf)
        }
    }

    /// A page by a first stage whose address a second puts into a page of its own, `iova` being at `place`.
    pub(crate) fn within(self, iova: Iova, outer: Leaf, place: Gpa) -> Self {
        let page_shift = self.page_shift.min(outer.shift);
        Self {
            iova: Iova(iova.0 >> page_shift << page_shift),
            gpa: Gpa(place.0 >> page_shift << page_shift),
            page_shift,
            read: self.read && outer.rights.read,
            write: self.write && outer.rights.write,
            privileged_write: self.privileged_write && outer.rights.write,
            dirty: self.dirty && outer.dirty,
            ..self
        }
    }

    /// A page that has no translation whatever the access, for caching mode. The reason of one that is not present depends on who
    /// asks, if it is called a lack of permission.
    pub(crate) fn of_fault(route: &Route, iova: Iova, reason: u8, write: bool) -> Self {
        let rights = Rights { read: false, write: false, ..Rights::ALL };
        let none = Leaf { gpa: Gpa(0), shift: 12, rights, dirty: true };
        let fault = if reason == route.reasons.permission(write) { 0 } else { reason };
        Self { fault, ..Self::of_second(route, iova, none) }
    }

    pub(crate) const fn is_valid(&self) -> bool {
        matches!(self.page_shift, 12 | 21 | 30) && self.iova.0 & self.low_bits() == 0
    }

    /// Whether it is the entry for the page of `1 << shift` bytes that `iova` is in.
    pub(crate) fn answers(&self, domain: u16, space: Space, iova: Iova, shift: u8) -> bool {
        self.page_shift == shift
            && self.domain == domain
            && self.space == space
            && (self.iova.0 ^ iova.0) >> shift == 0
    }

    /// Whether any page of the entry's lies in the `2^shift` bytes around `iova`.
    pub(crate) const fn overlaps(&self, iova: Iova, shift: u32) -> bool {
        let low = if shift > self.page_shift as u32 { shift } else { self.page_shift as u32 };
        (self.iova.0 ^ iova.0) >> low == 0
    }

    const fn low_bits(&self) -> u64 {
        (1 << self.page_shift) - 1
    }

    /// Where `iova`, which is in its page, lies.
    pub(crate) const fn place(&self, iova: Iova) -> Gpa {
        self.gpa.plus(iova.0 & self.low_bits())
    }

    /// Bytes from `iova` on that it is good for: to the end of its page, or to where a large one reaches the
    /// interrupt range.
    pub(crate) fn reach(&self, iova: Iova) -> u64 {
        let to_end = self.low_bits() + 1 - (iova.0 & self.low_bits());
        match INTERRUPT_RANGE.start().checked_sub(self.place(iova).0) {
            Some(to_range) => to_end.min(to_range),
            None => to_end,
        }
    }

    /// Which right `access` lacks.
    pub(crate) fn forbids(&self, reasons: &Reasons, access: Access) -> Option<u8> {
        let Access { write, privileged, execute } = access;
        let may_execute = if privileged { self.privileged_execute } else { self.execute };
        let may_write = if privileged { self.privileged_write } else { self.write };
        match () {
            () if !privileged && !self.user => Some(PRIVILEGE),
            () if execute && !may_execute => Some(EXECUTE),
            () if !(if write { may_write } else { self.read }) => Some(reasons.permission(write)),
            () => None,
        }
    }

    /// Why `access` to `iova` may not be.
    pub(crate) fn refuses(&self, reasons: &Reasons, iova: Iova, access: Access) -> Option<u8> {
        if self.fault != 0 {
            return Some(self.fault);
        }
        let interrupt = || INTERRUPT_RANGE.contains(&self.place(iova).0).then_some(reasons.interrupt);
        self.forbids(reasons, access).or_else(interrupt)
    }
}

/// What of a source id chooses its set: the function's bits alone would put all devices in one.
pub(crate) fn context_key(source: Bdf) -> u64 {
    u64::from(source.0 ^ source.0 >> 3)
}

/// What of a source id and a PASID chooses their set.
pub(crate) fn pasid_key(source: Bdf, pasid: u32) -> u64 {
    context_key(source) ^ u64::from(pasid)
}

/// What of a page chooses its set.
pub(crate) fn iotlb_key(domain: u16, space: Space, iova: Iova, shift: u8) -> u64 {
    iova.0 >> shift ^ u64::from(domain) ^ u64::from(space.pasid().unwrap_or(0))
}
