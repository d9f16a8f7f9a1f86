//! A journey told: as text for the terminal, as JSON, and two of them side by side.

use super::journey::{Journey, Subject};
use super::stages::Stage;
use super::{bits, frame, jsonl, plain, text};
use emu_core::trace::{TraceEvent, TraceRecord};
use emu_core::{VirtDuration, VirtTime};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Bytes of a DMA shown in a line.
const BYTES_SHOWN: usize = 32;

/// One line. Writing to a String cannot fail.
macro_rules! row {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

impl Journey {
    /// For the terminal: the frame, the stages, and every step under its stage with what its raw numbers mean.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        row!(out, "{}{}", self.subject, colon(&frame::summary(self.frame())));
        for layer in frame::layers(self.frame()) {
            row!(out, "    {layer}");
        }
        if let (Subject::In(_), Some((step, bytes))) = (self.subject, self.reply()) {
            row!(out, "{}{}", text::describe(step.source, &step.event), colon(&frame::summary(bytes)));
        }
        let stages = self.stages();
        out.push_str(&stage_table(&stages));
        self.tell_steps(&stages, &mut out);
        if let (Subject::In(_), Some(latency)) = (self.subject, self.latency()) {
            row!(out, "from the frame's last bit in to the reply's last bit out: {latency}");
        }
        out
    }

    fn tell_steps(&self, stages: &[Stage], out: &mut String) {
        let mut stages = stages.iter().peekable();
        let mut heading = true;
        let mut before = self.steps.first().map_or(VirtTime::ZERO, |step| step.time);
        for step in &self.steps {
            if std::mem::take(&mut heading) {
                row!(out, "\n-- {}", stages.peek().map_or("and then", |stage| stage.name));
            }
            let waited = step.time.since(before);
            before = step.time;
            let cause = step.cause.map_or(String::new(), |cause| format!("  <- {cause}"));
            row!(
                out,
                "{}  {:>11}  {:>7}  {:<10} {}{cause}",
                text::time(step.time),
                delta(waited),
                step.id.to_string(),
                step.source.to_string(),
                text::describe(step.source, &step.event),
            );
            for line in self.meaning(step) {
                row!(out, "{:46} {line}", "");
            }
            if self.shared_interrupt && matches!(step.event, TraceEvent::FrameDelivered { .. }) {
                row!(out, "{:46} an interrupt was already on its way: its handler finds this frame too", "");
            }
            if stages.next_if(|stage| stage.end == step.id).is_some() {
                heading = true;
            }
        }
        out.push('\n');
    }

    /// What a step's raw numbers mean, and the bytes that it moved.
    #[must_use]
    pub fn meaning(&self, step: &TraceRecord) -> Vec<String> {
        let mut lines = bits::of(step);
        if let (TraceEvent::DmaRead { len, .. } | TraceEvent::DmaWrite { len, .. }, Some(bytes)) =
            (step.event, self.bytes.get(&step.id))
        {
            let shown: Vec<String> =
                bytes.iter().take(BYTES_SHOWN).map(|byte| format!("{byte:02x}")).collect();
            let more = if len as usize > BYTES_SHOWN { " ..." } else { "" };
            lines.push(format!("{}{more}", shown.join(" ")));
        }
        lines
    }

    /// For scripts and the report: `subject`, `packet`, `frame` (`summary`, `layers`), `reply`, `latency_ps`, `stages`, `figures`
    /// and `steps`, which are records as [`super::jsonl`] has them with their `meaning` and, for newcomers, `plain`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (direction, packet) = match self.subject {
            Subject::In(packet) => ("in", packet),
            Subject::Out(packet) => ("out", packet),
        };
        let told = |bytes: &[u8]| json!({"summary": frame::summary(bytes), "layers": frame::layers(bytes)});
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                let bytes = self.bytes.get(&step.id).map_or(&[][..], |bytes| bytes);
                let mut object = jsonl::object_with(step, bytes);
                object["meaning"] = json!(self.meaning(step));
                object["plain"] = json!(plain::words(&step.event));
                object
            })
            .collect();
        let total = total(&self.stages());
        let stages: Vec<Value> = self
            .stages()
            .iter()
            .map(|stage| {
                json!({
                    "name": stage.name, "begin_ps": stage.begin.0, "took_ps": stage.took.0, "end": stage.end.0,
                    "share": share(stage.took, total),
                })
            })
            .collect();
        json!({
            "direction": direction, "packet": packet, "frame": told(self.frame()),
            "reply": self.reply().map(|(_, bytes)| told(bytes)), "latency_ps": self.latency().map(|span| span.0),
            "shared_interrupt": self.shared_interrupt, "stages": stages, "figures": self.figures(), "steps": steps,
        })
    }
}

/// Two journeys side by side: what each stage took in both, and what each counted. `names` head the columns.
#[must_use]
pub fn compare(names: [&str; 2], journeys: [&Journey; 2]) -> String {
    let mut out = String::new();
    for (name, journey) in names.iter().zip(journeys) {
        row!(out, "{name}: {}{}", journey.subject, colon(&frame::summary(journey.frame())));
    }
    let stages = journeys.map(Journey::stages);
    let [first, second] = &stages;
    row!(out, "\n{:<48} {:>14} {:>14} {:>14}", "stage", names[0], names[1], "difference");
    for (name, pair) in paired(first, second) {
        let took = pair.map(|stage| stage.map(|stage| stage.took));
        row!(out, "{name:<48} {:>14} {:>14} {:>14}", span(took[0]), span(took[1]), difference(took));
    }
    let totals = [Some(total(first)), Some(total(second))];
    row!(out, "{:<48} {:>14} {:>14} {:>14}", "in all", span(totals[0]), span(totals[1]), difference(totals));
    row!(out, "");
    let figures = journeys.map(|journey| journey.figures().rows());
    for ((name, a), (_, b)) in figures[0].iter().zip(&figures[1]) {
        let apart = if a == b { String::new() } else { format!("{:+}", *b as i64 - *a as i64) };
        row!(out, "{name:<48} {a:>14} {b:>14} {apart:>14}");
    }
    out
}

/// Stages of both by name, in the order of the first with those that only the second has in their place.
fn paired<'s>(first: &'s [Stage], second: &'s [Stage]) -> Vec<(&'static str, [Option<&'s Stage>; 2])> {
    let mut pairs: Vec<(&'static str, [Option<&Stage>; 2])> =
        first.iter().map(|stage| (stage.name, [Some(stage), None])).collect();
    let mut after = 0;
    for stage in second {
        match pairs.iter().position(|(name, pair)| *name == stage.name && pair[1].is_none()) {
            Some(at) => {
                pairs[at].1[1] = Some(stage);
                after = at + 1;
            }
            None => {
                pairs.insert(after, (stage.name, [None, Some(stage)]));
                after += 1;
            }
        }
    }
    pairs
}

/// What each stage took, and its share.
#[must_use]
pub fn stage_table(stages: &[Stage]) -> String {
    let mut out = String::new();
    let total = total(stages);
    row!(out, "\n{:<48} {:>14} {:>8}  until", "stage", "took", "share");
    for stage in stages {
        let took = span(Some(stage.took));
        row!(out, "{:<48} {took:>14} {:>6.1} %  {}", stage.name, share(stage.took, total), stage.end);
    }
    row!(out, "{:<48} {:>14}", "in all", span(Some(total)));
    out
}

fn total(stages: &[Stage]) -> VirtDuration {
    stages.iter().fold(VirtDuration::ZERO, |sum, stage| sum.plus(stage.took))
}

/// In hundredths of the whole.
fn share(took: VirtDuration, total: VirtDuration) -> f64 {
    if total == VirtDuration::ZERO { 0.0 } else { took.0 as f64 * 100.0 / total.0 as f64 }
}

fn span(took: Option<VirtDuration>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| took.to_string())
}

fn difference(took: [Option<VirtDuration>; 2]) -> String {
    let [Some(a), Some(b)] = took else { return String::new() };
    match a.cmp(&b) {
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Less => format!("+{}", VirtDuration(b.0 - a.0)),
        std::cmp::Ordering::Greater => format!("-{}", VirtDuration(a.0 - b.0)),
    }
}

fn colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn delta(span: VirtDuration) -> String {
    if span == VirtDuration::ZERO { String::new() } else { format!("+{span}") }
}
