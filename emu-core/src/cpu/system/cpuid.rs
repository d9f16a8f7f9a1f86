//! The CPUID model: one named table that tells a consistent story.

use serde::{Deserialize, Serialize};

/// Which processor the machine claims to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuidModel {}

impl CpuidModel {
    /// Family, model and stepping as in leaf 1 EAX: also what EDX holds after reset.
    #[must_use]
    pub const fn signature(&self) -> u32 {
        0x000806d1
    }
}
