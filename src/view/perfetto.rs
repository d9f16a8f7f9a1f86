//! Records in the trace-event format, which ui.perfetto.dev and chrome://tracing read: a track for each part of the machine,
//! slices for what lasts (a pin that is high, a vector in service, a handler, sleep), an arrow from each record to what it
//! caused.

use super::file::Meta;
use super::{jsonl, text};
use emu_core::trace::{RecordId, Ring, TraceEvent, TraceRecord};
use emu_core::{Pin, Slot, VirtTime};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write};

/// A record takes that long to the eye, in microseconds.
const INSTANT_US: f64 = 0.001;
/// Records that an arrow can come from: causes further back have none.
const REMEMBERED: usize = 1 << 20;
/// The one process of the file.
const PID: u32 = 1;

/// A line of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Track {
    WireIn,
    WireOut,
    Receive,
    Transmit,
    NicCauses,
    Dma,
    Iommu,
    Invalidation,
    Fault,
    Pin(Slot, u8),
    IoApic,
    Pic,
    LocalApic(u8),
    InService(u8),
    Handlers(u8),
    Sleep(u8),
    Cpu(u8),
    Registers,
    Ports,
    Config,
    Marks,
}

impl Track {
    fn of(record: &TraceRecord) -> Self {
        let index = match record.source {
            Slot::Cpu(index) | Slot::Lapic(index) => index,
            _ => 0,
        };
        match record.event {
            TraceEvent::FrameIn { .. } | TraceEvent::FrameFilter { .. } | TraceEvent::FrameDrop { .. } => {
                Self::WireIn
            }
            TraceEvent::FrameOut { .. } => Self::WireOut,
            TraceEvent::FrameDelivered { .. } | TraceEvent::DescUse { .. } => Self::Receive,
            TraceEvent::DescFetch { ring, .. } | TraceEvent::DescWriteBack { ring, .. } => match ring {
                Ring::Rx => Self::Receive,
                Ring::Tx => Self::Transmit,
            },
            TraceEvent::NicCause { .. } => Self::NicCauses,
            TraceEvent::PinLevel { pin: Pin(pin), .. } => Self::Pin(record.source, pin),
            TraceEvent::IoapicRte { .. } => Self::IoApic,
            TraceEvent::PicIntr { .. } => Self::Pic,
            _ => match jsonl::kind_name(record.event.kind()) {
                "dma" => Self::Dma,
                "iommu" => Self::Iommu,
                "inval" => Self::Invalidation,
                "fault" => Self::Fault,
                "irq" => Self::LocalApic(index),
                "cpu" => Self::Cpu(index),
                "mmio" => Self::Registers,
                "port" => Self::Ports,
                "pci" => Self::Config,
                _ => Self::Marks,
            },
        }
    }

    fn name(self) -> String {
        match self {
            Self::WireIn => "wire: in".to_owned(),
            Self::WireOut => "wire: out".to_owned(),
            Self::Receive => "NIC: receive queue".to_owned(),
            Self::Transmit => "NIC: transmit queue".to_owned(),
            Self::NicCauses => "NIC: interrupt causes".to_owned(),
            Self::Dma => "DMA".to_owned(),
            Self::Iommu => "IOMMU: lookups and walks".to_owned(),
            Self::Invalidation => "IOMMU: invalidations".to_owned(),
            Self::Fault => "IOMMU: faults".to_owned(),
            Self::Pin(slot, pin) => format!("IRQ line: {slot} pin {pin}"),
            Self::IoApic => "I/O APIC".to_owned(),
            Self::Pic => "8259".to_owned(),
            Self::LocalApic(n) => format!("local APIC {n}"),
            Self::InService(n) => format!("local APIC {n}: in service"),
            Self::Handlers(n) => format!("CPU {n}: handlers"),
            Self::Sleep(n) => format!("CPU {n}: asleep"),
            Self::Cpu(n) => format!("CPU {n}: events"),
            Self::Registers => "registers".to_owned(),
            Self::Ports => "ports".to_owned(),
            Self::Config => "PCI configuration".to_owned(),
            Self::Marks => "marks".to_owned(),
        }
    }
}

/// Writes the file.
#[derive(Debug, Default)]
pub struct Perfetto {
    /// The number of each track, by its first use.
    tracks: BTreeMap<Track, u32>,
    /// Where recent records are, for arrows: ascending by number.
    recent: VecDeque<(RecordId, VirtTime, u32)>,
    /// Slices that have begun, by track: what, when.
    open: BTreeMap<Track, Vec<(RecordId, String, VirtTime)>>,
    /// Vectors in service, which end by number and not by nesting.
    named: BTreeSet<u32>,
    begun: bool,
    last: VirtTime,
}

fn us(time: VirtTime) -> f64 {
    time.0 as f64 / 1e6
}

impl Perfetto {
    pub(super) fn begin(&mut self, out: &mut dyn Write, meta: &Meta) -> io::Result<()> {
        let title = if meta.title.is_empty() { "glassbox" } else { &meta.title };
        writeln!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        self.event(out, &json!({"ph": "M", "name": "process_name", "pid": PID, "args": {"name": title}}))
    }

    pub(super) fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for (track, slices) in std::mem::take(&mut self.open) {
            for (id, name, since) in slices {
                self.slice(out, track, id, &name, since, self.last)?;
            }
        }
        writeln!(out, "\n]}}")
    }

    pub(super) fn record(&mut self, out: &mut dyn Write, record: &TraceRecord) -> io::Result<()> {
        self.last = self.last.max(record.time);
        self.lasting(out, record)?;
        let tid = self.track(out, Track::of(record))?;
        let at = us(record.time);
        self.event(
            out,
            &json!({
                "ph": "X", "name": text::describe(record.source, &record.event),
                "cat": jsonl::kind_name(record.event.kind()), "ts": at, "dur": INSTANT_US, "pid": PID, "tid": tid,
                "args": {
                    "record": record.id.0, "insns": record.insns, "source": record.source.to_string(),
                    "cause": record.cause.map(|cause| cause.0),
                },
            }),
        )?;
        if let Some(cause) = record.cause
            && let Ok(found) = self.recent.binary_search_by_key(&cause, |(id, ..)| *id)
        {
            let (_, time, from) = self.recent[found];
            let arrow = |ph: &str, at: f64, tid: u32| {
                json!({
                    "ph": ph, "bp": "e", "name": "causes", "cat": "cause", "id": record.id.0, "ts": at,
                    "pid": PID, "tid": tid,
                })
            };
            self.event(out, &arrow("s", us(time), from))?;
            self.event(out, &arrow("f", at, tid))?;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((record.id, record.time, tid));
        Ok(())
    }

    /// Begins and ends the slices of what lasts.
    fn lasting(&mut self, out: &mut dyn Write, record: &TraceRecord) -> io::Result<()> {
        let index = match record.source {
            Slot::Cpu(index) | Slot::Lapic(index) => index,
            _ => 0,
        };
        match record.event {
            TraceEvent::PinLevel { pin, high } => {
                let track = Track::Pin(record.source, pin.0);
                self.end(out, track, record.time, |_, _| true)?;
                if high {
                    self.open(track, record, "high".to_owned());
                }
            }
            TraceEvent::LapicIsr { vector } => {
                self.open(Track::InService(index), record, format!("vector {vector:#x}"));
            }
            TraceEvent::LapicEoi { vector, .. } => {
                let name = format!("vector {vector:#x}");
                self.end(out, Track::InService(index), record.time, |_, open| open == name)?;
            }
            TraceEvent::CpuInterrupt { vector, .. } => {
                self.end(out, Track::Sleep(index), record.time, |_, _| true)?;
                self.open(Track::Handlers(index), record, format!("interrupt {vector:#x}"));
            }
            TraceEvent::CpuIret { .. } => {
                let handler = record.cause;
                self.end(out, Track::Handlers(index), record.time, |id, _| Some(id) == handler)?;
            }
            TraceEvent::CpuHalt { .. } => {
                self.end(out, Track::Sleep(index), record.time, |_, _| true)?;
                self.open(Track::Sleep(index), record, "HLT".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, track: Track, record: &TraceRecord, name: String) {
        self.open.entry(track).or_default().push((record.id, name, record.time));
    }

    /// Ends the innermost slice of `track` that is the right one.
    fn end(
        &mut self,
        out: &mut dyn Write,
        track: Track,
        now: VirtTime,
        right: impl Fn(RecordId, &str) -> bool,
    ) -> io::Result<()> {
        let Some(open) = self.open.get_mut(&track) else { return Ok(()) };
        let Some(at) = open.iter().rposition(|(id, name, _)| right(*id, name)) else { return Ok(()) };
        let (id, name, since) = open.remove(at);
        self.slice(out, track, id, &name, since, now)
    }

    fn slice(
        &mut self,
        out: &mut dyn Write,
        track: Track,
        id: RecordId,
        name: &str,
        since: VirtTime,
        now: VirtTime,
    ) -> io::Result<()> {
        let tid = self.track(out, track)?;
        let lasted = now.since(since).0 as f64 / 1e6;
        self.event(
            out,
            &json!({
                "ph": "X", "name": name, "cat": "span", "ts": us(since), "dur": lasted.max(INSTANT_US),
                "pid": PID, "tid": tid, "args": {"record": id.0},
            }),
        )
    }

    /// The number of a track, which is named and given its place when it is first used.
    fn track(&mut self, out: &mut dyn Write, track: Track) -> io::Result<u32> {
        let fresh = self.tracks.len() as u32 + 1;
        let tid = *self.tracks.entry(track).or_insert(fresh);
        if self.named.insert(tid) {
            let name = track.name();
            self.event(
                out,
                &json!({"ph": "M", "name": "thread_name", "pid": PID, "tid": tid, "args": {"name": name}}),
            )?;
            let order = track.order();
            self.event(
                out,
                &json!({
                    "ph": "M", "name": "thread_sort_index", "pid": PID, "tid": tid,
                    "args": {"sort_index": order},
                }),
            )?;
        }
        Ok(tid)
    }

    fn event(&mut self, out: &mut dyn Write, event: &Value) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            out.write_all(b",\n")?;
        }
        write!(out, "{event}")
    }
}

impl Track {
    /// Its place from the top: the way of a packet.
    fn order(self) -> u32 {
        match self {
            Self::WireIn => 0,
            Self::WireOut => 1,
            Self::Receive => 2,
            Self::Transmit => 3,
            Self::NicCauses => 4,
            Self::Dma => 5,
            Self::Iommu => 6,
            Self::Invalidation => 7,
            Self::Fault => 8,
            Self::Pin(..) => 9,
            Self::IoApic => 10,
            Self::Pic => 11,
            Self::LocalApic(n) => 20 + u32::from(n) * 8,
            Self::InService(n) => 21 + u32::from(n) * 8,
            Self::Handlers(n) => 22 + u32::from(n) * 8,
            Self::Sleep(n) => 23 + u32::from(n) * 8,
            Self::Cpu(n) => 24 + u32::from(n) * 8,
            Self::Registers => 4000,
            Self::Ports => 4001,
            Self::Config => 4002,
            Self::Marks => 4003,
        }
    }
}
