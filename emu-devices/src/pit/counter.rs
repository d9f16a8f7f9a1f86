//! One counter: what it shows and drives at a given clock, computed, never stepped (8254 data sheet, "Mode
//! definitions"). A count written in one clock is loaded at the next.

use super::spec::{CONTROL_BCD, CONTROL_MODE_SHIFT, STATUS_NULL, STATUS_OUT};
use super::state::{Access, CounterState, Run};

/// Mode 3: how long the output is high.
const fn high_half(count: u32) -> u64 {
    (count as u64).div_ceil(2)
}

impl Run {
    /// Clocks since the count was loaded; `None` before.
    fn elapsed(&self, clock: u64) -> Option<u64> {
        self.held.or_else(|| clock.checked_sub(self.start))
    }

    /// Mode 3: where in its cycle it is.
    fn phase(&self, elapsed: u64) -> u64 {
        elapsed.saturating_add(self.lead.into()) % u64::from(self.count)
    }

    /// The first clock after `clock` at which modes 2 and 3 may take a new count: the end of the cycle or half cycle.
    fn boundary(&self, mode: u8, clock: u64, elapsed: u64) -> u64 {
        let count = u64::from(self.count);
        let wait = if mode == 2 {
            count - elapsed % count
        } else {
            let (phase, high) = (self.phase(elapsed), high_half(self.count));
            if phase < high { high - phase } else { count - phase }
        };
        clock.saturating_add(wait)
    }
}

impl CounterState {
    const fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 65_536 }
    }

    /// Lets what was due by `clock` happen: loads.
    pub(super) fn settle(&mut self, clock: u64) {
        let Some(run) = &mut self.run else { return };
        if run.held.is_none()
            && let Some((at, count)) = run.next
            && clock >= at
        {
            // A new count in the middle of a mode 3 cycle begins with the low half.
            let low_half = self.mode == 3 && run.phase(at.saturating_sub(run.start)) != 0;
            run.lead = if low_half { high_half(count) as u32 } else { 0 };
            run.start = at;
            run.count = count;
            run.next = None;
            self.null = false;
        }
        if run.loads && (clock >= run.start || run.held.is_some()) {
            run.loads = false;
            self.null = false;
        }
    }

    /// The output. Settled first.
    pub(super) fn out(&self, clock: u64) -> bool {
        let Some(run) = &self.run else { return self.programmed && self.mode != 0 };
        let Some(elapsed) = run.elapsed(clock) else { return run.out_before };
        let count = u64::from(run.count);
        match self.mode {
            0 | 1 => elapsed >= count,
            2 | 3 if run.held.is_some() || count == 1 => true,
            2 => elapsed % count != count - 1,
            3 => run.phase(elapsed) < high_half(run.count),
            _ => elapsed != count,
        }
    }

    /// What the counting element holds, as a read shows it. Settled first.
    pub(super) fn count(&self, clock: u64) -> u16 {
        let Some(run) = &self.run else { return self.rest };
        let Some(elapsed) = run.elapsed(clock) else { return run.count_before };
        let count = u64::from(run.count);
        let value = match self.mode {
            2 => count - elapsed % count,
            3 => {
                let (phase, high) = (run.phase(elapsed), high_half(run.count));
                let into_half = if phase < high { phase } else { phase - high };
                (count & !1).saturating_sub(2 * into_half)
            }
            _ => (count % self.modulus() + self.modulus() - elapsed % self.modulus()) % self.modulus(),
        };
        if self.bcd { to_bcd(value % 10_000) } else { value as u16 }
    }

    /// The first clock after `clock` at which the output may change by itself. Settled first.
    pub(super) fn next_edge(&self, clock: u64) -> Option<u64> {
        let run = self.run.as_ref()?;
        if run.held.is_some() {
            return None;
        }
        let Some(elapsed) = run.elapsed(clock) else { return Some(run.start) };
        let count = u64::from(run.count);
        match self.mode {
            2 | 3 if count == 1 => run.next.map(|(at, _)| at),
            2 => {
                let position = elapsed % count;
                Some(clock + if position < count - 1 { count - 1 - position } else { 1 })
            }
            3 => Some(run.boundary(3, clock, elapsed)),
            0 | 1 => (elapsed < count).then_some(run.start + count),
            _ if elapsed < count => Some(run.start + count),
            _ => (elapsed == count).then_some(run.start + count + 1),
        }
    }

    /// A control word: counting stops, and the output goes to the mode's first level.
    pub(super) fn control(&mut self, clock: u64, access: Access, word: u8) {
        let mode = word >> CONTROL_MODE_SHIFT & 7;
        *self = Self {
            programmed: true,
            // Bit 2 of modes 2 and 3 is "don't care".
            mode: if mode > 5 { mode - 4 } else { mode },
            bcd: word & CONTROL_BCD != 0,
            access,
            gate: self.gate,
            null: true,
            rest: self.count(clock),
            ..Self::default()
        };
    }

    /// A byte of a count.
    pub(super) fn write(&mut self, clock: u64, byte: u8) {
        if !self.programmed {
            return;
        }
        let raw = match (self.access, self.low_byte.take()) {
            (Access::Low, _) => u16::from(byte),
            (Access::High, _) => u16::from(byte) << 8,
            (Access::Both, Some(low)) => u16::from(byte) << 8 | u16::from(low),
            (Access::Both, None) => {
                self.low_byte = Some(byte);
                if self.mode == 0 {
                    self.rest = self.count(clock);
                    self.run = None;
                }
                return;
            }
        };
        let count = if self.bcd { from_bcd(raw) } else { raw.into() };
        self.load(clock, if count == 0 { self.modulus() as u32 } else { count });
    }

    /// A whole count has been written.
    fn load(&mut self, clock: u64, count: u32) {
        self.register = Some(count);
        self.null = true;
        match self.mode {
            0 | 4 => self.begin(clock, count),
            1 | 5 => {}
            _ => match &mut self.run {
                None => self.begin(clock, count),
                // With the gate low the count waits for its rise.
                Some(run) if run.held.is_some() => {}
                Some(run) => match run.elapsed(clock) {
                    None => run.count = count,
                    Some(elapsed) => run.next = Some((run.boundary(self.mode, clock, elapsed), count)),
                },
            },
        }
    }

    /// The counting element takes `count` at the next clock.
    fn begin(&mut self, clock: u64, count: u32) {
        let counts_on = self.gate || matches!(self.mode, 1 | 5);
        self.run = Some(Run {
            start: clock + 1,
            count,
            lead: 0,
            held: if counts_on { None } else { Some(0) },
            next: None,
            loads: true,
            out_before: self.mode != 0 && self.out(clock),
            count_before: self.count(clock),
        });
    }

    /// The gate input. Settled first.
    pub(super) fn set_gate(&mut self, clock: u64, gate: bool) {
        if gate == self.gate {
            return;
        }
        self.gate = gate;
        match (self.mode, gate) {
            (0 | 4, true) => {
                if let Some(run) = &mut self.run
                    && let Some(held) = run.held.take()
                {
                    run.start = clock.saturating_sub(held);
                }
            }
            (0 | 2..=4, false) => {
                if let Some(run) = &mut self.run {
                    run.held = Some(run.elapsed(clock).unwrap_or(0));
                    run.next = None;
                }
            }
            (1 | 5 | 2 | 3, true) => {
                if let Some(count) = self.register {
                    self.begin(clock, count);
                }
            }
            _ => {}
        }
    }

    /// Latches the count unless one is latched.
    pub(super) fn latch_count(&mut self, clock: u64) {
        if self.latched.is_none() {
            self.latched = Some(self.count(clock));
        }
    }

    /// Latches the status unless one is latched.
    pub(super) fn latch_status(&mut self, clock: u64) {
        if self.status.is_none() {
            self.status = Some(self.status_byte(clock));
        }
    }

    /// Output, null count, and the control word's lower bits.
    pub(super) fn status_byte(&self, clock: u64) -> u8 {
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        let flag = |on, bit| if on { bit } else { 0 };
        flag(self.out(clock), STATUS_OUT)
            | flag(self.null, STATUS_NULL)
            | access << 4
            | self.mode << 1
            | u8::from(self.bcd)
    }

    /// A read: the latched status, or a byte of the latched count, or of the live one.
    pub(super) fn read(&mut self, clock: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let value = self.latched.unwrap_or_else(|| self.count(clock));
        let [low, high] = value.to_le_bytes();
        let (byte, complete) = match self.access {
            Access::Low => (low, true),
            Access::High => (high, true),
            Access::Both => {
                self.read_high = !self.read_high;
                if self.read_high { (low, false) } else { (high, true) }
            }
        };
        if complete {
            self.latched = None;
        }
        byte
    }
}

fn to_bcd(value: u64) -> u16 {
    [1000, 100, 10, 1].into_iter().fold(0, |bcd, place| bcd << 4 | (value / place % 10) as u16)
}

/// Digits above 9 count as what they are worth, modulo 10,000.
fn from_bcd(raw: u16) -> u32 {
    let digit = |place: u32| u32::from(raw >> (4 * place) & 0xf);
    (digit(3) * 1000 + digit(2) * 100 + digit(1) * 10 + digit(0)) % 10_000
}
