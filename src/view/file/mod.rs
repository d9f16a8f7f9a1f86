//! Trace files: every record of a run, written while it runs, and found again by time, number, packet and kind.
//!
//! A file is [`MAGIC`] and frames. Each frame stands alone: a tag, the length of its head and of its body, a CRC-32 of both
//! (all little-endian, [`FRAME`] bytes), head, body. The first frame says what was run. Then come blocks of [`BLOCK_RECORDS`]
//! records. A block's head is its index: numbers, times, packets and kinds that it covers; its body is compressed (LZ4
//! block) and opens with the names that its records use, so that no block needs another. The last frame counts the records.
//! A file that was cut off is one whose last whole block is the end. Reading the heads alone is the index of a file.
//!
//! Where blocks end depends on the records alone, so that two runs of the same scenario write the same bytes.

mod decode;
mod encode;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Item, TraceFile};
pub use writer::BinaryWriter;

use emu_core::trace::{TraceKind, TraceMask};
use serde::{Deserialize, Serialize};

/// The first bytes of a trace file: a byte that is no text, a name, line ends that a careless copy would change, and the
/// version of the format.
pub const MAGIC: [u8; 8] = *b"\x89GBT\r\n\x1a\x01";

/// Records in a block: what a crash of the host can lose.
pub const BLOCK_RECORDS: usize = 4096;

/// Bytes in a block before compression after which it ends early: large frames.
const BLOCK_BYTES: usize = 1 << 20;

/// A body is refused if it claims to be larger: more than the largest record can add to a full block.
const BODY_MAX: u64 = 1 << 24;

/// Tag, two lengths, checksum.
const FRAME: usize = 13;

const TAG_META: u8 = b'M';
const TAG_BLOCK: u8 = b'B';
const TAG_END: u8 = b'E';

/// What a file says of its run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The version of Glassbox that wrote it.
    pub version: String,
    /// The scenario's title.
    pub title: String,
    /// Kinds that were written, by name.
    pub kinds: Vec<String>,
}

impl Meta {
    /// Of a run of this version.
    #[must_use]
    pub fn new(title: &str, mask: TraceMask) -> Self {
        let wanted = TraceKind::ALL.iter().filter(|(kind, ..)| mask.has(*kind));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: title.to_owned(),
            kinds: wanted.map(|(_, name, _)| (*name).to_owned()).collect(),
        }
    }

    /// The kinds, as a mask; those that this version does not know are left out.
    #[must_use]
    pub fn mask(&self) -> TraceMask {
        let known = TraceKind::ALL.iter().filter(|(_, name, _)| self.kinds.iter().any(|kind| kind == name));
        known.fold(TraceMask::NONE, |mask, (kind, ..)| mask.with(*kind))
    }

    /// Whether every kind was written, as a journey needs.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        TraceKind::ALL.iter().all(|(_, name, _)| self.kinds.iter().any(|kind| kind == name))
    }
}

/// A block's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIndex {
    /// First and last number.
    pub ids: (u64, u64),
    /// Earliest and latest time, in picoseconds.
    pub times: (u64, u64),
    /// Least and most instructions.
    pub insns: (u64, u64),
    /// First and last frame that came in, if one did.
    pub packets: Option<(u64, u64)>,
    /// Records of each kind that it has.
    pub kinds: Vec<(u32, u64)>,
    /// Records.
    pub records: u64,
    /// Bytes of the body before compression.
    raw: u64,
}

impl BlockIndex {
    /// Whether it has a record of a kind in `mask`.
    #[must_use]
    pub fn has(&self, mask: TraceMask) -> bool {
        TraceKind::ALL
            .iter()
            .any(|(kind, ..)| mask.has(*kind) && self.kinds.iter().any(|(bit, _)| 1 << bit == kind.bit()))
    }
}
