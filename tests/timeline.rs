//! Going along a run in both directions with a debugger's stops: it stops where it should, comes back to where it was, and is the same
//! run to the last byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Buffer, run};
use emu_core::cpu::DataStop;
use emu_core::trace::{SharedLog, TraceEvent, TraceMask, TraceRecord};
use emu_core::{Gpa, Lin, Slot, VirtTime};
use glassbox::machine::{Back, Goal, Hit, Machine, RecordStop, Stop, Stops, Timeline};
use glassbox::position::Position;
use glassbox::scenario::Scenario;

fn timeline() -> Timeline {
    Timeline::new(Machine::new(Scenario::load("demo").unwrap()).unwrap())
}

fn on(timeline: &mut Timeline) -> Stop {
    timeline.run(&Goal::default())
}

fn back(timeline: &mut Timeline) -> Back {
    timeline.run_back(&mut || true)
}

/// Where the run is, and what it is like there.
fn place(timeline: &Timeline) -> (VirtTime, u64, String) {
    let machine = timeline.machine();
    (machine.now(), machine.insns(), machine.state_hash())
}

/// Every place at which `stops` stop the demo, forwards.
fn places(timeline: &mut Timeline, stops: &Stops) -> Vec<(VirtTime, u64, String)> {
    timeline.set_stops(stops.clone());
    let mut places = Vec::new();
    while timeline.hit().is_some() || places.is_empty() {
        if on(timeline) == Stop::Slice {
            continue;
        }
        if timeline.hit().is_none() {
            break;
        }
        places.push(place(timeline));
    }
    places
}

/// The handler of the card's interrupt, by the guest's symbols and its table.
fn handler() -> u64 {
    let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    let log = SharedLog::default();
    machine.tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    machine.run(&Goal::default());
    let taken = log.take().into_iter().find_map(|record| match record.event {
        TraceEvent::CpuInterrupt { vector, .. } => Some(vector),
        _ => None,
    });
    machine.handler_of(taken.unwrap()).unwrap()
}

fn ring(timeline: &mut Timeline) -> Vec<TraceRecord> {
    let end = Position::Time(VirtTime(u64::MAX >> 1));
    timeline.go_to(&end);
    timeline.records_since(&Position::Insns(0))
}

#[test]
fn breakpoints_are_met_backwards_where_they_were_met_forwards() {
    let stops = Stops { code: [handler()].into(), ..Stops::default() };
    let mut timeline = timeline();
    let places = places(&mut timeline, &stops);
    assert!(places.len() > 3, "the handler runs for every frame");
    for expected in places.iter().rev() {
        assert_eq!(back(&mut timeline), Back::At(Some(Hit::Code)));
        assert_eq!(place(&timeline), *expected);
        assert_eq!(timeline.machine().linear_rip(), *stops.code.first().unwrap());
    }
    assert_eq!(back(&mut timeline), Back::Start);
    assert_eq!(on(&mut timeline), Stop::Breakpoint);
    assert_eq!(place(&timeline), places[0], "and forwards again");
}

#[test]
fn steps_back_undo_steps() {
    let mut timeline = timeline();
    timeline.go_to(&Position::Packet(2));
    let mut been = vec![place(&timeline)];
    for _ in 0..300 {
        assert_eq!(timeline.step(), Stop::Reached);
        been.push(place(&timeline));
    }
    let mut met = 0;
    // A step back may stop on its way through an interrupt or a sleep, at a place that steps forwards pass.
    while met < 299 {
        assert_eq!(timeline.step_back(), Back::At(None));
        let (now, insns, hash) = place(&timeline);
        let (expected, expected_insns, expected_hash) = &been[been.len() - 2];
        assert!(now >= *expected, "none is left out");
        if now == *expected {
            assert_eq!((insns, hash), (*expected_insns, expected_hash.clone()));
            been.pop();
            met += 1;
        }
    }
}

#[test]
fn a_write_of_a_device_is_stopped_behind_forwards_and_before_backwards() {
    let mut timeline = timeline();
    let records = ring(&mut timeline);
    let written = records.iter().rfind(|record| matches!(record.event, TraceEvent::DmaWrite { len: 16, .. }));
    let record = *written.unwrap();
    let TraceEvent::DmaWrite { bdf, iova, gpa, len, .. } = record.event else { panic!("a write") };
    let range = |at: u64| at..at + u64::from(len);
    let by_iova = RecordStop::Iova { bdf: Some(bdf), range: range(iova.0), read: false, write: true };
    let by_memory = RecordStop::Physical { ranges: vec![range(gpa.0)], read: false, write: true };
    for stop in [by_iova, by_memory] {
        timeline.set_stops(Stops { records: vec![stop], ..Stops::default() });
        let mut after = [0; 16];
        timeline.go_to(&Position::Record(record.id.0));
        timeline.machine().peek_physical(gpa, &mut after);
        timeline.go_to(&Position::Time(VirtTime(u64::MAX >> 1)));
        let Back::At(Some(Hit::Record { record: hit, .. })) = back(&mut timeline) else { panic!("no hit") };
        assert_eq!(hit, record);
        let mut before = [0; 16];
        timeline.machine().peek_physical(gpa, &mut before);
        assert_ne!(before, after, "the write is still to come");
        let here = place(&timeline);
        assert_eq!(on(&mut timeline), Stop::Record);
        let mut written = [0; 16];
        timeline.machine().peek_physical(gpa, &mut written);
        assert_eq!(written, after);
        assert!(matches!(back(&mut timeline), Back::At(Some(_))));
        assert_eq!(place(&timeline), here);
    }
}

#[test]
fn the_processors_own_accesses_are_seen_by_linear_and_by_physical_address() {
    let mut timeline = timeline();
    timeline.go_to(&Position::Packet(3));
    let sp = timeline.machine().registers().gprs[4];
    let watch = timeline.machine().data_stop(Lin(sp - 64), 64, false, true);
    let physical = DataStop { linear: None, ..watch.clone() };
    let linear = DataStop { physical: Vec::new(), ..watch.clone() };
    let start = Position::Time(timeline.machine().now());
    let mut seen = Vec::new();
    for stop in [watch, physical, linear] {
        timeline.go_to(&start);
        timeline.set_stops(Stops { data: vec![stop], ..Stops::default() });
        assert_eq!(on(&mut timeline), Stop::Watchpoint);
        let Some(Hit::Data(hit)) = timeline.hit().cloned() else { panic!("no hit") };
        assert!(hit.write && hit.len <= 32);
        let after = place(&timeline);
        assert_eq!(back(&mut timeline), Back::At(Some(Hit::Data(hit))), "before the access");
        assert!(timeline.machine().insns() <= hit.insns);
        assert_eq!(on(&mut timeline), Stop::Watchpoint);
        assert_eq!(place(&timeline), after);
        seen.push(after);
    }
    assert!(seen.iter().all(|place| *place == seen[0]));
}

#[test]
fn a_run_that_is_debugged_is_the_same_run() {
    let whole = run("demo");
    let mut timeline = timeline();
    let (log, capture) = (SharedLog::default(), Buffer::default());
    timeline.machine_mut().tracer().attach(TraceMask::ALL, Box::new(log.clone()));
    timeline.machine_mut().capture_to(Box::new(capture.clone())).unwrap();
    let ram = Gpa(0)..Gpa(0x8000);
    let data = DataStop {
        linear: None,
        physical: std::iter::once(ram.start.0..ram.end.0).collect(),
        read: true,
        write: true,
    };
    let records = vec![RecordStop::Packet(None), RecordStop::Interrupt(None)];
    timeline.set_stops(Stops { code: [handler()].into(), data: vec![data], records });
    let (mut serial, mut stops) = (Vec::new(), 0u32);
    let end = loop {
        let stop = on(&mut timeline);
        serial.extend(timeline.machine_mut().take_serial());
        if timeline.hit().is_none() {
            break stop;
        }
        stops += 1;
        if stops.is_multiple_of(40) {
            back(&mut timeline);
            timeline.step_back();
            timeline.step();
            serial.extend(timeline.machine_mut().take_serial());
        }
    };
    assert!(stops > 40, "{stops}");
    timeline.machine_mut().finish_capture().unwrap();
    assert_eq!(end, whole.stop);
    assert_eq!(timeline.machine().state_hash(), whole.summary.state_hash);
    assert_eq!(String::from_utf8_lossy(&serial), whole.serial);
    assert_eq!(capture.bytes(), whole.capture);
    assert_eq!(log.take(), whole.records);
}

#[test]
fn registers_are_watched_by_name_and_exceptions_and_frames_by_number() {
    let mut timeline = timeline();
    let transmit = RecordStop::Register {
        slot: Slot::Nic(0),
        ranges: std::iter::once(0x3818..0x381c).collect(),
        read: false,
        write: true,
    };
    for (stop, is) in [
        (transmit, (|event| matches!(event, TraceEvent::MmioWrite { offset: 0x3818, .. })) as fn(_) -> bool),
        (RecordStop::Packet(Some(4)), |event| matches!(event, TraceEvent::FrameIn { packet: 4, .. })),
        (RecordStop::Interrupt(None), |event| matches!(event, TraceEvent::CpuInterrupt { .. })),
    ] {
        timeline.go_to(&Position::Insns(0));
        timeline.set_stops(Stops { records: vec![stop], ..Stops::default() });
        assert_eq!(on(&mut timeline), Stop::Record);
        let Some(Hit::Record { record, .. }) = timeline.hit() else { panic!("no hit") };
        assert!(is(record.event), "{record:?}");
    }
}

#[test]
fn a_change_makes_another_run_and_ends_the_way_back() {
    let mut timeline = timeline();
    timeline.go_to(&Position::Packet(1));
    let mut state = timeline.machine().registers();
    state.gprs[15] ^= 1;
    timeline.machine_mut().set_registers(state.clone()).unwrap();
    timeline.changed();
    assert_eq!(timeline.machine().registers(), state);
    assert_eq!(timeline.step(), Stop::Reached);
    assert_eq!(timeline.step_back(), Back::At(None));
    assert_eq!(timeline.step_back(), Back::Start);
    assert_eq!(timeline.machine().registers(), state);
    state.cpl = 7;
    assert!(timeline.machine_mut().set_registers(state.clone()).is_err(), "what can't be is refused");
    state.cpl = 0;
    assert_eq!(timeline.machine().registers().gprs, state.gprs, "and nothing of it done");
}
