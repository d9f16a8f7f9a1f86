//! The invalidation queue: orders to forget, each followed by a wait descriptor.
//!
//! VT-d specification revision 4.1: 6.5.2 (queued invalidation), 6.5.2.1 to 6.5.2.8 (descriptors).

use super::{DOMAIN, MAX_POLLS, Unit, spec};
use crate::mem::Page;
use crate::{cpu, fail};

const DESCRIPTORS: usize = 256;
/// The tail register holds an offset: index times 16.
const TAIL_SHIFT: u32 = 4;

static QUEUE: Page = Page::new();
/// Where wait descriptors write their data: word 0.
static STATUS: Page = Page::new();

/// The queue, with the numbers of its next descriptor and of its last wait.
pub struct Queue {
    unit: Unit,
    tail: usize,
    waits: u32,
}

impl Queue {
    /// Gives the unit the queue and turns it on.
    pub fn enable(unit: Unit) -> Self {
        unit.registers.write64(spec::IQT, 0);
        unit.registers.write64(spec::IQA, QUEUE.phys());
        unit.command(spec::GCMD_QIE);
        Self { unit, tail: 0, waits: 0 }
    }

    /// Forgets all context entries.
    pub fn invalidate_contexts(&mut self) {
        self.run(spec::INVALIDATE_CONTEXT | spec::GRANULARITY_GLOBAL, 0);
    }

    /// Forgets all translations.
    pub fn invalidate_all_pages(&mut self) {
        self.run(spec::INVALIDATE_IOTLB | spec::GRANULARITY_GLOBAL | self.drains(), 0);
    }

    /// Forgets the translation of one page, or of the whole domain where the unit knows nothing smaller.
    pub fn invalidate_page(&mut self, iova: u64) {
        let order = spec::INVALIDATE_IOTLB | self.drains() | u64::from(DOMAIN) << spec::IOTLB_DID_SHIFT;
        if self.unit.cap & spec::CAP_PSI != 0 {
            // Address mask 0: one page. Invalidation hint 0: the upper levels, too.
            self.run(order | spec::GRANULARITY_PAGE, iova & !0xfff);
        } else {
            self.run(order | spec::GRANULARITY_DOMAIN, 0);
        }
    }

    /// Forgets all interrupt remap table entries.
    pub fn invalidate_interrupt_entries(&mut self) {
        // Granularity 0 is global here.
        self.run(spec::INVALIDATE_INTERRUPT_ENTRIES, 0);
    }

    fn drains(&self) -> u64 {
        let writes = if self.unit.cap & spec::CAP_DWD != 0 { spec::IOTLB_DRAIN_WRITES } else { 0 };
        let reads = if self.unit.cap & spec::CAP_DRD != 0 { spec::IOTLB_DRAIN_READS } else { 0 };
        writes | reads
    }

    /// Queues a descriptor, and waits until the unit has carried it out.
    fn run(&mut self, low: u64, high: u64) {
        self.push(low, high);
        self.waits += 1;
        let wait = spec::INVALIDATION_WAIT
            | spec::WAIT_STATUS_WRITE
            | u64::from(self.waits) << spec::WAIT_DATA_SHIFT;
        self.push(wait, STATUS.phys());
        cpu::memory_fence();
        self.unit.registers.write64(spec::IQT, (self.tail as u64) << TAIL_SHIFT);
        for _ in 0..MAX_POLLS {
            if STATUS.read64(0) as u32 == self.waits {
                return;
            }
            let status = self.unit.registers.read32(spec::FSTS);
            if status & (spec::FSTS_IQE | spec::FSTS_ICE | spec::FSTS_ITE) != 0 {
                fail!(Vtd, "vtd: invalidation {low:#x} {high:#x} failed, FSTS {status:#x}");
            }
        }
        fail!(Vtd, "vtd: invalidation {low:#x} {high:#x} does not end");
    }

    fn push(&mut self, low: u64, high: u64) {
        QUEUE.write64(self.tail * 2, low);
        QUEUE.write64(self.tail * 2 + 1, high);
        self.tail = (self.tail + 1) % DESCRIPTORS;
    }
}
