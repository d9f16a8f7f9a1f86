//! Compiles the demo guest (guests/demo) with the compiler that compiles the project, and nothing else: no
//! further target, no cargo, no crate. `src/guests.rs` embeds the result.
//!
//! The image depends on the compiler and its linker only: no path of this machine, no time, no tool's version
//! string gets into it.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The guest runs without an operating system; this target is chosen because its `core` is there wherever the
/// project is built.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const SOURCE: &str = "guests/demo";

/// Code generation. The guest's own code could have a red zone, since its interrupts have stacks of their own
/// (as `core`, compiled with one, needs); without one it depends on that in one place less.
const CODEGEN: [&str; 8] = [
    "panic=abort",
    "relocation-model=static",
    "relro-level=off",
    "opt-level=2",
    "codegen-units=1",
    "strip=symbols",
    "debuginfo=0",
    "no-redzone=yes",
];

/// For the C compiler that Rust links with: our entry instead of the C library's, at fixed addresses.
const LINK: [&str; 6] = [
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-Tlink.ld",
    "-Wl,--build-id=none",
    "-Wl,-z,max-page-size=4096",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let host = env::var("HOST")?;
    if host != TARGET {
        println!("cargo::error=the demo guest is compiled with the host's own compiler and linker,");
        println!("cargo::error=so Glassbox builds on {TARGET} only; this host is {host}");
        return Ok(());
    }
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let output = PathBuf::from(var("OUT_DIR")?).join("demo.elf");
    let result = compile(&root, &output).output()?;
    if !result.status.success() {
        for line in String::from_utf8_lossy(&result.stderr).lines() {
            println!("cargo::error={line}");
        }
        println!("cargo::error=the demo guest in {SOURCE} does not compile");
    }
    Ok(())
}

fn var(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

fn compile(root: &Path, output: &Path) -> Command {
    let source = root.join(SOURCE);
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.current_dir(&source).args([
        "--crate-name=demo",
        "--crate-type=bin",
        "--edition=2024",
        "--target",
        TARGET,
    ]);
    for option in CODEGEN {
        rustc.args(["-C", option]);
    }
    for option in LINK {
        rustc.arg("-C").arg(format!("link-arg={option}"));
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let mut remap = source.into_os_string();
    remap.push("=demo");
    rustc.arg("--remap-path-prefix").arg(remap);
    rustc.arg("-o").arg(output).arg("main.rs");
    rustc
}
