//! Captures: pcap and pcapng in, pcapng out. File formats end here; the rest of the machine knows frames and times.

mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::{CaptureWriter, Direction};

/// The pcapng magic, a section header block's type, the same in both byte orders.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// What was kept of it.
    pub bytes: Vec<u8>,
    /// How long it was on the wire; more than was kept if the capture was limited (snaplen).
    pub original_len: u32,
    /// Which interface it was captured at, by its place in the file.
    pub interface: u32,
}

/// Everything in a capture file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Ethernet frames in file order.
    pub frames: Vec<CapturedFrame>,
    /// The file ends in the middle of something: where, as a byte offset. The frames before it are there.
    pub cut_at: Option<u64>,
}

/// Why a capture can't be read or replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// Neither pcap nor pcapng.
    #[error("{name}: not a capture: it starts with neither a pcap nor a pcapng header")]
    Format {
        /// The file.
        name: String,
    },
    /// Something in it can't be.
    #[error("{name}: at byte {offset}, after {frames} frames: {reason}")]
    Content {
        /// The file.
        name: String,
        /// Where.
        offset: u64,
        /// Frames read before it.
        frames: usize,
        /// What.
        reason: String,
    },
    /// Frames of another link type can't come in through a network card.
    #[error("{name}: link type {link_type} at byte {offset}: only Ethernet can be replayed")]
    LinkType {
        /// The file.
        name: String,
        /// Where it says so.
        offset: u64,
        /// Its number in the registry.
        link_type: u32,
    },
    /// An option of the replay.
    #[error("replay of {name}: {reason}")]
    Config {
        /// The file.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// A place in a file, for errors.
struct Place<'a> {
    name: &'a str,
    file_len: usize,
}

impl Place<'_> {
    /// Byte offset of what is left.
    fn offset(&self, rest: &[u8]) -> u64 {
        (self.file_len - rest.len()) as u64
    }

    fn content(&self, rest: &[u8], frames: usize, reason: impl ToString) -> CaptureError {
        CaptureError::Content {
            name: self.name.to_owned(),
            offset: self.offset(rest),
            frames,
            reason: reason.to_string(),
        }
    }

    fn link_type(&self, rest: &[u8], link_type: u32) -> CaptureError {
        CaptureError::LinkType { name: self.name.to_owned(), offset: self.offset(rest), link_type }
    }
}

/// Reads a whole capture; `name` is for errors.
pub fn read_capture(name: &str, bytes: &[u8]) -> Result<Capture, CaptureError> {
    let place = Place { name, file_len: bytes.len() };
    if bytes.starts_with(&PCAPNG_MAGIC) {
        pcapng::read(&place, bytes)
    } else if pcap::is_pcap(bytes) {
        pcap::read(&place, bytes)
    } else {
        Err(CaptureError::Format { name: name.to_owned() })
    }
}
