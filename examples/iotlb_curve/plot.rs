//! The plot: throughput above, latency below, over the working set; lines are the model, circles what was measured.

use crate::published;
use crate::sweep::{Page, Point};
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const PANEL: f64 = 250.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const GAP: f64 = 66.0;
/// The working sets at both ends, as powers of two.
const BITS: [f64; 2] = [12.0, 30.0];
const COLOURS: [(Page, &str); 2] = [(Page::Small, "#b5322a"), (Page::Large, "#1f5fa8")];

/// A panel: what is drawn, from 0 to where, and a line across it every so often.
struct Panel {
    title: &'static str,
    top: f64,
    end: f64,
    step: f64,
    modelled: fn(&Point) -> f64,
    measured: fn(&(u64, f64, f64)) -> f64,
}

const PANELS: [Panel; 2] = [
    Panel {
        title: "Throughput of random 64-byte reads, Gbit/s",
        top: TOP,
        end: 40.0,
        step: 10.0,
        modelled: |point| point.pcie.gbits,
        measured: |(_, _, gbits)| *gbits,
    },
    Panel {
        title: "Latency of one read, ns",
        top: TOP + PANEL + GAP,
        end: 1000.0,
        step: 200.0,
        modelled: |point| point.pcie.latency_ns,
        measured: |(_, latency, _)| *latency,
    },
];

fn x(bytes: u64) -> f64 {
    let share = ((bytes as f64).log2() - BITS[0]) / (BITS[1] - BITS[0]);
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        self.top + PANEL * (1.0 - value / self.end)
    }

    fn draw(&self, points: &[Point], out: &mut String) -> std::fmt::Result {
        let (bottom, right) = (self.top + PANEL, WIDTH - RIGHT);
        writeln!(
            out,
            r##"<text x="{LEFT}" y="{:.1}" class="title">{}</text>"##,
            self.top - 10.0,
            self.title
        )?;
        let mut value = 0.0;
        while value <= self.end {
            let y = self.y(value);
            writeln!(out, r##"<path d="M{LEFT} {y:.1}H{right}" class="grid"/>"##)?;
            writeln!(out, r##"<text x="{:.1}" y="{:.1}" class="y">{value}</text>"##, LEFT - 8.0, y + 4.0)?;
            value += self.step;
        }
        for bit in (12..=30u32).step_by(2) {
            let at = x(1 << bit);
            let label = match bit {
                30 => "1 GiB".to_owned(),
                _ => crate::size(1 << bit),
            };
            writeln!(out, r##"<text x="{at:.1}" y="{:.1}" class="x">{label}</text>"##, bottom + 18.0)?;
        }
        for (page, colour) in COLOURS {
            let at = x(64 * page.bytes());
            writeln!(
                out,
                r##"<path d="M{at:.1} {:.1}V{bottom:.1}" class="reach" stroke="{colour}"/>"##,
                self.top
            )?;
            let mut line = String::new();
            for point in points.iter().filter(|point| point.page == page) {
                let command = if line.is_empty() { 'M' } else { 'L' };
                write!(line, "{command}{:.1} {:.1}", x(point.working_set), self.y((self.modelled)(point)))?;
            }
            writeln!(out, r##"<path d="{line}" fill="none" stroke="{colour}" stroke-width="2"/>"##)?;
            for measured in published::of(page) {
                let (cx, cy) = (x(measured.0 << 10), self.y((self.measured)(measured)));
                writeln!(
                    out,
                    r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="3.5" fill="white" stroke="{colour}"/>"##
                )?;
            }
        }
        Ok(())
    }
}

const STYLE: &str = "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.x{text-anchor:middle}.y{text-anchor:end}\
.grid{stroke:#ddd}.reach{stroke-dasharray:4 3;opacity:.6}";

/// The whole picture.
pub(crate) fn svg(points: &[Point]) -> String {
    let height = TOP + 2.0 * PANEL + GAP + 64.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let drawn = PANELS.iter().try_for_each(|panel| panel.draw(points, &mut out));
    debug_assert!(drawn.is_ok(), "text can be written to a string");
    let y = height - 18.0;
    for ((page, colour), at) in COLOURS.into_iter().zip([LEFT, LEFT + 330.0]) {
        out += &format!(
            "<path d=\"M{at} {:.1}h26\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"white\" stroke=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{page} pages: model, measured; dashed: 64 entries' reach</text>\n",
            y - 4.0,
            at + 38.0,
            y - 4.0,
            at + 48.0
        );
    }
    out + "</svg>\n"
}
