//! User-space programs print the same bytes in the Debian guest as on the host's own processor: ours, compiled by the distribution's
//! gcc for the baseline and for x86-64-v3, and Debian's. Needs gcc, apt's packages and an x86-64-v3 host; run by name,
//! `cargo test --test programs -- --ignored`, as CI does.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::finish;
use glassbox::guests::Flavour;
use glassbox::machine::{Machine, Stop};
use glassbox::scenario::{Guest, Scenario};
use glassbox::units::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs in C, and for which processors.
const SOURCES: [&str; 3] = ["integers", "maths", "vectors"];
const LEVELS: [&str; 2] = ["x86-64", "x86-64-v3"];

/// What packages.sh runs, and what that needs.
const PACKAGES: [&str; 21] = [
    "coreutils",
    "gzip",
    "perl-base",
    "zstd",
    "libacl1",
    "libattr1",
    "libc6",
    "libcrypt1",
    "libgcc-s1",
    "libgmp10",
    "liblz4-1",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libssl3",
    "libstdc++6",
    "libzstd1",
    "zlib1g",
    "diffutils",
    "dash",
    "libcap2",
];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles a program for a level of the architecture.
fn compile(name: &str, level: &str, folder: &Path) -> PathBuf {
    let program = folder.join(format!("{name}-{level}"));
    output(
        Command::new("gcc")
            .args(["-O2", "-ftree-vectorize", "-static", &format!("-march={level}"), "-o"])
            .arg(&program)
            .arg(source(&format!("{name}.c")))
            .arg("-lm"),
    );
    program
}

/// Runs a script as the guest's only program and answers what it printed.
fn in_guest(script: &str, packages: &[&str], mut files: BTreeMap<String, PathBuf>, folder: &Path) -> String {
    let main = folder.join("main");
    std::fs::write(&main, format!("#!/bin/busybox sh\necho '<<<'\n{script}\necho '>>>'\n")).unwrap();
    files.insert("main".to_owned(), main);
    let mut scenario = Scenario::load("debian").unwrap();
    let packages = packages.iter().map(|name| (*name).to_owned()).collect();
    scenario.guest = Guest::Debian { flavour: Flavour::Amd64, modules: Some(Vec::new()), packages, files };
    scenario.memory = Bytes(512 << 20);
    scenario.append = format!("{} glassbox.run=/main quiet", scenario.append);
    scenario.network = glassbox::scenario::Network::Null;
    scenario.prepare(|_| ()).unwrap();
    let outcome = finish(Machine::new(scenario).unwrap());
    assert_eq!(outcome.stop, Stop::PowerOff { code: 0 }, "{}", outcome.serial);
    let text = outcome.serial.replace("\r\n", "\n");
    let printed = text.split_once("<<<\n").and_then(|(_, rest)| rest.split_once(">>>\n"));
    printed.unwrap_or_else(|| panic!("{text}")).0.to_owned()
}

/// Compares line by line, so that a difference is named.
fn check(what: &str, host: &str, guest: &str) {
    assert!(host.lines().count() > 10, "{what} prints something:\n{host}");
    for (host, guest) in host.lines().zip(guest.lines()) {
        assert_eq!(guest, host, "{what}");
    }
    assert_eq!(guest.lines().count(), host.lines().count(), "{what}: {guest}");
}

#[test]
#[ignore = "boots Debian"]
fn compiled_programs_print_the_same_bytes() {
    let folder = tempfile::TempDir::new().unwrap();
    let with_v3 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    assert!(with_v3, "the host has no AVX2 and FMA to compare with");
    let (mut expected, mut script, mut files) = (String::new(), String::new(), BTreeMap::new());
    for (name, level) in SOURCES.into_iter().flat_map(|name| LEVELS.map(|level| (name, level))) {
        let program = compile(name, level, folder.path());
        expected += &format!("== {name} {level}\n{}", output(&mut Command::new(&program)));
        script += &format!("echo '== {name} {level}'; /bin/{name}-{level}\n");
        files.insert(format!("bin/{name}-{level}"), program);
    }
    check("compiled programs", &expected, &in_guest(&script, &[], files, folder.path()));
}

#[test]
#[ignore = "boots Debian"]
fn debians_own_programs_print_the_same_bytes() {
    let folder = tempfile::TempDir::new().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let script = source("packages.sh");
    let expected = output(Command::new("sh").arg(&script).current_dir(&work));
    let files = [("packages.sh".to_owned(), script)].into();
    let guest = in_guest("cd /tmp; /bin/dash /packages.sh 2>&1", &PACKAGES, files, folder.path());
    check("packages.sh", &expected, &guest);
}
