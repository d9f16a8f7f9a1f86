//! Multiboot 1: any kernel with its header in the first 8 KiB. Multiboot specification 0.6.96.

use super::{
    Boot, Entry, LoadError, MemoryKind, elf, low, memory_map, part, put, put_command_line, put_modules,
};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use std::borrow::Cow;

const MAGIC: u32 = 0x1bad_b002;
/// What EAX holds at the entry.
const LOADED_MAGIC: u32 = 0x2bad_b002;
/// The header lies in the first bytes of the file, dword-aligned (3.1).
const SEARCH_LEN: usize = 8192;

/// Header flags (3.1.2): page-aligned modules, memory information, video mode, address fields.
const WANTS_VIDEO: u32 = 1 << 2;
const HAS_ADDRESSES: u32 = 1 << 16;
/// Flags 0-15 that a loader must understand or refuse; video is only a preference.
const UNDERSTOOD: u32 = 3 | WANTS_VIDEO;

/// Information flags (3.3).
mod info {
    pub(super) const MEMORY: u32 = 1 << 0;
    pub(super) const COMMAND_LINE: u32 = 1 << 2;
    pub(super) const MODULES: u32 = 1 << 3;
    pub(super) const MEMORY_MAP: u32 = 1 << 6;
    pub(super) const LOADER_NAME: u32 = 1 << 9;
}

/// A header that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    offset: usize,
    flags: u32,
}

fn word(file: &[u8], offset: usize) -> Option<u32> {
    file.get(offset..offset + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The header, by its magic number and checksum.
pub(super) fn find(file: &[u8]) -> Option<Header> {
    (0..file.len().min(SEARCH_LEN)).step_by(4).find_map(|offset| {
        let [magic, flags, sum] = [0, 4, 8].map(|field| word(file, offset + field));
        let (magic, flags, sum) = (magic?, flags?, sum?);
        let valid = magic == MAGIC && magic.wrapping_add(flags).wrapping_add(sum) == 0;
        valid.then_some(Header { offset, flags })
    })
}

/// Loads by the header's addresses, or as ELF.
fn place(mem: &mut PhysMem, kernel: &[u8], header: Header) -> Result<(u32, u64), LoadError> {
    if header.flags & HAS_ADDRESSES == 0 {
        let parsed = elf::parse(kernel)?;
        elf::place(mem, kernel, &parsed)?;
        let entry = u32::try_from(parsed.entry).map_err(|_| refuse(header, "the entry is above 4 GiB"))?;
        return Ok((entry, parsed.end()));
    }
    let field = |index: usize| {
        let offset = header.offset + 12 + index * 4;
        word(kernel, offset).ok_or(LoadError::Truncated {
            what: "Multiboot header",
            offset: offset as u64,
            len: kernel.len() as u64,
        })
    };
    let [header_addr, load, load_end, bss_end, entry] =
        [field(0)?, field(1)?, field(2)?, field(3)?, field(4)?];
    let before = header_addr.checked_sub(load).ok_or_else(|| refuse(header, "it lies before load_addr"))?;
    let start = (header.offset as u64)
        .checked_sub(u64::from(before))
        .ok_or_else(|| refuse(header, "load_addr lies before the file"))?;
    let len = if load_end == 0 {
        kernel.len() as u64 - start.min(kernel.len() as u64)
    } else {
        u64::from(
            load_end.checked_sub(load).ok_or_else(|| refuse(header, "load_end_addr is before load_addr"))?,
        )
    };
    let end = u64::from(load) + len;
    if u64::from(load) < low::END && end > low::START {
        return Err(LoadError::Memory { what: "kernel", start: u64::from(load), end });
    }
    put(mem, "kernel", Gpa(u64::from(load)), part(kernel, "kernel", start, len)?)?;
    if u64::from(bss_end) > end {
        let zeroes = vec![0; (u64::from(bss_end) - end).min(mem.ram_size()) as usize];
        put(mem, "bss", Gpa(end), &zeroes)?;
    }
    Ok((entry, end.max(u64::from(bss_end))))
}

fn refuse(header: Header, reason: &str) -> LoadError {
    LoadError::Header { what: "Multiboot header", offset: header.offset as u64, reason: reason.to_owned() }
}

pub(super) fn load(
    mem: &mut PhysMem,
    kernel: &[u8],
    header: Header,
    modules: &[Cow<'static, [u8]>],
    boot: Boot<'_>,
) -> Result<Entry, LoadError> {
    if header.flags & 0xffff & !UNDERSTOOD != 0 {
        return Err(refuse(header, &format!("flags {:#x} ask for what no loader has", header.flags)));
    }
    let (entry, end) = place(mem, kernel, header)?;
    let command_line = put_command_line(mem, boot.append)?;
    let placed = put_modules(mem, modules, end, u64::MAX, boot.reserved)?;
    let name = b"Glassbox\0";
    let mut lists = name.to_vec();
    lists.resize(16, 0);
    let modules_at = low::LISTS.plus(16);
    for (start, len) in &placed {
        for field in [start.0, start.0 + len, 0, 0] {
            lists.extend((field as u32).to_le_bytes());
        }
    }
    let map_at = low::LISTS.plus(lists.len() as u64);
    let map = memory_map(mem, boot.reserved);
    for range in &map {
        // Each entry's length does not count its own field.
        lists.extend(20u32.to_le_bytes());
        lists.extend(range.base.0.to_le_bytes());
        lists.extend(range.len.to_le_bytes());
        lists.extend((range.kind as u32).to_le_bytes());
    }
    put(mem, "Multiboot lists", low::LISTS, &lists)?;
    let upper = map.iter().find(|range| range.base.0 == 0x10_0000 && range.kind == MemoryKind::Ram);
    let flags = info::MEMORY | info::COMMAND_LINE | info::MODULES | info::MEMORY_MAP | info::LOADER_NAME;
    let mut fields = [0u32; 29];
    fields[0] = flags;
    fields[1] = (map.first().map_or(0, |range| range.len) / 1024) as u32;
    fields[2] = (upper.map_or(0, |range| range.len) / 1024) as u32;
    fields[4] = command_line.0 as u32;
    fields[5] = placed.len() as u32;
    fields[6] = modules_at.0 as u32;
    fields[11] = (map.len() * 24) as u32;
    fields[12] = map_at.0 as u32;
    fields[16] = low::LISTS.0 as u32;
    let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    put(mem, "Multiboot information", low::INFO, &bytes)?;
    Ok(Entry::Protected { eip: entry, eax: LOADED_MAGIC, ebx: low::INFO.0 as u32, esp: 0 })
}
