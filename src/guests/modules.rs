//! Kernel modules: which others one needs, from its own `.modinfo` section, and the order to load them in.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};
use std::io::{self, Read};

/// A module's name as `modprobe` compares them.
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The module's name, from its path in a package; nothing for other files.
pub(super) fn name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))?;
    Some(normal(stem))
}

/// No module is larger.
const MODULE_MAX: u64 = 64 << 20;

/// The module itself, uncompressed.
pub(super) fn unpack(path: &str, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !path.ends_with(".xz") {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    lzma_rust2::XzReader::new(&bytes[..], false).take(MODULE_MAX + 1).read_to_end(&mut plain)?;
    if plain.len() as u64 > MODULE_MAX {
        return Err(io::Error::other(format!("unpacks to more than {} MiB", MODULE_MAX >> 20)));
    }
    Ok(plain)
}

/// Names of the modules that must be loaded before this one.
pub(super) fn depends(module: &[u8]) -> Result<Vec<String>, object::Error> {
    let file: ElfFile64<'_> = ElfFile64::parse(module)?;
    let Some(section) = file.section_by_name(".modinfo") else { return Ok(Vec::new()) };
    let names = section
        .data()?
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))
        .unwrap_or_default();
    let names = String::from_utf8_lossy(names);
    Ok(names.split(',').filter(|name| !name.is_empty()).map(normal).collect())
}

/// An order in which every module comes after those that it needs. `needs` answers for each; what it does not know is
/// the error.
pub(super) fn order(
    wanted: &[String],
    mut needs: impl FnMut(&str) -> Result<Vec<String>, String>,
) -> Result<Vec<String>, String> {
    // Depth first; a name is on the stack a second time when all that it needs has been put.
    let mut ordered: Vec<String> = Vec::new();
    let mut entered: Vec<String> = Vec::new();
    let mut stack: Vec<(String, bool)> = wanted.iter().rev().map(|name| (normal(name), false)).collect();
    while let Some((name, done)) = stack.pop() {
        if ordered.contains(&name) {
            continue;
        }
        if done {
            ordered.push(name);
            continue;
        }
        if entered.contains(&name) {
            return Err(format!("module {name} needs itself"));
        }
        let needed = needs(&name)?;
        entered.push(name.clone());
        stack.push((name, true));
        stack.extend(needed.into_iter().rev().map(|name| (name, false)));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_modprobe_compares() {
        assert_eq!(name("lib/modules/6/kernel/net/vfio-pci.ko").as_deref(), Some("vfio_pci"));
        assert_eq!(name("lib/modules/6/a.ko.xz").as_deref(), Some("a"));
        assert_eq!(name("lib/modules/6/modules.builtin"), None);
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let needs = |name: &str| {
            Ok(match name {
                "a" => vec!["b".to_owned(), "c".to_owned()],
                "b" => vec!["c".to_owned()],
                "c" => Vec::new(),
                "loop" => vec!["pool".to_owned()],
                "pool" => vec!["loop".to_owned()],
                other => return Err(format!("no module {other}")),
            })
        };
        assert_eq!(order(&["a".to_owned()], needs).unwrap(), ["c", "b", "a"]);
        assert_eq!(order(&["c".to_owned(), "b".to_owned()], needs).unwrap(), ["c", "b"]);
        assert_eq!(order(&["x".to_owned()], needs).unwrap_err(), "no module x");
        assert_eq!(order(&["loop".to_owned()], needs).unwrap_err(), "module loop needs itself");
    }
}
