//! The terminal: in raw mode on its alternate screen while it is open, as it was before when it is closed, by whatever.

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How long a key is waited for before signals are looked at.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long after a signal the inspector has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// The open terminal. It is restored when this is dropped, and by a panic before its message is printed.
pub struct Terminal {
    screen: DefaultTerminal,
    signal: Arc<AtomicUsize>,
}

impl Terminal {
    /// Takes the terminal over.
    pub fn open() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or_default())?;
        }
        leave_at_latest(Arc::clone(&signal));
        // Sets a hook that restores the terminal on a panic.
        Ok(Self { screen: ratatui::try_init()?, signal })
    }

    /// Draws.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.screen.draw(draw).map(|_| ())
    }

    /// The signal that asked for the end, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number > 0)
    }

    /// The next key, if there is one; `waits` a moment for it.
    pub fn key(&mut self, waits: bool) -> io::Result<Option<KeyEvent>> {
        if !event::poll(if waits { PATIENCE } else { Duration::ZERO })? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Some(key),
            _ => None,
        })
    }
}

/// Ends the process if a signal alone does not: from a terminal that has gone, crossterm reads nothing over and over and never returns.
#[allow(clippy::disallowed_methods, reason = "the terminal is at the machine's edge")]
fn leave_at_latest(signal: Arc<AtomicUsize>) {
    thread::spawn(move || {
        while signal.load(Ordering::Relaxed) == 0 {
            thread::sleep(PATIENCE);
        }
        thread::sleep(GRACE);
        ratatui::restore();
        let number = i32::try_from(signal.load(Ordering::Relaxed)).unwrap_or_default();
        std::process::exit(128 + number)
    });
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
