//! The 256 bytes of a conventional function's configuration space: what is writable, what clears on writing 1, what
//! the BARs and the command register decode. Not what a write means to the chip behind it.
//!
//! PCI Local Bus 3.0, chapter 6.

use super::bar::{BARS, Bar, BarKind, Space, Window, Windows};
use super::spec;
use crate::RestoreError;
use emu_core::{Msi, Width};
use serde::{Deserialize, Serialize};

/// Bytes of a conventional function's configuration space.
pub const CONFIG_SIZE: u16 = 256;
const SIZE: usize = CONFIG_SIZE as usize;

/// What a snapshot keeps of a configuration space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigState {
    /// All 256 bytes.
    pub bytes: Vec<u8>,
}

/// Who the function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class code: base class, subclass, programming interface.
    pub class: u32,
    /// Subsystem vendor ID.
    pub subsystem_vendor: u16,
    /// Subsystem ID.
    pub subsystem: u16,
}

/// Configuration space with its rules. Built once by the chip's constructor; only the bytes change afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSpace {
    bytes: [u8; SIZE],
    reset: [u8; SIZE],
    /// Bits that software sets and clears.
    writable: [u8; SIZE],
    /// Bits that software clears by writing 1.
    clears: [u8; SIZE],
    bars: [Option<Bar>; BARS],
    power: Option<u16>,
    msi: Option<u16>,
    last_capability: u16,
}

impl ConfigSpace {
    /// A header of type 0 with nothing decoded and no capability.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let mut space = Self {
            bytes: [0; SIZE],
            reset: [0; SIZE],
            writable: [0; SIZE],
            clears: [0; SIZE],
            bars: [None; BARS],
            power: None,
            msi: None,
            last_capability: 0,
        };
        space.preset(spec::VENDOR_ID, Width::B2, u32::from(identity.vendor));
        space.preset(spec::DEVICE_ID, Width::B2, u32::from(identity.device));
        space.preset(spec::REVISION, Width::B4, identity.class << 8 | u32::from(identity.revision));
        space.preset(spec::SUBSYSTEM_VENDOR, Width::B2, u32::from(identity.subsystem_vendor));
        space.preset(spec::SUBSYSTEM, Width::B2, u32::from(identity.subsystem));
        put(&mut space.clears, spec::STATUS, Width::B2, u32::from(spec::STATUS_RW1C));
        space
    }

    /// Gives a register its reset value.
    pub fn preset(&mut self, offset: u16, width: Width, value: u32) {
        put(&mut self.reset, offset, width, value);
        put(&mut self.bytes, offset, width, value);
    }

    /// Makes bits of a register writable, besides those that are already.
    pub fn allow(&mut self, offset: u16, width: Width, mask: u32) {
        let mask = mask | get(&self.writable, offset, width);
        put(&mut self.writable, offset, width, mask);
    }

    /// Makes bits of a register ones that software clears by writing 1.
    pub fn clear_by_one(&mut self, offset: u16, width: Width, mask: u16) {
        put(&mut self.clears, offset, width, u32::from(mask));
    }

    /// Adds a BAR of `size` bytes (a power of two) at register `index`; a 64-bit one takes the next register too.
    pub fn add_bar(&mut self, index: u8, kind: BarKind, size: u64) {
        let bar = Bar { index, kind, size };
        assert!(usize::from(bar.last_index()) < BARS && size.is_power_of_two() && size >= bar.min_size());
        let low_mask = !(size - 1);
        self.preset(bar.offset(), Width::B4, bar.type_bits());
        self.allow(bar.offset(), Width::B4, low_mask as u32);
        if kind == BarKind::Memory64 {
            self.allow(bar.offset() + 4, Width::B4, (low_mask >> 32) as u32);
        }
        self.bars[usize::from(index)] = Some(bar);
    }

    /// Links a capability that lies at `offset` to the end of the list.
    fn add_capability(&mut self, offset: u16, id: u8) {
        let link = if self.last_capability == 0 { spec::CAPABILITIES } else { self.last_capability + 1 };
        self.preset(link, Width::B1, u32::from(offset));
        self.preset(offset, Width::B2, u32::from(id));
        let status = get(&self.reset, spec::STATUS, Width::B2) | u32::from(spec::STATUS_CAPABILITIES);
        self.preset(spec::STATUS, Width::B2, status);
        self.last_capability = offset;
    }

    /// Adds the power management capability with the states D0 and D3hot. `capabilities` is the PMC register.
    pub fn add_power_management(&mut self, offset: u16, capabilities: u16) {
        self.add_capability(offset, spec::CAP_POWER);
        self.preset(offset + spec::PMC, Width::B2, u32::from(capabilities));
        let rw = spec::PMCSR_STATE | spec::PMCSR_PME_ENABLE | spec::PMCSR_DATA_SELECT;
        self.allow(offset + spec::PMCSR, Width::B2, u32::from(rw));
        put(&mut self.clears, offset + spec::PMCSR, Width::B2, u32::from(spec::PMCSR_PME_STATUS));
        self.power = Some(offset);
    }

    /// Adds the PCI Express capability, version 1, of a function of this kind with a link of one lane at 2.5 GT/s (PCI Express
    /// Base 1.1, 7.8). What its controls set has no effect here.
    pub fn add_express(&mut self, offset: u16, kind: u16) {
        self.add_capability(offset, spec::CAP_EXPRESS);
        self.preset(offset + spec::EXPRESS_CAPABILITIES, Width::B2, u32::from(kind << 4 | 1));
        self.allow(offset + spec::EXPRESS_DEVICE_CONTROL, Width::B2, 0xf8ff);
        self.clear_by_one(offset + spec::EXPRESS_DEVICE_STATUS, Width::B2, 0xf);
        self.preset(offset + spec::EXPRESS_LINK, Width::B4, spec::LINK_ONE_LANE);
        self.allow(offset + spec::EXPRESS_LINK_CONTROL, Width::B2, 0xc3);
        self.preset(offset + spec::EXPRESS_LINK_STATUS, Width::B2, spec::LINK_ONE_LANE);
    }

    /// Adds the MSI capability: one message, 64-bit address, no masking.
    pub fn add_msi(&mut self, offset: u16) {
        self.add_capability(offset, spec::CAP_MSI);
        self.preset(offset + spec::MSI_CONTROL, Width::B2, u32::from(spec::MSI_CONTROL_64));
        let control = spec::MSI_CONTROL_ENABLE | spec::MSI_CONTROL_MULTIPLE;
        self.allow(offset + spec::MSI_CONTROL, Width::B2, u32::from(control));
        self.allow(offset + spec::MSI_ADDRESS, Width::B4, !3);
        self.allow(offset + spec::MSI_ADDRESS_HIGH, Width::B4, !0);
        self.allow(offset + spec::MSI_DATA, Width::B2, 0xffff);
        self.msi = Some(offset);
    }

    /// Reads; all-ones beyond byte 255, as a conventional function's extended space answers. An 8-byte read is two.
    #[must_use]
    pub fn read(&self, offset: u16, width: Width) -> u32 {
        (0..width.bytes().min(4) as u16).fold(0, |value, index| {
            let byte = self.bytes.get(usize::from(offset.wrapping_add(index))).copied().unwrap_or(0xff);
            value | u32::from(byte) << (index * 8)
        })
    }

    /// Writes what is writable and clears what clears. Every byte enable is its own write; bytes beyond 255 vanish.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        let power_before = self.power_state();
        for index in 0..width.bytes().min(4) as u16 {
            let at = usize::from(offset.wrapping_add(index));
            let Some(byte) = self.bytes.get_mut(at) else { continue };
            let new = (value >> (index * 8)) as u8;
            let (writable, clears) = (self.writable[at], self.clears[at]);
            *byte = (*byte & !writable | new & writable) & !(new & clears);
        }
        self.settle_power(power_before);
    }

    /// A write of a power state that the function doesn't have is discarded (PCI PM 1.2, 3.2.4); a function that comes
    /// from D3hot to D0 starts uninitialized, for No_Soft_Reset reads 0.
    fn settle_power(&mut self, before: u8) {
        let Some(cap) = self.power else { return };
        let after = self.power_state();
        if after == 1 || after == 2 {
            let register = self.read(cap + spec::PMCSR, Width::B2) as u16;
            let kept = register & !spec::PMCSR_STATE | u16::from(before);
            put(&mut self.bytes, cap + spec::PMCSR, Width::B2, u32::from(kept));
        } else if before == 3 && after == 0 {
            let kept = self.read(cap + spec::PMCSR, Width::B2);
            self.reset();
            put(&mut self.bytes, cap + spec::PMCSR, Width::B2, kept);
        }
    }

    /// Puts every register back to its reset value.
    pub fn reset(&mut self) {
        self.bytes = self.reset;
    }

    /// Power state: 0 is D0, 3 is D3hot.
    #[must_use]
    pub fn power_state(&self) -> u8 {
        self.power.map_or(0, |cap| (self.read(cap + spec::PMCSR, Width::B2) as u16 & spec::PMCSR_STATE) as u8)
    }

    /// The command register.
    #[must_use]
    pub fn command(&self) -> u16 {
        self.read(spec::COMMAND, Width::B2) as u16
    }

    /// Whether the function may be bus master now: Command.BusMaster, and not asleep.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.command() & spec::COMMAND_MASTER != 0 && self.power_state() == 0
    }

    /// Whether INTx# may be driven: not disabled, not replaced by MSI, not asleep.
    #[must_use]
    pub fn intx_enabled(&self) -> bool {
        self.command() & spec::COMMAND_INTX_DISABLE == 0 && !self.msi_enabled() && self.power_state() == 0
    }

    /// Whether MSI is the function's way to interrupt.
    #[must_use]
    pub fn msi_enabled(&self) -> bool {
        self.msi.is_some_and(|cap| {
            self.read(cap + spec::MSI_CONTROL, Width::B2) as u16 & spec::MSI_CONTROL_ENABLE != 0
        })
    }

    /// The message that means an interrupt, if MSI is enabled and the function awake.
    #[must_use]
    pub fn msi(&self) -> Option<Msi> {
        let cap = self.msi.filter(|_| self.msi_enabled() && self.power_state() == 0)?;
        let low = u64::from(self.read(cap + spec::MSI_ADDRESS, Width::B4));
        let high = u64::from(self.read(cap + spec::MSI_ADDRESS_HIGH, Width::B4));
        Some(Msi { address: high << 32 | low, data: self.read(cap + spec::MSI_DATA, Width::B2) })
    }

    /// Status.Interrupt: set by the function, read-only to software.
    pub fn set_interrupt_status(&mut self, pending: bool) {
        let status = self.read(spec::STATUS, Width::B2) as u16;
        let bit = if pending { spec::STATUS_INTERRUPT } else { 0 };
        put(&mut self.bytes, spec::STATUS, Width::B2, u32::from(status & !spec::STATUS_INTERRUPT | bit));
    }

    /// Sets error bits in the status register; software clears them.
    pub fn raise_status(&mut self, bits: u16) {
        let status = self.read(spec::STATUS, Width::B2) as u16 | bits & spec::STATUS_RW1C;
        put(&mut self.bytes, spec::STATUS, Width::B2, u32::from(status));
    }

    /// The BARs that there are, with the base each holds now, whether decoded or not.
    pub fn bars(&self) -> impl Iterator<Item = Window> + '_ {
        self.bars.iter().flatten().map(|bar| bar.window(self.bar_base(bar)))
    }

    fn bar_base(&self, bar: &Bar) -> u64 {
        let low = u64::from(self.read(bar.offset(), Width::B4)) & !(bar.min_size() - 1);
        match bar.kind {
            BarKind::Memory32 | BarKind::Io => low,
            BarKind::Memory64 => u64::from(self.read(bar.offset() + 4, Width::B4)) << 32 | low,
        }
    }

    /// What the function decodes now: BARs whose space the command register enables, while awake.
    #[must_use]
    pub fn windows(&self) -> Windows {
        let command = self.command();
        let mut windows = [None; BARS];
        if self.power_state() != 0 {
            return windows;
        }
        for window in self.bars() {
            let enabled = match window.space {
                Space::Memory => command & spec::COMMAND_MEMORY != 0,
                Space::Io => command & spec::COMMAND_IO != 0 && window.base + window.size <= 1 << 16,
            };
            if enabled {
                windows[usize::from(window.bar)] = Some(window);
            }
        }
        windows
    }

    /// What a snapshot keeps.
    #[must_use]
    pub fn state(&self) -> ConfigState {
        ConfigState { bytes: self.bytes.to_vec() }
    }

    /// Goes on from a snapshot; read-only bits must be what this function has.
    pub fn restore(&mut self, state: &ConfigState) -> Result<(), RestoreError> {
        let error = |what| RestoreError { chip: "pci", what };
        let bytes: [u8; SIZE] =
            state.bytes.as_slice().try_into().map_err(|_| error("configuration space is not 256 bytes"))?;
        for (at, byte) in bytes.iter().enumerate() {
            let hardware = if at == usize::from(spec::STATUS) { spec::STATUS_INTERRUPT as u8 } else { 0 };
            if (byte ^ self.reset[at]) & !(self.writable[at] | self.clears[at] | hardware) != 0 {
                return Err(error("a read-only configuration bit differs"));
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

fn get(bytes: &[u8; SIZE], offset: u16, width: Width) -> u32 {
    let at = usize::from(offset);
    bytes[at..at + width.bytes() as usize].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// Own constants only: an offset that doesn't fit is our mistake.
fn put(bytes: &mut [u8; SIZE], offset: u16, width: Width, value: u32) {
    let at = usize::from(offset);
    let len = width.bytes() as usize;
    bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
}
