//! `glassbox explore`: runs that part at one moment, each with something else changed, in a table.

use super::{FAILED, OK, print};
use crate::error::Error;
use crate::explore::{Change, Changes, Outcome, Point};
use crate::machine::{Goal, Machine, Stop};
use crate::position::Position;
use crate::scenario::Scenario;
use clap::Args;
use std::fmt::Write as _;

const EXAMPLES: &str = "Examples:
  glassbox explore demo --at packet=2 --vary drop=3..9
  glassbox explore demo --at packet=2 --vary byte=3:20 --only-different --json";

/// Arguments of `explore`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExploreArgs {
    /// A scenario file, or the name of a built-in one
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// Where the runs part: insns=N, time=2s, packet=N, record=N or serial=TEXT
    #[arg(long, value_name = "POSITION")]
    at: Position,
    /// What is changed, a run each: seed=A..B (RDRAND from there on), drop=A..B (frames that are lost), byte=PACKET:OFFSET (all values of
    /// a byte); several are one after the other
    #[arg(long, value_name = "CHANGES", required = true)]
    vary: Vec<Changes>,
    /// Give a run up after that many instructions from the moment on
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Leave out runs that go like the unchanged one
    #[arg(long)]
    only_different: bool,
    /// How many at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// One JSON object a run
    #[arg(long)]
    json: bool,
}

/// Prints the table; the first row is the run as it is.
pub(super) fn explore(args: &ExploreArgs) -> Result<u8, Error> {
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.prepare(super::guest::tell)?;
    let mut machine = Machine::new(scenario)?;
    let stop = machine.run(&Goal { position: Some(args.at.clone()), ..Goal::default() });
    if stop != Stop::Reached {
        eprintln!("glassbox: the run ended by {} before {}", stop.name(), args.at);
        return Ok(FAILED);
    }
    let mut changes = vec![Change::None];
    changes.extend(args.vary.iter().flat_map(|changes| changes.0.iter().copied()));
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let outcomes = Point::of(&mut machine).explore(&changes, args.limit, jobs)?;
    let mut text = String::new();
    if !args.json {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{:>20}  {:>12}  {:>14}  sent  faults  state", "change", "exit", "instructions");
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        let alike = outcome.alike(&outcomes[0]);
        if index == 0 || !args.only_different || !alike {
            text.push_str(&if args.json { json(outcome, alike) } else { row(outcome, index > 0 && alike) });
        }
    }
    print(&text)?;
    Ok(OK)
}

fn row(outcome: &Outcome, alike: bool) -> String {
    let Outcome { change, exit, insns, frames_out, faults, state } = outcome;
    let state = if alike { "the same" } else { &state[..16] };
    format!("{:>20}  {exit:>12}  {insns:>14}  {frames_out:>4}  {faults:>6}  {state}\n", change.to_string())
}

fn json(outcome: &Outcome, alike: bool) -> String {
    let Outcome { change, exit, insns, frames_out, faults, state } = outcome;
    let object = serde_json::json!({
        "change": change.to_string(), "exit": exit, "instructions": insns, "frames_out": frames_out,
        "dmar_faults": faults, "state_hash": state, "same": alike,
    });
    format!("{object}\n")
}
