//! The Internet checksum: the one's complement of the one's complement sum of 16-bit words.
//!
//! RFC 1071, and RFC 768 for what a zero means in UDP.

/// A sum under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checksum(u32);

impl Checksum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    /// With `bytes` added; an odd last byte counts as if a zero followed it, so only the last part may be
    /// odd.
    pub fn add(self, bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(2);
        let last = words.remainder().first().map_or(0, |byte| u32::from(*byte) << 8);
        // A frame has fewer than 2^16 words, so that 32 bits hold their sum; folding keeps room for the next
        // part.
        let sum = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
        Self(fold(self.0 + fold(sum + last)))
    }

    /// With one 16-bit word added.
    pub fn add_word(self, word: u16) -> Self {
        Self(fold(self.0 + u32::from(word)))
    }

    /// What goes into a checksum field that was zero in the sum; 0 if the field was included and is right.
    pub fn finish(self) -> u16 {
        !(self.0 as u16)
    }
}

fn fold(sum: u32) -> u32 {
    let once = (sum & 0xffff) + (sum >> 16);
    (once & 0xffff) + (once >> 16)
}
