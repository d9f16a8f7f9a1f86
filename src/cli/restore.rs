//! `glassbox restore`: go on from a snapshot.

use super::run::{Output, Session};
use crate::error::Error;
use crate::machine::snapshot;
use clap::Args;
use emu_core::cpu::Tier;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  glassbox restore third.snap
  glassbox restore third.snap --until time=30ms --trace rest.jsonl";

/// Arguments of `restore`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: PathBuf,
    /// How to execute: step, interp or jit
    #[arg(long, value_name = "TIER")]
    engine: Option<Tier>,
    #[command(flatten)]
    output: Output,
}

/// Goes on to the end, as `run` would have.
pub(super) fn restore(args: RestoreArgs) -> Result<u8, Error> {
    let mut machine = snapshot::load(&args.snapshot)?;
    machine.set_engine(args.engine.unwrap_or_default());
    Session::new(machine, args.output, None)?.run()
}
