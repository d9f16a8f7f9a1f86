//! `glassbox tui`: look into a run while it runs.

use super::OK;
use super::overrides::Overrides;
use crate::error::Error;
use crate::machine::{Machine, snapshot};
use crate::scenario::Scenario;
use crate::tui;
use clap::Args;
use std::io::{self, IsTerminal as _};
use std::path::Path;

const EXAMPLES: &str = "Examples:
  glassbox tui demo
  glassbox tui third.snap";

/// Arguments of `tui`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TuiArgs {
    /// A scenario file, the name of a built-in one, or a snapshot
    #[arg(value_name = "SCENARIO|SNAPSHOT", default_value = "demo")]
    run: String,
    #[command(flatten)]
    overrides: Overrides,
}

fn machine(args: TuiArgs) -> Result<Machine, Error> {
    let path = Path::new(&args.run);
    if path.extension().is_some_and(|extension| extension == "snap") {
        return snapshot::load(path);
    }
    let mut scenario =
        if args.overrides.name_a_guest() { Scenario::bare() } else { Scenario::load(&args.run)? };
    args.overrides.apply(&mut scenario)?;
    scenario.prepare(super::guest::tell)?;
    Machine::new(scenario)
}

/// `glassbox tui`.
pub(super) fn tui(args: TuiArgs) -> Result<u8, Error> {
    let refused = Error::file(Path::new("standard output"));
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(refused(io::Error::other("the inspector needs a terminal")));
    }
    // As shells have it: 128 and the signal's number.
    let ended = tui::inspect(machine(args)?).map_err(refused)?;
    Ok(ended.map_or(OK, |signal| 128 + u8::try_from(signal).unwrap_or(0)))
}
