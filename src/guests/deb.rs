//! Debian packages: an `ar` archive with a compressed `tar` in it. deb(5).

use super::GuestError;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Files taken out of a package: the path in it without a leading `./`, and the contents.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// What a package holds at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A file.
    File(Vec<u8>),
    /// A symbolic link to another path.
    Link(String),
}

/// No file that is wanted from a package is larger.
const FILE_MAX: u64 = 256 << 20;
/// No package unpacks to more.
const UNPACKED_MAX: u64 = 4 << 30;

/// Name and version of a package, from its file's name: `name_version_architecture.deb`.
pub(super) fn identity(package: &Path) -> Result<(String, String), GuestError> {
    let refuse = || GuestError::Package {
        path: package.to_owned(),
        place: "its name".to_owned(),
        reason: "not of the form NAME_VERSION_ARCHITECTURE.deb".to_owned(),
    };
    let file = package.file_name().and_then(|name| name.to_str()).ok_or_else(refuse)?;
    let mut parts = file.strip_suffix(".deb").ok_or_else(refuse)?.split('_');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        // Colons are spelled so in the names that apt gives to files.
        (Some(name), Some(version), Some(_), None) if !name.is_empty() && !version.is_empty() => {
            Ok((name.to_owned(), version.replace("%3a", ":")))
        }
        _ => Err(refuse()),
    }
}

/// Takes those files out of a package that `wanted` says by their paths. All of it is read, so that its checksums are looked
/// at even if what is wanted comes first.
pub(super) fn extract(package: &Path, wanted: impl Fn(&str) -> bool) -> Result<Files, GuestError> {
    let contents = contents(package, wanted)?;
    let file = |(path, content)| match content {
        Content::File(bytes) => Some((path, bytes)),
        Content::Link(_) => None,
    };
    Ok(contents.into_iter().filter_map(file).collect())
}

/// As [`extract`], with symbolic links.
pub(super) fn contents(
    package: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Content)>, GuestError> {
    let file = File::open(package).map_err(GuestError::file(package))?;
    let broken = |place: &str, reason: String| GuestError::Package {
        path: package.to_owned(),
        place: place.to_owned(),
        reason,
    };
    let mut archive = ar::Archive::new(BufReader::new(file));
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|error| broken("ar archive", error.to_string()))?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if let Some(compression) = name.strip_prefix("data.tar") {
            let tar = decompress(compression, member).map_err(|reason| broken(&name, reason))?;
            return files(tar, wanted).map_err(|error| broken(&name, error.to_string()));
        }
    }
    Err(broken("ar archive", "there is no data.tar in it".to_owned()))
}

fn decompress<'a>(compression: &str, data: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    Ok(match compression {
        "" => Box::new(data),
        ".gz" => Box::new(flate2::read::GzDecoder::new(data)),
        ".xz" => Box::new(lzma_rust2::XzReader::new(data, true)),
        ".zst" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(data);
            Box::new(decoder.map_err(|error| error.to_string())?)
        }
        other => return Err(format!("unknown compression `{other}`")),
    })
}

fn files(tar: impl Read, wanted: impl Fn(&str) -> bool) -> std::io::Result<Vec<(String, Content)>> {
    let mut files = Vec::new();
    let mut archive = tar::Archive::new(tar.take(UNPACKED_MAX));
    for entry in archive.entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./");
        if !wanted(path) {
            continue;
        }
        if let Some(target) = entry.link_name_bytes()
            && entry.header().entry_type().is_symlink()
        {
            files.push((path.to_owned(), Content::Link(String::from_utf8_lossy(&target).into_owned())));
        } else if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            let size = entry.size();
            entry.take(FILE_MAX).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != size {
                return Err(std::io::Error::other(format!("{path}: {} of {size} bytes", bytes.len())));
            }
            files.push((path.to_owned(), Content::File(bytes)));
        }
    }
    // The last checksum lies behind the archive's end.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A package with these files.
    fn package(files: &[(&str, &[u8])], compression: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *bytes).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let data = match compression {
            ".xz" => {
                let mut xz =
                    lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
                xz.write_all(&tar).unwrap();
                xz.finish().unwrap()
            }
            ".zst" => {
                ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest)
            }
            _ => tar,
        };
        let mut archive = ar::Builder::new(Vec::new());
        for (name, bytes) in
            [("debian-binary".to_owned(), b"2.0\n".to_vec()), (format!("data.tar{compression}"), data)]
        {
            let header = ar::Header::new(name.into_bytes(), bytes.len() as u64);
            archive.append(&header, &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn extract_from(bytes: &[u8]) -> Result<Files, GuestError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        extract(file.path(), |path| path.starts_with("boot/"))
    }

    #[test]
    fn wanted_files_come_out_of_a_package_however_it_is_compressed() {
        for compression in ["", ".xz", ".zst"] {
            let bytes = package(&[("./boot/vmlinuz", b"kernel"), ("./usr/share/doc", b"text")], compression);
            let files = extract_from(&bytes).unwrap();
            assert_eq!(files, [("boot/vmlinuz".to_owned(), b"kernel".to_vec())], "{compression}");
        }
    }

    #[test]
    fn a_bit_flipped_behind_the_last_file_is_noticed() {
        let mut bytes = package(&[("./boot/vmlinuz", b"kernel")], ".xz");
        // Inside of the xz index, which counts what came before.
        let index = bytes.len() - 20;
        bytes[index] ^= 4;
        let error = extract_from(&bytes).unwrap_err().to_string();
        assert!(error.contains("data.tar.xz"), "{error}");
    }

    #[test]
    fn a_package_cut_anywhere_is_refused() {
        let contents: Vec<u8> =
            (0..9000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        for compression in ["", ".xz", ".zst"] {
            let whole = package(&[("./boot/vmlinuz", &contents)], compression);
            for len in [0, 7, 40, 71, 100, 140, 1000, whole.len() / 2, whole.len() - 2000] {
                assert!(extract_from(&whole[..len]).is_err(), "{compression}: {len} bytes");
            }
        }
    }

    #[test]
    fn a_package_is_identified_by_its_name() {
        for (name, expected) in [
            ("busybox-static_1%3a1.35.0-4+b1_amd64.deb", Some(("busybox-static", "1:1.35.0-4+b1"))),
            (
                "/tmp/linux-image-6.1.0-48-amd64_6.1.172-1_amd64.deb",
                Some(("linux-image-6.1.0-48-amd64", "6.1.172-1")),
            ),
            ("kernel.deb", None),
            ("a_b_c_d.deb", None),
            ("a__c.deb", None),
            ("a_1_amd64.rpm", None),
        ] {
            let identity = identity(Path::new(name)).ok();
            let identity = identity.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
            assert_eq!(identity, expected, "{name}");
        }
    }

    #[test]
    fn a_damaged_package_is_named_with_the_place() {
        let whole = package(&[("./boot/vmlinuz", &[7; 5000])], ".xz");
        let other = package(&[("./boot/vmlinuz", b"kernel")], ".rar");
        for (bytes, place) in [
            (&b"not an archive"[..], "ar archive"),
            (&whole[..whole.len() - 40], "data.tar.xz"),
            (&other[..], "data.tar.rar"),
            (&whole[..72], "ar archive"),
        ] {
            let error = extract_from(bytes).unwrap_err().to_string();
            assert!(error.contains(place), "{error} does not name {place}");
        }
    }
}
