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
        let (source, bus_master) = (devices.nic_requester(), devices.nic_is_master());
        if devices.nic_function() == Some(bdf) {
            let mut ctx = DeviceCtx::new(fabric.env(), Slot::Nic(0), source, bus_master, &mut port);
            return call(Some(&mut devices.nic), &mut ctx);
        }
        let (slot, function): (Slot, Option<&mut dyn PciFunction>) = match bdf {
            layout::BRIDGE => {
                (Slot::Pci, devices.bridge.as_mut().map(|bridge| bridge as &mut dyn PciFunction))
            }
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
        let moved = self.with_function(at.bdf, |function, ctx| pci::write(function, ctx, at, width, value));
        // Any write to the bridge may change what is behind it.
        if moved || at.bdf == layout::BRIDGE && self.devices.bridge.is_some() {
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
        let bridge = self.devices.bridge.as_ref();
        self.board.remapping.set_behind(bridge.and_then(|bridge| Some((layout::BRIDGE, bridge.buses()?))));
        let nic = self.devices.nic_windows().map(|window| (Slot::Nic(0), window));
        let ecam = self.devices.host_bridge.ecam().map(|window| (Slot::Pci, window));
        let windows: Vec<_> = ecam.into_iter().chain(nic).collect();
        for (slot, window) in windows.into_iter().filter(|(_, window)| window.space == Space::Memory) {
            let region = Region { base: Gpa(window.base), len: window.size, slot, bar: window.bar };
            // The region that is already there goes on answering.
            let _ = self.map.add(region);
        }
    }
}
