//! A bad wire: frames are lost, doubled, delayed, overtake each other, and lose bits. The same kinds of trouble that Linux's
//! netem makes, each way of its own, from a seed: the same run has the same trouble.

use super::LayerState;
use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::converse::Step;
use crate::report::{Report, sound};
use crate::wire::LinkSpeed;
use emu_core::{VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};

/// One in a million, the unit of all chances.
const MILLION: u64 = 1_000_000;
/// Frames on their way at most, each way; beyond it they are lost, as netem's own queue has a limit.
const QUEUE_MAX: usize = 10_000;
/// The longest delay: longer than any run.
const DELAY_MAX_NS: u64 = 1 << 50;

/// What happens to frames that go one way. Chances are in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Impairment {
    /// Every frame is late by so many nanoseconds.
    pub delay_ns: u64,
    /// And by up to so many more or less, evenly spread.
    pub jitter_ns: u64,
    /// Chance that a frame is lost.
    pub loss: u32,
    /// Chance that the next one is lost as well, after one that was: losses come in bursts. 0: no memory.
    pub loss_again: u32,
    /// Chance that a frame comes twice.
    pub duplicate: u32,
    /// Chance that one bit of a frame is changed where no FCS notices.
    pub corrupt: u32,
    /// Chance that a frame's FCS does not fit, which a card should notice.
    pub bad_fcs: u32,
    /// Chance that a frame is not delayed, and so overtakes those that are.
    pub reorder: u32,
}

/// What happens to frames each way, and the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImpairConfig {
    /// Where the dice start.
    pub seed: u64,
    /// Frames to the guest.
    pub to_guest: Impairment,
    /// Frames from the guest.
    pub from_guest: Impairment,
}

/// A frame that is late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// When it is through.
    pub due: VirtTime,
    /// The frame.
    pub frame: Frame,
}

/// One way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneState {
    /// On their way, the next to be through first.
    pub late: Vec<Late>,
    /// The last frame was lost.
    pub losing: bool,
    /// Passed, lost, doubled, changed, with a bad FCS, overtaking.
    pub counts: [u64; 6],
}

/// A bad wire's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImpairState {
    /// The dice.
    pub dice: u64,
    /// To the guest and from it.
    pub lanes: [LaneState; 2],
    /// When the wire to the guest is free again.
    pub free: VirtTime,
}

const TO_GUEST: usize = 0;
const FROM_GUEST: usize = 1;
const NAMES: [[&str; 6]; 2] = [
    ["in passed", "in lost", "in doubled", "in changed", "in bad FCS", "in overtaking"],
    ["out passed", "out lost", "out doubled", "out changed", "out bad FCS", "out overtaking"],
];

/// splitmix64: small, seedable, good enough to be unlike any traffic.
fn roll(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *dice;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether something with this chance happens. The dice are only thrown for what can happen.
fn happens(dice: &mut u64, chance: u32) -> bool {
    chance > 0 && roll(dice) % MILLION < u64::from(chance)
}

impl LaneState {
    /// A frame enters this way at `now`.
    fn enter(&mut self, dice: &mut u64, trouble: &Impairment, now: VirtTime, mut frame: Frame) {
        let loss = if self.losing && trouble.loss_again > 0 { trouble.loss_again } else { trouble.loss };
        self.losing = happens(dice, loss);
        if self.losing {
            self.counts[1] += 1;
            return;
        }
        if happens(dice, trouble.corrupt) && !frame.bytes.is_empty() {
            let bit = roll(dice) % (frame.bytes.len() as u64 * 8);
            frame.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            self.counts[3] += 1;
        }
        if happens(dice, trouble.bad_fcs) {
            frame.bad_fcs = true;
            self.counts[4] += 1;
        }
        if happens(dice, trouble.duplicate) {
            self.counts[2] += 1;
            self.delay(dice, trouble, now, frame.clone());
        }
        self.delay(dice, trouble, now, frame);
    }

    fn delay(&mut self, dice: &mut u64, trouble: &Impairment, now: VirtTime, frame: Frame) {
        if self.late.len() >= QUEUE_MAX {
            self.counts[1] += 1;
            return;
        }
        self.counts[0] += 1;
        let overtakes = happens(dice, trouble.reorder);
        self.counts[5] += u64::from(overtakes);
        let mut delay = if overtakes { 0 } else { trouble.delay_ns.min(DELAY_MAX_NS) };
        if trouble.jitter_ns > 0 && !overtakes {
            let spread = trouble.jitter_ns.min(DELAY_MAX_NS);
            delay = (delay + roll(dice) % (2 * spread + 1)).saturating_sub(spread);
        }
        let due = now.after(VirtDuration::from_ns(delay));
        let at = self.late.partition_point(|late| late.due <= due);
        self.late.insert(at, Late { due, frame });
    }

    fn next(&self) -> Option<VirtTime> {
        self.late.first().map(|late| late.due)
    }
}

/// The decorator.
pub struct Impair {
    inner: Box<dyn NetBackend>,
    config: ImpairConfig,
    state: ImpairState,
}

impl Impair {
    /// Makes trouble on the way between `inner` and the card.
    #[must_use]
    pub fn new(inner: Box<dyn NetBackend>, config: ImpairConfig) -> Self {
        let state = ImpairState { dice: config.seed, ..ImpairState::default() };
        Self { inner, config, state }
    }

    /// What is through by `now` reaches the other side, in order. What the far end holds back is only taken if `room`.
    fn pass(&mut self, now: VirtTime, room: bool) {
        loop {
            let out = self.state.lanes[FROM_GUEST].next().filter(|due| *due <= now);
            let waits = !room && self.inner.held().is_some();
            let arrival = self.inner.next_arrival().filter(|due| *due <= now && !waits);
            match (out, arrival) {
                (Some(out), arrival) if arrival.is_none_or(|arrival| out <= arrival) => {
                    let late = self.state.lanes[FROM_GUEST].late.remove(0);
                    // A switch on the way drops a frame with a bad FCS.
                    if !late.frame.bad_fcs {
                        self.inner.send(out, &late.frame.bytes);
                    }
                }
                (_, Some(arrival)) => {
                    let Some(frame) = self.inner.receive(now) else {
                        if self.inner.next_arrival() == Some(arrival) {
                            return;
                        }
                        continue;
                    };
                    let ImpairState { dice, lanes, .. } = &mut self.state;
                    lanes[TO_GUEST].enter(dice, &self.config.to_guest, now, frame);
                }
                (Some(_), None) | (None, None) => return,
            }
        }
    }
}

impl NetBackend for Impair {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        let ImpairState { dice, lanes, .. } = &mut self.state;
        lanes[FROM_GUEST].enter(dice, &self.config.from_guest, now, frame.to_vec().into());
        self.pass(now, false);
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        let [to_guest, from_guest] = &self.state.lanes;
        let arrival = to_guest.late.first().map(|late| late.due.max(self.state.free));
        [self.inner.next_arrival(), from_guest.next(), arrival].into_iter().flatten().min()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        self.pass(now, true);
        let late = self.state.lanes[TO_GUEST].late.first()?;
        if late.due.max(self.state.free) > now {
            return None;
        }
        let late = self.state.lanes[TO_GUEST].late.remove(0);
        let next = self.state.lanes[TO_GUEST].late.first().map_or(0, |late| late.frame.bytes.len());
        self.state.free = now.after(LinkSpeed::GIGABIT.gap()).after(LinkSpeed::GIGABIT.frame(next));
        Some(late.frame)
    }

    /// What is late does not wait; what the far end holds back may.
    fn held(&self) -> Option<usize> {
        let busy = self.state.lanes.iter().any(|lane| !lane.late.is_empty());
        if busy { None } else { self.inner.held() }
    }

    fn is_exhausted(&self) -> bool {
        self.inner.is_exhausted() && self.state.lanes.iter().all(|lane| lane.late.is_empty())
    }

    fn take_steps(&mut self) -> Vec<Step> {
        self.inner.take_steps()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        self.inner.report(reports);
        let mut report = Report::new("impair");
        for (lane, names) in self.state.lanes.iter().zip(NAMES) {
            for (count, name) in lane.counts.iter().zip(names) {
                report = report.count(name, *count);
            }
        }
        reports.push(report);
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.inner.finish()
    }

    fn state(&self) -> BackendState {
        BackendState::Layer(LayerState::Impair(self.state.clone()), Box::new(self.inner.state()))
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Layer(LayerState::Impair(state), inner) = state else {
            return Err(BackendRestoreError::Kind);
        };
        for lane in &state.lanes {
            sound(lane.counts)?;
            if lane.late.len() > QUEUE_MAX || !lane.late.is_sorted_by_key(|late| late.due) {
                return Err(BackendRestoreError::Content("late frames out of order"));
            }
        }
        self.inner.restore(*inner)?;
        self.state = state;
        Ok(())
    }
}
