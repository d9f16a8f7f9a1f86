//! What each register is for, and its fields by name, for people: chapter 11 of the specification (10 in older revisions).

use super::register::*;

/// A register for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterInfo {
    /// What it is for, in a few words.
    pub what: &'static str,
    /// Its fields: mask, name, and what it says, if that is not the name already.
    pub fields: &'static [(u64, &'static str, &'static str)],
}

/// A bit of a 32-bit register as a mask.
const fn bit(mask: u32) -> u64 {
    mask as u64
}

const COMMANDS: &[(u64, &str, &str)] = &[
    (bit(TE), "TE", "DMA remapping"),
    (bit(SRTP), "SRTP", "take over the root table pointer"),
    (bit(WBF), "WBF", "flush the write buffer"),
    (bit(QIE), "QIE", "queued invalidation"),
    (bit(IRE), "IRE", "interrupt remapping"),
    (bit(SIRTP), "SIRTP", "take over the interrupt table pointer"),
    (bit(CFI), "CFI", "let interrupts in compatibility format pass"),
];
const STATUS: &[(u64, &str, &str)] = &[
    (bit(TE), "TES", "DMA remapping is on"),
    (bit(SRTP), "RTPS", "the root table pointer was taken over"),
    (bit(WBF), "WBFS", "the write buffer is being flushed"),
    (bit(QIE), "QIES", "queued invalidation is on"),
    (bit(IRE), "IRES", "interrupt remapping is on"),
    (bit(SIRTP), "IRTPS", "the interrupt table pointer was taken over"),
    (bit(CFI), "CFIS", "interrupts in compatibility format pass"),
];
const CAPABILITIES: &[(u64, &str, &str)] = &[
    (7, "ND", "domains: 2^(4 + 2 ND)"),
    (CAP_RWBF, "RWBF", "the write buffer has to be flushed"),
    (CAP_PLMR, "PLMR", "a protected region below 4 GiB"),
    (CAP_PHMR, "PHMR", "a protected region anywhere"),
    (CAP_CM, "CM", "not-present entries may be cached too"),
    (0x1f << 8, "SAGAW", "levels of tables: bit 1 is 3, bit 2 is 4, bit 3 is 5"),
    (0x3f << CAP_MGAW_SHIFT, "MGAW", "address bits, minus one"),
    (CAP_ZLR, "ZLR", "zero-length reads of write-only pages are fine"),
    (0x3ff << CAP_FRO_SHIFT, "FRO", "where fault recording registers are, in 16 bytes"),
    (CAP_SLLPS, "SLLPS", "pages of 2 MiB and 1 GiB"),
    (CAP_PSI, "PSI", "page-selective invalidation"),
    (0xff << CAP_NFR_SHIFT, "NFR", "fault recording registers, minus one"),
    (0x3f << CAP_MAMV_SHIFT, "MAMV", "largest address mask of an invalidation"),
    (CAP_DRAIN, "DWD DRD", "writes and reads can be drained"),
    (CAP_FS1GP, "FS1GP", "first-stage pages of 1 GiB"),
    (CAP_FS5LP, "FS5LP", "first-stage tables of 5 levels"),
    (CAP_ESIRTPS, "ESIRTPS", "SIRTP invalidates the interrupt entry cache"),
    (CAP_ESRTPS, "ESRTPS", "SRTP invalidates context cache, PASID cache and IOTLB"),
];
const EXTENDED: &[(u64, &str, &str)] = &[
    (ECAP_C, "C", "table accesses are coherent"),
    (ECAP_QI, "QI", "queued invalidation"),
    (ECAP_IR, "IR", "interrupt remapping"),
    (ECAP_EIM, "EIM", "32-bit destinations"),
    (ECAP_PT, "PT", "pass-through"),
    (ECAP_SC, "SC", "snoop control"),
    (0x3ff << ECAP_IRO_SHIFT, "IRO", "where IVA and IOTLB are, in 16 bytes"),
    (0xf << ECAP_MHMV_SHIFT, "MHMV", "largest index mask of an invalidation"),
    (ECAP_NEST, "NEST", "first-stage tables within second-stage ones"),
    (ECAP_ERS, "ERS", "requests for execution"),
    (ECAP_SRS, "SRS", "privileged requests"),
    (0x1f << ECAP_PSS_SHIFT, "PSS", "bits of a PASID, minus one"),
    (ECAP_PASID, "PASID", "requests may carry a PASID"),
    (ECAP_SMTS, "SMTS", "scalable mode"),
    (ECAP_SSADS, "SSADS", "second-stage accessed and dirty bits"),
    (ECAP_SSTS, "SSTS", "second stage in scalable mode"),
    (ECAP_FSTS, "FSTS", "first stage in scalable mode"),
    (ECAP_SMPWCS, "SMPWCS", "PASID entries say whether walks are snooped"),
    (ECAP_RPS, "RPS", "context entries name the PASID of requests without one"),
];
const FAULTS: &[(u64, &str, &str)] = &[
    (bit(PFO), "PFO", "a fault found no free record"),
    (bit(PPF), "PPF", "a fault record is pending"),
    (bit(IQE), "IQE", "the queue has stopped at a descriptor that it cannot carry out"),
    (bit(ICE), "ICE", "a device did not complete its invalidation"),
    (bit(ITE), "ITE", "a device did not answer in time"),
    (0xff << FRI_SHIFT, "FRI", "the first pending fault record"),
];
const MESSAGE: &[(u64, &str, &str)] =
    &[(bit(IM), "IM", "no message is sent"), (bit(IP), "IP", "a message waits")];

const PROTECTION: &[(u64, &str, &str)] =
    &[(bit(EPM), "EPM", "protect them"), (bit(PRS), "PRS", "they are protected")];
const COMPLETION: &[(u64, &str, &str)] = &[(bit(IWC), "IWC", "a wait descriptor with IF is done")];
const NO_FIELDS: &[(u64, &str, &str)] = &[];

/// By offset, as in [`register_name`].
#[must_use]
pub fn register_info(offset: u64) -> Option<RegisterInfo> {
    let (what, fields) = match offset {
        VER => ("version", &[(0xf0, "MAX", "major"), (0xf, "MIN", "minor")][..]),
        CAP => ("what the unit can do", CAPABILITIES),
        ECAP => ("what else it can do", EXTENDED),
        GCMD => ("global commands: one bit is changed at a time, and waited for in GSTS", COMMANDS),
        GSTS => ("global status", STATUS),
        RTADDR => (
            "where the root table is, taken over by GCMD.SRTP",
            &[(!0xfff, "RTA", "root table"), (3 << 10, "TTM", "0 legacy, 1 scalable mode")][..],
        ),
        CCMD => (
            "context cache invalidation by register",
            &[
                (ICC, "ICC", "go; busy until clear"),
                (3 << CIRG_SHIFT, "CIRG", "wanted: 1 global, 2 domain, 3 device"),
                (3 << CAIG_SHIFT, "CAIG", "done"),
                (3 << 32, "FM", "function mask"),
                (0xffff << 16, "SID", "source id"),
                (0xffff, "DID", "domain"),
            ][..],
        ),
        FSTS => ("fault status", FAULTS),
        FECTL => ("whether faults send a message", MESSAGE),
        FEDATA => ("data of that message", NO_FIELDS),
        FEADDR => ("address of that message", NO_FIELDS),
        FEUADDR => ("upper half of that address: destination bits 31:8 with x2APIC", NO_FIELDS),
        AFLOG => ("advanced fault log: this unit has none", NO_FIELDS),
        PMEN => ("protected memory regions", PROTECTION),
        PLMBASE => ("base of the protected region below 4 GiB", NO_FIELDS),
        PLMLIMIT => ("its last unit", NO_FIELDS),
        PHMBASE => ("base of the protected region anywhere", NO_FIELDS),
        PHMLIMIT => ("its last unit", NO_FIELDS),
        IQH => ("invalidation queue: the descriptor that is next", NO_FIELDS),
        IQT => ("invalidation queue: behind the last descriptor; writing it is the doorbell", NO_FIELDS),
        IQA => (
            "invalidation queue: where and how long",
            &[
                (!0xfff, "IQA", "base"),
                (IQA_DW, "DW", "descriptors of 32 bytes"),
                (IQA_QS, "QS", "2^QS pages"),
            ][..],
        ),
        ICS => ("invalidation completion", COMPLETION),
        IECTL => ("whether a completion sends a message", MESSAGE),
        IEDATA => ("data of that message", NO_FIELDS),
        IEADDR => ("address of that message", NO_FIELDS),
        IEUADDR => ("upper half of that address", NO_FIELDS),
        IQERCD => ("why the invalidation queue has stopped", NO_FIELDS),
        IRTA => (
            "interrupt remap table, taken over by GCMD.SIRTP",
            &[
                (!0xfff, "IRTA", "base"),
                (IRTA_EIME, "EIME", "32-bit destinations"),
                (IRTA_S, "S", "2^(S+1) entries"),
            ][..],
        ),
        IVA => ("the address of a page-selective IOTLB invalidation by register", NO_FIELDS),
        IOTLB => (
            "IOTLB invalidation by register",
            &[
                (IVT, "IVT", "go; busy until clear"),
                (3 << IIRG_SHIFT, "IIRG", "wanted: 1 global, 2 domain, 3 pages"),
                (3 << IAIG_SHIFT, "IAIG", "done"),
                (0xffff << 32, "DID", "domain"),
            ][..],
        ),
        FRCD..PAGE => ("a fault recording register: source, address and reason of a fault", NO_FIELDS),
        _ => return None,
    };
    Some(RegisterInfo { what, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_register_is_explained_and_no_bit_twice() {
        for offset in (0..PAGE).step_by(4) {
            let wide = offset >= 4 && is_wide(offset - 4);
            if register_name(offset).is_none() || wide {
                continue;
            }
            let info = register_info(offset).unwrap_or_else(|| panic!("{offset:#x}"));
            let mut seen = 0;
            for (mask, name, _) in info.fields {
                assert!(*mask != 0 && mask & seen == 0, "{name} at {offset:#x}");
                seen |= mask;
            }
        }
    }
}
