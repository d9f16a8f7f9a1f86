//! The register page: VT-d specification, chapter 11 (10 in older revisions).

/// Bytes of the register page; everything is inside, as Xen wants it.
pub const PAGE: u64 = 0x1000;

/// VER, RO: architecture version, major in bits 7:4.
pub const VER: u64 = 0x00;
/// CAP, RO, 64 bits.
pub const CAP: u64 = 0x08;
/// ECAP, RO, 64 bits.
pub const ECAP: u64 = 0x10;
/// GCMD, WO.
pub const GCMD: u64 = 0x18;
/// GSTS, RO.
pub const GSTS: u64 = 0x1c;
/// RTADDR, RW, 64 bits: root table, bits 63:12, its kind (TTM), 11:10; taken over by GCMD.SRTP.
pub const RTADDR: u64 = 0x20;
/// CCMD, RW, 64 bits: context-cache invalidation by register.
pub const CCMD: u64 = 0x28;
/// FSTS, RW1C.
pub const FSTS: u64 = 0x34;
/// FECTL, RW.
pub const FECTL: u64 = 0x38;
/// FEDATA, RW.
pub const FEDATA: u64 = 0x3c;
/// FEADDR, RW, bits 31:2.
pub const FEADDR: u64 = 0x40;
/// FEUADDR, RW.
pub const FEUADDR: u64 = 0x44;
/// AFLOG, 64 bits: advanced fault logging; not a capability of this unit, zero.
pub const AFLOG: u64 = 0x58;
/// PMEN, RW: protected memory regions. It and the next four are zero without CAP.PLMR and PHMR.
pub const PMEN: u64 = 0x64;
/// PLMBASE, RW: base of the low region.
pub const PLMBASE: u64 = 0x68;
/// PLMLIMIT, RW: its last unit.
pub const PLMLIMIT: u64 = 0x6c;
/// PHMBASE, RW, 64 bits: base of the high region.
pub const PHMBASE: u64 = 0x70;
/// PHMLIMIT, RW, 64 bits: its last unit.
pub const PHMLIMIT: u64 = 0x78;
/// IQH, RO, 64 bits: bits 18:4, or 18:5 with 32-byte descriptors.
pub const IQH: u64 = 0x80;
/// IQT, RW, 64 bits: bits 18:4.
pub const IQT: u64 = 0x88;
/// IQA, RW, 64 bits: base 63:12, DW 11, QS 2:0.
pub const IQA: u64 = 0x90;
/// ICS, RW1C.
pub const ICS: u64 = 0x9c;
/// IECTL, RW.
pub const IECTL: u64 = 0xa0;
/// IEDATA, RW.
pub const IEDATA: u64 = 0xa4;
/// IEADDR, RW.
pub const IEADDR: u64 = 0xa8;
/// IEUADDR, RW.
pub const IEUADDR: u64 = 0xac;
/// IQERCD, RO, 64 bits: why the queue stopped, bits 3:0.
pub const IQERCD: u64 = 0xb0;
/// IRTA, RW, 64 bits: base 63:12, EIME 11, S 3:0; taken over by GCMD.SIRTP.
pub const IRTA: u64 = 0xb8;
/// IVA, WO, 64 bits: the address of a page-selective IOTLB invalidation. ECAP.IRO says where.
pub const IVA: u64 = 0x100;
/// IOTLB, RW, 64 bits: IOTLB invalidation by register.
pub const IOTLB: u64 = 0x108;
/// FRCD, RW1C, 128 bits each. CAP.FRO says where.
pub const FRCD: u64 = 0x200;
/// Bytes of a fault recording register.
pub const FRCD_LEN: u64 = 16;
/// As many fault recording registers as the page has room for.
pub const FRCD_MAX: u64 = (PAGE - FRCD) / FRCD_LEN;

/// [`VER`]: 1.0.
pub const VERSION: u32 = 0x10;

/// CAP.RWBF: the write buffer has to be flushed.
pub const CAP_RWBF: u64 = 1 << 4;
/// CAP.PLMR: a protected region below 4 GiB.
pub const CAP_PLMR: u64 = 1 << 5;
/// CAP.PHMR: a protected region anywhere.
pub const CAP_PHMR: u64 = 1 << 6;
/// CAP.CM: not-present and faulty entries may be cached too.
pub const CAP_CM: u64 = 1 << 7;
/// CAP.SAGAW 12:8: the bit for 3-level tables, 39 bits; those of 4 and 5 levels follow.
pub const CAP_SAGAW_39: u64 = 1 << 9;
/// CAP.MGAW 21:16: guest address bits minus one.
pub const CAP_MGAW_SHIFT: u32 = 16;
/// CAP.ZLR: zero-length reads of write-only pages are fine.
pub const CAP_ZLR: u64 = 1 << 22;
/// CAP.FRO 33:24, in 16 bytes.
pub const CAP_FRO_SHIFT: u32 = 24;
/// CAP.SLLPS 37:34: 2 MiB and 1 GiB pages.
pub const CAP_SLLPS: u64 = 3 << 34;
/// CAP.PSI: page-selective invalidation.
pub const CAP_PSI: u64 = 1 << 39;
/// CAP.NFR 47:40: fault recording registers minus one.
pub const CAP_NFR_SHIFT: u32 = 40;
/// CAP.MAMV 53:48.
pub const CAP_MAMV_SHIFT: u32 = 48;
/// The largest address mask of a page-selective invalidation: 1 GiB.
pub const MAMV: u8 = 18;
/// CAP.DWD and DRD: writes and reads can be drained.
pub const CAP_DRAIN: u64 = 3 << 54;

/// CAP.FS1GP: first-stage pages of 1 GiB.
pub const CAP_FS1GP: u64 = 1 << 56;
/// CAP.PI: interrupts can be posted.
pub const CAP_PI: u64 = 1 << 59;
/// CAP.FS5LP: first-stage tables of 5 levels.
pub const CAP_FS5LP: u64 = 1 << 60;
/// CAP.ESIRTPS: SIRTP invalidates the interrupt-entry cache.
pub const CAP_ESIRTPS: u64 = 1 << 62;
/// CAP.ESRTPS: SRTP invalidates context cache, PASID cache and IOTLB.
pub const CAP_ESRTPS: u64 = 1 << 63;

/// PMEN.EPM: the regions are protected.
pub const EPM: u32 = 1 << 31;
/// PMEN.PRS, RO: the protection is in force.
pub const PRS: u32 = 1;
/// Bases and limits of protected regions are multiples of this; the bits below read as zero, which tells software.
pub const PROTECTED_GRAIN: u64 = 1 << 21;

/// ECAP.C: table accesses are coherent.
pub const ECAP_C: u64 = 1;
/// ECAP.QI: queued invalidation.
pub const ECAP_QI: u64 = 1 << 1;
/// ECAP.IR: interrupt remapping.
pub const ECAP_IR: u64 = 1 << 3;
/// ECAP.EIM: 32-bit destinations.
pub const ECAP_EIM: u64 = 1 << 4;
/// ECAP.PT: pass-through.
pub const ECAP_PT: u64 = 1 << 6;
/// ECAP.SC: snoop control.
pub const ECAP_SC: u64 = 1 << 7;
/// ECAP.IRO 17:8, in 16 bytes.
pub const ECAP_IRO_SHIFT: u32 = 8;
/// ECAP.NEST: first-stage tables within second-stage ones.
pub const ECAP_NEST: u64 = 1 << 26;
/// ECAP.ERS: requests for execution.
pub const ECAP_ERS: u64 = 1 << 30;
/// ECAP.SRS: privileged requests.
pub const ECAP_SRS: u64 = 1 << 31;
/// ECAP.PSS 39:35: bits of a PASID minus one.
pub const ECAP_PSS_SHIFT: u32 = 35;
/// ECAP.PASID: requests may carry a PASID.
pub const ECAP_PASID: u64 = 1 << 40;
/// ECAP.SMTS: scalable mode.
pub const ECAP_SMTS: u64 = 1 << 43;
/// ECAP.SSADS: second-stage accessed and dirty bits.
pub const ECAP_SSADS: u64 = 1 << 45;
/// ECAP.SSTS: scalable mode's second stage.
pub const ECAP_SSTS: u64 = 1 << 46;
/// ECAP.FSTS: scalable mode's first stage.
pub const ECAP_FSTS: u64 = 1 << 47;
/// ECAP.SMPWCS: PASID entries say whether walks are snooped.
pub const ECAP_SMPWCS: u64 = 1 << 48;
/// ECAP.RPS: context entries name the PASID of requests without one.
pub const ECAP_RPS: u64 = 1 << 49;
/// ECAP.MHMV 23:20.
pub const ECAP_MHMV_SHIFT: u32 = 20;
/// The largest index mask of an interrupt-entry invalidation.
pub const MHMV: u8 = 15;

/// GCMD.TE, GSTS.TES: DMA remapping.
pub const TE: u32 = 1 << 31;
/// GCMD.SRTP, GSTS.RTPS: root table pointer taken over.
pub const SRTP: u32 = 1 << 30;
/// GCMD.WBF, GSTS.WBFS: the write buffer is flushed, at once: the status is never seen.
pub const WBF: u32 = 1 << 27;
/// GCMD.QIE, GSTS.QIES: invalidation queue.
pub const QIE: u32 = 1 << 26;
/// GCMD.IRE, GSTS.IRES: interrupt remapping.
pub const IRE: u32 = 1 << 25;
/// GCMD.SIRTP, GSTS.IRTPS: interrupt remap table pointer taken over.
pub const SIRTP: u32 = 1 << 24;
/// GCMD.CFI, GSTS.CFIS: compatibility-format interrupts pass.
pub const CFI: u32 = 1 << 23;

/// FSTS.PFO: primary fault overflow, RW1C.
pub const PFO: u32 = 1;
/// FSTS.PPF: a fault record is pending, RO.
pub const PPF: u32 = 1 << 1;
/// FSTS.IQE: invalidation queue error, RW1C.
pub const IQE: u32 = 1 << 4;
/// FSTS.ICE: invalidation completion error, RW1C; only device TLBs have it.
pub const ICE: u32 = 1 << 5;
/// FSTS.ITE: invalidation time-out error, RW1C; only device TLBs have it.
pub const ITE: u32 = 1 << 6;
/// FSTS.FRI 15:8: the first pending fault record.
pub const FRI_SHIFT: u32 = 8;

/// FECTL.IM and IECTL.IM: masked.
pub const IM: u32 = 1 << 31;
/// FECTL.IP and IECTL.IP, RO: a message waits.
pub const IP: u32 = 1 << 30;
/// ICS.IWC: a wait descriptor with IF is done, RW1C.
pub const IWC: u32 = 1;

/// CCMD.ICC: start, and busy until clear.
pub const ICC: u64 = 1 << 63;
/// CCMD.CIRG 62:61, requested granularity.
pub const CIRG_SHIFT: u32 = 61;
/// CCMD.CAIG 60:59, actual granularity, RO.
pub const CAIG_SHIFT: u32 = 59;
/// IOTLB.IVT: start, and busy until clear.
pub const IVT: u64 = 1 << 63;
/// IOTLB.IIRG 61:60, requested granularity.
pub const IIRG_SHIFT: u32 = 60;
/// IOTLB.IAIG 58:57, actual granularity, RO.
pub const IAIG_SHIFT: u32 = 57;
/// IOTLB: what stays as software wrote it: IIRG, DR, DW, DID.
pub const IOTLB_WRITABLE: u64 = 3 << IIRG_SHIFT | 3 << 48 | 0xffff << 32;
/// CCMD: what stays as software wrote it: CIRG, FM, SID, DID.
pub const CCMD_WRITABLE: u64 = 3 << CIRG_SHIFT | 0x3_ffff_ffff;

/// IQH and IQT: the byte offset.
pub const QUEUE_POINTER: u64 = 0x7_fff0;
/// IQA.QS: 2^QS pages.
pub const IQA_QS: u64 = 7;
/// IQA.DW: 32-byte descriptors; only scalable mode has them.
pub const IQA_DW: u64 = 1 << 11;
/// IRTA.EIME: destinations are 32 bits.
pub const IRTA_EIME: u64 = 1 << 11;
/// IRTA.S: 2^(S+1) entries.
pub const IRTA_S: u64 = 0xf;

/// Names by offset; the 64-bit ones are listed once.
const NAMES: [(u64, &str); 30] = [
    (VER, "VER"),
    (CAP, "CAP"),
    (ECAP, "ECAP"),
    (GCMD, "GCMD"),
    (GSTS, "GSTS"),
    (RTADDR, "RTADDR"),
    (CCMD, "CCMD"),
    (FSTS, "FSTS"),
    (FECTL, "FECTL"),
    (FEDATA, "FEDATA"),
    (FEADDR, "FEADDR"),
    (FEUADDR, "FEUADDR"),
    (AFLOG, "AFLOG"),
    (PMEN, "PMEN"),
    (PLMBASE, "PLMBASE"),
    (PLMLIMIT, "PLMLIMIT"),
    (PHMBASE, "PHMBASE"),
    (PHMLIMIT, "PHMLIMIT"),
    (IQH, "IQH"),
    (IQT, "IQT"),
    (IQA, "IQA"),
    (ICS, "ICS"),
    (IECTL, "IECTL"),
    (IEDATA, "IEDATA"),
    (IEADDR, "IEADDR"),
    (IEUADDR, "IEUADDR"),
    (IQERCD, "IQERCD"),
    (IRTA, "IRTA"),
    (IVA, "IVA"),
    (IOTLB, "IOTLB"),
];

/// The register's name as the specification has it; the upper half of a 64-bit register bears the register's name.
#[must_use]
pub fn register_name(offset: u64) -> Option<&'static str> {
    if (FRCD..PAGE).contains(&offset) {
        return offset.is_multiple_of(4).then_some("FRCD");
    }
    let named = |at: u64| NAMES.iter().find(|(known, _)| *known == at).map(|(_, name)| *name);
    named(offset).or_else(|| {
        let base = offset.checked_sub(4)?;
        named(base).filter(|_| is_wide(base))
    })
}

/// Whether the register at `offset` has 64 bits.
#[must_use]
pub fn is_wide(offset: u64) -> bool {
    matches!(
        offset,
        CAP | ECAP
            | RTADDR
            | CCMD
            | AFLOG
            | PHMBASE
            | PHMLIMIT
            | IQH
            | IQT
            | IQA
            | IQERCD
            | IRTA
            | IVA
            | IOTLB
    )
}
