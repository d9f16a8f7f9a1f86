//! PCI configuration space: which function answers a place, by ports and by ECAM.

use super::board::{Board, Port};
use super::layout;
use super::platform::Platform;
use emu_core::cpu::Reply;
use emu_core::device::DeviceCtx;
use emu_core::mem::Region;
use emu_core::{Bdf, Gpa, Slot, Width};
use emu_devices::pci::{self, ConfigAddress, PciFunction, Space};

impl Platform {
    /// The function at a place, what it is lent, and the call.
    fn with_function<R>(
        &mut self,
        bdf: Bdf,
        call: impl FnOnce(Option<&mut dyn PciFunction>, &mut DeviceCtx<'_>) -> R,
    ) -> R {
        let Self { devices, board, .. } = self;
        let Board { fabric, mem, remapping, timing, traffic, sanitizer, .. } = board;
        let sanitizer = sanitizer.as_deref_mut();
        let mut port = Port { mem, remapping, timing, traffic, sanitizer };
        let (slot, function): (Slot, Option<&mut dyn PciFunction>) = match bdf {
            layout::NIC => (Slot::Nic(0), Some(&mut devices.nic)),
            layout::HOST_BRIDGE => (Slot::Pci, Some(&mut devices.host_bridge)),
            layout::LPC => (Slot::Pci, Some(&mut devices.lpc)),
            _ => (Slot::Pci, None),
        };
        let bus_master = function.as_ref().is_some_and(|function| function.config().bus_master());
        let mut ctx = DeviceCtx::new(fabric.env(), slot, bdf, bus_master, &mut port);
        call(function, &mut ctx)
    }

    /// Reads one place; all-ones if nobody is there.
    pub(super) fn read_config(&mut self, at: ConfigAddress, width: Width) -> Reply {
        let value = self.with_function(at.bdf, |function, ctx| pci::read(function, ctx, at, width));
        Reply { value: u64::from(value), cost: self.board.timing.config.0 }
    }

    /// Writes one place, and lays the maps anew if a function now decodes other addresses.
    pub(super) fn write_config(&mut self, at: ConfigAddress, width: Width, value: u32) -> Reply {
        if self.with_function(at.bdf, |function, ctx| pci::write(function, ctx, at, width, value)) {
            self.lay_regions();
        }
        Reply { value: 0, cost: self.board.timing.config.0 }
    }

    /// ECAM. Wider accesses than a dword are carried as two.
    pub(super) fn read_ecam(&mut self, offset: u64, width: Width) -> Reply {
        if width == Width::B8 {
            let low = self.read_ecam(offset, Width::B4);
            let high = self.read_ecam(offset + 4, Width::B4);
            return Reply { value: low.value | high.value << 32, cost: low.cost.plus(high.cost) };
        }
        match ConfigAddress::from_ecam(offset, width) {
            Some(at) => self.read_config(at, width),
            None => Reply { value: width.mask(), cost: self.board.timing.config.0 },
        }
    }

    /// ECAM, likewise.
    pub(super) fn write_ecam(&mut self, offset: u64, width: Width, value: u64) -> Reply {
        if width == Width::B8 {
            let low = self.write_ecam(offset, Width::B4, value & 0xffff_ffff);
            let high = self.write_ecam(offset + 4, Width::B4, value >> 32);
            return Reply { value: 0, cost: low.cost.plus(high.cost) };
        }
        match ConfigAddress::from_ecam(offset, width) {
            Some(at) => self.write_config(at, width, value as u32),
            None => Reply { value: 0, cost: self.board.timing.config.0 },
        }
    }

    /// Lays the regions that configuration space decides: ECAM and the card's memory BAR. What would overlap one of the
    /// board's own is left out, as the chipset's ranges win.
    pub(super) fn lay_regions(&mut self) {
        for bar in 0..pci::BARS as u8 {
            self.map.remove(Slot::Nic(0), bar);
            self.map.remove(Slot::Pci, bar);
        }
        let nic = self.devices.nic.windows().into_iter().flatten().map(|window| (Slot::Nic(0), window));
        let ecam = self.devices.host_bridge.ecam().map(|window| (Slot::Pci, window));
        let windows: Vec<_> = ecam.into_iter().chain(nic).collect();
        for (slot, window) in windows.into_iter().filter(|(_, window)| window.space == Space::Memory) {
            let region = Region { base: Gpa(window.base), len: window.size, slot, bar: window.bar };
            // The region that is already there goes on answering.
            let _ = self.map.add(region);
        }
    }
}
