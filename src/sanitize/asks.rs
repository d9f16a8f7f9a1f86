//! What devices have been asked to do, page by page, as far as the descriptors say that they fetched: rings are read and written,
//! receive buffers written, transmit buffers read.

use emu_core::trace::Ring;
use emu_core::{Bdf, Iova, PAGE_SIZE};
use std::collections::BTreeMap;

/// What was asked for in a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// All of it, by device and page.
#[derive(Debug, Default)]
pub(super) struct Asks(BTreeMap<(Bdf, u64), Asked>);

/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 16;
/// A receive buffer as the card takes it without being told otherwise (8254x manual, RCTL.BSIZE).
const BUFFER: u64 = 2048;
/// Transmit descriptors (8254x manual, 3.3): DEXT in the second qword, then their type, 1 for data.
const EXTENDED: u64 = 1 << 29;
const TYPE_SHIFT: u32 = 20;
const TYPE_DATA: u64 = 1;

impl Asks {
    fn add(&mut self, bdf: Bdf, from: Iova, len: u64, asked: Asked) {
        let last = from.0.saturating_add(len.max(1) - 1);
        for page in from.0 / PAGE_SIZE..=last / PAGE_SIZE {
            let known = self.0.entry((bdf, page)).or_default();
            known.read |= asked.read;
            known.write |= asked.write;
        }
    }

    /// The device has fetched a descriptor.
    pub(super) fn fetched(&mut self, bdf: Bdf, ring: Ring, at: Iova, raw: [u64; 2]) {
        self.add(bdf, at, DESCRIPTOR, Asked { read: true, write: true });
        let buffer = Iova(raw[0]);
        match ring {
            Ring::Rx => self.add(bdf, buffer, BUFFER, Asked { read: false, write: true }),
            Ring::Tx => {
                let len = match (raw[1] & EXTENDED != 0, raw[1] >> TYPE_SHIFT & 0xf) {
                    (false, _) => raw[1] & 0xffff,
                    (true, TYPE_DATA) => raw[1] & 0xf_ffff,
                    (true, _) => return,
                };
                self.add(bdf, buffer, len, Asked { read: true, write: false });
            }
        }
    }

    /// What was asked of the page of `iova`, if anything was.
    pub(super) fn of(&self, bdf: Bdf, iova: Iova) -> Option<Asked> {
        self.0.get(&(bdf, iova.page_number())).copied()
    }

    /// The mapping of that page has changed: what was asked before was asked of another.
    pub(super) fn forget(&mut self, iova: Iova) {
        let page = iova.page_number();
        self.0.retain(|(_, known), _| *known != page);
    }

    /// Pages of `len` bytes from `from` on that something was asked of.
    pub(super) fn pages_in(&self, bdf: Bdf, from: Iova, len: u64) -> u64 {
        let first = from.page_number();
        self.0.range((bdf, first)..(bdf, first + len / PAGE_SIZE)).count() as u64
    }
}
