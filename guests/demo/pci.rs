//! PCI: finding functions and setting up the one that we drive.
//!
//! PCI Local Bus Specification 3.0: 3.2.2.3.2 (configuration mechanism #1), 6.1 (header), 6.2.5.1 (base
//! addresses), 6.8.1 (MSI). PCI-to-PCI Bridge Architecture 1.2: 3.2.5.4 (bus numbers).

use crate::cpu::{inl, outl};
use crate::log;
use core::fmt;

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u32 = 1 << 31;

const ID: u8 = 0x00;
const COMMAND: u8 = 0x04;
const CLASS: u8 = 0x08;
const HEADER: u8 = 0x0c;
const BAR0: u8 = 0x10;
const BRIDGE_BUSES: u8 = 0x18;
const CAPABILITIES: u8 = 0x34;
const INTERRUPT: u8 = 0x3c;

const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
/// With MSI the pin stays quiet.
const COMMAND_INTX_DISABLE: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const HEADER_MULTI_FUNCTION: u32 = 1 << 23;
const HEADER_BRIDGE: u32 = 1;

const CAPABILITY_MSI: u8 = 0x05;
const CAPABILITY_EXPRESS: u8 = 0x10;
/// Express capabilities, bits 7:4 of the register at 2: a bridge to conventional PCI.
const EXPRESS_TO_PCI: u32 = 7;
const MSI_ENABLE: u32 = 1 << 16;
const MSI_64_BIT: u32 = 1 << 23;
/// Multiple Message Enable: zero, one vector.
const MSI_MULTIPLE: u32 = 0b111 << 20;
/// A list of capabilities fits into 192 bytes; more links than that are a loop.
const MAX_CAPABILITIES: usize = 48;

/// Where a base address that the firmware left at zero is put.
const UNASSIGNED_BASE: u32 = 0xfeb8_0000;

/// Bus, device and function: what VT-d calls a source id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bdf(pub u16);

impl Bdf {
    /// From its three parts.
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self((bus as u16) << 8 | (device as u16 & 0x1f) << 3 | function as u16 & 7)
    }

    /// From `bb:dd.f` in hexadecimal.
    pub fn parse(text: &str) -> Option<Self> {
        let (bus, rest) = text.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let part = |digits, end| u8::from_str_radix(digits, 16).ok().filter(|value| u16::from(*value) < end);
        Some(Self::new(part(bus, 0x100)?, part(device, 0x20)?, part(function, 8)?))
    }

    /// The bus number.
    pub fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Device and function, the index into a context table.
    pub fn device_function(self) -> u8 {
        self.0 as u8
    }

    fn device(self) -> u8 {
        self.device_function() >> 3
    }

    fn function(self) -> u8 {
        self.device_function() & 7
    }

    fn select(self, register: u8) {
        outl(CONFIG_ADDRESS, CONFIG_ENABLE | u32::from(self.0) << 8 | u32::from(register & 0xfc));
    }

    fn read(self, register: u8) -> u32 {
        self.select(register);
        inl(CONFIG_DATA)
    }

    fn write(self, register: u8, value: u32) {
        self.select(register);
        outl(CONFIG_DATA, value);
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

/// A function that answered.
#[derive(Clone, Copy)]
pub struct Function {
    /// Where it is.
    pub bdf: Bdf,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
}

/// Prints every function on bus 0 and behind its bridges, and returns the first that `wanted` picks.
pub fn find(wanted: impl Fn(&Function) -> bool) -> Option<Function> {
    let mut found = None;
    // One bit a bus; each bus is scanned once, whatever the bridges say.
    let mut to_scan = [1u64, 0, 0, 0];
    let mut scanned = [0u64; 4];
    while let Some(word) = (0..4).find(|&word| to_scan[word] & !scanned[word] != 0) {
        let bit = (to_scan[word] & !scanned[word]).trailing_zeros();
        scanned[word] |= 1 << bit;
        scan_bus(word as u8 * 64 + bit as u8, &mut |function| {
            if let Some(behind) = report(&function) {
                to_scan[usize::from(behind / 64)] |= 1 << (behind % 64);
            }
            if found.is_none() && wanted(&function) {
                found = Some(function);
            }
        });
    }
    found
}

fn scan_bus(bus: u8, visit: &mut impl FnMut(Function)) {
    for device in 0..32 {
        let mut functions = 1;
        let mut number = 0;
        while number < functions {
            let bdf = Bdf::new(bus, device, number);
            let id = bdf.read(ID);
            if id as u16 != 0xffff {
                if number == 0 && bdf.read(HEADER) & HEADER_MULTI_FUNCTION != 0 {
                    functions = 8;
                }
                visit(Function { bdf, vendor: id as u16, device: (id >> 16) as u16 });
            }
            number += 1;
        }
    }
}

/// Prints a function; returns the bus behind it if it is a bridge.
fn report(function: &Function) -> Option<u8> {
    let bdf = function.bdf;
    let class = bdf.read(CLASS) >> 8;
    log!("pci: {bdf} {:04x}:{:04x} class {class:06x}", function.vendor, function.device);
    (bdf.read(HEADER) >> 16 & 0x7f == HEADER_BRIDGE).then(|| (bdf.read(BRIDGE_BUSES) >> 8) as u8)
}

impl Function {
    /// The physical address of the registers behind BAR0, which is given one if it has none. Memory decoding
    /// and bus mastering are on afterwards.
    pub fn enable(&self) -> Option<u64> {
        let command = self.bdf.read(COMMAND) & 0xffff;
        // A base address must not be probed while it is decoded.
        self.bdf.write(COMMAND, command & !COMMAND_MEMORY);
        let base = self.bdf.read(BAR0);
        self.bdf.write(BAR0, u32::MAX);
        let size = (self.bdf.read(BAR0) & !0xf).wrapping_neg();
        let assigned = if base & !0xf == 0 { UNASSIGNED_BASE } else { base };
        self.bdf.write(BAR0, assigned);
        if base & 1 != 0 || size == 0 {
            return None;
        }
        self.bdf.write(COMMAND, command | COMMAND_MEMORY | COMMAND_BUS_MASTER);
        log!("pci: {} registers at {:#x}, {} KiB, bus master on", self.bdf, assigned & !0xf, size >> 10);
        Some(u64::from(assigned & !0xf))
    }

    /// The bridge on bus 0 that it stands behind, if there is one.
    fn bridge(&self) -> Option<Self> {
        let bus = self.bdf.bus();
        (0..32).map(|device| Self { bdf: Bdf::new(0, device, 0), ..*self }).find(|bridge| {
            let is_bridge = bridge.bdf.read(HEADER) >> 16 & 0x7f == HEADER_BRIDGE;
            is_bridge && bus != 0 && (bridge.bdf.read(BRIDGE_BUSES) >> 8) as u8 == bus
        })
    }

    /// Who its requests say that they are from. On conventional PCI nobody says it, so that a bridge from Express speaks for all
    /// behind it as device 0 of their bus (PCI Express to PCI/PCI-X Bridge Specification 1.0, 2.3).
    pub fn requester(&self) -> Bdf {
        let kind = |bridge: Self| Some(bridge.bdf.read(bridge.capability(CAPABILITY_EXPRESS)?) >> 20 & 0xf);
        match self.bridge().and_then(kind) {
            Some(EXPRESS_TO_PCI) => Bdf::new(self.bdf.bus(), 0, 0),
            _ => self.bdf,
        }
    }

    /// Which pin of the root bus its INTA# is: behind a bridge they go round by device (PCI-to-PCI Bridge 1.2, 9.1).
    pub fn root_pin(&self) -> u8 {
        if self.bridge().is_some() { self.bdf.device() % 4 } else { 0 }
    }

    /// The interrupt line register: on a machine with an I/O APIC, the pin that the firmware routed INTA# to.
    pub fn interrupt_line(&self) -> u8 {
        self.bdf.read(INTERRUPT) as u8
    }

    /// Sends interrupts as this message instead of by the pin; false if the function cannot.
    pub fn enable_msi(&self, address: u32, data: u16) -> bool {
        let Some(capability) = self.capability(CAPABILITY_MSI) else { return false };
        let control = self.bdf.read(capability);
        self.bdf.write(capability + 4, address);
        let data_register = if control & MSI_64_BIT != 0 {
            self.bdf.write(capability + 8, 0);
            capability + 12
        } else {
            capability + 8
        };
        self.bdf.write(data_register, u32::from(data));
        self.bdf.write(capability, control & !MSI_MULTIPLE | MSI_ENABLE);
        self.bdf.write(COMMAND, self.bdf.read(COMMAND) & 0xffff | COMMAND_INTX_DISABLE);
        true
    }

    fn capability(&self, wanted: u8) -> Option<u8> {
        if self.bdf.read(COMMAND) & STATUS_CAPABILITIES == 0 {
            return None;
        }
        let mut at = self.bdf.read(CAPABILITIES) as u8 & 0xfc;
        for _ in 0..MAX_CAPABILITIES {
            if at == 0 {
                break;
            }
            let header = self.bdf.read(at);
            if header as u8 == wanted {
                return Some(at);
            }
            at = (header >> 8) as u8 & 0xfc;
        }
        None
    }
}
