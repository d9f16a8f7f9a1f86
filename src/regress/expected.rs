//! Expectations as they are kept: values, ranges and digests.

use super::Outcome;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run is expected to come to. Whoever wants less exactness edits it: a figure may be a range or be left out, and so may
/// a kind of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Why the run ends.
    pub exit: String,
    /// Figures of the summary that are compared.
    pub figures: BTreeMap<String, Allowed>,
    /// Kinds of records that are compared.
    pub trace: BTreeMap<String, KindDigest>,
}

/// What a figure may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allowed {
    /// One value.
    Exactly(u64),
    /// From one to another, both included.
    Between(u64, u64),
}

impl Allowed {
    fn has(self, value: u64) -> bool {
        match self {
            Self::Exactly(one) => one == value,
            Self::Between(low, high) => (low..=high).contains(&value),
        }
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(one) => write!(f, "{one}"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
        }
    }
}

/// All records of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindDigest {
    /// How many.
    pub records: u64,
    /// Their hash; without one only their number is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Expected {
    /// Expectations that a run meets. Ranges of `before` that hold, and what it leaves out, stay as they are.
    #[must_use]
    pub fn of(outcome: &Outcome, before: Option<&Self>) -> Self {
        let figures = outcome.figures.iter().filter_map(|(name, value)| {
            let allowed = match before.map(|before| before.figures.get(name)) {
                Some(None) => return None,
                Some(Some(range)) if range.has(*value) => *range,
                Some(Some(_)) | None => Allowed::Exactly(*value),
            };
            Some((name.clone(), allowed))
        });
        let trace = outcome.kinds.iter().filter_map(|(kind, (records, digest))| {
            let known = before.map(|before| before.trace.get(kind));
            let digest = match known {
                Some(None) => return None,
                Some(Some(KindDigest { digest: None, .. })) => None,
                Some(Some(_)) | None => Some(digest.clone()),
            };
            Some((kind.clone(), KindDigest { records: *records, digest }))
        });
        Self { exit: outcome.exit.clone(), figures: figures.collect(), trace: trace.collect() }
    }

    /// Expectations that are kept in a file, if it is there.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { path: path.to_owned(), source }),
        };
        let options =
            ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let expected = options.from_str(&text);
        expected
            .map(Some)
            .map_err(|error| Error::Scenario { path: path.to_owned(), place: error.to_string() })
    }

    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let config =
            ron::ser::PrettyConfig::new().depth_limit(2).extensions(ron::extensions::Extensions::empty());
        let options =
            ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let mut text = options.to_string_pretty(self, config).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What of a run is not as expected.
    #[must_use]
    pub fn differences(&self, outcome: &Outcome) -> Vec<String> {
        let mut found = Vec::new();
        if self.exit != outcome.exit {
            found.push(format!("ended by {} instead of {}", outcome.exit, self.exit));
        }
        for (name, allowed) in &self.figures {
            match outcome.figures.get(name) {
                Some(value) if allowed.has(*value) => {}
                Some(value) => found.push(format!("{name} is {value} instead of {allowed}")),
                None => found.push(format!("{name} is missing; {allowed} is expected")),
            }
        }
        for (kind, KindDigest { records, digest }) in &self.trace {
            let (now, hash) = outcome.kinds.get(kind).cloned().unwrap_or_default();
            if now != *records {
                found.push(format!("{now} records of kind {kind} instead of {records}"));
            } else if digest.as_ref().is_some_and(|digest| *digest != hash) {
                found.push(format!("records of kind {kind} differ, as many as they were: {records}"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(instructions: u64, dma: (u64, &str)) -> Outcome {
        Outcome {
            exit: "idle".to_owned(),
            figures: [("instructions".to_owned(), instructions), ("frames_in".to_owned(), 3)].into(),
            kinds: [("dma".to_owned(), (dma.0, dma.1.to_owned()))].into(),
            ..Outcome::default()
        }
    }

    #[test]
    fn what_was_blessed_is_met_and_survives_being_written() {
        let first = outcome(100, (2, "abc"));
        let expected = Expected::of(&first, None);
        assert_eq!(expected.differences(&first), Vec::<String>::new());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), expected.to_text()).unwrap();
        assert_eq!(Expected::load(file.path()).unwrap(), Some(expected));
    }

    #[test]
    fn each_difference_is_told() {
        let expected = Expected::of(&outcome(100, (2, "abc")), None);
        assert_eq!(
            expected.differences(&outcome(101, (2, "abd"))),
            ["instructions is 101 instead of 100", "records of kind dma differ, as many as they were: 2",]
        );
        assert_eq!(expected.differences(&outcome(100, (3, "abc"))), ["3 records of kind dma instead of 2"]);
        let ended = Outcome { exit: "reset".to_owned(), ..outcome(100, (2, "abc")) };
        assert_eq!(expected.differences(&ended), ["ended by reset instead of idle"]);
    }

    #[test]
    fn blessing_keeps_ranges_that_hold_and_what_was_left_out() {
        let mut known = Expected::of(&outcome(100, (2, "abc")), None);
        known.figures.remove("frames_in");
        known.figures.insert("instructions".to_owned(), Allowed::Between(90, 110));
        known.trace.insert("dma".to_owned(), KindDigest { records: 2, digest: None });
        assert_eq!(known.differences(&outcome(105, (2, "other"))), Vec::<String>::new());
        assert_eq!(Expected::of(&outcome(105, (2, "other")), Some(&known)), known);
        let beyond = Expected::of(&outcome(120, (2, "abc")), Some(&known));
        assert_eq!(beyond.figures["instructions"], Allowed::Exactly(120));
    }
}
