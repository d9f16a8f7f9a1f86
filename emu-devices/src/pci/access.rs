//! The two ways from the processor to configuration space, and what every access leaves in the trace.
//!
//! Mechanism #1 by ports 0xCF8/0xCFC (PCI Local Bus 3.0, 3.2.2.3.2) and ECAM (PCI Express Base 4.0, 7.2.2). Which
//! function answers is the board's knowledge: it looks up [`ConfigAddress::bdf`] and calls [`read`] or [`write`].

use super::PciFunction;
use crate::RestoreError;
use emu_core::device::DeviceCtx;
use emu_core::trace::TraceEvent;
use emu_core::{Bdf, IoError, Width};
use serde::{Deserialize, Serialize};

/// The address port.
pub const CONFIG_ADDRESS: u16 = 0xcf8;
/// The first of the four data ports.
pub const CONFIG_DATA: u16 = 0xcfc;
/// Bytes of ECAM for one bus.
pub const ECAM_BUS_SIZE: u64 = 1 << 20;

const ENABLE: u32 = 1 << 31;
/// Bits 30:24 and 1:0 of the address port read 0.
const ADDRESS_MASK: u32 = 0x80ff_fffc;

/// One place in configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigAddress {
    /// The function.
    pub bdf: Bdf,
    /// The first byte, 0-4095.
    pub offset: u16,
}

impl ConfigAddress {
    /// Decodes an offset into the ECAM window; `None` for accesses that cross a dword or are wider, which the bridge
    /// does not carry.
    #[must_use]
    pub fn from_ecam(offset: u64, width: Width) -> Option<Self> {
        let bdf = Bdf(u16::try_from(offset >> 12).ok()?);
        fits_dword(offset, width).then_some(Self { bdf, offset: (offset & 0xfff) as u16 })
    }
}

fn fits_dword(offset: u64, width: Width) -> bool {
    (offset & 3) + width.bytes() <= 4
}

/// Mechanism #1: the address latch in front of the data ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigPorts {
    address: u32,
}

impl ConfigPorts {
    /// Reads the latch. Only a dword access at 0xCF8 means it; bytes there (0xCF9 is the reset register) are other
    /// chips' ports.
    pub fn read_address(&self, port: u16, width: Width) -> Result<u32, IoError> {
        if port == CONFIG_ADDRESS && width == Width::B4 { Ok(self.address) } else { Err(IoError::NoRegister) }
    }

    /// Writes the latch, under the same rule.
    pub fn write_address(&mut self, port: u16, width: Width, value: u32) -> Result<(), IoError> {
        if port != CONFIG_ADDRESS || width != Width::B4 {
            return Err(IoError::NoRegister);
        }
        self.address = value & ADDRESS_MASK;
        Ok(())
    }

    /// Where an access to the data ports 0xCFC-0xCFF goes; `None` while the latch is not enabled, or if the access
    /// leaves the dword.
    #[must_use]
    pub fn data_target(&self, port: u16, width: Width) -> Option<ConfigAddress> {
        let byte = port.checked_sub(CONFIG_DATA).filter(|byte| *byte < 4)?;
        if self.address & ENABLE == 0 || !fits_dword(u64::from(byte), width) {
            return None;
        }
        let bdf = Bdf((self.address >> 8) as u16);
        Some(ConfigAddress { bdf, offset: (self.address & 0xfc) as u16 + byte })
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: Self) -> Result<(), RestoreError> {
        RestoreError::unless(state.address & !ADDRESS_MASK == 0, "pci", "reserved bits in CONFIG_ADDRESS")?;
        *self = state;
        Ok(())
    }
}

/// Reads configuration space of `function`, or of nobody: then all-ones, as a master abort ends. Emits `PciRead`.
///
/// `ctx` is the function's own; for nobody it is the board's, in the name of `Slot::Pci`.
pub fn read(
    function: Option<&mut dyn PciFunction>,
    ctx: &mut DeviceCtx<'_>,
    at: ConfigAddress,
    width: Width,
) -> u32 {
    let value = function.map_or(width.mask() as u32, |function| function.config_read(ctx, at.offset, width));
    ctx.trace(TraceEvent::PciRead { bdf: at.bdf, offset: at.offset, width, value });
    value
}

/// Writes configuration space; answers whether the function now decodes other addresses than before, so that the
/// board must lay its map anew. Emits `PciWrite`, which becomes the cause of whatever the write sets off.
pub fn write(
    function: Option<&mut dyn PciFunction>,
    ctx: &mut DeviceCtx<'_>,
    at: ConfigAddress,
    width: Width,
    value: u32,
) -> bool {
    let record = ctx.trace(TraceEvent::PciWrite { bdf: at.bdf, offset: at.offset, width, value });
    let Some(function) = function else { return false };
    let before = function.windows();
    let cause = ctx.set_cause(Some(record));
    function.config_write(ctx, at.offset, width, value);
    ctx.set_cause(cause);
    before != function.windows()
}
