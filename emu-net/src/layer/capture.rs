//! Writes down every frame that passes this point of the wire, both ways.

use super::LayerState;
use crate::backend::{BackendRestoreError, BackendState, Frame, NetBackend};
use crate::capture::{CaptureWriter, Direction};
use crate::converse::Step;
use crate::report::Report;
use emu_core::VirtTime;
use std::io::{self, Write};

/// A point of the wire where frames are written down.
pub struct CaptureLayer {
    inner: Box<dyn NetBackend>,
    writer: CaptureWriter<Box<dyn Write + Send>>,
    /// The first error; told when the capture is finished.
    broken: Option<io::Error>,
    frames: u64,
}

impl CaptureLayer {
    /// Writes what passes to `out`, as pcapng.
    pub fn new(inner: Box<dyn NetBackend>, out: Box<dyn Write + Send>) -> io::Result<Self> {
        Ok(Self { inner, writer: CaptureWriter::new(out)?, broken: None, frames: 0 })
    }

    fn write(&mut self, now: VirtTime, direction: Direction, frame: &[u8]) {
        self.frames += 1;
        if self.broken.is_none() {
            self.broken = self.writer.frame(now, direction, frame, None).err();
        }
    }
}

impl NetBackend for CaptureLayer {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.write(now, Direction::FromGuest, frame);
        self.inner.send(now, frame);
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.inner.next_arrival()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Frame> {
        let frame = self.inner.receive(now)?;
        self.write(now, Direction::ToGuest, &frame.bytes);
        Some(frame)
    }

    fn held(&self) -> Option<usize> {
        self.inner.held()
    }

    fn is_exhausted(&self) -> bool {
        self.inner.is_exhausted()
    }

    fn take_steps(&mut self) -> Vec<Step> {
        self.inner.take_steps()
    }

    fn report(&self, reports: &mut Vec<Report>) {
        self.inner.report(reports);
        reports.push(Report::new("capture").count("frames", self.frames));
    }

    fn finish(&mut self) -> io::Result<()> {
        self.inner.finish()?;
        match self.broken.take() {
            Some(error) => Err(error),
            None => self.writer.finish(),
        }
    }

    fn state(&self) -> BackendState {
        BackendState::Layer(LayerState::Capture, Box::new(self.inner.state()))
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        let BackendState::Layer(LayerState::Capture, inner) = state else {
            return Err(BackendRestoreError::Kind);
        };
        self.inner.restore(*inner)
    }
}
