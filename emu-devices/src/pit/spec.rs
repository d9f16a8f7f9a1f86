//! The 8254 timer of a PC and port 0x61: Intel 8254 data sheet (order 231164), "Programming the 8254" and "Mode
//! definitions"; port 0x61 (NMI status and control): Intel 82371SB (PIIX3) data sheet, 2.5.5. Ports are absolute
//! numbers; all registers are bytes.

/// What all three counters count, in Hz: 105/88 MHz to the nearest.
pub const HZ: u64 = 1_193_182;

/// Counter 0: IRQ 0.
pub const COUNTER0: u16 = 0x40;
/// Counter 2: speaker, and what calibration loops watch.
pub const COUNTER2: u16 = 0x42;
/// Control word, WO.
pub const CONTROL: u16 = 0x43;
/// NMI status and control: counter 2's gate and output, refresh.
pub const PORT_B: u16 = 0x61;

/// Control word: counter in bits 7:6; 3 is the read-back command.
pub const CONTROL_COUNTER_SHIFT: u8 = 6;
/// Control word: access in bits 5:4; 0 latches the count.
pub const CONTROL_ACCESS_SHIFT: u8 = 4;
/// Control word: mode in bits 3:1.
pub const CONTROL_MODE_SHIFT: u8 = 1;
/// Control word: count in BCD.
pub const CONTROL_BCD: u8 = 1 << 0;
/// Read-back command: do not latch the count.
pub const READ_BACK_NO_COUNT: u8 = 1 << 5;
/// Read-back command: do not latch the status.
pub const READ_BACK_NO_STATUS: u8 = 1 << 4;

/// Status byte: output.
pub const STATUS_OUT: u8 = 1 << 7;
/// Status byte: the count written has not been loaded yet.
pub const STATUS_NULL: u8 = 1 << 6;

/// Port 0x61: counter 2's gate, RW.
pub const PORT_B_GATE2: u8 = 1 << 0;
/// Port 0x61: speaker data, and parity and channel check enables, RW and kept. No speaker is connected.
pub const PORT_B_KEPT: u8 = 0x0f;
/// Port 0x61: toggles with every refresh request, RO.
pub const PORT_B_REFRESH: u8 = 1 << 4;
/// Port 0x61: counter 2's output, RO.
pub const PORT_B_OUT2: u8 = 1 << 5;
/// Clocks between refresh requests, 15 microseconds: what every BIOS programs counter 1 for.
pub const REFRESH_CLOCKS: u64 = 18;

/// The port's name.
#[must_use]
pub fn register_name(port: u16) -> Option<&'static str> {
    match port {
        0x40 => Some("PIT_COUNTER0"),
        0x41 => Some("PIT_COUNTER1"),
        0x42 => Some("PIT_COUNTER2"),
        CONTROL => Some("PIT_CONTROL"),
        PORT_B => Some("PORT_61"),
        _ => None,
    }
}
