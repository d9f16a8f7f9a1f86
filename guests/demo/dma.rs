//! The memory that the NIC works with, and the addresses at which it finds it.
//!
//! With VT-d these addresses are not the physical ones: they are given out page by page downwards from 4 GiB,
//! as Linux does it for devices that cannot address more, so that no forgotten translation could go
//! unnoticed. Every buffer has a page of its own, since a page is what can be mapped or not.

use crate::mem::{PAGE_SIZE, Page};
use crate::vtd::Access;

/// Buffers, and descriptors, that each ring has at most.
pub const MAX_RING: usize = 64;

/// Where addresses are given out from, downwards. All of them stay above the interrupt range
/// 0xfee00000-0xfeefffff, which is never translated (VT-d specification, "Handling Requests to Interrupt Address
/// Range").
const IOVA_TOP: u64 = 1 << 32;

static TX_RING: Page = Page::new();
static RX_RING: Page = Page::new();
static RX_BUFFERS: [Page; MAX_RING] = [const { Page::new() }; MAX_RING];
static TX_BUFFERS: [Page; MAX_RING] = [const { Page::new() }; MAX_RING];
static SPARE: Page = Page::new();

/// One of the pages that the NIC has an address for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// The transmit descriptors.
    TxRing,
    /// The receive descriptors.
    RxRing,
    /// The buffer of this receive descriptor.
    RxBuffer(usize),
    /// The buffer of this transmit descriptor.
    TxBuffer(usize),
}

impl Slot {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let buffers = (0..MAX_RING).map(Self::RxBuffer).chain((0..MAX_RING).map(Self::TxBuffer));
        [Self::TxRing, Self::RxRing].into_iter().chain(buffers)
    }

    /// The page that normally stands behind the address.
    pub fn page(self) -> &'static Page {
        match self {
            Self::TxRing => &TX_RING,
            Self::RxRing => &RX_RING,
            Self::RxBuffer(index) => &RX_BUFFERS[index],
            Self::TxBuffer(index) => &TX_BUFFERS[index],
        }
    }

    /// The address behind VT-d.
    pub fn iova(self) -> u64 {
        let number = match self {
            Self::TxRing => 0,
            Self::RxRing => 1,
            Self::RxBuffer(index) => 2 + index,
            Self::TxBuffer(index) => 2 + MAX_RING + index,
        };
        IOVA_TOP - (number as u64 + 1) * PAGE_SIZE as u64
    }

    /// What the NIC has to do with the page, and no more.
    pub fn access(self) -> Access {
        match self {
            Self::TxRing | Self::RxRing => Access::ReadWrite,
            Self::RxBuffer(_) => Access::Write,
            Self::TxBuffer(_) => Access::Read,
        }
    }
}

/// A page that is behind no address at first.
pub fn spare() -> &'static Page {
    &SPARE
}

/// Which kind of address the NIC is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addressing {
    /// Through VT-d.
    Translated,
    /// No VT-d: physical addresses.
    Physical,
}

impl Addressing {
    /// The address of the page for the NIC.
    pub fn device_address(self, slot: Slot) -> u64 {
        match self {
            Self::Translated => slot.iova(),
            Self::Physical => slot.page().phys(),
        }
    }
}
