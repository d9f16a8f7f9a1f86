//! Frames: captures in and out, replay in virtual time, and what can hang at the end of a network card's cable.
//!
//! Start at [`NetBackend`]. Nothing here knows a network card.

mod backend;
mod capture;
mod loopback;
pub mod matching;
mod replay;
mod wire;

pub use backend::{BackendRestoreError, BackendState, NetBackend, Null};
pub use capture::{Capture, CaptureError, CaptureWriter, CapturedFrame, Direction, read_capture};
pub use loopback::{Loopback, LoopbackState};
pub use replay::{CutFrames, Pacing, Replay, ReplayConfig, ReplayState, Trigger};
pub use wire::{FRAME_MIN, LinkSpeed};
