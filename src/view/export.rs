//! Records in every form that something else reads: text, JSON lines, a timeline for Perfetto, waveforms, figures, and the
//! trace file itself. A run writes them through [`super::FileSink`], `glassbox trace` from a file.

use super::file::{BinaryWriter, Meta};
use super::{Csv, Perfetto, Vcd, jsonl, text};
use emu_core::VirtDuration;
use emu_core::trace::TraceRecord;
use std::io::{self, Write};
use std::path::Path;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text each.
    Text,
    /// A JSON object a line each.
    JsonLines,
    /// Trace-event JSON, for ui.perfetto.dev and chrome://tracing.
    Perfetto,
    /// Value change dump, for waveform viewers.
    Vcd,
    /// Figures over time, a row for each interval.
    Csv,
    /// Glassbox's own trace file.
    Binary,
}

impl Format {
    /// By a file name's ending: `.trace`, `.jsonl`, `.json`, `.vcd`, `.csv`; anything else is text.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("trace") => Self::Binary,
            Some("jsonl") => Self::JsonLines,
            Some("json") => Self::Perfetto,
            Some("vcd") => Self::Vcd,
            Some("csv") => Self::Csv,
            _ => Self::Text,
        }
    }
}

/// The interval of [`Format::Csv`] unless it is said.
pub const CSV_INTERVAL: VirtDuration = VirtDuration::from_ms(1);

/// Writes records in one form.
#[derive(Debug)]
pub struct Exporter<W: Write> {
    form: Form,
    out: W,
}

#[derive(Debug)]
enum Form {
    Text,
    JsonLines,
    Perfetto(Perfetto),
    Vcd(Box<Vcd>),
    Csv(Csv),
    Binary(Box<BinaryWriter>),
}

impl<W: Write> Exporter<W> {
    /// Opens `out`; `interval` is that of [`Format::Csv`].
    pub fn begin(format: Format, meta: &Meta, interval: VirtDuration, out: W) -> io::Result<Self> {
        let form = match format {
            Format::Text => Form::Text,
            Format::JsonLines => Form::JsonLines,
            Format::Perfetto => Form::Perfetto(Perfetto::default()),
            Format::Vcd => Form::Vcd(Box::default()),
            Format::Csv => Form::Csv(Csv::every(interval)),
            Format::Binary => Form::Binary(Box::default()),
        };
        let mut exporter = Self { form, out };
        let out = &mut exporter.out;
        match &mut exporter.form {
            Form::Text | Form::JsonLines => {}
            Form::Perfetto(form) => form.begin(out, meta)?,
            Form::Vcd(form) => form.begin(out, meta)?,
            Form::Csv(form) => form.begin(out)?,
            Form::Binary(form) => form.begin(out, meta)?,
        }
        Ok(exporter)
    }

    /// One record, and the bytes that it came with.
    pub fn record(&mut self, record: &TraceRecord, bytes: &[u8]) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.form {
            Form::Text => writeln!(out, "{}", text::line(record)),
            Form::JsonLines => writeln!(out, "{}", jsonl::object_with(record, bytes)),
            Form::Perfetto(form) => form.record(out, record),
            Form::Vcd(form) => form.record(out, record),
            Form::Csv(form) => form.record(out, record),
            Form::Binary(form) => form.record(out, record, bytes),
        }
    }

    /// Closes it.
    pub fn finish(mut self) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.form {
            Form::Text | Form::JsonLines => {}
            Form::Perfetto(form) => form.finish(out)?,
            Form::Vcd(form) => form.finish(out)?,
            Form::Csv(form) => form.finish(out)?,
            Form::Binary(form) => form.finish(out)?,
        }
        out.flush()
    }
}
