//! Who may use I/O ports: IOPL, and the bitmap in the TSS. SDM vol. 1, 19.5.

use super::descriptor::kind;
use crate::access::Width;
use crate::cpu::{Cpu, CpuBus, Fault};

/// Where a TSS says where its bitmap is (32- and 64-bit alike).
const MAP_BASE: u64 = 0x66;

impl Cpu {
    /// #GP(0) unless the program may access `width` bytes of ports from `port` on.
    pub(crate) fn check_io(&mut self, bus: &mut dyn CpuBus, port: u16, width: Width) -> Result<(), Fault> {
        let privileged = self.cpl <= self.iopl() && !self.vm86();
        if !self.protected() && !self.vm86() || privileged {
            return Ok(());
        }
        let kind = self.tr.rights as u8 & 0xf;
        let limit = u64::from(self.tr.limit);
        if !matches!(kind, kind::TSS | kind::TSS_BUSY) || limit < MAP_BASE + 1 {
            return Err(Fault::GP0);
        }
        let at = self.implicit(self.tr.base.wrapping_add(MAP_BASE));
        let map = self.read_implicit(bus, at, Width::B2)?;
        let byte = map + u64::from(port) / 8;
        // Two bytes are read even where one would do, so the map ends with a byte of ones.
        if byte + 1 > limit {
            return Err(Fault::GP0);
        }
        let at = self.implicit(self.tr.base.wrapping_add(byte));
        let bits = self.read_implicit(bus, at, Width::B2)?;
        let mask = (1 << width.bytes()) - 1;
        if bits >> (port % 8) & mask == 0 { Ok(()) } else { Err(Fault::GP0) }
    }
}
