//! The report: one page that needs nothing else, with a journey to step through, its walks, what happened around it, the IOTLB over
//! time, interrupt latencies, mappings and figures.
//!
//! Here the data is collected; `page.html`, `style.css` and the scripts beside them show it.

use super::journey::Journey;
use super::{jsonl, text};
use emu_core::trace::{Granularity, IommuCache, TraceEvent, TraceRecord};
use emu_core::{VirtDuration, VirtTime};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(
    include_str!("page.js"),
    include_str!("journey.js"),
    include_str!("walk.js"),
    include_str!("time.js"),
    include_str!("tables.js"),
);

/// Records of the timeline at most.
const TIMELINE_MAX: usize = 3000;
/// Events of the IOTLB at most.
const IOTLB_MAX: usize = 20_000;
/// The timeline begins and ends so far from the journey.
const MARGIN: VirtDuration = VirtDuration::from_us(20);
/// The longest latency that has a bar of its own, as a power of two of nanoseconds.
const BUCKETS: u32 = 24;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Report<'r> {
    /// The scenario's title.
    pub title: &'r str,
    /// What was run, as the command line names it.
    pub run: &'r str,
    /// All records of the run.
    pub records: &'r [TraceRecord],
    /// One journey, or two to stand side by side.
    pub journeys: &'r [Journey],
    /// The timeline's first and last moment; around the first journey, if nobody says.
    pub window: Option<[VirtTime; 2]>,
    /// The run's figures, if there was a machine.
    pub figures: Option<Value>,
    /// What the card can reach: rows of `iova`, `gpa`, `rights`.
    pub mappings: Option<Value>,
}

impl Report<'_> {
    /// The page.
    #[must_use]
    pub fn to_html(&self) -> String {
        // `<` can't stand in a script element, so that no text of the guest's ends it.
        let data = self.data().to_string().replace('<', "\\u003c");
        PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT).replace("/*DATA*/", &data)
    }

    fn data(&self) -> Value {
        json!({
            "title": self.title, "run": self.run, "version": env!("CARGO_PKG_VERSION"),
            "journeys": self.journeys.iter().map(Journey::to_json).collect::<Vec<_>>(),
            "timeline": self.timeline(), "iotlb": iotlb(self.records), "latencies": latencies(self.records),
            "figures": self.figures, "mappings": self.mappings,
        })
    }

    /// What happened in the window, or around the first journey's stages.
    fn timeline(&self) -> Vec<Value> {
        let around = || {
            let journey = self.journeys.first()?;
            let stages = journey.stages();
            let (first, last) = (journey.steps.first()?, stages.last()?);
            let end = last.begin.after(last.took).after(MARGIN);
            Some((first.time.0.saturating_sub(MARGIN.0), end.0))
        };
        let window = self.window.map(|[begin, end]| (begin.0, end.0));
        let Some((begin, end)) = window.or_else(around) else { return Vec::new() };
        let window = self.records.iter().filter(|record| (begin..=end).contains(&record.time.0));
        window
            .take(TIMELINE_MAX)
            .map(|record| {
                json!({
                    "id": record.id.0, "time_ps": record.time.0, "lane": record.source.to_string(),
                    "kind": jsonl::kind_name(record.event.kind()), "text": text::describe(record.source, &record.event),
                })
            })
            .collect()
    }
}

/// What happened to the IOTLB, as its grid needs it.
fn iotlb(records: &[TraceRecord]) -> Value {
    let (mut sets, mut ways) = (1, 1);
    let mut events = Vec::new();
    for record in records {
        let what = match record.event {
            TraceEvent::IotlbHit { domain, iova, .. } => {
                json!({"what": "hit", "domain": domain, "page": iova.0 >> 12})
            }
            TraceEvent::IotlbMiss { domain, iova, .. } => {
                json!({"what": "miss", "domain": domain, "page": iova.0 >> 12})
            }
            TraceEvent::IotlbInsert { domain, iova, gpa, page_shift, set, way } => {
                (sets, ways) = (sets.max(set + 1), ways.max(way + 1));
                json!({
                    "what": "insert", "domain": domain, "iova": iova.to_string(), "gpa": gpa.to_string(),
                    "page": iova.0 >> 12, "pages": 1u64 << (page_shift.clamp(12, 63) - 12), "set": set, "way": way,
                })
            }
            TraceEvent::IotlbEvict { set, way, .. } => json!({"what": "evict", "set": set, "way": way}),
            TraceEvent::Invalidate { cache: IommuCache::Iotlb, what, .. } => match what {
                Granularity::Domain(domain)
                | Granularity::Device { domain, .. }
                | Granularity::Pasid { domain, .. } => {
                    json!({"what": "invalidate", "domain": domain})
                }
                Granularity::Pages { domain, iova, mask, .. }
                | Granularity::PasidPages { domain, iova, mask, .. } => {
                    let pages = 1u64 << mask.min(51);
                    let first = iova.0 >> 12 & !(pages - 1);
                    json!({"what": "invalidate", "domain": domain, "first": first, "last": first + pages})
                }
                Granularity::Global | Granularity::Index { .. } => json!({"what": "invalidate"}),
            },
            _ => continue,
        };
        let mut event = what;
        event["id"] = json!(record.id.0);
        event["time_ps"] = json!(record.time.0);
        event["text"] = json!(text::describe(record.source, &record.event));
        events.push(event);
    }
    let cut = events.len() > IOTLB_MAX;
    events.truncate(IOTLB_MAX);
    json!({"sets": sets, "ways": ways, "events": events, "cut": cut})
}

/// From IRR to the handler, by vector: how often how long.
fn latencies(records: &[TraceRecord]) -> Vec<Value> {
    let mut pending = BTreeMap::new();
    let mut taken: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for record in records {
        match record.event {
            TraceEvent::LapicIrr { vector, .. } => {
                pending.entry(vector).or_insert(record.time);
            }
            TraceEvent::CpuInterrupt { vector, .. } => {
                if let Some(since) = pending.remove(&vector) {
                    taken.entry(vector).or_default().push(record.time.since(since).0);
                }
            }
            _ => {}
        }
    }
    let told = |(vector, mut spans): (u8, Vec<u64>)| {
        spans.sort_unstable();
        let buckets: Vec<Value> = (0..BUCKETS)
            .filter_map(|power| {
                let (from, under) = (if power == 0 { 0 } else { 500 << power }, 1000 << power);
                let count = spans.iter().filter(|span| (from..under).contains(*span)).count();
                (count > 0).then(|| json!({"under_ps": under, "count": count}))
            })
            .collect();
        json!({
            "vector": vector, "count": spans.len(), "median_ps": spans.get(spans.len() / 2), "max_ps": spans.last(),
            "buckets": buckets,
        })
    };
    taken.into_iter().map(told).collect()
}
