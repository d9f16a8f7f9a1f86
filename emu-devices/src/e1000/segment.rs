//! From descriptors' data to frames: TCP and UDP segmentation, checksum insertion, VLAN insertion. Manual 3.3.5 to
//! 3.3.7 (contexts and data), 3.5 (segmentation), 3.6 (checksum), chapter 9 (VLAN). Pure: no bus, no time.
//!
//! Offsets come from software and may point anywhere; what does not lie in the frame is not touched.

use super::checksum::{ones_add, ones_sum};
use super::spec::{
    POPTS_IXSM, POPTS_TXSM, TUCMD_IP, TUCMD_TCP, TXD_DEXT, TXD_IC, TXD_IDE, TXD_IFCS, TXD_RPS, TXD_RS,
    TXD_TSE, TXD_VLE,
};
use emu_core::trace::RecordId;
use serde::{Deserialize, Serialize};

/// The longest packet that the transmitter takes (3.3.3.1: 16288 bytes).
pub(super) const PACKET_MAX: usize = 16288;
const TCP_FIN_PSH: u8 = 0x09;

/// The kinds of transmit descriptors (3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Legacy,
    Context,
    Data,
}

/// A transmit descriptor's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TxDesc {
    pub(super) raw: [u64; 2],
}

impl TxDesc {
    /// Which kind; reserved descriptor types are taken as data.
    pub(super) fn kind(&self) -> Kind {
        match (self.command() & TXD_DEXT != 0, self.raw[1] >> 20 & 0xf) {
            (false, _) => Kind::Legacy,
            (true, 0) => Kind::Context,
            (true, _) => Kind::Data,
        }
    }

    pub(super) fn command(&self) -> u8 {
        (self.raw[1] >> 24) as u8
    }

    pub(super) fn has(&self, command: u8) -> bool {
        self.command() & command != 0
    }

    /// Whether software wants to be told.
    pub(super) fn reports(&self) -> bool {
        self.has(TXD_RS | TXD_RPS)
    }

    /// Bytes of data.
    pub(super) fn len(&self) -> u32 {
        match self.kind() {
            Kind::Legacy => self.raw[1] as u32 & 0xffff,
            Kind::Context => 0,
            Kind::Data => self.raw[1] as u32 & 0xf_ffff,
        }
    }
}

/// What a context descriptor sets up (3.3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// IP checksum: start, offset, last byte (0 means to the end).
    pub ip: [u16; 3],
    /// TCP or UDP checksum: start, offset, last byte.
    pub transport: [u16; 3],
    /// Bytes after the headers.
    pub payload: u32,
    /// Bytes of all headers.
    pub header: u8,
    /// Payload bytes in a segment.
    pub mss: u16,
    /// TUCMD.
    pub command: u8,
}

impl Context {
    pub(super) fn decode(raw: [u64; 2]) -> Self {
        let half = |shift: u32| (raw[0] >> shift) as u16;
        Self {
            ip: [half(0) & 0xff, half(8) & 0xff, half(16)],
            transport: [half(32) & 0xff, half(40) & 0xff, half(48)],
            payload: raw[1] as u32 & 0xf_ffff,
            header: (raw[1] >> 40) as u8,
            mss: (raw[1] >> 48) as u16,
            command: (raw[1] >> 24) as u8,
        }
    }
}

/// A packet that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assembly {
    /// A first descriptor has been seen.
    pub started: bool,
    /// Data not yet in a frame; for segmentation without the headers once they are complete.
    pub data: Vec<u8>,
    /// Segmentation: the headers.
    pub header: Vec<u8>,
    /// Segmentation is on.
    pub segments: bool,
    /// POPTS of the first data descriptor.
    pub options: u8,
    /// Legacy checksum: start and offset.
    pub insert: Option<(u8, u8)>,
    /// VLAN tag to insert.
    pub vlan: Option<u16>,
    /// The FCS is the card's to make.
    pub insert_fcs: bool,
    /// Segmentation: payload bytes that are in frames already.
    pub sent: u32,
    /// Segmentation: frames so far.
    pub frames: u16,
    /// It can't be sent: too long, or the bus refused a part of it.
    pub spoilt: bool,
    /// The record of its first descriptor's fetch.
    pub cause: Option<RecordId>,
}

impl Assembly {
    /// Takes a descriptor's commands into account.
    pub(super) fn open(&mut self, desc: TxDesc, cause: RecordId) {
        if !self.started {
            self.started = true;
            self.cause = Some(cause);
            if desc.kind() == Kind::Data {
                self.segments = desc.has(TXD_TSE);
                self.options = (desc.raw[1] >> 40) as u8;
            }
        }
        if desc.has(TXD_VLE) {
            self.vlan = Some((desc.raw[1] >> 48) as u16);
        }
        self.insert_fcs = desc.has(TXD_IFCS) || self.segments;
        if desc.kind() == Kind::Legacy && desc.has(TXD_IC) {
            self.insert = Some(((desc.raw[1] >> 40) as u8, (desc.raw[1] >> 16) as u8));
        }
    }

    /// Adds data.
    pub(super) fn append(&mut self, bytes: &[u8], context: &Context) {
        if self.spoilt {
            return;
        }
        let mut bytes = bytes;
        if self.segments {
            let missing = usize::from(context.header).saturating_sub(self.header.len()).min(bytes.len());
            let (header, rest) = bytes.split_at(missing);
            self.header.extend_from_slice(header);
            bytes = rest;
            self.spoilt =
                usize::from(context.header) + usize::from(context.mss) > PACKET_MAX || context.mss == 0;
        } else {
            self.spoilt = self.data.len() + bytes.len() > PACKET_MAX;
        }
        if self.spoilt {
            self.data.clear();
        } else {
            self.data.extend_from_slice(bytes);
        }
    }

    /// Whether a frame is complete; `end` says that no more data comes.
    pub(super) fn has_frame(&self, context: &Context, end: bool) -> bool {
        let some = end && !self.data.is_empty();
        let complete = if self.segments {
            let whole = self.data.len() >= usize::from(context.mss);
            self.header.len() >= usize::from(context.header) && (whole || some)
        } else {
            some
        };
        self.started && !self.spoilt && complete
    }

    /// The next frame, if one is complete.
    pub(super) fn next_frame(&mut self, context: &Context, end: bool) -> Option<Vec<u8>> {
        if !self.has_frame(context, end) {
            return None;
        }
        if self.segments {
            return Some(self.next_segment(context, end));
        }
        let mut frame = std::mem::take(&mut self.data);
        if let Some((start, offset)) = self.insert {
            insert_checksum(&mut frame, [u16::from(start), u16::from(offset), 0]);
        }
        self.checksums(&mut frame, context);
        Some(frame)
    }

    fn next_segment(&mut self, context: &Context, end: bool) -> Vec<u8> {
        let mss = usize::from(context.mss);
        let take = mss.min(self.data.len());
        let mut frame = self.header.clone();
        frame.extend(self.data.drain(..take));
        let after = self.sent.saturating_add(take as u32);
        let last = after >= context.payload || end && self.data.is_empty();
        self.update_headers(&mut frame, context, last);
        self.checksums(&mut frame, context);
        self.sent = after;
        self.frames = self.frames.wrapping_add(1);
        frame
    }

    /// Makes the headers those of this segment (3.5.7 to 3.5.9).
    fn update_headers(&self, frame: &mut [u8], context: &Context, last: bool) {
        let ip = usize::from(context.ip[0]);
        let transport = usize::from(context.transport[0]);
        let len = frame.len();
        if context.command & TUCMD_IP != 0 {
            put(frame, ip + 2, len.saturating_sub(ip) as u16);
            let id = get(frame, ip + 4).unwrap_or(0);
            put(frame, ip + 4, id.wrapping_add(self.frames));
        } else {
            put(frame, ip + 4, len.saturating_sub(ip + 40) as u16);
        }
        let transport_len = len.saturating_sub(transport) as u16;
        if context.command & TUCMD_TCP != 0 {
            if let (Some(high), Some(low)) = (get(frame, transport + 4), get(frame, transport + 6)) {
                let sequence = (u32::from(high) << 16 | u32::from(low)).wrapping_add(self.sent);
                put(frame, transport + 4, (sequence >> 16) as u16);
                put(frame, transport + 6, sequence as u16);
            }
            if let Some(flags) = frame.get_mut(transport + 13).filter(|_| !last) {
                *flags &= !TCP_FIN_PSH;
            }
        } else {
            put(frame, transport + 4, transport_len);
        }
        if self.options & POPTS_TXSM != 0 {
            // Software's pseudo-header sum leaves the length out, for it differs from segment to segment.
            let at = usize::from(context.transport[1]);
            let pseudo = get(frame, at).unwrap_or(0);
            put(frame, at, ones_add(pseudo, transport_len));
        }
    }

    fn checksums(&self, frame: &mut [u8], context: &Context) {
        if self.options & POPTS_TXSM != 0 {
            insert_checksum(frame, context.transport);
        }
        if self.options & POPTS_IXSM != 0 {
            insert_checksum(frame, context.ip);
        }
    }
}

/// Puts the checksum of `[start, offset, last]` into place: from start to last byte, or to the end if that is 0.
fn insert_checksum(frame: &mut [u8], [start, offset, last]: [u16; 3]) {
    let (start, offset, last) = (usize::from(start), usize::from(offset), usize::from(last));
    let end = if last == 0 { frame.len() } else { (last + 1).min(frame.len()) };
    if offset + 2 <= frame.len()
        && let Some(range) = frame.get(start..end)
    {
        let sum = !ones_sum(range);
        put(frame, offset, sum);
    }
}

fn get(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Puts a tag behind the addresses.
pub(super) fn insert_vlan(frame: &mut Vec<u8>, kind: u16, tag: u16) {
    if frame.len() >= 12 {
        let [a, b] = kind.to_be_bytes();
        let [c, d] = tag.to_be_bytes();
        frame.splice(12..12, [a, b, c, d]);
    }
}

/// Whether a write-back of this descriptor may wait for the transmit timers.
pub(super) fn delays(desc: TxDesc) -> bool {
    desc.has(TXD_IDE)
}

/// Whether the write-back waits for the wire, not for the FIFO.
pub(super) fn waits_for_wire(desc: TxDesc) -> bool {
    desc.has(TXD_RPS) && !desc.has(TXD_RS)
}
