//! What hangs at the other end of a network card's cable, as the machine sees it. Not the card, and not any file format.

use crate::converse::Step;
use crate::layer::LayerState;
use crate::loopback::LoopbackState;
use crate::replay::ReplayState;
use crate::report::Report;
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};

/// A frame on its way to the card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Without FCS.
    pub bytes: Vec<u8>,
    /// Its FCS does not fit: a bit was lost on the wire.
    pub bad_fcs: bool,
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, bad_fcs: false }
    }
}

/// The far end of a network card's cable, or something in between. Pulled, never pushing: the machine asks when it is time.
pub trait NetBackend {
    /// The card's link partner takes a frame (without FCS) whose last bit left the card at `now`.
    fn send(&mut self, now: VirtTime, frame: &[u8]);
    /// When to ask next: then a frame's last bit arrives at the card, or the far end has something of its own to do. May
    /// change after `send`.
    fn next_arrival(&self) -> Option<VirtTime>;
    /// Takes the frame that has arrived by `now`, if there is one.
    fn receive(&mut self, now: VirtTime) -> Option<Frame>;
    /// The length of the next frame, if it waits until the card has room for it instead of getting lost.
    fn held(&self) -> Option<usize> {
        None
    }
    /// Whether the replay is over: nothing more will ever arrive unless the card sends.
    fn is_exhausted(&self) -> bool;
    /// Adds what it has counted so far, the far end's first.
    fn report(&self, _reports: &mut Vec<Report>) {}
    /// What conversations have come to since the last call.
    fn take_steps(&mut self) -> Vec<Step> {
        Vec::new()
    }
    /// Closes what it writes to.
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
    /// Of something in between, and of what lies behind it.
    Layer(LayerState, Box<BackendState>),
    /// Of a [`crate::peer::Peer`].
    Peer(crate::peer::PeerState),
    /// Of a [`crate::converse::Converse`].
    Converse(Box<crate::converse::ConverseState>),
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
    /// A part of it can't be so.
    #[error("network: {0}")]
    Content(&'static str),
}

/// A cable that nobody holds the other end of. The link is up all the same; what is sent is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Null;

impl NetBackend for Null {
    fn send(&mut self, _: VirtTime, _: &[u8]) {}

    fn next_arrival(&self) -> Option<VirtTime> {
        None
    }

    fn receive(&mut self, _: VirtTime) -> Option<Frame> {
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
