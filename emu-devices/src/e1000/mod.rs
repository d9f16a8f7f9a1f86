//! An Intel 82540EM gigabit Ethernet controller (8086:100e), the "PRO/1000 MT Desktop": what Linux's e1000, FreeBSD's
//! em, iPXE and Windows drive. Manual: Intel 317453 revision 4.0 (see `spec.rs`).
//!
//! Everything takes its time: a register write only schedules the stage that follows, each stage schedules the next,
//! and each remembers the trace record it works for (see `rx.rs` and `tx.rs`). The bus is the lent [`DeviceCtx`]; the
//! cable is lent to [`E1000::on_event`], and frames come in through [`E1000::frame_in`].
//!
//! Not modelled: wake-up (its registers are kept), the TBI interface of other family members, management, half-duplex
//! collisions, flash.

mod checksum;
mod classify;
mod config;
mod eeprom;
mod filter;
mod flow;
mod inspect;
mod irq;
mod mmio;
mod names;
mod phy;
mod pio;
mod ring;
mod rx;
mod segment;
pub mod spec;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod timing;
mod tx;

pub use inspect::{Descriptor, Owner, describe_descriptor};
pub use names::{REGISTERS, RegisterInfo, icr_names, register_info, register_name};
pub use state::E1000State;
pub use stats::Stats;
pub use timing::Timing;

use crate::pci::{ConfigSpace, PciFunction, Windows};
use eeprom::Eeprom;
use emu_core::Pin;
use emu_core::device::{DeviceCtx, DmaFault};
use emu_core::trace::{DropReason, RecordId};
use emu_net::NetBackend;
use irq::Irq;
use phy::Phy;
use rx::Receiver;
use state::{Regs, Tables};
use tx::Transmitter;

/// The card's only pin: INTA.
pub const INTA: Pin = Pin(0);
/// Window number of the registers in memory space.
pub const MMIO_BAR: u8 = 0;
/// Window number of the I/O ports.
pub const IO_BAR: u8 = 2;

/// What the card is told when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct E1000Config {
    /// Station address, in the EEPROM.
    pub mac: [u8; 6],
    /// Latencies.
    pub timing: Timing,
    /// Command.InterruptDisable and Status.Interrupt, which came with PCI 2.3 (6.2.2, 6.2.3). Without them the card is one of
    /// PCI 2.2, as older members of its family are; drivers find out by trying.
    pub intx_masking: bool,
}

impl E1000Config {
    /// A card of that address with the default latencies, whose pin can be masked.
    #[must_use]
    pub fn with_mac(mac: [u8; 6]) -> Self {
        Self { mac, timing: Timing::default(), intx_masking: true }
    }
}

/// What the card asks to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Token {
    EepromLoaded,
    EepromRead,
    EepromWritten,
    Mdio,
    PhyReset,
    Autonegotiated,
    RxFetch,
    RxArrived,
    RxStep,
    RxDelay,
    RxAbsolute,
    TxFetch,
    TxArrived,
    TxStep,
    TxWire,
    TxWriteBack,
    TxDelay,
    TxAbsolute,
    Throttle,
    PauseOver,
}

impl Token {
    const ALL: [Self; 20] = [
        Self::EepromLoaded,
        Self::EepromRead,
        Self::EepromWritten,
        Self::Mdio,
        Self::PhyReset,
        Self::Autonegotiated,
        Self::RxFetch,
        Self::RxArrived,
        Self::RxStep,
        Self::RxDelay,
        Self::RxAbsolute,
        Self::TxFetch,
        Self::TxArrived,
        Self::TxStep,
        Self::TxWire,
        Self::TxWriteBack,
        Self::TxDelay,
        Self::TxAbsolute,
        Self::Throttle,
        Self::PauseOver,
    ];

    /// Whether it belongs to a part that the MAC's reset leaves alone: the PHY and the EEPROM's own write cycle.
    fn outlives_reset(self) -> bool {
        matches!(self, Self::PhyReset | Self::Autonegotiated | Self::EepromWritten)
    }
}

/// The card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct E1000 {
    config: E1000Config,
    pci: ConfigSpace,
    regs: Regs,
    tables: Tables,
    eeprom: Eeprom,
    phy: Phy,
    irq: Irq,
    rx: Receiver,
    tx: Transmitter,
    stats: Stats,
    /// What became of frames during this call. Whoever calls takes it, so it is empty between calls.
    fates: Vec<Fate>,
}

/// What became of a frame, and the record that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came in from the wire.
    In {
        /// Its number.
        packet: u64,
        /// `FrameIn`.
        record: RecordId,
    },
    /// It was lost.
    Dropped {
        /// Its number.
        packet: u64,
        /// Why.
        reason: DropReason,
        /// `FrameDrop`.
        record: RecordId,
    },
    /// It is in guest memory.
    Delivered {
        /// Its number.
        packet: u64,
        /// `FrameDelivered`.
        record: RecordId,
    },
    /// The frame that was given to the cable.
    Out {
        /// `FrameOut`.
        record: RecordId,
    },
}

impl E1000 {
    /// As it is some time after power-on: EEPROM read, cable plugged in, link partners agreed.
    #[must_use]
    pub fn new(config: E1000Config) -> Self {
        let mut card = Self {
            pci: config::config_space(&config),
            regs: Regs::default(),
            tables: Tables::default(),
            eeprom: Eeprom::new(config.mac),
            phy: Phy::default(),
            irq: Irq::default(),
            rx: Receiver::default(),
            tx: Transmitter::default(),
            stats: Stats::default(),
            fates: Vec::new(),
            config,
        };
        card.load_eeprom();
        card
    }

    /// PCI reset: everything but the EEPROM's words is as after power-on.
    pub fn reset(&mut self, ctx: &mut DeviceCtx<'_>) {
        for token in Token::ALL {
            ctx.cancel(token as u32);
        }
        if self.irq.pin {
            ctx.set_pin(INTA, false);
        }
        let words = std::mem::take(&mut self.eeprom.words);
        *self = Self::new(self.config.clone());
        self.eeprom.words = words;
        self.load_eeprom();
    }

    /// CTRL.RST: everything but PCI configuration, the PHY and the EEPROM's words (manual chapter 14).
    fn reset_mac(&mut self, ctx: &mut DeviceCtx<'_>) {
        for token in Token::ALL.into_iter().filter(|token| !token.outlives_reset()) {
            ctx.cancel(token as u32);
        }
        let (pin, ioaddr) = (self.irq.pin, self.regs.ioaddr);
        self.regs = Regs { ioaddr, ..Regs::default() };
        self.tables = Tables::default();
        self.irq = Irq { pin, ..Irq::default() };
        self.rx = Receiver::default();
        self.tx = Transmitter::default();
        self.stats.reset_registers();
        self.eeprom.reset_interface();
        self.phy.mdic = spec::MDIC_READY;
        self.update_interrupt(ctx);
        ctx.after(self.config.timing.eeprom_load, Token::EepromLoaded as u32);
    }

    /// An event that the card asked for is due. Numbers that it never asked for are ignored.
    pub fn on_event(&mut self, ctx: &mut DeviceCtx<'_>, wire: &mut dyn NetBackend, token: u32) {
        let Some(token) = Token::ALL.into_iter().find(|known| *known as u32 == token) else { return };
        match token {
            Token::EepromLoaded => self.load_eeprom(),
            Token::EepromRead => self.eerd_done(),
            Token::EepromWritten => self.eeprom_written(),
            Token::Mdio => self.mdio_done(ctx),
            Token::PhyReset => self.phy_reset_done(ctx),
            Token::Autonegotiated => self.autonegotiated(ctx),
            Token::RxFetch => self.receive_fetch(ctx),
            Token::RxArrived => self.receive_arrived(ctx),
            Token::RxStep => self.receive_step(ctx),
            Token::RxDelay | Token::RxAbsolute => self.receive_timer(ctx),
            Token::TxFetch => self.transmit_fetch(ctx),
            Token::TxArrived => self.transmit_arrived(ctx),
            Token::TxStep => self.transmit_step(ctx),
            Token::TxWire => self.wire_done(ctx, wire),
            Token::TxWriteBack => self.transmit_write_back(ctx),
            Token::TxDelay | Token::TxAbsolute => self.transmit_delay_over(ctx),
            Token::Throttle => self.throttle_over(ctx),
            Token::PauseOver => self.pause_over(ctx),
        }
    }

    /// Whether the card may use the bus now.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.pci.bus_master()
    }

    /// The addresses that it answers now.
    #[must_use]
    pub fn bars(&self) -> Windows {
        self.windows()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What became of frames since the last call; whoever calls the card asks after each call.
    pub fn take_fates(&mut self) -> std::vec::Drain<'_, Fate> {
        self.fates.drain(..)
    }

    /// The bus did not serve a read: software finds it in the PCI status register.
    fn note_fault(&mut self, fault: DmaFault) {
        match fault {
            DmaFault::BusMasterOff => {}
            DmaFault::Remapping(_) | DmaFault::NoMemory => {
                self.pci.raise_status(crate::pci::spec::STATUS_MASTER_ABORT);
            }
        }
    }
}
