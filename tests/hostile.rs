//! Bad input: each is a clear error that names the file and the place, or what the hardware would do. Never a panic, never a
//! hang.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, finish};
use emu_core::trace::TraceEvent;
use glassbox::firmware::FlatMode;
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::scenario::{Guest, Limits, Network, Scenario};
use glassbox::units::Bytes;
use std::path::PathBuf;
use std::process::Command;

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("glassbox-hostile-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs machine code at 1 MiB, in 64-bit mode, for at most a million instructions.
fn run_code(name: &str, code: &[u8]) -> Outcome {
    let folder = folder(name);
    std::fs::write(folder.join("code"), code).unwrap();
    let scenario = Scenario {
        guest: Guest::Flat { image: "code".into(), at: 0x10_0000, mode: FlatMode::Long },
        memory: Bytes(16 << 20),
        limits: Limits { insns: Some(1_000_000), time: None },
        base: folder.clone(),
        ..Scenario::default()
    };
    let outcome = finish(Machine::new(scenario).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
    outcome
}

/// A small reproducible generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn random_bytes_as_code_end_in_something_architectural() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let code: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
        let outcome = run_code("code", &code);
        let ended = matches!(
            outcome.stop,
            Stop::TripleFault | Stop::Limit | Stop::Idle | Stop::PowerOff { .. } | Stop::Reset
        );
        assert!(ended, "round {round}: {:?}", outcome.stop);
    }
}

#[test]
fn an_exception_without_an_idt_is_a_triple_fault() {
    let outcome = run_code("ud2", &[0x0f, 0x0b]);
    assert_eq!(outcome.stop, Stop::TripleFault);
    let exceptions = outcome.events(|event| matches!(event, TraceEvent::CpuException { .. })).len();
    assert!(exceptions >= 2, "{exceptions} exceptions");
    assert_eq!(outcome.events(|event| matches!(event, TraceEvent::CpuShutdown { .. })).len(), 1);
}

/// A 64-bit guest whose handler of invalid opcodes is one, on a stack of its own that never runs out.
fn endless_fault() -> Vec<u8> {
    use iced_x86::code_asm::{CodeAssembler, ax, ptr};
    const AT: u64 = 0x10_0000;
    const TABLES: u64 = AT + 0x100;
    let [gdt, idt, tss, gdtr, idtr] = [0, 0x100, 0x200, 0x280, 0x290].map(|offset| TABLES + offset);
    let mut a = CodeAssembler::new(64).unwrap();
    let mut handler = a.create_label();
    a.lgdt(ptr(gdtr)).unwrap();
    a.lidt(ptr(idtr)).unwrap();
    a.mov(ax, 0x20).unwrap();
    a.ltr(ax).unwrap();
    a.set_label(&mut handler).unwrap();
    a.ud2().unwrap();
    let mut image = a.assemble(AT).unwrap();
    let handler = AT + image.len() as u64 - 2;
    image.resize(0x400, 0);
    let mut put = |at: u64, bytes: &[u8]| {
        image[(at - AT) as usize..][..bytes.len()].copy_from_slice(bytes);
    };
    let table = |base: u64, limit: u16| [&limit.to_le_bytes()[..], &base.to_le_bytes()].concat();
    put(gdtr, &table(gdt, 0x2f));
    put(idtr, &table(idt, 0x6f));
    put(gdt + 0x10, &0x00af_9b00_0000_ffff_u64.to_le_bytes());
    put(gdt + 0x20, &(0x0000_8900_0000_0067 | (tss & 0xff_ffff) << 16).to_le_bytes());
    // The first interrupt stack, and a gate that uses it.
    put(tss + 0x24, &(TABLES + 0x8000).to_le_bytes());
    put(idt + 0x60, &(handler & 0xffff | 0x10 << 16 | 0x8e01 << 32 | (handler >> 16) << 48).to_le_bytes());
    image
}

#[test]
fn a_handler_that_cannot_be_executed_ends_the_run() {
    let folder = folder("livelock");
    std::fs::write(folder.join("code"), endless_fault()).unwrap();
    let scenario = Scenario {
        guest: Guest::Flat { image: "code".into(), at: 0x10_0000, mode: FlatMode::Long },
        limits: Limits { insns: Some(1_000_000), time: None },
        base: folder.clone(),
        ..Scenario::default()
    };
    let mut machine = Machine::new(scenario).unwrap();
    // Where it comes back in between does not matter.
    let ends: Vec<_> = [Some(3), None, None]
        .map(|slice| (machine.run(&Goal { slice, ..Goal::default() }), machine.insns()))
        .into();
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(ends, [(Stop::Slice, 3), (Stop::Livelock, 4), (Stop::Livelock, 4)]);
}

/// A guest that does nothing but write random words to the registers of the card and of the VT-d unit, then lets it all
/// happen. The same random words are what rings and tables are made of.
#[test]
fn devices_driven_with_garbage_stay_within_bounds() {
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut code = Vec::new();
        let mut store = |address: u64, value: u32| {
            code.extend([0x48, 0xb8]);
            code.extend(address.to_le_bytes());
            code.extend([0xc7, 0x00]);
            code.extend(value.to_le_bytes());
        };
        // Command register of the card by ECAM: memory, bus master; BAR 0.
        store(0xe001_0010, 0xfeb8_0000);
        store(0xe001_0004, 6);
        for _ in 0..300 {
            let value = random.next() as u32;
            let value = if random.next().is_multiple_of(3) { value & 0x3f_ff80 } else { value };
            match random.next() % 3 {
                0 => store(0xfed9_0000 + (random.next() & 0x3f8), value),
                1 => store(0xfeb8_0000 + (random.next() & 0x5ffc), value),
                // Rings and their tails, so that descriptors are really fetched.
                _ => store(
                    [0xfeb8_3818, 0xfeb8_2818, 0xfeb8_3800, 0xfeb8_2800][random.next() as usize % 4],
                    value,
                ),
            }
        }
        // cli; hlt
        code.extend([0xfa, 0xf4]);
        let outcome = run_code("devices", &code);
        assert!(
            matches!(outcome.stop, Stop::Idle | Stop::Limit | Stop::TripleFault),
            "{seed}: {:?}",
            outcome.stop
        );
    }
}

fn glassbox(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_glassbox")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn bad_files_and_arguments_are_one_line_and_exit_2() {
    let folder = folder("files");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = file("notes.txt", b"this is no kernel");
    let cut = file("cut.pcap", &include_bytes!("../traces/ssh.pcap")[..10]);
    let scenario = file("bad.ron", b"(\n    title: \"x\",\n    memry: \"64M\",\n)\n");
    let snapshot = file("bad.snap", b"(version: 1)");
    for (arguments, words) in [
        (vec!["run", "nonsense"], "no scenario `nonsense`"),
        (vec!["run", "no/such/file.ron"], "no/such/file.ron: No such file"),
        (vec!["run", scenario.as_str()], "bad.ron:3:"),
        (vec!["run", "--kernel", text.as_str()], "notes.txt: no known kernel format"),
        (vec!["run", "--kernel", "/no/such/kernel"], "/no/such/kernel: No such file"),
        (vec!["run", "demo", "--pcap", cut.as_str()], "cut.pcap: at byte 0"),
        (vec!["run", "demo", "--pcap", text.as_str()], "notes.txt: not a capture"),
        (vec!["run", "demo", "--memory", "1X"], "not a number with one of the units"),
        (vec!["run", "demo", "--memory", "4K"], "RAM size 0x1000"),
        (vec!["run", "demo", "--until", "soon"], "`soon` is no position"),
        (vec!["run", "demo", "--trace-kinds", "nonsense"], "no kind `nonsense`"),
        (vec!["restore", snapshot.as_str()], "bad.snap:"),
        (vec!["inspect", text.as_str(), "cpu"], "notes.txt:"),
        (vec!["journey", "demo"], "--packet"),
    ] {
        let (code, stderr) = glassbox(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?} says: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn exit_codes_tell_how_a_run_ended() {
    for (arguments, want) in [
        (vec!["run", "demo", "--serial", "none", "--summary", "json"], 0),
        (vec!["run", "demo", "--serial", "none", "--max-insns", "1000"], 124),
        (vec!["run", "demo", "--serial", "none", "--until", "packet=2"], 0),
        (vec!["run", "demo", "--serial", "none", "--until", "packet=1000"], 1),
        (vec!["run", "demo", "--serial", "none", "--append", "nic-gsi=16 idle-ms=nonsense"], 1),
        (vec!["journey", "demo", "--packet", "1000"], 1),
    ] {
        assert_eq!(glassbox(&arguments).0, Some(want), "{arguments:?}");
    }
}

#[test]
fn a_capture_cut_in_the_middle_is_replayed_up_to_the_cut() {
    let folder = folder("cut");
    let whole = include_bytes!("../traces/demo-requests.pcap");
    std::fs::write(folder.join("cut.pcap"), &whole[..2000]).unwrap();
    let mut scenario = Scenario::load("demo").unwrap();
    if let Network::Replay { pcap, .. } = &mut scenario.network {
        *pcap = folder.join("cut.pcap");
    }
    let mut machine = Machine::new(scenario).unwrap();
    machine.run(&Goal::default());
    let frames = machine.counters().frames_in;
    assert!((5..41).contains(&frames), "{frames} frames");
    std::fs::remove_dir_all(folder).unwrap();
}
