//! The machine: processor, devices, board, and the loop that runs them.
//!
//! `Machine { cpu, platform }`, `Platform { devices, board, cable }`: the split is what lets a device be called with
//! everything that it may reach. Start at [`run`] for what happens when, at [`layout`] for where everything is.

mod board;
mod builder;
mod cable;
mod checkpoint;
mod configuration;
mod console;
mod devices;
mod digest;
mod far_end;
mod history;
pub mod layout;
mod look;
mod memory_space;
mod parts;
mod platform;
mod port_space;
mod remapping;
mod routing;
mod run;
pub mod snapshot;
mod stops;
mod summary;
mod timeline;
mod touch;
mod watch;

pub use checkpoint::{Checkpoint, RewindError};
pub use digest::Digest;
pub use parts::{Parts, Watched};
pub use platform::FrameChange;
pub use run::{Goal, Stop};
pub use stops::{Hit, RecordStop, Stops};
pub use summary::{Counters, Summary};
pub use timeline::{Back, Timeline};
pub use touch::TouchError;

use crate::scenario::Scenario;
use emu_core::VirtTime;
use emu_core::cpu::{Cpu, Tier};
use emu_core::trace::Tracer;
use history::History;
use platform::Platform;
use std::io::{self, Write};
use std::sync::Arc;

/// A whole PC and the scenario that it was made from.
#[derive(Debug)]
pub struct Machine {
    cpu: Box<Cpu>,
    platform: Platform,
    scenario: Arc<Scenario>,
    history: History,
    /// The record that was waited for came of an event, not of what the processor did.
    seen_outside: bool,
}

impl Machine {
    /// Instructions retired.
    #[must_use]
    pub fn insns(&self) -> u64 {
        self.cpu.insns()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> VirtTime {
        self.cpu.now()
    }

    /// What it was made from.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Which tier of the processor's engine executes from now on: nothing but the host's time tells.
    pub fn set_engine(&mut self, tier: Tier) {
        self.cpu.set_tier(tier);
    }

    /// The number of the next trace record.
    #[must_use]
    pub fn next_record(&self) -> u64 {
        self.platform.board.fabric.tracer.state().next_id
    }

    /// The trace, to attach a sink.
    pub fn tracer(&mut self) -> &mut Tracer {
        &mut self.platform.board.fabric.tracer
    }

    /// Writes everything that the guest sends from now on to `out`, as pcapng.
    pub fn capture_to(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.platform.cable.tap(out)
    }

    /// Writes every frame from now on to `out`, both ways, as pcapng with what became of each in its comment.
    pub fn log_wire_to(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.platform.cable.log(out)
    }

    /// Closes all captures; says if anything could not be written.
    pub fn finish_capture(&mut self) -> io::Result<()> {
        self.platform.cable.finish_tap()
    }

    /// What the guest has sent to its serial port since the last call.
    pub fn take_serial(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.platform.serial.pending)
    }

    /// What the guest has sent to the debug console since the last call.
    pub fn take_debugcon(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.platform.debugcon.pending)
    }
}
