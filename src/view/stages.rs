//! A journey in stages: what lies between one milestone and the next, how long it took, and its share of the whole.

use super::journey::{Journey, Subject};
use emu_core::trace::{RecordId, Ring, TraceEvent, TraceRecord};
use emu_core::{Slot, VirtDuration, VirtTime};
use emu_devices::e1000::spec;

/// A stretch of a journey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What happens in it.
    pub name: &'static str,
    /// When it begins.
    pub begin: VirtTime,
    /// How long it takes.
    pub took: VirtDuration,
    /// The record that ends it.
    pub end: RecordId,
}

/// What a journey cost, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Descriptors and data moved.
    pub dma_transfers: u64,
    /// Bytes of them.
    pub dma_bytes: u64,
    /// Translations that the IOTLB had.
    pub iotlb_hits: u64,
    /// Those it had not.
    pub iotlb_misses: u64,
    /// Table entries read for them.
    pub walk_reads: u64,
    /// Invalidations that the driver asked for.
    pub invalidations: u64,
    /// Interrupt entries that were read from memory.
    pub interrupt_entry_misses: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// The driver's accesses to device registers.
    pub register_accesses: u64,
}

/// Ends a stage.
type Milestone = (&'static str, fn(&Journey, &TraceRecord) -> bool);

fn nic(record: &TraceRecord) -> bool {
    matches!(record.source, Slot::Nic(_))
}

fn asks(record: &TraceRecord) -> bool {
    matches!(record.event, TraceEvent::PinLevel { high: true, .. } if nic(record))
        || matches!(record.event, TraceEvent::MsiSent { .. })
}

fn looks(record: &TraceRecord) -> bool {
    matches!(record.event, TraceEvent::MmioRead { offset, .. } if nic(record) && offset == u64::from(spec::ICR))
}

/// From the wire into memory.
const RECEIVE: [Milestone; 3] = [
    ("filter, wait for a descriptor", |_, r| matches!(r.event, TraceEvent::DescUse { .. })),
    ("frame to memory", |_, r| matches!(r.event, TraceEvent::DescWriteBack { ring: Ring::Rx, .. })),
    ("descriptor written back", |_, r| matches!(r.event, TraceEvent::FrameDelivered { .. })),
];

/// From the card to the handler.
const INTERRUPT: [Milestone; 3] = [
    ("interrupt held back: mask, moderation", |_, r| asks(r)),
    ("I/O APIC, remapping, local APIC", |_, r| matches!(r.event, TraceEvent::LapicIrr { .. })),
    ("until the processor takes it", |_, r| matches!(r.event, TraceEvent::CpuInterrupt { .. })),
];

/// The same where another frame's interrupt was on its way.
const SHARED: [Milestone; 1] = [("until the handler of an earlier interrupt looks", |_, r| looks(r))];

/// In the guest.
const GUEST: [Milestone; 2] = [
    ("guest: handler", |journey, r| {
        let doorbell = journey.doorbell().map(|doorbell| doorbell.id);
        matches!(r.event, TraceEvent::CpuIret { .. }) && doorbell.is_none_or(|doorbell| r.id < doorbell)
    }),
    ("guest: driver and stack, until the doorbell", |journey, r| {
        journey.doorbell().is_some_and(|doorbell| doorbell.id == r.id)
    }),
];

/// From the doorbell to the wire.
const TRANSMIT: [Milestone; 3] = [
    ("descriptor fetched", |_, r| matches!(r.event, TraceEvent::DescFetch { ring: Ring::Tx, .. })),
    ("frame from memory", |journey, r| {
        let out = journey.reply().map(|(out, _)| out.id);
        matches!(r.event, TraceEvent::DmaRead { .. })
            && !journey.steps.iter().any(|later| {
                matches!(later.event, TraceEvent::DmaRead { .. }) && later.id > r.id && Some(later.id) < out
            })
    }),
    ("onto the wire", |_, r| matches!(r.event, TraceEvent::FrameOut { .. })),
];

impl Journey {
    /// Its stages, in order and without gaps, from its first record to the frame out.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        let milestones: Vec<Milestone> = match self.subject {
            Subject::In(_) => {
                let interrupt = if self.shared_interrupt { &SHARED[..] } else { &INTERRUPT[..] };
                [&RECEIVE[..], interrupt, &GUEST, &TRANSMIT].concat()
            }
            Subject::Out(_) => [&GUEST[1..], &TRANSMIT].concat(),
        };
        let Some(first) = self.steps.first() else { return Vec::new() };
        let (mut stages, mut rest, mut begin) = (Vec::new(), &self.steps[..], first.time);
        for (name, ends) in milestones {
            let Some(at) = rest.iter().position(|step| ends(self, step)) else { continue };
            let end = &rest[at];
            stages.push(Stage { name, begin, took: end.time.since(begin), end: end.id });
            begin = end.time;
            rest = &rest[at + 1..];
        }
        stages
    }

    /// What it cost, counted.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for step in &self.steps {
            match step.event {
                TraceEvent::DmaRead { len, .. } | TraceEvent::DmaWrite { len, .. } => {
                    figures.dma_transfers += 1;
                    figures.dma_bytes += u64::from(len);
                }
                TraceEvent::IotlbHit { .. } => figures.iotlb_hits += 1,
                TraceEvent::IotlbMiss { .. } => figures.iotlb_misses += 1,
                TraceEvent::WalkStep { .. } => figures.walk_reads += 1,
                TraceEvent::Invalidate { .. } => figures.invalidations += 1,
                TraceEvent::IrteLookup { hit: false, .. } => figures.interrupt_entry_misses += 1,
                TraceEvent::CpuInterrupt { .. } => figures.interrupts += 1,
                TraceEvent::MmioRead { .. }
                | TraceEvent::MmioWrite { .. }
                | TraceEvent::MsrRead { .. }
                | TraceEvent::MsrWrite { .. } => figures.register_accesses += 1,
                _ => {}
            }
        }
        figures
    }
}

impl Figures {
    /// Each with its name.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 9] {
        [
            ("DMA transfers", self.dma_transfers),
            ("DMA bytes", self.dma_bytes),
            ("IOTLB hits", self.iotlb_hits),
            ("IOTLB misses", self.iotlb_misses),
            ("table entries read", self.walk_reads),
            ("invalidations", self.invalidations),
            ("interrupt entries read", self.interrupt_entry_misses),
            ("interrupts", self.interrupts),
            ("register accesses", self.register_accesses),
        ]
    }
}
