//! Dates of the Gregorian calendar as seconds since 1970 and back, and how registers write them.

use super::spec::{B_24_HOURS, B_BINARY};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// Days in four centuries.
const DAYS_400_YEARS: i64 = 146_097;

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: i64,
    /// 1 to 31.
    pub(super) day: i64,
    /// Of the day.
    pub(super) second: i64,
}

impl Date {
    /// From seconds since 1970. Years are counted from March, so that the leap day is the last of its year.
    pub(super) fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY) + EPOCH;
        let (era, of_era) = (days.div_euclid(DAYS_400_YEARS), days.rem_euclid(DAYS_400_YEARS));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            second: seconds.rem_euclid(DAY),
        }
    }

    /// To seconds since 1970; `None` if there is no such date.
    pub(super) fn seconds(self) -> Option<i64> {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (self.month + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let days = era * DAYS_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH;
        let seconds = days * DAY + self.second;
        (Self::from_seconds(seconds) == self).then_some(seconds)
    }

    /// 1 for Sunday to 7.
    pub(super) fn weekday(self) -> u8 {
        let days = self.seconds().unwrap_or(0).div_euclid(DAY);
        (days + 4).rem_euclid(7) as u8 + 1
    }
}

/// A number below 100 as register B says.
pub(super) const fn encode(value: u8, b: u8) -> u8 {
    if b & B_BINARY != 0 { value } else { (value / 10 % 10) << 4 | (value % 10) }
}

/// Back; `None` if a BCD digit is none.
pub(super) fn decode(raw: u8, b: u8) -> Option<u8> {
    if b & B_BINARY != 0 {
        return Some(raw);
    }
    (raw >> 4 < 10 && raw & 0xf < 10).then_some((raw >> 4) * 10 + (raw & 0xf))
}

/// An hour as register B says: in 12-hour mode bit 7 is PM, and midnight is 12 AM.
pub(super) const fn encode_hour(hour: u8, b: u8) -> u8 {
    if b & B_24_HOURS != 0 {
        return encode(hour, b);
    }
    let pm = if hour >= 12 { 0x80 } else { 0 };
    let shown = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    encode(shown, b) | pm
}

/// Back; `None` if there is no such hour.
pub(super) fn decode_hour(raw: u8, b: u8) -> Option<u8> {
    if b & B_24_HOURS != 0 {
        return decode(raw, b).filter(|hour| *hour < 24);
    }
    let hour = decode(raw & 0x7f, b).filter(|hour| (1..=12).contains(hour))?;
    Some(hour % 12 + if raw & 0x80 != 0 { 12 } else { 0 })
}
