//! `glassbox inspect`: look into a snapshot, by chip.

use super::{OK, print};
use crate::error::Error;
use crate::machine::{Machine, snapshot};
use clap::{Args, Subcommand};
use emu_core::{Bdf, Iova};
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLES: &str = "Examples:
  glassbox run demo --snapshot-at packet=3=third.snap && glassbox inspect third.snap iommu
  glassbox inspect third.snap walk --bdf 00:02.0 --iova 0xfffff000";

/// Arguments of `inspect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Registers, mode, segments, the code about to run
    Cpu,
    /// The screen in text mode
    Screen,
    /// The local APIC
    Apic,
    /// The I/O APIC and its entries
    Ioapic,
    /// Every PCI function and what it decodes
    Pci,
    /// The network card: registers and rings
    E1000,
    /// The VT-d unit: registers, what its caches hold, what is mapped
    Iommu,
    /// One translation, level by level
    Walk {
        /// Who asks, 00:02.0 for instance
        #[arg(long, value_name = "BUS:DEV.FN", value_parser = parse_bdf)]
        bdf: Bdf,
        /// The address that it uses
        #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
        iova: u64,
    },
}

fn parse_bdf(text: &str) -> Result<Bdf, String> {
    let refuse = || format!("`{text}` is not of the form 00:02.0");
    let (bus, rest) = text.split_once(':').ok_or_else(refuse)?;
    let (device, function) = rest.split_once('.').ok_or_else(refuse)?;
    let part = |digits: &str, max: u8| {
        u8::from_str_radix(digits, 16).ok().filter(|value| *value <= max).ok_or_else(refuse)
    };
    Ok(Bdf::new(part(bus, 255)?, part(device, 31)?, part(function, 7)?))
}

fn parse_address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16),
        None => u64::from_str(text),
    };
    parsed.map_err(|_| format!("`{text}` is no address"))
}

/// Prints what was asked for.
pub(super) fn inspect(args: &InspectArgs) -> Result<u8, Error> {
    let machine: Machine = snapshot::load(&args.snapshot)?;
    print(&match args.what {
        What::Cpu => machine.show_cpu(),
        What::Screen => machine.show_screen(),
        What::Apic => machine.show_apic(),
        What::Ioapic => machine.show_ioapic(),
        What::Pci => machine.show_pci(),
        What::E1000 => machine.show_e1000(),
        What::Iommu => machine.show_iommu(),
        What::Walk { bdf, iova } => machine.show_walk(bdf, Iova(iova)),
    })?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bdfs_and_addresses_are_read() {
        assert_eq!(parse_bdf("f0:1f.0"), Ok(Bdf::new(0xf0, 0x1f, 0)));
        assert_eq!(parse_bdf("00:02.7"), Ok(Bdf::new(0, 2, 7)));
        for text in ["", "0:0", "00:20.0", "00:02.8", "zz:00.0"] {
            assert!(parse_bdf(text).is_err(), "{text}");
        }
        assert_eq!(parse_address("0xfffff000"), Ok(0xffff_f000));
        assert_eq!(parse_address("4096"), Ok(4096));
        assert!(parse_address("0x").is_err());
    }
}
