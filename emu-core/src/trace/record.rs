//! Every kind of record there is, in one closed enum. A new observation is a new variant here, nowhere else.
//!
//! Records are plain numbers: names of registers and words for bits are looked up when a record is shown.

use crate::access::{IoError, Width};
use crate::addr::{Bdf, Gpa, Iova, Lin};
use crate::irq::{Interrupt, Pin, TriggerMode};
use crate::slot::Slot;
use crate::time::VirtTime;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A record's number. Numbers count every record whether or not its kind is written out, so that they name the same
/// moment in every run of the same scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRecord {
    /// Its number.
    pub id: RecordId,
    /// When.
    pub time: VirtTime,
    /// Instructions that the processor had retired by then.
    pub insns: u64,
    /// Who.
    pub source: Slot,
    /// The record that made it happen; `None` for what the guest's own program flow or the outside started.
    pub cause: Option<RecordId>,
    /// What.
    pub event: TraceEvent,
}

/// Receive or transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ring {
    /// Receive descriptors.
    Rx,
    /// Transmit descriptors.
    Tx,
}

/// Which rule let a frame in or kept it out (8254x manual, section 3.2.1, packet address filtering).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterRule {
    /// RCTL.UPE: all unicast.
    UnicastPromiscuous,
    /// RCTL.MPE: all multicast.
    MulticastPromiscuous,
    /// RCTL.BAM: broadcast.
    Broadcast,
    /// A receive address register, by index.
    Exact(u8),
    /// The multicast table array.
    MulticastTable,
    /// No rule let it in.
    NoMatch,
    /// The VLAN filter table refused its tag.
    Vlan,
}

/// Why a frame did not reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// RCTL.EN is off, or the card is in reset.
    ReceiverOff,
    /// No filter rule matched.
    Filtered,
    /// The receive FIFO was full: no descriptors came free in time.
    FifoFull,
    /// Longer than RCTL.LPE allows.
    TooLong,
    /// Shorter than 60 bytes without padding, or longer than any Ethernet frame.
    BadLength,
    /// PCI bus mastering is off or a DMA was refused.
    DmaRefused,
    /// The link is down.
    LinkDown,
    /// The frame check sequence did not fit.
    BadFcs,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::ReceiverOff,
        Self::Filtered,
        Self::FifoFull,
        Self::TooLong,
        Self::BadLength,
        Self::DmaRefused,
        Self::LinkDown,
        Self::BadFcs,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReceiverOff => "receiver off",
            Self::Filtered => "not for this card",
            Self::FifoFull => "receive FIFO full",
            Self::TooLong => "too long",
            Self::BadLength => "no valid Ethernet length",
            Self::DmaRefused => "DMA refused",
            Self::LinkDown => "link down",
            Self::BadFcs => "bad FCS",
        }
    }
}

/// What an invalidation names (VT-d specification, section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Granularity {
    /// Everything.
    Global,
    /// One domain.
    Domain(u16),
    /// One source id in one domain; the mask leaves out function bits.
    Device {
        /// Domain.
        domain: u16,
        /// Source id.
        source: Bdf,
        /// Function mask: how many low function bits are ignored, 0-3.
        mask: u8,
    },
    /// 2^`mask` pages of one domain.
    Pages {
        /// Domain.
        domain: u16,
        /// First page.
        iova: Iova,
        /// Address mask.
        mask: u8,
        /// Invalidation hint: non-leaf structures were not changed.
        leaf_only: bool,
    },
    /// All translations of one PASID in one domain.
    Pasid {
        /// Domain.
        domain: u16,
        /// PASID.
        pasid: u32,
    },
    /// 2^`mask` pages of one PASID in one domain.
    PasidPages {
        /// Domain.
        domain: u16,
        /// PASID.
        pasid: u32,
        /// First page.
        iova: Iova,
        /// Address mask.
        mask: u8,
        /// Invalidation hint: non-leaf structures were not changed.
        leaf_only: bool,
    },
    /// 2^`mask` interrupt entries from `index`.
    Index {
        /// First index.
        index: u16,
        /// Index mask.
        mask: u8,
    },
}

impl Granularity {
    /// The invalidation carries the hint that only leaves have changed.
    #[must_use]
    pub const fn leaves_only(self) -> bool {
        match self {
            Self::Pages { leaf_only, .. } | Self::PasidPages { leaf_only, .. } => leaf_only,
            Self::Global
            | Self::Domain(_)
            | Self::Device { .. }
            | Self::Pasid { .. }
            | Self::Index { .. } => false,
        }
    }
}

/// Which of the IOMMU's caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IommuCache {
    /// Context cache.
    Context,
    /// IOTLB.
    Iotlb,
    /// Interrupt-entry cache.
    InterruptEntry,
    /// PASID cache.
    Pasid,
    /// Paging-structure caches, all levels.
    PagingStructure,
}

/// What a conversation that is played from a capture has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversationStep {
    /// It has begun.
    Begun,
    /// The guest did otherwise than in the capture.
    Parted,
    /// Every turn was had.
    Complete,
    /// The guest has reset it.
    Reset,
    /// The guest does not answer any more.
    GivenUp,
}

impl ConversationStep {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Begun => "has begun",
            Self::Parted => "parts from the capture",
            Self::Complete => "is complete",
            Self::Reset => "was reset by the guest",
            Self::GivenUp => "is given up",
        }
    }
}

/// Processor modes as a newcomer knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuMode {
    /// Real mode.
    Real,
    /// Virtual-8086.
    Virtual8086,
    /// 16-bit protected.
    Protected16,
    /// 32-bit protected.
    Protected32,
    /// Long mode, 16- or 32-bit code.
    Compatibility,
    /// Long mode, 64-bit code.
    Long64,
}

/// What happened. Numbers are raw; the text form decodes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each variant's line explains its fields, which bear the manuals' names")]
pub enum TraceEvent {
    /// The last bit of a frame has come in from the wire. `packet` counts frames in from 0.
    FrameIn { packet: u64, len: u32 },
    /// What the address filter said.
    FrameFilter { packet: u64, rule: FilterRule },
    /// A frame was lost.
    FrameDrop { packet: u64, reason: DropReason },
    /// All of a frame is in guest memory and its descriptor says so.
    FrameDelivered { packet: u64, len: u32, descriptors: u32 },
    /// A frame has left; `packet` counts frames out from 0.
    FrameOut { packet: u64, len: u32 },
    /// A captured conversation that is played against the guest has come to this; `frame` is the captured frame whose turn it
    /// is, from 1.
    Conversation { number: u32, step: ConversationStep, frame: u64 },

    /// A descriptor was read.
    DescFetch { ring: Ring, index: u32, iova: Iova, raw: [u64; 2] },
    /// The receiver took a descriptor, which `fetch` had read ahead, for a frame.
    DescUse { packet: u64, index: u32, fetch: RecordId },
    /// A descriptor was written back.
    DescWriteBack { ring: Ring, index: u32, iova: Iova, raw: [u64; 2] },
    /// Interrupt causes were set: the new ones and the whole ICR.
    NicCause { causes: u32, icr: u32, ims: u32 },

    /// A device read guest memory.
    DmaRead { bdf: Bdf, iova: Iova, gpa: Gpa, len: u32 },
    /// A device wrote guest memory.
    DmaWrite { bdf: Bdf, iova: Iova, gpa: Gpa, len: u32 },
    /// A DMA did not happen. `reason` is the VT-d fault reason, 0 for a bus-master gate or an address without memory.
    DmaBlocked { bdf: Bdf, iova: Iova, len: u32, write: bool, reason: u8 },

    /// A DMA was for a protected memory region of the IOMMU's, and did not happen.
    ProtectedMemory { bdf: Bdf, iova: Iova, write: bool },
    /// The context cache answered, or did not.
    ContextLookup { bdf: Bdf, hit: bool, domain: u16 },
    /// The PASID cache answered, or did not.
    PasidLookup { bdf: Bdf, pasid: u32, hit: bool, domain: u16 },
    /// A PASID entry made room for another.
    PasidEvict { bdf: Bdf, pasid: u32, set: u16, way: u16 },
    /// A table entry was read; level 0 is the leaf's table, 5 the context table, 6 the root table, 7 a PASID table, 8 a PASID
    /// directory, 9 and 10 scalable mode's context and root table. To levels of first-stage tables 16 is added. Of long entries
    /// it is the first two qwords, of a scalable-mode root entry the half that counts first.
    WalkStep { bdf: Bdf, level: u8, entry_gpa: Gpa, entry: [u64; 2] },
    /// The IOTLB answered.
    IotlbHit { bdf: Bdf, domain: u16, iova: Iova, gpa: Gpa },
    /// The IOTLB had nothing.
    IotlbMiss { bdf: Bdf, domain: u16, iova: Iova },
    /// A translation was cached; `page_shift` is 12, 21 or 30.
    IotlbInsert { domain: u16, iova: Iova, gpa: Gpa, page_shift: u8, set: u16, way: u16 },
    /// A translation made room for another.
    IotlbEvict { domain: u16, iova: Iova, set: u16, way: u16 },
    /// A context entry made room for another.
    ContextEvict { bdf: Bdf, set: u16, way: u16 },
    /// An interrupt entry made room for another.
    IrteEvict { index: u16, way: u16 },
    /// A paging-structure cache answered: the walk goes on below the entry of `level`, in `table`.
    PagingHit { domain: u16, iova: Iova, level: u8, table: Gpa },
    /// The entry of `level` for `iova`, which leads to `table`, was cached.
    PagingInsert { domain: u16, iova: Iova, level: u8, table: Gpa, way: u16 },
    /// A paging-structure entry made room for another of its level.
    PagingEvict { domain: u16, iova: Iova, level: u8, way: u16 },
    /// An invalidation took effect and dropped `dropped` entries.
    Invalidate { cache: IommuCache, what: Granularity, dropped: u32 },
    /// A descriptor of the invalidation queue was fetched.
    QueueDescriptor { index: u32, raw: [u64; 2] },
    /// A wait descriptor wrote its status.
    QueueStatus { gpa: Gpa, data: u32 },
    /// A translation or interrupt request faulted. For interrupts `address` is the index. `recorded` is false if
    /// FPD or an overflow kept it out of the fault registers.
    RemapFault { bdf: Bdf, address: u64, reason: u8, write: bool, recorded: bool },
    /// An interrupt remap table entry answered.
    IrteLookup { bdf: Bdf, index: u32, hit: bool, entry: [u64; 2] },
    /// An interrupt was posted to the descriptor at `gpa`; `notified` is whether a notification left with it.
    InterruptPosted { gpa: Gpa, vector: u8, notified: bool },

    /// A chip drove one of its pins.
    PinLevel { pin: Pin, high: bool },
    /// A message signalled interrupt left its device.
    MsiSent { bdf: Bdf, address: u64, data: u32 },
    /// An I/O APIC entry was consulted because its input changed.
    IoapicRte { pin: u8, rte: u64, sent: bool },
    /// The 8259 pair drove INTR.
    PicIntr { high: bool },
    /// A local APIC was told of an interrupt.
    LapicAccept { interrupt: Interrupt },
    /// IRR bit set.
    LapicIrr { vector: u8, trigger: TriggerMode },
    /// The processor acknowledged: IRR to ISR.
    LapicIsr { vector: u8 },
    /// End of interrupt.
    LapicEoi { vector: u8, broadcast: bool },
    /// Task priority changed.
    LapicTpr { value: u8 },

    /// The processor raised an exception.
    CpuException { vector: u8, error: Option<u32>, rip: u64, address: Option<Lin> },
    /// The processor took an interrupt; `rip` is the instruction it interrupted.
    CpuInterrupt { vector: u8, rip: u64 },
    /// IRET; `rip` is where it went.
    CpuIret { rip: u64 },
    /// The mode changed.
    CpuMode { mode: CpuMode },
    /// CR3 was loaded.
    CpuCr3 { value: u64 },
    /// HLT.
    CpuHalt { rip: u64 },
    /// Triple fault.
    CpuShutdown { rip: u64 },

    /// The processor read a device register in memory space.
    MmioRead { offset: u64, width: Width, value: u64 },
    /// The processor wrote a device register in memory space.
    MmioWrite { offset: u64, width: Width, value: u64 },
    /// IN.
    PortRead { port: u16, width: Width, value: u32 },
    /// OUT.
    PortWrite { port: u16, width: Width, value: u32 },
    /// PCI configuration read.
    PciRead { bdf: Bdf, offset: u16, width: Width, value: u32 },
    /// PCI configuration write.
    PciWrite { bdf: Bdf, offset: u16, width: Width, value: u32 },
    /// RDMSR of one of the local APIC's registers.
    MsrRead { msr: u32, value: u64 },
    /// WRMSR of one of the local APIC's registers.
    MsrWrite { msr: u32, value: u64 },
    /// A chip refused an access.
    BadAccess { offset: u64, width: Width, write: bool, error: BadAccess },

    /// A snapshot was taken here.
    Snapshot,
    /// The machine was reset.
    Reset,
    /// The machine was switched off or asked to end, with its code.
    PowerOff { code: u32 },
}

/// [`IoError`] as a record holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BadAccess {
    /// No register there.
    NoRegister,
    /// Wrong width.
    Width,
    /// Misaligned.
    Misaligned,
}

impl From<IoError> for BadAccess {
    fn from(error: IoError) -> Self {
        match error {
            IoError::NoRegister => Self::NoRegister,
            IoError::Width => Self::Width,
            IoError::Misaligned => Self::Misaligned,
        }
    }
}

/// Groups of records that can be switched on and off together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TraceKind {
    /// Frames on the wire.
    Net,
    /// Descriptors and causes inside the card.
    Nic,
    /// DMA.
    Dma,
    /// IOMMU lookups, walks and caches.
    Iommu,
    /// Invalidations.
    Inval,
    /// Remapping faults.
    Fault,
    /// Pins, messages, interrupt controllers.
    Irq,
    /// The processor's own events.
    Cpu,
    /// Device registers in memory space.
    Mmio,
    /// Ports.
    Port,
    /// PCI configuration.
    Pci,
    /// Marks: snapshot, reset, power-off.
    Mark,
}

impl TraceKind {
    /// All of them with the name and the line that `--trace-kinds help` shows.
    pub const ALL: [(Self, &'static str, &'static str); 12] = [
        (Self::Net, "net", "frames in and out, filter verdicts, drops"),
        (Self::Nic, "nic", "descriptor fetches and write-backs, interrupt causes"),
        (Self::Dma, "dma", "device reads and writes of memory"),
        (Self::Iommu, "iommu", "context and IOTLB lookups, page walks, interrupt entries"),
        (Self::Inval, "inval", "invalidations and the queue that carries them"),
        (Self::Fault, "fault", "remapping faults"),
        (Self::Irq, "irq", "pins, messages, I/O APIC, local APIC, 8259"),
        (Self::Cpu, "cpu", "exceptions, interrupts taken, IRET, modes, CR3, HLT"),
        (Self::Mmio, "mmio", "device registers in memory space and the local APIC's MSRs, by name"),
        (Self::Port, "port", "port input and output"),
        (Self::Pci, "pci", "PCI configuration accesses"),
        (Self::Mark, "mark", "snapshots, resets, power-off"),
    ];

    /// Its bit in a [`super::TraceMask`].
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl TraceEvent {
    /// The group it belongs to.
    #[must_use]
    pub const fn kind(&self) -> TraceKind {
        match self {
            Self::FrameIn { .. }
            | Self::FrameFilter { .. }
            | Self::FrameDrop { .. }
            | Self::FrameDelivered { .. }
            | Self::FrameOut { .. }
            | Self::Conversation { .. } => TraceKind::Net,
            Self::DescFetch { .. }
            | Self::DescUse { .. }
            | Self::DescWriteBack { .. }
            | Self::NicCause { .. } => TraceKind::Nic,
            Self::DmaRead { .. } | Self::DmaWrite { .. } | Self::DmaBlocked { .. } => TraceKind::Dma,
            Self::ProtectedMemory { .. }
            | Self::ContextLookup { .. }
            | Self::PasidLookup { .. }
            | Self::PasidEvict { .. }
            | Self::WalkStep { .. }
            | Self::IotlbHit { .. }
            | Self::IotlbMiss { .. }
            | Self::IotlbInsert { .. }
            | Self::IotlbEvict { .. }
            | Self::ContextEvict { .. }
            | Self::IrteEvict { .. }
            | Self::PagingHit { .. }
            | Self::PagingInsert { .. }
            | Self::PagingEvict { .. }
            | Self::IrteLookup { .. }
            | Self::InterruptPosted { .. } => TraceKind::Iommu,
            Self::Invalidate { .. } | Self::QueueDescriptor { .. } | Self::QueueStatus { .. } => {
                TraceKind::Inval
            }
            Self::RemapFault { .. } => TraceKind::Fault,
            Self::PinLevel { .. }
            | Self::MsiSent { .. }
            | Self::IoapicRte { .. }
            | Self::PicIntr { .. }
            | Self::LapicAccept { .. }
            | Self::LapicIrr { .. }
            | Self::LapicIsr { .. }
            | Self::LapicEoi { .. }
            | Self::LapicTpr { .. } => TraceKind::Irq,
            Self::CpuException { .. }
            | Self::CpuInterrupt { .. }
            | Self::CpuIret { .. }
            | Self::CpuMode { .. }
            | Self::CpuCr3 { .. }
            | Self::CpuHalt { .. }
            | Self::CpuShutdown { .. } => TraceKind::Cpu,
            Self::MmioRead { .. }
            | Self::MmioWrite { .. }
            | Self::MsrRead { .. }
            | Self::MsrWrite { .. }
            | Self::BadAccess { .. } => TraceKind::Mmio,
            Self::PortRead { .. } | Self::PortWrite { .. } => TraceKind::Port,
            Self::PciRead { .. } | Self::PciWrite { .. } => TraceKind::Pci,
            Self::Snapshot | Self::Reset | Self::PowerOff { .. } => TraceKind::Mark,
        }
    }
}
