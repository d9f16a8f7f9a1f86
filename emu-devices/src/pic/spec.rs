//! The 8259A pair of a PC: Intel 8259A data sheet (order 231468), initialization and operation command words; ELCR:
//! Intel 82371SB (PIIX3) data sheet, 2.5.1. Ports are absolute numbers; all registers are bytes.

/// Master, A0 = 0: ICW1, OCW2 and OCW3 written; IRR, ISR or the poll byte read.
pub const MASTER_COMMAND: u16 = 0x20;
/// Master, A0 = 1: ICW2-4, then the interrupt mask.
pub const MASTER_DATA: u16 = 0x21;
/// Slave, A0 = 0.
pub const SLAVE_COMMAND: u16 = 0xa0;
/// Slave, A0 = 1.
pub const SLAVE_DATA: u16 = 0xa1;
/// Edge/level control for IRQ 0-7, RW.
pub const MASTER_ELCR: u16 = 0x4d0;
/// Edge/level control for IRQ 8-15, RW.
pub const SLAVE_ELCR: u16 = 0x4d1;

/// ICW1: this is one.
pub const ICW1: u8 = 1 << 4;
/// ICW1: ICW4 will come.
pub const ICW1_NEEDS_ICW4: u8 = 1 << 0;
/// ICW1: single, no ICW3 will come.
pub const ICW1_SINGLE: u8 = 1 << 1;
/// ICW1: all inputs are level-triggered.
pub const ICW1_LEVEL: u8 = 1 << 3;

/// ICW4: automatic end of interrupt.
pub const ICW4_AUTO_EOI: u8 = 1 << 1;
/// ICW4: special fully nested mode.
pub const ICW4_FULLY_NESTED: u8 = 1 << 4;

/// OCW3, with bit 4 clear: this is one.
pub const OCW3: u8 = 1 << 3;
/// OCW3: read ISR, with [`OCW3_READ`].
pub const OCW3_ISR: u8 = 1 << 0;
/// OCW3: bit 0 counts.
pub const OCW3_READ: u8 = 1 << 1;
/// OCW3: poll.
pub const OCW3_POLL: u8 = 1 << 2;
/// OCW3: special mask mode, with [`OCW3_MASK_MODE`].
pub const OCW3_SPECIAL_MASK: u8 = 1 << 5;
/// OCW3: bit 5 counts.
pub const OCW3_MASK_MODE: u8 = 1 << 6;

/// The master's input that the slave drives.
pub const CASCADE: u8 = 2;
/// The input that a chip claims when asked for an interrupt that has gone.
pub const SPURIOUS: u8 = 7;
/// ELCR bits that can be set, master: timer, keyboard and cascade are always edge-triggered.
pub const MASTER_ELCR_VALID: u8 = 0xf8;
/// ELCR bits that can be set, slave: clock (8) and coprocessor (13) are always edge-triggered.
pub const SLAVE_ELCR_VALID: u8 = 0xde;

/// The port's name.
#[must_use]
pub fn register_name(port: u16) -> Option<&'static str> {
    match port {
        MASTER_COMMAND => Some("PIC1_COMMAND"),
        MASTER_DATA => Some("PIC1_DATA"),
        SLAVE_COMMAND => Some("PIC2_COMMAND"),
        SLAVE_DATA => Some("PIC2_DATA"),
        MASTER_ELCR => Some("ELCR1"),
        SLAVE_ELCR => Some("ELCR2"),
        _ => None,
    }
}
