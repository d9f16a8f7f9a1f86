//! The I/O BAR: a window through which every register can be reached without memory space. Manual 13.2.2.

use super::{E1000, spec};
use emu_core::device::DeviceCtx;
use emu_core::{IoError, Width};

impl E1000 {
    /// Reads a port at `offset` in the I/O BAR.
    pub fn io_read(&mut self, ctx: &mut DeviceCtx<'_>, offset: u64, width: Width) -> Result<u64, IoError> {
        match (offset, width) {
            (spec::IOADDR, Width::B4) => Ok(u64::from(self.regs.ioaddr)),
            (spec::IODATA, Width::B4) => self.mmio_read(ctx, u64::from(self.regs.ioaddr), Width::B4),
            (spec::IOADDR | spec::IODATA, _) => Err(IoError::Width),
            _ => Err(IoError::NoRegister),
        }
    }

    /// Writes a port at `offset` in the I/O BAR.
    pub fn io_write(
        &mut self,
        ctx: &mut DeviceCtx<'_>,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), IoError> {
        match (offset, width) {
            (spec::IOADDR, Width::B4) => {
                self.regs.ioaddr = value as u32;
                Ok(())
            }
            (spec::IODATA, Width::B4) => self.mmio_write(ctx, u64::from(self.regs.ioaddr), Width::B4, value),
            (spec::IOADDR | spec::IODATA, _) => Err(IoError::Width),
            _ => Err(IoError::NoRegister),
        }
    }
}
