//! What lies between devices, memory and the processor: VT-d, the interrupt controllers, PCI, the card.

use super::super::layout;
use super::{Machine, registers};
use crate::view::table::{REGISTERS, View};
use crate::view::{bits, names};
use emu_core::trace::Ring;
use emu_core::{Bdf, Gpa, Iova};
use emu_devices::pci::{PciFunction, Space};
use emu_iommu::{DEBUGFS_FILES, DeviceView, Range, Space as Owner, Vtd};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Descriptors of a ring shown at most.
const ROWS_MAX: usize = 64;
/// Ranges of mapped addresses at most.
const RANGES_MAX: usize = 4096;

/// Descriptors of the invalidation queue shown at most.
const QUEUE_SHOWN: u64 = 16;

const NO_UNIT: &str = "this machine has no VT-d unit";

/// Whose translation.
fn owner(domain: u16, space: Owner) -> String {
    match space {
        Owner::Second => format!("domain {domain}"),
        Owner::First(pasid) => format!("domain {domain}, PASID {pasid}"),
        Owner::Nested(pasid) => format!("domain {domain}, PASID {pasid}, nested"),
    }
}

fn rights(read: bool, write: bool) -> String {
    format!("{}{}", if read { "r" } else { "-" }, if write { "w" } else { "-" })
}

impl Machine {
    /// The local APIC.
    #[must_use]
    pub fn show_apic(&self) -> View {
        let mut view = View::default();
        for lapic in &self.platform.board.lapics {
            let title = format!("local APIC {}: {:?}", lapic.config().index, lapic.mode());
            registers(&mut view, &title, 32, lapic.registers(self.now()));
        }
        view
    }

    /// The I/O APIC.
    #[must_use]
    pub fn show_ioapic(&self) -> View {
        let mut view = View::default();
        registers(&mut view, "I/O APIC, registers by index", 64, self.platform.board.ioapic.registers());
        view
    }

    /// Every function, and what it decodes.
    #[must_use]
    pub fn show_pci(&self) -> View {
        let devices = &self.platform.devices;
        let mut functions: Vec<(Bdf, &str, &dyn PciFunction)> =
            vec![(layout::HOST_BRIDGE, "host bridge", &devices.host_bridge)];
        functions.extend(devices.nic_function().map(|bdf| (bdf, "network card", &devices.nic as _)));
        functions.extend(devices.bridge.iter().map(|bridge| (layout::BRIDGE, "bridge to PCI", bridge as _)));
        functions.push((layout::LPC, "LPC bridge", &devices.lpc));
        let mut view = View::default();
        for (bdf, name, function) in functions {
            let config = function.config();
            let id = config.read(0, emu_core::Width::B4);
            let title = format!(
                "{bdf}  {:04x}:{:04x}  {name}, command {:#06x}",
                id & 0xffff,
                id >> 16,
                config.command()
            );
            let section = view.section(title, &["window", "space", "addresses"]);
            for window in function.windows().into_iter().flatten() {
                let space = match window.space {
                    Space::Memory => "memory",
                    Space::Io => "ports",
                };
                let addresses = format!("{:#x}-{:#x}", window.base, window.base + window.size - 1);
                section.row([format!("window {}", window.bar), space.to_owned(), addresses]);
            }
        }
        view
    }

    /// The network card: registers, and its rings as far as memory shows them.
    #[must_use]
    pub fn show_e1000(&self) -> View {
        let nic = &self.platform.devices.nic;
        let mut view = View::default();
        registers(&mut view, "82540EM", 32, nic.registers());
        let board = &self.platform.board;
        let reach = self.reach(self.platform.devices.nic_requester());
        for (ring, name) in [(Ring::Rx, "receive"), (Ring::Tx, "transmit")] {
            let columns = &["index", "iova", "owner", "meaning"];
            let section = view.section(format!("{name} ring, from its head on"), columns);
            let read = |iova: Iova, buf: &mut [u8; 16]| {
                let gpa = match &reach {
                    None => Some(Gpa(iova.0)),
                    Some(ranges) => ranges
                        .iter()
                        .find(|range| iova.0.wrapping_sub(range.iova.0) < range.len)
                        .map(|range| range.gpa.plus(iova.0 - range.iova.0)),
                };
                gpa.is_some_and(|gpa| board.mem.read(gpa, buf).is_ok())
            };
            for found in nic.descriptors(ring, ROWS_MAX as u32, read) {
                section.row([
                    found.index.to_string(),
                    found.iova.to_string(),
                    format!("{:?}", found.owner),
                    found.meaning,
                ]);
            }
        }
        view
    }

    /// What a device reaches by the tables in memory; `None` if no unit stands before it.
    fn reach(&self, source: Bdf) -> Option<Vec<Range>> {
        let board = &self.platform.board;
        let unit = board.remapping.number_for(source)?;
        let unit = board.remapping.units().get(usize::from(unit))?;
        Some(unit.mapped_ranges(&board.mem, source, RANGES_MAX))
    }

    /// Every VT-d unit: registers, caches, and what the card can reach through it.
    #[must_use]
    pub fn show_iommu(&self) -> View {
        let units = self.platform.board.remapping.units();
        if units.is_empty() {
            return View::remark(NO_UNIT);
        }
        let mut view = View::default();
        for (number, unit) in units.iter().enumerate() {
            // Where there is one it needs no number.
            let name = if units.len() == 1 { String::new() } else { format!("unit {number}: ") };
            self.show_unit(&mut view, &name, unit);
        }
        view
    }

    fn show_unit(&self, view: &mut View, unit: &str, iommu: &Vtd) {
        let section = view.section(format!("{unit}VT-d unit"), REGISTERS);
        for register in iommu.registers() {
            section.register(register.offset, &register.name, register.value, 64, &register.meaning);
        }
        let section = view.section(format!("{unit}context cache"), &["place", "source", "domain"]);
        for cached in iommu.context_entries() {
            section.row([
                format!("set {} way {}", cached.set, cached.way),
                cached.entry.source.to_string(),
                format!("domain {}", cached.entry.domain()),
            ]);
        }
        let section = view.section(format!("{unit}PASID cache"), &["place", "source", "PASID", "domain"]);
        for cached in iommu.pasid_entries() {
            section.row([
                format!("set {} way {}", cached.set, cached.way),
                cached.entry.source.to_string(),
                format!("PASID {}", cached.entry.pasid),
                format!("domain {}", cached.entry.domain()),
            ]);
        }
        let section =
            view.section(format!("{unit}IOTLB"), &["place", "domain", "iova", "gpa", "page", "rights"]);
        for cached in iommu.iotlb_entries() {
            let entry = cached.entry;
            section.row([
                format!("set {} way {}", cached.set, cached.way),
                owner(entry.domain, entry.space),
                entry.iova.to_string(),
                format!("-> {}", entry.gpa),
                names::page_size(entry.page_shift).to_owned(),
                rights(entry.read, entry.write),
            ]);
        }
        let section = view.section(
            format!("{unit}paging-structure caches"),
            &["place", "domain", "iova", "table", "rights"],
        );
        for (level, cached) in iommu.paging_entries() {
            let entry = cached.entry;
            section.row([
                format!("{} way {}", names::paging_cache(level), cached.way),
                owner(entry.domain, entry.space),
                entry.iova.to_string(),
                format!("-> {}", entry.table),
                rights(entry.rights.read, entry.rights.write),
            ]);
        }
        let section = view.section(format!("{unit}interrupt entry cache"), &["index", "entry", "meaning"]);
        for cached in iommu.interrupt_entries() {
            let raw = cached.entry.irte.0;
            let entry = format!("{:016x} {:016x}", raw[0], raw[1]);
            section.row([cached.entry.index.to_string(), entry, bits::interrupt_entry(raw)]);
        }
        self.show_tables(view, unit, iommu);
    }

    /// What the unit's tables and its queue say in memory.
    fn show_tables(&self, view: &mut View, unit: &str, iommu: &Vtd) {
        let mem = &self.platform.board.mem;
        let devices = iommu.devices(mem);
        let section = view
            .section(format!("{unit}devices by the tables in memory"), &["source", "domain", "how", "table"]);
        for device in &devices {
            let domain = device.domain.map_or_else(String::new, |domain| format!("domain {domain}"));
            let table = device.table.map_or_else(String::new, |table| format!("tables at {table}"));
            section.row([device.bdf.to_string(), domain, device.how.clone(), table]);
        }
        let mut seen = BTreeSet::new();
        let first_of = |device: &&DeviceView| seen.insert((device.domain, device.table.map(|table| table.0)));
        for device in devices.iter().filter(first_of) {
            let title = format!("{unit}mapped for {} by the tables in memory", device.bdf);
            let section = view.section(title, &["iova", "gpa", "rights"]);
            for range in iommu.mapped_ranges(mem, device.bdf, RANGES_MAX) {
                section.row([
                    format!("{}-{:#x}", range.iova, range.iova.0 + (range.len - 1)),
                    format!("-> {}", range.gpa),
                    rights(range.read, range.write),
                ]);
            }
        }
        let section = view
            .section(format!("{unit}interrupt entries in memory"), &["index", "entry", "meaning", "cache"]);
        for (index, [low, high]) in iommu.interrupt_table_entries(mem) {
            let cached = iommu.interrupt_entries().find(|cached| u64::from(cached.entry.index) == index);
            let cache = cached.map_or("", |cached| {
                if cached.entry.irte.0 == [low, high] { "cached" } else { "cached, stale" }
            });
            let meaning = bits::interrupt_entry([low, high]);
            section.row([index.to_string(), format!("{low:016x} {high:016x}"), meaning, cache.to_owned()]);
        }
        let columns = &["index", "entry", "meaning", "state"];
        let section = view.section(format!("{unit}invalidation queue, up to its tail"), columns);
        for (index, raw, waits) in iommu.queue_entries(mem, QUEUE_SHOWN) {
            let state = if waits { "waits" } else { "done" };
            let entry = format!("{:016x} {:016x}", raw[0], raw[1]);
            section.row([index.to_string(), entry, bits::queue_descriptor(raw), state.to_owned()]);
        }
        let section = view.section(format!("{unit}faults, as Linux prints them"), &["record", "fault"]);
        for (index, line) in iommu.fault_lines() {
            section.row([format!("FRCD{index}"), line]);
        }
    }

    /// What the card can reach by the tables in memory: rows of `iova`, `gpa` and `rights`.
    #[must_use]
    pub fn mappings(&self) -> Value {
        let ranges = self.reach(self.platform.devices.nic_requester());
        let row = |range: Range| {
            json!({
                "iova": format!("{}-{:#x}", range.iova, range.iova.0 + (range.len - 1)),
                "gpa": range.gpa.to_string(), "rights": rights(range.read, range.write),
            })
        };
        ranges.into_iter().flatten().map(row).collect()
    }

    /// Linux 6.1's own files of the units, or the one that is named. All of them have headings as `tail -n +1` prints them.
    #[must_use]
    pub fn show_debugfs(&self, file: Option<&str>) -> String {
        let board = &self.platform.board;
        let units = board.remapping.units();
        if units.is_empty() {
            return format!("{NO_UNIT}\n");
        }
        let of = |name: &str| -> String {
            let one = |(number, unit): (u8, &Vtd)| unit.debugfs(&board.mem, layout::vtd(number), name);
            (0..).zip(units).filter_map(one).collect()
        };
        match file {
            Some(name) => of(name),
            None => DEBUGFS_FILES.map(|name| format!("==> {name} <==\n{}", of(name))).join("\n"),
        }
    }

    /// One translation, level by level.
    #[must_use]
    pub fn show_walk(&self, bdf: Bdf, iova: Iova) -> View {
        let board = &self.platform.board;
        let unit =
            board.remapping.number_for(bdf).and_then(|unit| board.remapping.units().get(usize::from(unit)));
        let Some(iommu) = unit else { return View::remark(NO_UNIT) };
        let mut view = View::default();
        let section = view.section(format!("{iova} for {bdf}"), &["step"]);
        for line in iommu.walk_explain(&board.mem, bdf, iova) {
            section.row([line.text]);
        }
        view
    }
}
