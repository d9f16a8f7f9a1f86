//! What of a UART is saved, and its values after reset (PC16550D, table I).

use super::spec::{FCR_KEPT, FIFO, LSR_BI, LSR_ERRORS, LSR_FE, MCR_VALID, MSR_CTS, MSR_DCD, MSR_DSR};
use crate::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A received character with the errors that came with it, as LSR bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The character.
    pub byte: u8,
    /// LSR bits 4:2.
    pub errors: u8,
}

/// A UART.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UartState {
    /// Divisor latch; 0 divides by 65,536.
    pub divisor: u16,
    /// Interrupt enable.
    pub ier: u8,
    /// FIFO control, the bits that stay.
    pub fcr: u8,
    /// Line control.
    pub lcr: u8,
    /// Modem control.
    pub mcr: u8,
    /// Line status errors since the last read.
    pub errors: u8,
    /// The far end's CTS, DSR, RI and DCD, in MSR's bits.
    pub lines: u8,
    /// Modem status changes since the last read.
    pub deltas: u8,
    /// Scratchpad.
    pub scratch: u8,
    /// Receive FIFO, or the receiver buffer; oldest first.
    pub rx: VecDeque<Received>,
    /// Nobody has touched the receive FIFO for four character times.
    pub timed_out: bool,
    /// Transmit FIFO, or the holding register; oldest first.
    pub tx: VecDeque<u8>,
    /// The character that is leaving bit by bit.
    pub shift: Option<u8>,
    /// The transmitter interrupt waits to be identified.
    pub thre_pending: bool,
    /// What the far end has yet to send.
    pub line_in: VecDeque<u8>,
    /// A character of the far end is on its way: its event is queued.
    pub arriving: bool,
    /// What has been sent and nobody has taken.
    pub output: Vec<u8>,
    /// The interrupt pin.
    pub intr: bool,
}

impl UartState {
    /// After reset, with a terminal at the far end that is ready. Line control and divisor are as firmware leaves them,
    /// 9600 baud and 8 bits: guests that start without firmware write to the port all the same.
    pub(super) fn reset() -> Self {
        Self {
            divisor: 12,
            ier: 0,
            fcr: 0,
            lcr: 3,
            mcr: 0,
            errors: 0,
            lines: MSR_CTS | MSR_DSR | MSR_DCD,
            deltas: 0,
            scratch: 0,
            rx: VecDeque::new(),
            timed_out: false,
            tx: VecDeque::new(),
            shift: None,
            thre_pending: false,
            line_in: VecDeque::new(),
            arriving: false,
            output: Vec::new(),
            intr: false,
        }
    }

    /// Refuses what the chip could not have come to.
    pub(super) fn validate(&self) -> Result<(), RestoreError> {
        let unless = |ok, what| RestoreError::unless(ok, "UART", what);
        unless(self.ier & 0xf0 == 0, "reserved interrupt enable bits")?;
        unless(self.fcr & !FCR_KEPT == 0, "reserved FIFO control bits")?;
        unless(self.mcr & !MCR_VALID == 0, "reserved modem control bits")?;
        unless(self.errors & !LSR_ERRORS == 0, "line status that is not an error")?;
        unless(self.lines & 0x0f == 0 && self.deltas & 0xf0 == 0, "reserved modem status bits")?;
        unless(self.rx.len() <= FIFO && self.tx.len() <= FIFO, "a FIFO of more than 16 characters")?;
        let odd = |c: &Received| c.errors & !(LSR_FE | LSR_BI) != 0;
        unless(!self.rx.iter().any(odd), "a character with errors that can't happen")
    }
}
