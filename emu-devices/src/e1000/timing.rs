//! How long the card takes for what it does. Bus time is not here: the DMA port answers what each transfer took.

use emu_core::VirtDuration;
use serde::{Deserialize, Serialize};

/// The card's latencies. The manual gives few; estimates say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From a tail write, or an empty descriptor cache, to the request for descriptors. Estimate: 16 cycles of the
    /// card's 62.5 MHz core.
    pub descriptor_fetch: VirtDuration,
    /// From a descriptor on chip to the request for its packet data. Estimate: 8 core cycles.
    pub transmit_start: VirtDuration,
    /// From a frame in the FIFO, with a descriptor on chip, to the request to write its data. Estimate: 8 core cycles.
    pub receive_start: VirtDuration,
    /// From the end of the data transfer to the request to write a descriptor back. Estimate: 8 core cycles.
    pub write_back: VirtDuration,
    /// One MDIO access: 64 bits at the 2.5 MHz of IEEE 802.3, 22.2.2.11.
    pub mdio: VirtDuration,
    /// One EEPROM word by EERD: 27 clocks of a 93C46 at 1 MHz (National NM93C46 datasheet, table of timings).
    pub eeprom_word: VirtDuration,
    /// Writing one EEPROM word: the 93C46's tWP, at most 10 ms.
    pub eeprom_write: VirtDuration,
    /// Reading the EEPROM after a reset. Less than the 5 ms that Linux and FreeBSD wait for it.
    pub eeprom_load: VirtDuration,
    /// PHY reset until its registers answer. Estimate; Linux waits 10 ms.
    pub phy_reset: VirtDuration,
    /// PHY software reset, register 0 bit 15. Estimate: less than the next MDIO access takes, since Linux's loopback test writes
    /// the control register twice more without waiting, and works on the hardware.
    pub phy_software_reset: VirtDuration,
    /// Auto-negotiation until the link is up: the shortest autoneg_wait_timer of IEEE 802.3, 28.3.2. Real gigabit links
    /// take 2 to 3 s.
    pub autonegotiation: VirtDuration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            descriptor_fetch: VirtDuration::from_ns(256),
            transmit_start: VirtDuration::from_ns(128),
            receive_start: VirtDuration::from_ns(128),
            write_back: VirtDuration::from_ns(128),
            mdio: VirtDuration::from_ns(64 * 400),
            eeprom_word: VirtDuration::from_us(27),
            eeprom_write: VirtDuration::from_ms(10),
            eeprom_load: VirtDuration::from_us(1_700),
            phy_reset: VirtDuration::from_us(500),
            phy_software_reset: VirtDuration::from_us(10),
            autonegotiation: VirtDuration::from_ms(500),
        }
    }
}

/// Preamble and start-of-frame delimiter, in byte times (IEEE 802.3, 3.1.1).
pub(super) const PREAMBLE_BYTES: u64 = 8;
/// Inter-frame gap, in byte times (IEEE 802.3, 4.4.2: 96 bit times).
pub(super) const GAP_BYTES: u64 = 12;
/// One unit of RDTR, RADV, TIDV and TADV (manual 13.4.30).
pub(super) const DELAY_UNIT: VirtDuration = VirtDuration::from_ns(1_024);
/// One unit of ITR (manual 13.4.18).
pub(super) const THROTTLE_UNIT: VirtDuration = VirtDuration::from_ns(256);
