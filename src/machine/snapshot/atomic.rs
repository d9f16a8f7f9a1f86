//! Files that are there whole or not at all: written beside their place, brought to the disk, and moved there in one step. Whoever
//! is cut off in between leaves what was there before.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// `path` with something after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The folder that a file lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file that gets its name once its content is known: `write` answers where it belongs.
pub(crate) fn write_named<T>(
    draft: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<(PathBuf, T)>,
) -> io::Result<T> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(draft)?);
    let (path, answer) = write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(draft, &path)?;
    // The new name is on the disk when the folder is. Where folders can't be opened that is the system's own care.
    if let Ok(folder) = File::open(folder(&path)) {
        folder.sync_all()?;
    }
    Ok(answer)
}

/// Writes a file whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_named(&beside(path, ".new"), |out| {
        out.write_all(bytes)?;
        Ok((path.to_owned(), ()))
    })
}
