//! The registers in words.

use super::RegisterView;
use crate::Vtd;
use crate::spec::descriptor::QueueError;
use crate::spec::fault::{
    RECORD_F, RECORD_READ, RECORD_REASON_SHIFT, fault_reason_text, is_interrupt_reason,
};
use crate::spec::register::*;
use crate::spec::scalable::{TTM, TTM_LEGACY, TTM_SCALABLE};
use emu_core::Bdf;

/// What CAP says in bits of their own.
const CAP_WORDS: [(u64, &str); 7] = [
    (CAP_CM, "caching mode"),
    (CAP_RWBF, "write buffer to be flushed"),
    (CAP_PLMR, "protected low memory"),
    (CAP_PHMR, "protected high memory"),
    (CAP_PSI, "page-selective invalidation"),
    (CAP_SLLPS, "large pages"),
    (CAP_ESRTPS, "taking a table over invalidates"),
];

/// Words for the bits of `value` that are set.
fn words(value: u64, names: &[(u64, &str)]) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    set.join(", ")
}

impl Vtd {
    /// Every register that holds something, then the fault recording registers in use.
    #[must_use]
    pub fn registers(&self) -> Vec<RegisterView> {
        let state = &self.state;
        let offsets = [
            VER, CAP, ECAP, GSTS, RTADDR, CCMD, FSTS, FECTL, FEDATA, FEADDR, FEUADDR, IQH, IQT, IQA, ICS,
            IECTL, IEDATA, IEADDR, IEUADDR, IQERCD, IRTA, IOTLB,
        ];
        let protected = self.config.protected_low || self.config.protected_high;
        let regions: &[u64] = if protected { &[PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT] } else { &[] };
        let mut all: Vec<RegisterView> =
            offsets.iter().chain(regions).copied().map(|offset| self.view(offset)).collect();
        for (index, [low, high]) in state.fault_records.iter().enumerate() {
            if high & RECORD_F != 0 {
                let reason = (high >> RECORD_REASON_SHIFT) as u8;
                let what = if is_interrupt_reason(reason) {
                    format!("interrupt {:#x}", low >> 48)
                } else {
                    format!("{} of {low:#x}", if high & RECORD_READ != 0 { "read" } else { "write" })
                };
                all.push(RegisterView {
                    name: format!("FRCD{index}").into(),
                    offset: FRCD + index as u64 * FRCD_LEN + 8,
                    value: *high,
                    meaning: format!("{}: {what}: {}", Bdf(*high as u16), fault_reason_text(reason)),
                });
            }
        }
        all
    }

    fn view(&self, offset: u64) -> RegisterView {
        let shift = (offset & 4) * 8;
        let wide = self.qword(offset & !7).unwrap_or(0);
        let value = if is_wide(offset) { wide } else { wide >> shift & 0xffff_ffff };
        RegisterView {
            name: register_name(offset).unwrap_or("?").into(),
            offset,
            value,
            meaning: self.meaning(offset, value),
        }
    }

    fn meaning(&self, offset: u64, value: u64) -> String {
        let bits = |names: &[(u32, &str)]| {
            words(value, &names.iter().map(|(bit, name)| (u64::from(*bit), *name)).collect::<Vec<_>>())
        };
        match offset {
            CAP => format!(
                "{} address bits, {}",
                self.config.address_bits,
                [format!("{} fault records", self.config.fault_records), words(value, &CAP_WORDS)]
                    .into_iter()
                    .filter(|words| !words.is_empty())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            ECAP => words(
                value,
                &[
                    (ECAP_QI, "queued invalidation"),
                    (ECAP_IR, "interrupt remapping"),
                    (ECAP_EIM, "32-bit destinations"),
                    (ECAP_PT, "pass-through"),
                    (ECAP_SC, "snoop control"),
                    (ECAP_SMTS, "scalable mode"),
                    (ECAP_FSTS, "first stage"),
                    (ECAP_SSTS, "second stage"),
                    (ECAP_NEST, "nested"),
                    (ECAP_PASID, "PASIDs"),
                ],
            ),
            GSTS => bits(&[
                (TE, "DMA remapping on"),
                (SRTP, "root table set"),
                (QIE, "queue on"),
                (IRE, "interrupt remapping on"),
                (SIRTP, "interrupt table set"),
                (CFI, "compatibility interrupts pass"),
            ]),
            RTADDR => {
                let mode = match value & TTM {
                    TTM_LEGACY => "",
                    TTM_SCALABLE => "scalable mode",
                    _ => "no mode",
                };
                let used = if value == self.state.root {
                    String::new()
                } else {
                    format!("in use: {:#x}", self.state.root)
                };
                [mode, &used].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", ")
            }
            FSTS => bits(&[(PFO, "overflow"), (PPF, "fault pending"), (IQE, "queue error")]),
            PMEN => bits(&[(PRS, "protected regions in force")]),
            FECTL | IECTL => bits(&[(IM, "masked"), (IP, "pending")]),
            IQA => {
                let wide = value & IQA_DW != 0;
                let count = if wide { 128u64 } else { 256 } << (value & IQA_QS);
                format!("{count} descriptors{}", if wide { " of 32 bytes" } else { "" })
            }
            ICS => bits(&[(IWC, "wait complete")]),
            IQERCD => QueueError::text(value).to_owned(),
            IRTA => {
                let eime = if value & IRTA_EIME != 0 { ", 32-bit destinations" } else { "" };
                format!("{} entries{eime}", 2u64 << (value & IRTA_S))
            }
            _ => String::new(),
        }
    }
}
