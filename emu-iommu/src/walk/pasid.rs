//! Scalable mode's root, context and PASID entries, which say how a request is translated (VT-d specification, 3.4.3,
//! 9.2, 9.4 to 9.6).

use super::{
    Context, ContextFault, FirstStage, LEVEL_DIRECTORY, LEVEL_PASID, LEVEL_SM_CONTEXT, LEVEL_SM_ROOT, Route,
    SecondStage, Space, Stages, Step, Way, entry, entry128,
};
use crate::config::{IommuConfig, ScalableConfig};
use crate::spec::scalable::*;
use crate::spec::table::{ADDRESS, CONTEXT_AW, ENTRY_LEN, PRESENT};
use crate::spec::{fault, fault::Reasons};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa};
use serde::{Deserialize, Serialize};

impl Context {
    /// Scalable mode: PASIDs below this one have a place in the directory.
    #[must_use]
    pub const fn pasids(self) -> u32 {
        1 << ((self.0[0] >> CONTEXT_PDTS_SHIFT & 7) as u32 + 7 + PASID_TABLE_BITS)
    }

    /// Scalable mode: the PASID of requests that carry none.
    pub(crate) const fn rid_pasid(self, scalable: &ScalableConfig) -> u32 {
        if scalable.rid_pasid { (self.0[1] & CONTEXT_RID_PASID) as u32 } else { 0 }
    }
}

/// Finds and checks the scalable-mode context entry of `bdf` below `root`. Its upper half is reserved, so two qwords are all
/// that is kept of a good one.
pub(crate) fn scalable_context(
    config: &IommuConfig,
    scalable: &ScalableConfig,
    root: Gpa,
    mem: &PhysMem,
    bdf: Bdf,
    see: &mut impl FnMut(Step),
) -> Result<Context, ContextFault> {
    let loud = |reason| ContextFault { reason, silent: false };
    let gpa = root.plus(u64::from(bdf.bus()) * ENTRY_LEN);
    let halves = entry128(mem, gpa).ok_or(loud(fault::SM_ROOT_FETCH))?;
    // Devices 0 to 15 are the lower half's, the others the upper's.
    let devfn = u64::from(bdf.devfn());
    let upper = usize::from(devfn >= CONTEXTS);
    let half = halves[upper];
    see(Step { level: LEVEL_SM_ROOT, gpa, entry: [half, halves[1 - upper]] });
    if half & PRESENT == 0 {
        return Err(loud(fault::SM_ROOT_NOT_PRESENT));
    }
    if half & (!ADDRESS & 0xffe | config.beyond_host()) != 0 {
        return Err(loud(fault::SM_ROOT_RESERVED));
    }
    let gpa = Gpa(half & ADDRESS).plus(devfn % CONTEXTS * CONTEXT_LEN);
    let found @ [low, high, ..] = entry::<4>(mem, gpa).ok_or(loud(fault::SM_CONTEXT_FETCH))?;
    see(Step { level: LEVEL_SM_CONTEXT, gpa, entry: [low, high] });
    let context = Context([low, high]);
    match check_scalable_context(config, scalable, found) {
        Some(reason) => Err(ContextFault { reason, silent: context.fault_processing_disabled() }),
        None => Ok(context),
    }
}

/// What is wrong with a scalable-mode context entry, as a fault reason.
pub(crate) fn check_scalable_context(
    config: &IommuConfig,
    scalable: &ScalableConfig,
    entry: [u64; 4],
) -> Option<u8> {
    let [low, high, upper @ ..] = entry;
    let context = Context([low, high]);
    if low & PRESENT == 0 {
        return Some(fault::SM_CONTEXT_NOT_PRESENT);
    }
    let privileged = if scalable.supervisor { CONTEXT_RID_PRIV } else { 0 };
    let reserved = CONTEXT_RESERVED | CONTEXT_DTE | CONTEXT_PRE | config.beyond_host();
    let reserved_high = !(CONTEXT_RID_PASID | privileged);
    if low & reserved != 0 || high & reserved_high != 0 || upper != [0; 2] {
        return Some(fault::SM_CONTEXT_RESERVED);
    }
    (context.rid_pasid(scalable) >= context.pasids()).then_some(fault::SM_RID_PASID)
}

/// A PASID table entry as memory holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasidEntry(pub [u64; 8]);

impl PasidEntry {
    /// Faults are not to be recorded.
    #[must_use]
    pub const fn fault_processing_disabled(self) -> bool {
        self.0[0] & PASID_FPD != 0
    }

    /// Translation type.
    #[must_use]
    pub const fn translation_type(self) -> u64 {
        self.0[0] >> PASID_PGTT_SHIFT & 7
    }

    /// Domain.
    #[must_use]
    pub const fn domain(self) -> u16 {
        self.0[1] as u16
    }

    /// Privileged requests pass.
    #[must_use]
    pub const fn passes_privileged(self) -> bool {
        self.0[2] & PASID_SRE != 0
    }

    /// Requests for execution pass.
    #[must_use]
    pub const fn passes_execution(self) -> bool {
        self.0[2] & PASID_ERE != 0
    }

    const fn second(self) -> SecondStage {
        SecondStage {
            domain: self.domain(),
            table: Gpa(self.0[0] & ADDRESS),
            levels: (self.0[0] >> PASID_AW_SHIFT & CONTEXT_AW) as u8 + 2,
            keeps_bits: self.0[0] & PASID_SSADE != 0,
            snooped: self.0[1] & PASID_PWSNP != 0,
            reasons: &Reasons::SCALABLE,
        }
    }

    fn first(self, config: &IommuConfig, scalable: &ScalableConfig) -> FirstStage {
        let flags = self.0[2];
        FirstStage {
            table: Gpa(flags & ADDRESS),
            levels: (flags >> PASID_FSPM_SHIFT & 3) as u8 + 4,
            beyond: config.beyond_host(),
            gigabyte_pages: scalable.gigabyte_pages,
            write_protect: flags & PASID_WPE != 0,
            no_execute: flags & PASID_NXE != 0,
            user_not_executed: flags & PASID_SMEP != 0,
            snooped: self.0[1] & PASID_PWSNP != 0,
        }
    }

    /// How requests of `pasid` are translated, of an entry that [`check_pasid`] found good.
    pub(crate) fn route(
        self,
        config: &IommuConfig,
        scalable: &ScalableConfig,
        pasid: u32,
        silent: bool,
    ) -> Route {
        let first = |second| Way::Tables(Stages::First(self.first(config, scalable), second));
        let (space, way) = match self.translation_type() {
            PGTT_FIRST => (Space::First(pasid), first(None)),
            PGTT_SECOND => (Space::Second, Way::Tables(Stages::Second(self.second()))),
            PGTT_NESTED => (Space::Nested(pasid), first(Some(self.second()))),
            _ => (Space::Second, Way::PassThrough(config.host_bits())),
        };
        let silent = silent || self.fault_processing_disabled();
        Route { domain: self.domain(), space, way, reasons: &Reasons::SCALABLE, silent }
    }
}

/// Finds and checks the entry of `pasid`, which the directory of `context` has a place for.
pub(crate) fn pasid(
    config: &IommuConfig,
    scalable: &ScalableConfig,
    mem: &PhysMem,
    context: Context,
    pasid: u32,
    see: &mut impl FnMut(Step),
) -> Result<PasidEntry, ContextFault> {
    let mut silent = false;
    let refused = |reason, silent| ContextFault { reason, silent };
    let gpa = context.table().plus(u64::from(pasid >> PASID_TABLE_BITS) * DIRECTORY_LEN);
    let [directory] = entry(mem, gpa).ok_or(refused(fault::DIRECTORY_FETCH, silent))?;
    see(Step { level: LEVEL_DIRECTORY, gpa, entry: [directory, 0] });
    silent |= directory & PASID_FPD != 0;
    if directory & PRESENT == 0 {
        return Err(refused(fault::DIRECTORY_NOT_PRESENT, silent));
    }
    if directory & (DIRECTORY_RESERVED | config.beyond_host()) != 0 {
        return Err(refused(fault::DIRECTORY_RESERVED, silent));
    }
    let index = u64::from(pasid) & ((1 << PASID_TABLE_BITS) - 1);
    let gpa = Gpa(directory & ADDRESS).plus(index * PASID_LEN);
    let found = PasidEntry(entry(mem, gpa).ok_or(refused(fault::PASID_FETCH, silent))?);
    see(Step { level: LEVEL_PASID, gpa, entry: [found.0[0], found.0[1]] });
    silent |= found.fault_processing_disabled();
    match check_pasid(config, scalable, found) {
        Some(reason) => Err(refused(reason, silent)),
        None => Ok(found),
    }
}

/// What is wrong with a PASID table entry, as a fault reason.
pub(crate) fn check_pasid(config: &IommuConfig, scalable: &ScalableConfig, entry: PasidEntry) -> Option<u8> {
    let [low, second, third, rest @ ..] = entry.0;
    if low & PRESENT == 0 {
        return Some(fault::PASID_NOT_PRESENT);
    }
    let kind = entry.translation_type();
    let unless = |has: bool, bits: u64| if has { 0 } else { bits };
    let (uses_first, uses_second) =
        (matches!(kind, PGTT_FIRST | PGTT_NESTED), matches!(kind, PGTT_SECOND | PGTT_NESTED));
    // A nested first stage's pointer is itself translated: what it is, the second stage finds out.
    let reserved_0 = PASID_RESERVED_0
        | unless(scalable.access_dirty, PASID_SSADE)
        | unless(!uses_second, config.beyond_host());
    let reserved_1 =
        PASID_RESERVED_1 | unless(config.snoop_control, PASID_PGSNP) | config.beyond_domain() & 0xffff;
    let reserved_2 = PASID_RESERVED_2
        | unless(scalable.supervisor, PASID_SRE)
        | unless(scalable.execution, PASID_ERE)
        | unless(kind != PGTT_FIRST, config.beyond_host());
    if low & reserved_0 != 0 || second & reserved_1 != 0 || third & reserved_2 != 0 || rest != [0; 5] {
        return Some(fault::PASID_RESERVED);
    }
    let known = match kind {
        PGTT_FIRST => scalable.first_stage,
        PGTT_SECOND => scalable.second_stage,
        PGTT_NESTED => scalable.nested,
        PGTT_PASS_THROUGH => config.pass_through,
        _ => false,
    };
    let first = match third >> PASID_FSPM_SHIFT & 3 {
        0 => true,
        1 => scalable.five_levels,
        _ => false,
    };
    let good = known && (first || !uses_first) && (!uses_second || config.walks(entry.second().levels));
    (!good).then_some(fault::PASID_INVALID)
}
