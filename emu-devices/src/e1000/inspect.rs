//! The card for people: its registers with their meaning, and its rings with their descriptors decoded. Reading here
//! has no side effects.

use super::names::REGISTERS;
use super::segment::{Context, Kind, TxDesc};
use super::{E1000, spec};
use crate::inspect::{Register, bit_names};
use emu_core::Iova;
use emu_core::trace::Ring;

/// Whose a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The card's, still in memory only.
    Card,
    /// The card's, read ahead.
    OnChip,
    /// Software's.
    Software,
}

/// A descriptor as `inspect` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its place in the ring.
    pub index: u32,
    /// Its address.
    pub iova: Iova,
    /// What memory holds; `None` if that can't be read.
    pub raw: Option<[u64; 2]>,
    /// Whose it is.
    pub owner: Owner,
    /// The fields in words.
    pub meaning: String,
}

impl E1000 {
    /// All registers that hold one word, and of the arrays the words that are not zero.
    pub fn registers(&self) -> impl Iterator<Item = Register> + '_ {
        REGISTERS.iter().flat_map(move |info| {
            (0..info.words).filter_map(move |index| {
                let offset = info.offset + index * 4;
                let value = self.peek(offset)?;
                if info.words == 1 {
                    let bits: Vec<(u64, &str)> =
                        info.bits.iter().map(|(bit, n)| (u64::from(*bit), *n)).collect();
                    let set = bit_names(value.into(), &bits);
                    let words = if set.is_empty() { info.what.to_owned() } else { set };
                    return Some(Register::plain(info.name, offset, value).meaning(words));
                }
                (value != 0).then(|| Register::plain(format!("{}[{index}]", info.name), offset, value))
            })
        })
    }

    /// The words of the EEPROM.
    #[must_use]
    pub fn eeprom_words(&self) -> &[u16] {
        &self.eeprom.words
    }

    /// The registers of the PHY, as last written or set; link bits are in STATUS.
    #[must_use]
    pub fn phy_registers(&self) -> &[u16] {
        &self.phy.regs
    }

    /// Up to `limit` descriptors of a ring from its head on. `read` reads guest memory as the card would, without
    /// effects, and answers whether it could.
    pub fn descriptors(
        &self,
        which: Ring,
        limit: u32,
        mut read: impl FnMut(Iova, &mut [u8; 16]) -> bool,
    ) -> Vec<Descriptor> {
        let ring = match which {
            Ring::Rx => &self.rx.ring,
            Ring::Tx => &self.tx.ring,
        };
        let count = ring.count();
        if ring.head >= count {
            return Vec::new();
        }
        let (owned, unfetched) = (ring.owned(), ring.unfetched());
        let describe = |place: u32| {
            let index = (ring.head + place) % count;
            let iova = ring.iova(index);
            let mut bytes = [0; 16];
            let raw = read(iova, &mut bytes).then(|| {
                let quads = u128::from_le_bytes(bytes);
                [quads as u64, (quads >> 64) as u64]
            });
            let owner = if place >= owned {
                Owner::Software
            } else if place < owned - unfetched.min(owned) {
                Owner::OnChip
            } else {
                Owner::Card
            };
            let meaning = raw.map_or_else(String::new, |raw| describe_descriptor(which, raw));
            Descriptor { index, iova, raw, owner, meaning }
        };
        (0..count.min(limit)).map(describe).collect()
    }
}

/// The fields of a descriptor of a ring, in words.
#[must_use]
pub fn describe_descriptor(ring: Ring, raw: [u64; 2]) -> String {
    match ring {
        Ring::Rx => describe_receive(raw),
        Ring::Tx => describe_transmit(raw),
    }
}

/// A receive descriptor's fields (manual 3.2.3).
#[must_use]
fn describe_receive(raw: [u64; 2]) -> String {
    let status = bit_names(
        raw[1] >> 32 & 0xff,
        &[
            (spec::RXD_DD.into(), "DD"),
            (spec::RXD_EOP.into(), "EOP"),
            (spec::RXD_IXSM.into(), "IXSM"),
            (spec::RXD_VP.into(), "VP"),
            (spec::RXD_TCPCS.into(), "TCPCS"),
            (spec::RXD_IPCS.into(), "IPCS"),
            (spec::RXD_PIF.into(), "PIF"),
        ],
    );
    format!("buffer {:#x} length {} {status}", raw[0], raw[1] & 0xffff)
}

/// A transmit descriptor's fields (manual 3.3).
#[must_use]
fn describe_transmit(raw: [u64; 2]) -> String {
    let desc = TxDesc { raw };
    let done = if raw[1] & spec::TXD_DD != 0 { " DD" } else { "" };
    let segments = if desc.kind() == Kind::Legacy { "IC" } else { "TSE" };
    let command = bit_names(
        desc.command().into(),
        &[
            (spec::TXD_EOP.into(), "EOP"),
            (spec::TXD_IFCS.into(), "IFCS"),
            (spec::TXD_TSE.into(), segments),
            (spec::TXD_RS.into(), "RS"),
            (spec::TXD_VLE.into(), "VLE"),
            (spec::TXD_IDE.into(), "IDE"),
        ],
    );
    match desc.kind() {
        Kind::Legacy => format!("legacy buffer {:#x} length {} {command}{done}", raw[0], desc.len()),
        Kind::Data => format!("data buffer {:#x} length {} {command}{done}", raw[0], desc.len()),
        Kind::Context => {
            let Context { payload, header, mss, .. } = Context::decode(raw);
            format!("context header {header} payload {payload} MSS {mss}{done}")
        }
    }
}
