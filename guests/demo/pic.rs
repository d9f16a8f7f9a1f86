//! The two 8259A interrupt controllers: silenced, since all interrupts come through the APICs.
//!
//! Intel 8259A data sheet, "Operation Command Words": OCW1, the mask, is at the odd port.

use crate::cpu::outb;

const PRIMARY_MASK: u16 = 0x21;
const SECONDARY_MASK: u16 = 0xa1;

/// Masks all 16 lines.
pub fn mask_all() {
    outb(SECONDARY_MASK, 0xff);
    outb(PRIMARY_MASK, 0xff);
}
