//! What hangs at the other end of a network card's cable, as the machine sees it. Not the card, and not any file format.

use crate::loopback::LoopbackState;
use crate::replay::ReplayState;
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};

/// The far end of a network card's cable. Pulled, never pushing: the machine asks when the next frame has fully arrived.
pub trait NetBackend {
    /// The card's link partner takes a frame (without FCS) whose last bit left the card at `now`.
    fn send(&mut self, now: VirtTime, frame: &[u8]);
    /// When the next frame's last bit arrives at the card, if any is known. May change after `send`.
    fn next_arrival(&self) -> Option<VirtTime>;
    /// Takes the frame (without FCS) that has arrived by `now`.
    fn receive(&mut self, now: VirtTime) -> Option<Vec<u8>>;
    /// Whether the replay is over: nothing more will ever arrive unless the card sends.
    fn is_exhausted(&self) -> bool;
    /// What a snapshot keeps.
    fn state(&self) -> BackendState;
    /// Goes on from a snapshot.
    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError>;
}

/// A far end's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum BackendState {
    /// [`Null`] has none.
    Null,
    /// Of a [`crate::Loopback`].
    Loopback(LoopbackState),
    /// Of a [`crate::Replay`].
    Replay(ReplayState),
}

/// Why a far end can't go on from a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendRestoreError {
    /// The state is of another kind of far end.
    #[error("network: the state is of another kind of far end")]
    Kind,
    /// The capture is not the one that the snapshot was taken with.
    #[error("network: the capture has changed since the snapshot was taken")]
    Capture,
    /// A position beyond the end of the replay.
    #[error("network: frame {0} is beyond the end of the replay")]
    Position(u64),
}

/// A cable that nobody holds the other end of. The link is up all the same; what is sent is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Null;

impl NetBackend for Null {
    fn send(&mut self, _: VirtTime, _: &[u8]) {}

    fn next_arrival(&self) -> Option<VirtTime> {
        None
    }

    fn receive(&mut self, _: VirtTime) -> Option<Vec<u8>> {
        None
    }

    fn is_exhausted(&self) -> bool {
        true
    }

    fn state(&self) -> BackendState {
        BackendState::Null
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        if state == BackendState::Null { Ok(()) } else { Err(BackendRestoreError::Kind) }
    }
}
