//! `glassbox report`: a run and a journey in it as one page.

use super::journey::Run;
use super::{FAILED, OK};
use crate::error::Error;
use crate::units::Span;
use crate::view::report::Report;
use crate::view::{Journey, Subject};
use clap::Args;
use emu_core::VirtTime;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  glassbox report demo -o demo.html
  glassbox report demo --packet 5 --beside 6 -o two.html
  glassbox report demo --packet 5 --from 24ms --to 26ms -o window.html";

/// Arguments of `report`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArgs {
    /// A scenario file, the name of a built-in one, or a trace file with every kind
    #[arg(value_name = "SCENARIO|TRACE")]
    run: String,
    /// The page
    #[arg(short, long, value_name = "OUT.html")]
    output: PathBuf,
    /// Whose journey, counting frames in from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    packet: u64,
    /// Another packet's beside it
    #[arg(long, value_name = "N")]
    beside: Option<u64>,
    /// The timeline shows what happened from there ...
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<Span>,
    /// ... to there; without, what happened around the journey
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<Span>,
}

/// `glassbox report`.
pub(super) fn report(args: &ReportArgs) -> Result<u8, Error> {
    let run = Run::load(&args.run)?;
    let mut journeys = Vec::new();
    for packet in [Some(args.packet), args.beside].into_iter().flatten() {
        let Some(journey) = Journey::of(&run.log, Subject::In(packet)) else {
            eprintln!("glassbox: {}: no packet {packet} came in", args.run);
            return Ok(FAILED);
        };
        journeys.push(journey);
    }
    let report = Report {
        title: &run.title,
        run: &args.run,
        records: &run.log.records,
        journeys: &journeys,
        window: args.from.zip(args.to).map(|(from, to)| [from, to].map(|at| VirtTime::ZERO.after(at.0))),
        figures: run.figures,
        mappings: run.mappings,
    };
    std::fs::write(&args.output, report.to_html()).map_err(Error::file(&args.output))?;
    Ok(OK)
}
