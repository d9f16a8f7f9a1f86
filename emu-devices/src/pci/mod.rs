//! PCI configuration space: the function's side, the two ways to reach it, the two bridges that every PC has and one to
//! conventional PCI.
//!
//! The functions themselves are fields of the board's device struct. The board finds the one that owns a
//! [`emu_core::Bdf`], hands it to [`read`] or [`write`], which emit the `PciRead` and `PciWrite` records, and lays its
//! address map anew from [`PciFunction::windows`] whenever [`write`] says so. Windows may overlap RAM or each other
//! while firmware sizes BARs; the board decides who wins.

mod access;
mod bar;
mod bridge;
mod config;
mod host_bridge;
mod lpc;
pub mod spec;
#[cfg(test)]
mod tests;

pub use access::{CONFIG_ADDRESS, CONFIG_DATA, ConfigAddress, ConfigPorts, ECAM_BUS_SIZE, read, write};
pub use bar::{BARS, BarKind, Space, Window, Windows};
pub use bridge::PciBridge;
pub use config::{CONFIG_SIZE, ConfigSpace, ConfigState, Identity};
pub use host_bridge::{ECAM_WINDOW, HostBridge};
pub use lpc::{LpcBridge, PM_WINDOW};

use emu_core::Width;
use emu_core::device::DeviceCtx;

/// A function on the bus.
pub trait PciFunction {
    /// Its configuration space.
    fn config(&self) -> &ConfigSpace;

    /// Software reads `width` (at most 4) bytes at `offset`.
    fn config_read(&mut self, ctx: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32;

    /// Software writes.
    fn config_write(&mut self, ctx: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32);

    /// The addresses that it answers now.
    fn windows(&self) -> Windows {
        self.config().windows()
    }
}
