//! What firmware and boot loaders do: put a guest's image into memory, describe the machine to it, and say where and how it
//! starts. Firmware is only run from ROM images, and for kernels that start in real mode (`bios`).
//!
//! Each format has a file. All answer an [`Entry`], plain data that [`Entry::apply`] gives to the processor.

pub mod acpi;
mod bios;
pub mod dmar;
mod elf;
mod entry;
mod flat;
mod linux;
mod linux_real;
mod memory_map;
mod multiboot;
mod payload;
mod pvh;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use flat::FlatMode;
pub use memory_map::{MemoryKind, MemoryRange, memory_map};

use emu_core::Gpa;
use emu_core::mem::{PhysMem, Unbacked};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;

/// Why an image can't be loaded. Whoever knows the file's name puts it in front.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// In none of the known formats.
    #[error("no known kernel format: neither PVH, ELF, Multiboot nor Linux bzImage")]
    Unknown,
    /// Shorter than its headers say.
    #[error("cut off: {what} at offset {offset:#x} goes beyond the end of {len:#x} bytes")]
    Truncated {
        /// Which part.
        what: &'static str,
        /// Where in the file.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// A header says something that it can't.
    #[error("{what} at offset {offset:#x}: {reason}")]
    Header {
        /// Which part.
        what: &'static str,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A part does not fit the guest's memory.
    #[error(
        "{what}: {start:#x}-{end:#x} is not inside guest memory, or collides with the loader's own tables"
    )]
    Memory {
        /// Which part.
        what: &'static str,
        /// First address.
        start: u64,
        /// Last address + 1.
        end: u64,
    },
    /// The command line is too long for this protocol.
    #[error("the command line has {len} bytes; this kernel takes at most {max}")]
    CommandLine {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The BIOS does not assemble.
    #[error("our own BIOS: {0}")]
    Bios(#[from] iced_x86::IcedError),
    /// A ROM image of a wrong size.
    #[error("{0}")]
    Rom(#[from] emu_core::mem::MemError),
}

/// A guest's image with what belongs to it.
#[derive(Clone, Debug)]
pub enum Image {
    /// A kernel that says itself what it is.
    Kernel {
        /// The file.
        kernel: Cow<'static, [u8]>,
        /// Initial RAM disk, or modules.
        modules: Vec<Cow<'static, [u8]>>,
    },
    /// Bytes to be put at an address.
    Flat {
        /// The file.
        image: Cow<'static, [u8]>,
        /// Where it is put, and where it starts.
        at: Gpa,
        /// How it starts.
        mode: FlatMode,
    },
    /// A ROM image with its own reset vector.
    Rom {
        /// The file.
        image: Cow<'static, [u8]>,
    },
}

/// What a loader is told beside the image.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// Command line.
    pub append: &'a str,
    /// Where the ACPI tables start, if there are any.
    pub rsdp: Option<Gpa>,
    /// How a bzImage is started.
    pub linux: LinuxBoot,
    /// Memory that is not the guest's to use.
    pub reserved: &'a [Range<u64>],
}

/// How a Linux bzImage is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum LinuxBoot {
    /// As it is: it unpacks itself in the guest, which takes most of the instructions of a boot.
    #[default]
    Whole,
    /// Unpacked on the host, and the kernel proper started: no KASLR.
    Direct,
}

/// Puts a guest into memory; answers how it starts.
pub fn load(mem: &mut PhysMem, image: &Image, boot: Boot<'_>) -> Result<Entry, LoadError> {
    match image {
        Image::Flat { image, at, mode } => flat::load(mem, image, *at, *mode),
        Image::Rom { image } => {
            mem.load_rom(image)?;
            Ok(Entry::Reset)
        }
        Image::Kernel { kernel, modules } => load_kernel(mem, kernel, modules, boot),
    }
}

/// Finds out what a kernel is. An ELF file may carry a PVH note and a Multiboot header as well: the newer protocol
/// wins.
fn load_kernel(
    mem: &mut PhysMem,
    kernel: &[u8],
    modules: &[Cow<'static, [u8]>],
    boot: Boot<'_>,
) -> Result<Entry, LoadError> {
    if linux::is_bzimage(kernel) {
        return linux::load(mem, kernel, modules.first().map(AsRef::as_ref), boot);
    }
    if elf::is_elf(kernel) {
        let loaded = elf::parse(kernel)?;
        if let Some(entry) = loaded.pvh_entry {
            return pvh::load(mem, kernel, &loaded, entry, modules, boot);
        }
        if let Some(header) = multiboot::find(kernel) {
            return multiboot::load(mem, kernel, header, modules, boot);
        }
        elf::place(mem, kernel, &loaded)?;
        let mode = if loaded.is_64 { FlatMode::Long } else { FlatMode::Protected };
        return flat::start(loaded.entry, mode, mem);
    }
    match multiboot::find(kernel) {
        Some(header) => multiboot::load(mem, kernel, header, modules, boot),
        None => Err(LoadError::Unknown),
    }
}

/// Bytes `offset..offset + len` of a file.
fn part<'a>(file: &'a [u8], what: &'static str, offset: u64, len: u64) -> Result<&'a [u8], LoadError> {
    let truncated = LoadError::Truncated { what, offset, len: file.len() as u64 };
    let end = offset.checked_add(len).and_then(|end| usize::try_from(end).ok());
    match (usize::try_from(offset), end) {
        (Ok(start), Some(end)) => file.get(start..end).ok_or(truncated),
        _ => Err(truncated),
    }
}

/// Writes a part of the guest into memory.
fn put(mem: &mut PhysMem, what: &'static str, at: Gpa, bytes: &[u8]) -> Result<(), LoadError> {
    mem.write(at, bytes).map_err(|Unbacked(_)| LoadError::Memory {
        what,
        start: at.0,
        end: at.0.saturating_add(bytes.len() as u64),
    })
}

/// Where loaders put what they hand over: below the EBDA, above the real-mode tables.
mod low {
    use emu_core::Gpa;

    /// Start of the loader's tables.
    pub(super) const START: u64 = 0x6000;
    /// The protocol's information structure.
    pub(super) const INFO: Gpa = Gpa(START);
    /// Lists of modules and of memory ranges, and other texts.
    pub(super) const LISTS: Gpa = Gpa(0x7000);
    /// Command line.
    pub(super) const COMMAND_LINE: Gpa = Gpa(0x8000);
    /// Longest command line with its terminator.
    pub(super) const COMMAND_LINE_MAX: usize = 0x1000;
    /// GDT for starts in long mode.
    pub(super) const GDT: Gpa = Gpa(0x9000);
    /// Identity page tables for starts in long mode, six pages.
    pub(super) const PAGE_TABLES: Gpa = Gpa(0xa000);
    /// End of the loader's tables.
    pub(super) const END: u64 = 0x1_0000;
}

/// Writes the command line with its terminator.
fn put_command_line(mem: &mut PhysMem, append: &str) -> Result<Gpa, LoadError> {
    let max = low::COMMAND_LINE_MAX - 1;
    if append.len() > max {
        return Err(LoadError::CommandLine { len: append.len(), max });
    }
    let mut bytes = append.as_bytes().to_vec();
    bytes.push(0);
    put(mem, "command line", low::COMMAND_LINE, &bytes)?;
    Ok(low::COMMAND_LINE)
}

/// Puts modules below the end of low memory (and below `limit`), page-aligned, above `floor` and out of `reserved` memory;
/// answers start and length of each.
fn put_modules(
    mem: &mut PhysMem,
    modules: &[Cow<'static, [u8]>],
    floor: u64,
    limit: u64,
    reserved: &[Range<u64>],
) -> Result<Vec<(Gpa, u64)>, LoadError> {
    let low_end = mem.ram_ranges().first().map_or(0, |(_, end)| end.0);
    let mut top = low_end.min(limit);
    let mut placed = Vec::new();
    for module in modules {
        let len = module.len() as u64;
        let refuse = LoadError::Memory { what: "module", start: top.saturating_sub(len), end: top };
        let start = place_below(top, len, reserved).filter(|start| *start >= floor);
        let start = start.ok_or(refuse)?;
        put(mem, "module", Gpa(start), module)?;
        placed.push((Gpa(start), len));
        top = start;
    }
    Ok(placed)
}

/// The highest place for `len` bytes below `top` that starts a page and has nothing reserved in it.
fn place_below(mut top: u64, len: u64, reserved: &[Range<u64>]) -> Option<u64> {
    loop {
        let start = top.checked_sub(len)? & !0xfff;
        match reserved.iter().find(|range| range.start < start + len && start < range.end) {
            Some(range) => top = range.start,
            None => return Some(start),
        }
    }
}
