//! Linux's 16-bit boot protocol, for images without a 64-bit entry: the setup part at 0x90000, the rest at 1 MiB, and a jump to
//! the setup part's code in real mode, with a BIOS below. Documentation/arch/x86/boot.rst of the kernel, "Memory layout" and
//! "Running the kernel".

use super::bios::{self, Start};
use super::linux::{self, Header, at};
use super::{Boot, Entry, LoadError, put, put_modules};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use std::borrow::Cow;

/// The first version with `cmd_line_ptr`: 2.02.
const VERSION_MIN: u16 = 0x202;
/// The first that says how high a RAM disk may lie.
const VERSION_INITRD_MAX: u16 = 0x203;
/// The first that says how long a command line may be.
const VERSION_CMDLINE_SIZE: u16 = 0x206;
/// `initrd_addr_max` and `cmdline_size` of kernels that don't say.
const INITRD_MAX: u32 = 0x37ff_ffff;
const CMDLINE_SIZE: u32 = 255;

/// Where the setup part is put, and the same as a segment.
const SETUP: u64 = 0x9_0000;
const SEGMENT: u16 = 0x9000;
/// Its code, behind the boot sector.
const ENTRY: u16 = SEGMENT + 0x20;
/// The end of setup part, heap and stack, from the segment's start; the command line follows.
const HEAP_END: u16 = 0xe000;
const COMMAND_LINE: u64 = SETUP + HEAP_END as u64;
/// Room for it, up to the extended BIOS data area.
const COMMAND_LINE_ROOM: u64 = bios::EBDA - COMMAND_LINE;
/// Where the rest goes: at 1 MiB, or the old place.
const HIGH: u64 = 0x10_0000;
const LOW: u64 = 0x1_0000;
/// `loadflags`: `heap_end_ptr` is valid.
const CAN_USE_HEAP: u8 = 0x80;

pub(super) fn load(
    mem: &mut PhysMem,
    header: &Header<'_>,
    initrd: Option<&[u8]>,
    boot: Boot<'_>,
) -> Result<Entry, LoadError> {
    let version = header.version();
    if version < VERSION_MIN {
        return Err(linux::too_old(version, "2.02"));
    }
    let setup = header.setup()?;
    if setup.len() > usize::from(HEAP_END) - 0x1000 {
        return Err(LoadError::Memory { what: "Linux setup", start: SETUP, end: SETUP + setup.len() as u64 });
    }
    let since = |first: u16, offset: usize, otherwise: u32| {
        if version >= first { header.word(offset) } else { Ok(otherwise) }
    };
    let max = since(VERSION_CMDLINE_SIZE, at::CMDLINE_SIZE, CMDLINE_SIZE)? as usize;
    let max = max.min(COMMAND_LINE_ROOM as usize - 1);
    if boot.append.len() > max {
        return Err(LoadError::CommandLine { len: boot.append.len(), max });
    }
    let body = header.body()?;
    let high = setup[at::LOADFLAGS] & linux::LOADED_HIGH != 0;
    let body_at = if high { HIGH } else { LOW };
    let end = body_at + body.len() as u64;
    if !high && end > SETUP {
        return Err(LoadError::Memory { what: "Linux kernel", start: LOW, end });
    }
    put(mem, "Linux kernel", Gpa(body_at), body)?;
    let modules: Vec<Cow<'static, [u8]>> = initrd.iter().map(|initrd| Cow::Owned(initrd.to_vec())).collect();
    let limit = u64::from(since(VERSION_INITRD_MAX, at::INITRD_ADDR_MAX, INITRD_MAX)?) + 1;
    // A kernel unpacks itself over what follows it.
    let modules = put_modules(mem, &modules, HIGH.max(end), limit, boot.reserved)?;

    let mut setup = setup.to_vec();
    let mut set = |offset: usize, bytes: &[u8]| setup[offset..offset + bytes.len()].copy_from_slice(bytes);
    set(at::VIDEO_MODE, &[0xff, 0xff]);
    set(at::TYPE_OF_LOADER, &[linux::LOADER_UNDEFINED]);
    set(at::LOADFLAGS, &[header.file[at::LOADFLAGS] | CAN_USE_HEAP]);
    set(at::HEAP_END_PTR, &(HEAP_END - 0x200).to_le_bytes());
    set(at::CMD_LINE_PTR, &(COMMAND_LINE as u32).to_le_bytes());
    if let Some((start, len)) = modules.first() {
        set(at::RAMDISK_IMAGE, &(start.0 as u32).to_le_bytes());
        set(at::RAMDISK_SIZE, &(*len as u32).to_le_bytes());
    }
    put(mem, "Linux setup", Gpa(SETUP), &setup)?;
    let command_line = [boot.append.as_bytes(), &[0]].concat();
    put(mem, "command line", Gpa(COMMAND_LINE), &command_line)?;
    bios::load(mem, boot.reserved, Start { cs: ENTRY, ip: 0, data: SEGMENT, sp: HEAP_END })
}
