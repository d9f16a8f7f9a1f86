//! The I/O APIC: 24 pins become messages. Intel 82093AA with the EOI register of its successors; entries in the
//! remappable format of VT-d leave as remappable messages. It does not know what remaps them.

mod irq;
mod mmio;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use spec::register_name;
pub use state::IoapicState;

use crate::{Register, RestoreError};
use emu_core::{Bdf, Slot};
use spec::{
    ARBITRATION, BOOT, ID, PINS, REDIRECTION, RTE_LEVEL, RTE_LOGICAL, RTE_LOW_ACTIVE, RTE_MASKED,
    RTE_REMAPPABLE, RTE_REMOTE_IRR, VERSION, VERSION_VALUE,
};

/// What the machine's builder decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// APIC id after reset, 0-15; the MADT says the same.
    pub id: u8,
    /// The requester that the interrupt remapper sees: the DMAR device scope's. Not 0, which Linux takes for none.
    pub bdf: Bdf,
    /// Pins whose wire is low when its source is asserted, a bit each. PCI interrupt lines are such, ISA lines are
    /// not. An entry whose polarity disagrees with the wire is asserted when the wire is idle, as on real boards.
    pub low_active_wires: u32,
}

impl Config {
    /// Pins 16-23, where PCs wire PCI interrupts.
    pub const PCI_PINS: u32 = 0x00ff_0000;
}

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ioapic {
    config: Config,
    state: IoapicState,
}

/// Who it is in events and records.
const SLOT: Slot = Slot::Ioapic;

impl Ioapic {
    /// After reset.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { state: IoapicState::reset(config.id), config }
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &IoapicState {
        &self.state
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: IoapicState) -> Result<(), RestoreError> {
        state.validate()?;
        self.state = state;
        Ok(())
    }

    /// The indexed registers; `offset` is the index, a redirection entry is one register of 64 bits.
    pub fn registers(&self) -> impl Iterator<Item = Register> {
        let mut all = vec![
            Register::plain("ID", ID, u32::from(self.state.id) << 24),
            Register::plain("VERSION", VERSION, VERSION_VALUE).meaning(format!("{PINS} pins, EOI register")),
            Register::plain("ARBITRATION", ARBITRATION, u32::from(self.state.id) << 24),
            Register::plain("BOOT", BOOT, self.state.boot),
        ];
        for (pin, rte) in self.state.entries.iter().enumerate() {
            let index = u64::from(REDIRECTION) + 2 * pin as u64;
            all.push(Register::plain(format!("RTE{pin}"), index, *rte).meaning(entry_words(*rte)));
        }
        all.into_iter()
    }
}

fn entry_words(rte: u64) -> String {
    let flag = |bit, yes: &'static str, no: &'static str| if rte & bit != 0 { yes } else { no };
    let target = if rte & RTE_REMAPPABLE != 0 {
        format!("remappable, index {}", rte >> 49 | (rte & RTE_LOGICAL) << 4)
    } else {
        format!("vector {:#04x}, {} {:#x}", rte as u8, flag(RTE_LOGICAL, "logical", "physical"), rte >> 56)
    };
    format!(
        "{target}, {}, {}{}{}",
        flag(RTE_LEVEL, "level", "edge"),
        flag(RTE_LOW_ACTIVE, "active low", "active high"),
        flag(RTE_MASKED, ", masked", ""),
        flag(RTE_REMOTE_IRR, ", remote IRR", ""),
    )
}
