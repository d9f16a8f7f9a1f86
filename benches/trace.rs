//! What tracing costs: the same run with tracing off, with the kinds that a packet's way needs, and with everything, one after the
//! other and several times over, as ratios of their best times. The aims: at most 1.15 and 2.
//!
//! Times are the processor's, so that a busy host does not matter: of the thread that runs the machine, which is what a run is slowed by
//! where another core writes the file, and of all threads, which is what it is slowed by where there is only one.
//!
//! `cargo bench --bench trace` runs the demo with much traffic; `-- debian` boots Debian and replays its traffic too.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that can't go on fails")]

use cpu_time::{ProcessTime, ThreadTime};
use emu_core::VirtDuration;
use emu_core::trace::{TraceKind, TraceMask};
use emu_net::{Pacing, ReplayConfig};
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::{Network, Scenario};
use glassbox::units::Span;
use glassbox::view::file::{Meta, TraceFile};
use glassbox::view::{FileSink, Format};
use std::fs::File;
use std::time::Duration;

/// Rounds; each runs every variant once.
const ROUNDS: usize = 5;

fn demo() -> Scenario {
    let mut scenario = Scenario::load("demo").unwrap();
    if let Network::Replay { pacing, start, options, .. } = &mut scenario.network {
        *pacing = Pacing::FramesPerSecond(50_000);
        *start = Span(VirtDuration::from_ms(20));
        *options = ReplayConfig { loops: 1000, ..ReplayConfig::default() };
    }
    scenario
}

fn debian() -> Scenario {
    let mut scenario = Scenario::load("debian").unwrap();
    scenario.prepare(|_| {}).unwrap();
    scenario
}

/// Processor time since a moment: of this thread, and of all.
struct Spent(ThreadTime, ProcessTime);

impl Spent {
    fn begin() -> Self {
        Self(ThreadTime::now(), ProcessTime::now())
    }

    fn so_far(&self) -> [Duration; 2] {
        [self.0.elapsed(), self.1.elapsed()]
    }
}

/// One run: how long, and what the trace has.
fn run(scenario: &Scenario, mask: Option<TraceMask>) -> ([Duration; 2], u64, u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut machine = Machine::new(scenario.clone()).unwrap();
    let spent = Spent::begin();
    let told = mask.map(|mask| {
        let out = File::create(file.path()).unwrap();
        let (sink, told) = FileSink::new(Format::Binary, Meta::new(&scenario.title, mask), Box::new(out));
        machine.tracer().attach(mask, Box::new(sink));
        told
    });
    machine.run(&Goal::default());
    machine.tracer().finish();
    let Some(told) = told else { return (spent.so_far(), 0, 0) };
    told.recv().unwrap().unwrap();
    let took = spent.so_far();
    let records = TraceFile::open(file.path()).unwrap().index().map(|block| block.records).sum();
    (took, records, file.path().metadata().unwrap().len())
}

fn compare(name: &str, scenario: &Scenario) {
    let path = [TraceKind::Dma, TraceKind::Irq, TraceKind::Net];
    let path = path.into_iter().fold(TraceMask::NONE, TraceMask::with);
    let variants = [("off", None), ("dma,irq,net", Some(path)), ("everything", Some(TraceMask::ALL))];
    let mut best = [[Duration::MAX; 2]; 3];
    let mut kept = [(0, 0); 3];
    for _ in 0..ROUNDS {
        for (at, (_, mask)) in variants.iter().enumerate() {
            let (took, records, bytes) = run(scenario, *mask);
            best[at] = [0, 1].map(|which| best[at][which].min(took[which]));
            kept[at] = (records, bytes);
        }
    }
    println!("{name}: ratios of the best of {ROUNDS}, written to a file: the machine's thread, all threads");
    for ((variant, _), (took, (records, bytes))) in variants.iter().zip(best.iter().zip(kept)) {
        let [thread, all] = [0, 1].map(|which| took[which].as_secs_f64() / best[0][which].as_secs_f64());
        let each = if records == 0 { 0.0 } else { bytes as f64 / records as f64 };
        println!("  {variant:<12} {thread:>6.2} {all:>6.2}  {records:>10} records, {each:.1} bytes each");
    }
}

fn main() {
    compare("demo, 41000 frames", &demo());
    if std::env::args().any(|argument| argument == "debian") {
        compare("Debian boots and answers", &debian());
    }
}
