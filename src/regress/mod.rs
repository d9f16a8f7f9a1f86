//! The regression kit: runs of scenarios against what they are expected to be, kept beside them as text that a review can read.
//!
//! `NAME.ron` is a scenario, `NAME.expected/` what its run came to: `expected.ron` (how it ended, figures as values or ranges, a
//! digest of the trace by kind), `serial.txt`, `frames.txt` (what was on the wire, a line a frame).
//!
//! In a Rust test: `glassbox::regress::assert_as_expected("tests/runs/echo.ron")`.

mod expected;
mod formats;
mod outcome;

pub use expected::{Allowed, Expected, KindDigest};
pub use formats::{junit, tap};
pub use outcome::Outcome;

use crate::error::Error;
use crate::machine::snapshot::atomic;
use crate::scenario::Scenario;
use similar::TextDiff;
use std::path::{Path, PathBuf};

/// A scenario's run, compared.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario's file name without its ending.
    pub name: String,
    /// The scenario.
    pub path: PathBuf,
    /// What is not as expected, each with a first line that says it in short; empty if all is well.
    pub differences: Vec<String>,
    /// Its expectations were written anew.
    pub blessed: bool,
}

impl Case {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The scenarios of a folder, by name.
pub fn scenarios(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "ron") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Where the expectations of the scenario at `path` are.
fn folder_of(path: &Path) -> PathBuf {
    path.with_extension("expected")
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs the scenario at `path` and compares. With `bless` its run becomes what is expected; ranges that hold it stay.
pub fn check(path: &Path, bless: bool) -> Result<Case, Error> {
    let mut scenario = Scenario::load(&path.to_string_lossy())?;
    scenario.prepare(|_| ())?;
    let outcome = Outcome::of(scenario)?;
    let mut differences: Vec<String> = outcome.broken.clone();
    let folder = folder_of(path);
    let known = Expected::load(&folder.join("expected.ron"))?;
    if bless {
        let expected = Expected::of(&outcome, known.as_ref());
        let stored = compare(&folder, known.as_ref(), &outcome)?;
        if !stored.is_empty() {
            write(&folder, &expected, &outcome)?;
        }
        return Ok(Case {
            name: name_of(path),
            path: path.to_owned(),
            differences,
            blessed: !stored.is_empty(),
        });
    }
    differences.extend(compare(&folder, known.as_ref(), &outcome)?);
    Ok(Case { name: name_of(path), path: path.to_owned(), differences, blessed: false })
}

/// For Rust tests: fails with a readable difference. With `GLASSBOX_BLESS=1` in the environment the run becomes what is expected.
///
/// # Panics
/// If the run is not as expected, or can't be made.
#[allow(clippy::panic, reason = "how tests fail")]
pub fn assert_as_expected(path: impl AsRef<Path>) {
    let path = path.as_ref();
    let bless = std::env::var_os("GLASSBOX_BLESS").is_some_and(|value| value == "1");
    match check(path, bless) {
        Ok(case) if case.passed() => {}
        Ok(case) => panic!(
            "{} is not as expected (GLASSBOX_BLESS=1 accepts it):\n{}",
            path.display(),
            case.differences.join("\n")
        ),
        Err(error) => panic!("{error}"),
    }
}

fn write(folder: &Path, expected: &Expected, outcome: &Outcome) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let texts = [
        ("expected.ron", expected.to_text()),
        ("serial.txt", outcome.serial.clone()),
        ("frames.txt", outcome.frames.clone()),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        atomic::write(&path, text.as_bytes()).map_err(Error::file(&path))?;
    }
    Ok(())
}

/// What of `outcome` is not as it is kept in `folder`.
fn compare(folder: &Path, known: Option<&Expected>, outcome: &Outcome) -> Result<Vec<String>, Error> {
    let Some(known) = known else {
        return Ok(vec![format!("{} has no expectations yet: --bless writes them", folder.display())]);
    };
    let mut differences = known.differences(outcome);
    for (name, text) in [("serial.txt", &outcome.serial), ("frames.txt", &outcome.frames)] {
        let path = folder.join(name);
        let stored = match std::fs::read(&path) {
            Ok(stored) => String::from_utf8_lossy(&stored).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::File { path, source }),
        };
        if stored != *text {
            differences.push(text_difference(name, &stored, text));
        }
    }
    Ok(differences)
}

/// Lines of a difference that are shown at most.
const LINES_MAX: usize = 60;

fn text_difference(name: &str, stored: &str, now: &str) -> String {
    let diff = TextDiff::from_lines(stored, now);
    let unified = diff.unified_diff().context_radius(2).header("expected", "now").to_string();
    let lines: Vec<&str> = unified.lines().collect();
    let mut text = format!("{name} differs:\n{}", lines[..lines.len().min(LINES_MAX)].join("\n"));
    if lines.len() > LINES_MAX {
        text.push_str(&format!("\n... and {} lines more", lines.len() - LINES_MAX));
    }
    text
}
