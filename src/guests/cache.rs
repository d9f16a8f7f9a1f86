//! Where packages and what is made from them are kept: `$GLASSBOX_CACHE`, else `glassbox` in the user's cache folder.

use super::GuestError;
use std::fs::File;
use std::io::Write as _;
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

/// Makes something under a name that nobody else uses, neither another run nor another thread of this one.
fn unused<T>(folder: &Path, make: impl Fn(&Path) -> std::io::Result<T>) -> Result<(PathBuf, T), GuestError> {
    let mut n = 0_u32;
    loop {
        let path = folder.join(format!("partial-{}-{n}", std::process::id()));
        match make(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
            made => return made.map_err(GuestError::file(&path)).map(|made| (path, made)),
        }
    }
}

/// A new folder inside of `folder`, for what is not whole yet.
pub(super) fn partial_folder(folder: &Path) -> Result<PathBuf, GuestError> {
    unused(folder, |path| std::fs::create_dir(path)).map(|(path, ())| path)
}

/// Writes a file so that it is there in full or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    let (partial, mut file) = unused(path.parent().unwrap_or(Path::new("")), |path| File::create_new(path))?;
    file.write_all(bytes).map_err(GuestError::file(&partial))?;
    std::fs::rename(&partial, path).map_err(GuestError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_can_be_written_by_many_at_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| write(&path, b"the same").unwrap()));
            }
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"the same");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
