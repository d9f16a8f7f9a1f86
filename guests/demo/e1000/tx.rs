//! The transmit ring.
//!
//! Intel 317453, 3.3 and 3.4: legacy descriptors, one a frame, each asking for its status to be written back.

use super::spec;
use crate::dma::{Addressing, MAX_RING, Slot};
use crate::mem::Mmio;

/// The ring: `next` is the descriptor to fill next, `oldest` the first that the NIC has not reported.
pub struct TxRing {
    addressing: Addressing,
    next: usize,
    oldest: usize,
}

impl TxRing {
    /// Gives the NIC the empty ring and turns transmission on.
    pub fn start(registers: Mmio, addressing: Addressing) -> Self {
        let base = addressing.device_address(Slot::TxRing);
        registers.write32(spec::TDBAL, base as u32);
        registers.write32(spec::TDBAH, (base >> 32) as u32);
        registers.write32(spec::TDLEN, (MAX_RING * spec::DESCRIPTOR_SIZE) as u32);
        registers.write32(spec::TDH, 0);
        registers.write32(spec::TDT, 0);
        registers.write32(spec::TIPG, spec::TIPG_DEFAULT);
        registers.write32(spec::TCTL, spec::TCTL_EN | spec::TCTL_PSP | spec::TCTL_CT | spec::TCTL_COLD);
        Self { addressing, next: 0, oldest: 0 }
    }

    /// Takes back what the NIC has sent.
    pub fn reclaim(&mut self) {
        while self.oldest != self.next {
            if Slot::TxRing.page().read64(self.oldest * 2 + 1) & spec::TX_DONE == 0 {
                break;
            }
            self.oldest = (self.oldest + 1) % MAX_RING;
        }
    }

    /// Frames that the NIC still has.
    pub fn in_flight(&self) -> usize {
        (self.next + MAX_RING - self.oldest) % MAX_RING
    }

    /// The index of the next buffer, unless the ring is full: one descriptor must stay unused, since head =
    /// tail means empty.
    pub fn free(&self) -> Option<usize> {
        (self.in_flight() < MAX_RING - 1).then_some(self.next)
    }

    /// Sends the first `len` bytes of the next buffer.
    pub fn send(&mut self, registers: Mmio, len: usize) {
        let ring = Slot::TxRing.page();
        let command = spec::TX_END_OF_PACKET | spec::TX_INSERT_CRC | spec::TX_REPORT_STATUS;
        ring.write64(self.next * 2, self.addressing.device_address(Slot::TxBuffer(self.next)));
        ring.write64(self.next * 2 + 1, len as u64 | command);
        self.next = (self.next + 1) % MAX_RING;
        registers.write32(spec::TDT, self.next as u32);
    }
}
