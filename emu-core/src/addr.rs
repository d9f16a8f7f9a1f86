//! Typed addresses: a guest-physical address can't be handed where an I/O virtual one is meant.
//!
//! Arithmetic is explicit and wrapping by name; nothing here can overflow silently.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes in the smallest page, on the CPU and in VT-d alike.
pub const PAGE_SIZE: u64 = 4096;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further on, modulo 2^64.
            #[must_use]
            pub const fn plus(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// Offset inside the 4 KiB page.
            #[must_use]
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// The first address of the 4 KiB page.
            #[must_use]
            pub const fn page_base(self) -> Self {
                Self(self.0 & !(PAGE_SIZE - 1))
            }

            /// Number of the 4 KiB page.
            #[must_use]
            pub const fn page_number(self) -> u64 {
                self.0 / PAGE_SIZE
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// A guest-physical address: what the memory controller decodes.
    Gpa
}
address! {
    /// A linear address: what segmentation makes and paging translates.
    Lin
}
address! {
    /// An address as a device puts it on the bus, before the IOMMU.
    Iova
}

/// A PCI requester id: bus, device, function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bdf(pub u16);

impl Bdf {
    /// From bus, device (0-31) and function (0-7).
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self((bus as u16) << 8 | ((device & 31) as u16) << 3 | (function & 7) as u16)
    }

    /// Bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Device and function in one byte, as context tables are indexed.
    #[must_use]
    pub const fn devfn(self) -> u8 {
        self.0 as u8
    }

    /// Device number, 0-31.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// Function number, 0-7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.devfn() & 7
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

impl fmt::Debug for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
