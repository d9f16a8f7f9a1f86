//! Legacy mode's root and context entries (VT-d specification, 3.4.2, 9.1, 9.3).

use super::{LEVEL_CONTEXT, LEVEL_ROOT, Route, SecondStage, Space, Stages, Step, Way, entry128};
use crate::config::IommuConfig;
use crate::spec::fault::Reasons;
use crate::spec::{fault, table::*};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa};
use serde::{Deserialize, Serialize};

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

    /// How the device's requests are translated.
    pub(crate) fn route(self) -> Route {
        let reasons = &Reasons::LEGACY;
        let (table, levels) = (self.table(), self.levels());
        let domain = self.domain();
        let second = SecondStage { domain, table, levels, keeps_bits: false, snooped: true, reasons };
        let way = match self.translation_type() {
            TT_PASS_THROUGH => Way::PassThrough(second.bits()),
            _ => Way::Tables(Stages::Second(second)),
        };
        let silent = self.fault_processing_disabled();
        Route { domain, space: Space::Second, way, reasons, silent }
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
