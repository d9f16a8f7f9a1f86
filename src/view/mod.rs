//! How a run is shown: records as text, JSON lines or a timeline, and a packet's journey. Nothing here reaches the
//! machine.

pub mod chrome;
pub mod journey;
pub mod jsonl;
pub mod names;
pub mod sink;
pub mod text;

pub use journey::Journey;
pub use sink::{FileSink, Format};
