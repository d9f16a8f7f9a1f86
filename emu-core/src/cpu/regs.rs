//! The register file: one array for everything that an address or an operand can name, and the segment registers.
//!
//! The array is indexed by a byte and has 256 places, so that no index into it needs a check. General registers come
//! first, then pseudo-registers: a zero, the current code page, the segment bases.

use iced_x86::Register;
use serde::{Deserialize, Serialize};

/// RAX.
pub const RAX: u8 = 0;
/// RCX.
pub const RCX: u8 = 1;
/// RDX.
pub const RDX: u8 = 2;
/// RBX.
pub const RBX: u8 = 3;
/// RSP.
pub const RSP: u8 = 4;
/// RBP.
pub const RBP: u8 = 5;
/// RSI.
pub const RSI: u8 = 6;
/// RDI.
pub const RDI: u8 = 7;
/// R11.
pub const R11: u8 = 11;
/// Reads as zero and is never written: the base or index that an address does not have.
pub const ZERO: u8 = 16;
/// RIP at the start of the current code page: decoded code is relative to it.
pub const CODE_PAGE: u8 = 17;
/// The segment bases follow, in the order of [`Seg`].
pub const SEG_BASE: u8 = 18;

/// Places in the register file.
pub const FILE_LEN: usize = 256;

/// A segment register, in the encoding of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Seg {
    /// ES.
    Es = 0,
    /// CS.
    Cs = 1,
    /// SS.
    Ss = 2,
    /// DS.
    Ds = 3,
    /// FS.
    Fs = 4,
    /// GS.
    Gs = 5,
}

impl Seg {
    /// All six, in encoding order.
    pub const ALL: [Self; 6] = [Self::Es, Self::Cs, Self::Ss, Self::Ds, Self::Fs, Self::Gs];

    /// From an iced register; `None` if it is not a segment register.
    #[must_use]
    pub const fn from_iced(register: Register) -> Option<Self> {
        match register {
            Register::ES => Some(Self::Es),
            Register::CS => Some(Self::Cs),
            Register::SS => Some(Self::Ss),
            Register::DS => Some(Self::Ds),
            Register::FS => Some(Self::Fs),
            Register::GS => Some(Self::Gs),
            _ => None,
        }
    }

    /// Where its base is in the register file.
    #[must_use]
    pub const fn base_slot(self) -> u8 {
        SEG_BASE + self as u8
    }
}

/// A loaded segment, without its base, which is in the register file (SDM vol. 3A, 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Visible selector.
    pub selector: u16,
    /// Last valid offset, in bytes: granularity already applied.
    pub limit: u32,
    /// Access rights as bits 55:40 of a descriptor, with the limit's bits cleared: type 3:0, S 4, DPL 6:5, P 7, AVL 12,
    /// L 13, D/B 14, G 15.
    pub rights: u16,
    /// Loaded with a null selector: any use through it faults.
    pub null: bool,
}

/// Bits of [`Segment::rights`].
pub mod rights {
    /// Accessed.
    pub const ACCESSED: u16 = 1 << 0;
    /// Data: writable. Code: readable.
    pub const RW: u16 = 1 << 1;
    /// Data: expand-down. Code: conforming.
    pub const DC: u16 = 1 << 2;
    /// Code, not data.
    pub const CODE: u16 = 1 << 3;
    /// Code or data, not a system descriptor.
    pub const S: u16 = 1 << 4;
    /// Present.
    pub const P: u16 = 1 << 7;
    /// 64-bit code.
    pub const L: u16 = 1 << 13;
    /// 32-bit default (code), 32-bit stack pointer (stack).
    pub const DB: u16 = 1 << 14;
    /// Limit in pages.
    pub const G: u16 = 1 << 15;
}

impl Segment {
    /// What reset and real-mode loads leave: 64 KiB, read/write data, accessed (SDM vol. 3A, table 9-1).
    #[must_use]
    pub const fn real(selector: u16) -> Self {
        Self {
            selector,
            limit: 0xffff,
            rights: rights::P | rights::S | rights::RW | rights::ACCESSED,
            null: false,
        }
    }

    /// Descriptor privilege level.
    #[must_use]
    pub const fn dpl(&self) -> u8 {
        (self.rights >> 5) as u8 & 3
    }

    /// Requested privilege level of the selector.
    #[must_use]
    pub const fn rpl(&self) -> u8 {
        self.selector as u8 & 3
    }

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn has(&self, bits: u16) -> bool {
        self.rights & bits == bits
    }

    /// Data segment that grows downwards.
    #[must_use]
    pub const fn expands_down(&self) -> bool {
        self.rights & (rights::CODE | rights::DC | rights::S) == rights::DC | rights::S
    }
}

/// LDTR or TR: a system segment with its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemSegment {
    /// Selector.
    pub selector: u16,
    /// Linear base.
    pub base: u64,
    /// Last valid offset.
    pub limit: u32,
    /// As [`Segment::rights`].
    pub rights: u16,
    /// Null LDTR.
    pub null: bool,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRegister {
    /// Linear base.
    pub base: u64,
    /// Last valid offset.
    pub limit: u16,
}
