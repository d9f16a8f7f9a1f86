//! Time on the wire: IEEE 802.3, clauses 3.1.1 and 4.4.2.

use emu_core::VirtDuration;
use serde::{Deserialize, Serialize};

/// Preamble and start-of-frame delimiter.
const PREAMBLE: u64 = 8;
/// Frame check sequence.
const FCS: u64 = 4;
/// Inter-packet gap.
const GAP: u64 = 12;
/// The shortest frame without its FCS.
pub const FRAME_MIN: usize = 60;

/// How fast a link is, in megabits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkSpeed(pub u32);

impl LinkSpeed {
    /// Gigabit Ethernet.
    pub const GIGABIT: Self = Self(1000);

    fn bytes(self, bytes: u64) -> VirtDuration {
        VirtDuration::from_ps(bytes.saturating_mul(8_000_000) / u64::from(self.0.max(1)))
    }

    /// From a frame's first preamble bit to its last bit of FCS. `len` is without FCS.
    #[must_use]
    pub fn frame(self, len: usize) -> VirtDuration {
        self.bytes(PREAMBLE + len.max(FRAME_MIN) as u64 + FCS)
    }

    /// The silence that must follow.
    #[must_use]
    pub fn gap(self) -> VirtDuration {
        self.bytes(GAP)
    }
}

/// A MAC address as people write it; else what is wrong with it.
pub fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let refuse = || format!("`{text}` is no MAC address");
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = parts.next().and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(refuse)?;
    }
    if parts.next().is_some() { Err(refuse()) } else { Ok(mac) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_link_carries_1_488_million_small_frames_a_second() {
        let each = LinkSpeed::GIGABIT.frame(60).plus(LinkSpeed::GIGABIT.gap());
        assert_eq!(each, VirtDuration::from_ns(672));
        assert_eq!(LinkSpeed::GIGABIT.frame(1), LinkSpeed::GIGABIT.frame(60));
        assert_eq!(LinkSpeed(100).frame(1514), VirtDuration::from_ns(122_080));
    }
}
