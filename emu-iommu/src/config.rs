//! What the machine's builder decides about the unit, and what the capability registers then say.

use crate::cache::{Geometry, Policy};
use crate::spec::register::*;
use emu_core::VirtDuration;
use serde::{Deserialize, Serialize};

/// Sets, ways and replacement of the context cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Sets, a power of two up to 4096.
    pub sets: u16,
    /// Ways, 1-64; with [`Policy::PseudoLru`] a power of two.
    pub ways: u16,
    /// Who makes room.
    #[serde(default)]
    pub policy: Policy,
}

/// Entries of the paging-structure caches (VT-d specification, 6.2.4), each fully associative. A level with none has no cache,
/// and so it is by default: what the literature measured as the cost of an IOTLB miss is then that of a whole walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PagingCacheConfig {
    /// Entries of 5-level tables' topmost level, 0-64.
    pub pml5: u16,
    /// Entries of the fourth level, 0-64.
    pub pml4: u16,
    /// Entries of the third level, 0-64.
    pub pdpt: u16,
    /// Entries of the second level, which lead to the tables of 4 KiB pages, 0-64.
    pub pd: u16,
    /// Who makes room in each.
    pub policy: Policy,
}

/// Sets, ways and replacement of the IOTLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IotlbConfig {
    /// Sets, a power of two up to 4096.
    pub sets: u16,
    /// Ways, 1-64; with [`Policy::PseudoLru`] a power of two.
    pub ways: u16,
    /// Who makes room.
    pub policy: Policy,
}

impl Default for IotlbConfig {
    fn default() -> Self {
        Self { sets: 16, ways: 4, policy: Policy::Lru }
    }
}

/// Scalable mode, and what of it the unit can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScalableConfig {
    /// ECAP.FSTS: first-stage tables.
    pub first_stage: bool,
    /// ECAP.SSTS: second-stage tables.
    pub second_stage: bool,
    /// ECAP.NEST: the first within the second; needs both.
    pub nested: bool,
    /// CAP.FS5LP: first-stage tables of 5 levels.
    pub five_levels: bool,
    /// CAP.FS1GP: first-stage pages of 1 GiB.
    pub gigabyte_pages: bool,
    /// ECAP.PASID and PSS: bits of a PASID that requests may carry, 1-20; with 0 they carry none.
    pub pasid_bits: u8,
    /// ECAP.RPS: context entries name the PASID of requests without one; else it is 0.
    pub rid_pasid: bool,
    /// ECAP.SRS: privileged requests.
    pub supervisor: bool,
    /// ECAP.ERS: requests for execution.
    pub execution: bool,
    /// ECAP.SSADS: second-stage accessed and dirty bits.
    pub access_dirty: bool,
}

impl Default for ScalableConfig {
    fn default() -> Self {
        Self {
            first_stage: true,
            second_stage: true,
            nested: true,
            five_levels: true,
            gigabyte_pages: true,
            pasid_bits: 20,
            rid_pasid: true,
            supervisor: true,
            execution: true,
            access_dirty: true,
        }
    }
}

impl ScalableConfig {
    /// What ECAP says of it.
    fn extended_capabilities(&self) -> u64 {
        let when = |on, bits| if on { bits } else { 0 };
        let pasids = u64::from(self.pasid_bits);
        ECAP_SMTS
            | ECAP_SMPWCS
            | when(self.first_stage, ECAP_FSTS)
            | when(self.second_stage, ECAP_SSTS)
            | when(self.nested, ECAP_NEST)
            | when(self.rid_pasid, ECAP_RPS)
            | when(self.supervisor, ECAP_SRS)
            | when(self.execution, ECAP_ERS)
            | when(self.access_dirty, ECAP_SSADS)
            | when(pasids > 0, ECAP_PASID | pasids.saturating_sub(1) << ECAP_PSS_SHIFT)
    }
}

/// What lookups and invalidations cost, in nanoseconds of virtual time.
///
/// The defaults follow what Neugebauer and others measured on Xeon servers ("Understanding PCIe performance for end host
/// networking", SIGCOMM 2018, 6.5): with a warm IOTLB, of about 64 entries, hardly anything; about 330 ns more for a miss
/// and its walk, which is here four reads of 80 ns.
///
/// An invalidation of one page through the queue, until the driver sees its status, took "800 ns or so" as the Akaros project
/// found (commit 81b6433a, 2020). Here it is two descriptors of 80 ns, the invalidation of 400 ns and the status write of 80 ns,
/// 640 ns in all, and what the processor takes to write the tail and to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// An IOTLB lookup.
    pub hit: u64,
    /// One read of a table entry in memory: root, context, paging or interrupt entry.
    pub walk_read: u64,
    /// A context-cache lookup.
    pub context: u64,
    /// An interrupt-entry-cache lookup.
    pub interrupt: u64,
    /// A PASID-cache lookup, which only scalable mode needs.
    pub pasid: u64,
    /// A lookup in the paging-structure caches, all levels at once, where there are any.
    pub paging: u64,
    /// A descriptor of the invalidation queue is fetched.
    pub descriptor: u64,
    /// A cache is invalidated, by the queue or by register. It takes effect at the end.
    pub invalidation: u64,
    /// A wait descriptor's status is written.
    pub status_write: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hit: 5,
            walk_read: 80,
            context: 5,
            interrupt: 5,
            pasid: 5,
            paging: 2,
            descriptor: 80,
            invalidation: 400,
            status_write: 80,
        }
    }
}

impl Timing {
    /// A translation: context cache and IOTLB asked, the PASID cache and the paging-structure caches so many times, and
    /// `reads` entries read from memory.
    pub(crate) const fn translation(&self, pasids: u64, paging: u64, reads: u64) -> VirtDuration {
        let pasid = VirtDuration::from_ns(self.pasid).times(pasids);
        let paging = VirtDuration::from_ns(self.paging).times(paging);
        let always = VirtDuration::from_ns(self.context.saturating_add(self.hit));
        always.plus(pasid).plus(paging).plus(self.reads(reads))
    }

    /// An interrupt: the cache asked, `reads` entries read from memory; a posted descriptor counts as one of them.
    pub(crate) const fn remapping(&self, reads: u64) -> VirtDuration {
        VirtDuration::from_ns(self.interrupt).plus(self.reads(reads))
    }

    const fn reads(&self, reads: u64) -> VirtDuration {
        VirtDuration::from_ns(self.walk_read).times(reads)
    }
}

/// The unit as the machine is built. The defaults are a unit with every capability of legacy mode that Linux and Xen use,
/// an IOTLB of the size that [`Timing`]'s source found, and enough fault records for a burst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IommuConfig {
    /// CAP.MGAW, the addresses of devices: 39, 48 or 57 bits. Memory's own addresses are as wide, up to 52 bits.
    pub address_bits: u8,
    /// CAP.SAGAW: how many levels tables may have, of 3, 4 and 5. Empty: 3 and all that `address_bits` needs.
    pub levels: Vec<u8>,
    /// CAP.ND: bits of a domain id, an even number from 4 to 16.
    pub domain_bits: u8,
    /// CAP.RWBF: software has to flush the unit's write buffer by GCMD.WBF.
    pub write_buffer_flush: bool,
    /// CAP.PLMR: a protected memory region below 4 GiB.
    pub protected_low: bool,
    /// CAP.PHMR: a protected memory region anywhere.
    pub protected_high: bool,
    /// CAP.PSI: pages can be invalidated one by one; else a request to do so invalidates their domain.
    pub page_selective: bool,
    /// ECAP.C: the unit sees what is in processors' caches; else software has to write tables back.
    pub coherent: bool,
    /// CAP.ESRTPS and ESIRTPS: taking a table pointer over invalidates what was cached by the former table.
    pub implied_invalidation: bool,
    /// 2 MiB and 1 GiB pages.
    pub superpages: bool,
    /// CAP.CM: not-present and faulty entries are cached too, so that every change of a table needs an invalidation.
    pub caching_mode: bool,
    /// The invalidation queue; invalidation by register is always there.
    pub queued_invalidation: bool,
    /// Interrupt remapping; needs the queue.
    pub interrupt_remapping: bool,
    /// 32-bit interrupt destinations; needs interrupt remapping.
    pub eim: bool,
    /// CAP.PI: interrupts may be posted to a descriptor in memory; needs interrupt remapping.
    pub posted_interrupts: bool,
    /// Context entries may pass addresses through.
    pub pass_through: bool,
    /// ECAP.SC: leaves of the paging tables may ask for snooping (SNP); else that bit is reserved.
    pub snoop_control: bool,
    /// ECAP.SMTS: scalable mode, beside legacy mode; needs the queue.
    pub scalable: Option<ScalableConfig>,
    /// Fault recording registers, 1-224: what the register page has room for.
    pub fault_records: u16,
    /// The IOTLB.
    pub iotlb: IotlbConfig,
    /// The context cache.
    pub context_cache: CacheConfig,
    /// The PASID cache, which only scalable mode fills.
    pub pasid_cache: CacheConfig,
    /// The paging-structure caches.
    pub paging_caches: PagingCacheConfig,
    /// Entries of the fully associative interrupt-entry cache, 1-64.
    pub interrupt_cache: u16,
    /// Who makes room in the interrupt-entry cache.
    pub interrupt_policy: Policy,
    /// What lookups cost.
    pub timing: Timing,
}

impl Default for IommuConfig {
    fn default() -> Self {
        Self {
            address_bits: 48,
            levels: Vec::new(),
            domain_bits: 16,
            write_buffer_flush: false,
            protected_low: false,
            protected_high: false,
            page_selective: true,
            coherent: true,
            implied_invalidation: false,
            superpages: true,
            caching_mode: false,
            queued_invalidation: true,
            interrupt_remapping: true,
            eim: true,
            posted_interrupts: false,
            pass_through: true,
            snoop_control: true,
            scalable: None,
            fault_records: 8,
            iotlb: IotlbConfig::default(),
            context_cache: CacheConfig { sets: 8, ways: 2, policy: Policy::Lru },
            pasid_cache: CacheConfig { sets: 8, ways: 2, policy: Policy::Lru },
            paging_caches: PagingCacheConfig::default(),
            interrupt_cache: 32,
            interrupt_policy: Policy::Lru,
            timing: Timing::default(),
        }
    }
}

/// A unit that can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Widths other than 39, 48 and 57.
    #[error("address_bits is {0}, must be 39, 48 or 57")]
    AddressBits(u8),
    /// Levels other than 3, 4 and 5.
    #[error("levels has {0}, must be of 3, 4 and 5")]
    Levels(u8),
    /// No such CAP.ND.
    #[error("domain_bits is {0}, must be an even number from 4 to 16")]
    DomainBits(u8),
    /// No fault recording register, or more than fit in the register page.
    #[error("fault_records is {0}, must be 1 to {FRCD_MAX}")]
    FaultRecords(u16),
    /// Sets or ways out of range.
    #[error("{cache}: {sets} sets of {ways} ways; sets must be a power of two up to 4096, ways 1 to 64")]
    Cache {
        /// The option.
        cache: &'static str,
        /// Sets asked for.
        sets: u16,
        /// Ways asked for.
        ways: u16,
    },
    /// Tree replacement halves the ways again and again.
    #[error("{cache}: PseudoLru needs a power of two of ways, not {ways}")]
    PseudoLru {
        /// The option.
        cache: &'static str,
        /// Ways asked for.
        ways: u16,
    },
    /// More bits than a PASID has.
    #[error("pasid_bits is {0}, must be 0 to 20")]
    PasidBits(u8),
    /// A capability without what it builds on.
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
}

impl IommuConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !matches!(self.address_bits, 39 | 48 | 57) {
            return Err(ConfigError::AddressBits(self.address_bits));
        }
        if let Some(odd) = self.levels.iter().find(|levels| !(3..=5).contains(*levels)) {
            return Err(ConfigError::Levels(*odd));
        }
        if !(4..=16).contains(&self.domain_bits) || !self.domain_bits.is_multiple_of(2) {
            return Err(ConfigError::DomainBits(self.domain_bits));
        }
        if !(1..=FRCD_MAX).contains(&u64::from(self.fault_records)) {
            return Err(ConfigError::FaultRecords(self.fault_records));
        }
        if self.interrupt_remapping && !self.queued_invalidation {
            return Err(ConfigError::Needs("interrupt_remapping", "queued_invalidation"));
        }
        if self.eim && !self.interrupt_remapping {
            return Err(ConfigError::Needs("eim", "interrupt_remapping"));
        }
        if self.posted_interrupts && !self.interrupt_remapping {
            return Err(ConfigError::Needs("posted_interrupts", "interrupt_remapping"));
        }
        self.validate_scalable()?;
        self.validate_caches()
    }

    fn validate_scalable(&self) -> Result<(), ConfigError> {
        let Some(scalable) = self.scalable else { return Ok(()) };
        if scalable.pasid_bits > 20 {
            return Err(ConfigError::PasidBits(scalable.pasid_bits));
        }
        if !self.queued_invalidation {
            return Err(ConfigError::Needs("scalable", "queued_invalidation"));
        }
        if scalable.nested && !(scalable.first_stage && scalable.second_stage) {
            return Err(ConfigError::Needs("nested", "first_stage and second_stage"));
        }
        Ok(())
    }

    fn validate_caches(&self) -> Result<(), ConfigError> {
        let always = [
            ("iotlb", self.iotlb_geometry()),
            ("context_cache", self.context_geometry()),
            ("pasid_cache", self.pasid_geometry()),
            ("interrupt_cache", self.interrupt_geometry()),
        ];
        let paging =
            self.paging_geometries().into_iter().flatten().map(|geometry| ("paging_caches", geometry));
        for (cache, Geometry { sets, ways, policy }) in always.into_iter().chain(paging) {
            if !sets.is_power_of_two() || sets > 4096 || !(1..=64).contains(&ways) {
                return Err(ConfigError::Cache { cache, sets, ways });
            }
            if policy == Policy::PseudoLru && !ways.is_power_of_two() {
                return Err(ConfigError::PseudoLru { cache, ways });
            }
        }
        Ok(())
    }

    pub(crate) fn iotlb_geometry(&self) -> Geometry {
        let IotlbConfig { sets, ways, policy } = self.iotlb;
        Geometry { sets, ways, policy }
    }

    pub(crate) fn context_geometry(&self) -> Geometry {
        let CacheConfig { sets, ways, policy } = self.context_cache;
        Geometry { sets, ways, policy }
    }

    pub(crate) fn pasid_geometry(&self) -> Geometry {
        let CacheConfig { sets, ways, policy } = self.pasid_cache;
        Geometry { sets, ways, policy }
    }

    /// The paging-structure caches from the second level up; `None` where there is none.
    pub(crate) fn paging_geometries(&self) -> [Option<Geometry>; 4] {
        let PagingCacheConfig { pml5, pml4, pdpt, pd, policy } = self.paging_caches;
        [pd, pdpt, pml4, pml5].map(|ways| (ways > 0).then_some(Geometry { sets: 1, ways, policy }))
    }

    pub(crate) fn interrupt_geometry(&self) -> Geometry {
        Geometry { sets: 1, ways: self.interrupt_cache, policy: self.interrupt_policy }
    }

    /// The width of memory's own addresses, as the DMAR table tells it.
    #[must_use]
    pub fn host_bits(&self) -> u8 {
        self.address_bits.min(52)
    }

    /// Bits of a 64-bit address that memory's have not.
    pub(crate) fn beyond_host(&self) -> u64 {
        u64::MAX << self.host_bits()
    }

    /// Whether tables of `levels` levels can be walked.
    pub(crate) fn walks(&self, levels: u8) -> bool {
        if self.levels.is_empty() {
            levels >= 3 && 12 + 9 * levels <= self.address_bits
        } else {
            self.levels.contains(&levels)
        }
    }

    /// Bits of a domain id, counted from bit 0, that the unit has not.
    pub(crate) fn beyond_domain(&self) -> u64 {
        u64::MAX << self.domain_bits
    }

    /// CAP.
    pub(crate) fn capabilities(&self) -> u64 {
        let when = |on, bits| if on { bits } else { 0 };
        let sagaw = (3..=5).filter(|levels| self.walks(*levels)).map(|levels| CAP_SAGAW_39 << (levels - 3));
        let domains = (u64::from(self.domain_bits) - 4) / 2;
        domains
            | when(self.write_buffer_flush, CAP_RWBF)
            | when(self.protected_low, CAP_PLMR)
            | when(self.protected_high, CAP_PHMR)
            | when(self.caching_mode, CAP_CM)
            | sagaw.sum::<u64>()
            | (u64::from(self.address_bits) - 1) << CAP_MGAW_SHIFT
            | CAP_ZLR
            | (FRCD / 16) << CAP_FRO_SHIFT
            | when(self.superpages, CAP_SLLPS)
            | when(self.page_selective, CAP_PSI | u64::from(MAMV) << CAP_MAMV_SHIFT)
            | (u64::from(self.fault_records) - 1) << CAP_NFR_SHIFT
            | CAP_DRAIN
            | when(self.scalable.is_some_and(|scalable| scalable.gigabyte_pages), CAP_FS1GP)
            | when(self.scalable.is_some_and(|scalable| scalable.five_levels), CAP_FS5LP)
            | when(self.posted_interrupts, CAP_PI)
            | when(self.implied_invalidation, CAP_ESRTPS | CAP_ESIRTPS)
    }

    /// ECAP.
    pub(crate) fn extended_capabilities(&self) -> u64 {
        let when = |on, bits| if on { bits } else { 0 };
        when(self.coherent, ECAP_C)
            | when(self.queued_invalidation, ECAP_QI)
            | when(self.interrupt_remapping, ECAP_IR | u64::from(MHMV) << ECAP_MHMV_SHIFT)
            | when(self.eim, ECAP_EIM)
            | when(self.pass_through, ECAP_PT)
            | when(self.snoop_control, ECAP_SC)
            | (IVA / 16) << ECAP_IRO_SHIFT
            | self.scalable.map_or(0, |scalable| scalable.extended_capabilities())
    }
}
