//! A BIOS of our own for images that start in real mode: Linux's 16-bit boot protocol.
//!
//! It is guest code, assembled here, put where a chipset shadows its ROM (0xF0000), and run by the processor from
//! its power-on code on: what a service does costs time, can be single-stepped and is in the trace like anything else. A
//! service that is not here answers carry set and AH=86h. There are no disks, no video modes but 80x25 text (in RAM at
//! 0xB8000; there is no adapter), and no keyboard but the serial port, which is also where teletype output goes.
//!
//! Each interrupt has a file. Manuals: IBM PC AT Technical Reference (BIOS listing: services, IVT, BIOS data area); Phoenix
//! "System BIOS for IBM PCs, Compatibles, and EISA Computers"; ACPI 6.5, 15.1 (E820); PCI BIOS Specification 2.1.

mod clock;
mod end;
mod irq;
mod keyboard;
mod pci;
mod post;
mod rom;
mod serial;
mod static_services;
mod system;
#[cfg(test)]
mod tests;
mod video;

use super::{Entry, LoadError, memory_map, put};
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use iced_x86::IcedError;
use iced_x86::code_asm::ah;
use rom::{Carry, Rom, at, code};
use std::ops::Range;

/// Where the ROM is in memory.
const BASE: Gpa = Gpa(0xf_0000);
/// The same as a segment.
const SEGMENT: u16 = 0xf000;
const SIZE: usize = 0x1_0000;

/// Where the extended BIOS data area starts, and so where conventional memory ends.
pub(super) const EBDA: u64 = 0x9_fc00;

/// What the BIOS jumps to when it is done: a loader's work is in memory by then. All data segments are `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// CS and IP.
    pub(super) cs: u16,
    pub(super) ip: u16,
    /// SS, DS, ES, FS and GS.
    pub(super) data: u16,
    pub(super) sp: u16,
}

/// Puts the BIOS into memory, told what to start; answers how it starts itself.
pub(super) fn load(mem: &mut PhysMem, reserved: &[Range<u64>], start: Start) -> Result<Entry, LoadError> {
    let (rom, power_on) = image(mem, reserved, start)?;
    put(mem, "BIOS", BASE, &rom)?;
    Ok(Entry::Real { segment: SEGMENT, ip: power_on })
}

/// The ROM, and the offset of its power-on code.
fn image(mem: &PhysMem, reserved: &[Range<u64>], start: Start) -> Result<(Vec<u8>, u16), IcedError> {
    let mut rom = Rom::new()?;
    let serial = serial::routines(&mut rom)?;
    let video = video::install(&mut rom, serial.put)?;
    let end = end::install(&mut rom, &video)?;
    irq::install(&mut rom, end.exception)?;
    static_services::install(&mut rom)?;
    system::install(&mut rom)?;
    keyboard::install(&mut rom, serial.get)?;
    let clock = clock::install(&mut rom)?;
    let pci = pci::install(&mut rom)?;
    time_and_pci(&mut rom, &clock, &pci)?;
    let power_on = post::code(
        &mut rom,
        &post::Parts {
            serial: serial.init,
            screen: video.clear,
            print: video.print,
            set_clock: clock.set,
            set_up_pci: pci.set_up,
        },
    )?;
    let mut image = rom.finish(end.reset)?;
    put_tables(&mut image.bytes, mem, reserved, start);
    let power_on = image.offset_of(&power_on)?;
    Ok((image.bytes, power_on))
}

/// Int 1Ah, which two kinds of services share.
fn time_and_pci(rom: &mut Rom, clock: &clock::Clock, pci: &pci::Pci) -> Result<(), IcedError> {
    rom.handler(0x1a)?;
    rom.enter()?;
    code! { rom.a => cmp(ah, 0xb1); je(pci.functions); }
    for (function, label) in &clock.functions {
        code! { rom.a => cmp(ah, *function); je(*label); }
    }
    rom.a.mov(ah, 0x86)?;
    rom.leave(Carry::Set)
}

/// What the services say of this machine's memory, and what the power-on code starts.
fn put_tables(rom: &mut [u8], mem: &PhysMem, reserved: &[Range<u64>], start: Start) {
    const MIB: u64 = 1 << 20;
    let mut set = |offset: u16, bytes: &[u8]| {
        let offset = usize::from(offset);
        rom[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    for (index, value) in [start.ip, start.cs, start.sp, start.data].into_iter().enumerate() {
        set(at::START + index as u16 * 2, &value.to_le_bytes());
    }
    let map = memory_map(mem, reserved);
    set(at::E820_COUNT, &[map.len().min(usize::from(at::E820_MAX)) as u8]);
    for (index, range) in map.iter().take(usize::from(at::E820_MAX)).enumerate() {
        let offset = at::E820 + index as u16 * at::E820_ENTRY;
        set(offset, &range.base.0.to_le_bytes());
        set(offset + 8, &range.len.to_le_bytes());
        set(offset + 16, &(range.kind as u32).to_le_bytes());
    }
    let end = mem.ram_ranges().first().map_or(MIB, |(_, end)| end.0);
    let words = [
        // 88h speaks of the first 64 MiB alone.
        (at::EXTENDED_KIB, (end.min(64 * MIB) - MIB) >> 10),
        (at::BELOW_16M_KIB, (end.min(16 * MIB) - MIB) >> 10),
        (at::ABOVE_16M_64KIB, end.saturating_sub(16 * MIB) >> 16),
    ];
    for (offset, value) in words {
        set(offset, &(value as u16).to_le_bytes());
    }
}
