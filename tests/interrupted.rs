//! A run that is interrupted ends well: its trace is whole up to there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]
#![allow(clippy::disallowed_methods, reason = "waits for another process")]

use glassbox::view::file::TraceFile;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_run_that_is_interrupted_leaves_a_whole_trace() {
    let folder = tempfile::tempdir().unwrap();
    // A guest that never ends: a jump to itself, in 16-bit code.
    std::fs::write(folder.path().join("loop.bin"), [0xeb, 0xfe]).unwrap();
    let scenario =
        r#"(title: "for ever", guest: Flat(image: "loop.bin", at: 0x7c00, mode: Real), memory: "16M")"#;
    std::fs::write(folder.path().join("loop.ron"), scenario).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_glassbox"))
        .args(["run", "loop.ron", "--trace", "loop.trace", "--summary", "none", "--serial", "none"])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    // The file is made before the run, and the signal waited for as it begins.
    let trace = folder.path().join("loop.trace");
    while !trace.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(TraceFile::open(&trace).unwrap().cut(), None);
}
