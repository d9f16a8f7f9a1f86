//! The demo guest of Glassbox: a freestanding x86-64 program that drives an e1000 behind VT-d by interrupts
//! and answers ARP, ICMP echo and UDP echo. It has no operating system under it and no crate beside it;
//! build.rs of the project compiles it with `rustc` alone.
//!
//! What it is for: to make everything happen that a real driver makes happen between the wire and memory, and
//! to be short enough to be read. What it is not: a network stack. README.md lists the command line and how
//! to run it elsewhere.

#![no_std]
#![no_main]

mod boot;
mod cmdline;
mod console;
mod cpu;
mod dma;
mod e1000;
mod exit;
mod experiment;
mod gdt;
mod idt;
mod ioapic;
mod lapic;
mod mem;
mod net;
mod paging;
mod pci;
mod pic;
mod serve;
mod timer;
mod vtd;

use cmdline::{Config, Irq, Mode};
use dma::{Addressing, MAX_RING, Slot};
use e1000::{Model, Nic};
use exit::{Verdict, exit};
use experiment::Experiment;
use net::Station;
use pci::{Bdf, Function};
use serve::{Counts, Server};
use vtd::Vtd;
use vtd::remap::{self, Handle};

/// The NIC's entry in the interrupt remap table: any but 0, which a forgotten handle would be.
const NIC_HANDLE: Handle = Handle(5);

/// Short enough that every buffer comes round three times in a few dozen frames.
const STALE_RING: usize = 8;

/// Where boot.s comes to, with the physical address of the loader's information.
extern "C" fn demo_main(start_info: u64) -> ! {
    console::init();
    let line = boot::command_line(start_info);
    let config = Config::parse(line);
    console::select(config.console);
    log!("demo: command line `{line}`");

    gdt::init();
    idt::init();
    paging::init();
    pic::mask_all();
    lapic::init();
    ioapic::mask_all();
    cpu::enable_interrupts();
    timer::init(config.lapic_hz);

    let Some(function) = pci::find(|function| Model::of(function).is_some()) else {
        fail!(Nic, "pci: no e1000 found")
    };
    let mut server = start(&config, function);
    server.wait_for_link(&config);
    log!("demo: {} at {} is ready", server.station.ip, server.station.mac);
    server.run(config.idle_ms);
    exit(if server.summarize() { Verdict::Success } else { Verdict::Experiment })
}

/// Brings everything up between the NIC and the CPU, in an order in which nothing is used before it is ready.
fn start(config: &Config, function: Function) -> Server {
    let default_ring = if config.mode == Mode::Stale { STALE_RING } else { MAX_RING };
    let rx_ring = config.rx_ring.unwrap_or(default_ring);
    let experiment = Experiment::new(config, rx_ring.min(MAX_RING));
    let Some((model, base)) = Model::of(&function).zip(function.enable()) else {
        fail!(Nic, "pci: {} has no memory at BAR0", function.bdf)
    };
    let mut vtd = config.vtd.map(|base| start_vtd(config, base, function.requester(), &experiment));
    let remapped = config.interrupt_remapping && vtd.is_some();
    route_interrupt(config, function, if remapped { vtd.as_mut() } else { None });

    let addressing = if vtd.is_some() { Addressing::Translated } else { Addressing::Physical };
    let nic = Nic::new(model, base, addressing, rx_ring);
    let station = Station { mac: nic.mac(), ip: config.ip };
    Server { nic, vtd, experiment, station, log_frames: config.log_frames, counts: Counts::default() }
}

fn start_vtd(config: &Config, base: u64, nic: Bdf, experiment: &Experiment) -> Vtd {
    let mut vtd = Vtd::new(base, nic);
    if config.interrupt_remapping {
        vtd.enable_interrupt_remapping();
    }
    vtd.enable_fault_event(idt::FAULT_VECTOR, lapic::id());
    for slot in Slot::all() {
        vtd.map(slot.iova(), slot.page().phys(), slot.access());
    }
    experiment.prepare(config, &mut vtd);
    vtd.enable_translation();
    vtd
}

/// Makes the NIC's interrupt reach the CPU: by pin or by message, through the remap table if there is one.
fn route_interrupt(config: &Config, function: Function, vtd: Option<&mut Vtd>) {
    let (vector, destination) = (idt::NIC_VECTOR, lapic::id());
    let remapped = vtd.is_some();
    if let Some(vtd) = vtd {
        let (source, level) = match config.irq {
            Irq::Intx => (config.ioapic_sid, true),
            Irq::Msi => (function.requester(), false),
        };
        vtd.remap_interrupt(NIC_HANDLE, remap::Entry { vector, destination, level, source });
        log!(
            "vtd: interrupt entry {}: vector {vector:#x}, CPU {destination}, only from {source}",
            NIC_HANDLE.0
        );
    }
    match config.irq {
        Irq::Intx => {
            let pin = config.nic_gsi.map_or(function.interrupt_line(), |gsi| gsi.wrapping_add(function.root_pin()));
            if u32::from(pin) >= ioapic::pins() {
                fail!(Usage, "ioapic: there is no pin {pin}; nic-gsi= says which one the NIC has");
            }
            if remapped {
                ioapic::route_pci_remapped(pin, vector, NIC_HANDLE);
            } else {
                ioapic::route_pci(pin, vector, destination);
            }
            log!("ioapic: pin {pin} to vector {vector:#x}, remapped: {remapped}");
        }
        Irq::Msi => {
            let (address, data) = if remapped {
                (NIC_HANDLE.msi_address(), 0)
            } else {
                (remap::compatibility_address(destination), u16::from(vector))
            };
            if !function.enable_msi(address, data) {
                fail!(Nic, "pci: {} has no MSI", function.bdf);
            }
            log!("pci: {} sends MSI {address:#x} {data:#x}", function.bdf);
        }
    }
}
