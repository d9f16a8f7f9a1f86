//! Model-specific registers that are plain storage in the processor.

use serde::{Deserialize, Serialize};

/// Their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Msrs {}

impl Msrs {
    /// Reset values.
    #[must_use]
    pub const fn reset() -> Self {
        Self {}
    }
}
