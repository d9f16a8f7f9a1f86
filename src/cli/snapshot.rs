//! `glassbox snapshot`: what a snapshot is, and what two differ in.

use super::{FAILED, OK, print};
use crate::error::Error;
use crate::machine::snapshot::{self, Snapshot};
use crate::units::Span;
use clap::{Args, Subcommand};
use emu_core::{PAGE_SIZE, VirtTime};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  glassbox run demo --snapshot-at packet=3=third.snap && glassbox snapshot info third.snap
  glassbox snapshot diff third.snap fourth.snap";

/// Arguments of `snapshot`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SnapshotArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What it is of, and whether it is whole
    Info {
        /// The snapshot
        #[arg(value_name = "SNAPSHOT")]
        file: PathBuf,
    },
    /// What two differ in: registers and fields by name, pages by address and symbol; the exit code is 1 if they do
    Diff {
        /// One
        #[arg(value_name = "A")]
        a: PathBuf,
        /// The other
        #[arg(value_name = "B")]
        b: PathBuf,
    },
}

/// `glassbox snapshot`.
pub(super) fn snapshot(args: &SnapshotArgs) -> Result<u8, Error> {
    match &args.what {
        What::Info { file } => {
            print(&info(file)?)?;
            Ok(OK)
        }
        What::Diff { a, b } => {
            let mut difference = snapshot::diff(&mut Snapshot::open(a)?, &mut Snapshot::open(b)?)?;
            if difference.is_empty() {
                print("no difference\n")?;
                return Ok(OK);
            }
            if !difference.pages.is_empty() {
                difference.name_pages(&snapshot::load(b)?.physical_symbols());
            }
            print(&difference.to_string())?;
            Ok(FAILED)
        }
    }
}

/// Reads all of it, so that whatever is damaged is found.
fn info(file: &Path) -> Result<String, Error> {
    let mut snapshot = Snapshot::open(file)?;
    snapshot.each_page(|_, _| ())?;
    let (state, packed) = (&snapshot.state, snapshot.packed());
    let (cpu, pages) = (&state.parts.cpu, &state.pages);
    let kib = |pages: u64| pages * PAGE_SIZE / 1024;
    let text_len = std::fs::metadata(file).map_err(Error::file(file))?.len();
    let rows = [
        ("snapshot of", state.scenario.title.clone()),
        ("written by", state.program.clone()),
        ("instructions", format!("insns={}", cpu.insns)),
        ("virtual time", format!("time={}", Span(cpu.now.since(VirtTime::ZERO)))),
        ("next record", format!("record={}", state.parts.tracer.next_id)),
        ("frames", format!("{} in, {} out", state.parts.frames_in, state.parts.frames_out)),
        ("processor", format!("{:?}, rip {:#x}, cpl {}", cpu.activity, cpu.rip, cpu.cpl)),
        ("ended", state.watched.stop.as_ref().map_or_else(|| "no".to_owned(), |stop| stop.name())),
        ("memory", format!("{} KiB", state.scenario.memory.0 / 1024)),
        (
            "pages",
            format!(
                "{} not zero ({} KiB), {} different, {} KiB on disk",
                pages.pages,
                kib(pages.pages),
                pages.distinct,
                packed / 1024
            ),
        ),
        ("text", format!("{} KiB", text_len / 1024)),
        ("pages' file", format!("{}, whole", pages.file)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:>14}  {value}");
    }
    Ok(text)
}
