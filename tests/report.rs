//! The report as a file: it needs nothing else, its data is there, and nothing in the data can break out of it. What it looks like,
//! and that its keys work, is `tests/report/check.mjs`'s to say, in a browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::run;
use emu_core::{VirtDuration, VirtTime};
use glassbox::view::Journey;
use glassbox::view::report::Report;
use serde_json::Value;

fn page(title: &str) -> String {
    page_of(title, None)
}

fn page_of(title: &str, window: Option<[VirtTime; 2]>) -> String {
    let outcome = run("demo");
    let journeys = [0, 5].map(|packet| Journey::follow(&outcome.records, packet).unwrap());
    let records = &outcome.records;
    Report { title, run: "demo", records, journeys: &journeys, window, figures: None, mappings: None }
        .to_html()
}

/// The data element's JSON.
fn data(page: &str) -> Value {
    let begin = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let end = page[begin..].find("</script>").unwrap();
    serde_json::from_str(&page[begin..begin + end]).unwrap()
}

#[test]
fn a_report_is_one_file_that_asks_nobody_for_anything() {
    let page = page("a run");
    for outside in ["src=", "href=\"http", "@import", "url(", "fetch(", "<link"] {
        assert!(!page.contains(outside), "`{outside}` reaches outside");
    }
    assert_eq!(page.matches("http").count(), 1, "only the name of SVG");
    for place in ["/*STYLE*/", "/*DATA*/", "/*SCRIPT*/"] {
        assert!(!page.contains(place), "{place} was not filled");
    }
}

#[test]
fn its_data_is_the_runs() {
    let data = data(&page("a run"));
    let journeys = data["journeys"].as_array().unwrap();
    assert_eq!((journeys.len(), &journeys[1]["packet"]), (2, &Value::from(5)));
    assert!(data["timeline"].as_array().unwrap().len() >= journeys[0]["steps"].as_array().unwrap().len());
    let nic = data["latencies"].as_array().unwrap().iter().find(|each| each["vector"] == 0x50).unwrap();
    assert_eq!(nic["count"], 71);
    let counted: u64 = nic["buckets"].as_array().unwrap().iter().map(|b| b["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 71, "every latency is in a bucket");
    assert_eq!(data["iotlb"]["ways"], 4);
}

#[test]
fn the_timeline_shows_the_window_that_was_chosen() {
    let window = [30, 31].map(|ms| VirtTime::ZERO.after(VirtDuration::from_ms(ms)));
    let data = data(&page_of("a run", Some(window)));
    let times: Vec<u64> = data["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["time_ps"].as_u64().unwrap())
        .collect();
    assert!(!times.is_empty() && times.iter().all(|time| (window[0].0..=window[1].0).contains(time)));
}

#[test]
fn every_step_has_a_sentence_for_newcomers() {
    let data = data(&page("a run"));
    for step in data["journeys"][0]["steps"].as_array().unwrap() {
        assert!(step["plain"].as_str().unwrap().ends_with('.'), "{step}");
    }
}

#[test]
fn no_text_ends_the_element_that_it_is_in() {
    let page = page("</script><script>alert(1)</script>");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(data(&page)["title"], "</script><script>alert(1)</script>");
}
