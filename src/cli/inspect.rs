//! `glassbox inspect`: look into a snapshot, or into a scenario at a position, by chip.

use super::{FAILED, OK, print};
use crate::error::Error;
use crate::machine::{Goal, Machine, Stop, snapshot};
use crate::position::Position;
use crate::scenario::Scenario;
use crate::view::symbols::Symbols;
use clap::{Args, Subcommand};
use emu_core::{Bdf, Gpa, Iova};
use emu_iommu::DEBUGFS_FILES;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const EXAMPLES: &str = "Examples:
  glassbox run demo --snapshot-at packet=3=third.snap && glassbox inspect third.snap iommu
  glassbox inspect demo --at packet=3 walk --bdf 00:02.0 --iova 0xfffff000
  glassbox inspect a.snap iommu --diff b.snap
  glassbox inspect debian --at 'serial=glassbox: ready' iommu --format debugfs";

/// Arguments of `inspect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// A snapshot, or with --at a scenario
    #[arg(value_name = "SNAPSHOT|SCENARIO")]
    machine: String,
    /// Run to insns=N, time=2s, packet=N, record=N or serial=TEXT first
    #[arg(long, value_name = "POSITION", global = true)]
    at: Option<Position>,
    /// As JSON: sections with rows by column
    #[arg(long, global = true)]
    json: bool,
    /// Names of the guest's addresses: a System.map or an ELF file [default: Linux's own table, if memory has it]
    #[arg(long, value_name = "FILE", global = true)]
    symbols: Option<PathBuf>,
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
    /// The VT-d unit: registers, domains and devices, mappings, caches, queue, faults, interrupt entries
    Iommu {
        /// As Linux 6.1's files in /sys/kernel/debug/iommu/intel: debugfs, or debugfs:FILE for one of them
        #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
        format: Option<DebugFs>,
        /// What is different in another snapshot
        #[arg(long, value_name = "SNAPSHOT", conflicts_with = "format")]
        diff: Option<PathBuf>,
    },
    /// The 8259 pair
    Pic,
    /// The 8254 timer
    Pit,
    /// The CMOS clock
    Rtc,
    /// The serial port
    Uart,
    /// ACPI power management
    Acpi,
    /// The keyboard controller
    Kbc,
    /// What is going to happen, and when
    Events,
    /// Guest memory
    Memory {
        /// From this physical address on
        #[arg(value_name = "ADDRESS", value_parser = parse_address)]
        from: u64,
        /// So many bytes
        #[arg(value_name = "BYTES", default_value = "256", value_parser = parse_address)]
        len: u64,
    },
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

/// `--format`: all of the kernel's files, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DebugFs(Option<&'static str>);

fn parse_format(text: &str) -> Result<DebugFs, String> {
    let file = |name: &str| DEBUGFS_FILES.into_iter().find(|known| *known == name);
    match text.split_once(':') {
        None if text == "debugfs" => Ok(DebugFs(None)),
        Some(("debugfs", name)) if file(name).is_some() => Ok(DebugFs(file(name))),
        _ => Err(format!("use debugfs, or debugfs:FILE with one of {}", DEBUGFS_FILES.join(", "))),
    }
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

/// Bytes of memory shown at most.
const MEMORY_MAX: u64 = 1 << 20;

/// The machine that is looked at, and whether it reached the position.
fn machine(args: &InspectArgs) -> Result<Option<Machine>, Error> {
    let path = Path::new(&args.machine);
    let is_scenario = !path.exists() || path.extension().is_some_and(|extension| extension == "ron");
    let mut machine = if is_scenario && (args.at.is_some() || !path.exists()) {
        let mut scenario = Scenario::load(&args.machine)?;
        scenario.prepare(super::guest::tell)?;
        Machine::new(scenario)?
    } else {
        snapshot::load(path)?
    };
    if let Some(at) = &args.at {
        let stop = machine.run(&Goal { position: Some(at.clone()), ..Goal::default() });
        if stop != Stop::Reached {
            eprintln!("glassbox: the run ended by {} before {at}", stop.name());
            return Ok(None);
        }
    }
    Ok(Some(machine))
}

fn symbols(args: &InspectArgs, machine: &Machine) -> Result<Symbols, Error> {
    let Some(path) = &args.symbols else { return Ok(machine.symbols()) };
    let file = std::fs::read(path).map_err(Error::file(path))?;
    Symbols::parse(&file).ok_or_else(|| {
        let source =
            io::Error::new(io::ErrorKind::InvalidData, "neither a System.map nor an ELF file with symbols");
        Error::File { path: path.clone(), source }
    })
}

/// Prints what was asked for.
pub(super) fn inspect(args: &InspectArgs) -> Result<u8, Error> {
    let Some(machine) = machine(args)? else { return Ok(FAILED) };
    let view = match &args.what {
        What::Cpu => machine.show_cpu_with(&symbols(args, &machine)?),
        What::Screen => {
            let screen = machine.show_screen();
            print(&if args.json {
                format!("{:#}\n", serde_json::json!(screen.lines().collect::<Vec<_>>()))
            } else {
                screen
            })?;
            return Ok(OK);
        }
        What::Apic => machine.show_apic(),
        What::Ioapic => machine.show_ioapic(),
        What::Pci => machine.show_pci(),
        What::E1000 => machine.show_e1000(),
        What::Iommu { format: Some(DebugFs(file)), .. } => {
            print(&machine.show_debugfs(*file))?;
            return Ok(OK);
        }
        What::Iommu { diff: Some(other), .. } => {
            let other = snapshot::load(other)?;
            machine.show_iommu().diff(&other.show_iommu())
        }
        What::Iommu { format: None, diff: None } => machine.show_iommu(),
        What::Pic => machine.show_pic(),
        What::Pit => machine.show_pit(),
        What::Rtc => machine.show_rtc(),
        What::Uart => machine.show_uart(),
        What::Acpi => machine.show_acpi(),
        What::Kbc => machine.show_kbc(),
        What::Events => machine.show_events(),
        What::Memory { from, len } => machine.show_memory(Gpa(*from), (*len).min(MEMORY_MAX)),
        What::Walk { bdf, iova } => machine.show_walk(*bdf, Iova(*iova)),
    };
    print(&if args.json { format!("{:#}\n", view.to_json()) } else { view.to_string() })?;
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
        assert_eq!(parse_format("debugfs:iommu_regset"), Ok(DebugFs(Some("iommu_regset"))));
        assert!(parse_format("debugfs:passwd").is_err());
    }
}
