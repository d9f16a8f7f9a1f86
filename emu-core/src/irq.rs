//! The vocabulary of interrupts: pins, messages, and what a local APIC is finally told.
//!
//! Message formats are from the Intel SDM vol. 3A, section 12.11 (message signalled interrupts); remappable ones
//! belong to emu-iommu.

use serde::{Deserialize, Serialize};

/// A chip's own output pin, by the chip's own numbering. Where it leads is the board's knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pin(pub u8);

/// A memory write that means an interrupt, as it leaves a device: address and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Msi {
    /// Bits 31:20 are 0xFEE; the rest is the compatibility or the remappable format.
    pub address: u64,
    /// The data dword.
    pub data: u32,
}

/// How the message is to be delivered (SDM vol. 3A, 12.6.1, delivery mode field).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// To all processors named, with the vector.
    Fixed,
    /// To the one named processor that runs at the lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up IPI; the vector is the page to start at.
    StartUp,
    /// An 8259 behind it supplies the vector.
    ExtInt,
}

impl DeliveryMode {
    /// From the 3-bit field; `None` for the reserved encodings.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 7 {
            0 => Some(Self::Fixed),
            1 => Some(Self::LowestPriority),
            2 => Some(Self::Smi),
            4 => Some(Self::Nmi),
            5 => Some(Self::Init),
            6 => Some(Self::StartUp),
            7 => Some(Self::ExtInt),
            _ => None,
        }
    }

    /// The 3-bit field.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Fixed => 0,
            Self::LowestPriority => 1,
            Self::Smi => 2,
            Self::Nmi => 4,
            Self::Init => 5,
            Self::StartUp => 6,
            Self::ExtInt => 7,
        }
    }
}

/// Edge or level, as the message says and the local APIC's TMR records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TriggerMode {
    /// One message, one interrupt.
    Edge,
    /// Asserted until the EOI finds the line low.
    Level,
}

/// How `dest` names processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DestinationMode {
    /// By APIC id; all-ones is everybody.
    Physical,
    /// By logical id, matched against LDR and DFR.
    Logical,
}

/// An interrupt after remapping: what local APICs are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interrupt {
    /// The vector; ignored for NMI, SMI, INIT, ExtINT.
    pub vector: u8,
    /// How to deliver it.
    pub mode: DeliveryMode,
    /// Edge or level.
    pub trigger: TriggerMode,
    /// How `dest` is read.
    pub dest_mode: DestinationMode,
    /// Destination: 8 bits in xAPIC, 32 bits in x2APIC.
    pub dest: u32,
}

impl Interrupt {
    /// Decodes a compatibility-format message (SDM vol. 3A, 12.11.1 and 12.11.2); `None` if its delivery mode is reserved.
    #[must_use]
    pub const fn from_compatibility(msi: Msi) -> Option<Self> {
        let Some(mode) = DeliveryMode::from_bits((msi.data >> 8) as u8) else { return None };
        Some(Self {
            vector: msi.data as u8,
            mode,
            trigger: if msi.data & 1 << 15 != 0 { TriggerMode::Level } else { TriggerMode::Edge },
            dest_mode: if msi.address & 1 << 2 != 0 {
                DestinationMode::Logical
            } else {
                DestinationMode::Physical
            },
            dest: (msi.address >> 12) as u32 & 0xff,
        })
    }
}
