//! `glassbox trace`: what is in a trace file, or a part of it, counted or in another form.

use super::run::{Kinds, create};
use super::{FAILED, OK, print};
use crate::error::Error;
use crate::position::Position;
use crate::units::Span;
use crate::view::expression::Expression;
use crate::view::file::{Meta, TraceFile};
use crate::view::filter::{Filter, Sieve};
use crate::view::{CSV_INTERVAL, Exporter, Format, Journey, jsonl, text};
use clap::{Args, ValueEnum};
use emu_core::VirtTime;
use emu_core::trace::{TraceKind, TraceMask, TraceRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  glassbox run demo --trace demo.trace && glassbox trace demo.trace --kinds fault,net --from time=20ms
  glassbox trace demo.trace --where 'event == IotlbMiss and iova >= 0xfffff000' --count
  glassbox trace demo.trace -o demo.json     (open it in ui.perfetto.dev)";

/// Arguments of `trace`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TraceArgs {
    /// A file that `--trace NAME.trace` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many of each event there are, instead of the records
    #[arg(long, conflicts_with_all = ["output", "form"])]
    count: bool,
    /// Write them to this file, in the form of its name's ending; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// In this form instead
    #[arg(long = "as", value_name = "FORM", value_enum)]
    form: Option<Form>,
    /// Interval of a row of CSV
    #[arg(long, value_name = "TIME", default_value_t = Span(CSV_INTERVAL))]
    every: Span,
    /// No more than that many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Which records.
#[derive(Args, Default)]
struct FilterArgs {
    /// Only these kinds, comma-separated
    #[arg(long, value_name = "KINDS")]
    kinds: Option<Kinds>,
    /// Only from these parts of the machine, e1000 or lapic0 for instance, comma-separated
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    source: Vec<String>,
    /// From this position on
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Up to this position
    #[arg(long = "to", value_name = "POSITION")]
    to_position: Option<Position>,
    /// Only what belongs to this packet's journey, counting frames in from 0
    #[arg(long, value_name = "N")]
    packet: Option<u64>,
    /// Only what speaks of this IOMMU domain
    #[arg(long, value_name = "ID", value_parser = number)]
    domain: Option<u64>,
    /// Only what speaks of this interrupt vector
    #[arg(long, value_name = "VECTOR", value_parser = number)]
    vector: Option<u64>,
    /// Only where this is true of a record's JSON keys: 'event == DmaWrite and len > 1000'
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Expression>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A line each
    Text,
    /// A JSON object a line
    Jsonl,
    /// Trace-event JSON for ui.perfetto.dev
    Perfetto,
    /// Waveforms
    Vcd,
    /// Figures over time
    Csv,
    /// A trace file again
    Trace,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Text => Self::Text,
            Form::Jsonl => Self::JsonLines,
            Form::Perfetto => Self::Perfetto,
            Form::Vcd => Self::Vcd,
            Form::Csv => Self::Csv,
            Form::Trace => Self::Binary,
        }
    }
}

pub(super) fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no number"))
}

impl FilterArgs {
    fn is_empty(&self) -> bool {
        self.kinds.is_none()
            && self.source.is_empty()
            && self.from.is_none()
            && self.to_position.is_none()
            && self.packet.is_none()
            && self.domain.is_none()
            && self.vector.is_none()
            && self.condition.is_none()
    }

    fn filter(&self) -> Filter {
        Filter {
            kinds: self.kinds.map_or(TraceMask::ALL, |kinds| kinds.0),
            sources: self.source.clone(),
            from: self.from.clone(),
            to: self.to_position.clone(),
            domain: self.domain,
            vector: self.vector,
            condition: self.condition.clone(),
            only: None,
        }
    }
}

/// `glassbox trace`.
pub(super) fn trace(args: &TraceArgs) -> Result<u8, Error> {
    let path = &args.file;
    let mut file = TraceFile::open(path).map_err(Error::file(path))?;
    if let Some(why) = file.cut() {
        eprintln!("glassbox: {}: {why}: what comes before is shown", path.display());
    }
    let mut filter = args.filter.filter();
    if let Some(packet) = args.filter.packet {
        let Some(only) = journey(&mut file, packet).map_err(Error::file(path))? else {
            eprintln!("glassbox: {}: no packet {packet} came in", path.display());
            return Ok(FAILED);
        };
        filter.only = Some(only);
    }
    if args.count {
        let mut counts = Counts::default();
        each(&mut file, path, &filter, args.limit, |record, _| {
            counts.add(record);
            Ok(())
        })?;
        print(&counts.to_text())?;
        return Ok(OK);
    }
    if args.filter.is_empty() && args.output.is_none() && args.form.is_none() && args.limit.is_none() {
        print(&overview(&file))?;
        return Ok(OK);
    }
    convert(&mut file, args, &filter)?;
    Ok(OK)
}

/// Writes the wanted records.
fn convert(file: &mut TraceFile, args: &TraceArgs, filter: &Filter) -> Result<(), Error> {
    let output = args.output.clone().unwrap_or_else(|| "-".into());
    let format = args.form.map_or_else(|| Format::of(&output), Format::from);
    let meta = Meta { kinds: wanted_kinds(file.meta(), filter.kinds), ..file.meta().clone() };
    let to_output = |error: io::Error| match error {
        error if error.kind() == io::ErrorKind::BrokenPipe => Error::Pipe,
        error => Error::File { path: output.clone(), source: error },
    };
    let out = BufWriter::new(create(&output)?);
    let mut exporter = Exporter::begin(format, &meta, args.every.0, out).map_err(to_output)?;
    each(file, &args.file, filter, args.limit, |record, bytes| {
        exporter.record(record, bytes).map_err(to_output)
    })?;
    exporter.finish().map_err(to_output)
}

fn wanted_kinds(meta: &Meta, mask: TraceMask) -> Vec<String> {
    let wanted =
        |name: &String| TraceKind::ALL.iter().any(|(kind, known, _)| known == name && mask.has(*kind));
    meta.kinds.iter().filter(|name| wanted(name)).cloned().collect()
}

/// Hands every wanted record to `take`, in order.
fn each(
    file: &mut TraceFile,
    path: &Path,
    filter: &Filter,
    limit: Option<u64>,
    mut take: impl FnMut(&TraceRecord, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut sieve: Sieve<'_> = filter.sieve();
    let mut left = limit.unwrap_or(u64::MAX);
    let blocks: Vec<usize> =
        file.index().enumerate().filter(|(_, index)| filter.may_want(index)).map(|(at, _)| at).collect();
    for at in blocks {
        for item in file.block(at).map_err(Error::file(path))? {
            if sieve.is_over() || left == 0 {
                return Ok(());
            }
            if sieve.wants(&item.record) {
                take(&item.record, &item.bytes)?;
                left -= 1;
            }
        }
    }
    Ok(())
}

/// The records of a packet's journey.
fn journey(file: &mut TraceFile, packet: u64) -> io::Result<Option<BTreeSet<emu_core::trace::RecordId>>> {
    let Some(first) = file.block_of_packet(packet) else { return Ok(None) };
    let log = file.log_from(first)?;
    let journey = Journey::follow(&log.records, packet);
    Ok(journey.map(|journey| journey.steps.iter().map(|step| step.id).collect()))
}

/// What a file holds, from its index alone.
fn overview(file: &TraceFile) -> String {
    let mut out = String::new();
    let meta = file.meta();
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let (mut records, mut last, mut insns, mut packets) = (0, 0, 0, None);
    for block in file.index() {
        records += block.records;
        last = last.max(block.times.1);
        insns = insns.max(block.insns.1);
        packets = packets.max(block.packets.map(|(_, last)| last));
        for (kind, count) in &block.kinds {
            *counts.entry(*kind).or_default() += count;
        }
    }
    let packets = packets.map_or(String::new(), |last| format!(", packets 0 to {last}"));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", meta.title);
    let _ = writeln!(
        out,
        "{records} records in {} blocks, up to {}, insns={insns}{packets}",
        file.index().len(),
        text::time(VirtTime(last)).trim_start()
    );
    for (kind, name, what) in TraceKind::ALL {
        let count = match counts.get(&(kind as u32)) {
            Some(count) => count.to_string(),
            None if meta.kinds.iter().any(|written| written == name) => "0".to_owned(),
            None => "not written".to_owned(),
        };
        let _ = writeln!(out, "{name:>8}  {count:>12}  {what}");
    }
    out
}

/// Records counted by kind and event.
#[derive(Default)]
struct Counts(BTreeMap<(TraceKind, String), u64>);

impl Counts {
    fn add(&mut self, record: &TraceRecord) {
        let debug = format!("{:?}", record.event);
        let name = debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        *self.0.entry((record.event.kind(), name)).or_default() += 1;
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        for ((kind, name), count) in &self.0 {
            let _ = writeln!(out, "{:>8}  {name:<16}  {count:>12}", jsonl::kind_name(*kind));
        }
        let _ = writeln!(out, "{:>8}  {:<16}  {:>12}", "all", "", self.0.values().sum::<u64>());
        out
    }
}
