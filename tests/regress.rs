//! The regression kit on the project's own runs, and on runs that are not as expected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use glassbox::regress::{self, Case};
use std::path::{Path, PathBuf};
use std::process::Command;

fn runs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs")
}

#[test]
fn the_projects_own_runs_are_as_expected() {
    for path in regress::scenarios(&runs()).unwrap() {
        regress::assert_as_expected(path);
    }
}

/// A folder with a scenario that has been blessed.
fn blessed() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.ron");
    std::fs::copy(runs().join("echo.ron"), &path).unwrap();
    let pcap = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/demo-requests.pcap");
    std::fs::copy(pcap, folder.path().join("demo-requests.pcap")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("../../traces/", "")).unwrap();
    let case = regress::check(&path, true).unwrap();
    assert!(case.passed() && case.blessed, "{case:?}");
    (folder, path)
}

fn check(path: &Path) -> Case {
    regress::check(path, false).unwrap()
}

#[test]
fn without_expectations_nothing_is_as_expected() {
    let (_folder, path) = blessed();
    std::fs::remove_dir_all(path.with_extension("expected")).unwrap();
    let case = check(&path);
    assert!(case.differences.len() == 1 && case.differences[0].contains("--bless"), "{case:?}");
}

#[test]
fn a_changed_run_is_told_in_words_and_blessing_accepts_it() {
    let (_folder, path) = blessed();
    assert!(check(&path).passed());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("wire: []", "wire: [Filter(pass: \"not udp\")]")).unwrap();
    let differences = check(&path).differences.join("\n");
    for part in [
        "frames_in is 27 instead of 41",
        "records of kind net instead of",
        "-demo: received 37",
        "+demo: received",
    ] {
        assert!(differences.contains(part), "`{part}` is not in\n{differences}");
    }
    assert!(regress::check(&path, true).unwrap().blessed);
    assert!(check(&path).passed());
    assert!(!regress::check(&path, true).unwrap().blessed, "nothing was left to accept");
}

#[test]
fn the_scenarios_own_expectations_count_too_and_can_not_be_blessed_away() {
    let (_folder, path) = blessed();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("dmar_faults: 0", "dmar_faults: 1")).unwrap();
    assert_eq!(check(&path).differences, ["0 DMAR faults instead of 1"]);
    assert!(!regress::check(&path, true).unwrap().passed());
}

#[test]
fn the_command_line_tells_people_and_other_tools() {
    let (folder, path) = blessed();
    let glassbox = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_glassbox"))
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = glassbox(&["test", ".", "--junit", "results.xml"]);
    assert_eq!((code, &text[..]), (0, "ok        echo\n1 of 1 as expected\n"));
    let xml = std::fs::read_to_string(folder.path().join("results.xml")).unwrap();
    assert!(xml.contains("tests=\"1\" failures=\"0\""), "{xml}");
    let scenario = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, scenario.replace("wire: []", "wire: [Filter(pass: \"not udp\")]")).unwrap();
    let (code, text) = glassbox(&["test", ".", "--tap"]);
    assert!(code == 1 && text.contains("not ok 1 - echo\n  ---\n"), "{text}");
    assert_eq!(glassbox(&["test", ".", "--only", "nothing"]).0, 2);
}
