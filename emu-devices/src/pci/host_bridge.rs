//! The host bridge at 00:00.0: an Intel Q35 memory controller hub (8086:29c0), as far as firmware and operating
//! systems look. Intel 3 Series Express Chipset Family datasheet (316966), chapter 5.
//!
//! What matters is PCIEXBAR, which places ECAM. Memory attributes and SMRAM are kept but decide nothing here.

use super::bar::{Space, Window, Windows};
use super::config::{ConfigSpace, ConfigState, Identity};
use super::{ECAM_BUS_SIZE, PciFunction, spec};
use crate::RestoreError;
use emu_core::Width;
use emu_core::device::DeviceCtx;

/// Number of the host bridge's only window: ECAM.
pub const ECAM_WINDOW: u8 = 0;

/// PCIEXBAR: base bits 35:26, length and enable.
const PCIEXBAR_RW: u64 = 0xf_fc00_0007;

/// The host bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBridge {
    pub(super) config: ConfigSpace,
}

impl HostBridge {
    /// With ECAM for 256 buses at `ecam_base` (a multiple of 256 MiB below 64 GiB; `None` leaves it off), and low
    /// memory that ends at `low_memory_end`: what firmware would have written.
    #[must_use]
    pub fn new(ecam_base: Option<u64>, low_memory_end: u64) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x29c0,
            revision: 2,
            class: 0x06_0000,
            subsystem_vendor: 0x8086,
            subsystem: 0x29c0,
        });
        let command = spec::COMMAND_MEMORY | spec::COMMAND_MASTER;
        config.preset(spec::COMMAND, Width::B2, u32::from(command));
        config.allow(spec::COMMAND, Width::B2, u32::from(spec::COMMAND_SERR));
        config.preset(spec::STATUS, Width::B2, 0x0090);
        config.allow(spec::MCH_MCHBAR, Width::B4, 0xffff_c001);
        config.allow(spec::MCH_MCHBAR + 4, Width::B4, 0xf);
        config.preset(spec::MCH_GGC, Width::B2, 0x30);
        config.allow(spec::MCH_GGC, Width::B2, 0x72);
        config.preset(spec::MCH_DEVEN, Width::B4, 1);
        let pciexbar = ecam_base.map_or(0, |base| base & PCIEXBAR_RW & !7 | spec::PCIEXBAR_ENABLE);
        config.preset(spec::MCH_PCIEXBAR, Width::B4, pciexbar as u32);
        config.preset(spec::MCH_PCIEXBAR + 4, Width::B4, (pciexbar >> 32) as u32);
        config.allow(spec::MCH_PCIEXBAR, Width::B4, PCIEXBAR_RW as u32);
        config.allow(spec::MCH_PCIEXBAR + 4, Width::B4, (PCIEXBAR_RW >> 32) as u32);
        config.allow(spec::MCH_DMIBAR, Width::B4, 0xffff_f001);
        config.allow(spec::MCH_DMIBAR + 4, Width::B4, 0xf);
        config.preset(spec::MCH_PAM0, Width::B1, 0x30);
        for pam in 1..7 {
            config.preset(spec::MCH_PAM0 + pam, Width::B1, 0x33);
            config.allow(spec::MCH_PAM0 + pam, Width::B1, 0x33);
        }
        config.allow(spec::MCH_PAM0, Width::B1, 0x30);
        config.preset(spec::MCH_SMRAM, Width::B1, 0x02);
        config.allow(spec::MCH_SMRAM, Width::B1, 0x78);
        let low_mib = u32::try_from(low_memory_end >> 20).unwrap_or(0xfff).min(0xfff);
        config.preset(spec::MCH_TOLUD, Width::B2, low_mib << 4);
        config.allow(spec::MCH_TOLUD, Width::B2, 0xfff0);
        Self { config }
    }

    /// Where ECAM lies, if it is enabled with a length that there is.
    #[must_use]
    pub fn ecam(&self) -> Option<Window> {
        let low = u64::from(self.config.read(spec::MCH_PCIEXBAR, Width::B4));
        let register = u64::from(self.config.read(spec::MCH_PCIEXBAR + 4, Width::B4)) << 32 | low;
        let buses = match (register & spec::PCIEXBAR_LENGTH) >> 1 {
            0 => 256,
            1 => 128,
            2 => 64,
            _ => return None,
        };
        let size = buses * ECAM_BUS_SIZE;
        let base = register & !7 & !(size - 1);
        (register & spec::PCIEXBAR_ENABLE != 0).then_some(Window {
            bar: ECAM_WINDOW,
            space: Space::Memory,
            base,
            size,
        })
    }

    /// Back to what firmware leaves.
    pub fn reset(&mut self) {
        self.config.reset();
    }

    /// What a snapshot keeps.
    #[must_use]
    pub fn state(&self) -> ConfigState {
        self.config.state()
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: &ConfigState) -> Result<(), RestoreError> {
        self.config.restore(state)
    }
}

impl PciFunction for HostBridge {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_read(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(offset, width, value);
    }

    fn windows(&self) -> Windows {
        [self.ecam(), None, None, None, None, None]
    }
}
