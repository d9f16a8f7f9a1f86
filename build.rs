//! Compiles the demo guest (guests/demo) and what the Debian guest needs of ours (guests/debian) with the compiler that
//! compiles the project, and nothing else: no further target, no cargo, no crate. `src/guests/` embeds the results.
//!
//! They depend on the compiler and its linker only: no path of this machine, no time, no tool's version
//! string gets into them.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The demo guest runs without an operating system; this target is chosen because its `core` is there wherever the
/// project is built.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program to compile.
struct Program {
    name: &'static str,
    folder: &'static str,
    source: &'static str,
    /// Its own linker script, if the linker's usual layout will not do.
    script: Option<&'static str>,
    /// What of its symbols is left out: the demo's functions have names, of which nothing is loaded.
    strip: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "demo.elf",
        folder: "guests/demo",
        source: "main.rs",
        script: Some("link.ld"),
        strip: "strip=debuginfo",
    },
    Program {
        name: "debian-echo",
        folder: "guests/debian",
        source: "echo.rs",
        script: None,
        strip: "strip=symbols",
    },
];

/// Code generation. The guest's own code could have a red zone, since its interrupts have stacks of their own
/// (as `core`, compiled with one, needs); without one it depends on that in one place less.
const CODEGEN: [&str; 7] = [
    "panic=abort",
    "relocation-model=static",
    "relro-level=off",
    "opt-level=2",
    "codegen-units=1",
    "debuginfo=0",
    "no-redzone=yes",
];

/// For the C compiler that Rust links with: our entry instead of the C library's, at fixed addresses.
const LINK: [&str; 5] =
    ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096"];

/// What decides how a run goes: recordings name its hash, so that a run that differs can be told from one of another program.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "emu-core/src",
    "emu-devices/src",
    "emu-iommu/src",
    "emu-net/src",
    "guests",
    "src/firmware",
    "src/machine",
];

/// FNV-1a over names and contents of the sources, in the order of their names.
fn hash_of_sources(root: &Path) -> Result<u64, Box<dyn Error>> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = SOURCES.iter().map(|source| root.join(source)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                let path = entry?.path();
                if path.file_name().is_none_or(|name| name != "target") {
                    open.push(path);
                }
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        for byte in name.bytes().chain([0]).chain(std::fs::read(&file)?) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}

fn main() -> Result<(), Box<dyn Error>> {
    for program in PROGRAMS {
        println!("cargo::rerun-if-changed={}", program.folder);
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let host = env::var("HOST")?;
    if host != TARGET {
        println!("cargo::error=guests are compiled with the host's own compiler and linker,");
        println!("cargo::error=so Glassbox builds on {TARGET} only; this host is {host}");
        return Ok(());
    }
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rustc-env=GLASSBOX_SOURCES={:016x}", hash_of_sources(&root)?);
    for program in PROGRAMS {
        let output = PathBuf::from(var("OUT_DIR")?).join(program.name);
        let result = compile(&root, &program, &output).output()?;
        if !result.status.success() {
            for line in String::from_utf8_lossy(&result.stderr).lines() {
                println!("cargo::error={line}");
            }
            println!("cargo::error={} in {} does not compile", program.source, program.folder);
        }
    }
    Ok(())
}

fn var(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

fn compile(root: &Path, program: &Program, output: &Path) -> Command {
    let source = root.join(program.folder);
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.current_dir(&source).args([
        "--crate-name=guest",
        "--crate-type=bin",
        "--edition=2024",
        "--target",
        TARGET,
    ]);
    for option in CODEGEN.into_iter().chain([program.strip]) {
        rustc.args(["-C", option]);
    }
    for option in LINK {
        rustc.arg("-C").arg(format!("link-arg={option}"));
    }
    if let Some(script) = program.script {
        rustc.arg("-C").arg(format!("link-arg=-T{script}"));
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let mut remap = source.into_os_string();
    remap.push("=guest");
    rustc.arg("--remap-path-prefix").arg(remap);
    rustc.arg("-o").arg(output).arg(program.source);
    rustc
}
