//! Trace files of whole runs: they hold what happened, the same bytes every time, and what they are converted to is what other
//! tools read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::Buffer;
use emu_core::VirtDuration;
use emu_core::trace::{Logged, SharedLog, TraceMask};
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::Scenario;
use glassbox::view::file::{Meta, TraceFile};
use glassbox::view::{Exporter, FileSink, Format};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

fn machine() -> Machine {
    Machine::new(Scenario::load("demo").unwrap()).unwrap()
}

fn log() -> Logged {
    let (log, mut machine) = (SharedLog::default(), machine());
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.run(&Goal::default());
    log.take_all()
}

/// A run's trace file.
fn written() -> Vec<u8> {
    let (out, mut machine) = (Buffer::default(), machine());
    let meta = Meta::new(&machine.scenario().title, TraceMask::ALL);
    let (sink, told) = FileSink::new(Format::Binary, meta, Box::new(out.clone()));
    machine.tracer().attach(TraceMask::ALL, Box::new(sink));
    machine.run(&Goal::default());
    machine.tracer().finish();
    told.recv().unwrap().unwrap();
    out.bytes()
}

fn exported(log: &Logged, format: Format) -> String {
    let mut out = Vec::new();
    let meta = Meta::new("a run", TraceMask::ALL);
    let mut exporter = Exporter::begin(format, &meta, VirtDuration::from_ms(1), &mut out).unwrap();
    for record in &log.records {
        exporter.record(record, log.bytes_of(record.id)).unwrap();
    }
    exporter.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_trace_file_holds_the_run_and_is_the_same_every_time() {
    let (log, bytes) = (log(), written());
    assert!(bytes == written(), "two runs wrote different bytes");
    let mut file = TraceFile::read(Cursor::new(&bytes)).unwrap();
    assert_eq!((file.cut(), file.meta().is_whole()), (None, true));
    assert!(file.log().unwrap() == log, "the file is not the run");
    assert!(bytes.len() < log.records.len() * 16, "{} bytes for {} records", bytes.len(), log.records.len());
}

#[test]
fn a_timeline_has_named_tracks_and_arrows_with_two_ends() {
    let timeline: Value = serde_json::from_str(&exported(&log(), Format::Perfetto)).unwrap();
    let events = timeline["traceEvents"].as_array().unwrap();
    let (mut named, mut used) = (BTreeSet::new(), BTreeSet::new());
    let mut arrows: BTreeMap<u64, Vec<(String, f64)>> = BTreeMap::new();
    for event in events {
        assert!(event["pid"].is_u64(), "{event}");
        let phase = event["ph"].as_str().unwrap();
        match phase {
            "M" => {
                if event["name"] == "thread_name" {
                    named.insert(event["tid"].as_u64().unwrap());
                }
            }
            "X" => {
                assert!(
                    event["dur"].as_f64().unwrap() > 0.0 && event["ts"].as_f64().unwrap() >= 0.0,
                    "{event}"
                );
                assert!(event["name"].is_string(), "{event}");
                used.insert(event["tid"].as_u64().unwrap());
            }
            "s" | "f" => {
                let ends = arrows.entry(event["id"].as_u64().unwrap()).or_default();
                ends.push((phase.to_owned(), event["ts"].as_f64().unwrap()));
            }
            _ => panic!("{event}"),
        }
    }
    assert_eq!(named, used, "every track has a name, and no other");
    assert!(arrows.len() > 1000);
    for (id, ends) in arrows {
        assert!(
            ends.len() == 2 && ends[0].0 == "s" && ends[1].0 == "f" && ends[0].1 <= ends[1].1,
            "{id}: {ends:?}"
        );
    }
}

#[test]
fn a_waveform_is_read_by_a_parser_of_others() {
    let text = exported(&log(), Format::Vcd);
    let mut parser = vcd::Parser::new(text.as_bytes());
    let header = parser.parse_header().unwrap();
    let inta = header.find_var(&["e1000", "inta"]).unwrap().code;
    let isr = header.find_var(&["lapic0", "isr"]).unwrap().code;
    let (mut edges, mut widest, mut now) = (Vec::new(), 0, 0);
    for command in parser {
        match command.unwrap() {
            vcd::Command::Timestamp(time) => {
                assert!(time > now || now == 0, "time goes backwards");
                now = time;
            }
            vcd::Command::ChangeScalar(code, value) if code == inta => edges.push(value),
            vcd::Command::ChangeVector(code, bits) if code == isr => widest = widest.max(bits.len()),
            _ => {}
        }
    }
    assert!(edges.len() > 50 && edges[0] == vcd::Value::V1, "{edges:?}");
    assert!(edges.windows(2).all(|pair| pair[0] != pair[1]), "a line that changes does change");
    assert_eq!(widest, 256);
}

#[test]
fn figures_over_time_sum_up_to_the_runs() {
    let log = log();
    let text = exported(&log, Format::Csv);
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == names.len()));
    let sum = |name: &str| {
        let column = names.iter().position(|known| *known == name).unwrap();
        rows.iter().map(|row| row[column].parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("frames_in"), sum("frames_delivered"), sum("frames_dropped")), (41, 37, 4));
    assert_eq!((sum("dmar_faults"), sum("frames_out")), (0, 33));
}
