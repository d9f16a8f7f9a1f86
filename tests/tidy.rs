//! The house rules that neither rustfmt nor clippy know: this repository, read as text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::path::{Path, PathBuf};

/// Modules that may contain unsafe code; ARCHITECTURE.md says why each.
const UNSAFE: [&str; 5] = [
    "emu-core/src/mem/host.rs",
    "emu-core/src/cpu/mmu/fast.rs",
    "emu-core/src/cpu/engine/dispatch.rs",
    "emu-core/src/cpu/engine/jit/enter.rs",
    // The oracle runs instructions on the host's own processor.
    "emu-core/tests/",
];

/// Lines in a file at most.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, as a path relative to the root and its text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    open.push(path);
                }
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                files.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 50, "found only {} files", files.len());
    files.sort();
    files
}

/// Fails with every offence at once.
fn check(rule: &str, offences: impl IntoIterator<Item = String>) {
    let offences: Vec<String> = offences.into_iter().collect();
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    check(
        "files must open with //!",
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path),
    );
}

#[test]
fn files_fit_a_reader() {
    let long = sources().into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{path}: {lines} lines"))
    });
    check("files are at most 800 lines", long);
}

#[test]
fn unsafe_code_is_where_the_architecture_says() {
    let offences = sources().into_iter().filter_map(|(path, text)| {
        let allowed = UNSAFE.iter().any(|place| path.starts_with(place)) || path.starts_with("guests/");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let mut uses = code.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        (!allowed && path != "tests/tidy.rs" && uses.next().is_some()).then_some(path)
    });
    check("unsafe code only in the named modules", offences);
}

#[test]
fn no_marker_of_unfinished_work_is_left() {
    let marks =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "XX".to_owned() + "X", "todo".to_owned() + "!("];
    let offences = sources().into_iter().flat_map(|(path, text)| {
        let marks = marks.clone();
        text.lines()
            .enumerate()
            .filter(move |(_, line)| marks.iter().any(|mark| line.contains(mark)))
            .map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim()))
            .collect::<Vec<_>>()
    });
    check("finish it or say in the open why not", offences);
}

#[test]
fn crates_import_in_one_direction_only() {
    let allowed = [
        ("emu-core", &[][..]),
        ("emu-iommu", &["emu-core"]),
        ("emu-net", &["emu-core"]),
        ("emu-devices", &["emu-core", "emu-net"]),
    ];
    let crates = allowed.map(|(name, _)| name);
    let offences = allowed.iter().flat_map(|(name, may)| {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let imports = crates.into_iter().filter(move |other| {
            other != name && manifest.lines().any(|line| line.starts_with(&format!("{other}.workspace")))
        });
        imports
            .filter(|other| !may.contains(other))
            .map(|other| format!("{name} uses {other}"))
            .collect::<Vec<_>>()
    });
    check("imports point inwards", offences);
}
