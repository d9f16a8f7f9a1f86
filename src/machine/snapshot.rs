//! Snapshots: everything that decides how a run goes on, in two files. `FILE` is RON, for people and tools; `FILE.pages`
//! holds the pages of memory that are not all zero.
//!
//! A snapshot is a file, and files are not trusted: every part checks what it is given, and a mistake is named.

use super::Machine;
use crate::error::Error;
use crate::scenario::Scenario;
use emu_core::cpu::CpuState;
use emu_core::device::SignalQueue;
use emu_core::trace::TracerState;
use emu_core::{EventQueue, Gpa, PAGE_SIZE, VirtTime};
use emu_devices::{acpi_pm, debug_port, e1000, ioapic, kbc, lapic, pci, pic, pit, rtc, uart};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Grows when a snapshot of an older program could be misread.
const VERSION: u32 = 1;
/// First bytes of the pages' file.
const MAGIC: &[u8; 8] = b"GBPAGES1";

/// A machine between two instructions, without its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineState {
    /// [`VERSION`].
    pub version: u32,
    /// The scenario; its paths are relative to [`Self::base`].
    pub scenario: Scenario,
    /// The scenario's folder.
    pub base: PathBuf,
    /// Hash of the pages' file.
    pub pages: String,
    /// Everything else.
    pub parts: Parts,
}

/// The state of every part of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each bears its part's name")]
pub struct Parts {
    pub cpu: CpuState,
    pub events: EventQueue,
    pub signals: SignalQueue,
    pub tracer: TracerState,
    pub iommu: Option<emu_iommu::VtdState>,
    pub lapics: Vec<lapic::LapicState>,
    pub ioapic: ioapic::IoapicState,
    pub pic: pic::PicState,
    pub nic: e1000::E1000State,
    pub host_bridge: pci::ConfigState,
    pub lpc: pci::ConfigState,
    pub config_ports: pci::ConfigPorts,
    pub pit: pit::PitState,
    pub rtc: rtc::RtcState,
    pub uart: uart::UartState,
    pub acpi_pm: acpi_pm::AcpiPmState,
    pub kbc: kbc::KbcState,
    pub debug_port: debug_port::DebugPortState,
    pub network: emu_net::BackendState,
    pub frames_in: u64,
    pub frames_out: u64,
    pub interrupts: u64,
    pub traffic: super::board::Traffic,
    pub arrival: Option<VirtTime>,
}

impl Machine {
    /// The state of every part.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let platform = &self.platform;
        let (board, devices) = (&platform.board, &platform.devices);
        Parts {
            cpu: self.cpu.state(),
            events: board.fabric.events.clone(),
            signals: board.fabric.signals.clone(),
            tracer: board.fabric.tracer.state().clone(),
            iommu: board.iommu.as_ref().map(|iommu| iommu.state().clone()),
            lapics: board.lapics.iter().map(|lapic| lapic.state().clone()).collect(),
            ioapic: board.ioapic.state().clone(),
            pic: board.pic.state().clone(),
            nic: devices.nic.state().clone(),
            host_bridge: devices.host_bridge.state(),
            lpc: devices.lpc.state(),
            config_ports: devices.config_ports.clone(),
            pit: devices.pit.state().clone(),
            rtc: devices.rtc.state().clone(),
            uart: devices.uart.state().clone(),
            acpi_pm: devices.acpi_pm.state().clone(),
            kbc: devices.kbc.state().clone(),
            debug_port: devices.debug_port.state().clone(),
            network: platform.cable.far_end.state(),
            frames_in: platform.frames_in,
            frames_out: platform.cable.sent,
            interrupts: platform.interrupts,
            traffic: board.traffic,
            arrival: platform.arrival,
        }
    }

    /// Goes on from the state of every part; says which part refuses and why.
    fn restore_parts(&mut self, parts: Parts) -> Result<(), String> {
        fn named<E: std::fmt::Display>(result: Result<(), E>) -> Result<(), String> {
            result.map_err(|error| error.to_string())
        }
        let platform = &mut self.platform;
        let (board, devices) = (&mut platform.board, &mut platform.devices);
        named(self.cpu.restore(parts.cpu))?;
        board.fabric.events = parts.events;
        board.fabric.signals = parts.signals;
        board.fabric.tracer.restore(parts.tracer);
        match (&mut board.iommu, parts.iommu) {
            (Some(iommu), Some(state)) => named(iommu.restore(state))?,
            (None, None) => {}
            _ => return Err("iommu: the state is of another machine".to_owned()),
        }
        if board.lapics.len() != parts.lapics.len() {
            return Err("lapics: the state is of another machine".to_owned());
        }
        for (lapic, state) in board.lapics.iter_mut().zip(parts.lapics) {
            named(lapic.restore(state))?;
        }
        named(board.ioapic.restore(parts.ioapic))?;
        named(board.pic.restore(parts.pic))?;
        named(devices.nic.restore(parts.nic))?;
        named(devices.host_bridge.restore(&parts.host_bridge))?;
        named(devices.lpc.restore(&parts.lpc))?;
        named(devices.config_ports.restore(parts.config_ports))?;
        named(devices.pit.restore(parts.pit))?;
        named(devices.rtc.restore(parts.rtc))?;
        named(devices.uart.restore(parts.uart))?;
        named(devices.acpi_pm.restore(parts.acpi_pm))?;
        named(devices.kbc.restore(parts.kbc))?;
        named(devices.debug_port.restore(parts.debug_port))?;
        named(platform.cable.far_end.restore(parts.network))?;
        platform.frames_in = parts.frames_in;
        platform.cable.sent = parts.frames_out;
        platform.interrupts = parts.interrupts;
        platform.board.traffic = parts.traffic;
        platform.arrival = parts.arrival;
        platform.lay_regions();
        Ok(())
    }

    /// Hash of everything that the guest could notice, and of how it will go on.
    #[must_use]
    pub fn state_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(ron::to_string(&self.parts()).unwrap_or_default().as_bytes());
        for_each_page(self, |page, bytes| {
            hasher.update(&page.0.to_le_bytes());
            hasher.update(bytes);
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap_or_else(|never| match never {});
        hasher.finalize().to_hex().to_string()
    }
}

/// Calls `visit` with every page of RAM that is not all zero, in order.
fn for_each_page<E>(machine: &Machine, mut visit: impl FnMut(Gpa, &[u8]) -> Result<(), E>) -> Result<(), E> {
    let mem = &machine.platform.board.mem;
    let mut bytes = [0; PAGE_SIZE as usize];
    for (base, end) in mem.ram_ranges() {
        for page in (base.0..end.0).step_by(PAGE_SIZE as usize).map(Gpa) {
            if mem.read(page, &mut bytes).is_ok() && bytes.iter().any(|byte| *byte != 0) {
                visit(page, &bytes)?;
            }
        }
    }
    Ok(())
}

fn pages_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pages");
    name.into()
}

/// Takes a snapshot into `path` and `path`.pages. The run goes on as if nothing had happened.
pub fn save(machine: &Machine, path: &Path) -> Result<(), Error> {
    let pages = pages_path(path);
    let hash = save_pages(machine, &pages).map_err(Error::file(&pages))?;
    let state = MachineState {
        version: VERSION,
        scenario: machine.scenario.clone(),
        base: std::path::absolute(&machine.scenario.base).unwrap_or_default(),
        pages: hash,
        parts: machine.parts(),
    };
    let text = ron::ser::to_string_pretty(&state, ron::ser::PrettyConfig::default())
        .map_err(|error| Error::Snapshot { path: path.to_owned(), reason: error.to_string() })?;
    std::fs::write(path, text).map_err(Error::file(path))
}

fn save_pages(machine: &Machine, path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(MAGIC)?;
    for_each_page(machine, |page, bytes| {
        for part in [&page.0.to_le_bytes()[..], bytes] {
            hasher.update(part);
            out.write_all(part)?;
        }
        Ok::<_, std::io::Error>(())
    })?;
    out.flush()?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// A machine that goes on where [`save`] was called.
pub fn load(path: &Path) -> Result<Machine, Error> {
    let refuse = |reason: String| Error::Snapshot { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let state: MachineState = ron::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    if state.version != VERSION {
        return Err(refuse(format!("version {} where this program writes {VERSION}", state.version)));
    }
    let mut scenario = state.scenario;
    scenario.base = state.base;
    let mut machine = Machine::bare(scenario)?;
    load_pages(&mut machine, &pages_path(path), &state.pages)?;
    machine.restore_parts(state.parts).map_err(refuse)?;
    Ok(machine)
}

fn load_pages(machine: &mut Machine, path: &Path, hash: &str) -> Result<(), Error> {
    let refuse = |reason: &str| Error::Snapshot { path: path.to_owned(), reason: reason.to_owned() };
    let mut file = BufReader::new(File::open(path).map_err(Error::file(path))?);
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|_| refuse("too short"))?;
    if magic != *MAGIC {
        return Err(refuse("not a file of memory pages"));
    }
    let mut hasher = blake3::Hasher::new();
    let mut record = [0; 8 + PAGE_SIZE as usize];
    loop {
        let len = fill(&mut file, &mut record).map_err(Error::file(path))?;
        if len == 0 {
            break;
        }
        if len != record.len() {
            return Err(refuse("cut inside a page"));
        }
        hasher.update(&record);
        let (number, bytes) = record.split_at(8);
        let page = Gpa(u64::from_le_bytes(number.try_into().unwrap_or_default()));
        machine.platform.board.mem.write(page, bytes).map_err(|_| refuse("a page outside of memory"))?;
    }
    machine.platform.board.mem.clear_dirty();
    if hasher.finalize().to_hex().as_str() == hash {
        Ok(())
    } else {
        Err(refuse("not the pages of this snapshot"))
    }
}

/// Reads until `buf` is full or the file ends; answers how much.
fn fill(file: &mut impl Read, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match file.read(&mut buf[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}
