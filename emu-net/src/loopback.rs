//! A plug that turns the card's transmitter back on its receiver.

use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::wire::{FRAME_MIN, LinkSpeed};
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Frames on their way at most; beyond it they are lost, as a guest could send faster than it ever looks.
const IN_FLIGHT_MAX: usize = 4096;

/// Frames on their way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopbackState {
    frames: VecDeque<(VirtTime, Vec<u8>)>,
}

/// The plug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loopback {
    state: LoopbackState,
}

impl NetBackend for Loopback {
    /// The last bit is back as it leaves: a plug has no length.
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        if self.state.frames.len() == IN_FLIGHT_MAX {
            return;
        }
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(FRAME_MIN), 0);
        let free = self.state.frames.back().map_or(VirtTime::ZERO, |(last, before)| {
            last.after(LinkSpeed::GIGABIT.gap()).after(LinkSpeed::GIGABIT.frame(before.len()))
        });
        self.state.frames.push_back((now.max(free), frame));
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.state.frames.front().map(|(when, _)| *when)
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        if self.next_arrival()? > now {
            return None;
        }
        self.state.frames.pop_front().map(|(_, frame)| frame.into())
    }

    fn is_exhausted(&self) -> bool {
        self.state.frames.is_empty()
    }

    fn state(&self) -> BackendState {
        BackendState::Loopback(self.state.clone())
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Loopback(state) = state else { return Err(BackendRestoreError::Kind) };
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_comes_back_padded_and_in_order() {
        let mut plug = Loopback::default();
        plug.send(VirtTime(1000), &[1; 14]);
        plug.send(VirtTime(1000), &[2; 100]);
        assert_eq!(plug.receive(VirtTime(999)), None);
        let mut first = vec![1; 14];
        first.resize(60, 0);
        assert_eq!(plug.receive(VirtTime(1000)), Some(first.into()));
        let second = plug.next_arrival().unwrap();
        assert!(second > VirtTime(1000));
        assert_eq!(plug.receive(second), Some(vec![2; 100].into()));
        assert!(plug.is_exhausted());
    }
}
