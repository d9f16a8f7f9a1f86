//! Registers of the 16550A UART: National Semiconductor PC16550D data sheet (TL/C/8652), section 8 and table II.
//!
//! Offsets are from the port's base (0x3F8 for COM1). All registers are bytes.

/// Receiver buffer (RO) and transmitter holding (WO); divisor latch low byte while LCR.DLAB is set.
pub const DATA: u16 = 0;
/// Interrupt enable (8.7), RW; divisor latch high byte while LCR.DLAB is set.
pub const IER: u16 = 1;
/// Interrupt identification (8.6), RO; FIFO control (8.5), WO.
pub const IIR_FCR: u16 = 2;
/// Line control (8.1), RW.
pub const LCR: u16 = 3;
/// Modem control (8.8), RW.
pub const MCR: u16 = 4;
/// Line status (8.4), RO.
pub const LSR: u16 = 5;
/// Modem status (8.9), RO.
pub const MSR: u16 = 6;
/// Scratchpad (8.10), RW.
pub const SCR: u16 = 7;

/// What feeds the divisor, in Hz (table III), after the fixed division by 16.
pub const CLOCK_HZ: u64 = 1_843_200;
/// Bytes in each FIFO.
pub const FIFO: usize = 16;

/// IER: received data available, and character timeout.
pub const IER_RDA: u8 = 1 << 0;
/// IER: transmitter holding register empty.
pub const IER_THRE: u8 = 1 << 1;
/// IER: receiver line status.
pub const IER_RLS: u8 = 1 << 2;
/// IER: modem status.
pub const IER_MS: u8 = 1 << 3;

/// IIR (table IV): nothing is pending.
pub const IIR_NONE: u8 = 0x01;
/// IIR: receiver line status; first priority.
pub const IIR_RLS: u8 = 0x06;
/// IIR: received data available; second.
pub const IIR_RDA: u8 = 0x04;
/// IIR: character timeout; second.
pub const IIR_TIMEOUT: u8 = 0x0c;
/// IIR: transmitter holding register empty; third.
pub const IIR_THRE: u8 = 0x02;
/// IIR: modem status; fourth.
pub const IIR_MS: u8 = 0x00;
/// IIR: FIFOs are on.
pub const IIR_FIFO: u8 = 0xc0;

/// FCR: FIFOs on; the other bits count only with it.
pub const FCR_ENABLE: u8 = 1 << 0;
/// FCR: empty the receive FIFO.
pub const FCR_CLEAR_RX: u8 = 1 << 1;
/// FCR: empty the transmit FIFO.
pub const FCR_CLEAR_TX: u8 = 1 << 2;
/// FCR bits that stay: enable, DMA mode (nobody is wired to those pins) and the trigger level.
pub const FCR_KEPT: u8 = 0xc9;
/// Receive trigger levels by FCR bits 7:6.
pub const TRIGGER: [usize; 4] = [1, 4, 8, 14];

/// LCR: word length less 5, bits 1:0.
pub const LCR_LENGTH: u8 = 3;
/// LCR: two stop bits, or one and a half of 5-bit words.
pub const LCR_STOP: u8 = 1 << 2;
/// LCR: parity bit.
pub const LCR_PARITY: u8 = 1 << 3;
/// LCR: hold the output at space.
pub const LCR_BREAK: u8 = 1 << 6;
/// LCR: offsets 0 and 1 are the divisor latch.
pub const LCR_DLAB: u8 = 1 << 7;

/// MCR: DTR.
pub const MCR_DTR: u8 = 1 << 0;
/// MCR: RTS.
pub const MCR_RTS: u8 = 1 << 1;
/// MCR: OUT1.
pub const MCR_OUT1: u8 = 1 << 2;
/// MCR: OUT2, which on PCs lets the interrupt through to the bus.
pub const MCR_OUT2: u8 = 1 << 3;
/// MCR: loopback.
pub const MCR_LOOP: u8 = 1 << 4;
/// MCR bits that exist.
pub const MCR_VALID: u8 = 0x1f;

/// LSR: data ready.
pub const LSR_DR: u8 = 1 << 0;
/// LSR: overrun.
pub const LSR_OE: u8 = 1 << 1;
/// LSR: framing error.
pub const LSR_FE: u8 = 1 << 3;
/// LSR: break.
pub const LSR_BI: u8 = 1 << 4;
/// LSR: transmitter holding register, or FIFO, empty.
pub const LSR_THRE: u8 = 1 << 5;
/// LSR: transmitter empty to the last bit.
pub const LSR_TEMT: u8 = 1 << 6;
/// LSR: the receive FIFO holds a character with an error.
pub const LSR_FIFO_ERROR: u8 = 1 << 7;
/// LSR bits that a read clears and that raise the line status interrupt.
pub const LSR_ERRORS: u8 = 0x1e;

/// MSR: CTS, DSR or DCD changed, or RI ended; a read clears them.
pub const MSR_DELTAS: u8 = 0x0f;
/// MSR: trailing edge of RI.
pub const MSR_TERI: u8 = 1 << 2;
/// MSR: CTS.
pub const MSR_CTS: u8 = 1 << 4;
/// MSR: DSR.
pub const MSR_DSR: u8 = 1 << 5;
/// MSR: RI.
pub const MSR_RI: u8 = 1 << 6;
/// MSR: DCD.
pub const MSR_DCD: u8 = 1 << 7;

/// The register's name while LCR.DLAB is clear.
#[must_use]
pub fn register_name(offset: u16) -> Option<&'static str> {
    match offset {
        DATA => Some("RBR/THR"),
        IER => Some("IER"),
        IIR_FCR => Some("IIR/FCR"),
        LCR => Some("LCR"),
        MCR => Some("MCR"),
        LSR => Some("LSR"),
        MSR => Some("MSR"),
        SCR => Some("SCR"),
        _ => None,
    }
}
