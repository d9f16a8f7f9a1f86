//! What of the clock is saved, and its values after power-on.

use super::Config;
use super::spec::{A, A_UPDATING, ALARM, B, B_24_HOURS, C, D, HZ, PERIODIC, SIZE, TIME, UPDATE};
use crate::RestoreError;
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};

/// The time registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Calendar {
    /// They are advanced; so many seconds since 1970 when the divider's count was 0.
    Running {
        /// Seconds.
        base: i64,
    },
    /// They hold what was written: updates are off, or it is no date. In the order of [`TIME`].
    Held([u8; 8]),
}

/// The clock and its RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtcState {
    /// Index port, NMI disable bit included.
    pub index: u8,
    /// All bytes; those of the time and registers A to D are kept elsewhere and 0 here.
    pub ram: Vec<u8>,
    /// Register A without its update bit.
    pub a: u8,
    /// Register B.
    pub b: u8,
    /// Flags of register C.
    pub flags: u8,
    /// The time.
    pub calendar: Calendar,
    /// How far the day of the week that was set is ahead of the calendar's, 0 to 6.
    pub weekday_shift: u8,
    /// When the divider was let go.
    pub since: VirtTime,
    /// Its count then, in ticks of 1/32,768 s.
    pub lead: u32,
    /// Flags are up to date with this count of the divider.
    pub seen: u64,
    /// The interrupt pin.
    pub irq: bool,
}

/// Seconds since 1970 that can be told apart by a four-digit year, with room.
const SECONDS: std::ops::Range<i64> = -(1 << 40)..1 << 40;

impl RtcState {
    /// After power-on with a good battery.
    pub(super) fn new(config: &Config) -> Self {
        let mut ram = vec![0; SIZE];
        for (index, byte) in &config.presets {
            if let Some(place) = ram.get_mut(usize::from(*index))
                && !kept_elsewhere(*index)
            {
                *place = *byte;
            }
        }
        Self {
            index: 0,
            ram,
            a: 0x26,
            b: B_24_HOURS,
            flags: 0,
            calendar: Calendar::Running { base: config.date.clamp(SECONDS.start, SECONDS.end - 1) },
            weekday_shift: 0,
            since: VirtTime::ZERO,
            lead: 0,
            seen: 0,
            irq: false,
        }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "real-time clock", what);
        unless(self.ram.len() == SIZE, "not 128 bytes of RAM")?;
        unless(self.a & A_UPDATING == 0, "the update bit")?;
        unless(self.flags & !(PERIODIC | ALARM | UPDATE) == 0, "reserved flags")?;
        unless(self.weekday_shift < 7, "a week of more than 7 days")?;
        unless(u64::from(self.lead) < HZ && self.seen < 1 << 60, "a divider count out of range")?;
        match &self.calendar {
            Calendar::Running { base } => unless(SECONDS.contains(base), "a date out of range"),
            Calendar::Held(_) => Ok(()),
        }
    }
}

/// Whether an index is not RAM.
pub(super) fn kept_elsewhere(index: u8) -> bool {
    TIME.contains(&index) || matches!(index, A | B | C | D)
}
