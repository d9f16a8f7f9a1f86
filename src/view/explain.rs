//! What a register is, and which of its bits are set: from the tables that the chips themselves use. `glassbox explain`, the
//! inspector and the report all speak from here.

use emu_devices::{e1000, ioapic, lapic};
use std::fmt::Write as _;

/// Registers of a chip lie below this offset.
const OFFSETS: u64 = 0x1_0000;

/// Writing to a String cannot fail.
macro_rules! row {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

type NameOf = fn(u64) -> Option<&'static str>;

/// Chips whose registers have names, and the manual that names them.
const CHIPS: [(&str, NameOf, &str); 4] = [
    (
        "e1000",
        e1000::register_name,
        "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual",
    ),
    ("iommu", emu_iommu::register_name, "Intel Virtualization Technology for Directed I/O, chapter 11"),
    ("lapic", lapic::register_name, "Intel SDM volume 3A, table 12-1"),
    ("ioapic", ioapic::register_name, "82093AA data sheet, section 3"),
];

/// A register's purpose, where its chip's manual has it beyond what [`CHIPS`] says, and its fields.
#[derive(Default)]
struct Info {
    what: &'static str,
    section: &'static str,
    words: u32,
    fields: Vec<(u64, &'static str, &'static str)>,
}

fn info(chip: &str, offset: u64) -> Option<Info> {
    match chip {
        "e1000" => e1000::register_info(offset).map(|info| Info {
            what: info.what,
            section: info.section,
            words: info.words,
            fields: info.bits.iter().map(|(mask, name)| (u64::from(*mask), *name, "")).collect(),
        }),
        "iommu" => emu_iommu::register_info(offset).map(|info| Info {
            what: info.what,
            fields: info.fields.to_vec(),
            ..Info::default()
        }),
        "lapic" => lapic::register_info(offset).map(|(what, fields)| Info {
            what,
            fields: fields.to_vec(),
            ..Info::default()
        }),
        "ioapic" => {
            let what = match offset {
                ioapic::spec::IOREGSEL => "which register IOWIN is",
                ioapic::spec::IOWIN => "the register that IOREGSEL chose",
                ioapic::spec::EOI => "ends the level-triggered interrupts with that vector",
                _ => return None,
            };
            Some(Info { what, ..Info::default() })
        }
        _ => None,
    }
}

/// A number as people write it: decimal, or hexadecimal behind `0x`.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16).ok(),
        None => text.replace('_', "").parse().ok(),
    }
}

/// A register by `CHIP.NAME` or `CHIP.OFFSET`, in lines; with a value, which of its bits are set.
pub fn register(name: &str, value: Option<u64>) -> Result<String, String> {
    let chips = CHIPS.map(|(chip, ..)| chip).join(", ");
    let (chip, register) =
        name.split_once('.').ok_or_else(|| format!("`{name}` is not CHIP.NAME; chips are {chips}"))?;
    let (chip, name_of, manual) = CHIPS
        .into_iter()
        .find(|(known, ..)| *known == chip)
        .ok_or_else(|| format!("no chip `{chip}`; there are {chips}"))?;
    let wanted = number(register);
    let offset = (0..OFFSETS).step_by(4).find(|offset| {
        wanted.map_or_else(
            || name_of(*offset).is_some_and(|known| known.eq_ignore_ascii_case(register)),
            |wanted| wanted == *offset && name_of(*offset).is_some(),
        )
    });
    let offset = offset.ok_or_else(|| format!("{chip} has no register `{register}`"))?;
    let mut out = String::new();
    row!(out, "{chip} {} at offset {offset:#x}", name_of(offset).unwrap_or_default());
    let info = info(chip, offset).unwrap_or_default();
    if !info.what.is_empty() {
        row!(out, "  {}", info.what);
    }
    let comma = if info.section.is_empty() { "" } else { ", " };
    row!(out, "  {manual}{comma}{}", info.section);
    if info.words > 1 {
        row!(out, "  {} words", info.words);
    }
    for (mask, name, says) in info.fields {
        row!(out, "  {:>10}  {}", bit_places(mask), field(mask, name, says, value));
    }
    if let Some(value) = value {
        row!(out, "  value {value:#x}");
    }
    Ok(out)
}

/// A field's name, what it says, and what it is.
fn field(mask: u64, name: &str, says: &str, value: Option<u64>) -> String {
    let set = match value.map(|value| (value & mask) >> mask.trailing_zeros()) {
        None => String::new(),
        Some(set) if mask.count_ones() > 1 => format!("  {set:#x}"),
        Some(0) => "  clear".to_owned(),
        Some(_) => "  set".to_owned(),
    };
    let says = if says.is_empty() { String::new() } else { format!("  ({says})") };
    format!("{name}{set}{says}")
}

/// `bit 3` or `bits 9:8`.
fn bit_places(mask: u64) -> String {
    let (low, high) = (mask.trailing_zeros(), 63 - mask.leading_zeros().min(63));
    if low == high { format!("bit {low}") } else { format!("bits {high}:{low}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_found_by_name_and_offset() {
        let told = register("e1000.RCTL", Some(2)).unwrap();
        assert!(told.contains("offset 0x100") && told.contains("bit 1  EN  set"), "{told}");
        assert_eq!(register("e1000.0x100", None).unwrap().lines().next(), told.lines().next());
        let told = register("iommu.gsts", Some(0x8000_0000)).unwrap();
        assert!(told.contains("0x1c") && told.contains("bit 31  TES  set  (DMA remapping is on)"), "{told}");
        let told = register("lapic.TPR", Some(0x35)).unwrap();
        assert!(told.contains("0x80") && told.contains("bits 7:4  class  0x3  ("), "{told}");
        assert!(register("ioapic.IOWIN", None).unwrap().contains("IOREGSEL"));
        for wrong in ["RCTL", "nic.RCTL", "e1000.NONSENSE", "e1000.0x3"] {
            assert!(register(wrong, None).is_err(), "{wrong}");
        }
    }
}
