//! Names for numbers, from the tables in each chip's `spec.rs`.

use emu_core::Slot;
use emu_devices::{e1000, ioapic, lapic};

/// A device register's name, with its chip's; the bare offset if it has none.
#[must_use]
pub fn register(slot: Slot, offset: u64) -> String {
    let name = match slot {
        Slot::Nic(_) => e1000::register_name(offset),
        Slot::Iommu(_) => emu_iommu::register_name(offset),
        Slot::Lapic(_) => lapic::register_name(offset),
        Slot::Ioapic => ioapic::register_name(offset),
        Slot::Cpu(_)
        | Slot::Wire(_)
        | Slot::Pic
        | Slot::Pit
        | Slot::Rtc
        | Slot::Uart(_)
        | Slot::Kbc
        | Slot::AcpiPm
        | Slot::DebugPort
        | Slot::Pci => None,
    };
    match name {
        Some(name) => format!("{slot} {name}"),
        None => format!("{slot} {offset:#x}"),
    }
}

/// One of the local APIC's MSRs (SDM vol. 4, table 2-2; x2APIC: vol. 3A, table 12-6).
#[must_use]
pub fn msr(msr: u32) -> String {
    const X2APIC: u32 = 0x800;
    match msr {
        0x1b => "IA32_APIC_BASE".to_owned(),
        0x6e0 => "IA32_TSC_DEADLINE".to_owned(),
        X2APIC..=0x8ff => match lapic::register_name(u64::from(msr - X2APIC) << 4) {
            Some(name) => format!("x2APIC {name}"),
            None => format!("x2APIC MSR {msr:#x}"),
        },
        _ => format!("MSR {msr:#x}"),
    }
}

/// Bits of the e1000's ICR, by name.
#[must_use]
pub fn icr_bits(causes: u32) -> String {
    e1000::icr_names(causes)
}

/// A VT-d fault reason with its number.
#[must_use]
pub fn fault_reason(reason: u8) -> String {
    format!("reason {reason:#x}, {}", emu_iommu::fault_reason_text(reason))
}

/// A page size from its shift.
#[must_use]
pub fn page_size(shift: u8) -> &'static str {
    match shift {
        12 => "4 KiB",
        21 => "2 MiB",
        30 => "1 GiB",
        _ => "?",
    }
}

/// The paging-structure cache that keeps entries of `level` (VT-d specification, 6.2.4).
#[must_use]
pub fn paging_cache(level: u8) -> &'static str {
    emu_iommu::paging_cache_name(level)
}

/// An exception's mnemonic and vector (SDM vol. 3A, table 7-1).
#[must_use]
pub fn exception(vector: u8) -> String {
    const NAMES: [&str; 22] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP", "#PF",
        "", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    ];
    match NAMES.get(usize::from(vector)) {
        Some(name) if !name.is_empty() => format!("{name} ({vector})"),
        _ => format!("{vector:#x}"),
    }
}
