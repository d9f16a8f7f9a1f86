//! What of the timer is saved. Clocks are numbered from power-on.

use super::spec::PORT_B_KEPT;
use crate::RestoreError;
use serde::{Deserialize, Serialize};

/// Which bytes of a count are transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// The low byte; the high one is 0.
    Low,
    /// The high byte; the low one is 0.
    High,
    /// The low byte, then the high one.
    #[default]
    Both,
}

/// A counting element at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The clock at which it holds the count for the first time.
    pub start: u64,
    /// The count, 1 to 65,536.
    pub count: u32,
    /// Mode 3: clocks of a cycle that are taken for passed at the start: 0, or the high half.
    pub lead: u32,
    /// The gate stopped it so many clocks after the start.
    pub held: Option<u64>,
    /// Modes 2 and 3: at this clock a new count takes over.
    pub next: Option<(u64, u32)>,
    /// Loading it will clear the null count flag.
    pub loads: bool,
    /// Output before the start.
    pub out_before: bool,
    /// What reads show before the start.
    pub count_before: u16,
}

/// One counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterState {
    /// A control word has been written.
    pub programmed: bool,
    /// Mode, 0 to 5.
    pub mode: u8,
    /// It counts in BCD.
    pub bcd: bool,
    /// Which bytes are transferred.
    pub access: Access,
    /// The low byte of a count whose high byte is to come.
    pub low_byte: Option<u8>,
    /// The next read shows the high byte.
    pub read_high: bool,
    /// Latched count.
    pub latched: Option<u16>,
    /// Latched status.
    pub status: Option<u8>,
    /// Gate.
    pub gate: bool,
    /// The count written last, 1 to 65,536.
    pub register: Option<u32>,
    /// The count written last has not been loaded.
    pub null: bool,
    /// The counting element.
    pub run: Option<Run>,
    /// What reads show while it does not count.
    pub rest: u16,
}

/// The timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PitState {
    /// The counters.
    pub counters: [CounterState; 3],
    /// Port 0x61, the bits that are kept; counter 2's gate is in its counter as well.
    pub port_b: u8,
    /// Counter 0's output as last driven.
    pub out0: bool,
    /// The clock of that output's next change, if it will change by itself.
    pub edge0: Option<u64>,
}

/// Beyond any clock that fits virtual time.
const CLOCK_END: u64 = 1 << 60;

impl PitState {
    /// After power-on. Modes and counts are undefined until programmed; nothing counts and outputs are low.
    pub(super) fn reset() -> Self {
        let counter = |gate| CounterState { gate, ..CounterState::default() };
        Self { counters: [counter(true), counter(true), counter(false)], port_b: 0, out0: false, edge0: None }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "8254", what);
        unless(self.port_b & !PORT_B_KEPT == 0, "reserved bits of port 0x61")?;
        let count = |n: u32| (1..=65_536).contains(&n);
        for counter in &self.counters {
            unless(counter.mode < 6, "a mode that does not exist")?;
            unless(counter.register.is_none_or(count), "a count out of range")?;
            let Some(run) = &counter.run else { continue };
            unless(count(run.count) && run.lead <= run.count, "a count out of range")?;
            unless(run.next.is_none_or(|(at, n)| at < CLOCK_END && count(n)), "a count out of range")?;
            unless(run.start < CLOCK_END && run.held.is_none_or(|h| h < CLOCK_END), "a clock out of range")?;
        }
        Ok(())
    }
}
