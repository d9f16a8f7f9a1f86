//! Debian packages: an `ar` archive with a compressed `tar` in it. deb(5).

use super::GuestError;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Files taken out of a package: the path in it without a leading `./`, and the contents.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// No file that is wanted from a package is larger.
const FILE_MAX: u64 = 256 << 20;

/// Takes those files out of a package that `wanted` says by their paths.
pub(super) fn extract(package: &Path, wanted: impl Fn(&str) -> bool) -> Result<Files, GuestError> {
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

fn files(tar: impl Read, wanted: impl Fn(&str) -> bool) -> std::io::Result<Files> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./");
        if entry.header().entry_type().is_file() && wanted(path) {
            let mut bytes = Vec::new();
            let size = entry.size();
            entry.take(FILE_MAX).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != size {
                return Err(std::io::Error::other(format!("{path}: {} of {size} bytes", bytes.len())));
            }
            files.push((path.to_owned(), bytes));
        }
    }
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
