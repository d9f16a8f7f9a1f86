//! Frames on their way to the guest, one after the other at the link's speed, and how they are made of packets.

use crate::packet::Layout;
use crate::wire::{FRAME_MIN, LinkSpeed};
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Frames on their way at most: what is beyond is lost, as a guest could ask faster than it ever looks.
const IN_FLIGHT_MAX: usize = 4096;

/// The wire to the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Frames with the arrival of their last bit.
    queue: VecDeque<(VirtTime, Vec<u8>)>,
    /// When the last one's last bit has left.
    free: VirtTime,
}

impl Line {
    /// Sends a packet to `to` with all its sums computed, unless too much is on its way.
    pub(super) fn send(&mut self, now: VirtTime, to: [u8; 6], from: [u8; 6], ether_type: u16, packet: &[u8]) {
        if self.queue.len() >= IN_FLIGHT_MAX {
            return;
        }
        let mut frame = Vec::with_capacity(14 + packet.len().max(FRAME_MIN));
        frame.extend(to);
        frame.extend(from);
        frame.extend(ether_type.to_be_bytes());
        frame.extend(packet);
        if let Some(layout) = Layout::of(&frame) {
            layout.seal(&mut frame);
        }
        frame.resize(frame.len().max(FRAME_MIN), 0);
        let arrival = now.max(self.free).after(LinkSpeed::GIGABIT.frame(frame.len()));
        self.free = arrival.after(LinkSpeed::GIGABIT.gap());
        self.queue.push_back((arrival, frame));
    }

    pub(super) fn next(&self) -> Option<VirtTime> {
        self.queue.front().map(|(when, _)| *when)
    }

    pub(super) fn take(&mut self, now: VirtTime) -> Option<Vec<u8>> {
        self.queue.pop_front_if(|(when, _)| *when <= now).map(|(_, frame)| frame)
    }
}
