//! A bridge from PCI Express to conventional PCI, at the root complex: PCI-to-PCI Bridge Architecture 1.2, chapter 3, and PCI
//! Express to PCI/PCI-X Bridge 1.0.
//!
//! It says which buses, addresses and ports are behind it. On conventional PCI a transaction does not say whose it is, so the
//! bridge sends it on in the name of device 0 of the secondary bus (Bridge 1.0, 2.3): everything behind it is one requester.
//! It names itself a Texas Instruments XIO2001 (104c:8240); where its capabilities lie is our own choice.

use super::config::{ConfigSpace, ConfigState, Identity};
use super::{PciFunction, Space, Window, spec};
use crate::RestoreError;
use emu_core::device::DeviceCtx;
use emu_core::{Bdf, Pin, Width};
use std::ops::RangeInclusive;

const POWER: u16 = 0x50;
const EXPRESS: u16 = 0x70;

/// The bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciBridge {
    config: ConfigSpace,
}

impl PciBridge {
    /// As firmware leaves it: one bus behind it, number `bus`, and a window of `memory` (whole MiB below 4 GiB).
    #[must_use]
    pub fn new(bus: u8, memory: RangeInclusive<u32>) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x104c,
            device: 0x8240,
            revision: 0,
            class: 0x06_0400,
            // A type 1 header has other registers there.
            subsystem_vendor: 0,
            subsystem: 0,
        });
        config.preset(spec::HEADER_TYPE, Width::B1, 1);
        let command = spec::COMMAND_IO | spec::COMMAND_MEMORY | spec::COMMAND_MASTER;
        config.preset(spec::COMMAND, Width::B2, u32::from(command));
        config.allow(
            spec::COMMAND,
            Width::B2,
            u32::from(command | spec::COMMAND_PARITY | spec::COMMAND_SERR),
        );
        config.allow(spec::CACHE_LINE, Width::B1, 0xff);
        for (register, number) in
            [(spec::PRIMARY_BUS, 0), (spec::SECONDARY_BUS, bus), (spec::SUBORDINATE_BUS, bus)]
        {
            config.preset(register, Width::B1, u32::from(number));
            config.allow(register, Width::B1, 0xff);
        }
        config.allow(spec::SECONDARY_LATENCY, Width::B1, 0xf8);
        add_windows(&mut config, &memory);
        config.allow(spec::INTERRUPT_LINE, Width::B1, 0xff);
        config.allow(spec::BRIDGE_CONTROL, Width::B2, u32::from(spec::BRIDGE_CONTROL_RW));
        config.add_power_management(POWER, 0x0003);
        config.add_express(EXPRESS, spec::EXPRESS_TO_PCI);
        Self { config }
    }

    /// Buses behind it; `None` until software has given it numbers.
    #[must_use]
    pub fn buses(&self) -> Option<RangeInclusive<u8>> {
        let [secondary, subordinate] = [spec::SECONDARY_BUS, spec::SUBORDINATE_BUS]
            .map(|register| self.config.read(register, Width::B1) as u8);
        (secondary != 0 && secondary <= subordinate).then_some(secondary..=subordinate)
    }

    /// Who asks for everybody behind it.
    #[must_use]
    pub fn requester(&self) -> Option<Bdf> {
        self.buses().map(|buses| Bdf::new(*buses.start(), 0, 0))
    }

    /// Whether transactions of devices behind it are sent on.
    #[must_use]
    pub fn forwards_up(&self) -> bool {
        self.config.bus_master() && self.buses().is_some()
    }

    /// Whether the processor reaches all of a window of a function behind it (Bridge Architecture 1.2, chapter 4).
    #[must_use]
    pub fn forwards_down(&self, window: &Window) -> bool {
        let last = window.base.saturating_add(window.size - 1);
        let command = self.config.command();
        let holds = |base: u64, limit: u64| base <= window.base && last <= limit;
        let awake = self.config.power_state() == 0;
        awake
            && match window.space {
                Space::Io => {
                    command & spec::COMMAND_IO != 0
                        && self.port_ranges().any(|(base, limit)| holds(base, limit))
                }
                Space::Memory => {
                    command & spec::COMMAND_MEMORY != 0
                        && self.memory_ranges().into_iter().any(|(base, limit)| holds(base, limit))
                }
            }
    }

    /// Base and limit of the memory and the prefetchable memory window; empty ones have their limit below their base.
    fn memory_ranges(&self) -> [(u64, u64); 2] {
        let half = |register| u64::from(self.config.read(register, Width::B2));
        let upper = |register| u64::from(self.config.read(register, Width::B4)) << 32;
        let address = |register| (half(register) & 0xfff0) << 16;
        [
            (address(spec::MEMORY_BASE), address(spec::MEMORY_LIMIT) | 0xf_ffff),
            (
                upper(spec::PREFETCH_BASE_UPPER) | address(spec::PREFETCH_BASE),
                upper(spec::PREFETCH_LIMIT_UPPER) | address(spec::PREFETCH_LIMIT) | 0xf_ffff,
            ),
        ]
    }

    /// The port window; with the ISA enable bit only the first 256 bytes of each KiB are behind the bridge.
    fn port_ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let byte = |register| u64::from(self.config.read(register, Width::B1));
        let (base, limit) = ((byte(spec::IO_BASE) & 0xf0) << 8, (byte(spec::IO_LIMIT) & 0xf0) << 8 | 0xfff);
        let control = self.config.read(spec::BRIDGE_CONTROL, Width::B2) as u16;
        let (step, len) =
            if control & spec::BRIDGE_ISA_ENABLE != 0 { (0x400, 0x100) } else { (0x1_0000, 0x1_0000) };
        (base..=limit).step_by(step).map(move |start| (start, (start + len - 1).min(limit)))
    }

    /// Which pin of the bridge's own a pin of device `device` behind it drives (Bridge Architecture 1.2, 9.1).
    #[must_use]
    pub const fn swizzle(device: u8, pin: Pin) -> Pin {
        Pin((pin.0 + device) % 4)
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

/// Ports, memory and prefetchable memory (3.2.5.6-3.2.5.10); only the second is open at first.
fn add_windows(config: &mut ConfigSpace, memory: &RangeInclusive<u32>) {
    config.preset(spec::IO_BASE, Width::B1, 0xf0);
    for register in [spec::IO_BASE, spec::IO_LIMIT] {
        config.allow(register, Width::B1, 0xf0);
    }
    config.clear_by_one(spec::SECONDARY_STATUS, Width::B2, spec::STATUS_RW1C);
    config.preset(spec::MEMORY_BASE, Width::B2, memory.start() >> 16 & 0xfff0);
    config.preset(spec::MEMORY_LIMIT, Width::B2, memory.end() >> 16 & 0xfff0);
    // Bit 0 says that addresses have 64 bits.
    config.preset(spec::PREFETCH_BASE, Width::B2, 0xfff1);
    config.preset(spec::PREFETCH_LIMIT, Width::B2, 1);
    for register in [spec::MEMORY_BASE, spec::MEMORY_LIMIT, spec::PREFETCH_BASE, spec::PREFETCH_LIMIT] {
        config.allow(register, Width::B2, 0xfff0);
    }
    for register in [spec::PREFETCH_BASE_UPPER, spec::PREFETCH_LIMIT_UPPER] {
        config.allow(register, Width::B4, !0);
    }
}

impl PciFunction for PciBridge {
    fn config(&self) -> &ConfigSpace {
        &self.config
    }

    fn config_read(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, _ctx: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(offset, width, value);
    }
}
