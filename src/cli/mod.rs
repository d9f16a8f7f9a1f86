//! The command line. One file a subcommand; none of them knows how the machine works inside.

mod bisect;
mod debug;
mod explain;
mod explore;
mod guest;
mod inspect;
mod journey;
mod matrix;
mod overrides;
mod progress;
mod record;
mod report;
mod restore;
mod run;
mod snapshot;
mod test;
mod trace;
mod tui;

use crate::error::Error;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// As expected.
pub const OK: u8 = 0;
/// An expectation failed.
pub const FAILED: u8 = 1;
/// Bad arguments or a bad file.
pub const USAGE: u8 = 2;
/// The guest crashed.
pub const CRASHED: u8 = 3;
/// Someone pressed Ctrl-C: 128 and the signal's number, as shells have it.
pub const INTERRUPTED: u8 = 130;
/// A limit was reached.
pub const LIMIT: u8 = 124;

const ABOUT: &str = "A pure-software x86-64 machine that you can see into.

Without a subcommand it runs the built-in demo: a guest that answers ARP, ping and UDP behind a VT-d unit, \
and the journey of one packet through the machine.";

const EXAMPLES: &str = "Examples:
  glassbox run demo --trace demo.jsonl --capture demo.pcapng
  glassbox journey demo --packet 3";

#[derive(Parser)]
#[command(name = "glassbox", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: run::RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario
    Run(run::RunArgs),
    /// Show one packet's way, step by step, each with its time and cause
    Journey(journey::JourneyArgs),
    /// Look into a run while it runs: step, go back, registers, tables, trace
    Tui(tui::TuiArgs),
    /// Filter, count and convert a trace file
    Trace(trace::TraceArgs),
    /// Write a run and a journey in it as one page to step through
    Report(report::ReportArgs),
    /// Say what a register, fault, kind of record, packet or record is
    Explain(explain::ExplainArgs),
    /// Look into a snapshot, or a scenario at a position
    Inspect(inspect::InspectArgs),
    /// Make a guest from a distribution's packages
    Guest(guest::GuestArgs),
    /// Go on from a snapshot
    Restore(restore::RestoreArgs),
    /// Say what a snapshot is, and what two differ in
    Snapshot(snapshot::SnapshotArgs),
    /// Run a scenario and keep what proves a later run to be the same
    Record(record::RecordArgs),
    /// Run a recording again, and prove that it is the same run
    Replay(record::ReplayArgs),
    /// Find the first instruction and the first record at which two runs part
    Bisect(bisect::BisectArgs),
    /// What would happen if: many runs from one moment, each with something else changed
    Explore(explore::ExploreArgs),
    /// Serve gdb: forwards and backwards, with watchpoints on what devices do
    Debug(debug::DebugArgs),
    /// Run scenarios against what is expected of them
    Test(test::TestArgs),
    /// Run a scenario on every platform, and say where it fails
    Matrix(matrix::MatrixArgs),
}

/// Runs the command line; the process ends with its answer.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Clap's own words, on stdout for --help; nothing is left to do if they can't be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { OK });
        }
    };
    let result = match args.command {
        None => run::demo(args.demo),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Journey(args)) => journey::journey(&args),
        Some(Command::Tui(args)) => tui::tui(args),
        Some(Command::Trace(args)) => trace::trace(&args),
        Some(Command::Report(args)) => report::report(&args),
        Some(Command::Explain(args)) => explain::explain(&args),
        Some(Command::Inspect(args)) => inspect::inspect(&args),
        Some(Command::Guest(args)) => guest::guest(&args),
        Some(Command::Restore(args)) => restore::restore(args),
        Some(Command::Snapshot(args)) => snapshot::snapshot(&args),
        Some(Command::Record(args)) => record::record(args),
        Some(Command::Replay(args)) => record::replay(args),
        Some(Command::Bisect(args)) => bisect::bisect(&args),
        Some(Command::Explore(args)) => explore::explore(&args),
        Some(Command::Debug(args)) => debug::debug(&args),
        Some(Command::Test(args)) => test::test(&args),
        Some(Command::Matrix(args)) => matrix::matrix(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Error::Pipe) => ExitCode::from(OK),
        Err(error) => {
            eprintln!("glassbox: {error}");
            ExitCode::from(USAGE)
        }
    }
}

/// Prints to stdout; a reader that has gone (`| head`) ends the command quietly.
fn print(text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Error::Pipe),
        Err(source) => Err(Error::File { path: "standard output".into(), source }),
        Ok(()) => Ok(()),
    }
}
