//! Records as lines of text, for people. The words here are not an interface; scripts read the JSON lines.

use super::names;
use emu_core::trace::{
    BadAccess, CpuMode, FilterRule, Granularity, IommuCache, Ring, TraceEvent, TraceRecord,
};
use emu_core::{DeliveryMode, DestinationMode, Interrupt, Slot, TriggerMode, VirtTime, Width};
use std::fmt::Write as _;

/// A record's line: number, time, instruction count, who, what, and the record that caused it.
#[must_use]
pub fn line(record: &TraceRecord) -> String {
    let mut line = format!(
        "{:>8}  {}  {:>12}  {:<10}  {}",
        record.id.to_string(),
        time(record.time),
        record.insns,
        record.source.to_string(),
        describe(record.source, &record.event)
    );
    if let Some(cause) = record.cause {
        // Writing to a String cannot fail.
        let _ = write!(line, "  <- {cause}");
    }
    line
}

/// A time as milliseconds with all its digits down to the nanosecond, in a column.
#[must_use]
pub fn time(time: VirtTime) -> String {
    let ns = time.as_ns();
    format!("{:>6}.{:06} ms", ns / 1_000_000, ns % 1_000_000)
}

/// What happened, in words; `source` decides which chip's register names are meant.
#[must_use]
pub fn describe(source: Slot, event: &TraceEvent) -> String {
    match *event {
        TraceEvent::FrameIn { .. }
        | TraceEvent::FrameFilter { .. }
        | TraceEvent::FrameDrop { .. }
        | TraceEvent::FrameDelivered { .. }
        | TraceEvent::FrameOut { .. }
        | TraceEvent::Conversation { .. }
        | TraceEvent::DescFetch { .. }
        | TraceEvent::DescUse { .. }
        | TraceEvent::DescWriteBack { .. }
        | TraceEvent::NicCause { .. } => frame(event),
        TraceEvent::DmaRead { .. } | TraceEvent::DmaWrite { .. } | TraceEvent::DmaBlocked { .. } => {
            dma(event)
        }
        TraceEvent::ProtectedMemory { .. }
        | TraceEvent::ContextLookup { .. }
        | TraceEvent::PasidLookup { .. }
        | TraceEvent::PasidEvict { .. }
        | TraceEvent::WalkStep { .. }
        | TraceEvent::IotlbHit { .. }
        | TraceEvent::IotlbMiss { .. }
        | TraceEvent::IotlbInsert { .. }
        | TraceEvent::IotlbEvict { .. }
        | TraceEvent::ContextEvict { .. }
        | TraceEvent::IrteEvict { .. }
        | TraceEvent::PagingHit { .. }
        | TraceEvent::PagingInsert { .. }
        | TraceEvent::PagingEvict { .. }
        | TraceEvent::Invalidate { .. }
        | TraceEvent::QueueDescriptor { .. }
        | TraceEvent::QueueStatus { .. }
        | TraceEvent::RemapFault { .. }
        | TraceEvent::IrteLookup { .. }
        | TraceEvent::InterruptPosted { .. } => iommu(event),
        TraceEvent::PinLevel { .. }
        | TraceEvent::MsiSent { .. }
        | TraceEvent::IoapicRte { .. }
        | TraceEvent::PicIntr { .. }
        | TraceEvent::LapicAccept { .. }
        | TraceEvent::LapicIrr { .. }
        | TraceEvent::LapicIsr { .. }
        | TraceEvent::LapicEoi { .. }
        | TraceEvent::LapicTpr { .. } => interrupt(event),
        TraceEvent::CpuException { .. }
        | TraceEvent::CpuInterrupt { .. }
        | TraceEvent::CpuIret { .. }
        | TraceEvent::CpuMode { .. }
        | TraceEvent::CpuCr3 { .. }
        | TraceEvent::CpuHalt { .. }
        | TraceEvent::CpuShutdown { .. } => processor(event),
        TraceEvent::MmioRead { .. }
        | TraceEvent::MmioWrite { .. }
        | TraceEvent::PortRead { .. }
        | TraceEvent::PortWrite { .. }
        | TraceEvent::PciRead { .. }
        | TraceEvent::PciWrite { .. }
        | TraceEvent::MsrRead { .. }
        | TraceEvent::MsrWrite { .. }
        | TraceEvent::BadAccess { .. } => access(source, event),
        TraceEvent::Snapshot => "snapshot taken".to_owned(),
        TraceEvent::Reset => "machine reset".to_owned(),
        TraceEvent::PowerOff { code } => format!("power off, code {code:#x}"),
    }
}

fn frame(event: &TraceEvent) -> String {
    match *event {
        TraceEvent::FrameIn { packet, len } => format!("frame {packet} in from the wire, {len} bytes"),
        TraceEvent::FrameFilter { packet, rule } => format!("frame {packet} {}", filter(rule)),
        TraceEvent::FrameDrop { packet, reason } => {
            format!("frame {packet} dropped: {}", reason.name())
        }
        TraceEvent::FrameDelivered { packet, len, descriptors } => {
            format!("frame {packet} delivered, {len} bytes in {descriptors} descriptor(s)")
        }
        TraceEvent::FrameOut { packet, len } => format!("frame out {packet} on the wire, {len} bytes"),
        TraceEvent::Conversation { number, step, frame } => {
            format!("conversation {number} {} at captured frame {frame}", step.words())
        }
        TraceEvent::DescFetch { ring, index, iova, raw } => {
            format!("{} descriptor {index} fetched at iova {iova}: {}", ring_name(ring), raw_pair(raw))
        }
        TraceEvent::DescUse { packet, index, fetch } => {
            format!("frame {packet} goes to rx descriptor {index}, fetched in {fetch}")
        }
        TraceEvent::DescWriteBack { ring, index, iova, raw } => {
            format!("{} descriptor {index} written back at iova {iova}: {}", ring_name(ring), raw_pair(raw))
        }
        TraceEvent::NicCause { causes, icr, ims } => {
            let masked = if icr & ims == 0 { " (masked)" } else { "" };
            format!("interrupt cause {}{masked}, ICR {icr:#x}, IMS {ims:#x}", names::icr_bits(causes))
        }
        _ => String::new(),
    }
}

fn filter(rule: FilterRule) -> String {
    match rule {
        FilterRule::UnicastPromiscuous => "accepted: unicast promiscuous".to_owned(),
        FilterRule::MulticastPromiscuous => "accepted: multicast promiscuous".to_owned(),
        FilterRule::Broadcast => "accepted: broadcast".to_owned(),
        FilterRule::Exact(index) => format!("accepted: address register {index}"),
        FilterRule::MulticastTable => "accepted: multicast table".to_owned(),
        FilterRule::NoMatch => "refused: no filter matches".to_owned(),
        FilterRule::Vlan => "refused: VLAN filter".to_owned(),
    }
}

fn ring_name(ring: Ring) -> &'static str {
    match ring {
        Ring::Rx => "rx",
        Ring::Tx => "tx",
    }
}

fn raw_pair(raw: [u64; 2]) -> String {
    format!("{:016x} {:016x}", raw[0], raw[1])
}

fn dma(event: &TraceEvent) -> String {
    match *event {
        TraceEvent::DmaRead { bdf, iova, gpa, len } => {
            format!("DMA read by {bdf}: {len} bytes, iova {iova} -> gpa {gpa}")
        }
        TraceEvent::DmaWrite { bdf, iova, gpa, len } => {
            format!("DMA write by {bdf}: {len} bytes, iova {iova} -> gpa {gpa}")
        }
        TraceEvent::DmaBlocked { bdf, iova, len, write, reason } => {
            let verb = if write { "write" } else { "read" };
            let why = match reason {
                0 => "bus master off or no memory".to_owned(),
                reason => names::fault_reason(reason),
            };
            format!("DMA {verb} by {bdf} of {len} bytes at iova {iova} refused: {why}")
        }
        _ => String::new(),
    }
}

fn iommu(event: &TraceEvent) -> String {
    match *event {
        TraceEvent::ProtectedMemory { bdf, iova, write } => {
            let verb = if write { "write" } else { "read" };
            format!("protected memory region: {verb} by {bdf} at {iova} blocked")
        }
        TraceEvent::ContextLookup { bdf, hit, domain } => {
            format!("context of {bdf}: cache {}, domain {domain}", if hit { "hit" } else { "miss" })
        }
        TraceEvent::PasidLookup { bdf, pasid, hit, domain } => {
            let cache = if hit { "hit" } else { "miss" };
            format!("PASID {pasid} of {bdf}: cache {cache}, domain {domain}")
        }
        TraceEvent::PasidEvict { bdf, pasid, set, way } => {
            format!("PASID cache evict: {pasid} of {bdf}, set {set} way {way}")
        }
        TraceEvent::WalkStep { bdf, level, entry_gpa, entry } => {
            let table = match level {
                6 | 10 => "root entry".to_owned(),
                5 | 9 => "context entry".to_owned(),
                7 => "PASID table entry".to_owned(),
                8 => "PASID directory entry".to_owned(),
                level @ 0..16 => format!("level-{} entry", level + 1),
                level => format!("first-stage level-{} entry", level - 15),
            };
            format!("walk for {bdf}: {table} at {entry_gpa} is {:016x}", entry[0])
        }
        TraceEvent::IotlbHit { domain, iova, gpa, .. } => {
            format!("IOTLB hit: domain {domain}, iova {iova} -> gpa {gpa}")
        }
        TraceEvent::IotlbMiss { domain, iova, .. } => format!("IOTLB miss: domain {domain}, iova {iova}"),
        TraceEvent::IotlbInsert { domain, iova, gpa, page_shift, set, way } => {
            let size = names::page_size(page_shift);
            format!("IOTLB insert: domain {domain}, iova {iova} -> gpa {gpa}, {size}, set {set} way {way}")
        }
        TraceEvent::IotlbEvict { domain, iova, set, way } => {
            format!("IOTLB evict: domain {domain}, iova {iova}, set {set} way {way}")
        }
        TraceEvent::ContextEvict { bdf, set, way } => {
            format!("context cache evict: {bdf}, set {set} way {way}")
        }
        TraceEvent::IrteEvict { index, way } => format!("interrupt entry cache evict: {index}, way {way}"),
        TraceEvent::PagingHit { domain, iova, level, table } => {
            let name = names::paging_cache(level);
            format!("{name} hit: domain {domain}, iova {iova}, the walk goes on in {table}")
        }
        TraceEvent::PagingInsert { domain, iova, level, table, way } => {
            let name = names::paging_cache(level);
            format!("{name} insert: domain {domain}, iova {iova} -> table {table}, way {way}")
        }
        TraceEvent::PagingEvict { domain, iova, level, way } => {
            let name = names::paging_cache(level);
            format!("{name} evict: domain {domain}, iova {iova}, way {way}")
        }
        TraceEvent::Invalidate { cache, what, dropped } => {
            format!("{} invalidation, {}: {dropped} dropped", cache_name(cache), granularity(what))
        }
        TraceEvent::QueueDescriptor { index, raw } => {
            format!("invalidation descriptor {index}: {}", raw_pair(raw))
        }
        TraceEvent::QueueStatus { gpa, data } => format!("invalidation wait: {data:#x} written to {gpa}"),
        TraceEvent::RemapFault { bdf, address, reason, write, recorded } => {
            let verb = if write { "write" } else { "read" };
            let kept = if recorded { "" } else { ", not recorded" };
            format!("DMAR fault: {verb} by {bdf} at {address:#x}: {}{kept}", names::fault_reason(reason))
        }
        TraceEvent::IrteLookup { bdf, index, hit, entry } => {
            let cache = if hit { "hit" } else { "miss" };
            format!("interrupt entry {index} for {bdf}: cache {cache}, {}", raw_pair(entry))
        }
        TraceEvent::InterruptPosted { gpa, vector, notified } => {
            let told = if notified { "notified" } else { "no notification" };
            format!("interrupt posted: vector {vector:#x} to the descriptor at {gpa}, {told}")
        }
        _ => String::new(),
    }
}

fn cache_name(cache: IommuCache) -> &'static str {
    match cache {
        IommuCache::Context => "context cache",
        IommuCache::Iotlb => "IOTLB",
        IommuCache::InterruptEntry => "interrupt entry cache",
        IommuCache::Pasid => "PASID cache",
        IommuCache::PagingStructure => "paging-structure caches",
    }
}

fn granularity(what: Granularity) -> String {
    match what {
        Granularity::Global => "global".to_owned(),
        Granularity::Domain(domain) => format!("domain {domain}"),
        Granularity::Device { domain, source, mask } => {
            format!("domain {domain}, device {source} (function mask {mask})")
        }
        Granularity::Pages { domain, iova, mask, leaf_only } => {
            let hint = if leaf_only { ", leaf only" } else { "" };
            format!("domain {domain}, {} page(s) at iova {iova}{hint}", 1u64 << mask.min(63))
        }
        Granularity::Pasid { domain, pasid } => format!("domain {domain}, PASID {pasid}"),
        Granularity::PasidPages { domain, pasid, iova, mask, leaf_only } => {
            let pages = Granularity::Pages { domain, iova, mask, leaf_only };
            format!("PASID {pasid}, {}", granularity(pages))
        }
        Granularity::Index { index, mask } => format!("{} entries from {index}", 1u64 << mask.min(63)),
    }
}

fn interrupt(event: &TraceEvent) -> String {
    match *event {
        TraceEvent::PinLevel { pin, high } => format!("pin {} {}", pin.0, level(high)),
        TraceEvent::MsiSent { bdf, address, data } => {
            format!("message from {bdf}: {data:#x} to {address:#x}")
        }
        TraceEvent::IoapicRte { pin, rte, sent } => {
            format!(
                "I/O APIC entry {pin} is {rte:016x}: {}",
                if sent { "message sent" } else { "nothing sent" }
            )
        }
        TraceEvent::PicIntr { high } => format!("8259 INTR {}", level(high)),
        TraceEvent::LapicAccept { interrupt } => {
            format!("local APIC accepts {}", interrupt_words(&interrupt))
        }
        TraceEvent::LapicIrr { vector, trigger } => {
            let trigger = match trigger {
                TriggerMode::Edge => "edge",
                TriggerMode::Level => "level",
            };
            format!("vector {vector:#x} pending in IRR, {trigger}")
        }
        TraceEvent::LapicIsr { vector } => format!("vector {vector:#x} in service"),
        TraceEvent::LapicEoi { vector, broadcast } => {
            format!("EOI of vector {vector:#x}{}", if broadcast { ", broadcast" } else { "" })
        }
        TraceEvent::LapicTpr { value } => format!("TPR is {value:#x}"),
        _ => String::new(),
    }
}

fn level(high: bool) -> &'static str {
    if high { "high" } else { "low" }
}

fn interrupt_words(interrupt: &Interrupt) -> String {
    let what = match interrupt.mode {
        DeliveryMode::Fixed => format!("vector {:#x}", interrupt.vector),
        DeliveryMode::LowestPriority => format!("vector {:#x}, lowest priority", interrupt.vector),
        DeliveryMode::Smi => "SMI".to_owned(),
        DeliveryMode::Nmi => "NMI".to_owned(),
        DeliveryMode::Init => "INIT".to_owned(),
        DeliveryMode::StartUp => format!("start-up at page {:#x}", interrupt.vector),
        DeliveryMode::ExtInt => "ExtINT".to_owned(),
    };
    let how = match interrupt.dest_mode {
        DestinationMode::Physical => "physical",
        DestinationMode::Logical => "logical",
    };
    format!("{what} for {how} {:#x}", interrupt.dest)
}

fn processor(event: &TraceEvent) -> String {
    match *event {
        TraceEvent::CpuException { vector, error, rip, address } => {
            let error = error.map_or(String::new(), |error| format!(", error {error:#x}"));
            let address = address.map_or(String::new(), |address| format!(", address {address}"));
            format!("exception {} at {rip:#x}{error}{address}", names::exception(vector))
        }
        TraceEvent::CpuInterrupt { vector, rip } => format!("interrupt {vector:#x} taken at {rip:#x}"),
        TraceEvent::CpuIret { rip } => format!("return from interrupt to {rip:#x}"),
        TraceEvent::CpuMode { mode } => format!("mode is {}", mode_name(mode)),
        TraceEvent::CpuCr3 { value } => format!("CR3 is {value:#x}"),
        TraceEvent::CpuHalt { rip } => format!("halted at {rip:#x}"),
        TraceEvent::CpuShutdown { rip } => format!("triple fault at {rip:#x}: shutdown"),
        _ => String::new(),
    }
}

/// A processor mode's name.
#[must_use]
pub fn mode_name(mode: CpuMode) -> &'static str {
    match mode {
        CpuMode::Real => "real",
        CpuMode::Virtual8086 => "virtual-8086",
        CpuMode::Protected16 => "16-bit protected",
        CpuMode::Protected32 => "32-bit protected",
        CpuMode::Compatibility => "compatibility",
        CpuMode::Long64 => "64-bit",
    }
}

fn access(source: Slot, event: &TraceEvent) -> String {
    match *event {
        TraceEvent::MmioRead { offset, width, value } => {
            format!("{} reads {}", names::register(source, offset), number(width, value))
        }
        TraceEvent::MmioWrite { offset, width, value } => {
            format!("{} := {}", names::register(source, offset), number(width, value))
        }
        TraceEvent::PortRead { port, width, value } => {
            format!("port {port:#x} reads {}", number(width, u64::from(value)))
        }
        TraceEvent::PortWrite { port, width, value } => {
            format!("port {port:#x} := {}", number(width, u64::from(value)))
        }
        TraceEvent::PciRead { bdf, offset, width, value } => {
            format!("config {bdf} {offset:#x} reads {}", number(width, u64::from(value)))
        }
        TraceEvent::PciWrite { bdf, offset, width, value } => {
            format!("config {bdf} {offset:#x} := {}", number(width, u64::from(value)))
        }
        TraceEvent::MsrRead { msr, value } => format!("{} reads {value:#x}", names::msr(msr)),
        TraceEvent::MsrWrite { msr, value } => format!("{} := {value:#x}", names::msr(msr)),
        TraceEvent::BadAccess { offset, width, write, error } => {
            let verb = if write { "write" } else { "read" };
            let why = match error {
                BadAccess::NoRegister => "no register there",
                BadAccess::Width => "wrong width",
                BadAccess::Misaligned => "misaligned",
            };
            format!("{verb} of {} bytes at {offset:#x}: {why}", width.bytes())
        }
        _ => String::new(),
    }
}

fn number(width: Width, value: u64) -> String {
    format!("{:#0digits$x}", value & width.mask(), digits = width.bytes() as usize * 2 + 2)
}
