//! The two experiments with VT-d: a buffer that is mapped wrongly, and a mapping that changes behind the
//! IOTLB's back.

use crate::cmdline::{Config, Mode, Wrong};
use crate::dma::{self, MAX_RING, Slot};
use crate::mem::Page;
use crate::vtd::fault::Fault;
use crate::vtd::{Access, Vtd};
use crate::{fail, log};

/// The third frame by default, so that in `wrong-map` an ARP exchange at the beginning is not what gets lost.
const WRONG_MAP_INDEX: usize = 2;
const STALE_INDEX: usize = 0;

/// What a buffer begins with before the device writes to it. No frame does: it is no address of ours.
const MARKER: [u8; 16] = [0xa5; 16];

/// Which experiment runs, and how far it has come.
pub enum Experiment {
    /// None.
    None,
    /// One buffer is mapped wrongly until its first fault.
    WrongMap {
        /// The buffer.
        slot: Slot,
        /// How many faults it has caused.
        faults: u32,
    },
    /// One receive buffer is moved to another page.
    Stale {
        /// The buffer.
        slot: Slot,
        /// How far it has come.
        stage: Stage,
        /// Whether the device went on writing to the old page after the tables had changed.
        old_seen: bool,
    },
}

/// The stages of `Experiment::Stale`, each lasting until the buffer is used once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The mapping is as always; its first use brings it into the IOTLB.
    Fresh,
    /// The tables say the new page, and nothing was invalidated.
    Changed,
    /// The IOTLB has been told.
    Invalidated,
    /// Seen in the new page.
    Done,
}

/// Where the frame in a receive buffer is.
pub enum Content {
    /// In this page.
    In(&'static Page),
    /// Nowhere: the DMA was refused.
    Lost,
}

impl Experiment {
    /// The experiment of `config`, in a machine with or without VT-d, with so many receive buffers.
    pub fn new(config: &Config, rx_ring: usize) -> Self {
        if config.mode != Mode::Normal && config.vtd.is_none() {
            fail!(Usage, "demo: mode={:?} needs VT-d", config.mode);
        }
        let pick = |default: usize, end: usize| match config.index.unwrap_or(default) {
            index if index < end => index,
            index => fail!(Usage, "demo: index={index} is not below {end}"),
        };
        match config.mode {
            Mode::Normal => Self::None,
            Mode::WrongMap => {
                let slot = match config.wrong {
                    Wrong::RxUnmapped | Wrong::RxReadOnly => Slot::RxBuffer(pick(WRONG_MAP_INDEX, rx_ring)),
                    Wrong::TxUnmapped => Slot::TxBuffer(pick(WRONG_MAP_INDEX, MAX_RING)),
                };
                Self::WrongMap { slot, faults: 0 }
            }
            Mode::Stale => {
                let slot = Slot::RxBuffer(pick(STALE_INDEX, rx_ring));
                Self::Stale { slot, stage: Stage::Fresh, old_seen: false }
            }
        }
    }

    /// Spoils the mapping, before translation is turned on.
    pub fn prepare(&self, config: &Config, vtd: &mut Vtd) {
        let Self::WrongMap { slot, .. } = self else { return };
        if let Slot::RxBuffer(index) = *slot {
            self.mark(index);
        }
        match config.wrong {
            Wrong::RxUnmapped | Wrong::TxUnmapped => vtd.unmap(slot.iova()),
            Wrong::RxReadOnly => vtd.map(slot.iova(), slot.page().phys(), Access::Read),
        }
        log!("demo: {slot:?} at {:#x} is mapped wrongly ({:?})", slot.iova(), config.wrong);
    }

    /// Whether the fault is one that the experiment is about; if so, the mapping is repaired.
    pub fn take_fault(&mut self, fault: &Fault, vtd: &mut Vtd) -> bool {
        let Self::WrongMap { slot, faults } = self else { return false };
        if fault.is_interrupt() || fault.address != slot.iova() {
            return false;
        }
        *faults += 1;
        if *faults == 1 {
            vtd.map(slot.iova(), slot.page().phys(), slot.access());
            vtd.invalidate_page(slot.iova());
            log!(
                "demo: {slot:?} at {:#x} repaired: {:#x}, {:?}",
                slot.iova(),
                slot.page().phys(),
                slot.access()
            );
        }
        true
    }

    /// Where the frame in the receive buffer `index` is. Called once for each frame.
    pub fn locate(&mut self, index: usize, vtd: Option<&mut Vtd>) -> Content {
        let received = Slot::RxBuffer(index);
        match self {
            Self::WrongMap { slot, .. } if *slot == received && !written(slot.page()) => Content::Lost,
            Self::Stale { slot, stage, old_seen } if *slot == received => {
                let Some(vtd) = vtd else { return Content::In(received.page()) };
                let page = advance(*slot, stage, old_seen, vtd);
                Content::In(page)
            }
            Self::None | Self::WrongMap { .. } | Self::Stale { .. } => Content::In(received.page()),
        }
    }

    /// Marks the receive buffer `index` before it goes to the NIC, so that `locate` can tell where its next
    /// frame is.
    pub fn mark(&self, index: usize) {
        let pages = match self {
            Self::WrongMap { slot, .. } if *slot == Slot::RxBuffer(index) => [slot.page(), slot.page()],
            Self::Stale { slot, stage, .. } if *slot == Slot::RxBuffer(index) && *stage != Stage::Done => {
                [slot.page(), dma::spare()]
            }
            Self::None | Self::WrongMap { .. } | Self::Stale { .. } => return,
        };
        for page in pages {
            page.bytes_mut()[..MARKER.len()].copy_from_slice(&MARKER);
        }
    }

    /// Prints what came of it; false if it was not finished, or not as it must.
    pub fn conclude(&self) -> bool {
        match self {
            Self::None => true,
            Self::WrongMap { slot, faults, .. } => {
                log!("demo: wrong-map: {faults} faults on {slot:?}");
                *faults != 0
            }
            Self::Stale { stage, old_seen, .. } => {
                log!(
                    "demo: stale: {stage:?}, old mapping used after the change: {}",
                    if *old_seen { "yes" } else { "no" }
                );
                *stage == Stage::Done
            }
        }
    }
}

/// Whether the device has written to the page since it was marked.
fn written(page: &Page) -> bool {
    page.bytes(MARKER.len()) != MARKER
}

/// One use of the buffer whose mapping changes: finds the frame, and goes to the next stage.
fn advance(slot: Slot, stage: &mut Stage, old_seen: &mut bool, vtd: &mut Vtd) -> &'static Page {
    let (old, new) = (slot.page(), dma::spare());
    let iova = slot.iova();
    match *stage {
        Stage::Fresh => {
            vtd.map(iova, new.phys(), slot.access());
            log!(
                "demo: stale: {iova:#x} now maps to {:#x} instead of {:#x}; nothing invalidated",
                new.phys(),
                old.phys()
            );
            *stage = Stage::Changed;
            old
        }
        Stage::Changed => {
            *old_seen = written(old);
            let page = if *old_seen { old } else { new };
            let which = if *old_seen { "old" } else { "new" };
            log!("demo: stale: DMA to {iova:#x} landed in the {which} buffer {:#x}", page.phys());
            vtd.invalidate_page(iova);
            log!("demo: stale: {iova:#x} invalidated");
            *stage = Stage::Invalidated;
            page
        }
        Stage::Invalidated => {
            if !written(new) || written(old) {
                fail!(
                    Experiment,
                    "demo: stale: DMA to {iova:#x} landed in the old buffer after the invalidation"
                );
            }
            log!("demo: stale: DMA to {iova:#x} landed in the new buffer {:#x}", new.phys());
            *stage = Stage::Done;
            new
        }
        Stage::Done => new,
    }
}
