//! Linux's 64-bit boot protocol. Documentation/arch/x86/boot.rst and zero-page.rst of the kernel.
//!
//! A bzImage is a program that unpacks the kernel proper. It is started as it is, or unpacked here so that the kernel
//! proper starts at once: its first instructions ask for the same registers and the same parameters.

use super::{Boot, Entry, LinuxBoot, LoadError, elf, flat, low, memory_map, part, payload, put, put_modules};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use std::borrow::Cow;

/// Offsets in the file and, from `SETUP` on, in the zero page.
mod at {
    pub(super) const E820_COUNT: usize = 0x1e8;
    pub(super) const SETUP: usize = 0x1f1;
    pub(super) const BOOT_FLAG: usize = 0x1fe;
    pub(super) const JUMP: usize = 0x200;
    pub(super) const HEADER: usize = 0x202;
    pub(super) const VERSION: usize = 0x206;
    pub(super) const TYPE_OF_LOADER: usize = 0x210;
    pub(super) const LOADFLAGS: usize = 0x211;
    pub(super) const RAMDISK_IMAGE: usize = 0x218;
    pub(super) const RAMDISK_SIZE: usize = 0x21c;
    pub(super) const CMD_LINE_PTR: usize = 0x228;
    pub(super) const INITRD_ADDR_MAX: usize = 0x22c;
    pub(super) const XLOADFLAGS: usize = 0x236;
    pub(super) const CMDLINE_SIZE: usize = 0x238;
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
    pub(super) const PREF_ADDRESS: usize = 0x258;
    pub(super) const INIT_SIZE: usize = 0x260;
    pub(super) const E820_TABLE: usize = 0x2d0;
    pub(super) const ACPI_RSDP: usize = 0x70;
}

/// The first protocol version with a 64-bit entry point: 2.12.
const VERSION_MIN: u16 = 0x20c;
/// XLF_KERNEL_64.
const KERNEL_64: u16 = 1;
/// LOADED_HIGH.
const LOADED_HIGH: u8 = 1;
/// No loader id is assigned to us.
const LOADER_UNDEFINED: u8 = 0xff;
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
    let version = half(kernel, at::VERSION).unwrap_or(0);
    if version < VERSION_MIN {
        let version = format!("{}.{:02}", version >> 8, version & 0xff);
        return Err(refuse(
            at::VERSION,
            format!("boot protocol {version} has no 64-bit entry; 2.12 is needed"),
        ));
    }
    let header_end = at::HEADER + usize::from(kernel[at::JUMP + 1]);
    let setup = part(kernel, "Linux setup header", at::SETUP as u64, (header_end - at::SETUP) as u64)?;
    if half(kernel, at::XLOADFLAGS).unwrap_or(0) & KERNEL_64 == 0 {
        return Err(refuse(at::XLOADFLAGS, "not a 64-bit kernel"));
    }
    let field = |offset: usize| word(kernel, offset).ok_or_else(|| refuse(offset, "cut off"));
    let sectors = match kernel[at::SETUP] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let start = (sectors + 1) * 512;
    let body = part(kernel, "Linux kernel", start, (kernel.len() as u64).saturating_sub(start))?;
    let placed = match boot.linux {
        LinuxBoot::Whole => put_whole(mem, body, field)?,
        LinuxBoot::Direct => put_proper(mem, start, body, field)?,
    };
    let modules: Vec<Cow<'static, [u8]>> = initrd.iter().map(|initrd| Cow::Owned(initrd.to_vec())).collect();
    let limit = u64::from(field(at::INITRD_ADDR_MAX)?) + 1;
    let modules = put_modules(mem, &modules, placed.end, limit)?;
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
    let map = memory_map(mem);
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
