//! Table entries, descriptors and messages in the manuals' words: what `journey`, `inspect`, `explain` and the report say of a raw
//! number. Offsets and masks are those of each chip's `spec.rs`.

use emu_core::trace::{Ring, TraceEvent, TraceRecord};
use emu_core::{DeliveryMode, Msi};
use emu_devices::e1000;
use emu_devices::ioapic::spec as rte;
use emu_iommu::Irte;
use emu_iommu::spec::{descriptor as queue, irte, scalable, table};

/// What a record's raw numbers mean, a line each; empty for records that say it all.
#[must_use]
pub fn of(record: &TraceRecord) -> Vec<String> {
    match record.event {
        TraceEvent::DescFetch { ring, raw, .. } | TraceEvent::DescWriteBack { ring, raw, .. } => {
            vec![descriptor(ring, raw)]
        }
        TraceEvent::WalkStep { level, entry, .. } => vec![walk_entry(level, entry)],
        TraceEvent::IrteLookup { entry, .. } => vec![interrupt_entry(entry)],
        TraceEvent::QueueDescriptor { raw, .. } => vec![queue_descriptor(raw)],
        TraceEvent::RemapFault { bdf, address, reason, write, .. } => {
            vec![emu_iommu::linux_fault_line(bdf, None, address, write, reason)]
        }
        TraceEvent::IoapicRte { rte, .. } => vec![redirection(rte)],
        TraceEvent::MsiSent { address, data, .. } => vec![message(Msi { address, data })],
        _ => Vec::new(),
    }
}

/// A descriptor of the card (8254x manual, 3.2.3 and 3.3).
#[must_use]
pub fn descriptor(ring: Ring, raw: [u64; 2]) -> String {
    e1000::describe_descriptor(ring, raw)
}

/// An entry that a walk read; levels as in [`TraceEvent::WalkStep`].
#[must_use]
pub fn walk_entry(level: u8, entry: [u64; 2]) -> String {
    const ROOT: u8 = 6;
    const CONTEXT: u8 = 5;
    const PASID: u8 = 7;
    const DIRECTORY: u8 = 8;
    const SCALABLE_CONTEXT: u8 = 9;
    const SCALABLE_ROOT: u8 = 10;
    let pointer = entry[0] & table::ADDRESS;
    match level {
        ROOT | CONTEXT | PASID | DIRECTORY | SCALABLE_CONTEXT | SCALABLE_ROOT | 16..
            if entry[0] & table::PRESENT == 0 =>
        {
            "not present".to_owned()
        }
        ROOT | SCALABLE_ROOT => format!("present, context table at {pointer:#x}"),
        CONTEXT => {
            let domain = entry[1] >> table::CONTEXT_DOMAIN_SHIFT & 0xffff;
            let width = match entry[1] & table::CONTEXT_AW {
                table::AW_39 => "39 bits, 3 levels",
                table::AW_48 => "48 bits, 4 levels",
                table::AW_57 => "57 bits, 5 levels",
                _ => "a reserved width",
            };
            let how = match entry[0] >> table::CONTEXT_TT_SHIFT & 3 {
                table::TT_TRANSLATE => "translated",
                table::TT_PASS_THROUGH => "passed through",
                _ => "a type that this unit has not",
            };
            let quiet = if entry[0] & table::CONTEXT_FPD != 0 { ", faults not recorded" } else { "" };
            format!("present, domain {domain}, {how}, {width}, tables at {pointer:#x}{quiet}")
        }
        SCALABLE_CONTEXT => {
            let pasid = entry[1] & scalable::CONTEXT_RID_PASID;
            let carried = if entry[0] & scalable::CONTEXT_PASIDE != 0 { "may" } else { "may not" };
            format!(
                "present, PASID {pasid} for requests without one, which {carried} carry one, directory at {pointer:#x}"
            )
        }
        DIRECTORY => format!("present, PASID table at {pointer:#x}"),
        PASID => {
            let domain = entry[1] & 0xffff;
            let how = match entry[0] >> scalable::PASID_PGTT_SHIFT & 7 {
                scalable::PGTT_FIRST => "first stage",
                scalable::PGTT_SECOND => "second stage",
                scalable::PGTT_NESTED => "first stage within the second",
                scalable::PGTT_PASS_THROUGH => "passed through",
                _ => "a type that does not exist",
            };
            let quiet = if entry[0] & scalable::PASID_FPD != 0 { ", faults not recorded" } else { "" };
            format!("present, domain {domain}, {how}{quiet}")
        }
        level @ 16.. => first_stage_entry(level - 16, entry[0]),
        level => {
            let rights = [(table::PTE_R, "R"), (table::PTE_W, "W"), (table::PTE_SNP, "SNP")];
            let set: Vec<&str> =
                rights.iter().filter(|(bit, _)| entry[0] & bit != 0).map(|(_, name)| *name).collect();
            if set.is_empty() {
                return "neither readable nor writable: not present".to_owned();
            }
            let leaf = level == 0 || entry[0] & table::PTE_PS != 0;
            let what = if leaf { "page" } else { "next table" };
            let large = if level > 0 && leaf { ", PS" } else { "" };
            format!("{}{large}, {what} at {pointer:#x}", set.join(" "))
        }
    }
}

/// A present first-stage entry (VT-d specification, 9.7).
fn first_stage_entry(level: u8, entry: u64) -> String {
    let names = [
        (scalable::FS_RW, "RW"),
        (scalable::FS_US, "US"),
        (scalable::FS_A, "A"),
        (scalable::FS_D, "D"),
        (scalable::FS_XD, "XD"),
    ];
    let set = names
        .iter()
        .filter(|(bit, _)| entry & bit != 0)
        .fold("P".to_owned(), |all, (_, name)| all + " " + name);
    let large = level > 0 && entry & scalable::FS_PS != 0;
    let what = if level == 0 || large { "page" } else { "next table" };
    let pointer = entry & table::ADDRESS;
    format!("{set}{}, {what} at {pointer:#x}", if large { " PS" } else { "" })
}

/// An interrupt remap table entry (VT-d specification, 9.10, 9.11).
#[must_use]
pub fn interrupt_entry(entry: [u64; 2]) -> String {
    let [low, high] = entry;
    if low & irte::P == 0 {
        return "not present".to_owned();
    }
    if low & irte::IM != 0 {
        return posted_entry(entry);
    }
    let mode = delivery(low >> irte::DLM_SHIFT);
    let trigger = if low & irte::TM != 0 { "level" } else { "edge" };
    let how = if low & irte::DM != 0 { "logical" } else { "physical" };
    let hint = if low & irte::RH != 0 { ", redirection hint" } else { "" };
    format!(
        "present, vector {:#x}, {mode}, {trigger}, to {how} {:#x}{hint}, {}",
        low >> irte::VECTOR_SHIFT & 0xff,
        low >> irte::DST_SHIFT,
        source_check(high),
    )
}

/// Of the posted format.
fn posted_entry(entry: [u64; 2]) -> String {
    let irte = Irte(entry);
    let urgent = if irte.is_urgent() { ", urgent" } else { "" };
    format!(
        "present, posts vector {:#x} to the descriptor at {}{urgent}, {}",
        irte.posted_vector(),
        irte.descriptor(),
        source_check(entry[1]),
    )
}

/// Who may use an interrupt entry, by its high half.
fn source_check(high: u64) -> String {
    let sid = high & irte::SID;
    match high >> irte::SVT_SHIFT & 3 {
        irte::SVT_NONE => "any source".to_owned(),
        irte::SVT_SID => {
            format!("only from {:02x}:{:02x}.{}", sid >> 8, sid >> 3 & 0x1f, sid & 7)
        }
        irte::SVT_BUS => format!("only from buses {:02x} to {:02x}", sid >> 8, sid & 0xff),
        _ => "a reserved check of its source".to_owned(),
    }
}

fn delivery(bits: u64) -> &'static str {
    match DeliveryMode::from_bits(bits as u8 & 7) {
        Some(DeliveryMode::Fixed) => "fixed",
        Some(DeliveryMode::LowestPriority) => "lowest priority",
        Some(DeliveryMode::Smi) => "SMI",
        Some(DeliveryMode::Nmi) => "NMI",
        Some(DeliveryMode::Init) => "INIT",
        Some(DeliveryMode::StartUp) => "start-up",
        Some(DeliveryMode::ExtInt) => "ExtINT",
        None => "a reserved delivery mode",
    }
}

/// A descriptor of the invalidation queue (VT-d specification, 6.5.2).
#[must_use]
pub fn queue_descriptor(raw: [u64; 2]) -> String {
    let [low, high] = raw;
    let domain = low >> queue::DOMAIN_SHIFT & 0xffff;
    let pasid = low >> queue::PASID_SHIFT & u64::from(scalable::PASID);
    let granularity = low >> queue::G_SHIFT & 3;
    let pages = || {
        let (address, mask) = (high & queue::ADDRESS, high & queue::AM);
        let hint = if high & queue::IH != 0 { ", leaves only" } else { "" };
        format!("{} pages at {address:#x}{hint}", 1u64 << mask.min(52))
    };
    match low & queue::TYPE {
        queue::CONTEXT => match granularity {
            queue::G_GLOBAL => "context cache, all".to_owned(),
            queue::G_DOMAIN => format!("context cache, domain {domain}"),
            _ => {
                let source = emu_core::Bdf((low >> queue::SOURCE_SHIFT) as u16);
                format!("context cache, {source} in domain {domain}")
            }
        },
        queue::IOTLB => match granularity {
            queue::G_GLOBAL => "IOTLB, all".to_owned(),
            queue::G_DOMAIN => format!("IOTLB, domain {domain}"),
            _ => format!("IOTLB, domain {domain}, {}", pages()),
        },
        queue::INTERRUPT if low & queue::IEC_SELECTIVE == 0 => "interrupt entry cache, all".to_owned(),
        queue::INTERRUPT => {
            let (index, mask) = (low >> queue::IEC_INDEX_SHIFT & 0xffff, low >> queue::IEC_MASK_SHIFT & 0x1f);
            format!("interrupt entry cache, {} from {index} on", 1u64 << mask)
        }
        queue::PASID_IOTLB if granularity == queue::PI_PAGES => {
            format!("IOTLB, domain {domain}, PASID {pasid}, {}", pages())
        }
        queue::PASID_IOTLB => format!("IOTLB, domain {domain}, PASID {pasid}"),
        queue::PASID_CACHE => match granularity {
            queue::PC_GLOBAL => "PASID cache, all".to_owned(),
            queue::PC_DOMAIN => format!("PASID cache, domain {domain}"),
            _ => format!("PASID cache, domain {domain}, PASID {pasid}"),
        },
        queue::WAIT if low & queue::WAIT_SW != 0 => {
            let (data, at) = (low >> queue::WAIT_DATA_SHIFT, high & queue::WAIT_ADDRESS);
            format!("wait, then write {data:#x} to {at:#x}")
        }
        queue::WAIT => "wait".to_owned(),
        other => format!("type {other:#x}"),
    }
}

/// An I/O APIC redirection entry (82093AA, 3.2.4; remappable: VT-d specification, 5.1.5.1).
#[must_use]
pub fn redirection(entry: u64) -> String {
    let trigger = if entry & rte::RTE_LEVEL != 0 { "level" } else { "edge" };
    let polarity = if entry & rte::RTE_LOW_ACTIVE != 0 { "low active" } else { "high active" };
    let masked = if entry & rte::RTE_MASKED != 0 { ", masked" } else { "" };
    let waits = if entry & rte::RTE_REMOTE_IRR != 0 { ", remote IRR" } else { "" };
    let vector = entry & rte::RTE_VECTOR;
    if entry & rte::RTE_REMAPPABLE != 0 {
        let index = entry >> 49 | (entry & rte::RTE_LOGICAL) << 4;
        return format!(
            "remappable: interrupt entry {index}, {trigger}, {polarity}, vector {vector:#x} for the EOI{masked}{waits}"
        );
    }
    let how = if entry & rte::RTE_LOGICAL != 0 { "logical" } else { "physical" };
    format!(
        "vector {vector:#x}, {}, {trigger}, {polarity}, to {how} {:#x}{masked}{waits}",
        delivery((entry & rte::RTE_MODE) >> 8),
        entry >> 56
    )
}

/// A message as it leaves its device (SDM vol. 3A, 12.11; remappable: VT-d specification, 5.1.2.2).
#[must_use]
pub fn message(msi: Msi) -> String {
    if msi.address & irte::REQUEST_REMAPPABLE != 0 {
        let handle = msi.address >> irte::REQUEST_HANDLE_SHIFT & 0x7fff
            | (msi.address & irte::REQUEST_HANDLE_15) << 13;
        let sub = if msi.address & irte::REQUEST_SHV != 0 {
            format!(" plus subhandle {}", msi.data & 0xffff)
        } else {
            String::new()
        };
        return format!("remappable: handle {handle}{sub}");
    }
    emu_core::Interrupt::from_compatibility(msi).map_or_else(
        || "compatibility format, a reserved delivery mode".to_owned(),
        |interrupt| {
            format!(
                "compatibility format: vector {:#x}, {}, to {:#x}",
                interrupt.vector,
                delivery(u64::from(interrupt.mode.bits())),
                interrupt.dest
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_in_the_manuals_words() {
        assert_eq!(
            redirection(0x000b_0000_0000_e050),
            "remappable: interrupt entry 5, level, low active, vector 0x50 for the EOI, remote IRR"
        );
        assert_eq!(
            redirection(0x0100_0000_0001_0931),
            "vector 0x31, lowest priority, edge, high active, to logical 0x1, masked"
        );
        assert_eq!(
            interrupt_entry([0x50_0011, 0x4_f0f8]),
            "present, vector 0x50, fixed, level, to physical 0x0, only from f0:1f.0"
        );
        assert_eq!(interrupt_entry([0, 0]), "not present");
        assert_eq!(walk_entry(0, [0x41_4002, 0]), "W, page at 0x414000");
        assert_eq!(walk_entry(1, [0x20_0083, 0]), "R W, PS, page at 0x200000");
        assert_eq!(walk_entry(3, [0x5003, 0]), "R W, next table at 0x5000");
        assert_eq!(walk_entry(2, [0x5000, 0]), "neither readable nor writable: not present");
        assert_eq!(walk_entry(6, [0x7001, 0]), "present, context table at 0x7000");
        assert_eq!(
            walk_entry(5, [0x9001, 0x102]),
            "present, domain 1, translated, 48 bits, 4 levels, tables at 0x9000"
        );
        assert_eq!(queue_descriptor([0x3_00e2, 0]), "IOTLB, domain 3");
        assert_eq!(queue_descriptor([0x3_00f2, 0xffff_e001]), "IOTLB, domain 3, 2 pages at 0xffffe000");
        assert_eq!(queue_descriptor([0x8_0003_0031, 0]), "context cache, 00:01.0 in domain 3");
        assert_eq!(queue_descriptor([0x2_0000_0025, 0x1000]), "wait, then write 0x2 to 0x1000");
        assert_eq!(queue_descriptor([0x10_0000_0014, 0]), "interrupt entry cache, 1 from 16 on");
        assert_eq!(message(Msi { address: 0xfee0_00b8, data: 1 }), "remappable: handle 5 plus subhandle 1");
        assert_eq!(
            message(Msi { address: 0xfee0_1000, data: 0x31 }),
            "compatibility format: vector 0x31, fixed, to 0x1"
        );
    }
}
