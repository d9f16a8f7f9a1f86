//! `glassbox matrix`: one guest on many platforms.

use super::overrides::Overrides;
use super::{FAILED, OK, print};
use crate::error::Error;
use crate::matrix;
use crate::profile::Profile;
use crate::scenario::Scenario;
use clap::Args;

const EXAMPLES: &str = "Examples:
  glassbox matrix demo
  glassbox matrix debian --on standard,qemu,x2apic-opt-out,bad-unit-silent --json";

/// Arguments of `matrix`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MatrixArgs {
    /// A scenario file, or the name of a built-in one
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// Only on these platforms, comma-separated
    #[arg(long, value_name = "PLATFORMS", value_delimiter = ',')]
    on: Vec<Profile>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// Runs the scenario on each; the exit code is 1 if one run is not as the scenario expects.
pub(super) fn matrix(args: MatrixArgs) -> Result<u8, Error> {
    let mut scenario = Scenario::load(&args.scenario)?;
    args.overrides.apply(&mut scenario)?;
    scenario.prepare(super::guest::tell)?;
    let platforms = if args.on.is_empty() { Profile::all() } else { &args.on };
    let rows: Vec<_> =
        platforms.iter().map(|platform| matrix::run(&scenario, *platform)).collect::<Result<_, _>>()?;
    if args.json {
        print(&format!("{:#}\n", matrix::to_json(&rows)))?;
    } else {
        print(&matrix::table(&rows))?;
    }
    Ok(if rows.iter().all(matrix::Row::passed) { OK } else { FAILED })
}
