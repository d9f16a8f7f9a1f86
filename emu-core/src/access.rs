//! How a register is accessed: widths, and what a chip answers when the access makes no sense.

use serde::{Deserialize, Serialize};

/// The width of one access. Wider accesses do not reach devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Width {
    /// 1 byte.
    B1 = 1,
    /// 2 bytes.
    B2 = 2,
    /// 4 bytes.
    B4 = 4,
    /// 8 bytes.
    B8 = 8,
}

impl Width {
    /// From a number of bytes; `None` unless 1, 2, 4 or 8.
    #[must_use]
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            1 => Some(Self::B1),
            2 => Some(Self::B2),
            4 => Some(Self::B4),
            8 => Some(Self::B8),
            _ => None,
        }
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// Bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// All ones in this width: also what a read that nobody answers returns.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

/// Why a chip refuses an access. The bus answers all-ones or ignores the write, and traces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// Nothing lives at that offset.
    #[error("no such register")]
    NoRegister,
    /// The register can't be accessed in that width.
    #[error("wrong access width")]
    Width,
    /// The register can't be accessed at that alignment.
    #[error("misaligned access")]
    Misaligned,
}

/// Merges a sub-register write: `value` of `width` at byte `offset` inside a register that holds `old`.
#[must_use]
pub const fn merge(old: u64, offset: u64, width: Width, value: u64) -> u64 {
    let shift = (offset & 7) * 8;
    let mask = width.mask() << shift;
    (old & !mask) | (value << shift) & mask
}

/// Cuts `width` bytes at byte `offset` out of a register value.
#[must_use]
pub const fn extract(value: u64, offset: u64, width: Width) -> u64 {
    value >> ((offset & 7) * 8) & width.mask()
}
