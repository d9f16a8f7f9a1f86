//! `glassbox explain`: what a register, a fault reason, a kind of record, a packet or a record is, from the tables that the machine
//! itself uses.

use super::journey::Run;
use super::{FAILED, OK, print};
use crate::error::Error;
use crate::machine::{Goal, Machine, snapshot};
use crate::scenario::Scenario;
use crate::view::{Journey, Subject, bits, explain, frame, plain, tell, text};
use clap::{Args, Subcommand};
use emu_core::trace::{Logged, RecordId, TraceKind, TraceRecord};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const EXAMPLES: &str = "Examples:
  glassbox explain reg e1000.RCTL 0x8002
  glassbox explain fault demo-wrong-map
  glassbox explain record demo.trace 1535";

/// Arguments of `explain`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A register, by chip and name or offset: e1000.RCTL, iommu.GSTS, lapic.0x80, ioapic.IOWIN
    Reg {
        /// CHIP.NAME or CHIP.OFFSET
        name: String,
        /// A value, to say which of its bits are set
        #[arg(value_parser = super::trace::number)]
        value: Option<u64>,
    },
    /// A VT-d fault reason, or every fault of a scenario's run: the walk, who wrote what refused, and what would mend it
    Fault {
        /// The reason's number, or a scenario or snapshot; all reasons without
        #[arg(value_name = "REASON|SCENARIO|SNAPSHOT")]
        what: Option<String>,
    },
    /// A kind of records; all of them without a name
    Kind {
        /// Its name
        name: Option<String>,
    },
    /// A packet of a scenario or a trace file: what it is, what its stages took, what it cost
    Packet {
        /// The scenario or trace file
        run: String,
        /// Which packet, counting frames in from 0
        number: u64,
    },
    /// A record of a scenario or a trace file: its meaning, what led to it, what it led to
    Record {
        /// The scenario or trace file
        run: String,
        /// Its number
        number: u64,
    },
}

/// Writing to a String cannot fail.
macro_rules! row {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

/// `glassbox explain`.
pub(super) fn explain(args: &ExplainArgs) -> Result<u8, Error> {
    let told = match &args.what {
        What::Reg { name, value } => explain::register(name, *value),
        What::Fault { what: None } => fault(None),
        What::Fault { what: Some(what) } => match super::trace::number(what) {
            Ok(reason) => fault(Some(reason)),
            Err(_) => faults(what)?,
        },
        What::Kind { name } => kind(name.as_deref()),
        What::Packet { run, number } => packet(&Run::load(run)?.log, *number),
        What::Record { run, number } => record(&Run::load(run)?.log, RecordId(*number)),
    };
    match told {
        Ok(text) => {
            print(&text)?;
            Ok(OK)
        }
        Err(why) => {
            eprintln!("glassbox: {why}");
            Ok(FAILED)
        }
    }
}

fn fault(reason: Option<u64>) -> Result<String, String> {
    let unknown = emu_iommu::fault_reason_text(u8::MAX);
    let line = |reason: u8| {
        let of = if emu_iommu::is_interrupt_reason(reason) { "interrupt" } else { "DMA" };
        format!("{reason:#04x}  {of:<9}  {}\n", emu_iommu::fault_reason_text(reason))
    };
    match reason {
        None => Ok((1..0xff)
            .filter(|reason| emu_iommu::fault_reason_text(*reason) != unknown)
            .map(line)
            .collect()),
        Some(reason) => {
            let known =
                u8::try_from(reason).ok().filter(|reason| emu_iommu::fault_reason_text(*reason) != unknown);
            let reason = known.ok_or_else(|| format!("no fault reason {reason:#x}"))?;
            let mut out = line(reason);
            let what = if !emu_iommu::is_interrupt_reason(reason) {
                "the DMA did not happen; FSTS.PPF is set and a fault recording register has source, address and reason"
            } else {
                "the interrupt was dropped; a fault recording register has source, index and reason"
            };
            row!(out, "  {what}, unless the entry's FPD bit keeps it quiet");
            row!(
                out,
                "  Intel Virtualization Technology for Directed I/O, 7.1 and the appendix of fault reasons"
            );
            row!(
                out,
                "  in a trace: glassbox trace FILE --where 'event == RemapFault and reason == {reason:#x}'"
            );
            Ok(out)
        }
    }
}

/// Runs a scenario, or goes on from a snapshot, and explains every fault. A run that had one is run once more, now that it is known
/// which memory will be tables: so it is seen who wrote them before the unit was told.
fn faults(run: &str) -> Result<Result<String, String>, Error> {
    let mut pages = BTreeSet::new();
    let mut told = String::new();
    for _ in 0..2 {
        let mut machine = machine(run)?;
        if !machine.sanitize_iommu_knowing(pages) {
            return Ok(Err(format!("{run} has no VT-d unit")));
        }
        machine.run(&Goal::default());
        let Some(sanitizer) = machine.finish_sanitizer() else { break };
        if sanitizer.faults().is_empty() {
            return Ok(Err(format!("{run} ended without a fault")));
        }
        let symbols = machine.symbols();
        let faults: Vec<String> = sanitizer.faults().iter().map(|fault| fault.to_text(&symbols)).collect();
        told = faults.join("\n");
        pages = sanitizer.table_pages();
    }
    Ok(Ok(told))
}

/// A scenario's machine, or a snapshot's.
fn machine(run: &str) -> Result<Machine, Error> {
    let path = Path::new(run);
    if path.exists() && path.extension().is_none_or(|extension| extension != "ron") {
        return snapshot::load(path);
    }
    let mut scenario = Scenario::load(run)?;
    scenario.prepare(super::guest::tell)?;
    Machine::new(scenario)
}

fn kind(name: Option<&str>) -> Result<String, String> {
    let line = |(_, name, what): &(TraceKind, &str, &str)| format!("{name:>8}  {what}\n");
    match name {
        None => Ok(TraceKind::ALL.iter().map(line).collect()),
        Some(name) => {
            let found = TraceKind::ALL.iter().find(|(_, known, _)| *known == name);
            let found = found.ok_or_else(|| {
                let known = TraceKind::ALL.map(|(_, name, _)| name).join(", ");
                format!("no kind `{name}`; there are {known}")
            })?;
            let mut out = line(found);
            row!(out, "          glassbox run demo --trace {name}.txt --trace-kinds {name}");
            row!(out, "          glassbox trace FILE --kinds {name} --count");
            Ok(out)
        }
    }
}

fn packet(log: &Logged, number: u64) -> Result<String, String> {
    let journey =
        Journey::of(log, Subject::In(number)).ok_or_else(|| format!("no packet {number} came in"))?;
    let mut out = String::new();
    row!(out, "packet {number}");
    for layer in frame::layers(journey.frame()) {
        row!(out, "  {layer}");
    }
    match journey.reply() {
        Some((step, bytes)) => {
            row!(out, "{}", text::describe(step.source, &step.event));
            for layer in frame::layers(bytes) {
                row!(out, "  {layer}");
            }
        }
        None => row!(out, "no frame went out because of it"),
    }
    out.push_str(&tell::stage_table(&journey.stages()));
    row!(out, "");
    for (name, count) in journey.figures().rows() {
        row!(out, "{name:<48} {count:>14}");
    }
    Ok(out)
}

/// Effects of a record shown at most.
const EFFECTS_MAX: usize = 32;

fn record(log: &Logged, id: RecordId) -> Result<String, String> {
    let record = log.find(id).ok_or_else(|| format!("no record {id}"))?;
    let mut out = String::new();
    let tell = |out: &mut String, record: &TraceRecord| {
        row!(out, "{}", text::line(record));
        for line in bits::of(record) {
            row!(out, "{:52}{line}", "");
        }
    };
    tell(&mut out, record);
    row!(out, "{:52}{}", "", plain::words(&record.event));
    for layer in frame_of(record, log.bytes_of(id)) {
        row!(out, "{:52}{layer}", "");
    }
    row!(out, "\nbecause of");
    let mut at = record.cause.filter(|cause| *cause < id);
    if at.is_none() {
        row!(out, "  nothing in the machine: the guest's own program, or a frame from outside");
    }
    while let Some(cause) = at.and_then(|id| log.find(id)) {
        tell(&mut out, cause);
        at = cause.cause.filter(|next| *next < cause.id);
    }
    let effects: Vec<&TraceRecord> = log.records.iter().filter(|record| record.cause == Some(id)).collect();
    row!(out, "\nit led to {}", if effects.is_empty() { "nothing" } else { "" });
    for effect in effects.iter().take(EFFECTS_MAX) {
        tell(&mut out, effect);
    }
    if effects.len() > EFFECTS_MAX {
        row!(out, "and {} more", effects.len() - EFFECTS_MAX);
    }
    row!(out, "\nthe machine at that moment: glassbox inspect SCENARIO --at record={} cpu", id.0);
    Ok(out)
}

/// The layers of the frame that a record came with; DMAs come with pieces.
fn frame_of(record: &TraceRecord, bytes: &[u8]) -> Vec<String> {
    if record.event.kind() == TraceKind::Net { frame::layers(bytes) } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_kinds_are_told_or_refused() {
        assert!(fault(Some(0x22)).unwrap().contains("interrupt entry not present"));
        assert!(fault(None).unwrap().lines().count() > 15);
        assert!(fault(Some(0x99)).is_err() && fault(Some(0x1_0000_0001)).is_err());
        assert!(kind(Some("dma")).unwrap().contains("device reads and writes of memory"));
        assert!(kind(Some("nonsense")).unwrap_err().contains("there are net, nic"));
        assert_eq!(kind(None).unwrap().lines().count(), TraceKind::ALL.len());
    }
}
