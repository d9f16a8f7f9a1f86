//! Registers of the I/O APIC: Intel 82093AA data sheet (order 290566), section 3; EOI register and boot configuration
//! as later I/O controller hubs have them (ICH9 data sheet, 13.5); remappable entries: VT-d specification, 5.1.5.1.

/// Input pins.
pub const PINS: usize = 24;
/// Bytes of the register window.
pub const WINDOW: u64 = 0x1000;

/// IOREGSEL (3.1.1), RW, bits 7:0: which register [`IOWIN`] is.
pub const IOREGSEL: u64 = 0x00;
/// IOWIN (3.1.2), RW, 32 bits.
pub const IOWIN: u64 = 0x10;
/// EOI (ICH9 13.5.4), WO, bits 7:0: ends the level-triggered interrupts with that vector.
pub const EOI: u64 = 0x40;

/// Index: identification (3.2.1), RW, bits 27:24.
pub const ID: u8 = 0x00;
/// Index: version (3.2.2), RO.
pub const VERSION: u8 = 0x01;
/// Index: arbitration id (3.2.3), RO, bits 27:24; a copy of the id.
pub const ARBITRATION: u8 = 0x02;
/// Index: boot configuration, RW, bit 0: messages go over the system bus, not the APIC bus.
pub const BOOT: u8 = 0x03;
/// Index: the first redirection table entry's low half; then high, low, high...
pub const REDIRECTION: u8 = 0x10;
/// Index: the last one's high half.
pub const REDIRECTION_LAST: u8 = 0x3f;

/// [`VERSION`]: 0x20 says that [`EOI`] exists; bits 23:16 are the index of the last entry.
pub const VERSION_VALUE: u32 = 0x20 | (PINS as u32 - 1) << 16;

/// Redirection entry (3.2.4): vector, bits 7:0.
pub const RTE_VECTOR: u64 = 0xff;
/// Redirection entry: delivery mode.
pub const RTE_MODE: u64 = 7 << 8;
/// Redirection entry: logical destination; in the remappable format interrupt index bit 15.
pub const RTE_LOGICAL: u64 = 1 << 11;
/// Redirection entry: delivery status, RO; messages leave at once, so always 0.
pub const RTE_STATUS: u64 = 1 << 12;
/// Redirection entry: active low.
pub const RTE_LOW_ACTIVE: u64 = 1 << 13;
/// Redirection entry: remote IRR, RO: a level-triggered interrupt is on its way or in service.
pub const RTE_REMOTE_IRR: u64 = 1 << 14;
/// Redirection entry: level triggered.
pub const RTE_LEVEL: u64 = 1 << 15;
/// Redirection entry: masked.
pub const RTE_MASKED: u64 = 1 << 16;
/// Redirection entry, remappable format flag (VT-d): bits 63:49 are then interrupt index bits 14:0.
pub const RTE_REMAPPABLE: u64 = 1 << 48;
/// Redirection entry: what software may write.
pub const RTE_WRITABLE: u64 = 0xffff_0000_0001_afff & !RTE_STATUS;

/// The register's name as the memory map shows it.
#[must_use]
pub fn register_name(offset: u64) -> Option<&'static str> {
    match offset {
        IOREGSEL => Some("IOREGSEL"),
        IOWIN => Some("IOWIN"),
        EOI => Some("EOI"),
        _ => None,
    }
}
