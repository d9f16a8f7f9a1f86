//! `glassbox journey`: one packet's way through the machine, or two side by side; from a scenario that is run for it, or from
//! a trace file.

use super::run::{Output, Session};
use super::{FAILED, OK, print};
use crate::error::Error;
use crate::machine::{Goal, Machine};
use crate::position::Position;
use crate::scenario::Scenario;
use crate::view::file::TraceFile;
use crate::view::{Journey, Subject, tell};
use clap::Args;
use emu_core::Slot;
use emu_core::trace::{Logged, SharedLog, TraceEvent};
use serde_json::Value;
use std::path::Path;

const EXAMPLES: &str = "Examples:
  glassbox journey demo --packet 3
  glassbox journey demo --sent 0 --json
  glassbox journey demo --compare 5 6
  glassbox journey strict.trace --packet 7 --compare strict.trace lazy.trace";

/// Arguments of `journey`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct JourneyArgs {
    /// A scenario file, the name of a built-in one, or a trace file with every kind
    #[arg(value_name = "SCENARIO|TRACE")]
    run: String,
    /// Which packet, counting frames in from 0
    #[arg(long, value_name = "N", required_unless_present_any = ["sent", "compare"])]
    packet: Option<u64>,
    /// Which frame that the guest sent, counting from 0
    #[arg(long, value_name = "N", conflicts_with = "packet")]
    sent: Option<u64>,
    /// Two side by side: packets (3 5), runs (a.trace b.trace), or both (a.trace:3 b.trace:5)
    #[arg(long, value_names = ["A", "B"], num_args = 2)]
    compare: Option<Vec<String>>,
    /// Run the scenario once more, to where the handler looks at its device, and name the guest's functions there
    #[arg(long, conflicts_with = "compare")]
    symbols: bool,
    /// As JSON: the frame, stages, figures, steps with what their numbers mean
    #[arg(long, conflicts_with = "compare")]
    json: bool,
}

/// A run's records.
pub(super) struct Run {
    name: String,
    /// The scenario's.
    pub(super) title: String,
    pub(super) log: Logged,
    /// The summary, if a machine was run.
    pub(super) figures: Option<Value>,
    /// What its card can reach at the end.
    pub(super) mappings: Option<Value>,
}

impl Run {
    /// From a trace file, or of a scenario, which is run silently.
    pub(super) fn load(name: &str) -> Result<Self, Error> {
        let path = Path::new(name);
        if TraceFile::is_one(path) {
            let mut file = TraceFile::open(path).map_err(Error::file(path))?;
            if !file.meta().is_whole() {
                let kinds = file.meta().kinds.join(",");
                eprintln!("glassbox: {name} has only records of {kinds}: the journey has holes");
            }
            let (title, log) = (file.meta().title.clone(), file.log().map_err(Error::file(path))?);
            return Ok(Self { name: name.to_owned(), title, log, figures: None, mappings: None });
        }
        let mut scenario = Scenario::load(name)?;
        scenario.prepare(super::guest::tell)?;
        let title = scenario.title.clone();
        let mut session =
            Session::new(Machine::new(scenario)?, Output::silent(), Some(SharedLog::default()))?;
        session.run()?;
        let machine = session.machine();
        let (figures, mappings) = (Some(machine.figures()), Some(machine.mappings()));
        Ok(Self { name: name.to_owned(), title, log: session.log(), figures, mappings })
    }

    fn follow(&self, subject: Subject) -> Option<Journey> {
        let journey = Journey::of(&self.log, subject);
        if journey.is_none() {
            let what = match subject {
                Subject::In(_) => "came in",
                Subject::Out(_) => "went out",
            };
            eprintln!("glassbox: {}: no {subject} {what}", self.name);
        }
        journey
    }
}

/// `glassbox journey`.
pub(super) fn journey(args: &JourneyArgs) -> Result<u8, Error> {
    let subject = match (args.sent, args.packet) {
        (Some(sent), _) => Subject::Out(sent),
        (None, packet) => Subject::In(packet.unwrap_or(0)),
    };
    let run = Run::load(&args.run)?;
    if let Some(sides) = &args.compare {
        return compare(&run, subject, sides);
    }
    let Some(journey) = run.follow(subject) else { return Ok(FAILED) };
    print(&if args.json { format!("{:#}\n", journey.to_json()) } else { journey.to_text() })?;
    if args.symbols {
        print(&handler(&args.run, &journey)?)?;
    }
    Ok(OK)
}

/// The guest's functions that the interrupt led to: the same run again, stopped where the handler first looks at the card.
fn handler(name: &str, journey: &Journey) -> Result<String, Error> {
    let taken = journey.steps.iter().find_map(|step| match step.event {
        TraceEvent::CpuInterrupt { vector, .. } => Some((vector, step.id)),
        _ => None,
    });
    let looked = journey.steps.iter().find(|step| {
        matches!((step.source, step.event), (Slot::Nic(_), TraceEvent::MmioRead { .. })) && taken.is_some()
    });
    let (Some((vector, _)), Some(looked)) = (taken, looked) else {
        return Ok("no handler looked at the card\n".to_owned());
    };
    let mut scenario = Scenario::load(name)?;
    scenario.prepare(super::guest::tell)?;
    let mut machine = Machine::new(scenario)?;
    machine.run(&Goal { position: Some(Position::Record(looked.id.0)), ..Goal::default() });
    let symbols = machine.symbols();
    let told = |address: u64| {
        symbols.name(address).map_or_else(|| format!("{address:#x}"), |name| format!("{name} ({address:#x})"))
    };
    let entry = machine.handler_of(vector).map_or_else(|| "?".to_owned(), told);
    Ok(format!(
        "vector {vector:#x} enters the guest at {entry}; the card is looked at in {}\n",
        told(machine.rip())
    ))
}

fn compare(run: &Run, subject: Subject, sides: &[String]) -> Result<u8, Error> {
    let mut journeys = Vec::new();
    for side in sides {
        let (name, packet) = side_of(side);
        let subject = match (subject, packet) {
            (Subject::In(_), Some(packet)) => Subject::In(packet),
            (Subject::Out(_), Some(packet)) => Subject::Out(packet),
            (subject, None) => subject,
        };
        let found = match name {
            Some(name) if name != run.name => Run::load(name)?.follow(subject),
            _ => run.follow(subject),
        };
        let Some(found) = found else { return Ok(FAILED) };
        journeys.push(found);
    }
    if let ([a, b], [first, second]) = (sides, &journeys[..]) {
        print(&tell::compare([a, b], [first, second]))?;
    }
    Ok(OK)
}

/// `3`, `a.trace` or `a.trace:3`.
fn side_of(text: &str) -> (Option<&str>, Option<u64>) {
    if let Ok(packet) = text.parse() {
        return (None, Some(packet));
    }
    match text.rsplit_once(':').map(|(name, packet)| (name, packet.parse())) {
        Some((name, Ok(packet))) => (Some(name), Some(packet)),
        _ => (Some(text), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_names_a_packet_a_run_or_both() {
        assert_eq!(side_of("3"), (None, Some(3)));
        assert_eq!(side_of("a.trace"), (Some("a.trace"), None));
        assert_eq!(side_of("dir/a.trace:12"), (Some("dir/a.trace"), Some(12)));
        assert_eq!(side_of("a:b"), (Some("a:b"), None));
    }
}
