//! The small ports that bare-metal guests and emulators agree on. None has a manual; each line names its origin.

/// Debug exit: writing `v` ends the run with exit status `v << 1 | 1`. QEMU's isa-debug-exit at its customary place.
pub const EXIT: u16 = 0xf4;
/// The registers of [`EXIT`]: accesses up to a dword start here.
pub const EXIT_END: u16 = 0xf7;
/// Debug console: bytes written are text, and it reads as its own number, by which guests find it. Bochs' port e9 hack.
pub const CONSOLE: u16 = 0xe9;
/// Shutdown: the bytes of [`SHUTDOWN_WORD`] in a row switch the machine off. Bochs' APM port.
pub const SHUTDOWN: u16 = 0x8900;
/// Power-on self-test code; the page register of an absent DMA channel, so it reads back. Also the I/O delay port.
pub const POST: u16 = 0x80;

/// What must be written to [`SHUTDOWN`].
pub const SHUTDOWN_WORD: [u8; 8] = *b"Shutdown";

/// The port's name.
#[must_use]
pub fn register_name(port: u16) -> Option<&'static str> {
    match port {
        EXIT..=EXIT_END => Some("DEBUG_EXIT"),
        CONSOLE => Some("DEBUG_CONSOLE"),
        SHUTDOWN => Some("SHUTDOWN"),
        POST => Some("POST_CODE"),
        _ => None,
    }
}
