//! The pages of a snapshot: those that are not all zero, each content once, in compressed blocks that each bear a checksum.
//!
//! ```text
//! 16 bytes       "GBPAGES\0", version, 0
//! blocks         up to 64 pages each, LZ4
//! index          number of blocks (u32); for each its length (u32) and its hash (32 bytes)
//!                number of runs (u32); for each the number of its first page (u32), how many pages in a row (u32), and the
//!                number of the first one's content, further ones following (u32)
//! ```
//!
//! All little-endian. The snapshot's text has the index's place and hash: a chain of hashes leads from its first line to every byte.

use super::atomic;
use emu_core::mem::PhysMem;
use emu_core::{Gpa, PAGE_SIZE};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

const MAGIC: &[u8; 8] = b"GBPAGES\0";
const VERSION: u32 = 2;
const HEADER: u64 = 16;
const PAGE: usize = PAGE_SIZE as usize;
/// Pages in a block.
const BLOCK: usize = 64;
/// More contents than 64 GiB of RAM and a ROM have.
const CONTENTS_MAX: usize = (64 << 30 | 16 << 20) / PAGE;
/// Blocks that are unpacked before they are put into memory.
const BATCH: usize = 64;

/// What the snapshot's text says of its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// The file, in the snapshot's own folder.
    pub file: String,
    /// Pages that are not all zero.
    pub pages: u64,
    /// Different contents among them.
    pub distinct: u64,
    /// Where the index begins.
    pub index_at: u64,
    /// The index's hash.
    pub index: String,
}

/// What is wrong with a file of pages.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Content(String),
}

fn damaged<T>(what: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Content(what.into()))
}

/// `work` of every item, in order, on every core. A helper at the edge: what it makes does not depend on the threads.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    if cores == 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let share = |part: &'_ [T]| part.iter().map(work).collect::<Vec<R>>();
        let parts: Vec<_> =
            items.chunks(items.len().div_ceil(cores)).map(|part| scope.spawn(move || share(part))).collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, Vec<R>>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

/// Pages in a row in memory whose contents follow each other in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    count: u32,
    content: u32,
}

/// Where every page's content is.
#[derive(Debug, Default)]
struct Index {
    /// Length and hash of every block.
    blocks: Vec<(u32, [u8; 32])>,
    runs: Vec<Run>,
}

impl Index {
    fn push(&mut self, page: u32, content: u32) {
        if let Some(run) = self.runs.last_mut()
            && run.first + run.count == page
            && run.content + run.count == content
        {
            run.count += 1;
        } else {
            self.runs.push(Run { first: page, count: 1, content });
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.blocks.len() as u32).to_le_bytes().to_vec();
        for (len, hash) in &self.blocks {
            bytes.extend(len.to_le_bytes());
            bytes.extend(hash);
        }
        bytes.extend((self.runs.len() as u32).to_le_bytes());
        for run in &self.runs {
            bytes.extend([run.first, run.count, run.content].iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes
    }

    /// The bytes have the right hash; all the same nothing is taken for granted.
    fn from_bytes(bytes: &[u8], contents: usize) -> Option<Self> {
        let mut rest = bytes;
        let mut take = |len: usize| {
            let (head, tail) = rest.split_at_checked(len)?;
            rest = tail;
            Some(head)
        };
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        let mut index = Self::default();
        for _ in 0..number(take(4)?)? {
            index.blocks.push((number(take(4)?)?, take(32)?.try_into().ok()?));
        }
        for _ in 0..number(take(4)?)? {
            let run = Run { first: number(take(4)?)?, count: number(take(4)?)?, content: number(take(4)?)? };
            let last = u64::from(run.content) + u64::from(run.count);
            if run.count == 0 || last > contents as u64 || run.first.checked_add(run.count).is_none() {
                return None;
            }
            index.runs.push(run);
        }
        let enough = index.blocks.len() == contents.div_ceil(BLOCK);
        (rest.is_empty() && enough).then_some(index)
    }

    /// Every page with its content's number.
    fn pages(&self) -> impl Iterator<Item = (Gpa, u32)> {
        self.runs.iter().flat_map(|run| {
            (0..run.count).map(move |nth| (Gpa(u64::from(run.first + nth) * PAGE_SIZE), run.content + nth))
        })
    }
}

fn read_page(mem: &PhysMem, page: Gpa) -> [u8; PAGE] {
    let mut bytes = [0; PAGE];
    // A page that is not backed is all zero; callers name pages that are.
    let _ = mem.read(page, &mut bytes);
    bytes
}

/// Writes `pages` of `mem` into a file beside `snapshot` that is named after its content.
pub(super) fn save(mem: &PhysMem, pages: &[Gpa], snapshot: &Path) -> io::Result<Pages> {
    let hashes = on_all_cores(pages, |page| {
        let bytes = read_page(mem, *page);
        bytes.iter().any(|byte| *byte != 0).then(|| *blake3::hash(&bytes).as_bytes())
    });
    let mut index = Index::default();
    let mut known: BTreeMap<[u8; 32], u32> = BTreeMap::new();
    let mut contents: Vec<Gpa> = Vec::new();
    let mut count = 0;
    for (page, hash) in pages.iter().zip(hashes) {
        let Some(hash) = hash else { continue };
        let content = *known.entry(hash).or_insert_with(|| {
            contents.push(*page);
            contents.len() as u32 - 1
        });
        index.push((page.0 / PAGE_SIZE) as u32, content);
        count += 1;
    }
    atomic::write_named(&atomic::beside(snapshot, ".pages.new"), |out| {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&[0; 4])?;
        let mut at = HEADER;
        let blocks: Vec<&[Gpa]> = contents.chunks(BLOCK).collect();
        for batch in blocks.chunks(BATCH) {
            for (bytes, hash) in on_all_cores(batch, |block| pack(mem, block)) {
                out.write_all(&bytes)?;
                at += bytes.len() as u64;
                index.blocks.push((bytes.len() as u32, hash));
            }
        }
        let bytes = index.to_bytes();
        out.write_all(&bytes)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let path = atomic::beside(snapshot, &format!(".{}.pages", &hash[..16]));
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pages = Pages { file, pages: count, distinct: contents.len() as u64, index_at: at, index: hash };
        Ok((path, pages))
    })
}

/// A block, and its hash.
fn pack(mem: &PhysMem, block: &[Gpa]) -> (Vec<u8>, [u8; 32]) {
    let bytes: Vec<u8> = block.iter().flat_map(|page| read_page(mem, *page)).collect();
    let packed = lz4_flex::block::compress(&bytes);
    let hash = *blake3::hash(&packed).as_bytes();
    (packed, hash)
}

/// An open file of pages whose index is as the snapshot says.
pub(super) struct Store {
    file: std::fs::File,
    index: Index,
    contents: usize,
}

impl Store {
    pub(super) fn open(pages: &Pages, path: &Path) -> Result<Self, StoreError> {
        let contents = usize::try_from(pages.distinct).unwrap_or(usize::MAX);
        if contents > CONTENTS_MAX || pages.pages as usize > CONTENTS_MAX {
            return damaged("more pages than any machine has");
        }
        let mut file = std::fs::File::open(path)?;
        let mut header = [0; HEADER as usize];
        if file.read_exact(&mut header).is_err() {
            return damaged("cut off in its header");
        }
        let mut wanted = MAGIC.to_vec();
        wanted.extend(VERSION.to_le_bytes());
        wanted.extend([0; 4]);
        if header[..8] != wanted[..8] {
            return damaged("not a file of memory pages");
        }
        if header[..] != wanted[..] {
            return damaged(format!("its header is damaged, or of another version than {VERSION}"));
        }
        let len = file.metadata()?.len();
        if pages.index_at < HEADER || pages.index_at > len {
            return damaged("cut off before its index");
        }
        file.seek(io::SeekFrom::Start(pages.index_at))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if blake3::hash(&bytes).to_hex().as_str() != pages.index {
            return damaged("its index is damaged or cut off, or of another snapshot");
        }
        let Some(index) = Index::from_bytes(&bytes, contents) else {
            return damaged("its index contradicts itself");
        };
        let blocks: u64 = index.blocks.iter().map(|(len, _)| u64::from(*len)).sum();
        if blocks != pages.index_at - HEADER {
            return damaged("its blocks do not fill it");
        }
        Ok(Self { file, index, contents })
    }

    /// Bytes of the blocks.
    pub(super) fn packed(&self) -> u64 {
        self.index.blocks.iter().map(|(len, _)| u64::from(*len)).sum()
    }

    /// Calls `visit` with every page, in the order of contents.
    pub(super) fn each(
        &mut self,
        mut visit: impl FnMut(Gpa, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut uses: Vec<(u32, Gpa)> = self.index.pages().map(|(page, content)| (content, page)).collect();
        uses.sort_unstable();
        let mut uses = uses.into_iter().peekable();
        self.file.seek(io::SeekFrom::Start(HEADER))?;
        let numbered: Vec<_> = self.index.blocks.iter().enumerate().collect();
        for batch in numbered.chunks(BATCH) {
            let mut packed = Vec::new();
            for (nth, (len, hash)) in batch {
                let mut bytes = vec![0; (*len as usize).min(2 * BLOCK * PAGE)];
                if *len as usize != bytes.len() || self.file.read_exact(&mut bytes).is_err() {
                    return damaged(format!("block {nth} is cut off"));
                }
                packed.push((*nth, *hash, bytes));
            }
            let contents = self.contents;
            for (block, pages) in packed.iter().zip(on_all_cores(&packed, |block| unpack(block, contents))) {
                let (first, pages) = (block.0 * BLOCK, pages?);
                while let Some((content, page)) =
                    uses.next_if(|(content, _)| (*content as usize) < first + pages.len() / PAGE)
                {
                    let start = (content as usize - first) * PAGE;
                    visit(page, &pages[start..start + PAGE])?;
                }
            }
        }
        Ok(())
    }
}

fn unpack((nth, hash, packed): &(usize, [u8; 32], Vec<u8>), contents: usize) -> Result<Vec<u8>, StoreError> {
    if blake3::hash(packed).as_bytes() != hash {
        return damaged(format!("block {nth} is damaged"));
    }
    let mut pages = vec![0; (contents - nth * BLOCK).min(BLOCK) * PAGE];
    match lz4_flex::block::decompress_into(packed, &mut pages) {
        Ok(len) if len == pages.len() => Ok(pages),
        Ok(_) | Err(_) => damaged(format!("block {nth} can't be unpacked")),
    }
}
