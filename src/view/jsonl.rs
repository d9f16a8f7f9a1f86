//! Records as JSON: one object a line, for scripts.
//!
//! Keys: `id`, `time_ps`, `insns`, `source`, `kind`, `event`, the event's own fields as they are named in
//! [`emu_core::trace::TraceEvent`], `text`, `cause` if there is one, and `bytes` of records
//! that came with some.

use super::text;
use emu_core::trace::{TraceKind, TraceRecord};
use serde_json::{Map, Value, json};

/// A record's object with the bytes that it came with, as hexadecimal text.
#[must_use]
pub fn object_with(record: &TraceRecord, bytes: &[u8]) -> Value {
    let mut object = object(record);
    if let (Value::Object(fields), false) = (&mut object, bytes.is_empty()) {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        fields.insert("bytes".to_owned(), Value::String(digits));
    }
    object
}

/// A record's object.
#[must_use]
pub fn object(record: &TraceRecord) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(record.id.0));
    object.insert("time_ps".to_owned(), json!(record.time.0));
    object.insert("insns".to_owned(), json!(record.insns));
    object.insert("source".to_owned(), json!(record.source.to_string()));
    object.insert("kind".to_owned(), json!(kind_name(record.event.kind())));
    let (name, fields) = split(serde_json::to_value(record.event).unwrap_or(Value::Null));
    object.insert("event".to_owned(), Value::String(name));
    for (key, value) in fields {
        object.insert(key, value);
    }
    object.insert("text".to_owned(), Value::String(text::describe(record.source, &record.event)));
    if let Some(cause) = record.cause {
        object.insert("cause".to_owned(), json!(cause.0));
    }
    Value::Object(object)
}

/// A kind's name, as `--trace-kinds` takes it.
#[must_use]
pub fn kind_name(kind: TraceKind) -> &'static str {
    TraceKind::ALL.iter().find(|(known, ..)| *known == kind).map_or("?", |(_, name, _)| name)
}

/// Splits serde's `{"Variant": {fields}}` or `"Variant"`.
fn split(value: Value) -> (String, Map<String, Value>) {
    match value {
        Value::Object(outer) => match outer.into_iter().next() {
            Some((name, Value::Object(fields))) => (name, fields),
            Some((name, _)) => (name, Map::new()),
            None => (String::new(), Map::new()),
        },
        Value::String(name) => (name, Map::new()),
        _ => (String::new(), Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_core::trace::{RecordId, TraceEvent};
    use emu_core::{Slot, VirtTime};

    #[test]
    fn an_object_has_the_events_fields_beside_the_records() {
        let record = TraceRecord {
            id: RecordId(7),
            time: VirtTime(5000),
            insns: 3,
            source: Slot::Nic(0),
            cause: Some(RecordId(6)),
            event: TraceEvent::FrameIn { packet: 2, len: 60 },
        };
        let want = json!({
            "id": 7, "time_ps": 5000, "insns": 3, "source": "e1000.0", "kind": "net", "event": "FrameIn",
            "packet": 2, "len": 60, "text": "frame 2 in from the wire, 60 bytes", "cause": 6,
        });
        assert_eq!(object(&record), want);
    }
}
