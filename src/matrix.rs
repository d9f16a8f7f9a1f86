//! One guest on many platforms: how each run ends, and where it fails.

use crate::error::Error;
use crate::machine::{Goal, Machine, Stop, Summary};
use crate::profile::Profile;
use crate::scenario::Scenario;
use serde_json::{Value, json};
use std::time::Duration;

/// What a run on one platform came to.
#[derive(Clone, Debug)]
pub struct Row {
    /// The platform.
    pub platform: Profile,
    /// The figures.
    pub summary: Summary,
    /// Expectations of the scenario that were not met, or how the guest crashed.
    pub broken: Vec<String>,
    /// Device requests that a unit was asked about.
    pub requests: u64,
    /// Interrupts that a unit was asked about.
    pub messages: u64,
    /// The last lines on the guest's console.
    pub last: String,
}

impl Row {
    /// Whether all was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.broken.is_empty()
    }

    /// One line: what was not as expected, and the guest's last words.
    #[must_use]
    pub fn place(&self) -> String {
        if self.passed() {
            return String::new();
        }
        format!("{}; the guest's last words: {}", self.broken.join("; "), self.last)
    }
}

/// Lines of the guest's that are kept: programs often say last that they give up, and before that why.
const LAST_LINES: usize = 2;

/// Runs the scenario on a platform.
pub fn run(scenario: &Scenario, platform: Profile) -> Result<Row, Error> {
    let mut machine = Machine::new(Scenario { platform, ..scenario.clone() })?;
    let stop = machine.run(&Goal::default());
    let mut broken = machine.broken_expectations(&stop);
    if stop == Stop::Limit {
        broken.push("a limit was reached".to_owned());
    }
    let serial = String::from_utf8_lossy(&machine.take_serial()).into_owned();
    let said: Vec<&str> = serial.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = said[said.len().saturating_sub(LAST_LINES)..].join(" / ");
    let stats = machine.iommu_stats();
    let total = |count: fn(&emu_iommu::Stats) -> u64| stats.iter().map(count).fold(0, u64::saturating_add);
    Ok(Row {
        platform,
        summary: machine.summary(&stop, 0, Duration::ZERO),
        broken,
        requests: total(|stats| stats.context_hits.saturating_add(stats.context_misses)),
        messages: total(|stats| stats.interrupt_hits.saturating_add(stats.interrupt_misses)),
        last,
    })
}

const HEADS: [&str; 9] = [
    "platform",
    "result",
    "ended by",
    "frames in",
    "out",
    "DMA asked",
    "IRQs asked",
    "faults",
    "where it fails",
];

/// The rows as a table for people: the same for the same runs.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let result = if row.passed() { "ok" } else { "FAILED" };
        let Summary { frames_in, frames_out, dmar_faults, exit, .. } = &row.summary;
        [
            row.platform.name(),
            result.to_owned(),
            exit.clone(),
            frames_in.to_string(),
            frames_out.to_string(),
            row.requests.to_string(),
            row.messages.to_string(),
            dmar_faults.to_string(),
            row.place(),
        ]
    };
    let lines: Vec<[String; 9]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 9] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; 9]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

/// The same for programs.
#[must_use]
pub fn to_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "platform": row.platform.name(), "passed": row.passed(), "exit": row.summary.exit,
            "frames_in": row.summary.frames_in, "frames_out": row.summary.frames_out,
            "requests": row.requests, "messages": row.messages, "dmar_faults": row.summary.dmar_faults,
            "broken": row.broken, "last_words": row.last, "state_hash": row.summary.state_hash,
        })
    };
    rows.iter().map(row).collect()
}
