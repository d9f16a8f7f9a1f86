//! The driver of the NIC, an 82540EM: reset, MAC address, rings, interrupts.
//!
//! Intel 317453 (8254x Software Developer's Manual): chapter 14 (initialization), chapter 3 (receive,
//! transmit, interrupts). The 82574L differs in two places that are marked; it is here because QEMU's 82540EM
//! has no MSI.

mod rx;
mod spec;
mod tx;

pub use rx::Received;

use crate::dma::Addressing;
use crate::mem::{Mmio, Shared};
use crate::net::Mac;
use crate::pci::Function;
use crate::{fail, log};
use core::sync::atomic::{AtomicU32, Ordering};
use rx::RxRing;
use tx::TxRing;

/// The causes that raise an interrupt.
const CAUSES: u32 =
    spec::CAUSE_RXT0 | spec::CAUSE_RXO | spec::CAUSE_RXDMT0 | spec::CAUSE_LSC | spec::CAUSE_TXDW;

/// Reset and EEPROM reads take microseconds to milliseconds; more polls than this mean that the NIC does not
/// work.
const MAX_POLLS: u32 = 1_000_000;

/// The NICs that the driver knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// 8086:100e.
    I82540em,
    /// 8086:10d3.
    I82574l,
}

impl Model {
    /// The model of a PCI function, if it is one.
    pub fn of(function: &Function) -> Option<Self> {
        match (function.vendor, function.device) {
            (0x8086, 0x100e) => Some(Self::I82540em),
            (0x8086, 0x10d3) => Some(Self::I82574l),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Interrupting {
    registers: Mmio,
    model: Model,
}

static INTERRUPTING: Shared<Option<Interrupting>> = Shared::new(None);
/// What the handler has seen and the main program has not.
static PENDING: AtomicU32 = AtomicU32::new(0);
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// The NIC with its rings.
pub struct Nic {
    registers: Mmio,
    mac: Mac,
    rx: RxRing,
    tx: TxRing,
}

impl Nic {
    /// Resets the NIC and sets it up to receive into `rx_ring` buffers; it is quiet until
    /// `enable_interrupts`.
    pub fn new(model: Model, base: u64, addressing: Addressing, rx_ring: usize) -> Self {
        let registers = Mmio::new(base);
        reset(registers);
        let mac = read_mac(registers, model);
        let [a, b, c, d, e, f] = mac.0;
        registers.write32(spec::RAL0, u32::from_le_bytes([a, b, c, d]));
        registers.write32(spec::RAH0, u32::from_le_bytes([e, f, 0, 0]) | spec::RAH_AV);
        for word in 0..spec::MTA_WORDS {
            registers.write32(spec::MTA + 4 * word, 0);
        }
        let rx = RxRing::start(registers, addressing, rx_ring);
        let tx = TxRing::start(registers, addressing);
        INTERRUPTING.set(Some(Interrupting { registers, model }));
        log!("e1000: {model:?}, MAC {mac}, {rx_ring} receive descriptors");
        Self { registers, mac, rx, tx }
    }

    /// The address from the EEPROM.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Lets the NIC interrupt, and the link come up.
    pub fn start(&mut self) {
        self.registers.write32(spec::IMS, CAUSES);
        let control = self.registers.read32(spec::CTRL) & !spec::CTRL_FORCING;
        self.registers.write32(spec::CTRL, control | spec::CTRL_SLU | spec::CTRL_ASDE);
    }

    /// Whether there is a link.
    pub fn link_up(&self) -> bool {
        self.registers.read32(spec::STATUS) & spec::STATUS_LU != 0
    }

    /// The frame in the next receive buffer, if there is one. `release` gives the buffer back.
    pub fn receive(&mut self) -> Option<Received> {
        self.rx.next()
    }

    /// Gives the buffer of the frame from `receive` back to the NIC.
    pub fn release(&mut self) {
        self.rx.release(self.registers);
    }

    /// The index of a free transmit buffer, if there is one. `send` takes it.
    pub fn free_buffer(&mut self) -> Option<usize> {
        self.tx.reclaim();
        self.tx.free()
    }

    /// Sends the first `len` bytes of the buffer that `free_buffer` named.
    pub fn send(&mut self, len: usize) {
        self.tx.send(self.registers, len);
    }

    /// Frames handed to the NIC that it has not reported as sent.
    pub fn unsent(&mut self) -> usize {
        self.tx.reclaim();
        self.tx.in_flight()
    }

    /// Frames that found no buffer since the last call.
    pub fn missed(&self) -> u32 {
        self.registers.read32(spec::MPC)
    }
}

fn reset(registers: Mmio) {
    registers.write32(spec::IMC, u32::MAX);
    registers.write32(spec::RCTL, 0);
    registers.write32(spec::TCTL, 0);
    registers.write32(spec::CTRL, registers.read32(spec::CTRL) | spec::CTRL_RST);
    if !(0..MAX_POLLS).any(|_| registers.read32(spec::CTRL) & spec::CTRL_RST == 0) {
        fail!(Nic, "e1000: reset does not end");
    }
    registers.write32(spec::IMC, u32::MAX);
    // Reading clears what is left.
    registers.read32(spec::ICR);
}

fn read_eeprom(registers: Mmio, model: Model, word: u32) -> u16 {
    let (shift, done) = match model {
        Model::I82540em => (spec::EERD_ADDRESS_SHIFT_82540, spec::EERD_DONE_82540),
        Model::I82574l => (spec::EERD_ADDRESS_SHIFT_82574, spec::EERD_DONE_82574),
    };
    registers.write32(spec::EERD, word << shift | spec::EERD_START);
    for _ in 0..MAX_POLLS {
        let value = registers.read32(spec::EERD);
        if value & done != 0 {
            return (value >> spec::EERD_DATA_SHIFT) as u16;
        }
    }
    fail!(Nic, "e1000: EEPROM word {word} cannot be read")
}

/// The Ethernet address is in EEPROM words 0 to 2, low byte first (5.6.1).
fn read_mac(registers: Mmio, model: Model) -> Mac {
    let mut mac = [0; 6];
    for (word, bytes) in (0..).zip(mac.chunks_exact_mut(2)) {
        bytes.copy_from_slice(&read_eeprom(registers, model, word).to_le_bytes());
    }
    Mac(mac)
}

/// The handler of `idt::NIC_VECTOR`: reading the causes clears them, and with them the interrupt.
pub fn handle_interrupt() {
    let Some(Interrupting { registers, model }) = INTERRUPTING.get() else { return };
    let causes = registers.read32(spec::ICR);
    if model == Model::I82574l {
        // Reading does not clear them all here (82574 datasheet, 10.2.4.1); writing does.
        registers.write32(spec::ICR, causes);
    }
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    PENDING.fetch_or(causes & CAUSES, Ordering::Release);
}

/// Forgets what the handler has noted; the caller looks at everything that may have changed next.
pub fn clear_pending() {
    PENDING.store(0, Ordering::Release);
}

/// Whether the handler has noted anything.
pub fn pending() -> bool {
    PENDING.load(Ordering::Acquire) != 0
}

/// How many interrupts came.
pub fn interrupts() -> u32 {
    INTERRUPTS.load(Ordering::Relaxed)
}
