//! Replaying a capture towards the card, in virtual time.
//!
//! A frame arrives with its last bit. Two frames never overlap on the wire, whatever the pacing asks for.

use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::capture::{CaptureError, CapturedFrame, read_capture};
use crate::report::Report;
use crate::wire::{FRAME_MIN, LinkSpeed, parse_mac};
use emu_core::{VirtDuration, VirtTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// When frames arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Pacing {
    /// With the gaps that they were captured with.
    #[default]
    AsCaptured,
    /// With those gaps times `num / den`.
    Scaled {
        /// Numerator.
        num: u32,
        /// Denominator.
        den: u32,
    },
    /// So many a second, evenly.
    FramesPerSecond(u64),
    /// So many bits of frames a second, without preamble and gap.
    BitsPerSecond(u64),
    /// As fast as the link allows.
    BackToBack,
}

/// What a replay's start is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Power-on.
    #[default]
    PowerOn,
    /// The first frame that the guest sends: by then its network is up, however long it took to boot.
    FirstSent,
}

/// What becomes of frames that were cut when they were captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CutFrames {
    /// Zeros up to the length that they had.
    #[default]
    Pad,
    /// Left out.
    Skip,
}

/// What becomes of a frame that the card has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Room {
    /// It is lost, as on a real wire; the card counts it.
    #[default]
    Lose,
    /// It waits until the card receives and has descriptors for it, and all after it wait as well: none is lost.
    Wait,
}

/// What is changed in a capture, and how often it is played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// Every unicast frame is sent to this address instead, so that a foreign capture reaches the guest's card.
    /// Checksums above Ethernet do not cover it.
    pub dst_mac: Option<String>,
    /// How often.
    pub loops: u32,
    /// What becomes of cut frames.
    pub cut_frames: CutFrames,
    /// At most so many frames a loop.
    pub limit: Option<u64>,
    /// Link speed in megabits a second.
    pub link_mbps: u32,
    /// What the start is counted from.
    pub after: Trigger,
    /// What becomes of a frame that the card has no room for.
    pub room: Room,
    /// Frames of the capture, counted from 0, that come so many milliseconds later than the pacing says, and all after
    /// them as well: time for a guest to do something else.
    pub pauses: BTreeMap<u64, u64>,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            dst_mac: None,
            loops: 1,
            cut_frames: CutFrames::Pad,
            limit: None,
            link_mbps: 1000,
            after: Trigger::PowerOn,
            room: Room::Lose,
            pauses: BTreeMap::new(),
        }
    }
}

/// A replay's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayState {
    /// Frames that have arrived.
    pub next: u64,
    /// Arrival of the next one.
    pub arrival: Option<VirtTime>,
    /// Fingerprint of the frames and their pacing.
    pub fingerprint: u64,
}

/// Frames of a capture on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    frames: Vec<CapturedFrame>,
    pacing: Pacing,
    speed: LinkSpeed,
    start: VirtDuration,
    after: Trigger,
    room: Room,
    pauses: BTreeMap<u64, u64>,
    total: u64,
    state: ReplayState,
}

/// The longest Ethernet frame that a card of this kind could take, without FCS.
const FRAME_MAX: usize = 16 * 1024;

impl Replay {
    /// Replays the capture in `bytes`; `path` is for errors. The first frame's last bit arrives at `start`.
    pub fn new(
        path: &Path,
        bytes: &[u8],
        pacing: &Pacing,
        start: VirtDuration,
        config: &ReplayConfig,
    ) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let refuse = |reason: String| CaptureError::Config { name: name.clone(), reason };
        check_pacing(*pacing).map_err(refuse)?;
        if config.link_mbps == 0 {
            return Err(refuse("a link of 0 Mb/s carries nothing".to_owned()));
        }
        let mac = config.dst_mac.as_deref().map(parse_mac).transpose().map_err(refuse)?;
        let mut frames = read_capture(&name, bytes)?.frames;
        frames.retain(|frame| {
            let cut = (frame.bytes.len() as u64) < u64::from(frame.original_len);
            !(cut && config.cut_frames == CutFrames::Skip) && frame.bytes.len() >= 14
        });
        if let Some(limit) = config.limit {
            frames.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        for frame in &mut frames {
            let len = (frame.original_len as usize).clamp(FRAME_MIN, FRAME_MAX);
            frame.bytes.resize(len.max(frame.bytes.len()), 0);
            if let Some(mac) = mac.filter(|_| frame.bytes[0] & 1 == 0) {
                frame.bytes[..6].copy_from_slice(&mac);
            }
        }
        let total = frames.len() as u64 * u64::from(config.loops);
        let mut replay = Self {
            pacing: *pacing,
            speed: LinkSpeed(config.link_mbps),
            start,
            after: config.after,
            room: config.room,
            pauses: config.pauses.clone(),
            total,
            state: ReplayState { next: 0, arrival: None, fingerprint: 0 },
            frames,
        };
        replay.state.fingerprint = replay.fingerprint();
        if config.after == Trigger::PowerOn {
            replay.begin(VirtTime::ZERO);
        }
        Ok(replay)
    }

    fn begin(&mut self, from: VirtTime) {
        self.state.arrival = (self.total > 0).then_some(from.after(self.start));
    }

    /// Whether it waits for the guest to send something.
    fn is_waiting(&self) -> bool {
        self.after == Trigger::FirstSent && self.state.next == 0 && self.state.arrival.is_none()
    }

    /// Frames in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    fn frame(&self, number: u64) -> &CapturedFrame {
        &self.frames[(number % self.frames.len() as u64) as usize]
    }

    /// FNV-1a over everything that decides the replay.
    fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        let Self { pacing, speed, start, after, room, pauses, total, .. } = self;
        add(format!("{pacing:?} {speed:?} {start:?} {after:?} {room:?} {pauses:?} {total}").as_bytes());
        for frame in &self.frames {
            add(&frame.time_ns.to_le_bytes());
            add(&(frame.bytes.len() as u64).to_le_bytes());
            add(&frame.bytes);
        }
        hash
    }

    /// How long after frame `number` the next one is wanted.
    fn wanted_gap(&self, number: u64) -> VirtDuration {
        let (this, next) = (self.frame(number), self.frame(number + 1));
        let captured = next.time_ns.saturating_sub(this.time_ns);
        match self.pacing {
            Pacing::AsCaptured => VirtDuration::from_ns(captured),
            Pacing::Scaled { num, den } => {
                let scaled = u128::from(captured) * u128::from(num) * 1000 / u128::from(den);
                VirtDuration::from_ps(u64::try_from(scaled).unwrap_or(u64::MAX))
            }
            Pacing::FramesPerSecond(rate) => VirtDuration::from_ps(1_000_000_000_000 / rate),
            Pacing::BitsPerSecond(rate) => {
                let ps = next.bytes.len() as u128 * 8 * 1_000_000_000_000 / u128::from(rate);
                VirtDuration::from_ps(u64::try_from(ps).unwrap_or(u64::MAX))
            }
            Pacing::BackToBack => VirtDuration::ZERO,
        }
    }

    /// What the configuration adds in front of frame `number`.
    fn pause(&self, number: u64) -> VirtDuration {
        let place = number % self.frames.len() as u64;
        self.pauses.get(&place).map_or(VirtDuration::ZERO, |ms| VirtDuration::from_ms(*ms))
    }

    /// The arrival after frame `number`'s.
    fn arrival_after(&self, number: u64, arrival: VirtTime) -> Option<VirtTime> {
        if number + 1 >= self.total {
            return None;
        }
        let wanted = arrival.after(self.wanted_gap(number)).after(self.pause(number + 1));
        let next = self.frame(number + 1).bytes.len();
        Some(wanted.max(arrival.after(self.speed.gap()).after(self.speed.frame(next))))
    }
}

fn check_pacing(pacing: Pacing) -> Result<(), String> {
    match pacing {
        Pacing::Scaled { den: 0, .. } => Err("the pacing's denominator is 0".to_owned()),
        Pacing::FramesPerSecond(0) | Pacing::BitsPerSecond(0) => Err("a rate of 0 never ends".to_owned()),
        _ => Ok(()),
    }
}

impl NetBackend for Replay {
    /// A replay does not listen, except for the first frame if that starts it.
    fn send(&mut self, now: VirtTime, _: &[u8]) {
        if self.is_waiting() {
            self.begin(now);
        }
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.state.arrival
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        let arrival = self.state.arrival.filter(|arrival| *arrival <= now)?;
        let number = self.state.next;
        let bytes = self.frame(number).bytes.clone();
        self.state.next += 1;
        // A frame that had to wait moves all that follow; on a real wire nothing waits.
        let passed = match self.room {
            Room::Lose => arrival,
            Room::Wait => now,
        };
        self.state.arrival = self.arrival_after(number, passed);
        Some(bytes.into())
    }

    fn held(&self) -> Option<usize> {
        (self.room == Room::Wait && self.state.arrival.is_some())
            .then(|| self.frame(self.state.next).bytes.len())
    }

    fn report(&self, reports: &mut Vec<Report>) {
        reports.push(Report::new("replay").count("frames", self.total).count("arrived", self.state.next));
    }

    fn is_exhausted(&self) -> bool {
        self.state.arrival.is_none() && !(self.is_waiting() && self.total > 0)
    }

    fn state(&self) -> BackendState {
        BackendState::Replay(self.state.clone())
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Replay(state) = state else { return Err(BackendRestoreError::Kind) };
        if state.fingerprint != self.state.fingerprint {
            return Err(BackendRestoreError::Capture);
        }
        let may_wait = self.after == Trigger::FirstSent && state.next == 0;
        let arrives = state.next < self.total;
        if state.next > self.total
            || state.arrival.is_some() != arrives && !(may_wait && state.arrival.is_none())
        {
            return Err(BackendRestoreError::Position(state.next));
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureWriter, Direction};

    /// A capture of frames with these lengths, captured at these microseconds.
    fn capture(frames: &[(u64, usize)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = CaptureWriter::new(&mut bytes).unwrap();
        for (us, len) in frames {
            let time = VirtTime::ZERO.after(VirtDuration::from_us(*us));
            writer.frame(time, Direction::ToGuest, &vec![0xaa; *len], None).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn replay(pacing: Pacing, config: &ReplayConfig, frames: &[(u64, usize)]) -> Replay {
        let start = VirtDuration::from_us(10);
        Replay::new(Path::new("x"), &capture(frames), &pacing, start, config).unwrap()
    }

    /// Arrivals in nanoseconds.
    fn arrivals(pacing: Pacing, frames: &[(u64, usize)]) -> Vec<u64> {
        let mut replay = replay(pacing, &ReplayConfig::default(), frames);
        let mut times = Vec::new();
        while let Some(time) = replay.next_arrival() {
            times.push(time.as_ns());
            assert!(replay.receive(time).is_some());
        }
        times
    }

    #[test]
    fn pacing_decides_when_frames_arrive() {
        let frames = [(0, 60), (100, 60), (300, 1000)];
        assert_eq!(arrivals(Pacing::AsCaptured, &frames), [10_000, 110_000, 310_000]);
        assert_eq!(arrivals(Pacing::Scaled { num: 1, den: 2 }, &frames), [10_000, 60_000, 160_000]);
        assert_eq!(arrivals(Pacing::FramesPerSecond(10_000), &frames), [10_000, 110_000, 210_000]);
        assert_eq!(arrivals(Pacing::BitsPerSecond(8_000_000), &frames), [10_000, 70_000, 1_070_000]);
        // 672 ns for a frame of 60 bytes and its gap; 8 + 1000 + 4 + 12 bytes are 8192 ns.
        assert_eq!(arrivals(Pacing::BackToBack, &frames), [10_000, 10_672, 18_864]);
    }

    #[test]
    fn frames_captured_at_once_still_pass_one_after_the_other() {
        assert_eq!(arrivals(Pacing::AsCaptured, &[(0, 60), (0, 60)]), [10_000, 10_672]);
    }

    #[test]
    fn with_back_pressure_a_frame_waits_and_moves_those_after_it() {
        let config = ReplayConfig { room: Room::Wait, ..Default::default() };
        let mut replay = replay(Pacing::AsCaptured, &config, &[(0, 60), (100, 70)]);
        assert_eq!(replay.held(), Some(60));
        let late = VirtTime::ZERO.after(VirtDuration::from_us(500));
        assert!(replay.receive(late).is_some());
        assert_eq!((replay.next_arrival().map(VirtTime::as_ns), replay.held()), (Some(600_000), Some(70)));
    }

    #[test]
    fn a_pause_moves_a_frame_and_those_after_it_in_every_loop() {
        let config = ReplayConfig { pauses: [(1, 2)].into(), loops: 2, ..Default::default() };
        let mut replay = replay(Pacing::BackToBack, &config, &[(0, 60), (0, 60), (0, 60)]);
        let mut times = Vec::new();
        while let Some(time) = replay.next_arrival() {
            times.push(time.as_ns());
            assert!(replay.receive(time).is_some());
        }
        assert_eq!(times, [10_000, 2_010_000, 2_010_672, 2_011_344, 4_011_344, 4_012_016]);
    }

    #[test]
    fn a_unicast_destination_is_rewritten_and_short_frames_padded() {
        let config =
            ReplayConfig { dst_mac: Some("02:00:00:00:00:01".to_owned()), loops: 2, ..Default::default() };
        let mut replay = replay(Pacing::BackToBack, &config, &[(0, 20)]);
        assert_eq!(replay.total(), 2);
        let frame = replay.receive(VirtTime::NEVER).unwrap().bytes;
        assert_eq!((frame.len(), &frame[..6]), (60, &[2, 0, 0, 0, 0, 1][..]));
        assert!(replay.receive(VirtTime::NEVER).is_some() && replay.is_exhausted());
    }

    #[test]
    fn a_replay_goes_on_from_its_state_and_refuses_another_capture() {
        let frames = [(0, 60), (100, 60), (300, 1000)];
        let mut first = replay(Pacing::AsCaptured, &ReplayConfig::default(), &frames);
        first.receive(VirtTime::NEVER);
        let mut second = replay(Pacing::AsCaptured, &ReplayConfig::default(), &frames);
        second.restore(first.state()).unwrap();
        assert_eq!(second, first);
        let mut other = replay(Pacing::AsCaptured, &ReplayConfig::default(), &frames[..2]);
        assert_eq!(other.restore(first.state()), Err(BackendRestoreError::Capture));
        assert_eq!(other.restore(BackendState::Null), Err(BackendRestoreError::Kind));
    }

    #[test]
    fn a_replay_can_wait_for_the_first_frame_that_the_guest_sends() {
        let config = ReplayConfig { after: Trigger::FirstSent, ..ReplayConfig::default() };
        let mut replay = replay(Pacing::AsCaptured, &config, &[(0, 60), (100, 60)]);
        assert_eq!((replay.next_arrival(), replay.is_exhausted()), (None, false));
        let mut waiting = replay.clone();
        waiting.restore(replay.state()).unwrap();
        let at = VirtTime::ZERO.after(VirtDuration::from_us(500));
        replay.send(at, &[0; 60]);
        assert_eq!(replay.next_arrival().map(VirtTime::as_ns), Some(510_000));
        replay.send(at.after(VirtDuration::from_us(1)), &[0; 60]);
        assert_eq!(replay.next_arrival().map(VirtTime::as_ns), Some(510_000));
        waiting.send(at, &[0; 60]);
        assert_eq!(waiting, replay);
    }

    #[test]
    fn nonsense_options_are_refused() {
        for (pacing, mac, mbps) in [
            (Pacing::FramesPerSecond(0), None, 1000),
            (Pacing::Scaled { num: 1, den: 0 }, None, 1000),
            (Pacing::AsCaptured, Some("nonsense".to_owned()), 1000),
            (Pacing::AsCaptured, None, 0),
        ] {
            let config = ReplayConfig { dst_mac: mac, link_mbps: mbps, ..Default::default() };
            let result = Replay::new(Path::new("x"), &capture(&[]), &pacing, VirtDuration::ZERO, &config);
            assert!(matches!(result, Err(CaptureError::Config { .. })), "{pacing:?} {config:?}");
        }
    }
}
