//! What the inspector knows beside the machine, and what keys do.

use super::drive::{Drive, Mark, Unit};
use super::pane::{Line, Pane};
use super::prompt::{self, Asked, Filter, Prompt};
use crate::machine::Machine;
use crate::position::Position;
use crate::scenario::Guest;
use crate::view::symbols::Symbols;
use emu_core::trace::{RecordId, TraceRecord};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Records that a filter looks at to fill the trace, one way.
const LOOK_MAX: usize = 50_000;

/// Where the arrow keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Pane,
    Trace,
}

/// The inspector.
pub(super) struct App {
    pub(super) drive: Drive,
    pub(super) title: String,
    pub(super) pane: Pane,
    pub(super) focus: Focus,
    /// The line of the pane that is chosen.
    pub(super) line: usize,
    /// The record that is chosen; none is the latest.
    record: Option<RecordId>,
    pub(super) filter: Option<Filter>,
    pub(super) prompt: Option<Prompt>,
    pub(super) help: bool,
    /// What went wrong with the last key.
    pub(super) complaint: String,
    pub(super) symbols: Symbols,
    lines: Vec<Line>,
    /// Of which pane and moment they are.
    lines_of: Option<(Pane, Mark)>,
    done: bool,
    /// Lines that a page has.
    pub(super) page: usize,
}

impl App {
    pub(super) fn new(machine: Machine) -> Self {
        // Another guest's symbols are looked for in all of memory: when they are asked for.
        let has_symbols = matches!(machine.scenario().guest, Guest::Demo);
        let symbols = if has_symbols { machine.symbols() } else { Symbols::default() };
        Self {
            title: machine.scenario().title.clone(),
            drive: Drive::new(machine),
            pane: Pane::Cpu,
            focus: Focus::Pane,
            line: 1,
            record: None,
            filter: None,
            prompt: None,
            help: false,
            complaint: String::new(),
            symbols,
            lines: Vec::new(),
            lines_of: None,
            done: false,
            page: 1,
        }
    }

    /// The user has had enough.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The machine has something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.drive.is_busy()
    }

    /// A slice of it.
    pub(super) fn tick(&mut self) {
        self.drive.tick();
    }

    /// The pane's lines at this moment.
    pub(super) fn lines(&mut self) -> &[Line] {
        let of = (self.pane, self.drive.mark());
        if self.lines_of != Some(of) {
            // Who reads the end of the serial port's output goes on reading it.
            let follows = self.pane == Pane::Serial && self.line + 1 >= self.lines.len();
            self.lines = self.pane.lines(&self.drive, &self.symbols);
            self.lines_of = Some(of);
            if follows {
                self.line = self.lines.len();
            }
        }
        self.line = self.line.min(self.lines.len().saturating_sub(1));
        &self.lines
    }

    /// The record that is chosen.
    pub(super) fn chosen(&self) -> Option<TraceRecord> {
        let records = self.drive.records();
        let shown = |record: &&TraceRecord| self.filter.as_ref().is_none_or(|filter| filter.shows(record));
        match self.record {
            Some(id) => records.find(id).copied(),
            None => records.before(u64::MAX).take(LOOK_MAX).find(shown).copied(),
        }
    }

    /// `height` records around the chosen one, in order.
    pub(super) fn trace(&self, height: usize) -> Vec<TraceRecord> {
        let Some(chosen) = self.chosen() else { return Vec::new() };
        let records = self.drive.records();
        let shown = |record: &&TraceRecord| self.filter.as_ref().is_none_or(|filter| filter.shows(record));
        let after = records.from(chosen.id.0 + 1).take(LOOK_MAX).filter(shown).take(height / 2);
        let mut rows: Vec<TraceRecord> = after.copied().collect();
        rows.reverse();
        rows.push(chosen);
        let room = height.saturating_sub(rows.len());
        rows.extend(records.before(chosen.id.0).take(LOOK_MAX).filter(shown).take(room));
        rows.reverse();
        rows
    }

    /// A key.
    pub(super) fn press(&mut self, key: KeyEvent) {
        self.complaint.clear();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            self.done = true;
        } else if let Some(prompt) = self.prompt.take() {
            self.type_into(prompt, key.code);
        } else if self.help {
            self.help = false;
        } else if !control {
            self.command(key.code);
        }
    }

    fn command(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('q') => self.done = true,
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            KeyCode::Char(' ') if self.is_busy() => self.drive.pause(),
            KeyCode::Char(' ') => self.run(Drive::go_on),
            KeyCode::Esc => self.drive.pause(),
            KeyCode::Char('i') => self.step(Unit::Instruction),
            KeyCode::Char('p') => self.step(Unit::Packet),
            KeyCode::Char('n') => self.step(Unit::Interrupt),
            KeyCode::Char('d') => self.step(Unit::Dma),
            KeyCode::Char('f') => self.step(Unit::Fault),
            KeyCode::Char('r') => self.step(Unit::Record),
            KeyCode::Char('I') => self.step_back(Unit::Instruction),
            KeyCode::Char('P') => self.step_back(Unit::Packet),
            KeyCode::Char('N') => self.step_back(Unit::Interrupt),
            KeyCode::Char('D') => self.step_back(Unit::Dma),
            KeyCode::Char('F') => self.step_back(Unit::Fault),
            KeyCode::Char('R') => self.step_back(Unit::Record),
            KeyCode::Char(':' | 'g') => self.prompt = Some(Prompt::new(Asked::Position)),
            KeyCode::Char('/') => self.prompt = Some(Prompt::new(Asked::Filter)),
            KeyCode::Char('s') => {
                self.symbols = self.drive.machine().symbols();
                self.lines_of = None;
                if self.symbols.is_empty() {
                    "the guest has no symbols that could be found".clone_into(&mut self.complaint);
                }
            }
            KeyCode::Char(digit @ '1'..='6') => {
                self.pane = Pane::ALL[digit as usize - '1' as usize];
                self.focus = Focus::Pane;
                self.line = if self.pane == Pane::Serial { usize::MAX - 1 } else { 1 };
            }
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = if self.focus == Focus::Pane { Focus::Trace } else { Focus::Pane };
            }
            KeyCode::Enter if self.focus == Focus::Trace => self.go_to_chosen(),
            KeyCode::Char('c') if self.focus == Focus::Trace => self.choose_cause(),
            code => self.move_by(code),
        }
    }

    /// Has the machine do something; the trace follows.
    fn run(&mut self, what: impl FnOnce(&mut Drive)) {
        self.record = None;
        what(&mut self.drive);
    }

    fn step(&mut self, unit: Unit) {
        self.run(|drive| drive.forward(unit));
    }

    fn step_back(&mut self, unit: Unit) {
        self.run(|drive| drive.back(unit));
    }

    /// To the moment of the record that is chosen.
    fn go_to_chosen(&mut self) {
        if let Some(record) = self.chosen() {
            self.run(|drive| drive.go_to(Position::Record(record.id.0)));
        }
    }

    /// The record that led to the chosen one.
    fn choose_cause(&mut self) {
        let cause = self.chosen().and_then(|record| record.cause);
        match cause.filter(|cause| self.drive.records().find(*cause).is_some()) {
            Some(cause) => self.record = Some(cause),
            None => "nothing in the trace led to this".clone_into(&mut self.complaint),
        }
    }

    fn move_by(&mut self, code: KeyCode) {
        let lines = match code {
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::PageUp => -(self.page as isize),
            KeyCode::PageDown => self.page as isize,
            KeyCode::Home => isize::MIN,
            KeyCode::End => isize::MAX,
            _ => return,
        };
        match self.focus {
            Focus::Pane => self.line = self.line.saturating_add_signed(lines),
            Focus::Trace => self.move_in_trace(lines),
        }
    }

    fn move_in_trace(&mut self, lines: isize) {
        let Some(chosen) = self.chosen() else { return };
        let shown = |record: &&TraceRecord| self.filter.as_ref().is_none_or(|filter| filter.shows(record));
        let found = {
            let records = self.drive.records();
            let count = lines.unsigned_abs();
            let looked = if matches!(lines, isize::MIN | isize::MAX) { usize::MAX } else { LOOK_MAX };
            if lines < 0 {
                records
                    .before(chosen.id.0)
                    .take(looked)
                    .filter(shown)
                    .take(count)
                    .last()
                    .map(|record| record.id)
            } else {
                let ahead = records.from(chosen.id.0 + 1).take(looked).filter(shown);
                ahead.take(count).last().map(|record| record.id)
            }
        };
        self.record = found.or(Some(chosen.id));
        if self.record == self.drive.records().last() {
            self.record = None;
        }
    }

    fn type_into(&mut self, mut prompt: Prompt, code: KeyCode) {
        match code {
            KeyCode::Esc => return,
            KeyCode::Enter => return self.answer(&prompt),
            KeyCode::Backspace => {
                prompt.text.pop();
            }
            KeyCode::Char(c) => prompt.text.push(c),
            _ => {}
        }
        self.prompt = Some(prompt);
    }

    fn answer(&mut self, prompt: &Prompt) {
        let answered = match prompt.asked {
            Asked::Position => prompt::position(&prompt.text).map(|position| {
                self.run(|drive| drive.go_to(position));
            }),
            Asked::Filter => Filter::parse(&prompt.text).map(|filter| {
                self.filter = filter;
                self.record = None;
            }),
        };
        if let Err(why) = answered {
            self.complaint = why;
            self.prompt = Some(prompt.clone());
        }
    }
}
