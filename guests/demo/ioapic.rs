//! The I/O APIC: one redirection entry, for the NIC's pin.
//!
//! Intel 82093AA data sheet, 3.1 (register access) and 3.2.4 (redirection table); the remappable format of an
//! entry is in the VT-d specification, 5.1.5.1.

use crate::mem::Mmio;
use crate::vtd::remap::Handle;

const REGISTERS: Mmio = Mmio::new(0xfec0_0000);
const INDEX: u64 = 0x00;
const DATA: u64 = 0x10;

const VERSION: u32 = 0x01;
const REDIRECTION_TABLE: u32 = 0x10;

const ACTIVE_LOW: u64 = 1 << 13;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Remappable format: bit 48 says so, 63:49 and 11 are the handle.
const REMAPPABLE: u64 = 1 << 48;

fn read(register: u32) -> u32 {
    REGISTERS.write32(INDEX, register);
    REGISTERS.read32(DATA)
}

fn write(register: u32, value: u32) {
    REGISTERS.write32(INDEX, register);
    REGISTERS.write32(DATA, value);
}

fn write_entry(pin: u32, entry: u64) {
    let register = REDIRECTION_TABLE + 2 * pin;
    // Masked while its halves do not belong together.
    write(register, MASKED as u32);
    write(register + 1, (entry >> 32) as u32);
    write(register, entry as u32);
}

/// How many pins there are.
pub fn pins() -> u32 {
    (read(VERSION) >> 16 & 0xff) + 1
}

/// Masks every pin.
pub fn mask_all() {
    (0..pins()).for_each(|pin| write_entry(pin, MASKED));
}

/// Routes a PCI interrupt (level, active low) to `vector` on the CPU with APIC id `destination`.
pub fn route_pci(pin: u8, vector: u8, destination: u8) {
    write_entry(u32::from(pin), u64::from(destination) << 56 | LEVEL | ACTIVE_LOW | u64::from(vector));
}

/// Routes a PCI interrupt through the interrupt remapping table's entry `handle`. The vector in the entry
/// must be the one that the table gives, or the EOI message would not find this pin (VT-d specification,
/// 5.1.5.1).
pub fn route_pci_remapped(pin: u8, vector: u8, handle: Handle) {
    let entry = u64::from(handle.low_15()) << 49 | u64::from(handle.bit_15()) << 11 | REMAPPABLE;
    write_entry(u32::from(pin), entry | LEVEL | ACTIVE_LOW | u64::from(vector));
}
