//! Stateful replay.
use serde::Serialize;
/// placeholder
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {}
