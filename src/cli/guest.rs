//! `glassbox guest`: fetches and makes a guest without running it.

use super::{OK, print};
use crate::error::Error;
use crate::guests::{Flavour, Recipe, debian, selftest};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  glassbox guest debian && glassbox run debian
  glassbox guest debian --flavour rt --update
  glassbox guest selftest --output selftest.rom";

/// Arguments of `guest`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GuestArgs {
    /// Which guest
    #[arg(value_enum)]
    name: Name,
    /// Which of its kernels
    #[arg(long, value_enum, default_value_t)]
    flavour: Flavour,
    /// Kernel modules to load, comma-separated [default: the card's driver]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    modules: Option<Vec<String>>,
    /// Further packages whose files are put into the guest, comma-separated, with those that they depend on
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    packages: Vec<String>,
    /// Where packages and what is made from them are kept [default: $GLASSBOX_CACHE, else in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Ask apt for newer packages than those in use
    #[arg(long, conflicts_with = "kernel_deb")]
    update: bool,
    /// Take the kernel from this linux-image package instead of asking apt
    #[arg(long, value_name = "FILE", requires = "busybox_deb")]
    kernel_deb: Option<PathBuf>,
    /// Take busybox from this busybox-static package
    #[arg(long, value_name = "FILE", requires = "kernel_deb")]
    busybox_deb: Option<PathBuf>,
    /// Where the self-test ROM is written
    #[arg(long, value_name = "FILE", default_value = "selftest.rom")]
    output: PathBuf,
    /// Checks of the self-test ROM that are left out, as it names them when they fail: 18:000e,18:000f
    #[arg(long, value_name = "STAGE:CHECK", value_delimiter = ',')]
    skip: Vec<selftest::Check>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Debian 12: its own kernel, busybox, our init
    Debian,
    /// The self-test ROM, as a file for another machine
    Selftest,
}

/// Progress of what takes long.
pub(super) fn tell(what: &str) {
    eprintln!("glassbox: {what}");
}

/// `glassbox guest`.
pub(super) fn guest(args: &GuestArgs) -> Result<u8, Error> {
    if let Name::Selftest = args.name {
        let variant = selftest::Variant { skip: args.skip.clone(), wrong: None };
        let rom = selftest::image(&variant)
            .map_err(|error| Error::Config { part: "selftest", reason: error.to_string() })?;
        std::fs::write(&args.output, rom).map_err(Error::file(&args.output))?;
        return Ok(OK);
    }
    let recipe = Recipe {
        flavour: args.flavour,
        modules: args.modules.clone(),
        packages: args.packages.clone(),
        files: BTreeMap::new(),
    };
    let cache = args.cache.as_deref();
    let made = match (&args.kernel_deb, &args.busybox_deb) {
        (Some(kernel), Some(busybox)) => debian::bring(&recipe, cache, [kernel, busybox], tell)?,
        _ if args.update => debian::update(&recipe, cache, tell)?,
        _ => debian::prepare(&recipe, cache, tell)?,
    };
    let (kernel, initrd) = (made.kernel.display(), made.initrd.display());
    print(&format!("{}\n--kernel {kernel}\n--initrd {initrd}\n", made.version))?;
    Ok(OK)
}
