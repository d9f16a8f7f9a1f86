//! The live inspector: a machine in a terminal, run, stopped, stepped and taken back, with its parts and its trace beside each
//! other. [`drive`] has the machine, [`app`] what keys do, [`draw`] how it looks, [`terminal`] the real terminal around them.

mod app;
mod draw;
mod drive;
mod pane;
mod past;
mod prompt;
mod records;
pub mod terminal;
#[cfg(test)]
mod tests;

use crate::machine::Machine;
use app::App;
use std::io;
use terminal::Terminal;

/// Inspects `machine` until the user, or a signal, ends it; answers the signal's number.
pub fn inspect(machine: Machine) -> io::Result<Option<i32>> {
    let mut app = App::new(machine);
    let mut terminal = Terminal::open()?;
    while !app.is_done() {
        terminal.draw(|frame| draw::draw(&mut app, frame))?;
        if let Some(signal) = terminal.signal() {
            return Ok(Some(signal));
        }
        // A machine that runs is not kept waiting.
        match terminal.key(!app.is_busy())? {
            Some(key) => app.press(key),
            None => app.tick(),
        }
    }
    Ok(None)
}
