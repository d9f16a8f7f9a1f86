//! What both processors execute: the bytes of a program, and the area that it loads its state from and stores it to.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

/// What a program loads and stores; RDI leads to it.
pub(crate) type Area = [u8; AREA_LEN];
/// Its length.
pub(crate) const AREA_LEN: usize = 128;

/// From one program to the next.
pub(crate) const SLOT: usize = 64;

/// Loads a state, executes an instruction, stores the state, returns.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// For whoever reads a failure.
    pub(crate) name: String,
    /// The instruction in the middle.
    pub(crate) insn: Instruction,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

impl Program {
    /// `insn` between `before` and `after`; nothing if it is no instruction, or not all of it.
    pub(crate) fn new(before: &[u8], insn: &[u8], after: &[u8]) -> Option<Self> {
        let decoded = Decoder::new(64, insn, DecoderOptions::NONE).decode();
        if decoded.is_invalid() || decoded.len() != insn.len() {
            return None;
        }
        const RET: u8 = 0xc3;
        let bytes = [before, insn, after, &[RET]].concat();
        assert!(bytes.len() <= SLOT, "a program fits its slot");
        let code: Code = decoded.code();
        Some(Self { name: format!("{code:?} {insn:02x?}"), insn: decoded, bytes })
    }
}

/// A field of the area.
pub(crate) fn get<const N: usize>(area: &Area, at: usize) -> u128 {
    area[at..at + N].iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte))
}

/// Sets a field of the area.
pub(crate) fn put<const N: usize>(area: &mut Area, at: usize, value: u128) {
    area[at..at + N].copy_from_slice(&value.to_le_bytes()[..N]);
}
