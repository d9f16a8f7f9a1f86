//! `glassbox bisect`: where two runs part.

use super::{FAILED, OK, print};
use crate::bisect;
use crate::error::Error;
use crate::machine::Machine;
use crate::record::Recording;
use crate::scenario::Scenario;
use clap::Args;
use std::path::Path;

const EXAMPLES: &str = "Examples:
  glassbox bisect demo demo-stale
  glassbox bisect before.rec after.rec";

/// Arguments of `bisect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BisectArgs {
    /// A scenario or recording
    #[arg(value_name = "A")]
    a: String,
    /// Another
    #[arg(value_name = "B")]
    b: String,
}

fn machine(name: &str) -> Result<Machine, Error> {
    if Recording::is_one(Path::new(name)) {
        return Recording::load(Path::new(name))?.machine();
    }
    let mut scenario = Scenario::load(name)?;
    scenario.prepare(super::guest::tell)?;
    Machine::new(scenario)
}

/// Prints where they part; the exit code is 1 if they do.
pub(super) fn bisect(args: &BisectArgs) -> Result<u8, Error> {
    let told = |from: u64, to: u64| {
        if to - from >= 1 << 20 {
            eprintln!("glassbox: the same until insns={from}, looking at insns={to}");
        }
    };
    match bisect::bisect(machine(&args.a)?, machine(&args.b)?, told)? {
        Some(finding) => {
            print(&finding.to_string())?;
            Ok(FAILED)
        }
        None => {
            print("no difference: the same run to its end\n")?;
            Ok(OK)
        }
    }
}
