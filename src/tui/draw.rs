//! How the inspector looks: a head that says where the run is, the pane, the trace, what the chosen line means, the keys.

use super::app::{App, Focus};
use super::pane::Pane;
use crate::view::{bits, frame, plain, text};
use emu_core::trace::{TraceKind, TraceRecord};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

/// From so many columns on pane and trace stand side by side.
const WIDE: u16 = 120;
/// Lines of the box that says what the chosen line means, with its frame.
const DETAIL: u16 = 10;

const HELP: [&str; 25] = [
    "space        run, stop",
    "i  I         an instruction on, back",
    "p  P         to the next packet in or out, to the one before",
    "n  N         to the next interrupt that the processor takes, ...",
    "d  D         to the next DMA, ...",
    "f  F         to the next remapping fault, ...",
    "r  R         to the next record of the trace, ...",
    ":  or g      go to a position, ahead or behind:",
    "               insns=N  time=20ms  packet=N  record=N  serial=TEXT",
    "Esc          stop what is being done",
    "",
    "1 to 6       CPU, NIC, IOMMU, interrupts, serial, events and chips",
    "Tab          pane or trace",
    "arrows, PgUp, PgDn, Home, End",
    "               choose a line; the box below says what it means,",
    "               in the words of `glassbox explain`",
    "/            which records are shown: kinds, or an expression",
    "Enter        in the trace: go to the moment of the chosen record",
    "c            in the trace: choose the record that led to it",
    "s            look for the guest's symbols in its memory",
    "",
    "q            leave",
    "",
    "Going back is exact: the run is the same, whichever way one comes.",
    "                                                 any key: on",
];

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn chosen(is_focused: bool) -> Style {
    let style = Style::new().add_modifier(Modifier::REVERSED);
    if is_focused { style } else { style.add_modifier(Modifier::DIM) }
}

fn framed(title: String, is_focused: bool) -> Block<'static> {
    let block = Block::bordered().border_type(BorderType::Rounded);
    if is_focused {
        block.title(format!(" {title} ").bold()).border_style(Style::new().fg(Color::Cyan))
    } else {
        block.title(format!(" {title} ")).border_style(faint())
    }
}

/// Draws all of it.
pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let rows =
        [Constraint::Length(3), Constraint::Fill(1), Constraint::Length(DETAIL), Constraint::Length(1)];
    let [head, body, detail, foot] = Layout::vertical(rows).areas(frame.area());
    draw_head(app, frame, head);
    let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
    let [pane, trace] = if frame.area().width >= WIDE {
        Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(body)
    } else {
        Layout::vertical(halves).areas(body)
    };
    app.page = usize::from(pane.height.saturating_sub(2)).max(1);
    draw_pane(app, frame, pane);
    draw_trace(app, frame, trace);
    draw_detail(app, frame, detail);
    draw_foot(app, frame, foot);
    if app.help {
        draw_help(frame);
    }
}

fn draw_head(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let machine = app.drive.machine();
    let state = app.drive.state();
    let colour = if app.is_busy() { Color::Yellow } else { Color::Green };
    let counters = machine.counters();
    let at = machine.next_instruction().unwrap_or_default();
    let symbol = app.symbols.name(machine.rip()).map_or_else(String::new, |name| format!("  in {name}"));
    let lines = vec![
        Line::from(vec![Span::from(state).fg(colour).bold(), "  ".into(), app.title.as_str().into()]),
        Line::from(vec![
            format!("insns={}  ", machine.insns()).bold(),
            format!("{}  ", text::time(machine.now()).trim_start()).bold(),
            format!("record={}  ", machine.next_record()).bold(),
            format!(
                "frames {} in, {} delivered, {} dropped, {} out",
                counters.frames_in, counters.frames_delivered, counters.frames_dropped, counters.frames_out
            )
            .into(),
        ]),
        Line::from(vec![at.into(), Span::styled(symbol, faint())]),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_pane(app: &mut App, frame: &mut Frame<'_>, area: Rect) {
    let is_focused = app.focus == Focus::Pane;
    let tabs: Vec<String> = Pane::ALL
        .iter()
        .enumerate()
        .map(|(at, pane)| {
            let title = pane.title();
            if *pane == app.pane { format!("[{} {title}]", at + 1) } else { format!("{} {title}", at + 1) }
        })
        .collect();
    let block = framed(tabs.join("  "), is_focused);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let height = usize::from(inside.height);
    app.lines();
    let line = app.line;
    let lines = app.lines();
    let first = line.saturating_sub(height / 2).min(lines.len().saturating_sub(height));
    let shown = lines.iter().enumerate().skip(first).take(height).map(|(at, row)| {
        let style = if row.is_title { Style::new().fg(Color::Cyan).bold() } else { Style::new() };
        let style = if at == line { style.patch(chosen(is_focused)) } else { style };
        Line::styled(row.text.clone(), style)
    });
    let shown: Vec<Line<'_>> = shown.collect();
    frame.render_widget(Paragraph::new(shown), inside);
}

fn colour(kind: TraceKind) -> Color {
    match kind {
        TraceKind::Net => Color::Green,
        TraceKind::Nic | TraceKind::Dma => Color::Blue,
        TraceKind::Iommu | TraceKind::Inval => Color::Magenta,
        TraceKind::Fault => Color::Red,
        TraceKind::Irq => Color::Yellow,
        TraceKind::Cpu => Color::Cyan,
        TraceKind::Mmio | TraceKind::Port | TraceKind::Pci | TraceKind::Mark => Color::Reset,
    }
}

fn draw_trace(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let is_focused = app.focus == Focus::Trace;
    let title = match &app.filter {
        Some(filter) => format!("trace: {}", filter.text()),
        None => "trace".to_owned(),
    };
    let block = framed(title, is_focused);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let of = app.chosen().map(|record| record.id);
    let shown = app.trace(usize::from(inside.height));
    let lines: Vec<Line<'_>> = shown
        .iter()
        .map(|record| {
            let words = text::describe(record.source, &record.event);
            let line = format!("{:>8} {:<8} {words}", record.id.to_string(), record.source.to_string());
            let style = Style::new().fg(colour(record.event.kind()));
            Line::styled(line, if Some(record.id) == of { style.patch(chosen(is_focused)) } else { style })
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

/// What a record says: its line, its raw numbers in words, its frame, what led to it.
fn meaning(app: &App, record: &TraceRecord) -> Vec<String> {
    let records = app.drive.records();
    let mut lines = vec![format!(
        "{}  {}",
        text::time(record.time).trim_start(),
        text::describe(record.source, &record.event)
    )];
    lines.push(plain::words(&record.event).to_owned());
    lines.extend(bits::of(record));
    if record.event.kind() == TraceKind::Net {
        lines.extend(frame::layers(records.bytes_of(record.id)));
    }
    let mut cause = record.cause;
    while let Some(found) = cause.filter(|id| *id < record.id).and_then(|id| records.find(id)) {
        lines.push(format!("because of {} {}", found.id, text::describe(found.source, &found.event)));
        cause = found.cause.filter(|next| *next < found.id);
    }
    lines
}

fn draw_detail(app: &mut App, frame: &mut Frame<'_>, area: Rect) {
    let words = match app.focus {
        Focus::Trace => app.chosen().map(|record| meaning(app, &record)).unwrap_or_default(),
        Focus::Pane => {
            let line = app.line;
            app.lines().get(line).map(|row| row.words().to_vec()).unwrap_or_default()
        }
    };
    let block = framed("what it means".to_owned(), false);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let mut left = inside.x;
    for column in words.chunks(usize::from(inside.height).max(1)) {
        let width = column.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let room = inside.right().saturating_sub(left);
        let width = u16::try_from(width).unwrap_or(u16::MAX).min(room);
        let place = Rect { x: left, width, ..inside };
        frame.render_widget(
            Paragraph::new(column.iter().map(|line| Line::from(line.as_str())).collect::<Vec<_>>()),
            place,
        );
        left = left.saturating_add(width).saturating_add(3);
        if left >= inside.right() {
            break;
        }
    }
}

fn draw_foot(app: &App, frame: &mut Frame<'_>, area: Rect) {
    if let Some(prompt) = &app.prompt {
        let typed = format!("> {}", prompt.text);
        let end = u16::try_from(typed.chars().count()).unwrap_or(u16::MAX);
        let hint = if app.complaint.is_empty() { prompt.hint() } else { app.complaint.as_str() };
        let line = Line::from(vec![Span::from(typed).bold(), Span::styled(format!("   {hint}"), faint())]);
        frame.render_widget(line, area);
        frame.set_cursor_position(Position::new(area.x.saturating_add(end).min(area.right()), area.y));
        return;
    }
    let remark = if app.complaint.is_empty() { app.drive.remark() } else { app.complaint.as_str() };
    let line = if remark.is_empty() {
        Line::styled(
            "space run  i instruction  p packet  n interrupt  d DMA  r record  capital: back  : go to  / filter  ? help  q leave",
            faint(),
        )
    } else {
        Line::from(Span::from(remark).bold())
    };
    frame.render_widget(line, area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let all = frame.area();
    let (width, height) = (74.min(all.width), (HELP.len() as u16 + 2).min(all.height));
    let place = Rect { x: (all.width - width) / 2, y: (all.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(framed("keys".to_owned(), true)), place);
}
