//! Where `--trace` goes: records are formatted and written by a thread of their own, so that a slow disk or pipe does not
//! slow the machine more than it must. What the thread does can't reach the machine.

use super::export::{CSV_INTERVAL, Exporter, Format};
use super::file::Meta;
use crossbeam_channel::{Receiver, Sender, bounded};
use emu_core::trace::{TraceRecord, TraceSink};
use std::io::{self, BufWriter, Write};
use std::thread::JoinHandle;

/// Records in flight at most; then the machine waits for the writer.
const IN_FLIGHT: usize = 64;
/// Records handed over at a time.
const BATCH: usize = 1024;
/// Their bytes at most, but for the last one's.
const BATCH_BYTES: usize = 1 << 20;

/// Records handed over together, and their bytes.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<TraceRecord>,
    /// Bytes of records that came with some, one after the other.
    bytes: Vec<u8>,
    /// Which record of the batch, and how many bytes.
    lengths: Vec<(usize, usize)>,
}

impl Batch {
    fn new() -> Self {
        Self { records: Vec::with_capacity(BATCH), ..Self::default() }
    }
}

/// A sink that writes to a file or pipe.
#[derive(Debug)]
pub struct FileSink {
    batch: Batch,
    to_writer: Option<Sender<Batch>>,
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
    pub fn new(format: Format, meta: Meta, out: Box<dyn Write + Send>) -> (Self, Receiver<io::Result<()>>) {
        let (to_writer, batches) = bounded(IN_FLIGHT);
        let (outcome, told) = bounded(1);
        let writer = std::thread::spawn(move || write_all(format, &meta, &batches, BufWriter::new(out)));
        let sink = Self { batch: Batch::new(), to_writer: Some(to_writer), writer: Some(writer), outcome };
        (sink, told)
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        if let Some(to_writer) = &self.to_writer {
            // The writer is gone only after an error, which `finish` reports.
            let _ = to_writer.send(batch);
        }
    }
}

impl TraceSink for FileSink {
    fn record(&mut self, record: &TraceRecord) {
        if self.batch.records.len() == BATCH || self.batch.bytes.len() >= BATCH_BYTES {
            self.hand_over();
        }
        self.batch.records.push(*record);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let Some(at) = self.batch.records.len().checked_sub(1) else { return };
        self.batch.bytes.extend_from_slice(bytes);
        self.batch.lengths.push((at, bytes.len()));
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

fn write_all(format: Format, meta: &Meta, batches: &Receiver<Batch>, out: impl Write) -> io::Result<()> {
    let mut exporter = Exporter::begin(format, meta, CSV_INTERVAL, out)?;
    for batch in batches {
        let (mut lengths, mut bytes) = (batch.lengths.iter().peekable(), &batch.bytes[..]);
        for (at, record) in batch.records.iter().enumerate() {
            let len = lengths.next_if(|(of, _)| *of == at).map_or(0, |(_, len)| *len);
            let (own, rest) = bytes.split_at(len);
            bytes = rest;
            exporter.record(record, own)?;
        }
    }
    exporter.finish()
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
        let (mut sink, told) = FileSink::new(format, Meta::default(), Box::new(out.clone()));
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
        let timeline: serde_json::Value = serde_json::from_str(&written(Format::Perfetto, 5)).unwrap();
        assert_eq!(
            timeline["traceEvents"].as_array().map(Vec::len),
            Some(16),
            "a process, a track with its place, 5 slices, 4 arrows"
        );
    }
}
