//! `glassbox guest`: fetches and makes a guest without running it.

use super::{OK, print};
use crate::error::Error;
use crate::guests::{Flavour, debian};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `guest`.
#[derive(Args)]
pub(super) struct GuestArgs {
    /// Which guest
    #[arg(value_enum)]
    name: Name,
    /// Which of its kernels
    #[arg(long, value_enum, default_value_t)]
    flavour: Flavour,
    /// Kernel modules to load, comma-separated
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "e1000")]
    modules: Vec<String>,
    /// Where packages and what is made from them are kept [default: $GLASSBOX_CACHE, else in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Debian 12: its own kernel, busybox, our init
    Debian,
}

/// Progress of what takes long.
pub(super) fn tell(what: &str) {
    eprintln!("glassbox: {what}");
}

pub(super) fn guest(args: &GuestArgs) -> Result<u8, Error> {
    let made = match args.name {
        Name::Debian => debian::prepare(args.flavour, &args.modules, args.cache.as_deref(), tell)?,
    };
    let (kernel, initrd) = (made.kernel.display(), made.initrd.display());
    print(&format!("{}\n--kernel {kernel}\n--initrd {initrd}\n", made.version))?;
    Ok(OK)
}
