//! Flat binaries: bytes at an address, started in a chosen mode.

use super::{Entry, LoadError, low, put};
use crate::firmware::entry::GDT;
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use serde::{Deserialize, Serialize};

/// How a flat binary starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlatMode {
    /// 16-bit real mode; the address must be below 1 MiB and a multiple of 16.
    Real,
    /// 32-bit protected mode without paging.
    #[default]
    Protected,
    /// 64-bit mode, the low 4 GiB mapped onto themselves.
    Long,
}

/// Where real mode ends.
const REAL_END: u64 = 0x10_0000;

pub(super) fn load(mem: &mut PhysMem, image: &[u8], at: Gpa, mode: FlatMode) -> Result<Entry, LoadError> {
    put(mem, "flat image", at, image)?;
    start(at.0, mode, mem)
}

/// How to start at `address`; long mode gets its tables.
pub(super) fn start(address: u64, mode: FlatMode, mem: &mut PhysMem) -> Result<Entry, LoadError> {
    let refuse = LoadError::Memory { what: "entry point", start: address, end: address };
    match mode {
        FlatMode::Real if address < REAL_END && address.is_multiple_of(16) => {
            Ok(Entry::Real { segment: (address >> 4) as u16, ip: 0 })
        }
        FlatMode::Real => Err(refuse),
        FlatMode::Protected => {
            let eip = u32::try_from(address).map_err(|_| refuse)?;
            Ok(Entry::Protected { eip, eax: 0, ebx: 0, esp: low::START as u32 })
        }
        FlatMode::Long => {
            put_long_mode_tables(mem)?;
            Ok(Entry::Long { rip: address, rsi: 0, rsp: low::START, cr3: low::PAGE_TABLES, gdt: low::GDT })
        }
    }
}

/// Writes a GDT, and tables that map the low 4 GiB onto themselves by 2 MiB pages.
pub(super) fn put_long_mode_tables(mem: &mut PhysMem) -> Result<(), LoadError> {
    const PRESENT_WRITE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let bytes: Vec<u8> = GDT.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    put(mem, "GDT", low::GDT, &bytes)?;
    let at = low::PAGE_TABLES.0;
    let mut tables = vec![0u64; 6 * 512];
    tables[0] = (at + 0x1000) | PRESENT_WRITE;
    for directory in 0..4 {
        tables[512 + directory] = (at + 0x2000 + directory as u64 * 0x1000) | PRESENT_WRITE;
        for entry in 0..512 {
            let page = ((directory << 9 | entry) as u64) << 21;
            tables[(2 + directory) * 512 + entry] = page | PRESENT_WRITE | LARGE;
        }
    }
    let bytes: Vec<u8> = tables.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    put(mem, "page tables", low::PAGE_TABLES, &bytes)
}
