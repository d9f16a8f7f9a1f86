//! `glassbox run`, and the bare `glassbox` that runs the demo.

use super::overrides::Overrides;
use super::progress::Progress;
use super::{CRASHED, FAILED, INTERRUPTED, LIMIT, OK, print};
use crate::error::Error;
use crate::machine::{Goal, Machine, Stop, Summary, snapshot};
use crate::position::Position;
use crate::sanitize::Sanitized;
use crate::scenario::Scenario;
use crate::view::file::Meta;
use crate::view::{FileSink, Format, Journey, Subject};
use clap::{Args, ValueEnum};
use crossbeam_channel::Receiver;
use emu_core::trace::{Logged, SharedLog, TraceKind, TraceMask};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "Examples:
  glassbox run demo --until time=20ms --snapshot-at packet=3=third.snap
  glassbox run --kernel vmlinux.elf --append 'console=ttyS0' -m 256M --max-insns 1000000000";

/// Instructions between two looks at the outside: serial output, the progress line.
const SLICE: u64 = 20_000_000;

/// Arguments of `run`.
#[derive(Args, Default)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// A scenario file, or the name of a built-in one
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    /// Let gdb come in at 127.0.0.1:1234 at any time; see `glassbox debug`
    #[arg(short = 's', id = "gdb")]
    gdb: bool,
    /// Wait for gdb before the first instruction
    #[arg(short = 'S', id = "wait", requires = "gdb")]
    wait: bool,
    #[command(flatten)]
    output: Output,
}

/// What of a run is kept and shown; the same for a run that goes on from a snapshot.
#[derive(Args, Default)]
pub(super) struct Output {
    /// Write what the guest sends to this pcapng file; - is stdout
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Write all frames to this pcapng file, both ways, with what became of each in its comment
    #[arg(long, value_name = "FILE")]
    capture_wire: Option<PathBuf>,
    /// Write trace records, in the form of the name's ending: .trace (compact, for `glassbox trace`), .jsonl, .json (Perfetto),
    /// .vcd, .csv, else text; - is stdout
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Only these kinds of records, comma-separated; `help` lists them
    #[arg(long, value_name = "KINDS")]
    trace_kinds: Option<Kinds>,
    /// Where the serial port goes: stdio, none, or a file
    #[arg(long, value_name = "WHERE")]
    serial: Option<PathBuf>,
    /// Where the debug console, port 0xe9, goes: stdio, none, or a file
    #[arg(long, value_name = "WHERE")]
    debugcon: Option<PathBuf>,
    /// Stop at insns=N, time=2s, packet=N, record=N or serial=TEXT
    #[arg(long, value_name = "POSITION")]
    until: Option<Position>,
    /// Take a snapshot at a position, or at the end: packet=3=FILE, end=FILE; several in the order in which they are reached
    #[arg(long, value_name = "POSITION=FILE")]
    snapshot_at: Vec<SnapshotAt>,
    /// Give up after that many instructions
    #[arg(long, value_name = "N")]
    max_insns: Option<u64>,
    /// Watch for what hardware punishes only sometimes, and explain faults: iommu
    #[arg(long, value_name = "WHAT", value_enum)]
    sanitize: Option<Sanitize>,
    /// How to sum up
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    summary: SummaryForm,
}

impl Output {
    /// Nothing of the run itself is shown.
    pub(super) fn silent() -> Self {
        Self {
            serial: Some("none".into()),
            debugcon: Some("none".into()),
            summary: SummaryForm::None,
            ..Self::default()
        }
    }
}

/// `--sanitize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sanitize {
    /// How the guest treats its VT-d unit
    Iommu,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SummaryForm {
    /// For people
    #[default]
    Text,
    /// One JSON object on stdout, and nothing else there
    Json,
    /// Not at all
    None,
}

/// `--trace-kinds`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kinds(pub(super) TraceMask);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        TraceMask::parse(list).map(Self).map_err(|unknown| {
            let known = TraceKind::ALL.map(|(_, name, what)| format!("\n  {name:6} {what}")).concat();
            format!("no kind `{unknown}`; there are:{known}")
        })
    }
}

/// `--snapshot-at`.
#[derive(Clone, Debug)]
struct SnapshotAt {
    /// `None` is the end.
    position: Option<Position>,
    path: PathBuf,
}

impl FromStr for SnapshotAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (position, path) = text
            .rsplit_once('=')
            .ok_or_else(|| "use POSITION=FILE, packet=3=third.snap for instance".to_owned())?;
        let position = match position {
            "end" => None,
            position => Some(position.parse::<Position>().map_err(|error| error.to_string())?),
        };
        Ok(Self { position, path: path.into() })
    }
}

/// The bare command: the demo, and the journey of the packet that shows most.
pub(super) fn demo(args: RunArgs) -> Result<u8, Error> {
    const SHOWN: u64 = 0;
    let json = args.output.summary == SummaryForm::Json;
    let log = SharedLog::default();
    let wants_trace = args.output.trace.is_some();
    let mut session = Session::start(args, (!json && !wants_trace).then(|| log.clone()))?;
    let code = session.run()?;
    if !json
        && !wants_trace
        && let Some(journey) = Journey::of(&log.take_all(), Subject::In(SHOWN))
    {
        print(&format!("\n{}", journey.to_text()))?;
        print("\nEvery other packet: glassbox journey demo --packet N\n")?;
    }
    Ok(code)
}

/// `glassbox run`.
pub(super) fn run(args: RunArgs) -> Result<u8, Error> {
    if args.gdb {
        let (wait, serial) = (args.wait, args.output.serial.clone());
        return super::debug::serve(machine(args)?.0, super::debug::DEFAULT, !wait, serial.as_deref());
    }
    Session::start(args, None)?.run()
}

/// What is to be run, and what of it is to be kept.
fn machine(args: RunArgs) -> Result<(Machine, Output), Error> {
    let mut scenario = match &args.scenario {
        Some(name) => Scenario::load(name)?,
        None if args.overrides.name_a_guest() => Scenario::bare(),
        None => Scenario::load("demo")?,
    };
    args.overrides.apply(&mut scenario)?;
    scenario.prepare(super::guest::tell)?;
    Ok((Machine::new(scenario)?, args.output))
}

/// A machine with everything that is watched of it.
pub(super) struct Session {
    machine: Machine,
    output: Output,
    serial: Sink,
    debugcon: Sink,
    trace: Option<(PathBuf, Receiver<io::Result<()>>)>,
    log: Option<SharedLog>,
    /// Snapshots to take when the run has ended.
    at_end: Vec<PathBuf>,
}

impl Session {
    fn start(args: RunArgs, log: Option<SharedLog>) -> Result<Self, Error> {
        let (machine, output) = machine(args)?;
        Self::new(machine, output, log)
    }

    /// Watches `machine` as `output` says; `log` gets every record if no trace file does.
    pub(super) fn new(
        mut machine: Machine,
        mut output: Output,
        log: Option<SharedLog>,
    ) -> Result<Self, Error> {
        let at_end =
            output.snapshot_at.extract_if(.., |at| at.position.is_none()).map(|at| at.path).collect();
        let quiet = output.summary == SummaryForm::Json;
        let serial = Sink::open(output.serial.as_deref(), quiet)?;
        let debugcon = Sink::open(output.debugcon.as_deref(), quiet)?;
        if let Some(path) = &output.capture {
            machine.capture_to(create(path)?).map_err(Error::file(path))?;
        }
        if let Some(path) = &output.capture_wire {
            machine.log_wire_to(create(path)?).map_err(Error::file(path))?;
        }
        if output.sanitize == Some(Sanitize::Iommu) && !machine.sanitize_iommu() {
            let reason = "there is no unit that --sanitize iommu could watch".to_owned();
            return Err(Error::Config { part: "iommu", reason });
        }
        let mut trace = None;
        if let Some(path) = &output.trace {
            let mask = output.trace_kinds.map_or(TraceMask::ALL, |kinds| kinds.0);
            let meta = Meta::new(&machine.scenario().title, mask);
            let (sink, told) = FileSink::new(Format::of(path), meta, create(path)?);
            machine.tracer().attach(mask, Box::new(sink));
            trace = Some((path.clone(), told));
        } else if let Some(log) = &log {
            machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
        }
        Ok(Self { machine, output, serial, debugcon, trace, log, at_end })
    }

    /// To the end, with the summary.
    #[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "host time is shown, never used")]
    pub(super) fn run(&mut self) -> Result<u8, Error> {
        let begun = std::time::Instant::now();
        let started_at = self.machine.insns();
        let to_terminal = matches!(self.serial, Sink::Stdout) && io::IsTerminal::is_terminal(&io::stdout());
        let progress = Progress::new(!to_terminal);
        let interrupted = interruptions();
        let stop = loop {
            let goal = self.goal();
            let stop = self.machine.run(&goal);
            self.serial.write(&self.machine.take_serial())?;
            self.debugcon.write(&self.machine.take_debugcon())?;
            progress.update(&self.machine, begun.elapsed());
            match stop {
                Stop::Slice if interrupted.load(Ordering::Relaxed) => break stop,
                Stop::Slice => {}
                Stop::Reached => {
                    let Some(position) = goal.position.filter(|_| self.waits_for_snapshot()) else {
                        break stop;
                    };
                    let at = self.output.snapshot_at.remove(0);
                    snapshot::save(&self.machine, &at.path)?;
                    if self.output.until.as_ref() == Some(&position) {
                        break stop;
                    }
                }
                _ => break stop,
            }
        };
        for path in std::mem::take(&mut self.at_end) {
            snapshot::save(&self.machine, &path)?;
        }
        progress.clear();
        self.finish()?;
        let mut summary = self.machine.summary(&stop, started_at, begun.elapsed());
        let sanitized = self.machine.finish_sanitizer().map(|sanitizer| {
            let told = Sanitized::new(&sanitizer, &self.machine.symbols());
            summary.sanitizer = Some(told.json.clone());
            told
        });
        let code = self.report(&stop, &summary)?;
        let Some(told) = sanitized else { return Ok(code) };
        if self.output.summary == SummaryForm::Text {
            print(&format!("\n{}", told.text))?;
        }
        Ok(if told.errors > 0 && code == OK { FAILED } else { code })
    }

    /// Whether a snapshot is still to be taken on the way.
    fn waits_for_snapshot(&self) -> bool {
        !self.output.snapshot_at.is_empty()
    }

    /// Where the next slice ends: at the snapshot if one is still to be taken, else at `--until`.
    fn goal(&self) -> Goal {
        let position = match self.output.snapshot_at.first() {
            Some(at) => at.position.clone(),
            None => self.output.until.clone(),
        };
        Goal { position, max_insns: self.output.max_insns, slice: Some(SLICE) }
    }

    /// Closes files; says if one could not be written.
    fn finish(&mut self) -> Result<(), Error> {
        self.machine.tracer().finish();
        if let Some((path, told)) = self.trace.take()
            && let Ok(result) = told.recv()
        {
            match result {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Error::Pipe),
                result => result.map_err(Error::file(&path))?,
            }
        }
        let captures = [&self.output.capture, &self.output.capture_wire];
        let named = captures.into_iter().flatten().next().map_or(Path::new("capture"), PathBuf::as_path);
        self.machine.finish_capture().map_err(Error::file(named))
    }

    fn report(&self, stop: &Stop, summary: &Summary) -> Result<u8, Error> {
        let broken = self.machine.broken_expectations(stop);
        match self.output.summary {
            SummaryForm::Text => print(&summary.to_text())?,
            SummaryForm::Json => print(&summary.to_json())?,
            SummaryForm::None => {}
        }
        for expectation in &broken {
            eprintln!("glassbox: {expectation}");
        }
        if let Some(position) = self.output.snapshot_at.first().and_then(|at| at.position.as_ref()) {
            eprintln!("glassbox: the run ended before {position}: no snapshot was taken");
            return Ok(FAILED);
        }
        Ok(match stop {
            Stop::TripleFault | Stop::Livelock => CRASHED,
            Stop::Slice => INTERRUPTED,
            Stop::Limit => LIMIT,
            Stop::Reached => OK,
            _ if self.output.until.is_some() => FAILED,
            _ if broken.is_empty() => OK,
            _ => FAILED,
        })
    }

    /// What is run.
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Every record of the run so far, if they were logged.
    pub(super) fn log(&self) -> Logged {
        self.log.as_ref().map(SharedLog::take_all).unwrap_or_default()
    }
}

/// Set by Ctrl-C and SIGTERM: the run ends with the slice in work, and its trace, capture and summary are whole. A second
/// signal ends the process at once.
fn interruptions() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Where signals can't be had they do what they always did.
        let _ = flag::register_conditional_default(signal, Arc::clone(&interrupted));
        let _ = flag::register(signal, Arc::clone(&interrupted));
    }
    interrupted
}

/// A file to write, or stdout for `-`.
pub(super) fn create(path: &Path) -> Result<Box<dyn Write + Send>, Error> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(File::create(path).map_err(Error::file(path))?))
}

/// Where a console's bytes go.
pub(super) enum Sink {
    Nowhere,
    Stdout,
    File(PathBuf, File),
}

impl Sink {
    /// `stdio`, `none` or a file; by default stdout, or nowhere if that is for something else.
    pub(super) fn open(place: Option<&Path>, quiet: bool) -> Result<Self, Error> {
        Ok(match place {
            None if quiet => Self::Nowhere,
            None => Self::Stdout,
            Some(path) if path == Path::new("stdio") || path == Path::new("-") => Self::Stdout,
            Some(path) if path == Path::new("none") => Self::Nowhere,
            Some(path) => Self::File(path.to_owned(), File::create(path).map_err(Error::file(path))?),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                match out.write_all(bytes).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Pipe),
                    result => result.map_err(Error::file(Path::new("standard output"))),
                }
            }
            Self::File(path, file) => file.write_all(bytes).map_err(Error::file(path)),
        }
    }
}
