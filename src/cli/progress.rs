//! The progress line: on stderr, only if that is a terminal, only for runs that take a while.

use crate::machine::Machine;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::Duration;

/// Shows how far a run is.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Silent unless stderr is a terminal and nothing else of the guest goes there.
    pub(super) fn new(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {spinner} {msg}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// After each slice of the run.
    pub(super) fn update(&self, machine: &Machine, host: Duration) {
        let Some(bar) = &self.0 else { return };
        if host < Duration::from_secs(1) {
            return;
        }
        let insns = machine.insns();
        let mips = insns as f64 / 1e6 / host.as_secs_f64();
        bar.set_message(format!(
            "{} of guest time, {:.1} M instructions, {mips:.0} MIPS, {} frames in, {} out",
            machine.now(),
            insns as f64 / 1e6,
            machine.counters().frames_in,
            machine.counters().frames_out,
        ));
        bar.tick();
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
