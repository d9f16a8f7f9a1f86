//! Frames: captures in and out, replay in virtual time, and what can hang at the end of a network card's cable.
//!
//! Start at [`NetBackend`]. Nothing here knows a network card.

mod backend;
mod capture;
pub mod converse;
pub mod layer;
mod loopback;
pub mod matching;
pub mod packet;
pub mod peer;
mod replay;
mod report;
mod wire;

pub use backend::{BackendRestoreError, BackendState, Frame, NetBackend, Null};
pub use capture::{Capture, CaptureError, CaptureWriter, CapturedFrame, Direction, read_capture};
pub use loopback::{Loopback, LoopbackState};
pub use replay::{CutFrames, Pacing, Replay, ReplayConfig, ReplayState, Room, Trigger};
pub use report::{Count, Report};
pub use wire::{FRAME_MIN, LinkSpeed, parse_mac};
