//! `glassbox restore`: go on from a snapshot.

use super::run::{Output, Session};
use crate::error::Error;
use crate::machine::snapshot;
use clap::Args;
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
    #[command(flatten)]
    output: Output,
}

/// Goes on to the end, as `run` would have.
pub(super) fn restore(args: RestoreArgs) -> Result<u8, Error> {
    let machine = snapshot::load(&args.snapshot)?;
    Session::new(machine, args.output, None)?.run()
}
