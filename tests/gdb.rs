//! The machine as gdb sees it: sessions of Debian's gdb, each a script in `tests/gdb` that ends with the word `passed`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// gdb drives a run of `scenario` by `tests/gdb/{script}.py`.
fn session(scenario: &str, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut stub = Command::new(env!("CARGO_BIN_EXE_glassbox"))
        .args(["debug", scenario, "--gdb", ":0", "--serial", "none"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stub.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the stub says where it listens").unwrap();
        if let Some((_, rest)) = line.split_once("`target remote ") {
            break rest.trim_end_matches('`').to_owned();
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gdb").join(format!("{script}.py"));
    let session = Command::new("gdb")
        .args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "set tcp connect-timeout 30"])
        .args(["-ex", "set remotetimeout 600", "-ex"])
        .arg(format!("target remote {address}"))
        .arg("-x")
        .arg(script)
        .current_dir(folder.path())
        .output()
        .expect("Debian's package gdb is installed");
    let _ = stub.kill();
    stub.wait().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&session.stdout), String::from_utf8_lossy(&session.stderr));
    assert!(said.lines().any(|line| line == "passed"), "{said}");
}

#[test]
#[ignore = "needs gdb"]
fn gdb_goes_through_the_demo_in_both_directions() {
    session("demo", "demo");
}

#[test]
#[ignore = "needs gdb; boots Debian"]
fn gdb_finds_the_dma_behind_a_descriptor_that_debians_driver_reads() {
    session("debian", "debian");
}
