//! Writing a trace file, block by block.

use super::encode::{Dictionary, encode, number, zigzag};
use super::{BLOCK_BYTES, BLOCK_RECORDS, BlockIndex, MAGIC, Meta, TAG_BLOCK, TAG_END, TAG_META};
use emu_core::trace::{TraceEvent, TraceRecord};
use std::io::{self, Write};

/// Has a cause.
pub(super) const HAS_CAUSE: u8 = 1;
/// Came with bytes.
pub(super) const HAS_BYTES: u8 = 2;

/// Encodes records and writes them a block at a time.
#[derive(Debug, Default)]
pub struct BinaryWriter {
    dictionary: Dictionary,
    records: Vec<u8>,
    index: BlockIndex,
    before: Position,
    total: u64,
}

/// What the next record is told apart from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    pub(super) id: u64,
    pub(super) time: u64,
    pub(super) insns: u64,
}

impl BinaryWriter {
    /// Opens the file.
    pub fn begin(&mut self, out: &mut dyn Write, meta: &Meta) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        frame(out, TAG_META, &serde_json::to_vec(meta)?, &[])
    }

    /// Adds a record and the bytes that it came with.
    pub fn record(&mut self, out: &mut dyn Write, record: &TraceRecord, bytes: &[u8]) -> io::Result<()> {
        self.count(record);
        let buffer = &mut self.records;
        let flags = u8::from(record.cause.is_some()) * HAS_CAUSE + u8::from(!bytes.is_empty()) * HAS_BYTES;
        buffer.push(flags);
        number(buffer, record.id.0.wrapping_sub(self.before.id));
        number(buffer, zigzag(record.time.0.wrapping_sub(self.before.time) as i64));
        number(buffer, zigzag(record.insns.wrapping_sub(self.before.insns) as i64));
        if let Some(cause) = record.cause {
            number(buffer, record.id.0.wrapping_sub(cause.0));
        }
        for result in [
            encode(buffer, &mut self.dictionary, &record.source),
            encode(buffer, &mut self.dictionary, &record.event),
        ] {
            result.map_err(io::Error::other)?;
        }
        if !bytes.is_empty() {
            number(buffer, bytes.len() as u64);
            buffer.extend_from_slice(bytes);
        }
        self.before = Position { id: record.id.0, time: record.time.0, insns: record.insns };
        if self.index.records == BLOCK_RECORDS as u64 || self.records.len() >= BLOCK_BYTES {
            self.end_block(out)?;
        }
        Ok(())
    }

    /// Closes the file.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.end_block(out)?;
        let mut head = Vec::new();
        number(&mut head, self.total);
        frame(out, TAG_END, &head, &[])
    }

    /// Puts a record into the index.
    fn count(&mut self, record: &TraceRecord) {
        let (id, time, insns) = (record.id.0, record.time.0, record.insns);
        if self.index.records == 0 {
            self.index.ids = (id, id);
            self.index.times = (time, time);
            self.index.insns = (insns, insns);
            self.before = Position { id, time: 0, insns: 0 };
        }
        let widen = |range: &mut (u64, u64), value: u64| *range = (range.0.min(value), range.1.max(value));
        widen(&mut self.index.ids, id);
        widen(&mut self.index.times, time);
        widen(&mut self.index.insns, insns);
        if let TraceEvent::FrameIn { packet, .. } = record.event {
            let range = self.index.packets.get_or_insert((packet, packet));
            widen(range, packet);
        }
        let kind = record.event.kind() as u32;
        match self.index.kinds.binary_search_by_key(&kind, |(known, _)| *known) {
            Ok(at) => self.index.kinds[at].1 += 1,
            Err(at) => self.index.kinds.insert(at, (kind, 1)),
        }
        self.index.records += 1;
        self.total += 1;
    }

    fn end_block(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.index.records == 0 {
            return Ok(());
        }
        let mut raw = Vec::with_capacity(self.records.len() + 4096);
        let shapes = self.dictionary.shapes();
        number(&mut raw, shapes.len() as u64);
        for shape in shapes {
            number(&mut raw, shape.fields.len() as u64);
            for name in [shape.of, shape.variant].iter().chain(&shape.fields) {
                number(&mut raw, name.len() as u64);
                raw.extend_from_slice(name.as_bytes());
            }
        }
        raw.append(&mut self.records);
        self.index.raw = raw.len() as u64;
        frame(out, TAG_BLOCK, &self.index.to_bytes(), &lz4_flex::block::compress(&raw))?;
        out.flush()?;
        self.index = BlockIndex::default();
        self.dictionary.clear();
        Ok(())
    }
}

impl BlockIndex {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [self.records, self.raw] {
            number(&mut out, value);
        }
        for (first, last) in [self.ids, self.times, self.insns] {
            number(&mut out, first);
            number(&mut out, last - first);
        }
        match self.packets {
            None => number(&mut out, 0),
            Some((first, last)) => {
                number(&mut out, last - first + 1);
                number(&mut out, first);
            }
        }
        number(&mut out, self.kinds.len() as u64);
        for (kind, count) in &self.kinds {
            number(&mut out, u64::from(*kind));
            number(&mut out, *count);
        }
        out
    }
}

fn frame(out: &mut dyn Write, tag: u8, head: &[u8], body: &[u8]) -> io::Result<()> {
    let length = |part: &[u8]| {
        u32::try_from(part.len()).map_err(|_| io::Error::other("a part of the trace is too long"))
    };
    let mut check = crc32fast::Hasher::new();
    check.update(head);
    check.update(body);
    out.write_all(&[tag])?;
    for value in [length(head)?, length(body)?, check.finalize()] {
        out.write_all(&value.to_le_bytes())?;
    }
    out.write_all(head)?;
    out.write_all(body)
}
