//! The card's cable: its far end, what writes down the frames that pass, and what checks that questions are answered.

use super::console::Once;
use emu_core::VirtTime;
use emu_core::trace::RecordId;
use emu_devices::e1000::Fate;
use emu_net::converse::Step;
use emu_net::matching::{self, Request};
use emu_net::{BackendRestoreError, BackendState, CaptureWriter, Direction, Frame, NetBackend, Report};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// The card's cable: a far end, and a tap that writes down what the card sends.
pub(super) struct Cable {
    pub(super) far_end: Box<dyn NetBackend>,
    tap: Option<CaptureWriter<Box<dyn Write + Send>>>,
    /// What writes down both ways, and what became of each frame.
    log: Option<WireLog>,
    /// The first error of either; told when the capture is finished.
    broken: Option<io::Error>,
    /// Frames that the card has sent.
    pub(super) sent: u64,
    /// What is expected to be answered.
    pub(super) questions: Option<Questions>,
    told: Told,
}

/// How far the captures are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Frames sent.
    sent: Once,
    /// Frames both ways.
    passed: Once,
    /// What became of frames.
    fates: Once,
}

impl Told {
    fn each(&mut self) -> [&mut Once; 3] {
        [&mut self.sent, &mut self.passed, &mut self.fates]
    }

    /// The run is where it was when `then` was taken.
    pub(super) fn rewind(&mut self, then: Self) {
        for (now, then) in self.each().into_iter().zip([then.sent, then.passed, then.fates]) {
            now.rewind(then.seen());
        }
    }

    /// What follows is another run.
    pub(super) fn tell_again(&mut self) {
        self.each().into_iter().for_each(Once::tell_again);
    }
}

/// Requests on their way to an address that is expected to answer them. Watched from outside: the guest can't notice.
#[derive(Debug)]
pub(super) struct Questions {
    address: [u8; 4],
    pub(super) open: Vec<Request>,
}

impl Questions {
    pub(super) fn to(address: Ipv4Addr) -> Self {
        Self { address: address.octets(), open: Vec::new() }
    }

    fn asked(&mut self, frame: &[u8]) {
        self.open.extend(matching::request(frame, self.address));
    }

    /// One reply answers one request, the oldest.
    fn answered(&mut self, frame: &[u8]) {
        if let Some(at) = self.open.iter().position(|request| request.is_answered_by(frame)) {
            self.open.remove(at);
        }
    }

    /// How many have no answer.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }
}

impl std::fmt::Debug for Cable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cable").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Cable {
    pub(super) fn new(far_end: Box<dyn NetBackend>) -> Self {
        Self { far_end, tap: None, log: None, broken: None, sent: 0, questions: None, told: Told::default() }
    }

    /// Writes down everything sent from now on.
    pub(super) fn tap(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.tap = Some(CaptureWriter::new(out)?);
        Ok(())
    }

    /// Writes down every frame from now on, both ways, with what became of it.
    pub(super) fn log(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.log = Some(WireLog::new(out)?);
        Ok(())
    }

    /// What became of a frame.
    pub(super) fn fate(&mut self, fate: Fate) {
        let old = self.told.fates.pass(1) > 0;
        if let Some(log) = &mut self.log
            && !old
            && self.broken.is_none()
        {
            self.broken = log.fate(fate).err();
        }
    }

    /// How far the captures are.
    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Closes all captures; says if anything could not be written.
    pub(super) fn finish_tap(&mut self) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        self.tap.take().map_or(Ok(()), |mut tap| tap.finish())?;
        self.log.take().map_or(Ok(()), WireLog::finish)?;
        self.far_end.finish()
    }
}

impl NetBackend for Cable {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.sent += 1;
        if let Some(questions) = &mut self.questions {
            questions.answered(frame);
        }
        let old = self.told.sent.pass(1) > 0;
        if let Some(tap) = &mut self.tap
            && !old
            && self.broken.is_none()
        {
            self.broken = tap.frame(now, Direction::FromGuest, frame, None).err();
        }
        let old = self.told.passed.pass(1) > 0;
        if let Some(log) = self.log.as_mut().filter(|_| !old) {
            log.frame(now, Direction::FromGuest, frame);
        }
        self.far_end.send(now, frame);
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.far_end.next_arrival()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        let frame = self.far_end.receive(now)?;
        if let Some(questions) = &mut self.questions {
            questions.asked(&frame.bytes);
        }
        let old = self.told.passed.pass(1) > 0;
        if let Some(log) = self.log.as_mut().filter(|_| !old) {
            log.frame(now, Direction::ToGuest, &frame.bytes);
        }
        Some(frame)
    }

    fn held(&self) -> Option<usize> {
        self.far_end.held()
    }

    fn take_steps(&mut self) -> Vec<Step> {
        self.far_end.take_steps()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        self.far_end.report(reports);
    }

    fn is_exhausted(&self) -> bool {
        self.far_end.is_exhausted()
    }

    fn state(&self) -> BackendState {
        self.far_end.state()
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        self.far_end.restore(state)
    }
}

/// Both ways of the cable as a capture. A frame is written when it is known what became of it, in the order in which they
/// passed.
struct WireLog {
    writer: CaptureWriter<Box<dyn Write + Send>>,
    waiting: VecDeque<Passed>,
}

/// A frame that has passed.
struct Passed {
    at: VirtTime,
    direction: Direction,
    bytes: Vec<u8>,
    /// Its number and the record of its arrival.
    arrival: Option<(u64, RecordId)>,
    /// What became of it, in words.
    fate: Option<String>,
}

impl WireLog {
    fn new(out: Box<dyn Write + Send>) -> io::Result<Self> {
        Ok(Self { writer: CaptureWriter::new(out)?, waiting: VecDeque::new() })
    }

    fn frame(&mut self, at: VirtTime, direction: Direction, bytes: &[u8]) {
        self.waiting.push_back(Passed { at, direction, bytes: bytes.to_vec(), arrival: None, fate: None });
    }

    fn fate(&mut self, fate: Fate) -> io::Result<()> {
        let inbound = |passed: &&mut Passed| passed.direction == Direction::ToGuest;
        let numbered = |wanted: u64| {
            move |passed: &&mut Passed| passed.arrival.is_some_and(|(packet, _)| packet == wanted)
        };
        let mut waiting = self.waiting.iter_mut();
        match fate {
            Fate::In { packet, record } => {
                if let Some(passed) = waiting.rev().find(inbound) {
                    passed.arrival = Some((packet, record));
                }
            }
            Fate::Dropped { packet, reason, record } => {
                if let Some(passed) = waiting.find(numbered(packet)) {
                    passed.fate = Some(format!("dropped: {}, record {}", reason.name(), record.0));
                }
            }
            Fate::Delivered { packet, record } => {
                if let Some(passed) = waiting.find(numbered(packet)) {
                    passed.fate = Some(format!("delivered, record {}", record.0));
                }
            }
            Fate::Out { record } => {
                if let Some(passed) = waiting.find(|passed| !inbound(passed) && passed.fate.is_none()) {
                    passed.fate = Some(format!("sent, record {}", record.0));
                }
            }
        }
        while let Some(passed) = self.waiting.pop_front_if(|passed| passed.fate.is_some()) {
            self.write(&passed)?;
        }
        Ok(())
    }

    fn write(&mut self, passed: &Passed) -> io::Result<()> {
        let fate = passed.fate.as_deref().unwrap_or("on its way when the capture ended");
        let comment = match passed.arrival {
            Some((packet, record)) => format!("packet {packet}, record {}: {fate}", record.0),
            None => fate.to_owned(),
        };
        self.writer.frame(passed.at, passed.direction, &passed.bytes, Some(&comment))
    }

    fn finish(mut self) -> io::Result<()> {
        for passed in std::mem::take(&mut self.waiting) {
            self.write(&passed)?;
        }
        self.writer.finish()
    }
}
