//! `glassbox debug`: a scenario, snapshot or recording for gdb, forwards and backwards.

use super::OK;
use super::run::Sink;
use crate::error::Error;
use crate::gdb;
use crate::machine::{Machine, Timeline, snapshot};
use crate::record::Recording;
use crate::scenario::Scenario;
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  glassbox debug demo --gdb :1234 & gdb -ex 'target remote :1234' -ex 'monitor help'
  glassbox debug third.snap -s -S --serial none";

/// Where `-s` listens, as QEMU does.
pub(super) const DEFAULT: &str = ":1234";

/// Arguments of `debug`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DebugArgs {
    /// A scenario file, the name of a built-in one, a snapshot or a recording
    #[arg(value_name = "SCENARIO|SNAPSHOT|RECORDING")]
    machine: String,
    /// Wait for gdb there: HOST:PORT, or :PORT on this host; port 0 takes any
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT)]
    gdb: String,
    /// The same as --gdb :1234
    #[arg(short = 's', conflicts_with = "gdb")]
    short: bool,
    /// Wait for gdb before the first instruction: done anyway
    #[arg(short = 'S')]
    wait: bool,
    /// Where the serial port goes: stdio, none, or a file
    #[arg(long, value_name = "WHERE")]
    serial: Option<PathBuf>,
}

fn machine(name: &str) -> Result<Machine, Error> {
    let path = Path::new(name);
    if Recording::is_one(path) {
        return Recording::load(path)?.machine();
    }
    if path.is_file() && snapshot::is_one(path) {
        return snapshot::load(path);
    }
    let mut scenario = Scenario::load(name)?;
    scenario.prepare(super::guest::tell)?;
    Machine::new(scenario)
}

/// `glassbox debug`.
pub(super) fn debug(args: &DebugArgs) -> Result<u8, Error> {
    // `-s` names the default, `-S` what is always done.
    let DebugArgs { machine: name, gdb: address, short: _, wait: _, serial } = args;
    serve(machine(name)?, address, false, serial.as_deref())
}

/// Serves one gdb; with `runs_before` the guest runs until it comes.
pub(super) fn serve(
    machine: Machine,
    address: &str,
    runs_before: bool,
    serial: Option<&Path>,
) -> Result<u8, Error> {
    let mut serial = Sink::open(serial, false)?;
    let (listener, bound) = gdb::listen(address)?;
    eprintln!("glassbox: in gdb, `target remote {bound}`");
    gdb::serve(Timeline::new(machine), &listener, runs_before, &mut |bytes| serial.write(bytes))?;
    Ok(OK)
}
