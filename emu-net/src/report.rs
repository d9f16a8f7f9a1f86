//! What the parts of a wire have counted, for the summary and as JSON.

use crate::backend::BackendRestoreError;
use serde::Serialize;

/// What one part of the wire has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which part: the name that scenarios use.
    pub part: &'static str,
    /// What it counted, in its own order.
    pub counts: Vec<Count>,
    /// Each conversation, if it holds any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<crate::converse::Outcome>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Of what.
    pub what: &'static str,
    /// How many.
    pub count: u64,
}

impl Report {
    /// Of a part that has counted nothing yet.
    #[must_use]
    pub fn new(part: &'static str) -> Self {
        Self { part, ..Self::default() }
    }

    /// With one more figure.
    #[must_use]
    pub fn count(mut self, what: &'static str, count: u64) -> Self {
        self.counts.push(Count { what, count });
        self
    }

    /// A figure by name.
    #[must_use]
    pub fn get(&self, what: &str) -> Option<u64> {
        self.counts.iter().find(|count| count.what == what).map(|count| count.count)
    }
}

/// No run counts this far, so that counting on from a snapshot can't overflow.
const COUNT_MAX: u64 = 1 << 62;

/// Counts from a snapshot, if a run can have counted so far.
pub(crate) fn sound<const N: usize>(counts: [u64; N]) -> Result<[u64; N], BackendRestoreError> {
    if counts.iter().all(|count| *count < COUNT_MAX) {
        Ok(counts)
    } else {
        Err(BackendRestoreError::Content("a count that no run reaches"))
    }
}
