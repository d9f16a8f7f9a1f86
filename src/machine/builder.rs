//! From a scenario to a machine.

use super::board::{Board, Fabric};
use super::cable::{Cable, Questions};
use super::console::Console;
use super::devices::Devices;
use super::far_end::far_end;
use super::history::History;
use super::platform::Platform;
use super::remapping::Remapping;
use super::{Machine, layout};
use crate::error::Error;
use crate::firmware::dmar::Described;
use crate::firmware::{self, Boot, Image, acpi};
use crate::guests::DEMO_ELF;
use crate::scenario::{Guest, Place, Scenario};
use emu_core::cpu::{CRYSTAL_HZ, Cpu};
use emu_core::mem::PhysMem;
use emu_core::{Gpa, PAGE_SIZE};
use emu_devices::acpi_pm::{self, AcpiPm};
use emu_devices::debug_port::DebugPort;
use emu_devices::e1000::{E1000, E1000Config};
use emu_devices::ioapic::{self, Ioapic};
use emu_devices::kbc::Kbc;
use emu_devices::lapic::{self, Lapic};
use emu_devices::pci::{ConfigPorts, HostBridge, LpcBridge, PciBridge};
use emu_devices::pic::Pic;
use emu_devices::pit::Pit;
use emu_devices::rtc::{self, Rtc};
use emu_devices::uart::{self, Uart};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// I/O APIC id, apart from those of processors.
const IOAPIC_ID: u8 = 8;

impl Machine {
    /// A machine as the scenario describes it, its guest loaded and about to execute its first instruction.
    pub fn new(scenario: Scenario) -> Result<Self, Error> {
        let mut machine = Self::bare(scenario)?;
        machine.load_guest()?;
        Ok(machine)
    }

    /// Everything but the guest.
    pub(super) fn bare(mut scenario: Scenario) -> Result<Self, Error> {
        scenario.settle();
        let remapping = Remapping::new(scenario.iommu.as_ref(), &scenario.dmar)
            .map_err(|error| Error::Config { part: "iommu", reason: error.to_string() })?;
        let mut cpu = Cpu::new(scenario.cpu.clone());
        cpu.set_tier(scenario.engine);
        let tsc_hz = cpu.tsc_hz();
        let mut bootstrap = Lapic::new(lapic::Config::new(0, CRYSTAL_HZ, tsc_hz));
        if !matches!(scenario.guest, Guest::Rom { .. }) {
            bootstrap.set_virtual_wire();
        }
        let mem = PhysMem::new(scenario.memory.0)?;
        let ranges = mem.ram_ranges();
        scenario
            .dmar
            .check(scenario.iommu.is_some(), &ranges)
            .map_err(|reason| Error::Config { part: "dmar", reason })?;
        let low_end = ranges.first().map_or(0, |(_, end)| end.0);
        let high = ranges.get(1).map_or(0, |(start, end)| end.0 - start.0);
        let devices = Devices {
            nic: E1000::new(E1000Config {
                intx_masking: scenario.nic.intx_masking,
                ..E1000Config::with_mac(scenario.nic.mac()?)
            }),
            host_bridge: HostBridge::new(Some(layout::ECAM.0), low_end),
            lpc: LpcBridge::new(Some(layout::PM_PORTS)),
            bridge: (scenario.nic.place == Place::BehindBridge)
                .then(|| PciBridge::new(layout::BRIDGE_BUS, layout::BRIDGE_MEMORY)),
            config_ports: ConfigPorts::default(),
            pit: Pit::new(),
            rtc: Rtc::new(&rtc::Config { date: scenario.date, presets: rtc::memory_presets(low_end, high) }),
            uart: Uart::new(uart::Config {
                index: 0,
                pace: uart::Pace::Fixed(scenario.timing.serial_character.0),
            }),
            acpi_pm: AcpiPm::new(acpi_pm::Config {
                pm_base: layout::PM_PORTS,
                timer_32_bit: true,
                s5_type: acpi::S5_TYPE,
                ..acpi_pm::Config::default()
            }),
            kbc: Kbc::new(),
            debug_port: DebugPort::new(),
        };
        let board = Board {
            fabric: Fabric::default(),
            mem,
            remapping,
            lapics: vec![bootstrap],
            ioapic: Ioapic::new(ioapic::Config {
                id: IOAPIC_ID,
                bdf: layout::IOAPIC_SOURCE,
                low_active_wires: ioapic::Config::PCI_PINS,
            }),
            pic: Pic::new(),
            timing: scenario.timing.clone(),
            traffic: Default::default(),
            sanitizer: None,
        };
        let mut cable = Cable::new(far_end(&scenario)?);
        cable.questions = scenario.expect.answers_for.map(Questions::to);
        let map = Platform::fixed_regions(board.remapping.units().len() as u8);
        let mut platform = Platform {
            devices,
            board,
            cable,
            map,
            frames_in: 0,
            interrupts: 0,
            arrival: None,
            stop: None,
            goal: None,
            changed_frame: None,
            serial: Console::default(),
            debugcon: Console::default(),
        };
        platform.lay_regions();
        platform.drain();
        Ok(Self {
            cpu,
            platform,
            scenario: Arc::new(scenario),
            history: History::default(),
            seen_outside: false,
        })
    }

    /// Puts the guest into memory and the processor where the guest's boot protocol says.
    fn load_guest(&mut self) -> Result<(), Error> {
        let scenario = &self.scenario;
        let (path, image) = match &scenario.guest {
            Guest::Demo => {
                (PathBuf::from("demo"), Image::Kernel { kernel: DEMO_ELF.into(), modules: Vec::new() })
            }
            Guest::Kernel { kernel, initrd } => {
                let modules = initrd.iter().map(|path| scenario.read(path)).collect::<Result<_, _>>()?;
                (kernel.clone(), Image::Kernel { kernel: scenario.read(kernel)?, modules })
            }
            Guest::Debian { .. } | Guest::Packaged { .. } => return Err(Error::NotPrepared),
            Guest::Flat { image, at, mode } => {
                (image.clone(), Image::Flat { image: scenario.read(image)?, at: Gpa(*at), mode: *mode })
            }
            Guest::Rom { image } => (image.clone(), Image::Rom { image: scenario.read(image)? }),
        };
        let remapping = Described { iommu: scenario.iommu.as_ref(), dmar: &scenario.dmar };
        let bridge = self.platform.devices.bridge.is_some();
        let described = acpi::Platform { remapping, bridge, ioapic_id: IOAPIC_ID };
        if !matches!(scenario.guest, Guest::Rom { .. }) {
            self.platform.devices.lpc.route_pirqs(layout::PIRQ_IRQS);
        }
        let mem = &mut self.platform.board.mem;
        let rsdp = match scenario.guest {
            Guest::Rom { .. } => None,
            Guest::Demo
            | Guest::Debian { .. }
            | Guest::Packaged { .. }
            | Guest::Kernel { .. }
            | Guest::Flat { .. } => Some(acpi::write(mem, &described)?),
        };
        let reserved: Vec<_> =
            scenario.dmar.reserved_in_map().map(|region| region.base..region.end()).collect();
        let boot = Boot { append: &scenario.append, rsdp, linux: scenario.boot, reserved: &reserved };
        let entry = firmware::load(mem, &image, boot).map_err(|source| Error::Load { path, source })?;
        entry.apply(&mut self.cpu);
        check_untouched(mem, &reserved)
    }
}

/// Memory that is reserved in the map is not for the guest's image either.
fn check_untouched(mem: &PhysMem, reserved: &[Range<u64>]) -> Result<(), Error> {
    let mut page = [0; PAGE_SIZE as usize];
    for at in reserved.iter().flat_map(|range| range.clone().step_by(PAGE_SIZE as usize)) {
        if mem.read(Gpa(at), &mut page).is_ok() && page.iter().any(|byte| *byte != 0) {
            let reason = format!("the guest's image lies in reserved memory, at {at:#x}");
            return Err(Error::Config { part: "dmar", reason });
        }
    }
    Ok(())
}
