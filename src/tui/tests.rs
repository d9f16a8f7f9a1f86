//! The inspector without a terminal: keys go in, screens are compared; where it stops and what it goes back to is what a plain run
//! has there.

use super::app::App;
use super::draw;
use super::drive::{Drive, Unit};
use super::past::{Moment, Past};
use crate::machine::{Goal, Machine, Stop};
use crate::position::Position;
use crate::scenario::Scenario;
use emu_core::trace::TraceEvent;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn machine() -> Machine {
    Machine::new(Scenario::load("demo").unwrap()).unwrap()
}

/// Until there is nothing more to do.
fn settle(drive: &mut Drive) {
    for _ in 0..10_000 {
        if !drive.is_busy() {
            return;
        }
        drive.tick();
    }
    panic!("it does not end: {}", drive.state());
}

fn forward(drive: &mut Drive, unit: Unit) {
    drive.forward(unit);
    settle(drive);
}

fn back(drive: &mut Drive, unit: Unit) {
    drive.back(unit);
    settle(drive);
}

/// What a plain run has at a position.
fn hash_at(position: Position) -> String {
    let mut machine = machine();
    assert_eq!(machine.run(&Goal { position: Some(position), ..Goal::default() }), Stop::Reached);
    machine.state_hash()
}

#[test]
fn it_stops_at_what_it_was_asked_for_as_a_plain_run_does() {
    let mut drive = Drive::new(machine());
    for unit in [Unit::Packet, Unit::Dma, Unit::Interrupt, Unit::Record, Unit::Instruction] {
        let before = drive.mark();
        forward(&mut drive, unit);
        assert!(drive.mark() > before, "{}", unit.name());
        let (insns, _, next) = drive.mark();
        let position =
            if unit == Unit::Instruction { Position::Insns(insns) } else { Position::Record(next - 1) };
        assert_eq!(drive.machine().state_hash(), hash_at(position), "{}", unit.name());
    }
    let events: Vec<TraceEvent> = drive.records().from(0).map(|record| record.event).collect();
    let first = events.iter().position(|event| matches!(event, TraceEvent::FrameIn { packet: 0, .. }));
    assert!(first.is_some(), "the first packet is where it stopped first");
    assert!(!events.iter().any(|event| matches!(event, TraceEvent::FrameIn { packet: 1, .. })));
}

#[test]
fn a_step_back_undoes_a_step() {
    let mut drive = Drive::new(machine());
    drive.go_to("packet=3".parse().unwrap());
    settle(&mut drive);
    for unit in [Unit::Instruction, Unit::Record, Unit::Dma, Unit::Packet, Unit::Interrupt] {
        forward(&mut drive, unit);
        let (mark, hash) = (drive.mark(), drive.machine().state_hash());
        forward(&mut drive, unit);
        assert!(drive.mark() > mark, "{}", unit.name());
        back(&mut drive, unit);
        assert_eq!(drive.mark(), mark, "{}", unit.name());
        assert_eq!(drive.machine().state_hash(), hash, "{}", unit.name());
    }
}

#[test]
fn going_back_to_the_start_and_on_again_is_the_same_run() {
    let mut drive = Drive::new(machine());
    drive.go_on();
    settle(&mut drive);
    assert_eq!(drive.state(), "ended by debug-exit 1");
    let (mark, said) = (drive.mark(), drive.said().lines());
    let records = drive.records().from(0).count();
    drive.go_to(Position::Insns(0));
    settle(&mut drive);
    assert_eq!((drive.mark().0, drive.said().len(), drive.records().from(0).count()), (0, 0, 0));
    back(&mut drive, Unit::Instruction);
    assert_eq!(drive.remark(), "this is the beginning");
    back(&mut drive, Unit::Packet);
    assert_eq!(drive.remark(), "no packet before this");
    drive.go_on();
    settle(&mut drive);
    assert_eq!((drive.mark(), drive.said().lines()), (mark, said));
    assert_eq!(drive.records().from(0).count(), records);
    forward(&mut drive, Unit::Packet);
    assert_eq!(drive.remark(), "no packet comes any more");
}

#[test]
fn every_position_is_reached_from_ahead_and_from_behind() {
    let mut drive = Drive::new(machine());
    let positions = ["insns=100000", "time=21ms", "packet=4", "record=1600", "serial=e1000"];
    let positions = positions.map(|text| text.parse::<Position>().unwrap());
    let mut there = Vec::new();
    for position in &positions {
        drive.go_to(Position::Insns(0));
        settle(&mut drive);
        drive.go_to(position.clone());
        settle(&mut drive);
        there.push(drive.mark());
    }
    drive.go_on();
    settle(&mut drive);
    for (position, mark) in positions.iter().zip(&there) {
        drive.go_to(position.clone());
        settle(&mut drive);
        assert_eq!(drive.mark(), *mark, "{position}");
    }
    drive.go_to("packet=100000".parse().unwrap());
    settle(&mut drive);
    assert_eq!(drive.remark(), "the run ends before packet=100000");
}

#[test]
fn of_a_long_past_the_beginning_and_the_latest_moments_are_kept() {
    let mut machine = machine();
    let mut past = Past::default();
    for insns in 0..300 {
        machine.run(&Goal { position: Some(Position::Insns(insns)), ..Goal::default() });
        past.keep(Moment { checkpoint: machine.checkpoint(), frames_in: 0, serial: 0 });
    }
    let kept = past.insns();
    assert_eq!((kept.len(), kept[0], kept[62], kept[63]), (64, 0, 298, 299));
    let gaps: Vec<u64> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[..10].iter().sum::<u64>() > 2 * gaps[53..].iter().sum::<u64>(), "{gaps:?}");
}

/// The screen after some keys; each is done with before the next.
fn screen(width: u16, height: u16, keys: &str) -> String {
    let mut app = App::new(machine());
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '↓' => KeyCode::Down,
            key => KeyCode::Char(key),
        };
        app.press(KeyEvent::new(code, KeyModifiers::NONE));
        settle(&mut app.drive);
    }
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(&mut app, frame)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_first_packet_has_come_in() {
    insta::assert_snapshot!(screen(132, 40, "p"));
}

#[test]
fn a_register_of_the_card_is_told_bit_by_bit() {
    insta::assert_snapshot!(screen(132, 40, ":packet=0\n2↓↓↓↓↓↓↓"));
}

#[test]
fn the_iommu_after_a_few_packets() {
    insta::assert_snapshot!(screen(132, 40, ":packet=5\n3"));
}

#[test]
fn interrupt_controllers_in_a_handler() {
    insta::assert_snapshot!(screen(132, 40, "n4"));
}

#[test]
fn a_record_is_told_with_what_led_to_it() {
    insta::assert_snapshot!(screen(132, 40, "pd\t"));
}

#[test]
fn only_some_records_of_the_trace() {
    insta::assert_snapshot!(screen(132, 40, ":packet=2\n/dma,net\n\t"));
}

#[test]
fn a_small_terminal_has_the_panes_above_each_other() {
    insta::assert_snapshot!(screen(80, 30, "p5"));
}

#[test]
fn help_is_laid_over_it() {
    insta::assert_snapshot!(screen(100, 34, "?"));
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(1, 1), (5, 3), (20, 8), (300, 2), (2, 100)] {
        screen(width, height, "p?");
        screen(width, height, "n3:x");
    }
}

#[test]
fn what_cannot_be_read_stays_on_the_line_with_the_reason() {
    let screen = screen(132, 40, ":packet\n");
    assert!(screen.contains("> packet   `packet` is no position"), "{screen}");
}

#[test]
fn any_keys_in_any_order_are_harmless() {
    let mut app = App::new(machine());
    let keys = "pPiIrRdDnNfF123456s?/:gcjk \t\n\u{8}q";
    let keys: Vec<char> = keys.chars().collect();
    let mut state = 1u64;
    for _ in 0..300 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let code = match keys[(state >> 33) as usize % keys.len()] {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            'q' => KeyCode::PageUp,
            key => KeyCode::Char(key),
        };
        app.press(KeyEvent::new(code, KeyModifiers::NONE));
        if state >> 60 > 8 {
            settle(&mut app.drive);
        }
        app.tick();
        app.lines();
        app.trace(20);
    }
}

#[test]
#[ignore = "needs a terminal; tests/tui.sh gives it one"]
fn a_panic_gives_the_terminal_back() {
    let mut terminal = super::terminal::Terminal::open().unwrap();
    terminal.draw(|frame| frame.render_widget("on the alternate screen", frame.area())).unwrap();
    panic!("a panic in the inspector");
}
