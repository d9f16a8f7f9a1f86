//! Snapshots as files: whole, or refused with a reason; there before, during and after saving.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::finish;
use glassbox::machine::snapshot::{self, Snapshot};
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::scenario::Scenario;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn demo_at(position: &str) -> Machine {
    let mut machine = Machine::new(Scenario::load("demo").unwrap()).unwrap();
    let goal = Goal { position: Some(position.parse().unwrap()), ..Goal::default() };
    assert_eq!(machine.run(&goal), Stop::Reached);
    machine
}

/// The file of pages of the snapshot at `path`.
fn pages_of(path: &Path) -> PathBuf {
    path.parent().unwrap().join(Snapshot::open(path).unwrap().state.pages.file)
}

/// Loading `path` fails with one line that names a file.
fn check_refused(path: &Path, what: &str) -> String {
    match snapshot::load(path) {
        Ok(_) => panic!("{what}: nobody noticed"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("snap") && !text.contains('\n'), "{what}: {text}");
            text
        }
    }
}

#[test]
fn every_byte_of_both_files_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap");
    snapshot::save(&demo_at("packet=3"), &path).unwrap();
    let pages = pages_of(&path);
    for file in [&path, &pages] {
        let whole = std::fs::read(file).unwrap();
        // All of the header, the end, where the index is, and a sample of what lies between.
        let dense = (0..512).chain(whole.len() - 512..whole.len());
        for at in dense.chain((512..whole.len()).step_by(4099)) {
            let mut altered = whole.clone();
            altered[at] ^= 1 << (at % 8);
            std::fs::write(file, &altered).unwrap();
            check_refused(&path, &format!("{} altered at {at}", file.display()));
        }
        for len in (0..whole.len()).step_by(1024).chain([whole.len() - 1]) {
            std::fs::write(file, &whole[..len]).unwrap();
            check_refused(&path, &format!("{} cut off at {len}", file.display()));
        }
        let mut longer = whole.clone();
        longer.push(b'\n');
        std::fs::write(file, &longer).unwrap();
        check_refused(&path, &format!("{} with a byte more", file.display()));
        std::fs::write(file, &whole).unwrap();
    }
    assert!(snapshot::load(&path).is_ok());
}

#[test]
fn refusals_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("snap");
    snapshot::save(&demo_at("packet=3"), &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let pages = pages_of(&path);
    let cases = [
        ("snap-newer", text.replacen("snapshot 2,", "snapshot 3,", 1), "by a newer Glassbox"),
        ("snap-older", text.replacen("snapshot 2,", "snapshot 1,", 1), "by an older Glassbox"),
        ("snap-altered", text.replacen("rip: ", "rip: 1", 1), "was altered"),
        ("snap-nonsense", "nonsense".to_owned(), "it does not begin with"),
        ("snap-empty", String::new(), "it does not begin with"),
    ];
    for (name, text, reason) in cases {
        std::fs::write(at(name), text).unwrap();
        let error = check_refused(&at(name), name);
        assert!(error.contains(reason), "{name}: {error}");
    }
    let other = at("snap-other");
    snapshot::save(&demo_at("packet=9"), &other).unwrap();
    std::fs::copy(pages_of(&other), &pages).unwrap();
    assert!(check_refused(&path, "pages of another").contains("of another snapshot"));
    std::fs::remove_file(&pages).unwrap();
    assert!(check_refused(&path, "no pages").contains("No such file"));
}

#[test]
fn a_snapshot_of_a_capture_that_has_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    for file in ["demo.ron", "demo-requests.pcap"] {
        std::fs::copy(root.join(file), folder.path().join(file)).unwrap();
    }
    let scenario = Scenario::load(folder.path().join("demo.ron").to_str().unwrap()).unwrap();
    let mut machine = Machine::new(scenario).unwrap();
    machine.run(&Goal { position: Some("packet=3".parse().unwrap()), ..Goal::default() });
    let path = folder.path().join("snap");
    snapshot::save(&machine, &path).unwrap();
    assert!(snapshot::load(&path).is_ok());
    std::fs::copy(root.join("dhcp-rfc4388.pcap"), folder.path().join("demo-requests.pcap")).unwrap();
    assert!(check_refused(&path, "another capture").contains("capture has changed"));
}

#[test]
fn saving_again_leaves_no_pages_behind_and_moves_with_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap");
    for position in ["insns=100", "packet=3", "packet=9"] {
        snapshot::save(&demo_at(position), &path).unwrap();
    }
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [path.file_name().unwrap(), pages_of(&path).file_name().unwrap()]);
    let moved = folder.path().join("moved.snap");
    std::fs::rename(&path, &moved).unwrap();
    assert_eq!(snapshot::load(&moved).unwrap().state_hash(), demo_at("packet=9").state_hash());
}

/// Whoever saves is killed: what was there before is there still, or the new one is.
#[test]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "when to kill follows from how long saving takes here"
)]
fn a_kill_in_the_middle_of_saving_harms_nothing() {
    const KILLS: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap");
    let positions = ["packet=3", "packet=9"];
    let hashes = positions.map(|position| demo_at(position).state_hash());
    let start = |position: &str| {
        let at = format!("{position}={}", path.display());
        Command::new(env!("CARGO_BIN_EXE_glassbox"))
            .args(["run", "demo", "--serial", "none", "--summary", "none", "--snapshot-at", &at])
            .args(["--until", position])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let begun = std::time::Instant::now();
    assert!(start(positions[1]).wait().unwrap().success());
    let takes = begun.elapsed();
    let mut changed = 0;
    let mut before = hashes[1].clone();
    for nth in 0..KILLS {
        let begun = std::time::Instant::now();
        let mut child = start(positions[nth as usize % 2]);
        // From the start of the process to some time after it should have ended.
        while begun.elapsed() < takes * nth / (KILLS * 2 / 3) && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let now = snapshot::load(&path).unwrap_or_else(|error| panic!("kill {nth}: {error}")).state_hash();
        assert!(hashes.contains(&now), "kill {nth}: neither the former nor the new snapshot");
        changed += usize::from(now != before);
        before = now;
    }
    assert!((1..KILLS as usize - 1).contains(&changed), "kills came all too early or too late: {changed}");
}

#[test]
fn a_rom_is_in_the_snapshot() {
    // Writes 1 to port 0xf4, the debug exit, from the reset vector in ROM.
    let mut image = vec![0xf4; 64 << 10];
    image[0xfff0..0xfff6].copy_from_slice(&[0x90, 0x90, 0xb0, 0x01, 0xe6, 0xf4]);
    let folder = tempfile::tempdir().unwrap();
    let rom = folder.path().join("rom.bin");
    std::fs::write(&rom, &image).unwrap();
    let guest = glassbox::scenario::Guest::Rom { image: rom.clone() };
    let mut machine = Machine::new(Scenario { guest, ..Scenario::bare() }).unwrap();
    machine.run(&Goal { position: Some("insns=1".parse().unwrap()), ..Goal::default() });
    let path = folder.path().join("snap");
    snapshot::save(&machine, &path).unwrap();
    std::fs::remove_file(&rom).unwrap();
    let restored = snapshot::load(&path).unwrap();
    assert_eq!(restored.state_hash(), machine.state_hash());
    let whole = finish(machine);
    let rest = finish(restored);
    assert_eq!((rest.stop, rest.summary.state_hash), (whole.stop, whole.summary.state_hash));
}

#[test]
fn what_two_snapshots_differ_in_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let save = |position: &str| {
        let path = folder.path().join(position);
        snapshot::save(&demo_at(position), &path).unwrap();
        Snapshot::open(&path).unwrap()
    };
    let same = snapshot::diff(&mut save("packet=3"), &mut save("packet=3")).unwrap();
    assert!(same.is_empty(), "{same}");
    let found = snapshot::diff(&mut save("insns=90000"), &mut save("insns=90001")).unwrap();
    let paths: Vec<&str> = found.fields.iter().map(|field| &field.path[..]).collect();
    for path in ["cpu.rip", "cpu.insns", "cpu.now"] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
    let found = snapshot::diff(&mut save("packet=3"), &mut save("packet=4")).unwrap();
    assert!(!found.pages.is_empty(), "a frame was received in between");
}
