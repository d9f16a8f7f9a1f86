//! ELF, 32 and 64 bit: segments into memory by physical address, and the note that says PVH.

use super::{LoadError, low, part, put};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use object::Endianness;
use object::elf::{EM_386, EM_X86_64, FileHeader32, FileHeader64, Machine, NoteType, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};

/// Xen's note with the 32-bit entry point (Xen public headers, elfnote.h).
const XEN_PHYS32_ENTRY: NoteType = NoteType(18);
/// Segments in a file at most: far more than any kernel has.
const SEGMENTS_MAX: usize = 128;

/// A segment to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) offset: u64,
    pub(super) file_len: u64,
    pub(super) at: Gpa,
    pub(super) mem_len: u64,
}

/// What an ELF file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) is_64: bool,
    pub(super) entry: u64,
    pub(super) pvh_entry: Option<u32>,
    pub(super) loads: Vec<Load>,
}

impl Elf {
    /// End of the highest segment.
    pub(super) fn end(&self) -> u64 {
        self.loads.iter().map(|load| load.at.0 + load.mem_len).max().unwrap_or(0)
    }
}

pub(super) fn is_elf(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF")
}

pub(super) fn parse(file: &[u8]) -> Result<Elf, LoadError> {
    match file.get(4) {
        Some(1) => parse_as::<FileHeader32<Endianness>>(file, EM_386),
        Some(2) => parse_as::<FileHeader64<Endianness>>(file, EM_X86_64),
        _ => Err(header(4, "the class is neither 32 nor 64 bit")),
    }
}

fn header(offset: u64, reason: impl Into<String>) -> LoadError {
    LoadError::Header { what: "ELF header", offset, reason: reason.into() }
}

fn parse_as<H: FileHeader<Endian = Endianness>>(file: &[u8], machine: Machine) -> Result<Elf, LoadError> {
    let parsed = H::parse(file).map_err(|error| header(0, error.to_string()))?;
    let endian = parsed.endian().map_err(|error| header(5, error.to_string()))?;
    if endian != Endianness::Little {
        return Err(header(5, "not little-endian"));
    }
    if parsed.e_machine(endian) != machine {
        return Err(header(18, format!("machine {} is not x86", parsed.e_machine(endian).0)));
    }
    let table = parsed.e_phoff(endian).into();
    let headers = parsed.program_headers(endian, file).map_err(|error| header(table, error.to_string()))?;
    if headers.len() > SEGMENTS_MAX {
        return Err(header(table, format!("{} program headers", headers.len())));
    }
    let mut elf = Elf {
        is_64: parsed.is_type_64(),
        entry: parsed.e_entry(endian).into(),
        pvh_entry: None,
        loads: Vec::new(),
    };
    for segment in headers {
        match segment.p_type(endian) {
            PT_LOAD => elf.loads.extend(load_of(file, segment, endian, table)?),
            PT_NOTE => {
                if let Some(entry) = pvh_note::<H>(file, segment, endian)? {
                    elf.pvh_entry = Some(entry);
                }
            }
            _ => {}
        }
    }
    if elf.loads.is_empty() {
        return Err(header(table, "nothing to load"));
    }
    Ok(elf)
}

fn load_of<P: ProgramHeader<Endian = Endianness>>(
    file: &[u8],
    segment: &P,
    endian: Endianness,
    table: u64,
) -> Result<Option<Load>, LoadError> {
    let load = Load {
        offset: segment.p_offset(endian).into(),
        file_len: segment.p_filesz(endian).into(),
        at: Gpa(segment.p_paddr(endian).into()),
        mem_len: segment.p_memsz(endian).into(),
    };
    if load.mem_len == 0 {
        return Ok(None);
    }
    if load.file_len > load.mem_len {
        return Err(header(table, "a segment is larger in the file than in memory"));
    }
    part(file, "segment", load.offset, load.file_len)?;
    let end = load.at.0.checked_add(load.mem_len);
    let collides = end.is_none_or(|end| load.at.0 < low::END && end > low::START);
    if collides {
        return Err(LoadError::Memory { what: "segment", start: load.at.0, end: end.unwrap_or(u64::MAX) });
    }
    Ok(Some(load))
}

/// The PVH entry point, if one of the segment's notes has it.
fn pvh_note<H: FileHeader<Endian = Endianness>>(
    file: &[u8],
    segment: &H::ProgramHeader,
    endian: Endianness,
) -> Result<Option<u32>, LoadError> {
    let offset = segment.p_offset(endian).into();
    let broken =
        |error: object::Error| LoadError::Header { what: "ELF note", offset, reason: error.to_string() };
    let Some(mut notes) = segment.notes(endian, file).map_err(broken)? else { return Ok(None) };
    while let Some(note) = notes.next().map_err(broken)? {
        if note.name() == b"Xen" && note.n_type(endian) == XEN_PHYS32_ENTRY {
            let entry = note.desc().get(..4).and_then(|bytes| bytes.try_into().ok());
            return Ok(entry.map(u32::from_le_bytes));
        }
    }
    Ok(None)
}

/// Puts every segment into memory, zeroed where the file has nothing.
pub(super) fn place(mem: &mut PhysMem, file: &[u8], elf: &Elf) -> Result<(), LoadError> {
    const CHUNK: u64 = 1 << 20;
    for load in &elf.loads {
        put(mem, "segment", load.at, part(file, "segment", load.offset, load.file_len)?)?;
        let mut at = load.at.plus(load.file_len);
        let mut left = load.mem_len - load.file_len;
        if at
            .0
            .checked_add(left)
            .is_none_or(|end| end > mem.ram_size().saturating_add(emu_core::mem::HIGH_RAM_BASE))
        {
            return Err(LoadError::Memory { what: "segment", start: at.0, end: at.0.saturating_add(left) });
        }
        while left > 0 {
            let len = left.min(CHUNK);
            put(mem, "segment", at, &vec![0; len as usize])?;
            at = at.plus(len);
            left -= len;
        }
    }
    Ok(())
}
