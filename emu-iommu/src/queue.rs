//! The invalidation queue (VT-d specification, 6.5.2): descriptors are carried out in order as soon as the tail
//! moves, so all of them are done when the write of IQT is. An error stops the queue at the descriptor that made it.

use crate::Vtd;
use crate::config::IommuConfig;
use crate::invalidate::{context_granularity, iotlb_granularity, pasid_granularity, pasid_iotlb_granularity};
use crate::spec::descriptor::*;
use crate::spec::fault::Reasons;
use crate::spec::register::{IQA_DW, IQA_QS, IQE, IWC, MHMV, QIE};
use crate::spec::scalable::PASID;
use crate::walk::entry128;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::{Granularity, IommuCache, TraceEvent};
use emu_core::{Bdf, Gpa};

/// What a descriptor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descriptor {
    Invalidate(IommuCache, Granularity),
    Wait { status: Option<(Gpa, u32)>, interrupt: bool },
}

/// Reads a descriptor's meaning out of it.
fn decode(config: &IommuConfig, raw: [u64; 2]) -> Result<Descriptor, QueueError> {
    let [low, high] = raw;
    let kind = low & TYPE;
    let known = RESERVED.iter().find(|(code, _)| *code == kind).ok_or(QueueError::Type)?;
    let exists = match kind {
        INTERRUPT => config.interrupt_remapping,
        PASID_IOTLB | PASID_CACHE => config.scalable.is_some(),
        _ => true,
    };
    if !exists {
        return Err(QueueError::Type);
    }
    let reserved = known.1;
    if low & reserved[0] != 0 || high & reserved[1] != 0 {
        return Err(QueueError::Reserved);
    }
    let granularity = low >> G_SHIFT & 3;
    let domain = (low >> DOMAIN_SHIFT) as u16;
    let pasid = (low >> PASID_SHIFT) as u32 & PASID;
    let (cache, what) = match kind {
        CONTEXT => {
            let source = Bdf((low >> SOURCE_SHIFT) as u16);
            let mask = (low >> FM_SHIFT) as u8;
            (IommuCache::Context, context_granularity(granularity, domain, source, mask))
        }
        IOTLB => (IommuCache::Iotlb, iotlb_granularity(config, granularity, domain, high)),
        INTERRUPT => (IommuCache::InterruptEntry, index_granularity(low)),
        PASID_IOTLB => (IommuCache::Iotlb, pasid_iotlb_granularity(granularity, domain, pasid, high)),
        PASID_CACHE => (IommuCache::Pasid, pasid_granularity(granularity, domain, pasid)),
        _ => {
            let status = (Gpa(high & WAIT_ADDRESS), (low >> WAIT_DATA_SHIFT) as u32);
            let status = (low & WAIT_SW != 0).then_some(status);
            return Ok(Descriptor::Wait { status, interrupt: low & WAIT_IF != 0 });
        }
    };
    what.map(|what| Descriptor::Invalidate(cache, what)).ok_or(QueueError::Reserved)
}

fn index_granularity(low: u64) -> Option<Granularity> {
    if low & IEC_SELECTIVE == 0 {
        return Some(Granularity::Global);
    }
    let mask = (low >> IEC_MASK_SHIFT) as u8 & 0x1f;
    let index = (low >> IEC_INDEX_SHIFT) as u16;
    (mask <= MHMV).then_some(Granularity::Index { index, mask })
}

impl Vtd {
    /// Carries out what waits, at most a queue full.
    pub(crate) fn run_queue(&mut self, env: &mut Env<'_>, mem: &mut PhysMem) {
        let bytes = 0x1000 << (self.state.queue & IQA_QS);
        let len = self.descriptor_len();
        for _ in 0..bytes / len {
            let ready = self.state.status & QIE != 0 && self.state.fault_status & IQE == 0;
            if !ready || self.state.queue_head == self.state.queue_tail {
                return;
            }
            let wide = self.state.queue & IQA_DW != 0;
            let fits = if wide { self.config.scalable.is_some() } else { self.reasons() == &Reasons::LEGACY };
            if !fits {
                return self.stop_queue(env, QueueError::Width);
            }
            if self.state.queue_tail >= bytes || self.state.queue_head >= bytes {
                return self.stop_queue(env, QueueError::Tail);
            }
            if !self.state.queue_tail.is_multiple_of(len) {
                return self.stop_queue(env, QueueError::Alignment);
            }
            if !self.run_descriptor(env, mem) {
                return;
            }
            self.state.queue_head = (self.state.queue_head + len) % bytes;
        }
    }

    /// IQA.DW.
    pub(crate) fn descriptor_len(&self) -> u64 {
        if self.state.queue & IQA_DW != 0 { 2 * DESCRIPTOR_LEN } else { DESCRIPTOR_LEN }
    }

    /// What lies at the head: the descriptor, and of a wide one its upper half.
    fn fetch_descriptor(&self, mem: &PhysMem) -> Option<([u64; 2], [u64; 2])> {
        let gpa = Gpa(self.state.queue & !0xfff).plus(self.state.queue_head);
        let wide = self.state.queue & IQA_DW != 0;
        let upper = if wide { entry128(mem, gpa.plus(DESCRIPTOR_LEN))? } else { [0; 2] };
        Some((entry128(mem, gpa)?, upper))
    }

    /// Carries out the descriptor at the head. False if it stopped the queue.
    fn run_descriptor(&mut self, env: &mut Env<'_>, mem: &mut PhysMem) -> bool {
        let head = self.state.queue_head;
        let Some((raw, upper)) = self.fetch_descriptor(mem) else {
            self.stop_queue(env, QueueError::Fetch);
            return false;
        };
        let index = (head / self.descriptor_len()) as u32;
        let id = env.trace(self.slot(), TraceEvent::QueueDescriptor { index, raw });
        env.on_behalf_of(id, |env| {
            let reserved = if upper == [0; 2] { Ok(()) } else { Err(QueueError::Reserved) };
            match decode(&self.config, raw).and_then(|descriptor| reserved.map(|()| descriptor)) {
                Ok(Descriptor::Invalidate(IommuCache::Iotlb, what)) => {
                    self.invalidate_translations(env, what)
                }
                Ok(Descriptor::Invalidate(cache, what)) => self.invalidate(env, cache, what),
                Ok(Descriptor::Wait { status, interrupt }) => {
                    if let Some((gpa, data)) = status {
                        self.write_status(env, mem, gpa, data);
                    }
                    if interrupt {
                        self.complete(env);
                    }
                }
                Err(error) => {
                    self.stop_queue(env, error);
                    return false;
                }
            }
            true
        })
    }

    /// The invalidation completion event; while IWC is still set it is none.
    fn complete(&mut self, env: &mut Env<'_>) {
        if self.state.completion_status & IWC == 0 {
            self.state.completion_status |= IWC;
            self.state.completion_event.raise(env, self.config.eim);
        }
    }

    fn stop_queue(&mut self, env: &mut Env<'_>, error: QueueError) {
        let before = self.conditions();
        self.state.fault_status |= IQE;
        self.state.queue_error = error as u64;
        self.raise_fault_event(env, before);
    }

    /// A posted write: where no memory answers it is lost.
    fn write_status(&self, env: &mut Env<'_>, mem: &mut PhysMem, gpa: Gpa, data: u32) {
        if mem.write_u32(gpa, data).is_ok() {
            env.trace(self.slot(), TraceEvent::QueueStatus { gpa, data });
        }
    }
}
