//! Texts that carry their own checksum: a first line that says what the file is, of which version, and the hash of all that
//! follows. The rest is RON, of which that line is a comment.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As the first line calls it.
    pub(crate) name: &'static str,
    /// The version that this program writes.
    pub(crate) version: u32,
}

impl Kind {
    fn hash(self, body: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.name.as_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher.update(body.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// A value as such a file.
    pub(crate) fn write(self, value: &impl Serialize, depth: usize) -> Result<String, String> {
        let config = ron::ser::PrettyConfig::new().depth_limit(depth).indentor("  ");
        let mut body = ron::ser::to_string_pretty(value, config).map_err(|error| error.to_string())?;
        body.push('\n');
        let Self { name, version } = self;
        Ok(format!("// glassbox {name} {version}, blake3 {}\n{body}", self.hash(&body)))
    }

    /// The value in such a file, or what is wrong with it.
    pub(crate) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, String> {
        let Self { name, version } = self;
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("no {name}: byte {} is no text", error.valid_up_to()))?;
        let start = format!("// glassbox {name} ");
        let rest = text
            .strip_prefix(&start)
            .ok_or_else(|| format!("no {name}: it does not begin with `{start}`"))?;
        let (line, body) =
            rest.split_once('\n').ok_or_else(|| format!("the {name} is cut off in its first line"))?;
        let (written, hash) =
            line.split_once(", blake3 ").ok_or_else(|| format!("the {name}'s first line is damaged"))?;
        let written: u32 = written
            .parse()
            .map_err(|_| format!("the {name}'s first line is damaged: version `{written}`"))?;
        if written != version {
            let age = if written > version { "a newer" } else { "an older" };
            return Err(format!(
                "a {name} of version {written}, by {age} Glassbox; this one reads version {version}"
            ));
        }
        if hash != self.hash(body) {
            return Err(format!("the {name} is cut off or was altered: its checksum is another"));
        }
        ron::from_str(body).map_err(|error| format!("line {}: {}", error.span.start.line + 1, error.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "thing", version: 2 };

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let text = KIND.write(&(1, "two"), 4).unwrap();
        assert_eq!(KIND.read(text.as_bytes()), Ok((1, "two".to_owned())));
        for (kind, reason) in [
            (Kind { name: "other", ..KIND }, "no other"),
            (Kind { version: 1, ..KIND }, "a newer Glassbox"),
            (Kind { version: 3, ..KIND }, "an older Glassbox"),
        ] {
            let error = kind.read::<(u8, String)>(text.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let text = KIND.write(&(1, "two"), 4).unwrap();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(KIND.read::<(u8, String)>(&bytes).is_err(), "bit {bit} of byte {at}");
            }
            assert!(KIND.read::<(u8, String)>(&text.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }
}
