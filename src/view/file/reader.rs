//! Reading a trace file: its index at once, its records block by block.

use super::decode::{Decoder, Shape, Unreadable};
use super::writer::{HAS_BYTES, HAS_CAUSE, Position};
use super::{BODY_MAX, BlockIndex, FRAME, MAGIC, Meta, TAG_BLOCK, TAG_END, TAG_META};
use emu_core::VirtTime;
use emu_core::trace::{Logged, RecordId, TraceRecord, TraceSink as _};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A record and the bytes that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The record.
    pub record: TraceRecord,
    /// A frame, or the beginning of what a DMA moved; often empty.
    pub bytes: Vec<u8>,
}

/// A trace file, open.
#[derive(Debug)]
pub struct TraceFile<R = File> {
    input: R,
    meta: Meta,
    blocks: Vec<Block>,
    /// Why it ends before its end, if it does.
    cut: Option<String>,
}

#[derive(Clone, Debug)]
struct Block {
    index: BlockIndex,
    body: u64,
    len: u32,
    /// The checksum that the body must complete.
    head_check: crc32fast::Hasher,
    check: u32,
}

/// A frame's beginning and head.
struct Frame {
    tag: u8,
    head: Vec<u8>,
    body_len: u32,
    check: u32,
    head_check: crc32fast::Hasher,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl TraceFile<File> {
    /// Opens `path` and reads its index.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::read(File::open(path)?)
    }

    /// Whether `path` is a file that opens as a trace does.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        let mut magic = [0; MAGIC.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
            && magic[..MAGIC.len() - 1] == MAGIC[..MAGIC.len() - 1]
    }
}

impl<R: Read + Seek> TraceFile<R> {
    /// Reads the index of `input`. What was cut off at its end is left out; [`Self::cut`] says so.
    pub fn read(mut input: R) -> io::Result<Self> {
        let len = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|_| invalid("no trace file: too short"))?;
        if magic[..MAGIC.len() - 1] != MAGIC[..MAGIC.len() - 1] {
            return Err(invalid("no trace file"));
        }
        if magic != MAGIC {
            return Err(invalid(format!("a trace file of version {}, not 1", magic[MAGIC.len() - 1])));
        }
        let meta = match Frame::read(&mut input, MAGIC.len() as u64, len) {
            Ok(frame) if frame.tag == TAG_META => serde_json::from_slice(&frame.head)
                .map_err(|error| invalid(format!("what it says of its run is unreadable: {error}")))?,
            _ => return Err(invalid("it does not say what was run")),
        };
        let mut file = Self { input, meta, blocks: Vec::new(), cut: None };
        file.scan(len)?;
        Ok(file)
    }

    /// Collects the blocks' heads.
    fn scan(&mut self, len: u64) -> io::Result<()> {
        let mut total = 0;
        loop {
            let at = self.input.stream_position()?;
            let frame = match Frame::read(&mut self.input, at, len) {
                Ok(frame) => frame,
                Err(why) => {
                    self.cut = Some(format!("{why} at byte {at}"));
                    return Ok(());
                }
            };
            let body = self.input.stream_position()?;
            let end = body + u64::from(frame.body_len);
            match frame.tag {
                TAG_BLOCK if end > len => {
                    self.cut = Some(format!("it was cut off in the block at byte {at}"));
                    return Ok(());
                }
                TAG_BLOCK => {
                    let index = BlockIndex::from_bytes(&frame.head)
                        .map_err(|why| invalid(format!("the block at byte {at} is damaged: {why}")))?;
                    total += index.records;
                    let Frame { body_len: len, check, head_check, .. } = frame;
                    self.blocks.push(Block { index, body, len, head_check, check });
                    self.input.seek(SeekFrom::Start(end))?;
                }
                TAG_END => {
                    let counted = Decoder::new(&frame.head, &[]).number().unwrap_or(0);
                    if counted != total {
                        return Err(invalid(format!("it has {total} records instead of {counted}")));
                    }
                    return Ok(());
                }
                tag => return Err(invalid(format!("a frame of unknown sort {tag:#x} at byte {at}"))),
            }
        }
    }

    /// What was run.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Why the file ends before the run's end, if it does.
    #[must_use]
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// The blocks' indices, in order.
    pub fn index(&self) -> impl ExactSizeIterator<Item = &BlockIndex> {
        self.blocks.iter().map(|block| &block.index)
    }

    /// The records of a block, by its place in [`Self::index`].
    pub fn block(&mut self, at: usize) -> io::Result<Vec<Item>> {
        let Some(block) = self.blocks.get(at) else { return Ok(Vec::new()) };
        let damaged = |why: &dyn std::fmt::Display| {
            invalid(format!(
                "the block of records #{} to #{} is damaged: {why}",
                block.index.ids.0, block.index.ids.1
            ))
        };
        let mut body = vec![0; block.len as usize];
        self.input.seek(SeekFrom::Start(block.body))?;
        self.input.read_exact(&mut body)?;
        let mut check = block.head_check.clone();
        check.update(&body);
        if check.finalize() != block.check {
            return Err(damaged(&"its checksum is wrong"));
        }
        let raw =
            lz4_flex::block::decompress(&body, block.index.raw as usize).map_err(|error| damaged(&error))?;
        records(&raw, &block.index).map_err(|why| damaged(&why))
    }

    /// Everything, in memory.
    pub fn log(&mut self) -> io::Result<Logged> {
        self.log_from(0)
    }

    /// The place in [`Self::index`] of the block in which frame `packet` came in.
    #[must_use]
    pub fn block_of_packet(&self, packet: u64) -> Option<usize> {
        self.index()
            .position(|index| index.packets.is_some_and(|(first, last)| (first..=last).contains(&packet)))
    }

    /// Everything from a block on, in memory.
    pub fn log_from(&mut self, first: usize) -> io::Result<Logged> {
        let mut log = Logged::default();
        for at in first..self.blocks.len() {
            for item in self.block(at)? {
                log.record(&item.record);
                if !item.bytes.is_empty() {
                    log.bytes(&item.bytes);
                }
            }
        }
        Ok(log)
    }
}

impl Frame {
    /// The frame at the input's position `at`, without its body. `Err` says how it ends too early.
    fn read(input: &mut impl Read, at: u64, len: u64) -> Result<Self, &'static str> {
        const CUT: &str = "it was cut off";
        let mut begin = [0; FRAME];
        input.read_exact(&mut begin).map_err(|_| CUT)?;
        let [tag, h0, h1, h2, h3, b0, b1, b2, b3, c0, c1, c2, c3] = begin;
        let head_len = u32::from_le_bytes([h0, h1, h2, h3]);
        if at + FRAME as u64 + u64::from(head_len) > len {
            return Err(CUT);
        }
        let mut head = vec![0; head_len as usize];
        input.read_exact(&mut head).map_err(|_| CUT)?;
        let mut head_check = crc32fast::Hasher::new();
        head_check.update(&head);
        Ok(Self {
            tag,
            head,
            body_len: u32::from_le_bytes([b0, b1, b2, b3]),
            check: u32::from_le_bytes([c0, c1, c2, c3]),
            head_check,
        })
    }
}

impl BlockIndex {
    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut from = Decoder::new(bytes, &[]);
        let (records, raw) = (from.number()?, from.number()?);
        if raw > BODY_MAX {
            return Err(Unreadable("it claims to be larger than a block can be".to_owned()));
        }
        let mut range = || {
            let first = from.number()?;
            Ok((first, first.saturating_add(from.number()?)))
        };
        let (ids, times, insns) = (range()?, range()?, range()?);
        let packets = match from.number()? {
            0 => None,
            count => {
                let first = from.number()?;
                Some((first, first.saturating_add(count - 1)))
            }
        };
        let mut kinds = Vec::new();
        for _ in 0..from.number()?.min(64) {
            let kind = u32::try_from(from.number()?).unwrap_or(u32::MAX).min(63);
            kinds.push((kind, from.number()?));
        }
        Ok(Self { ids, times, insns, packets, kinds, records, raw })
    }
}

/// A block's records from its uncompressed body.
fn records(raw: &[u8], index: &BlockIndex) -> Result<Vec<Item>, Unreadable> {
    let mut from = Decoder::new(raw, &[]);
    let shapes = dictionary(&mut from)?;
    let rest = from.rest();
    let mut from = Decoder::new(rest, &shapes);
    let mut before = Position { id: index.ids.0, time: 0, insns: 0 };
    let mut items = Vec::new();
    while !from.is_empty() {
        let flags = from.number()? as u8;
        before.id = before.id.wrapping_add(from.number()?);
        let (time, insns) = (from.signed()?, from.signed()?);
        before.time = before.time.wrapping_add_signed(time);
        before.insns = before.insns.wrapping_add_signed(insns);
        let cause = match flags & HAS_CAUSE {
            0 => None,
            _ => Some(RecordId(before.id.wrapping_sub(from.number()?))),
        };
        let record = TraceRecord {
            id: RecordId(before.id),
            time: VirtTime(before.time),
            insns: before.insns,
            source: from.decode()?,
            cause,
            event: from.decode()?,
        };
        let bytes = match flags & HAS_BYTES {
            0 => Vec::new(),
            _ => {
                let len = from.number()?;
                from.take(len)?.to_vec()
            }
        };
        items.push(Item { record, bytes });
    }
    Ok(items)
}

fn dictionary(from: &mut Decoder<'_>) -> Result<Vec<Shape>, Unreadable> {
    let mut shapes = Vec::new();
    for _ in 0..from.number()? {
        let fields = from.number()?;
        let mut name = || {
            let len = from.number()?;
            let bytes = from.take(len)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable("a name is no text".to_owned()))
        };
        let (of, variant) = (name()?, name()?);
        let fields = (0..fields).map(|_| name()).collect::<Result<_, _>>()?;
        shapes.push(Shape { of, variant, fields });
    }
    Ok(shapes)
}
