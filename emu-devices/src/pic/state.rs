//! What of the 8259 pair is saved.

use super::spec::{MASTER_ELCR_VALID, SLAVE_ELCR_VALID};
use crate::RestoreError;
use emu_core::trace::RecordId;
use serde::{Deserialize, Serialize};

/// Which initialization word a write to the data port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// None: it is the mask.
    #[default]
    Ready,
    /// ICW2.
    Icw2,
    /// ICW3.
    Icw3,
    /// ICW4.
    Icw4,
}

/// One 8259A. Bit `n` of a register is input `n`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChipState {
    /// Levels at the inputs.
    pub lines: u8,
    /// Edge-triggered inputs that have risen and were not acknowledged.
    pub edges: u8,
    /// In service.
    pub isr: u8,
    /// Masked.
    pub imr: u8,
    /// Level-triggered inputs (ELCR).
    pub elcr: u8,
    /// Initialization.
    pub stage: Stage,
    /// ICW1.
    pub icw1: u8,
    /// ICW2: the vector of input 0.
    pub base: u8,
    /// ICW3.
    pub icw3: u8,
    /// ICW4.
    pub icw4: u8,
    /// The input of lowest priority.
    pub lowest: u8,
    /// An automatic end of interrupt rotates priorities.
    pub rotate_on_auto_eoi: bool,
    /// Special mask mode.
    pub special_mask: bool,
    /// The command port reads ISR, not IRR.
    pub read_isr: bool,
    /// The next read of the command port is a poll.
    pub poll: bool,
    /// For each input the record that raised it last.
    pub causes: [Option<RecordId>; 8],
}

/// The pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicState {
    /// IRQ 0-7.
    pub master: ChipState,
    /// IRQ 8-15.
    pub slave: ChipState,
    /// The master's INTR output.
    pub intr: bool,
}

impl PicState {
    /// After power-on. Priorities and modes are undefined until ICW1; these are those that ICW1 sets, all masked.
    pub(super) fn reset() -> Self {
        let chip = ChipState { imr: 0xff, lowest: 7, ..ChipState::default() };
        Self { master: chip.clone(), slave: chip, intr: false }
    }

    /// Refuses what the chips could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "8259", what);
        for (chip, elcr) in [(&self.master, MASTER_ELCR_VALID), (&self.slave, SLAVE_ELCR_VALID)] {
            unless(chip.lowest < 8, "a lowest priority beyond input 7")?;
            unless(chip.base & 7 == 0, "a vector base that is not a multiple of 8")?;
            unless(chip.elcr & !elcr == 0, "a level-triggered input that can't be")?;
        }
        Ok(())
    }
}
