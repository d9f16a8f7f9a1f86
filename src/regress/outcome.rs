//! What a run came to: everything that expectations are about.

use crate::error::Error;
use crate::machine::{Goal, Machine};
use crate::scenario::Scenario;
use crate::view::{frame, jsonl, text};
use emu_core::trace::{TraceEvent, TraceMask, TraceRecord, TraceSink};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

/// A finished run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Why it ended.
    pub exit: String,
    /// Figures by name.
    pub figures: BTreeMap<String, u64>,
    /// Records by kind: how many, and the hash of all of them.
    pub kinds: BTreeMap<String, (u64, String)>,
    /// What the guest printed. Bytes that are no text are replaced.
    pub serial: String,
    /// What was on the wire, a line a frame.
    pub frames: String,
    /// Expectations of the scenario's own that are not met.
    pub broken: Vec<String>,
}

#[derive(Default)]
struct Heard {
    kinds: BTreeMap<&'static str, (u64, blake3::Hasher)>,
    frames: String,
    /// The frame whose bytes come next.
    frame: Option<String>,
    text: Vec<u8>,
}

struct Ear(Rc<RefCell<Heard>>);

impl TraceSink for Ear {
    fn record(&mut self, record: &TraceRecord) {
        let mut heard = self.0.borrow_mut();
        let Heard { kinds, frame, text, .. } = &mut *heard;
        let TraceRecord { id, time, insns, source, cause, event } = record;
        text.clear();
        // Writing to a Vec cannot fail, and events are plain data.
        let _ = serde_json::to_writer(&mut *text, &(id, time, insns, source, cause, event));
        let (count, hasher) = kinds.entry(jsonl::kind_name(event.kind())).or_default();
        *count += 1;
        hasher.update(text);
        *frame = match event {
            TraceEvent::FrameIn { packet, .. } => Some(format!("{}  in  {packet}", text::time(*time))),
            TraceEvent::FrameOut { packet, .. } => Some(format!("{}  out {packet}", text::time(*time))),
            _ => None,
        };
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut heard = self.0.borrow_mut();
        if let Some(start) = heard.frame.take() {
            let hash = blake3::hash(bytes).to_hex();
            // Writing to a String cannot fail.
            let _ = writeln!(
                heard.frames,
                "{start}  {} bytes {}  {}",
                bytes.len(),
                &hash[..16],
                frame::summary(bytes)
            );
        }
    }
}

impl Outcome {
    /// Runs a prepared scenario to its end.
    pub fn of(scenario: Scenario) -> Result<Self, Error> {
        let mut machine = Machine::new(scenario)?;
        let heard = Rc::new(RefCell::new(Heard::default()));
        machine.tracer().attach(TraceMask::ALL, Box::new(Ear(Rc::clone(&heard))));
        let stop = machine.run(&Goal::default());
        machine.tracer().finish();
        machine.finish_capture().map_err(Error::file("capture".as_ref()))?;
        let mut figures = BTreeMap::new();
        flatten("", &machine.figures(), &mut figures);
        let heard = heard.take();
        let digest =
            |(count, hasher): (u64, blake3::Hasher)| (count, hasher.finalize().to_hex()[..32].to_owned());
        Ok(Self {
            exit: stop.name(),
            figures,
            kinds: heard.kinds.into_iter().map(|(kind, sum)| (kind.to_owned(), digest(sum))).collect(),
            serial: String::from_utf8_lossy(&machine.take_serial()).into_owned(),
            frames: heard.frames,
            broken: machine.broken_expectations(&stop),
        })
    }
}

/// Numbers of a JSON object by path.
fn flatten(path: &str, value: &serde_json::Value, figures: &mut BTreeMap<String, u64>) {
    match value {
        serde_json::Value::Number(number) => {
            figures.extend(number.as_u64().map(|number| (path.to_owned(), number)));
        }
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, figures);
            }
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::String(_)
        | serde_json::Value::Array(_) => {}
    }
}
