//! Guests that come with the program: a demo and a self-test inside of it, others made from a distribution's packages.

mod apt;
mod cache;
mod deb;
pub mod debian;
mod demo;
mod extras;
mod initramfs;
mod modules;
pub mod packaged;
pub mod selftest;

pub use debian::{Flavour, Recipe};
pub use demo::DEMO_ELF;

use std::path::PathBuf;

/// What to do where apt does not help.
const OTHER_WAYS: &str = "Such guests are made from packages that apt-get downloads. Without apt or network, bring them:
  glassbox guest debian --kernel-deb linux-image-6.1.0-NN-amd64_*.deb --busybox-deb busybox-static_*.deb
Or boot a kernel and an initial RAM disk of your own, which any Linux has as /boot/vmlinuz-* and /boot/initrd.img-*:
  glassbox run --kernel FILE --initrd FILE --append 'console=ttyS0 intel_iommu=on'";

/// Why a guest can't be had.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// There is no apt, or it has no such package.
    #[error("{what}: {reason}\n{OTHER_WAYS}")]
    Apt {
        /// What was tried.
        what: String,
        /// What came of it.
        reason: String,
    },
    /// A package is not what it should be.
    #[error("{path}: {place}: {reason}", path = path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// Which member or file of it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of the cache can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The host's words.
        source: std::io::Error,
    },
    /// There is no place for the cache.
    #[error("no place for packages: set GLASSBOX_CACHE to a folder")]
    NoCache,
}

impl GuestError {
    /// For `map_err` on file operations.
    fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
