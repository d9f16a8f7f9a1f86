//! What a record's event is, for somebody who sees one for the first time: a sentence each. `explain record`, the inspector and the
//! report show it beside the record's own line.

use emu_core::trace::{Ring, TraceEvent};

/// The sentence.
#[must_use]
pub const fn words(event: &TraceEvent) -> &'static str {
    match event {
        TraceEvent::FrameIn { .. } => {
            "The last bit of a frame has come over the cable. Nobody but the card knows of it yet."
        }
        TraceEvent::FrameFilter { .. } => {
            "The card compares the frame's address with those that the driver told it to accept."
        }
        TraceEvent::FrameDrop { .. } => "The frame is lost: the guest will never see it.",
        TraceEvent::FrameDelivered { .. } => {
            "All of the frame is in guest memory and its descriptor says so; the driver does not know yet."
        }
        TraceEvent::FrameOut { .. } => "The last bit of a frame of the guest's has left over the cable.",
        TraceEvent::Conversation { .. } => {
            "The far end of the cable takes a captured conversation a step further, by what the guest answered."
        }
        TraceEvent::DescFetch { ring: Ring::Rx, .. } => {
            "The card has read one of the driver's receive descriptors: the address of an empty buffer."
        }
        TraceEvent::DescFetch { ring: Ring::Tx, .. } => {
            "The card has read one of the driver's transmit descriptors: where a frame lies and what to do with it."
        }
        TraceEvent::DescUse { .. } => {
            "The card takes an empty buffer, whose descriptor it has read before, for this frame."
        }
        TraceEvent::DescWriteBack { .. } => {
            "The card writes into the descriptor that it is done, so that the driver can see it in memory."
        }
        TraceEvent::NicCause { .. } => {
            "The card sets bits in its cause register; unmasked ones ask for an interrupt, at once or after a delay."
        }
        TraceEvent::DmaRead { .. } => {
            "The device has read guest memory by itself, at an address that was translated for it."
        }
        TraceEvent::DmaWrite { .. } => {
            "The device has written guest memory by itself, at an address that was translated for it."
        }
        TraceEvent::DmaBlocked { .. } => "The device's access to memory did not happen.",
        TraceEvent::ProtectedMemory { .. } => {
            "The access was for memory that the IOMMU keeps all devices out of."
        }
        TraceEvent::ContextLookup { hit: true, .. } => {
            "The IOMMU knows from its context cache which domain the device is in: no table is read."
        }
        TraceEvent::ContextLookup { hit: false, .. } => {
            "The IOMMU has to read root and context table to learn which domain the device is in."
        }
        TraceEvent::PasidLookup { .. } => {
            "The IOMMU looks up the address space, by PASID, that the request belongs to."
        }
        TraceEvent::PasidEvict { .. } => "The PASID cache was full: an older entry made room.",
        TraceEvent::WalkStep { .. } => {
            "The IOMMU reads an entry of a table in guest memory: it leads to the next table, or to the page."
        }
        TraceEvent::IotlbHit { .. } => {
            "The IOTLB remembers the translation: no table is read, whatever the tables say by now."
        }
        TraceEvent::IotlbMiss { .. } => "The IOTLB does not know the address: the tables have to be walked.",
        TraceEvent::IotlbInsert { .. } => {
            "The IOTLB remembers the translation, until it is evicted or invalidated."
        }
        TraceEvent::IotlbEvict { .. } => {
            "The set of the IOTLB was full: the entry used longest ago made room."
        }
        TraceEvent::ContextEvict { .. } => "The context cache was full: an older entry made room.",
        TraceEvent::IrteEvict { .. } => "The interrupt entry cache was full: an older entry made room.",
        TraceEvent::PagingHit { .. } => {
            "A paging-structure cache knows a table on the way: the walk starts there."
        }
        TraceEvent::PagingInsert { .. } => {
            "A paging-structure cache remembers a table on the way for the next walk."
        }
        TraceEvent::PagingEvict { .. } => "A paging-structure cache was full: an older entry made room.",
        TraceEvent::Invalidate { .. } => "The driver told the IOMMU to forget: tables have changed.",
        TraceEvent::QueueDescriptor { .. } => {
            "The IOMMU has read a command of the driver's from the invalidation queue."
        }
        TraceEvent::QueueStatus { .. } => {
            "The IOMMU writes to memory that all commands before are done: a driver waits for that."
        }
        TraceEvent::RemapFault { .. } => {
            "The request was refused; who, where and why is in a fault recording register."
        }
        TraceEvent::IrteLookup { .. } => {
            "The interrupt carries an index instead of a vector; the entry there says what it becomes, and who may send it."
        }
        TraceEvent::InterruptPosted { .. } => {
            "The interrupt is noted in memory for a virtual processor; the host's is notified if that is needed."
        }
        TraceEvent::PinLevel { .. } => "A wire between chips changes its level.",
        TraceEvent::MsiSent { .. } => {
            "The device asks for an interrupt by writing to an address that is no memory."
        }
        TraceEvent::IoapicRte { .. } => {
            "The I/O APIC looks up what an input means, and sends it on as a message unless it is masked."
        }
        TraceEvent::PicIntr { .. } => {
            "The old interrupt controllers tell the processor that they have something."
        }
        TraceEvent::LapicAccept { .. } => "A message for this processor has arrived at its local APIC.",
        TraceEvent::LapicIrr { .. } => {
            "The interrupt waits in the request register until its priority lets it through."
        }
        TraceEvent::LapicIsr { .. } => {
            "The processor took the interrupt: it is in service until the guest says that it is done."
        }
        TraceEvent::LapicEoi { .. } => {
            "The guest says that it is done: the next interrupt of that priority may come."
        }
        TraceEvent::LapicTpr { .. } => "The guest sets which interrupts it wants to hear of for now.",
        TraceEvent::CpuException { .. } => {
            "The processor cannot go on with an instruction and calls the guest's handler."
        }
        TraceEvent::CpuInterrupt { .. } => {
            "Only now does an instruction of the guest have anything to do with it: its handler is entered."
        }
        TraceEvent::CpuIret { .. } => "The handler is done; what it interrupted goes on.",
        TraceEvent::CpuMode { .. } => "The processor's mode has changed.",
        TraceEvent::CpuCr3 { .. } => "The guest changes to other page tables: another process, usually.",
        TraceEvent::CpuHalt { .. } => "The guest has nothing to do and sleeps until an interrupt.",
        TraceEvent::CpuShutdown { .. } => {
            "A fault in the handler of a fault in a handler: the processor gives up."
        }
        TraceEvent::MmioRead { .. } => "The driver reads a register of the device: it waits for the answer.",
        TraceEvent::MmioWrite { .. } => "The driver writes a register of the device.",
        TraceEvent::PortRead { .. } => "The guest reads a port.",
        TraceEvent::PortWrite { .. } => "The guest writes a port.",
        TraceEvent::PciRead { .. } => "The guest reads a device's configuration.",
        TraceEvent::PciWrite { .. } => "The guest changes a device's configuration.",
        TraceEvent::MsrRead { .. } => "The guest reads a register of its local APIC.",
        TraceEvent::MsrWrite { .. } => "The guest writes a register of its local APIC.",
        TraceEvent::BadAccess { .. } => "The device has nothing there, or not in that width.",
        TraceEvent::Snapshot => "A snapshot was taken here.",
        TraceEvent::Reset => "The machine begins anew.",
        TraceEvent::PowerOff { .. } => "The guest switches the machine off.",
    }
}
