//! The card's state as a snapshot keeps it, and its values after a reset.

use super::eeprom::Eeprom;
use super::irq::Irq;
use super::phy::Phy;
use super::rx::Receiver;
use super::segment::PACKET_MAX;
use super::stats::Stats;
use super::tx::Transmitter;
use super::{E1000, spec};
use crate::RestoreError;
use crate::pci::ConfigState;
use serde::{Deserialize, Serialize};

/// Registers that are nothing but numbers to the card's other parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each bears the manual's name; spec.rs explains it")]
pub struct Regs {
    pub ctrl: u32,
    pub ctrl_ext: u32,
    pub fcal: u32,
    pub fcah: u32,
    pub fct: u32,
    pub vet: u32,
    pub rctl: u32,
    pub fcttv: u32,
    pub txcw: u32,
    pub tctl: u32,
    pub tipg: u32,
    pub ait: u32,
    pub ledctl: u32,
    pub pba: u32,
    pub fcrtl: u32,
    pub fcrth: u32,
    pub rdtr: u32,
    pub rxdctl: u32,
    pub radv: u32,
    pub rsrpd: u32,
    pub txdmac: u32,
    pub tidv: u32,
    pub txdctl: u32,
    pub tadv: u32,
    pub tspmt: u32,
    pub rxcsum: u32,
    pub wuc: u32,
    pub wufc: u32,
    pub manc: u32,
    pub ipav: u32,
    /// Which register IODATA means.
    pub ioaddr: u32,
}

impl Default for Regs {
    fn default() -> Self {
        Self {
            ctrl: spec::CTRL_RESET,
            ctrl_ext: 0,
            fcal: 0,
            fcah: 0,
            fct: 0,
            vet: 0,
            rctl: 0,
            fcttv: 0,
            txcw: 0,
            tctl: 0,
            tipg: 0,
            ait: 0,
            ledctl: 0x0706_8302,
            pba: spec::PBA_RESET,
            fcrtl: 0,
            fcrth: 0,
            rdtr: 0,
            rxdctl: 0x0100_0000,
            radv: 0,
            rsrpd: 0,
            txdmac: 0,
            tidv: 0,
            txdctl: 0x0100_0000,
            tadv: 0,
            tspmt: 0x0100_0400,
            rxcsum: 0,
            wuc: 0,
            wufc: 0,
            manc: spec::MANC_RESET,
            ipav: 0,
            ioaddr: 0,
        }
    }
}

/// Register arrays, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Multicast table.
    pub mta: Vec<u32>,
    /// Receive addresses.
    pub ra: Vec<u32>,
    /// VLAN filter table.
    pub vfta: Vec<u32>,
    /// IPv4 addresses of the wake-up filter.
    pub ip4at: Vec<u32>,
    /// IPv6 address of the wake-up filter.
    pub ip6at: Vec<u32>,
    /// Flexible filter lengths.
    pub fflt: Vec<u32>,
    /// Flexible filter masks.
    pub ffmt: Vec<u32>,
    /// Flexible filter values.
    pub ffvt: Vec<u32>,
    /// Diagnostic FIFO registers: five of receive, five of transmit.
    pub fifo: Vec<u32>,
    /// Words of packet buffer memory that software wrote: index and value, by index.
    pub packet_buffer: Vec<(u32, u32)>,
}

impl Default for Tables {
    fn default() -> Self {
        let words = |count: u32| vec![0; count as usize];
        Self {
            mta: words(spec::MTA_WORDS),
            ra: words(spec::RA_WORDS),
            vfta: words(spec::VFTA_WORDS),
            ip4at: words(spec::IP4AT_WORDS),
            ip6at: words(spec::IP6AT_WORDS),
            fflt: words(spec::FFLT_WORDS),
            ffmt: words(spec::FFT_WORDS),
            ffvt: words(spec::FFT_WORDS),
            fifo: words(10),
            packet_buffer: Vec::new(),
        }
    }
}

impl Tables {
    fn is_sound(&self) -> bool {
        let fresh = Self::default();
        let sizes = |t: &Self| {
            let lists = [&t.mta, &t.ra, &t.vfta, &t.ip4at, &t.ip6at, &t.fflt, &t.ffmt, &t.ffvt, &t.fifo];
            lists.map(Vec::len)
        };
        sizes(self) == sizes(&fresh)
            && self.packet_buffer.is_sorted_by(|a, b| a.0 < b.0)
            && self.packet_buffer.iter().all(|(index, _)| *index < spec::PBM_SIZE / 4)
    }

    pub(super) fn packet_buffer(&self, index: u32) -> u32 {
        let found = self.packet_buffer.binary_search_by_key(&index, |(at, _)| *at);
        found.map_or(0, |place| self.packet_buffer[place].1)
    }

    pub(super) fn set_packet_buffer(&mut self, index: u32, value: u32) {
        match self.packet_buffer.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(place) => self.packet_buffer[place].1 = value,
            Err(place) => self.packet_buffer.insert(place, (index, value)),
        }
    }
}

/// Everything that a snapshot keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each part's type explains it")]
pub struct E1000State {
    pub config: ConfigState,
    pub regs: Regs,
    pub tables: Tables,
    pub eeprom: Eeprom,
    pub phy: Phy,
    pub irq: Irq,
    pub rx: Receiver,
    pub tx: Transmitter,
    pub stats: Stats,
}

impl E1000 {
    /// What a snapshot keeps. Events in the queue belong to the card's state too; the queue keeps them.
    #[must_use]
    pub fn state(&self) -> E1000State {
        let Self { config: _, pci, regs, tables, eeprom, phy, irq, rx, tx, stats, fates: _ } = self;
        E1000State {
            config: pci.state(),
            regs: regs.clone(),
            tables: tables.clone(),
            eeprom: eeprom.clone(),
            phy: phy.clone(),
            irq: irq.clone(),
            rx: rx.clone(),
            tx: tx.clone(),
            stats: stats.clone(),
        }
    }

    /// Goes on from a snapshot. On an error nothing has changed.
    pub fn restore(&mut self, state: E1000State) -> Result<(), RestoreError> {
        let E1000State { config, regs, tables, eeprom, phy, irq, rx, tx, stats } = state;
        let check = |ok, what| RestoreError::unless(ok, "e1000", what);
        check(tables.is_sound(), "a register table of the wrong size")?;
        check(eeprom.is_sound(), "an impossible EEPROM")?;
        check(phy.is_sound(), "an impossible PHY")?;
        check(stats.is_sound(), "statistics of the wrong size")?;
        check(
            (irq.icr | irq.ims) & !spec::ICR_ALL == 0 && irq.itr >> 16 == 0,
            "impossible interrupt registers",
        )?;
        check(rx.ring.is_sound() && tx.ring.is_sound(), "an impossible descriptor ring")?;
        check(regs_are_sound(&regs), "a register with bits that it does not have")?;
        check(receiver_is_sound(&rx), "an impossible receive FIFO")?;
        check(transmitter_is_sound(&tx), "an impossible transmit FIFO")?;
        self.pci.restore(&config)?;
        (self.regs, self.tables, self.eeprom, self.phy) = (regs, tables, eeprom, phy);
        (self.irq, self.rx, self.tx, self.stats) = (irq, rx, tx, stats);
        Ok(())
    }
}

fn regs_are_sound(regs: &Regs) -> bool {
    let halves =
        [regs.fcah, regs.fct, regs.vet, regs.fcttv, regs.rdtr, regs.radv, regs.tidv, regs.tadv, regs.pba];
    halves.iter().all(|value| value >> 16 == 0)
        && regs.rsrpd >> 12 == 0
        && regs.rctl & !spec::RCTL_MASK == 0
        && regs.tctl & !spec::TCTL_MASK == 0
}

fn receiver_is_sound(rx: &Receiver) -> bool {
    let room: u64 = rx.fifo.iter().map(|frame| u64::from(frame.room())).sum();
    let frames = rx.fifo.iter().all(|frame| (1..=PACKET_MAX + 128).contains(&frame.bytes.len()));
    let done = rx.fifo.front().map_or(0, |frame| frame.bytes.len());
    frames
        && room == u64::from(rx.fifo_bytes)
        && rx.fifo_bytes <= spec::PBM_SIZE
        && rx.done as usize <= done
        && rx.filled <= spec::PBM_SIZE
        && rx.current.is_none_or(|current| current.desc.index <= 0xffff && !rx.fifo.is_empty())
        && rx.finished.len() <= 128
        && rx.finished.iter().all(|done| done.index <= 0xffff)
}

fn transmitter_is_sound(tx: &Transmitter) -> bool {
    let room: u64 = tx.fifo.iter().map(|frame| u64::from(super::rx::fifo_room(frame.bytes.len()))).sum();
    let frames = tx.fifo.iter().all(|frame| frame.bytes.len() <= PACKET_MAX + 4);
    let works = |index, done: u32| index <= 0xffff && done <= 0xf_ffff;
    let assembly = &tx.assembly;
    frames
        && room == u64::from(tx.fifo_bytes)
        && (!tx.on_wire || !tx.fifo.is_empty())
        && tx.current.is_none_or(|work| works(work.desc.index, work.done))
        && tx.chunk.len() <= PACKET_MAX
        && assembly.data.len() <= 2 * PACKET_MAX
        && assembly.header.len() <= 255
        && tx.reports.iter().all(|report| report.desc.index <= 0xffff)
}
