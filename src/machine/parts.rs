//! The state of every part of the machine but memory, taken out and put back: what snapshots and checkpoints keep.
//!
//! Nothing is left out by accident: the machine is taken apart by name here, and a field that is new does not compile until it
//! is said what becomes of it.

use super::board::{Board, Fabric, Traffic};
use super::devices::Devices;
use super::platform::Platform;
use super::{Machine, Stop};
use emu_core::cpu::CpuState;
use emu_core::device::SignalQueue;
use emu_core::trace::TracerState;
use emu_core::{EventQueue, VirtTime};
use emu_devices::{acpi_pm, debug_port, e1000, ioapic, kbc, lapic, pci, pic, pit, rtc, uart};
use emu_net::matching::Request;
use serde::{Deserialize, Serialize};

/// The state of every part of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each bears its part's name")]
pub struct Parts {
    pub cpu: CpuState,
    pub events: EventQueue,
    pub signals: SignalQueue,
    pub tracer: TracerState,
    pub iommus: Vec<emu_iommu::VtdState>,
    pub lapics: Vec<lapic::LapicState>,
    pub ioapic: ioapic::IoapicState,
    pub pic: pic::PicState,
    pub nic: e1000::E1000State,
    pub host_bridge: pci::ConfigState,
    pub lpc: pci::ConfigState,
    pub bridge: Option<pci::ConfigState>,
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
    pub traffic: Traffic,
    pub arrival: Option<VirtTime>,
}

/// What is watched of a run from outside: the guest can't notice it, but how the run goes on being judged depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// The end, if the guest has asked for it.
    pub stop: Option<Stop>,
    /// The last bytes of the serial port, which a position `serial=TEXT` is compared with.
    pub serial: Vec<u8>,
    /// The same of the debug console.
    pub debugcon: Vec<u8>,
    /// Requests that are expected to be answered and are not yet.
    pub open_requests: Vec<Request>,
}

/// What counts is below this in any run that there can be, so that nothing overflows that goes on from there.
const COUNTS_MAX: u64 = u64::MAX >> 1;

impl Parts {
    /// What no part of its own can check.
    fn check(&self) -> Result<(), String> {
        let (stats, traffic) = (&self.cpu.tlb.stats, &self.traffic);
        let counts = [
            ("cpu.tlb.stats.walks", stats.walks),
            ("cpu.tlb.stats.walk_reads", stats.walk_reads),
            ("cpu.tlb.stats.flushes", stats.flushes),
            ("cpu.insns", self.cpu.insns),
            ("tracer.next_id", self.tracer.next_id),
            ("frames_in", self.frames_in),
            ("frames_out", self.frames_out),
            ("interrupts", self.interrupts),
            ("traffic.reads", traffic.reads),
            ("traffic.writes", traffic.writes),
            ("traffic.bytes", traffic.bytes),
        ];
        if let Some((name, value)) = counts.iter().find(|(_, value)| *value > COUNTS_MAX) {
            return Err(format!("{name}: no run counts to {value}"));
        }
        if !self.events.is_sound() {
            return Err("events: their numbers contradict each other".to_owned());
        }
        Ok(())
    }
}

/// Whether the memory under the processor is the one that it decoded code from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ram {
    /// Decoded code is of no use.
    Another,
    /// It stays, but for what memory knows to have changed.
    Same,
}

impl Machine {
    /// The state of every part.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let Platform {
            devices,
            board,
            cable,
            frames_in,
            interrupts,
            arrival,
            // Follows from BARs.
            map: _,
            // In [`Watched`].
            stop: _,
            serial: _,
            debugcon: _,
            // Of the call of `run` in progress.
            goal: _,
            // Whoever changes a frame makes another run.
            changed_frame: _,
        } = &self.platform;
        let Devices { nic, host_bridge, lpc, bridge, config_ports, pit, rtc, uart, acpi_pm, kbc, debug_port } =
            devices;
        let Board {
            fabric,
            remapping,
            lapics,
            ioapic,
            pic,
            traffic,
            // Kept by pages.
            mem: _,
            // The scenario's.
            timing: _,
            // An observer.
            sanitizer: _,
        } = board;
        // Time is the processor's, between instructions.
        let Fabric { events, signals, tracer, now: _ } = fabric;
        Parts {
            cpu: self.cpu.state(),
            events: events.clone(),
            signals: signals.clone(),
            tracer: tracer.state().clone(),
            iommus: remapping.units().iter().map(|unit| unit.state().clone()).collect(),
            lapics: lapics.iter().map(|lapic| lapic.state().clone()).collect(),
            ioapic: ioapic.state().clone(),
            pic: pic.state().clone(),
            nic: nic.state().clone(),
            host_bridge: host_bridge.state(),
            lpc: lpc.state(),
            bridge: bridge.as_ref().map(pci::PciBridge::state),
            config_ports: config_ports.clone(),
            pit: pit.state().clone(),
            rtc: rtc.state().clone(),
            uart: uart.state().clone(),
            acpi_pm: acpi_pm.state().clone(),
            kbc: kbc.state().clone(),
            debug_port: debug_port.state().clone(),
            network: emu_net::NetBackend::state(cable),
            frames_in: *frames_in,
            frames_out: cable.sent,
            interrupts: *interrupts,
            traffic: *traffic,
            arrival: *arrival,
        }
    }

    /// What is watched from outside.
    #[must_use]
    pub fn watched(&self) -> Watched {
        let Platform { stop, serial, debugcon, cable, .. } = &self.platform;
        Watched {
            stop: stop.clone(),
            serial: serial.tail().to_vec(),
            debugcon: debugcon.tail().to_vec(),
            open_requests: cable
                .questions
                .as_ref()
                .map(|questions| questions.open.clone())
                .unwrap_or_default(),
        }
    }

    /// Goes on from the state of every part; says which part refuses and why.
    pub(super) fn restore_parts(&mut self, parts: Parts, memory: Ram) -> Result<(), String> {
        fn named<E: std::fmt::Display>(part: &str, result: Result<(), E>) -> Result<(), String> {
            result.map_err(|error| {
                let error = error.to_string();
                if error.starts_with(part) { error } else { format!("{part}: {error}") }
            })
        }
        parts.check()?;
        let Parts {
            cpu,
            events,
            signals,
            tracer,
            iommus,
            lapics,
            ioapic,
            pic,
            nic,
            host_bridge,
            lpc,
            bridge,
            config_ports,
            pit,
            rtc,
            uart,
            acpi_pm,
            kbc,
            debug_port,
            network,
            frames_in,
            frames_out,
            interrupts,
            traffic,
            arrival,
        } = parts;
        let platform = &mut self.platform;
        let (board, devices) = (&mut platform.board, &mut platform.devices);
        named(
            "cpu",
            match memory {
                Ram::Another => self.cpu.restore(cpu),
                Ram::Same => self.cpu.rewind(cpu),
            },
        )?;
        board.fabric.events = events;
        board.fabric.signals = signals;
        board.fabric.tracer.restore(tracer);
        if board.remapping.units().len() != iommus.len() {
            return Err("iommus: the state is of another machine".to_owned());
        }
        for (unit, state) in board.remapping.units_mut().iter_mut().zip(iommus) {
            named("iommus", unit.restore(state))?;
        }
        if board.lapics.len() != lapics.len() {
            return Err("lapics: the state is of another machine".to_owned());
        }
        for (lapic, state) in board.lapics.iter_mut().zip(lapics) {
            named("lapics", lapic.restore(state))?;
        }
        named("ioapic", board.ioapic.restore(ioapic))?;
        named("pic", board.pic.restore(pic))?;
        named("nic", devices.nic.restore(nic))?;
        named("host_bridge", devices.host_bridge.restore(&host_bridge))?;
        named("lpc", devices.lpc.restore(&lpc))?;
        match (&mut devices.bridge, bridge) {
            (Some(bridge), Some(state)) => named("bridge", bridge.restore(&state))?,
            (None, None) => {}
            _ => return Err("bridge: the state is of another machine".to_owned()),
        }
        named("config_ports", devices.config_ports.restore(config_ports))?;
        named("pit", devices.pit.restore(pit))?;
        named("rtc", devices.rtc.restore(rtc))?;
        named("uart", devices.uart.restore(uart))?;
        named("acpi_pm", devices.acpi_pm.restore(acpi_pm))?;
        named("kbc", devices.kbc.restore(kbc))?;
        named("debug_port", devices.debug_port.restore(debug_port))?;
        named("network", emu_net::NetBackend::restore(&mut platform.cable, network))?;
        platform.frames_in = frames_in;
        platform.cable.sent = frames_out;
        platform.interrupts = interrupts;
        platform.board.traffic = traffic;
        platform.arrival = arrival;
        platform.board.fabric.now = self.cpu.now();
        platform.lay_regions();
        Ok(())
    }

    /// Goes on being watched from there.
    pub(super) fn restore_watched(&mut self, watched: Watched) {
        let Watched { stop, serial, debugcon, open_requests } = watched;
        let platform = &mut self.platform;
        platform.stop = stop;
        platform.serial.rewind(serial);
        platform.debugcon.rewind(debugcon);
        if let Some(questions) = &mut platform.cable.questions {
            questions.open = open_requests;
        }
    }
}
