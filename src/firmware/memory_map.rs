//! The memory map that every boot protocol hands over, as BIOS function E820 would give it. ACPI specification 6.5, 15.

use super::acpi;
use super::bios::EBDA;
use crate::machine::layout;
use emu_core::Gpa;
use emu_core::mem::PhysMem;
use std::ops::Range;

/// What a range is good for; the numbers are E820's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Free for the guest.
    Ram = 1,
    /// Hands off.
    Reserved = 2,
    /// ACPI tables, free once read.
    AcpiTables = 3,
}

/// A range of guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First address.
    pub base: Gpa,
    /// Bytes.
    pub len: u64,
    /// Kind.
    pub kind: MemoryKind,
}

/// Where conventional memory would end.
const VIDEO: u64 = 0xa_0000;
/// Firmware's place below 1 MiB.
const BIOS: u64 = 0xf_0000;
const MIB: u64 = 0x10_0000;
/// From the I/O APIC to the end of 4 GiB: chipset registers and ROM.
const CHIPSET: u64 = 0xfec0_0000;
const FOUR_GIB: u64 = 1 << 32;

/// The map of a machine with this memory, ascending; `reserved` is memory that is not the guest's to use.
#[must_use]
pub fn memory_map(mem: &PhysMem, reserved: &[Range<u64>]) -> Vec<MemoryRange> {
    let mut map = whole_map(mem);
    for reserved in reserved {
        map = map.into_iter().flat_map(|range| cut(range, reserved)).collect();
    }
    map
}

/// What becomes of a range of RAM with memory reserved inside it.
fn cut(range: MemoryRange, reserved: &Range<u64>) -> Vec<MemoryRange> {
    let (start, end) = (range.base.0, range.base.0 + range.len);
    if range.kind != MemoryKind::Ram || reserved.start < start || reserved.end > end {
        return vec![range];
    }
    let part =
        |part: Range<u64>, kind| MemoryRange { base: Gpa(part.start), len: part.end - part.start, kind };
    let mut parts = vec![
        part(start..reserved.start, MemoryKind::Ram),
        part(reserved.clone(), MemoryKind::Reserved),
        part(reserved.end..end, MemoryKind::Ram),
    ];
    parts.retain(|part| part.len > 0);
    parts
}

fn whole_map(mem: &PhysMem) -> Vec<MemoryRange> {
    let range = |start: u64, end: u64, kind| MemoryRange { base: Gpa(start), len: end - start, kind };
    let ram = mem.ram_ranges();
    let low_end = ram.first().map_or(MIB, |(_, end)| end.0);
    let mut map = vec![
        range(0, EBDA, MemoryKind::Ram),
        range(EBDA, VIDEO, MemoryKind::Reserved),
        range(acpi::RSDP.0, acpi::END.0, MemoryKind::AcpiTables),
        range(BIOS, MIB, MemoryKind::Reserved),
    ];
    if low_end > MIB {
        map.push(range(MIB, low_end, MemoryKind::Ram));
    }
    map.push(range(layout::ECAM.0, layout::ECAM.0 + layout::ECAM_SIZE, MemoryKind::Reserved));
    map.push(range(CHIPSET, FOUR_GIB, MemoryKind::Reserved));
    map.extend(ram.iter().skip(1).map(|(start, end)| range(start.0, end.0, MemoryKind::Ram)));
    map
}
