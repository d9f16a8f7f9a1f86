//! The receive ring.
//!
//! Intel 317453, 3.2: the NIC owns the descriptors from head up to, not including, tail; it marks each as
//! done when the frame is in memory.

use super::spec;
use crate::dma::{Addressing, MAX_RING, Slot};
use crate::fail;
use crate::mem::Mmio;

/// A frame in a buffer that is the driver's for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The descriptor, and so the buffer.
    pub index: usize,
    /// Bytes, without the CRC.
    pub len: usize,
    /// In one piece and without an error.
    pub intact: bool,
}

/// The ring; `next` is the descriptor that the NIC will mark as done next.
pub struct RxRing {
    addressing: Addressing,
    len: usize,
    next: usize,
}

impl RxRing {
    /// Hands `len` buffers to the NIC and turns reception on.
    pub fn start(registers: Mmio, addressing: Addressing, len: usize) -> Self {
        // The ring's length in bytes must be a multiple of 128 (13.4.27).
        if len == 0 || len > MAX_RING || !len.is_multiple_of(128 / spec::DESCRIPTOR_SIZE) {
            fail!(
                Usage,
                "e1000: a receive ring of {len} descriptors is not a multiple of 8 up to {MAX_RING}"
            );
        }
        let ring = Self { addressing, len, next: 0 };
        (0..len).for_each(|index| ring.arm(index));
        let base = addressing.device_address(Slot::RxRing);
        registers.write32(spec::RDBAL, base as u32);
        registers.write32(spec::RDBAH, (base >> 32) as u32);
        registers.write32(spec::RDLEN, (len * spec::DESCRIPTOR_SIZE) as u32);
        registers.write32(spec::RDH, 0);
        // One descriptor stays with the driver: head = tail means empty.
        registers.write32(spec::RDT, len as u32 - 1);
        registers.write32(spec::RDTR, 0);
        registers.write32(spec::RCTL, spec::RCTL_EN | spec::RCTL_BAM | spec::RCTL_SECRC);
        ring
    }

    fn arm(&self, index: usize) {
        let ring = Slot::RxRing.page();
        ring.write64(index * 2, self.addressing.device_address(Slot::RxBuffer(index)));
        ring.write64(index * 2 + 1, 0);
    }

    /// The next frame, if it is complete.
    pub fn next(&self) -> Option<Received> {
        let done = Slot::RxRing.page().read64(self.next * 2 + 1);
        if done & spec::RX_DONE == 0 {
            return None;
        }
        let intact = done & spec::RX_END_OF_PACKET != 0 && done & spec::RX_ERRORS == 0;
        Some(Received { index: self.next, len: (done & spec::RX_LENGTH_MASK) as usize, intact })
    }

    /// Hands the buffer of the frame from `next` back.
    pub fn release(&mut self, registers: Mmio) {
        self.arm(self.next);
        registers.write32(spec::RDT, self.next as u32);
        self.next = (self.next + 1) % self.len;
    }
}
