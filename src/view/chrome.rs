//! Records in Chrome's trace-event format, which Perfetto and chrome://tracing read: a track for each party, an arrow for
//! each cause.

use super::{jsonl, text};
use emu_core::trace::TraceRecord;
use serde_json::{Value, json};

/// Opens the file.
pub const HEAD: &str = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
/// Closes it.
pub const TAIL: &str = "\n]}\n";

/// The events for one record: itself, and the two ends of the arrow from its cause.
#[must_use]
pub fn events(record: &TraceRecord) -> Vec<Value> {
    let at = record.time.0 as f64 / 1e6;
    let track = record.source.to_string();
    let mut events = vec![json!({
        "name": text::describe(record.source, &record.event),
        "cat": jsonl::kind_name(record.event.kind()),
        "ph": "X", "ts": at, "dur": 0.001, "pid": "glassbox", "tid": track,
        "args": {"id": record.id.0, "insns": record.insns, "cause": record.cause.map(|cause| cause.0)},
    })];
    // A flow is named by the record that it starts at; every record offers one, and ends its cause's.
    events.push(json!({
        "name": "cause", "cat": "cause", "ph": "s", "id": record.id.0, "ts": at, "pid": "glassbox", "tid": track,
    }));
    if let Some(cause) = record.cause {
        events.push(json!({
            "name": "cause", "cat": "cause", "ph": "t", "id": cause.0, "ts": at, "pid": "glassbox", "tid": track,
        }));
    }
    events
}
