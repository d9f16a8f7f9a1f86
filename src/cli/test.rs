//! `glassbox test`: scenarios against their expectations.

use super::{FAILED, OK, print};
use crate::error::Error;
use crate::machine::snapshot::atomic;
use crate::regress::{self, Case};
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  glassbox test tests/runs
  glassbox test tests/runs --bless
  glassbox test tests/runs --only echo --junit results.xml";

/// Arguments of `test`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArgs {
    /// A folder of scenarios, or one scenario
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Accept what the runs come to as what is expected from now on
    #[arg(long)]
    bless: bool,
    /// Only scenarios whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print results in the Test Anything Protocol
    #[arg(long)]
    tap: bool,
}

/// Runs them all; the exit code is 1 if one is not as expected.
pub(super) fn test(args: &TestArgs) -> Result<u8, Error> {
    let mut paths =
        if args.folder.is_dir() { regress::scenarios(&args.folder)? } else { vec![args.folder.clone()] };
    if let Some(only) = &args.only {
        paths.retain(|path| path.file_stem().is_some_and(|name| name.to_string_lossy().contains(only)));
    }
    if paths.is_empty() {
        let reason = format!("no scenario in {}", args.folder.display());
        return Err(Error::Config { part: "test", reason });
    }
    let mut cases = Vec::new();
    for path in &paths {
        let case = regress::check(path, args.bless)?;
        if !args.tap {
            print(&line(&case))?;
        }
        cases.push(case);
    }
    if args.tap {
        print(&regress::tap(&cases))?;
    }
    if let Some(path) = &args.junit {
        let suite = args.folder.to_string_lossy();
        atomic::write(path, regress::junit(&suite, &cases).as_bytes()).map_err(Error::file(path))?;
    }
    let failed = cases.iter().filter(|case| !case.passed()).count();
    if !args.tap {
        print(&format!("{} of {} as expected\n", cases.len() - failed, cases.len()))?;
    }
    Ok(if failed == 0 { OK } else { FAILED })
}

fn line(case: &Case) -> String {
    let word = match (case.passed(), case.blessed) {
        (false, _) => "FAILED",
        (true, true) => "accepted",
        (true, false) => "ok",
    };
    let indented = |difference: &String| format!("    {}\n", difference.replace('\n', "\n    "));
    format!("{:<8}  {}\n{}", word, case.name, case.differences.iter().map(indented).collect::<String>())
}
