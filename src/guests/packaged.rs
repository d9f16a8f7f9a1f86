//! Kernels that are a file of a Debian package: iPXE, Memtest86+. Taken out of it as it is, and kept.

use super::{GuestError, apt, cache, deb};
use std::path::{Path, PathBuf};

/// The file at `path` of the package, from what is kept or of the version that apt offers. `told` hears what takes long.
pub fn prepare(
    package: &str,
    path: &str,
    folder: Option<&Path>,
    mut told: impl FnMut(&str),
) -> Result<PathBuf, GuestError> {
    let folder = cache::folder(folder)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let (start, end) = (format!("{package}_"), format!("_{name}"));
    if let Some(kept) = find(&folder, &start, &end)? {
        return Ok(kept);
    }
    let version = apt::candidate(package)?;
    let archive =
        apt::download(package, &version, &folder, || told(&format!("downloading {package} {version}")))?;
    let file = deb::extract(&archive, |there| there == path)?.pop().ok_or_else(|| GuestError::Package {
        path: archive.clone(),
        place: path.to_owned(),
        reason: "not in the package".to_owned(),
    })?;
    let kept = folder.join(format!("{start}{version}{end}"));
    cache::write(&kept, &file.1)?;
    Ok(kept)
}

/// What is kept of the package, the last by name if there are several.
fn find(folder: &Path, start: &str, end: &str) -> Result<Option<PathBuf>, GuestError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(GuestError::file(folder))? {
        let name = entry.map_err(GuestError::file(folder))?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(end)) {
            found.push(folder.join(name));
        }
    }
    Ok(found.into_iter().max())
}
