//! The 8042 keyboard controller of the IBM PC AT (Technical Reference, "Keyboard controller") and system control port A
//! of the PS/2. Ports are absolute numbers; all registers are bytes.

/// Output buffer (RO) and input buffer (WO).
pub const DATA: u16 = 0x60;
/// Status (RO) and command (WO).
pub const COMMAND: u16 = 0x64;
/// System control port A: A20 gate and fast reset, RW.
pub const PORT_A: u16 = 0x92;

/// Status: the output buffer is full.
pub const STATUS_OUTPUT: u8 = 1 << 0;
/// Status: the system flag of the command byte.
pub const STATUS_SYSTEM: u8 = 1 << 2;
/// Status: the last write was a command.
pub const STATUS_COMMAND: u8 = 1 << 3;
/// Status: the keyboard is not locked.
pub const STATUS_UNLOCKED: u8 = 1 << 4;
/// Status: the device did not answer.
pub const STATUS_TIMEOUT: u8 = 1 << 6;

/// Command byte (byte 0 of the controller's RAM): keyboard interrupt.
pub const MODE_INTERRUPT: u8 = 1 << 0;
/// Command byte: system flag.
pub const MODE_SYSTEM: u8 = 1 << 2;
/// Command byte: keyboard disabled.
pub const MODE_DISABLED: u8 = 1 << 4;
/// Command byte after reset and self-test: system flag, keyboard and auxiliary device disabled, translation.
pub const MODE_RESET: u8 = 0x74;

/// Output port: 0 resets the processor.
pub const OUTPUT_NO_RESET: u8 = 1 << 0;
/// Output port: A20 gate.
pub const OUTPUT_A20: u8 = 1 << 1;

/// Port A: a rise resets.
pub const PORT_A_RESET: u8 = 1 << 0;
/// Port A: A20 gate.
pub const PORT_A_A20: u8 = 1 << 1;

/// What a device that does not answer leaves in the output buffer: "resend".
pub const NO_ANSWER: u8 = 0xfe;

/// The port's name.
#[must_use]
pub fn register_name(port: u16) -> Option<&'static str> {
    match port {
        DATA => Some("KBC_DATA"),
        COMMAND => Some("KBC_COMMAND"),
        PORT_A => Some("PORT_92"),
        _ => None,
    }
}
