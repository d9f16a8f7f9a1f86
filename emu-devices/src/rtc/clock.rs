//! Keeping time: the divider's count, the calendar on top of it, alarm matching. Nothing ticks; all is computed.

use super::Rtc;
use super::calendar::{Date, decode, decode_hour, encode, encode_hour};
use super::spec::{
    A_DIVIDER_RESET, A_RATE, ALARM_ANY, ALARM_HOURS, ALARM_MINUTES, ALARM_SECONDS, B_SET, HZ, UPDATE_TICKS,
};
use super::state::Calendar;
use emu_core::{VirtDuration, VirtTime};

impl Rtc {
    pub(super) fn divider_runs(&self) -> bool {
        self.state.a & A_DIVIDER_RESET != A_DIVIDER_RESET
    }

    /// The divider's count: ticks of 1/32,768 s.
    pub(super) fn ticks(&self, now: VirtTime) -> u64 {
        if self.divider_runs() {
            u64::from(self.state.lead) + now.since(self.state.since).as_ticks(HZ)
        } else {
            0
        }
    }

    /// When the divider's count becomes `ticks`.
    pub(super) fn instant(&self, ticks: u64) -> VirtTime {
        let ahead = ticks.saturating_sub(self.state.lead.into());
        self.state.since.after(VirtDuration::from_ticks(ahead, HZ))
    }

    /// Whether the time advances.
    pub(super) fn updates(&self) -> bool {
        self.divider_runs() && matches!(self.state.calendar, Calendar::Running { .. })
    }

    /// Register A's update bit.
    pub(super) fn updating(&self, now: VirtTime) -> bool {
        self.updates() && self.ticks(now) % HZ >= HZ - UPDATE_TICKS
    }

    /// Ticks between periodic flags; `None` is never. The two fastest rates alias slower ones at this time base.
    pub(super) fn period(&self) -> Option<u64> {
        match self.state.a & A_RATE {
            0 => None,
            rate @ (1 | 2) => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    /// Seconds since 1970 at a count of the divider, if the calendar runs.
    pub(super) fn seconds_at(&self, ticks: u64) -> Option<i64> {
        match self.state.calendar {
            Calendar::Running { base } => Some(base.saturating_add_unsigned(ticks / HZ)),
            Calendar::Held(_) => None,
        }
    }

    /// The time registers as they read.
    pub(super) fn time_registers(&self, now: VirtTime) -> [u8; 8] {
        let seconds = match self.state.calendar {
            Calendar::Held(raw) => return raw,
            Calendar::Running { base } => base.saturating_add_unsigned(self.ticks(now) / HZ),
        };
        let date = Date::from_seconds(seconds);
        let b = self.state.b;
        let number = |value: i64| encode(value.rem_euclid(100) as u8, b);
        [
            number(date.second % 60),
            number(date.second / 60 % 60),
            encode_hour((date.second / 3600) as u8, b),
            (date.weekday() - 1 + self.state.weekday_shift) % 7 + 1,
            number(date.day),
            number(date.month),
            number(date.year),
            number(date.year.div_euclid(100)),
        ]
    }

    /// Makes these the time registers. They are held while updates are off, and for as long as they are no date.
    pub(super) fn adopt(&mut self, now: VirtTime, raw: [u8; 8]) {
        let date = if self.state.b & B_SET != 0 { None } else { self.date_of(raw) };
        self.state.calendar = match date.and_then(|date| Some((date, date.seconds()?))) {
            Some((date, seconds)) => {
                let weekday = raw[3];
                let ahead = if (1..=7).contains(&weekday) { weekday + 7 - date.weekday() } else { 0 };
                self.state.weekday_shift = ahead % 7;
                Calendar::Running { base: seconds.saturating_sub_unsigned(self.ticks(now) / HZ) }
            }
            None => Calendar::Held(raw),
        };
    }

    /// What the time registers say, if it is a date. A century that is no number is this one.
    fn date_of(&self, raw: [u8; 8]) -> Option<Date> {
        let b = self.state.b;
        let [seconds, minutes, hours, _, day, month, year, century] = raw;
        let below = |raw, end: u8| decode(raw, b).filter(|value| *value < end).map(i64::from);
        let hours = i64::from(decode_hour(hours, b)?);
        Some(Date {
            year: below(year, 100)? + 100 * below(century, 100).unwrap_or(20),
            month: below(month, 13)?,
            day: below(day, 32)?,
            second: hours * 3600 + below(minutes, 60)? * 60 + below(seconds, 60)?,
        })
    }

    /// Seconds from `now`, a second of the day, until the alarm next matches: 1 to 86,400, or never.
    pub(super) fn until_alarm(&self, now: i64) -> Option<u64> {
        let b = self.state.b;
        let alarm = |index: u8| self.state.ram[usize::from(index)];
        let matches = |raw: u8, shown: u8| raw & ALARM_ANY == ALARM_ANY || raw == shown;
        let mut at = 1;
        // Whole hours and minutes that can't match are passed over: at most 24 + 60 + 60 steps find the match.
        while at <= 86_400 {
            let second = (now + at) % 86_400;
            let (hour, minute) = ((second / 3600) as u8, (second / 60 % 60) as u8);
            if !matches(alarm(ALARM_HOURS), encode_hour(hour, b)) {
                at += 3600 - second % 3600;
            } else if !matches(alarm(ALARM_MINUTES), encode(minute, b)) {
                at += 60 - second % 60;
            } else if !matches(alarm(ALARM_SECONDS), encode((second % 60) as u8, b)) {
                at += 1;
            } else {
                return u64::try_from(at).ok();
            }
        }
        None
    }
}
