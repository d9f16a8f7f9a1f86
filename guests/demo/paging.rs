//! The CPU's page tables: the low 4 GiB, mapped to themselves by 2 MiB pages of three kinds.
//!
//! Intel SDM Vol. 3A, 4.5 (4-level paging), Tables 4-15 to 4-18 (entries), 12.5.2 (memory types by PAT, PCD,
//! PWT).

use crate::cpu;
use crate::mem::Page;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
/// Selects, with PCD, the strong uncacheable memory type of the PAT's reset value.
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const PAGE_SIZE_2M: u64 = 1 << 7;
const EXECUTE_DISABLE: u64 = 1 << 63;

const SIZE_2M: u64 = 2 << 20;
const ENTRIES: usize = 512;
const DIRECTORIES: usize = 4;

/// Where link.ld puts code and constants.
const CODE_START: u64 = 2 << 20;
const CODE_END: u64 = 4 << 20;
/// From here up to 4 GiB there are devices only.
const DEVICES_START: u64 = 3 << 30;

static PML4: Page = Page::new();
static PDPT: Page = Page::new();
static PAGE_DIRECTORIES: [Page; DIRECTORIES] = [const { Page::new() }; DIRECTORIES];

fn attributes(address: u64) -> u64 {
    let base = PRESENT | PAGE_SIZE_2M;
    match address {
        CODE_START..CODE_END => base,
        DEVICES_START.. => base | WRITABLE | EXECUTE_DISABLE | CACHE_DISABLE | WRITE_THROUGH,
        _ => base | WRITABLE | EXECUTE_DISABLE,
    }
}

/// Builds the tables and switches to them.
pub fn init() {
    PML4.write64(0, PDPT.phys() | PRESENT | WRITABLE);
    let mut address = 0;
    for (index, directory) in PAGE_DIRECTORIES.iter().enumerate() {
        PDPT.write64(index, directory.phys() | PRESENT | WRITABLE);
        for entry in 0..ENTRIES {
            directory.write64(entry, address | attributes(address));
            address += SIZE_2M;
        }
    }
    // SAFETY: everything stays where it was; code is not written to, and data is not executed.
    unsafe { cpu::load_cr3(PML4.phys()) }
}
