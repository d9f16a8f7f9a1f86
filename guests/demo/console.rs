//! The log: lines of text to the first serial port, to the debug console, or to both.
//!
//! A line takes milliseconds on a serial line of 115200 baud, in which dozens of frames can arrive. While
//! frames are served the serial port's text is therefore held, and trickles out a FIFO at a time whenever
//! there is nothing else to do.
//!
//! 16550 UART: National Semiconductor PC16550D data sheet, section 8 (registers). Debug console: Bochs' and
//! QEMU's port 0xe9.

use crate::cpu::{inb, outb};
use crate::mem::Shared;
use core::cell::Cell;
use core::fmt::{self, Write};

const COM1: u16 = 0x3f8;
/// Transmitter holding register; divisor latch low while LCR.DLAB is set (8.0, table II).
const THR: u16 = COM1;
/// Interrupt enable register; divisor latch high while LCR.DLAB is set.
const IER: u16 = COM1 + 1;
/// FIFO control register (8.5): enable, and clear both FIFOs.
const FCR: u16 = COM1 + 2;
const FCR_ENABLE_AND_CLEAR: u8 = 0x07;
/// Line control register (8.1).
const LCR: u16 = COM1 + 3;
const LCR_8N1: u8 = 0x03;
const LCR_DLAB: u8 = 0x80;
/// Modem control register (8.6): DTR and RTS.
const MCR: u16 = COM1 + 4;
const MCR_DTR_RTS: u8 = 0x03;
/// Line status register (8.3): the transmit FIFO is empty.
const LSR: u16 = COM1 + 5;
const LSR_THRE: u8 = 0x20;
/// How many bytes fit into an empty transmit FIFO (8.5).
const FIFO_BYTES: usize = 16;
/// A UART that is never ready must not stop the guest.
const MAX_POLLS: u32 = 1_000_000;

const DEBUG_CONSOLE: u16 = 0xe9;

/// Where lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Console {
    /// The serial port.
    Serial,
    /// The debug console, which takes no time.
    Debug,
    /// Serial port and debug console.
    Both,
    /// Nowhere.
    None,
}

static CONSOLE: Shared<Console> = Shared::new(Console::Serial);

/// Text that waits for the serial port; more than fits is sent at once, however long that takes.
const HELD_BYTES: usize = 4096;

struct Held {
    holding: Cell<bool>,
    text: [Cell<u8>; HELD_BYTES],
    /// Where the text begins, and how much there is from there on, around the end.
    start: Cell<usize>,
    len: Cell<usize>,
}

// SAFETY: one CPU; handlers print only when they end the run, and what they interrupted is never resumed
// then.
unsafe impl Sync for Held {}

static HELD: Held = Held {
    holding: Cell::new(false),
    text: [const { Cell::new(0) }; HELD_BYTES],
    start: Cell::new(0),
    len: Cell::new(0),
};

impl Held {
    fn push(&self, byte: u8) {
        if self.len.get() == HELD_BYTES {
            self.pop().into_iter().for_each(|oldest| serial(&[oldest]));
        }
        self.text[(self.start.get() + self.len.get()) % HELD_BYTES].set(byte);
        self.len.set(self.len.get() + 1);
    }

    fn pop(&self) -> Option<u8> {
        let len = self.len.get().checked_sub(1)?;
        let byte = self.text[self.start.get()].get();
        self.start.set((self.start.get() + 1) % HELD_BYTES);
        self.len.set(len);
        Some(byte)
    }
}

/// From now on text for the serial port waits for `trickle`.
pub fn hold() {
    HELD.holding.set(true);
}

/// Sends as much of what is held as the port takes without waiting; true if there is more.
pub fn trickle() -> bool {
    if HELD.len.get() != 0 && inb(LSR) & LSR_THRE != 0 {
        (0..FIFO_BYTES).map_while(|_| HELD.pop()).for_each(|byte| outb(THR, byte));
    }
    HELD.len.get() != 0
}

/// Sends what is held, however long it takes, and holds no more.
pub fn release() {
    HELD.holding.set(false);
    while let Some(byte) = HELD.pop() {
        serial(&[byte]);
    }
}

/// Programs the serial port: 115200 baud, 8 data bits, no parity, FIFOs on, no interrupts.
pub fn init() {
    outb(IER, 0);
    outb(LCR, LCR_DLAB);
    outb(THR, 1);
    outb(IER, 0);
    outb(LCR, LCR_8N1);
    outb(FCR, FCR_ENABLE_AND_CLEAR);
    outb(MCR, MCR_DTR_RTS);
}

/// From now on lines go there.
pub fn select(console: Console) {
    CONSOLE.set(console);
}

fn serial(text: &[u8]) {
    for chunk in text.chunks(FIFO_BYTES) {
        for _ in 0..MAX_POLLS {
            if inb(LSR) & LSR_THRE != 0 {
                break;
            }
        }
        chunk.iter().for_each(|byte| outb(THR, *byte));
    }
}

/// One line under construction, sent in whole FIFOs.
struct Line {
    text: [u8; 128],
    len: usize,
}

impl Line {
    fn flush(&mut self) {
        let text = &self.text[..self.len];
        let console = CONSOLE.get();
        if matches!(console, Console::Serial | Console::Both) {
            if HELD.holding.get() {
                text.iter().for_each(|byte| HELD.push(*byte));
            } else {
                serial(text);
            }
        }
        if matches!(console, Console::Debug | Console::Both) {
            text.iter().for_each(|byte| outb(DEBUG_CONSOLE, *byte));
        }
        self.len = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len == self.text.len() {
                self.flush();
            }
            self.text[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Prints one line; `log!` is its usual form.
pub fn print_line(arguments: fmt::Arguments) {
    let mut line = Line { text: [0; 128], len: 0 };
    // A `Line` takes every text, and so do the formatters of this guest.
    let _ = line.write_fmt(arguments);
    let _ = line.write_str("\r\n");
    line.flush();
}

/// Prints a formatted line to the console.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => { $crate::console::print_line(format_args!($($argument)*)) };
}
