//! The two directions of the line in virtual time: holding register, shift register, receive FIFO.

use super::spec::{
    CLOCK_HZ, FCR_ENABLE, FIFO, LCR_BREAK, LCR_LENGTH, LCR_PARITY, LCR_STOP, LSR_BI, LSR_DR, LSR_FE,
    LSR_FIFO_ERROR, LSR_OE, LSR_TEMT, LSR_THRE, MCR_DTR, MCR_LOOP, MCR_OUT1, MCR_OUT2, MCR_RTS, MSR_CTS,
    MSR_DCD, MSR_DELTAS, MSR_DSR, MSR_RI, MSR_TERI, TRIGGER,
};
use super::state::Received;
use super::{Pace, Uart};
use emu_core::VirtDuration;
use emu_core::device::Env;

/// Event: the shift register is empty.
pub(super) const SENT: u32 = 0;
/// Event: a character of the far end is complete.
pub(super) const ARRIVED: u32 = 1;
/// Event: four character times without a touch of the receive FIFO.
pub(super) const TIMEOUT: u32 = 2;

impl Uart {
    pub(super) fn fifos(&self) -> bool {
        self.state.fcr & FCR_ENABLE != 0
    }

    pub(super) fn loopback(&self) -> bool {
        self.state.mcr & MCR_LOOP != 0
    }

    fn room(&self) -> usize {
        if self.fifos() { FIFO } else { 1 }
    }

    pub(super) fn trigger(&self) -> usize {
        if self.fifos() { TRIGGER[usize::from(self.state.fcr >> 6)] } else { 1 }
    }

    /// What the divisor latch divides by.
    pub(super) fn divisor(&self) -> u64 {
        if self.state.divisor == 0 { 1 << 16 } else { self.state.divisor.into() }
    }

    /// Start bit, word, parity and stop bits. Counted in half bits: five-bit words have one and a half stop bits.
    pub(super) fn character_time(&self) -> VirtDuration {
        match self.config.pace {
            Pace::Fixed(time) => time,
            Pace::Baud => {
                let lcr = self.state.lcr;
                let word = u64::from(lcr & LCR_LENGTH) + 5;
                let parity = u64::from(lcr & LCR_PARITY != 0);
                let stop = match (lcr & LCR_STOP != 0, word) {
                    (false, _) => 2,
                    (true, 5) => 3,
                    (true, _) => 4,
                };
                VirtDuration::from_ticks((2 * (1 + word + parity) + stop) * 8 * self.divisor(), CLOCK_HZ)
            }
        }
    }

    fn word_mask(&self) -> u8 {
        0xff >> (3 - (self.state.lcr & LCR_LENGTH))
    }

    /// LSR without a read's effects.
    pub(super) fn line_status(&self) -> u8 {
        let state = &self.state;
        let mut value = state.errors;
        if let Some(top) = state.rx.front() {
            value |= LSR_DR | top.errors;
        }
        if state.tx.is_empty() {
            value |= LSR_THRE;
            if state.shift.is_none() {
                value |= LSR_TEMT;
            }
        }
        if self.fifos() && state.rx.iter().any(|c| c.errors != 0) {
            value |= LSR_FIFO_ERROR;
        }
        value
    }

    /// MSR bits 7:4: the far end's, or in loopback the port's own outputs.
    pub(super) fn modem_lines(&self) -> u8 {
        if !self.loopback() {
            return self.state.lines;
        }
        let pairs = [(MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD)];
        pairs.iter().filter(|(out, _)| self.state.mcr & out != 0).fold(0, |lines, (_, line)| lines | line)
    }

    /// The modem lines were `before`: notes what changed. RI counts when it ends only.
    pub(super) fn note_modem_change(&mut self, before: u8) {
        let now = self.modem_lines();
        let mut deltas = (before ^ now) >> 4 & MSR_DELTAS & !MSR_TERI;
        if before & !now & MSR_RI != 0 {
            deltas |= MSR_TERI;
        }
        self.state.deltas |= deltas;
    }

    /// The far end's CTS, DSR, RI and DCD, in MSR's bits.
    pub fn set_modem_lines(&mut self, env: &mut Env<'_>, lines: u8) {
        let before = self.modem_lines();
        self.state.lines = lines & 0xf0;
        self.note_modem_change(before);
        self.update_pin(env);
    }

    /// A character is written to the holding register or FIFO. A full FIFO loses it, a full register is overwritten.
    pub(super) fn send(&mut self, env: &mut Env<'_>, byte: u8) {
        self.state.thre_pending = false;
        let byte = byte & self.word_mask();
        if self.state.tx.len() < self.room() {
            self.state.tx.push_back(byte);
        } else if !self.fifos() {
            self.state.tx.clear();
            self.state.tx.push_back(byte);
        }
        self.shift_next(env);
    }

    /// An idle shift register takes the next character. The interrupt is for the holding register's becoming empty.
    fn shift_next(&mut self, env: &mut Env<'_>) {
        if self.state.shift.is_some() {
            return;
        }
        let Some(byte) = self.state.tx.pop_front() else { return };
        self.state.shift = Some(byte);
        env.after(self.slot(), self.character_time(), SENT);
        if self.state.tx.is_empty() {
            self.state.thre_pending = true;
        }
    }

    /// The last stop bit has left.
    pub(super) fn character_sent(&mut self, env: &mut Env<'_>) {
        if let Some(byte) = self.state.shift.take() {
            if self.loopback() {
                self.receive(env, Received { byte, errors: 0 });
            } else if self.state.lcr & LCR_BREAK == 0 {
                self.state.output.push(byte);
            }
        }
        self.shift_next(env);
        self.update_pin(env);
    }

    /// The far end sends these, each when the line and the receiver are free.
    pub fn push_input(&mut self, env: &mut Env<'_>, bytes: &[u8]) {
        self.state.line_in.extend(bytes);
        self.expect_arrival(env);
    }

    /// Lets the far end's next character set out, if one waits and there will be room for it.
    pub(super) fn expect_arrival(&mut self, env: &mut Env<'_>) {
        let state = &self.state;
        let ready =
            !state.arriving && !state.line_in.is_empty() && state.rx.len() < self.room() && !self.loopback();
        if ready {
            self.state.arriving = true;
            env.after(self.slot(), self.character_time(), ARRIVED);
        }
    }

    /// In loopback the input is cut off: the character waits at the far end.
    pub(super) fn character_arrived(&mut self, env: &mut Env<'_>) {
        self.state.arriving = false;
        if !self.loopback()
            && self.state.rx.len() < self.room()
            && let Some(byte) = self.state.line_in.pop_front()
        {
            let byte = byte & self.word_mask();
            self.receive(env, Received { byte, errors: 0 });
        }
        self.expect_arrival(env);
        self.update_pin(env);
    }

    /// Break held in loopback is received as one zero character.
    pub(super) fn break_received(&mut self, env: &mut Env<'_>) {
        self.receive(env, Received { byte: 0, errors: LSR_BI | LSR_FE });
    }

    /// A complete character: a full FIFO loses it, a full buffer is overwritten; both are overruns (8.4).
    fn receive(&mut self, env: &mut Env<'_>, character: Received) {
        if self.state.rx.len() >= self.room() {
            self.state.errors |= LSR_OE;
            if self.fifos() {
                return;
            }
            self.state.rx.clear();
        }
        self.state.rx.push_back(character);
        self.rx_touched(env);
    }

    /// The receiver buffer or the FIFO's oldest; an empty one reads 0. Errors that showed with it stay in LSR until
    /// read there.
    pub(super) fn read_character(&mut self, env: &mut Env<'_>) -> u8 {
        let Some(character) = self.state.rx.pop_front() else { return 0 };
        self.state.errors |= character.errors;
        self.rx_touched(env);
        self.expect_arrival(env);
        character.byte
    }

    /// A character came or went: the timeout starts anew.
    pub(super) fn rx_touched(&mut self, env: &mut Env<'_>) {
        self.state.timed_out = false;
        let slot = self.slot();
        env.events.cancel(slot, TIMEOUT);
        if self.fifos() && !self.state.rx.is_empty() {
            env.after(slot, self.character_time().times(4), TIMEOUT);
        }
    }
}
