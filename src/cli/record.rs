//! `glassbox record` and `replay`: a run that can prove later that it is the same run.

use super::overrides::Overrides;
use super::run::{Output, Session};
use super::{CRASHED, FAILED, LIMIT, OK, print};
use crate::error::Error;
use crate::machine::{Machine, Stop};
use crate::position::Position;
use crate::record::{self, Making, Recording, Verdict};
use crate::scenario::Scenario;
use clap::Args;
use std::path::PathBuf;

const RECORD_EXAMPLES: &str = "Examples:
  glassbox record demo -o demo.rec && glassbox replay demo.rec --verify
  glassbox record debian -o boot.rec --every insns=50000000 --carry";

const REPLAY_EXAMPLES: &str = "Examples:
  glassbox replay demo.rec --verify
  glassbox replay demo.rec --until insns=100000 --trace start.jsonl";

/// Arguments of `record`.
#[derive(Args)]
#[command(after_help = RECORD_EXAMPLES)]
pub(super) struct RecordArgs {
    /// A scenario file, or the name of a built-in one
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// The recording
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Instructions between two checkpoints, insns=N [default: so that there are about a hundred]
    #[arg(long, value_name = "POSITION")]
    every: Option<Position>,
    /// Put copies of the files that the run reads beside it, so that it can be replayed on another host
    #[arg(long)]
    carry: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Arguments of `replay`.
#[derive(Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(super) struct ReplayArgs {
    /// The recording
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Compare with the recording at every checkpoint; the exit code is 1 if the run is another
    #[arg(long, conflicts_with_all = ["capture", "capture_wire", "trace", "until", "snapshot_at", "max_insns"])]
    verify: bool,
    #[command(flatten)]
    output: Output,
}

/// A scenario by name, with what the command line changes in it.
pub(super) fn scenario(name: Option<&str>, overrides: Overrides) -> Result<Scenario, Error> {
    let mut scenario = match name {
        Some(name) => Scenario::load(name)?,
        None if overrides.name_a_guest() => Scenario::bare(),
        None => Scenario::load("demo")?,
    };
    overrides.apply(&mut scenario)?;
    scenario.prepare(super::guest::tell)?;
    Ok(scenario)
}

/// `glassbox record`.
pub(super) fn record(args: RecordArgs) -> Result<u8, Error> {
    let every = match args.every {
        Some(Position::Insns(insns)) if insns > 0 => Some(insns),
        Some(other) => {
            let reason = format!("`{other}` can't be between two checkpoints: use insns=N");
            return Err(Error::Config { part: "--every", reason });
        }
        None => None,
    };
    let machine = Machine::new(scenario(args.scenario.as_deref(), args.overrides)?)?;
    let (recording, machine, stop) = record::record(machine, Making { every }, show)?;
    if args.carry {
        record::carry(&recording, &args.output)?;
    }
    recording.save(&args.output)?;
    let count = recording.checkpoints.len();
    print(&format!(
        "recorded {} instructions with {count} checkpoints into {}\n",
        machine.insns(),
        args.output.display()
    ))?;
    Ok(match stop {
        Stop::TripleFault | Stop::Livelock => CRASHED,
        Stop::Limit => LIMIT,
        _ if machine.broken_expectations(&stop).is_empty() => OK,
        _ => FAILED,
    })
}

/// What the guest prints; a terminal that has gone is noticed when the outcome is printed.
fn show(serial: &[u8]) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(serial);
}

/// `glassbox replay`.
pub(super) fn replay(args: ReplayArgs) -> Result<u8, Error> {
    let recording = Recording::load(&args.recording)?;
    if !args.verify {
        return Session::new(recording.machine()?, args.output, None)?.run();
    }
    let (verdict, ..) = record::verify(&recording, show)?;
    match verdict {
        Verdict::Same(count) => {
            print(&format!("the same run: {count} of {count} checkpoints, serial output and capture\n"))?;
            Ok(OK)
        }
        Verdict::Parts(parting) => {
            print(&parting.to_string())?;
            let (name, same) = (args.recording.display(), parting.last_same.map_or(0, |moment| moment.insns));
            print(&format!(
                "\nto look: glassbox replay {name} --until insns={} --snapshot-at insns={same}=before.snap\n         \
                 with the program that recorded it as well, then glassbox snapshot diff; or, of two scenarios, glassbox bisect A B\n",
                parting.replayed.insns
            ))?;
            Ok(FAILED)
        }
    }
}
