//! Packages by name, from the host's own apt: what a metapackage stands for, which version there is, the file itself.

use super::{GuestError, cache};
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) -> Result<String, GuestError> {
    let what = || {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "))
    };
    let described = what();
    let refuse = |reason: String| GuestError::Apt { what: described.clone(), reason };
    let output = command.env("LC_ALL", "C").output().map_err(|error| refuse(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed");
    Err(refuse(last.to_owned()))
}

/// The first package with this prefix that `package` depends on.
pub(super) fn dependency(package: &str, prefix: &str) -> Result<String, GuestError> {
    let text = run(Command::new("apt-cache").args(["depends", package]))?;
    let found = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with(prefix));
    found.map(str::to_owned).ok_or_else(|| GuestError::Apt {
        what: format!("apt-cache depends {package}"),
        reason: format!("no package {prefix}*; `apt-get update` may help"),
    })
}

/// The version that would be downloaded.
pub(super) fn candidate(package: &str) -> Result<String, GuestError> {
    let text = run(Command::new("apt-cache").args(["policy", package]))?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    version.filter(|version| *version != "(none)").map(str::to_owned).ok_or_else(|| GuestError::Apt {
        what: format!("apt-cache policy {package}"),
        reason: "no version to download; `apt-get update` may help".to_owned(),
    })
}

/// The package's file in `folder`, downloaded if it is not there yet; `told` hears of that.
pub(super) fn download(
    package: &str,
    version: &str,
    folder: &Path,
    told: impl FnOnce(),
) -> Result<PathBuf, GuestError> {
    // Colons are spelled so in the names that apt gives to files.
    let start = format!("{package}_{}_", version.replace(':', "%3a"));
    if let Some(path) = find(folder, &start)? {
        return Ok(path);
    }
    told();
    // Downloaded beside, so that what is in the folder is whole.
    let partial = cache::partial_folder(folder)?;
    let downloaded = run(Command::new("apt-get")
        .args(["download", "-q", &format!("{package}={version}")])
        .current_dir(&partial))
    .and_then(|_| find(&partial, &start));
    let moved = match downloaded {
        Ok(Some(path)) => {
            let end = folder.join(path.file_name().unwrap_or_default());
            std::fs::rename(&path, &end).map_err(GuestError::file(&end)).map(|()| end)
        }
        Ok(None) => Err(GuestError::Apt {
            what: format!("apt-get download {package}={version}"),
            reason: format!("no file {start}*.deb came of it"),
        }),
        Err(error) => Err(error),
    };
    // What is left there is of no use to anybody.
    let _ = std::fs::remove_dir_all(&partial);
    moved
}

/// The file in `folder` whose name starts so.
fn find(folder: &Path, start: &str) -> Result<Option<PathBuf>, GuestError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(GuestError::file(folder))? {
        let name = entry.map_err(GuestError::file(folder))?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(".deb")) {
            names.push(folder.join(name));
        }
    }
    Ok(names.into_iter().min())
}
