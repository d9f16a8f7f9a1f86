//! The curve of the literature: what DMA costs as its working set outgrows the IOTLB, in virtual time, for pages of 4 KiB and
//! of 2 MiB, beside what others measured on hardware.
//!
//! `cargo run --release --example iotlb_curve` prints the table, `-- --csv` the same for programs; a scenario's name gives
//! another unit (`-- my.ron`). `-- --write docs` writes the table, the CSV file and the plot of docs/iotlb-curve.md.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

mod plot;
mod published;
mod sweep;

use glassbox::scenario::Scenario;
use std::fmt::Write as _;
use std::path::Path;
use sweep::{Failure, Point};

/// The table in the document lies between these lines.
const MARKS: [&str; 2] = ["<!-- begin: iotlb_curve -->\n", "<!-- end: iotlb_curve -->\n"];

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).peekable();
    let (mut csv, mut folder, mut scenario) = (false, None, "demo".to_owned());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--csv" => csv = true,
            "--write" => folder = Some(args.next().ok_or("--write needs a folder")?),
            _ => scenario = arg,
        }
    }
    let points = points(&scenario)?;
    if let Some(folder) = folder {
        for (name, text) in files(Path::new(&folder), &points)? {
            std::fs::write(Path::new(&folder).join(name), text)?;
        }
    } else if csv {
        print!("{}", as_csv(&points));
    } else {
        print!("{}", as_table(&points));
    }
    Ok(())
}

/// The sweep over the unit and the bus of a scenario.
fn points(scenario: &str) -> Result<Vec<Point>, Failure> {
    let scenario = Scenario::load(scenario)?;
    sweep::run(&scenario.iommu.unwrap_or_default(), &scenario.timing)
}

/// What the command writes: names and contents.
fn files(folder: &Path, points: &[Point]) -> Result<[(&'static str, String); 3], Failure> {
    let document = std::fs::read_to_string(folder.join("iotlb-curve.md"))?;
    let (head, rest) = document.split_once(MARKS[0]).ok_or("no beginning of the table")?;
    let (_, tail) = rest.split_once(MARKS[1]).ok_or("no end of the table")?;
    let document = format!("{head}{}\n{}\n{}{tail}", MARKS[0], as_table(points), MARKS[1]);
    Ok([
        ("iotlb-curve.md", document),
        ("iotlb-curve.csv", as_csv(points)),
        ("iotlb-curve.svg", plot::svg(points)),
    ])
}

/// `64 KiB`.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn as_table(points: &[Point]) -> String {
    let mut text = String::from(
        "| working set | pages | hits | translation | this card, 64 B | | PCIe device, 64 B | | measured, 64 B | |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for point in points {
        let measured = |value: Option<f64>, unit: &str| {
            value.map_or(String::new(), |value| format!("{value:.1} {unit}"))
        };
        let published = published::at(point.page, point.working_set);
        writeln!(
            text,
            "| {} | {} | {:.1} % | {:.0} ns | {:.0} ns | {:.0} MB/s | {:.0} ns | {:.1} Gbit/s | {} | {} |",
            size(point.working_set),
            point.page,
            100.0 * point.hit_rate,
            point.translation_ns,
            point.card.latency_ns,
            point.card.gbits * 125.0,
            point.pcie.latency_ns,
            point.pcie.gbits,
            measured(published.map(|(latency, _)| latency), "ns"),
            measured(published.map(|(_, gbits)| gbits), "Gbit/s"),
        )
        .unwrap_or_default();
    }
    text
}

fn as_csv(points: &[Point]) -> String {
    let mut text = String::from(
        "page,working_set,hit_rate,translation_ns,card_ns,card_gbits,pcie_ns,pcie_gbits,measured_ns,measured_gbits\n",
    );
    for point in points {
        let [latency, gbits] = match published::at(point.page, point.working_set) {
            Some((latency, gbits)) => [format!("{latency:.1}"), format!("{gbits:.2}")],
            None => [String::new(), String::new()],
        };
        writeln!(
            text,
            "{},{},{:.4},{:.1},{:.1},{:.3},{:.1},{:.3},{latency},{gbits}",
            point.page.bytes(),
            point.working_set,
            point.hit_rate,
            point.translation_ns,
            point.card.latency_ns,
            point.card.gbits,
            point.pcie.latency_ns,
            point.pcie.gbits,
        )
        .unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Page;

    fn of(page: Page) -> impl Iterator<Item = Point> {
        points("demo").unwrap().into_iter().filter(move |point| point.page == page)
    }

    #[test]
    fn nothing_misses_within_the_reach_and_much_does_beyond() {
        for (page, reach) in [(Page::Small, 64 << 12), (Page::Large, 64 << 21)] {
            for point in of(page) {
                let expected = (reach as f64 / point.working_set as f64).min(1.0);
                let off = (point.hit_rate - expected).abs();
                assert!(off < 0.01, "{page}, {}: {} hits", size(point.working_set), point.hit_rate);
            }
        }
    }

    #[test]
    fn a_miss_costs_its_walk() {
        let all: Vec<Point> = of(Page::Small).collect();
        let [first, last] = [all[0], all[all.len() - 1]];
        let misses = 1.0 - last.hit_rate;
        let walks = last.translation_ns - first.translation_ns;
        assert!((walks - 320.0 * misses).abs() < 1.0, "four reads of 80 ns: {walks}");
        assert!(last.pcie.gbits < 0.35 * first.pcie.gbits && last.card.gbits < 0.75 * first.card.gbits);
    }

    #[test]
    fn the_document_shows_what_the_command_prints() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (name, text) in files(&folder, &points("demo").unwrap()).unwrap() {
            let there = std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(
                there == text,
                "docs/{name} is out of date: `cargo run --example iotlb_curve -- --write docs`"
            );
        }
    }
}
