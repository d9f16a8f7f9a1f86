//! `glassbox journey`: one packet's way through the machine.

use super::run::{Output, Session};
use super::{FAILED, print};
use crate::error::Error;
use crate::machine::Machine;
use crate::scenario::Scenario;
use crate::view::Journey;
use clap::Args;
use emu_core::trace::SharedLog;

const EXAMPLES: &str = "Examples:
  glassbox journey demo --packet 3
  glassbox journey my.ron --packet 120";

/// Arguments of `journey`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct JourneyArgs {
    /// A scenario file, or the name of a built-in one
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// Which packet, counting frames in from 0
    #[arg(long, value_name = "N")]
    packet: u64,
}

/// Runs the scenario and prints the packet's journey; the run itself is silent.
pub(super) fn journey(args: &JourneyArgs) -> Result<u8, Error> {
    let log = SharedLog::default();
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.prepare(super::guest::tell)?;
    let machine = Machine::new(scenario)?;
    let mut session = Session::new(machine, Output::silent(), Some(log))?;
    let code = session.run()?;
    match Journey::follow(&session.records(), args.packet) {
        Some(journey) => {
            print(&journey.to_text())?;
            Ok(code)
        }
        None => {
            eprintln!("glassbox: {}: no packet {} came in", args.scenario, args.packet);
            Ok(FAILED)
        }
    }
}
