//! Invalidation of the caches, and the two registers that ask for it (VT-d specification, 6.5.1; CCMD, IVA and
//! IOTLB registers). The queue is next door.

use crate::config::IommuConfig;
use crate::spec::descriptor::*;
use crate::spec::register::*;
use crate::state::count;
use crate::{CCMD_DUE, IOTLB_DUE, Vtd};
use emu_core::device::Env;
use emu_core::trace::{Granularity, IommuCache, TraceEvent};
use emu_core::{Bdf, Iova, VirtDuration, VirtTime};

/// What a context-cache invalidation of granularity `g` names; `None` for the reserved one.
pub(crate) fn context_granularity(g: u64, domain: u16, source: Bdf, mask: u8) -> Option<Granularity> {
    match g {
        G_GLOBAL => Some(Granularity::Global),
        G_DOMAIN => Some(Granularity::Domain(domain)),
        G_SELECTIVE => Some(Granularity::Device { domain, source, mask: mask & 3 }),
        _ => None,
    }
}

/// What an IOTLB invalidation of granularity `g` names, `address` being the IVA register or the high half of the
/// descriptor; `None` for the reserved granularity or a mask beyond CAP.MAMV. A unit that can't select pages
/// takes their domain.
pub(crate) fn iotlb_granularity(
    config: &IommuConfig,
    g: u64,
    domain: u16,
    address: u64,
) -> Option<Granularity> {
    let mask = (address & AM) as u8;
    match g {
        G_GLOBAL => Some(Granularity::Global),
        G_DOMAIN => Some(Granularity::Domain(domain)),
        G_SELECTIVE if !config.page_selective => Some(Granularity::Domain(domain)),
        G_SELECTIVE if mask <= MAMV => {
            let (iova, leaf_only) = (Iova(address & ADDRESS), address & IH != 0);
            Some(Granularity::Pages { domain, iova, mask, leaf_only })
        }
        _ => None,
    }
}

/// What a PASID-cache invalidation of granularity `g` names; `None` for the reserved one.
pub(crate) fn pasid_granularity(g: u64, domain: u16, pasid: u32) -> Option<Granularity> {
    match g {
        PC_DOMAIN => Some(Granularity::Domain(domain)),
        PC_PASID => Some(Granularity::Pasid { domain, pasid }),
        PC_GLOBAL => Some(Granularity::Global),
        _ => None,
    }
}

/// What a PASID-based IOTLB invalidation of granularity `g` names; `None` for a reserved one or a mask beyond CAP.MAMV.
pub(crate) fn pasid_iotlb_granularity(g: u64, domain: u16, pasid: u32, address: u64) -> Option<Granularity> {
    let mask = (address & AM) as u8;
    match g {
        PI_PASID => Some(Granularity::Pasid { domain, pasid }),
        PI_PAGES if mask <= MAMV => {
            let (iova, leaf_only) = (Iova(address & ADDRESS), address & IH != 0);
            Some(Granularity::PasidPages { domain, pasid, iova, mask, leaf_only })
        }
        _ => None,
    }
}

impl Vtd {
    /// Invalidates what of `cache` is named. A granularity that the cache does not have names nothing.
    pub(crate) fn invalidate(&mut self, env: &mut Env<'_>, cache: IommuCache, what: Granularity) {
        count(&mut self.state.stats.invalidations);
        let dropped = match cache {
            IommuCache::Context => self.invalidate_contexts(what),
            IommuCache::Pasid => self.invalidate_pasids(what),
            IommuCache::Iotlb => self.invalidate_iotlb(what),
            IommuCache::PagingStructure => self.state.paging.invalidate(what),
            IommuCache::InterruptEntry => self.invalidate_interrupts(what),
        };
        env.trace(self.slot(), TraceEvent::Invalidate { cache, what, dropped });
    }

    /// Invalidates translations, and what of the paging-structure caches leads to them (6.5.1.2).
    pub(crate) fn invalidate_translations(&mut self, env: &mut Env<'_>, what: Granularity) {
        self.invalidate(env, IommuCache::Iotlb, what);
        if self.state.paging.exist() {
            self.invalidate(env, IommuCache::PagingStructure, what);
        }
    }

    /// What a unit with implied invalidation forgets when it takes over what of `tables`, a part of GCMD, says.
    pub(crate) fn tables_taken_over(&mut self, env: &mut Env<'_>, tables: u32) {
        if tables & SRTP != 0 {
            self.invalidate(env, IommuCache::Context, Granularity::Global);
            if self.config.scalable.is_some() {
                self.invalidate(env, IommuCache::Pasid, Granularity::Global);
            }
            self.invalidate_translations(env, Granularity::Global);
        }
        if tables & SIRTP != 0 {
            self.invalidate(env, IommuCache::InterruptEntry, Granularity::Global);
        }
    }

    /// Scalable mode's entries have no domain: it is not looked at, and a domain names all of them.
    fn invalidate_contexts(&mut self, what: Granularity) -> u32 {
        self.state.contexts.drop_if(|entry| match what {
            Granularity::Global => true,
            Granularity::Domain(domain) => entry.scalable || entry.domain() == domain,
            Granularity::Device { domain, source, mask } => {
                // FM leaves out bit 2, bits 2:1, or all of the function number.
                let ignored = [0, 0b100, 0b110, 0b111][usize::from(mask & 3)];
                (entry.scalable || entry.domain() == domain) && (entry.source.0 ^ source.0) & !ignored == 0
            }
            Granularity::Pages { .. }
            | Granularity::Pasid { .. }
            | Granularity::PasidPages { .. }
            | Granularity::Index { .. } => false,
        })
    }

    fn invalidate_pasids(&mut self, what: Granularity) -> u32 {
        self.state.pasids.drop_if(|entry| match what {
            Granularity::Global => true,
            Granularity::Domain(domain) => entry.domain() == domain,
            Granularity::Pasid { domain, pasid } => entry.domain() == domain && entry.pasid == pasid,
            Granularity::Device { .. }
            | Granularity::Pages { .. }
            | Granularity::PasidPages { .. }
            | Granularity::Index { .. } => false,
        })
    }

    fn invalidate_iotlb(&mut self, what: Granularity) -> u32 {
        self.state.iotlb.drop_if(|entry| {
            entry.space.is_named_by(entry.domain, what, |iova, low| entry.overlaps(iova, low))
        })
    }

    fn invalidate_interrupts(&mut self, what: Granularity) -> u32 {
        self.state.interrupts.drop_if(|entry| match what {
            Granularity::Global => true,
            Granularity::Index { index, mask } => (entry.index ^ index) >> mask.min(15) == 0,
            Granularity::Domain(_)
            | Granularity::Device { .. }
            | Granularity::Pages { .. }
            | Granularity::Pasid { .. }
            | Granularity::PasidPages { .. } => false,
        })
    }

    /// CCMD has been written. A command is refused while the queue is in use: the actual
    /// granularity is then 0. While one is carried out nothing can be written.
    pub(crate) fn write_ccmd(&mut self, env: &mut Env<'_>, value: u64) {
        if self.state.ccmd & ICC != 0 {
            return;
        }
        self.state.ccmd = value & CCMD_WRITABLE | self.state.ccmd & 3 << CAIG_SHIFT;
        if value & ICC == 0 {
            return;
        }
        self.state.ccmd &= !(3 << CAIG_SHIFT);
        if self.state.status & QIE == 0 && self.ccmd_granularity().is_some() {
            self.state.ccmd |= ICC;
            self.state.ccmd_due = self.begin_command(env, CCMD_DUE);
            self.ccmd_due(env);
        }
    }

    /// What CCMD names.
    fn ccmd_granularity(&self) -> Option<Granularity> {
        let value = self.state.ccmd;
        let source = Bdf((value >> 16) as u16);
        context_granularity(value >> CIRG_SHIFT & 3, value as u16, source, (value >> 32) as u8)
    }

    /// The command in CCMD is done, if it is time.
    pub(crate) fn ccmd_due(&mut self, env: &mut Env<'_>) {
        if self.state.ccmd & ICC == 0 || env.now < self.state.ccmd_due {
            return;
        }
        let requested = self.state.ccmd >> CIRG_SHIFT & 3;
        self.state.ccmd = self.state.ccmd & !ICC | requested << CAIG_SHIFT;
        if let Some(what) = self.ccmd_granularity() {
            self.invalidate(env, IommuCache::Context, what);
        }
    }

    /// IOTLB has been written, likewise.
    pub(crate) fn write_iotlb(&mut self, env: &mut Env<'_>, value: u64) {
        if self.state.iotlb_command & IVT != 0 {
            return;
        }
        self.state.iotlb_command = value & IOTLB_WRITABLE | self.state.iotlb_command & 3 << IAIG_SHIFT;
        if value & IVT == 0 {
            return;
        }
        self.state.iotlb_command &= !(3 << IAIG_SHIFT);
        if self.state.status & QIE == 0 && self.iotlb_command_granularity().is_some() {
            self.state.iotlb_command |= IVT;
            self.state.iotlb_due = self.begin_command(env, IOTLB_DUE);
            self.iotlb_due(env);
        }
    }

    /// What IOTLB and IVA name.
    fn iotlb_command_granularity(&self) -> Option<Granularity> {
        let value = self.state.iotlb_command;
        let requested = value >> IIRG_SHIFT & 3;
        iotlb_granularity(&self.config, requested, (value >> 32) as u16, self.state.iva)
    }

    /// The command in IOTLB is done, if it is time.
    pub(crate) fn iotlb_due(&mut self, env: &mut Env<'_>) {
        if self.state.iotlb_command & IVT == 0 || env.now < self.state.iotlb_due {
            return;
        }
        let requested = self.state.iotlb_command >> IIRG_SHIFT & 3;
        let actual = if self.config.page_selective { requested } else { requested.min(G_DOMAIN) };
        self.state.iotlb_command = self.state.iotlb_command & !IVT | actual << IAIG_SHIFT;
        if let Some(what) = self.iotlb_command_granularity() {
            self.invalidate_translations(env, what);
        }
    }

    /// When a command by register that begins now is done; unless that is now, an event will say so.
    fn begin_command(&self, env: &mut Env<'_>, token: u32) -> VirtTime {
        let takes = VirtDuration::from_ns(self.config.timing.invalidation);
        if takes != VirtDuration::ZERO {
            env.after(self.slot(), takes, token);
        }
        env.now.after(takes)
    }
}
