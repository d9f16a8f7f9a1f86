//! Initial RAM disks: `cpio` archives in the form that Linux unpacks, the same bytes for the same contents.
//! Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

use cpio::newc::{Builder, ModeFileType, trailer};
use std::io::{self, Write};

/// What is put into the archive.
pub(super) enum Node<'a> {
    /// A folder.
    Folder,
    /// A program or script.
    Program(&'a [u8]),
    /// A symbolic link to a path.
    Link(&'a str),
    /// A character device, major and minor.
    Device(u32, u32),
}

/// An archive of these, in this order; everything belongs to root and dates from 1970.
pub(super) fn build(nodes: &[(String, Node<'_>)]) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (ino, (path, node)) in (1..).zip(nodes) {
        let entry = Builder::new(path).ino(ino).nlink(1);
        let (entry, bytes): (_, &[u8]) = match node {
            Node::Folder => (entry.mode(0o755).set_mode_file_type(ModeFileType::Directory), &[]),
            Node::Program(bytes) => (entry.mode(0o755).set_mode_file_type(ModeFileType::Regular), bytes),
            Node::Link(target) => {
                (entry.mode(0o777).set_mode_file_type(ModeFileType::Symlink), target.as_bytes())
            }
            Node::Device(major, minor) => {
                let entry = entry.mode(0o600).rdev_major(*major).rdev_minor(*minor);
                (entry.set_mode_file_type(ModeFileType::Char), &[])
            }
        };
        let len = u32::try_from(bytes.len()).map_err(|_| io::Error::other(format!("{path} is too large")))?;
        let mut writer = entry.write(&mut archive, len);
        writer.write_all(bytes)?;
        writer.finish()?;
    }
    trailer(&mut archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_archive_holds_what_was_put_in_and_depends_on_nothing_else() {
        let nodes = [
            ("bin".to_owned(), Node::Folder),
            ("bin/sh".to_owned(), Node::Program(b"#!")),
            ("console".to_owned(), Node::Device(5, 1)),
        ];
        let archive = build(&nodes).unwrap();
        assert_eq!(archive, build(&nodes).unwrap());
        let mut rest = &archive[..];
        let mut seen = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                break;
            }
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            seen.push((entry.name().to_owned(), entry.mode(), entry.rdev_major(), entry.mtime(), bytes));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("bin", 0o040_755, 0, &b""[..]),
            ("bin/sh", 0o100_755, 0, b"#!"),
            ("console", 0o020_600, 5, b""),
        ];
        assert_eq!(
            seen,
            expected.map(|(name, mode, major, bytes)| { (name.to_owned(), mode, major, 0, bytes.to_vec()) })
        );
    }
}
