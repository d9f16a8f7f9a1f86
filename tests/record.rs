//! Recordings prove that a run is the same run, or say where it stops being so; bisecting says at which instruction.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use glassbox::bisect::{Finding, bisect};
use glassbox::machine::{Goal, Machine};
use glassbox::record::{self, Making, Recording, Verdict};
use glassbox::scenario::{Layer, Scenario};
use std::path::Path;
use std::process::Command;

fn demo() -> Scenario {
    Scenario::load("demo").unwrap()
}

fn recording(scenario: Scenario) -> Recording {
    record::record(Machine::new(scenario).unwrap(), Making::default(), |_| ()).unwrap().0
}

#[test]
fn a_recording_replays_as_the_same_run() {
    let made = recording(demo());
    assert!(made.checkpoints.len() > 8, "{}", made.checkpoints.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.rec");
    made.save(&path).unwrap();
    assert!(Recording::is_one(&path));
    let loaded = Recording::load(&path).unwrap();
    assert_eq!(loaded, made);
    let (verdict, machine, _) = record::verify(&loaded, |_| ()).unwrap();
    assert_eq!(verdict, Verdict::Same(made.checkpoints.len()));
    let whole = common::run("demo");
    assert_eq!(machine.state_hash(), whole.summary.state_hash, "being looked at changed the run");
    assert_eq!(made.capture.bytes, whole.capture.len() as u64);
    assert_eq!(made.capture.blake3, blake3::hash(&whole.capture).to_hex().to_string());
    assert_eq!(made.serial.blake3, blake3::hash(whole.serial.as_bytes()).to_hex().to_string());
}

#[test]
fn the_first_checkpoint_that_differs_is_named_with_its_parts() {
    let mut made = recording(demo());
    made.scenario.timing.port = "1001ns".parse().unwrap();
    let (verdict, ..) = record::verify(&made, |_| ()).unwrap();
    let Verdict::Parts(parting) = verdict else { panic!("a slower bus was not noticed") };
    assert_eq!(parting.checkpoint, 1, "the guest prints from its start on");
    assert_eq!(parting.last_same.as_ref().map(|moment| moment.insns), Some(0));
    assert!(parting.parts.contains(&"cpu".to_owned()), "{parting}");
    assert!(!parting.parts.contains(&"serial".to_owned()), "{parting}");

    let mut other_end = recording(demo());
    other_end.exit = "idle".to_owned();
    let (verdict, ..) = record::verify(&other_end, |_| ()).unwrap();
    let Verdict::Parts(parting) = verdict else { panic!("another end was not noticed") };
    assert_eq!((parting.checkpoint + 1, parting.parts), (parting.of, vec!["exit".to_owned()]));
}

#[test]
fn a_damaged_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.rec");
    recording(demo()).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = Recording::load(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("demo.rec: ") && !error.contains('\n'), "{what}: {error}");
    };
    for at in (0..4096).chain((4096..whole.len()).step_by(211)) {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        refused(&altered, &format!("altered at {at}"));
    }
    for len in (0..whole.len()).step_by(1024).chain([whole.len() - 1]) {
        refused(&whole[..len], &format!("cut off at {len}"));
    }
}

#[test]
fn a_recording_that_carries_its_inputs_does_not_need_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let original = folder.path().join("there");
    std::fs::create_dir(&original).unwrap();
    for file in ["demo.ron", "demo-requests.pcap"] {
        std::fs::copy(traces.join(file), original.join(file)).unwrap();
    }
    let made = recording(Scenario::load(original.join("demo.ron").to_str().unwrap()).unwrap());
    let path = folder.path().join("demo.rec");
    made.save(&path).unwrap();
    std::fs::remove_file(original.join("demo-requests.pcap")).unwrap();
    let error = Recording::load(&path).unwrap_err().to_string();
    assert!(error.contains("demo-requests.pcap is not the file that the run read"), "{error}");
    std::fs::copy(traces.join("demo-requests.pcap"), original.join("demo-requests.pcap")).unwrap();
    record::carry(&made, &path).unwrap();
    std::fs::write(original.join("demo-requests.pcap"), "something else").unwrap();
    let (verdict, ..) = record::verify(&Recording::load(&path).unwrap(), |_| ()).unwrap();
    assert_eq!(verdict, Verdict::Same(made.checkpoints.len()));
}

/// Bisects, and checks by running afresh that the answer is exact.
fn parting(a: Scenario, b: Scenario) -> Finding {
    let machine = |scenario: &Scenario| Machine::new(scenario.clone()).unwrap();
    let finding = bisect(machine(&a), machine(&b), |_, _| ()).unwrap().unwrap();
    let look = |scenario: &Scenario, insns: u64| {
        let mut machine = machine(scenario);
        machine.run(&Goal { position: Some(format!("insns={insns}").parse().unwrap()), ..Goal::default() });
        let digest = machine.digest();
        let compared = digest.parts().filter(|(part, _)| !finding.ignored.iter().any(|name| name == part));
        compared.map(|(part, digest)| (part.to_owned(), digest.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(look(&a, finding.insns), look(&b, finding.insns), "{finding}");
    assert_ne!(look(&a, finding.insns + 1), look(&b, finding.insns + 1), "{finding}");
    finding
}

#[test]
fn a_run_does_not_part_from_itself() {
    assert!(
        bisect(Machine::new(demo()).unwrap(), Machine::new(demo()).unwrap(), |_, _| ()).unwrap().is_none()
    );
}

#[test]
fn the_first_instruction_that_costs_more_is_found() {
    let mut slower = demo();
    slower.cpu.cost.divide += 1;
    let finding = parting(demo(), slower);
    assert!(finding.instruction.contains("div"), "{finding}");
    let paths: Vec<String> = finding.fields().into_iter().map(|field| field.path).collect();
    assert_eq!(paths, ["cpu.now"], "{finding}");
    let [Some(a), Some(b)] = &finding.records else { panic!("{finding}") };
    assert_eq!((a.id, a.event), (b.id, b.event));
    assert!(a.time < b.time);
}

#[test]
fn the_first_frame_that_was_lost_is_found_with_its_records() {
    let mut lossy = demo();
    let layer = ron::from_str::<Layer>("Filter(pass: \"not udp\")").unwrap();
    lossy.wire.push(layer);
    let finding = parting(demo(), lossy);
    assert_eq!(finding.ignored, ["network"], "{finding}");
    let [Some(a), _] = &finding.records else { panic!("{finding}") };
    assert!(format!("{:?}", a.event).starts_with("FrameIn"), "{finding}");
}

#[test]
fn what_led_to_the_first_record_that_differs_is_told() {
    let mut slower = demo();
    slower.timing.dma_dword = "31ns".parse().unwrap();
    let finding = parting(demo(), slower);
    assert!(!finding.causes.is_empty(), "{finding}");
    assert!(finding.causes.windows(2).all(|pair| pair[1].cause == Some(pair[0].id)), "{finding}");
    assert_eq!(finding.causes[0].cause, None, "the chain is whole");
    let last = finding.causes.last().map(|record| record.id);
    assert!(finding.records.iter().flatten().any(|record| record.cause == last), "{finding}");
}

#[test]
fn the_command_line_records_replays_and_bisects() {
    let folder = tempfile::tempdir().unwrap();
    let glassbox = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_glassbox"))
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = glassbox(&["record", "demo", "-o", "demo.rec", "--every", "insns=10000"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("with 16 checkpoints into demo.rec"), "{text}");
    let (code, text) = glassbox(&["replay", "demo.rec", "--verify"]);
    assert!(code == 0 && text.contains("the same run: 16 of 16"), "{text}");
    let (code, text) = glassbox(&["replay", "demo.rec", "--until", "packet=2", "--summary", "json"]);
    assert!(code == 0 && text.contains("\"frames_in\": 3"), "{text}");
    let (code, text) = glassbox(&["bisect", "demo.rec", "demo"]);
    assert!(code == 0 && text.contains("no difference"), "{text}");
    let (code, text) = glassbox(&["bisect", "demo.rec", "demo-stale"]);
    assert!(code == 1 && text.contains("first record that differs"), "{text}");
    assert_eq!(glassbox(&["replay", "none.rec", "--verify"]).0, 2);
}
