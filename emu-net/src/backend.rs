//! What hangs at the other end of a network card's cable, as the machine sees it. Not the card, and not any file format.

use emu_core::VirtTime;

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
}
