//! PVH: a 32-bit entry point and one structure. Xen public headers, arch-x86/hvm/start_info.h; docs/misc/pvh.pandoc.

use super::{Boot, Entry, LoadError, elf, low, memory_map, put, put_command_line, put_modules};
use emu_core::mem::PhysMem;
use std::borrow::Cow;

/// `hvm_start_info.magic`.
const MAGIC: u32 = 0x336e_c578;
/// With a memory map.
const VERSION: u32 = 1;

pub(super) fn load(
    mem: &mut PhysMem,
    kernel: &[u8],
    parsed: &elf::Elf,
    entry: u32,
    modules: &[Cow<'static, [u8]>],
    boot: Boot<'_>,
) -> Result<Entry, LoadError> {
    elf::place(mem, kernel, parsed)?;
    let command_line = put_command_line(mem, boot.append)?;
    let placed = put_modules(mem, modules, parsed.end(), u64::MAX, boot.reserved)?;
    let mut lists: Vec<u8> = Vec::new();
    for (start, len) in &placed {
        for field in [start.0, *len, 0, 0] {
            lists.extend(field.to_le_bytes());
        }
    }
    let map_at = low::LISTS.plus(lists.len() as u64);
    let map = memory_map(mem, boot.reserved);
    for range in &map {
        lists.extend(range.base.0.to_le_bytes());
        lists.extend(range.len.to_le_bytes());
        lists.extend((range.kind as u64).to_le_bytes());
    }
    put(mem, "module list and memory map", low::LISTS, &lists)?;
    let mut info: Vec<u8> = Vec::new();
    for field in [MAGIC, VERSION, 0, placed.len() as u32] {
        info.extend(field.to_le_bytes());
    }
    let module_list = if placed.is_empty() { 0 } else { low::LISTS.0 };
    for field in [module_list, command_line.0, boot.rsdp.map_or(0, |rsdp| rsdp.0), map_at.0] {
        info.extend(field.to_le_bytes());
    }
    for field in [map.len() as u32, 0] {
        info.extend(field.to_le_bytes());
    }
    put(mem, "start info", low::INFO, &info)?;
    Ok(Entry::Protected { eip: entry, eax: 0, ebx: low::INFO.0 as u32, esp: 0 })
}
