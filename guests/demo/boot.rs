//! How the guest comes to life: the entry code and what the loader tells about the machine.
//!
//! The protocol is PVH: Xen docs/misc/pvh.pandoc, structures in xen/include/public/arch-x86/hvm/start_info.h.

use core::arch::global_asm;
use core::ffi::CStr;

global_asm!(include_str!("boot.s"), main = sym crate::demo_main);

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with the top bit of the E set.
const START_INFO_MAGIC: u32 = 0x336e_c578;

/// A command line longer than this is cut: nothing that we understand is that long.
const COMMAND_LINE_MAX: usize = 2048;

/// `struct hvm_start_info`, version 0 part.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    modules_paddr: u64,
    cmdline_paddr: u64,
}

/// The command line that the loader left for us; empty if there is none.
///
/// `start_info` is the physical address that was in EBX at the entry.
pub fn command_line(start_info: u64) -> &'static str {
    if start_info == 0 {
        return "";
    }
    // SAFETY: PVH guarantees that EBX points to this structure, and that it and the command line stay in
    // place until the guest reuses their memory, which we never do. The identity map covers both.
    let info = unsafe { &*(start_info as *const StartInfo) };
    if info.magic != START_INFO_MAGIC || info.cmdline_paddr == 0 {
        return "";
    }
    // SAFETY: as above; a slice of this length cannot leave the mapped low 4 GiB unless the loader placed it
    // at its very end.
    let bytes = unsafe { core::slice::from_raw_parts(info.cmdline_paddr as *const u8, COMMAND_LINE_MAX) };
    let text = CStr::from_bytes_until_nul(bytes).map(CStr::to_bytes).unwrap_or(bytes);
    core::str::from_utf8(text).unwrap_or("")
}
