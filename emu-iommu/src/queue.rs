//! The invalidation queue (VT-d specification, 6.5.2): descriptors are carried out one after the other once the tail has moved,
//! each in its time: it is fetched, it takes what it takes, then it has its effect and the head goes on. An error stops the
//! queue at the descriptor that made it.

use crate::QUEUE_DUE;
use crate::Vtd;
use crate::config::{IommuConfig, Timing};
use crate::invalidate::{context_granularity, iotlb_granularity, pasid_granularity, pasid_iotlb_granularity};
use crate::spec::descriptor::*;
use crate::spec::fault::Reasons;
use crate::spec::register::{IQA_DW, IQA_QS, IQE, IWC, MHMV, QIE};
use crate::spec::scalable::PASID;
use crate::walk::entry128;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::trace::{Granularity, IommuCache, RecordId, TraceEvent};
use emu_core::{Bdf, Event, Gpa, VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};

/// What the queue is at, and since when it has been due to be done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueWork {
    /// What.
    pub stage: QueueStage,
    /// Until when.
    pub due: VirtTime,
    /// What had it begin: the record of the write of the tail, mostly.
    pub cause: Option<RecordId>,
}

/// What the queue does with the descriptor at its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueStage {
    /// Nothing: there is none, or the queue is off or has stopped.
    #[default]
    Idle,
    /// It is being fetched.
    Fetch,
    /// It is being carried out.
    Execute {
        /// The descriptor.
        raw: [u64; 2],
        /// The record of its having been fetched.
        fetched: RecordId,
    },
}

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
    /// Has the queue begin, unless it is at something already: the tail has moved, or an obstacle is gone.
    pub(crate) fn run_queue(&mut self, env: &mut Env<'_>, mem: &mut PhysMem) {
        let work = &mut self.state.queue_work;
        work.cause = env.tracer.cause();
        if work.stage == QueueStage::Idle {
            self.work_queue(env, mem);
        }
    }

    /// What the queue was at is due: on with it.
    pub(crate) fn queue_due(&mut self, env: &mut Env<'_>, mem: &mut PhysMem) {
        let QueueWork { stage, due, .. } = self.state.queue_work;
        if stage != QueueStage::Idle && due <= env.now {
            self.work_queue(env, mem);
        }
    }

    /// One stage after the other, at most a queue full, until one takes time.
    fn work_queue(&mut self, env: &mut Env<'_>, mem: &mut PhysMem) {
        let bytes = 0x1000 << (self.state.queue & IQA_QS);
        for _ in 0..=bytes / DESCRIPTOR_LEN * 3 {
            let next = match self.state.queue_work.stage {
                QueueStage::Idle => self.begin_descriptor(env),
                QueueStage::Fetch => self.fetch(env, mem),
                QueueStage::Execute { raw, fetched } => self.execute(env, mem, raw, fetched),
            };
            let Some((stage, takes)) = next else {
                self.state.queue_work.stage = QueueStage::Idle;
                return;
            };
            let slot = self.slot();
            let work = &mut self.state.queue_work;
            *work = QueueWork { stage, due: env.now.after(takes), ..*work };
            if takes != VirtDuration::ZERO {
                let cause = match stage {
                    QueueStage::Execute { fetched, .. } => Some(fetched),
                    QueueStage::Idle | QueueStage::Fetch => work.cause,
                };
                env.events.schedule(work.due, Event { slot, token: QUEUE_DUE, cause });
                return;
            }
        }
    }

    /// Whether there is a descriptor to fetch, and how long that takes.
    fn begin_descriptor(&mut self, env: &mut Env<'_>) -> Option<(QueueStage, VirtDuration)> {
        let bytes = 0x1000 << (self.state.queue & IQA_QS);
        let ready = self.state.status & QIE != 0 && self.state.fault_status & IQE == 0;
        if !ready || self.state.queue_head == self.state.queue_tail {
            return None;
        }
        let wide = self.state.queue & IQA_DW != 0;
        let fits = if wide { self.config.scalable.is_some() } else { self.reasons() == &Reasons::LEGACY };
        let error = match () {
            () if !fits => QueueError::Width,
            () if self.state.queue_tail >= bytes || self.state.queue_head >= bytes => QueueError::Tail,
            () if !self.state.queue_tail.is_multiple_of(self.descriptor_len()) => QueueError::Alignment,
            () => return Some((QueueStage::Fetch, VirtDuration::from_ns(self.config.timing.descriptor))),
        };
        self.stop_queue(env, error);
        None
    }

    /// Reads the descriptor at the head, and says how long it will take.
    fn fetch(&mut self, env: &mut Env<'_>, mem: &PhysMem) -> Option<(QueueStage, VirtDuration)> {
        let Some((raw, upper)) = self.fetch_descriptor(mem) else {
            self.stop_queue(env, QueueError::Fetch);
            return None;
        };
        let index = (self.state.queue_head / self.descriptor_len()) as u32;
        let cause = self.state.queue_work.cause;
        let before = env.tracer.set_cause(cause);
        let fetched = env.trace(self.slot(), TraceEvent::QueueDescriptor { index, raw });
        env.tracer.set_cause(before);
        let reserved = if upper == [0; 2] { Ok(()) } else { Err(QueueError::Reserved) };
        match decode(&self.config, raw).and_then(|descriptor| reserved.map(|()| descriptor)) {
            Ok(descriptor) => {
                Some((QueueStage::Execute { raw, fetched }, self.config.timing.of_descriptor(&descriptor)))
            }
            Err(error) => {
                env.on_behalf_of(fetched, |env| self.stop_queue(env, error));
                None
            }
        }
    }

    /// The descriptor that was fetched has its effect, and the head goes on.
    fn execute(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        raw: [u64; 2],
        fetched: RecordId,
    ) -> Option<(QueueStage, VirtDuration)> {
        env.on_behalf_of(fetched, |env| match decode(&self.config, raw) {
            Ok(Descriptor::Invalidate(IommuCache::Iotlb, what)) => self.invalidate_translations(env, what),
            Ok(Descriptor::Invalidate(cache, what)) => self.invalidate(env, cache, what),
            Ok(Descriptor::Wait { status, interrupt }) => {
                if let Some((gpa, data)) = status {
                    self.write_status(env, mem, gpa, data);
                }
                if interrupt {
                    self.complete(env);
                }
            }
            // Only a state from a file holds what was not good when it was fetched.
            Err(_) => {}
        });
        let bytes = 0x1000 << (self.state.queue & IQA_QS);
        self.state.queue_head = (self.state.queue_head + self.descriptor_len()) % bytes;
        self.begin_descriptor(env)
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

    /// The invalidation completion event; while IWC is still set it is none.
    fn complete(&mut self, env: &mut Env<'_>) {
        if self.state.completion_status & IWC == 0 {
            self.state.completion_status |= IWC;
            self.state.completion_event.raise(env, self.config.eim);
        }
    }

    /// The queue is off, or on again: whatever it was at is void, and it begins anew.
    pub(crate) fn rewind_queue(&mut self) {
        self.state.queue_head = 0;
        self.state.queue_work.stage = QueueStage::Idle;
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

impl Timing {
    /// A descriptor that has been fetched.
    const fn of_descriptor(&self, descriptor: &Descriptor) -> VirtDuration {
        VirtDuration::from_ns(match descriptor {
            Descriptor::Invalidate(..) => self.invalidation,
            Descriptor::Wait { status: Some(_), .. } => self.status_write,
            Descriptor::Wait { status: None, .. } => 0,
        })
    }
}
