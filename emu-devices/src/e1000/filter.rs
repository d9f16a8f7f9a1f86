//! Which frames the receiver lets in. Manual 3.2.1 (address filtering) and chapter 9 (VLAN filtering).

use super::E1000;
use super::spec::{
    RAH_AS_SHIFT, RAH_AV, RCTL_BAM, RCTL_CFI, RCTL_CFIEN, RCTL_MO_SHIFT, RCTL_MPE, RCTL_UPE, RCTL_VFE,
};
use emu_core::trace::FilterRule;

/// All stations.
pub(super) const BROADCAST: [u8; 6] = [0xff; 6];

/// The 12 bits of a multicast address that index the multicast table, for each value of RCTL.MO: they start at bit 47,
/// 46, 45 and 43 (13.4.22).
const MULTICAST_SHIFT: [u32; 4] = [4, 3, 2, 0];

impl E1000 {
    /// The verdict on a frame of at least 14 bytes.
    pub(super) fn filter(&self, frame: &[u8]) -> FilterRule {
        let rule = self.filter_address(frame);
        match self.vlan_tag(frame) {
            Some(tag) if rule != FilterRule::NoMatch && !self.vlan_passes(tag) => FilterRule::Vlan,
            _ => rule,
        }
    }

    /// The most specific rule that admits the frame's address.
    fn filter_address(&self, frame: &[u8]) -> FilterRule {
        let rctl = self.regs.rctl;
        let mut target = [0; 6];
        target.copy_from_slice(&frame[..6]);
        let group = target[0] & 1 != 0;
        if let Some(index) = self.exact_match(frame) {
            FilterRule::Exact(index)
        } else if target == BROADCAST && rctl & RCTL_BAM != 0 {
            FilterRule::Broadcast
        } else if group && self.multicast_bit(target) {
            FilterRule::MulticastTable
        } else if group && rctl & RCTL_MPE != 0 {
            FilterRule::MulticastPromiscuous
        } else if !group && rctl & RCTL_UPE != 0 {
            FilterRule::UnicastPromiscuous
        } else {
            FilterRule::NoMatch
        }
    }

    /// The receive address register that names the frame's destination, or its source where AS says so.
    fn exact_match(&self, frame: &[u8]) -> Option<u8> {
        let hit = self.tables.ra.chunks_exact(2).position(|pair| {
            let (low, high) = (pair[0].to_le_bytes(), pair[1].to_le_bytes());
            let address = [low[0], low[1], low[2], low[3], high[0], high[1]];
            let at = match pair[1] >> RAH_AS_SHIFT & 3 {
                0 => 0,
                1 => 6,
                _ => return false,
            };
            pair[1] & RAH_AV != 0 && frame[at..at + 6] == address
        });
        hit.map(|index| index as u8)
    }

    fn multicast_bit(&self, target: [u8; 6]) -> bool {
        let shift = MULTICAST_SHIFT[(self.regs.rctl >> RCTL_MO_SHIFT & 3) as usize];
        let hash = (u32::from(target[4]) | u32::from(target[5]) << 8) >> shift & 0xfff;
        self.tables.mta[(hash >> 5) as usize] & 1 << (hash & 31) != 0
    }

    /// The tag of a frame whose type is VET.
    pub(super) fn vlan_tag(&self, frame: &[u8]) -> Option<u16> {
        let half = |at| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
        (u32::from(half(12)?) == self.regs.vet).then(|| half(14)).flatten()
    }

    fn vlan_passes(&self, tag: u16) -> bool {
        let rctl = self.regs.rctl;
        if rctl & RCTL_VFE == 0 {
            return true;
        }
        let id = u32::from(tag & 0xfff);
        let listed = self.tables.vfta[(id >> 5) as usize] & 1 << (id & 31) != 0;
        let cfi_fits = rctl & RCTL_CFIEN == 0 || (tag & 1 << 12 != 0) == (rctl & RCTL_CFI != 0);
        listed && cfi_fits
    }
}
