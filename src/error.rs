//! What can go wrong outside of the machine: files, arguments, the host. A guest can't cause any of these.

use crate::position::PositionError;
use crate::units::UnitError;
use std::path::{Path, PathBuf};

/// One line names the file, and the place in it where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The host's words.
        source: std::io::Error,
    },
    /// A scenario says something that it can't.
    #[error("{path}:{place}", path = path.display())]
    Scenario {
        /// Which.
        path: PathBuf,
        /// Line, column and reason.
        place: String,
    },
    /// No file and no name of a shipped scenario.
    #[error("no scenario `{name}`: neither a file nor one of {known}")]
    NoScenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A guest image can't be loaded.
    #[error("{path}: {source}", path = path.display())]
    Load {
        /// Which.
        path: PathBuf,
        /// Why.
        source: crate::firmware::LoadError,
    },
    /// A guest made from packages can't be made.
    #[error("{0}")]
    Guest(#[from] crate::guests::GuestError),
    /// A scenario was not prepared before a machine was built from it.
    #[error("this guest is made from packages, and nobody has made it")]
    NotPrepared,
    /// A capture can't be replayed.
    #[error("{0}")]
    Capture(#[from] emu_net::CaptureError),
    /// Guest memory can't be had.
    #[error("{0}")]
    Memory(#[from] emu_core::mem::MemError),
    /// A part of the machine refuses its configuration.
    #[error("{part}: {reason}")]
    Config {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// A snapshot can't be gone on from.
    #[error("{path}: {reason}", path = path.display())]
    Snapshot {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A recording can't be replayed.
    #[error("{path}: {reason}", path = path.display())]
    Recording {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint of another machine.
    #[error("{0}")]
    Rewind(#[from] crate::machine::RewindError),
    /// A position on the command line.
    #[error("{0}")]
    Position(#[from] PositionError),
    /// A number with a unit on the command line.
    #[error("{0}")]
    Unit(#[from] UnitError),
    /// The machine's own tables do not fit its memory.
    #[error("ACPI tables: {0}")]
    Tables(#[from] emu_core::mem::Unbacked),
    /// Whoever read the output has gone: nothing is wrong.
    #[error("the reader of the output has gone")]
    Pipe,
}

impl Error {
    /// For `map_err` on file operations.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
