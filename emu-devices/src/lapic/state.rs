//! What of a local APIC is saved, and its values after reset (SDM vol. 3A, 12.4.7.1).

use super::spec::{BASE_BSP, BASE_DEFAULT, BASE_EN, BASE_EXTD, LVT_MASKED, Lvt};
use super::{Config, Mode};
use crate::RestoreError;
use emu_core::VirtTime;
use emu_core::trace::RecordId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// 256 bits, one for each vector, least significant first.
pub type Vectors = [u64; 4];

/// The timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimerState {
    /// Divide configuration register.
    pub divide: u32,
    /// Initial count register.
    pub initial: u32,
    /// Counts down since [`Self::start`], in one-shot and periodic mode.
    pub running: bool,
    /// When the count was [`Self::first`].
    pub start: VirtTime,
    /// The count at [`Self::start`]: the initial count, or less after a change of divider or mode.
    pub first: u32,
    /// IA32_TSC_DEADLINE; 0 is disarmed.
    pub deadline: u64,
    /// What the processor's TSC is ahead of the TSC clock's ticks since power-on, modulo 2^64.
    pub tsc_offset: u64,
}

/// Something that waits for the processor to take it, with the record that brought it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latch {
    /// It waits.
    pub set: bool,
    /// Who brought it first.
    pub cause: Option<RecordId>,
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LapicState {
    /// IA32_APIC_BASE.
    pub base: u64,
    /// Task priority.
    pub tpr: u8,
    /// Logical destination as xAPIC mode has it.
    pub ldr: u32,
    /// Destination format.
    pub dfr: u32,
    /// Spurious-interrupt vector.
    pub svr: u32,
    /// In-service.
    pub isr: Vectors,
    /// Trigger mode.
    pub tmr: Vectors,
    /// Interrupt request.
    pub irr: Vectors,
    /// ESR as the last write latched it.
    pub esr: u32,
    /// Errors since that write.
    pub errors: u32,
    /// Interrupt command.
    pub icr: u64,
    /// Local vector table in the order of [`Lvt::ALL`].
    pub lvt: [u32; 7],
    /// The timer.
    pub timer: TimerState,
    /// Levels at the LINT0 and LINT1 pins.
    pub lint: [bool; 2],
    /// NMI.
    pub nmi: Latch,
    /// SMI.
    pub smi: Latch,
    /// INIT.
    pub init: Latch,
    /// Start-up IPI.
    pub start_up: Latch,
    /// Its vector.
    pub start_up_page: u8,
    /// An ExtINT message: the 8259 pair has the vector.
    pub ext_int: Latch,
    /// For each vector in IRR, the record that set the bit.
    pub causes: BTreeMap<u8, RecordId>,
}

impl LapicState {
    /// After power-on.
    pub(super) fn reset(config: &Config) -> Self {
        let bsp = if config.bsp { BASE_BSP } else { 0 };
        Self {
            base: BASE_DEFAULT | BASE_EN | bsp,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xff,
            isr: [0; 4],
            tmr: [0; 4],
            irr: [0; 4],
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [LVT_MASKED; 7],
            timer: TimerState::default(),
            lint: [false; 2],
            nmi: Latch::default(),
            smi: Latch::default(),
            init: Latch::default(),
            start_up: Latch::default(),
            start_up_page: 0,
            ext_int: Latch::default(),
            causes: BTreeMap::new(),
        }
    }

    /// The mode that IA32_APIC_BASE says; `None` for the combination that can't be written.
    pub(super) const fn mode(&self) -> Option<Mode> {
        match (self.base & BASE_EN != 0, self.base & BASE_EXTD != 0) {
            (false, false) => Some(Mode::Disabled),
            (true, false) => Some(Mode::XApic),
            (true, true) => Some(Mode::X2Apic),
            (false, true) => None,
        }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self, config: &Config) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "local APIC", what);
        let mode = self.mode();
        unless(self.base & config.base_reserved() == 0 && mode.is_some(), "impossible IA32_APIC_BASE")?;
        unless((self.base & BASE_BSP != 0) == config.bsp, "another processor's IA32_APIC_BASE")?;
        unless(config.x2apic || mode != Some(Mode::X2Apic), "x2APIC mode on a processor without it")?;
        unless(self.svr & !config.svr_valid() == 0, "reserved SVR bits")?;
        unless(self.timer.divide & !0xb == 0, "reserved divide configuration bits")?;
        unless(self.timer.first <= self.timer.initial, "a timer count above its initial count")?;
        let low = |set: &Vectors| set[0] & 0xffff != 0;
        unless(!low(&self.irr) && !low(&self.isr), "a reserved vector in IRR or ISR")?;
        let lvt_ok = Lvt::ALL.iter().zip(&self.lvt).all(|(entry, value)| value & !entry.valid() == 0);
        unless(lvt_ok, "reserved LVT bits")?;
        let known = self.causes.keys().all(|v| self.irr[usize::from(v / 64)] >> (v % 64) & 1 != 0);
        unless(known, "a cause for a vector that is not in IRR")
    }
}
