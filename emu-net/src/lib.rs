//! Frames, packet replay and capture, network backends.

mod backend;

pub use backend::NetBackend;
