//! What a scenario adds to the Debian guest: the files of further packages, and files of the host's.

use super::GuestError;
use super::deb::{self, Content};
use super::initramfs::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of packages that no program needs to run.
const LEFT_OUT: [&str; 5] =
    ["usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/"];

/// Files and links by their paths in the guest.
#[derive(Debug, Default)]
pub(super) struct Extras(BTreeMap<String, Content>);

impl Extras {
    /// Reads the host's files.
    pub(super) fn read(files: &BTreeMap<String, PathBuf>) -> Result<Self, GuestError> {
        let read = |(path, from): (&String, &PathBuf)| {
            let bytes = std::fs::read(from).map_err(GuestError::file(from))?;
            Ok((path.trim_start_matches('/').to_owned(), Content::File(bytes)))
        };
        files.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Tells a hash of all that is in here.
    pub(super) fn add_to(&self, hasher: &mut blake3::Hasher) {
        for (path, content) in &self.0 {
            let bytes = match content {
                Content::File(bytes) => bytes.as_slice(),
                Content::Link(target) => target.as_bytes(),
            };
            hasher.update(path.as_bytes()).update(&[0]).update(blake3::hash(bytes).as_bytes());
        }
    }

    /// Adds what a package holds, where the host's files leave room.
    pub(super) fn unpack(&mut self, package: &Path) -> Result<(), GuestError> {
        let needed = |path: &str| LEFT_OUT.iter().all(|folder| !path.starts_with(folder));
        for (path, content) in deb::contents(package, needed)? {
            self.0.entry(path).or_insert(content);
        }
        Ok(())
    }

    /// Adds everything to an archive's nodes, folders first.
    pub(super) fn add_nodes<'a>(&'a self, nodes: &mut Vec<(String, Node<'a>)>) {
        let known: BTreeSet<String> = nodes.iter().map(|(path, _)| path.clone()).collect();
        let parents =
            |path: &str| path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect::<Vec<_>>();
        let folders: BTreeSet<String> = self.0.keys().flat_map(|path| parents(path)).collect();
        nodes.extend(folders.difference(&known).map(|path| (path.clone(), Node::Folder)));
        nodes.extend(self.0.iter().map(|(path, content)| {
            let node = match content {
                Content::File(bytes) => Node::Program(bytes),
                Content::Link(target) => Node::Link(target),
            };
            (path.clone(), node)
        }));
    }
}
