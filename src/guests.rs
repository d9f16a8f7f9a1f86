//! Guests that ship inside the program.

/// The demo guest, an ELF64 image that is entered by PVH: our own driver of e1000 and VT-d. Its source is in `guests/demo`, and so is
/// the list of its command-line options; `build.rs` compiles it.
pub static DEMO_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo.elf"));
