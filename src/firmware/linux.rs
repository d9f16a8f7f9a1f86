//! Linux's 64-bit boot protocol; images that have only the 16-bit one go on in `linux_real`. Documentation/arch/x86/boot.rst and zero-page.rst of the kernel.
//!
//! A bzImage is a program that unpacks the kernel proper. It is started as it is, or unpacked here so that the kernel
//! proper starts at once: its first instructions ask for the same registers and the same parameters.

use super::{
    Boot, Entry, LinuxBoot, LoadError, elf, flat, linux_real, low, memory_map, part, payload, put,
    put_modules,
};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use std::borrow::Cow;

/// Offsets in the file and, from `SETUP` on, in the zero page.
pub(super) mod at {
    pub(in super::super) const E820_COUNT: usize = 0x1e8;
    pub(in super::super) const SETUP: usize = 0x1f1;
    pub(in super::super) const VIDEO_MODE: usize = 0x1fa;
    pub(in super::super) const BOOT_FLAG: usize = 0x1fe;
    pub(in super::super) const JUMP: usize = 0x200;
    pub(in super::super) const HEADER: usize = 0x202;
    pub(in super::super) const VERSION: usize = 0x206;
    pub(in super::super) const TYPE_OF_LOADER: usize = 0x210;
    pub(in super::super) const LOADFLAGS: usize = 0x211;
    pub(in super::super) const RAMDISK_IMAGE: usize = 0x218;
    pub(in super::super) const RAMDISK_SIZE: usize = 0x21c;
    pub(in super::super) const HEAP_END_PTR: usize = 0x224;
    pub(in super::super) const CMD_LINE_PTR: usize = 0x228;
    pub(in super::super) const INITRD_ADDR_MAX: usize = 0x22c;
    pub(in super::super) const XLOADFLAGS: usize = 0x236;
    pub(in super::super) const CMDLINE_SIZE: usize = 0x238;
    pub(in super::super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(in super::super) const PAYLOAD_LENGTH: usize = 0x24c;
    pub(in super::super) const PREF_ADDRESS: usize = 0x258;
    pub(in super::super) const INIT_SIZE: usize = 0x260;
    pub(in super::super) const E820_TABLE: usize = 0x2d0;
    pub(in super::super) const ACPI_RSDP: usize = 0x70;
}

/// The first protocol version with a 64-bit entry point: 2.12.
const VERSION_MIN: u16 = 0x20c;
/// XLF_KERNEL_64.
const KERNEL_64: u16 = 1;
/// LOADED_HIGH.
pub(super) const LOADED_HIGH: u8 = 1;
/// No loader id is assigned to us.
pub(super) const LOADER_UNDEFINED: u8 = 0xff;
/// The 64-bit entry point, from the start of the protected-mode kernel.
const ENTRY_64: u64 = 0x200;
const ZERO_PAGE: usize = 4096;

fn half(file: &[u8], offset: usize) -> Option<u16> {
    file.get(offset..offset + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn word(file: &[u8], offset: usize) -> Option<u32> {
    file.get(offset..offset + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Boot sector signature and "HdrS".
pub(super) fn is_bzimage(file: &[u8]) -> bool {
    half(file, at::BOOT_FLAG) == Some(0xaa55) && file.get(at::HEADER..at::HEADER + 4) == Some(b"HdrS")
}

fn refuse(offset: usize, reason: impl Into<String>) -> LoadError {
    LoadError::Header { what: "Linux setup header", offset: offset as u64, reason: reason.into() }
}

/// A file with a setup header, and what is read from it.
pub(super) struct Header<'a> {
    pub(super) file: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn version(&self) -> u16 {
        half(self.file, at::VERSION).unwrap_or(0)
    }

    pub(super) fn word(&self, offset: usize) -> Result<u32, LoadError> {
        word(self.file, offset).ok_or_else(|| refuse(offset, "cut off"))
    }

    /// Whether the kernel can be entered in 64-bit mode.
    fn is_64_bit(&self) -> bool {
        self.version() >= VERSION_MIN && half(self.file, at::XLOADFLAGS).unwrap_or(0) & KERNEL_64 != 0
    }

    /// Boot sector and setup code.
    fn setup_len(&self) -> u64 {
        let sectors = match self.file[at::SETUP] {
            0 => 4,
            sectors => u64::from(sectors),
        };
        (sectors + 1) * 512
    }

    /// What runs in real mode.
    pub(super) fn setup(&self) -> Result<&'a [u8], LoadError> {
        part(self.file, "Linux setup", 0, self.setup_len())
    }

    /// What follows.
    pub(super) fn body(&self) -> Result<&'a [u8], LoadError> {
        let start = self.setup_len();
        part(self.file, "Linux kernel", start, (self.file.len() as u64).saturating_sub(start))
    }
}

pub(super) fn too_old(version: u16, needed: &str) -> LoadError {
    let version = format!("{}.{:02}", version >> 8, version & 0xff);
    refuse(at::VERSION, format!("boot protocol {version} is not known; {needed} is needed"))
}

/// A kernel in memory.
struct Placed {
    entry: u64,
    /// Behind what it needs until it has read its memory map.
    end: u64,
}

/// Puts the bzImage's protected-mode part where it prefers to be; it moves itself about.
fn put_whole(
    mem: &mut PhysMem,
    body: &[u8],
    field: impl Fn(usize) -> Result<u32, LoadError>,
) -> Result<Placed, LoadError> {
    let preferred = u64::from(field(at::PREF_ADDRESS)?) | u64::from(field(at::PREF_ADDRESS + 4)?) << 32;
    let end = preferred.saturating_add(u64::from(field(at::INIT_SIZE)?).max(body.len() as u64));
    let low_end = mem.ram_ranges().first().map_or(0, |(_, end)| end.0);
    if preferred < low::END || end > low_end {
        return Err(LoadError::Memory { what: "Linux kernel", start: preferred, end });
    }
    put(mem, "Linux kernel", Gpa(preferred), body)?;
    Ok(Placed { entry: preferred + ENTRY_64, end })
}

/// Puts the kernel proper where it is linked to be. Its addresses are not shuffled: KASLR is the unpacker's work.
fn put_proper(
    mem: &mut PhysMem,
    start: u64,
    body: &[u8],
    field: impl Fn(usize) -> Result<u32, LoadError>,
) -> Result<Placed, LoadError> {
    let (offset, len) = (u64::from(field(at::PAYLOAD_OFFSET)?), u64::from(field(at::PAYLOAD_LENGTH)?));
    let kernel = payload::unpack(part(body, payload::WHAT, offset, len)?, start + offset)?;
    let elf = elf::parse(&kernel)?;
    elf::place(mem, &kernel, &elf)?;
    Ok(Placed { entry: elf.entry, end: elf.end() })
}

pub(super) fn load(
    mem: &mut PhysMem,
    kernel: &[u8],
    initrd: Option<&[u8]>,
    boot: Boot<'_>,
) -> Result<Entry, LoadError> {
    let header = Header { file: kernel };
    if !header.is_64_bit() {
        return linux_real::load(mem, &header, initrd, boot);
    }
    let header_end = at::HEADER + usize::from(kernel[at::JUMP + 1]);
    let setup = part(kernel, "Linux setup header", at::SETUP as u64, (header_end - at::SETUP) as u64)?;
    let field = |offset: usize| header.word(offset);
    let start = header.setup_len();
    let body = header.body()?;
    let placed = match boot.linux {
        LinuxBoot::Whole => put_whole(mem, body, field)?,
        LinuxBoot::Direct => put_proper(mem, start, body, field)?,
    };
    let modules: Vec<Cow<'static, [u8]>> = initrd.iter().map(|initrd| Cow::Owned(initrd.to_vec())).collect();
    let limit = u64::from(field(at::INITRD_ADDR_MAX)?) + 1;
    let modules = put_modules(mem, &modules, placed.end, limit, boot.reserved)?;
    let max = (field(at::CMDLINE_SIZE)? as usize).min(low::COMMAND_LINE_MAX - 1);
    if boot.append.len() > max {
        return Err(LoadError::CommandLine { len: boot.append.len(), max });
    }
    let command_line = super::put_command_line(mem, boot.append)?;

    let mut page = vec![0; ZERO_PAGE];
    page[at::SETUP..header_end].copy_from_slice(setup);
    page[at::TYPE_OF_LOADER] = LOADER_UNDEFINED;
    page[at::LOADFLAGS] |= LOADED_HIGH;
    let mut set = |offset: usize, bytes: &[u8]| page[offset..offset + bytes.len()].copy_from_slice(bytes);
    set(at::CMD_LINE_PTR, &(command_line.0 as u32).to_le_bytes());
    if let Some((start, len)) = modules.first() {
        set(at::RAMDISK_IMAGE, &(start.0 as u32).to_le_bytes());
        set(at::RAMDISK_SIZE, &(*len as u32).to_le_bytes());
    }
    set(at::ACPI_RSDP, &boot.rsdp.map_or(0, |rsdp| rsdp.0).to_le_bytes());
    let map = memory_map(mem, boot.reserved);
    set(at::E820_COUNT, &[map.len() as u8]);
    for (index, range) in map.iter().enumerate() {
        let offset = at::E820_TABLE + index * 20;
        set(offset, &range.base.0.to_le_bytes());
        set(offset + 8, &range.len.to_le_bytes());
        set(offset + 16, &(range.kind as u32).to_le_bytes());
    }
    put(mem, "Linux boot parameters", low::INFO, &page)?;
    flat::put_long_mode_tables(mem)?;
    Ok(Entry::Long {
        rip: placed.entry,
        rsi: low::INFO.0,
        rsp: low::START,
        cr3: low::PAGE_TABLES,
        gdt: low::GDT,
    })
}
