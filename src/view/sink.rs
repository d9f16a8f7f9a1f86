//! Where `--trace` goes: records are formatted and written by a thread of their own, so that a slow disk or pipe does not
//! slow the machine more than it must. What the thread does can't reach the machine.

use super::{chrome, jsonl, text};
use crossbeam_channel::{Receiver, Sender, bounded};
use emu_core::trace::{TraceRecord, TraceSink};
use std::io::{self, BufWriter, Write};
use std::thread::JoinHandle;

/// Records in flight at most; then the machine waits for the writer.
const IN_FLIGHT: usize = 64;
/// Records handed over at a time.
const BATCH: usize = 1024;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text each.
    Text,
    /// A JSON object a line each.
    JsonLines,
    /// Chrome's trace-event JSON.
    Chrome,
}

impl Format {
    /// By a file name's ending: `.jsonl`, `.json`, anything else is text.
    #[must_use]
    pub fn of(path: &std::path::Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Self::JsonLines,
            Some("json") => Self::Chrome,
            _ => Self::Text,
        }
    }
}

/// A sink that writes to a file or pipe.
#[derive(Debug)]
pub struct FileSink {
    batch: Vec<TraceRecord>,
    to_writer: Option<Sender<Vec<TraceRecord>>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    /// Told of the outcome when the run is over.
    outcome: Sender<io::Result<()>>,
}

impl FileSink {
    /// A sink that writes to `out`, and where its outcome will be told.
    #[allow(
        clippy::disallowed_methods,
        reason = "a thread at the edge: it only writes what it is handed, in order"
    )]
    pub fn new(format: Format, out: Box<dyn Write + Send>) -> (Self, Receiver<io::Result<()>>) {
        let (to_writer, batches) = bounded(IN_FLIGHT);
        let (outcome, told) = bounded(1);
        let writer = std::thread::spawn(move || write_all(format, &batches, BufWriter::new(out)));
        let sink = Self {
            batch: Vec::with_capacity(BATCH),
            to_writer: Some(to_writer),
            writer: Some(writer),
            outcome,
        };
        (sink, told)
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Some(to_writer) = &self.to_writer {
            // The writer is gone only after an error, which `finish` reports.
            let _ = to_writer.send(batch);
        }
    }
}

impl TraceSink for FileSink {
    fn record(&mut self, record: &TraceRecord) {
        self.batch.push(*record);
        if self.batch.len() == BATCH {
            self.hand_over();
        }
    }

    fn finish(&mut self) {
        self.hand_over();
        self.to_writer = None;
        if let Some(writer) = self.writer.take() {
            let result = writer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the trace writer stopped unexpectedly")));
            // Nobody has to listen.
            let _ = self.outcome.try_send(result);
        }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_all(format: Format, batches: &Receiver<Vec<TraceRecord>>, mut out: impl Write) -> io::Result<()> {
    if format == Format::Chrome {
        out.write_all(chrome::HEAD.as_bytes())?;
    }
    let mut first = true;
    for record in batches.iter().flatten() {
        match format {
            Format::Text => writeln!(out, "{}", text::line(&record))?,
            Format::JsonLines => writeln!(out, "{}", jsonl::object(&record))?,
            Format::Chrome => {
                for event in chrome::events(&record) {
                    if !std::mem::take(&mut first) {
                        out.write_all(b",\n")?;
                    }
                    write!(out, "{event}")?;
                }
            }
        }
    }
    if format == Format::Chrome {
        out.write_all(chrome::TAIL.as_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_core::trace::{RecordId, TraceEvent};
    use emu_core::{Slot, VirtTime};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, records: u64) -> String {
        let out = Shared::default();
        let (mut sink, told) = FileSink::new(format, Box::new(out.clone()));
        for id in 0..records {
            let event = TraceEvent::FrameIn { packet: id, len: 60 };
            let cause = id.checked_sub(1).map(RecordId);
            let (time, source) = (VirtTime(id), Slot::Nic(0));
            sink.record(&TraceRecord { id: RecordId(id), time, insns: id, source, cause, event });
        }
        sink.finish();
        assert!(told.recv().unwrap().is_ok());
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn every_record_becomes_a_line_in_order() {
        let text = written(Format::Text, 3000);
        assert_eq!(text.lines().count(), 3000);
        assert!(
            text.lines().nth(2500).is_some_and(|line| line.contains("#2500 ") && line.ends_with("<- #2499"))
        );
    }

    #[test]
    fn json_lines_and_timelines_are_json() {
        for line in written(Format::JsonLines, 5).lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["event"], "FrameIn");
        }
        let timeline: serde_json::Value = serde_json::from_str(&written(Format::Chrome, 5)).unwrap();
        assert_eq!(timeline["traceEvents"].as_array().map(Vec::len), Some(14));
    }
}
