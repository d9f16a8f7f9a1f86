//! Where packages and what is made from them are kept: `$GLASSBOX_CACHE`, else `glassbox` in the user's cache folder.

use super::GuestError;
use std::path::{Path, PathBuf};

/// The folder, made if need be. `given` is the command line's.
pub(super) fn folder(given: Option<&Path>) -> Result<PathBuf, GuestError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = given
        .map(Path::to_owned)
        .or_else(|| variable("GLASSBOX_CACHE"))
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("glassbox")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/glassbox")))
        .ok_or(GuestError::NoCache)?;
    std::fs::create_dir_all(&path).map_err(GuestError::file(&path))?;
    Ok(path)
}

/// Writes a file so that it is there in full or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    std::fs::write(&partial, bytes).map_err(GuestError::file(&partial))?;
    std::fs::rename(&partial, path).map_err(GuestError::file(path))
}
