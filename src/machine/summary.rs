//! What a run came to, in figures. The JSON keys are an interface: names may be added, never changed.

use super::cable::Questions;
use super::{Machine, Stop};
use crate::scenario::Ending;
use emu_core::trace::DropReason;
use emu_net::converse::Status;
use emu_net::{NetBackend as _, Report};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Counted by the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames in from the wire.
    pub frames_in: u64,
    /// Frames in guest memory.
    pub frames_delivered: u64,
    /// Frames lost.
    pub frames_dropped: u64,
    /// Frames out on the wire.
    pub frames_out: u64,
}

/// A run's figures. Only `host_seconds` and `mips` may differ between two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Instructions retired since power-on.
    pub instructions: u64,
    /// Virtual time since power-on.
    pub virtual_ns: u64,
    /// What it took here.
    pub host_seconds: f64,
    /// Millions of instructions a second here.
    pub mips: f64,
    /// See [`Counters`].
    pub frames_in: u64,
    /// See [`Counters`].
    pub frames_delivered: u64,
    /// See [`Counters`].
    pub frames_dropped: u64,
    /// See [`Counters`].
    pub frames_out: u64,
    /// Frames lost, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// What the parts of the wire have counted, the far end's first.
    pub wire: Vec<Report>,
    /// Device reads of guest memory.
    pub dma_reads: u64,
    /// Device writes of guest memory.
    pub dma_writes: u64,
    /// Bytes of both.
    pub dma_bytes: u64,
    /// Translations that the IOTLB had.
    pub iotlb_hits: u64,
    /// Those it had not.
    pub iotlb_misses: u64,
    /// DMA and interrupt remapping faults.
    pub dmar_faults: u64,
    /// Hardware interrupts that the processor took.
    pub interrupts: u64,
    /// Why the run ended.
    pub exit: String,
    /// Hash of everything that the guest could notice.
    pub state_hash: String,
    /// What the sanitizer found, if one watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sanitizer: Option<serde_json::Value>,
}

impl Machine {
    /// Frames so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let nic = self.platform.devices.nic.stats();
        Counters {
            frames_in: self.platform.frames_in,
            frames_delivered: nic.delivered,
            frames_dropped: nic.dropped,
            frames_out: self.platform.cable.sent,
        }
    }

    /// What each VT-d unit has counted.
    #[must_use]
    pub fn iommu_stats(&self) -> Vec<emu_iommu::Stats> {
        self.platform.board.remapping.units().iter().map(emu_iommu::Vtd::stats).collect()
    }

    /// The figures; `started_at` and `host` are for the speed of this run alone.
    #[must_use]
    pub fn summary(&self, stop: &Stop, started_at: u64, host: Duration) -> Summary {
        let frames = self.counters();
        let traffic = self.platform.board.traffic;
        let remapping = &self.platform.board.remapping;
        let host_seconds = host.as_secs_f64();
        let executed = self.insns() - started_at;
        Summary {
            instructions: self.insns(),
            virtual_ns: self.now().as_ns(),
            host_seconds,
            mips: if host_seconds > 0.0 { executed as f64 / 1e6 / host_seconds } else { 0.0 },
            frames_in: frames.frames_in,
            frames_delivered: frames.frames_delivered,
            frames_dropped: frames.frames_dropped,
            frames_out: frames.frames_out,
            drops: self.drops(),
            wire: self.wire_reports(),
            dma_reads: traffic.reads,
            dma_writes: traffic.writes,
            dma_bytes: traffic.bytes,
            iotlb_hits: remapping.total(|stats| stats.iotlb_hits),
            iotlb_misses: remapping.total(|stats| stats.iotlb_misses),
            dmar_faults: remapping.total(|stats| stats.faults),
            interrupts: self.platform.interrupts,
            exit: stop.name(),
            state_hash: self.state_hash(),
            sanitizer: None,
        }
    }

    /// The figures that are the same on every host.
    #[must_use]
    pub fn figures(&self) -> serde_json::Value {
        let stop = self.platform.stop.clone().unwrap_or(Stop::Idle);
        let summary = self.summary(&stop, 0, Duration::ZERO);
        let mut figures = serde_json::to_value(summary).unwrap_or_default();
        if let Some(figures) = figures.as_object_mut() {
            figures.retain(|name, _| name != "host_seconds" && name != "mips");
        }
        figures
    }

    /// Frames lost, by reason; reasons that there were.
    fn drops(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.platform.devices.nic.stats().drops;
        let reasons = DropReason::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
        reasons.map(|(reason, count)| (reason.name(), count)).collect()
    }

    /// What the parts of the wire have counted so far, the far end's first.
    #[must_use]
    pub fn wire_reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        self.platform.cable.report(&mut reports);
        reports
    }

    /// What the scenario expects of the run and did not get.
    #[must_use]
    pub fn broken_expectations(&self, stop: &Stop) -> Vec<String> {
        let expect = &self.scenario.expect;
        let mut broken = Vec::new();
        let ended_well = match (expect.end, stop) {
            (_, Stop::Reached | Stop::Limit) => true,
            (Ending::Clean, Stop::PowerOff { code }) => *code <= 1,
            (Ending::Clean, Stop::Idle) => true,
            (Ending::Status(status), Stop::PowerOff { code }) => *code == status,
            (Ending::Clean | Ending::Status(_), _) => false,
        };
        if !ended_well {
            broken.push(format!("the run was expected to end otherwise than by {}", stop.name()));
        }
        let faults = self.platform.board.remapping.total(|stats| stats.faults);
        if let Some(expected) = expect.dmar_faults.filter(|expected| *expected != faults) {
            broken.push(format!("{faults} DMAR faults instead of {expected}"));
        }
        let open = self.platform.cable.questions.as_ref().map_or(0, Questions::open);
        let conversations = self.wire_reports().into_iter().flat_map(|report| report.conversations);
        let complete = conversations.filter(|one| one.status == Status::Complete).count() as u64;
        if let Some(expected) = expect.conversations.filter(|expected| *expected != complete) {
            broken.push(format!("{complete} conversations were played to their end instead of {expected}"));
        }
        if open > 0 {
            broken.push(format!("{open} requests have no answer"));
        }
        broken
    }
}

impl Summary {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let ms = self.virtual_ns / 1_000_000;
        let us = self.virtual_ns / 1_000 % 1_000;
        let rows = [
            ("ended by", self.exit.clone()),
            ("virtual time", format!("{ms}.{us:03} ms")),
            ("instructions", self.instructions.to_string()),
            ("host", format!("{:.3} s, {:.1} MIPS", self.host_seconds, self.mips)),
            (
                "frames",
                format!(
                    "{} in, {} delivered, {} dropped, {} out",
                    self.frames_in, self.frames_delivered, self.frames_dropped, self.frames_out
                ),
            ),
            (
                "DMA",
                format!("{} reads, {} writes, {} bytes", self.dma_reads, self.dma_writes, self.dma_bytes),
            ),
            ("IOTLB", format!("{} hits, {} misses", self.iotlb_hits, self.iotlb_misses)),
            ("DMAR faults", self.dmar_faults.to_string()),
            ("interrupts", self.interrupts.to_string()),
            ("state hash", self.state_hash.clone()),
        ];
        for (name, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:>14}  {value}");
        }
        for (reason, count) in &self.drops {
            let _ = writeln!(text, "{:>14}  {count} {reason}", "dropped");
        }
        for report in &self.wire {
            let told = report.counts.iter().filter(|count| count.count > 0);
            let counts: Vec<_> = told.map(|count| format!("{} {}", count.count, count.what)).collect();
            let _ = writeln!(text, "{:>14}  {}", report.part, counts.join(", "));
            for conversation in &report.conversations {
                let _ = writeln!(text, "{:>14}  {conversation}", "conversation");
            }
        }
        text
    }
}
