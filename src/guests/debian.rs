//! Debian's own kernel with a small user space: busybox, our init and an echo service. Made from Debian 12's packages, which the
//! host's apt downloads; nothing of them is shipped.
//!
//! The cache holds the packages as they came, what was made from each version of them, and for each flavour a record of the
//! versions in use. While there is a record apt is not asked, so a guest stays the same, offline too, until an update is wanted.

use super::deb;
use super::initramfs::{self, Node};
use super::{GuestError, apt, cache, modules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The first program: brings the network up, serves, waits, counts, switches off. guests/debian/README.md tells its options.
const INIT: &[u8] = include_bytes!("../../guests/debian/init");
/// The UDP echo service, a Linux program without a library; `build.rs` compiles it.
const ECHO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/debian-echo"));

/// The package with the programs.
const TOOLS: &str = "busybox-static";

/// Which of Debian's kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Flavour {
    /// For every PC.
    #[default]
    Amd64,
    /// For virtual machines, with few drivers.
    Cloud,
    /// With preemption for real-time work.
    Rt,
}

impl Flavour {
    const fn package(self) -> &'static str {
        match self {
            Self::Amd64 => "linux-image-amd64",
            Self::Cloud => "linux-image-cloud-amd64",
            Self::Rt => "linux-image-rt-amd64",
        }
    }

    /// The drivers of the machine's devices that are modules of this kernel: for clouds it has none.
    #[must_use]
    pub fn modules(self) -> Vec<String> {
        match self {
            Self::Amd64 | Self::Rt => vec!["e1000".to_owned()],
            Self::Cloud => Vec::new(),
        }
    }
}

/// A guest that is ready to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debian {
    /// The bzImage.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: PathBuf,
    /// The kernel's package and its version.
    pub version: String,
}

/// Package versions in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// The kernel's package.
    image: String,
    /// Its version.
    version: String,
    /// busybox-static's version.
    tools: String,
}

impl Chosen {
    fn path(flavour: Flavour, folder: &Path) -> PathBuf {
        folder.join(format!("{}.ron", flavour.package()))
    }

    /// The record, if there is one that can be read.
    fn load(flavour: Flavour, folder: &Path) -> Option<Self> {
        ron::from_str(&std::fs::read_to_string(Self::path(flavour, folder)).ok()?).ok()
    }

    fn save(&self, flavour: Flavour, folder: &Path) -> Result<(), GuestError> {
        let path = Self::path(flavour, folder);
        let text =
            ron::to_string(self).map_err(|error| GuestError::file(&path)(std::io::Error::other(error)))?;
        cache::write(&path, text.as_bytes())
    }

    /// The newest that apt knows.
    fn newest(flavour: Flavour) -> Result<Self, GuestError> {
        let image = apt::dependency(flavour.package(), "linux-image-")?;
        let version = apt::candidate(&image)?;
        Ok(Self { image, version, tools: apt::candidate(TOOLS)? })
    }

    /// Where the guest is kept. The init and the service are ours and change with the program, so the RAM disk's name
    /// tells of them as well.
    fn guest(&self, wanted: &[String], folder: &Path) -> Debian {
        let Self { image, version, tools } = self;
        let mut ours = blake3::Hasher::new();
        ours.update(INIT).update(ECHO).update(tools.as_bytes()).update(wanted.join(",").as_bytes());
        Debian {
            kernel: folder.join(format!("{image}_{version}.vmlinuz")),
            initrd: folder.join(format!("{image}_{version}_{}.initrd", &ours.finalize().to_hex()[..16])),
            version: format!("{image} {version}"),
        }
    }
}

/// Makes the guest, or finds it made before. `told` hears what takes long.
pub fn prepare(
    flavour: Flavour,
    wanted: &[String],
    folder: Option<&Path>,
    told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let folder = cache::folder(folder)?;
    let chosen = Chosen::load(flavour, &folder).map_or_else(|| Chosen::newest(flavour), Ok)?;
    make(flavour, &chosen, wanted, &folder, told)
}

/// As [`prepare`], of the newest packages that apt knows.
pub fn update(
    flavour: Flavour,
    wanted: &[String],
    folder: Option<&Path>,
    told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    make(flavour, &Chosen::newest(flavour)?, wanted, &cache::folder(folder)?, told)
}

/// As [`prepare`], of packages that somebody has brought: the kernel's and busybox-static's, under the names that Debian
/// gives them.
pub fn bring(
    flavour: Flavour,
    wanted: &[String],
    folder: Option<&Path>,
    packages: [&Path; 2],
    told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let folder = cache::folder(folder)?;
    let [(image, version), (_, tools)] = [deb::identity(packages[0])?, deb::identity(packages[1])?];
    // What can't be taken apart is not kept.
    Parts::take(packages[0], packages[1], wanted)?;
    for package in packages {
        let bytes = std::fs::read(package).map_err(GuestError::file(package))?;
        cache::write(&folder.join(package.file_name().unwrap_or_default()), &bytes)?;
    }
    make(flavour, &Chosen { image, version, tools }, wanted, &folder, told)
}

/// Makes the guest of packages in `folder`; those that are not there are downloaded. The record comes last.
fn make(
    flavour: Flavour,
    chosen: &Chosen,
    wanted: &[String],
    folder: &Path,
    mut told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let Chosen { image, version, tools } = chosen;
    let guest = chosen.guest(wanted, folder);
    if !guest.kernel.is_file() || !guest.initrd.is_file() {
        let mut package = |name: &str, version: &str| {
            apt::download(name, version, folder, || told(&format!("downloading {name} {version}")))
        };
        let kernel_package = package(image, version)?;
        let tools_package = package(TOOLS, tools)?;
        told(&format!("unpacking {image}"));
        let parts = Parts::take(&kernel_package, &tools_package, wanted)?;
        cache::write(&guest.kernel, &parts.kernel)?;
        let initrd = parts.initramfs().map_err(GuestError::file(&guest.initrd))?;
        cache::write(&guest.initrd, &initrd)?;
    }
    if Chosen::load(flavour, folder).as_ref() != Some(chosen) {
        chosen.save(flavour, folder)?;
    }
    Ok(guest)
}

/// What comes out of the packages.
struct Parts {
    kernel: Vec<u8>,
    busybox: Vec<u8>,
    /// In the order to load them.
    modules: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn take(kernel_package: &Path, tools_package: &Path, wanted: &[String]) -> Result<Self, GuestError> {
        let missing = |path: &Path, place: &str| GuestError::Package {
            path: path.to_owned(),
            place: place.to_owned(),
            reason: "not in the package".to_owned(),
        };
        let broken = |reason: String| GuestError::Package {
            path: kernel_package.to_owned(),
            place: "lib/modules".to_owned(),
            reason,
        };
        // All modules together are far larger than what is needed, so once more for each level of dependencies.
        let mut names: Vec<String> = wanted.iter().map(|name| modules::normal(name)).collect();
        let mut files = loop {
            let files = deb::extract(kernel_package, |path| {
                is_kernel(path) || modules::name(path).is_some_and(|name| names.contains(&name))
            })?;
            let more = needed(&files, &names).map_err(broken)?;
            if more.is_empty() {
                break files;
            }
            names.extend(more);
        };
        let at = files.iter().position(|(path, _)| is_kernel(path));
        let kernel = files.swap_remove(at.ok_or_else(|| missing(kernel_package, "boot/vmlinuz-*"))?).1;
        let modules = ordered_modules(files, wanted).map_err(broken)?;
        let busybox = deb::extract(tools_package, |path| path.ends_with("bin/busybox"))?
            .pop()
            .ok_or_else(|| missing(tools_package, "bin/busybox"))?
            .1;
        Ok(Self { kernel, busybox, modules })
    }

    fn initramfs(&self) -> std::io::Result<Vec<u8>> {
        let folder = |path: &str| (path.to_owned(), Node::Folder);
        let program = |path: &str, bytes| (path.to_owned(), Node::Program(bytes));
        let mut nodes: Vec<_> = ["bin", "dev", "etc", "lib", "proc", "sys", "tmp"].map(folder).into();
        nodes.push(("dev/console".to_owned(), Node::Device(5, 1)));
        nodes.push(program("init", INIT));
        nodes.push(program("bin/busybox", &self.busybox));
        nodes.push(program("bin/echo-service", ECHO));
        nodes.push(folder("lib/modules"));
        for (n, (name, bytes)) in self.modules.iter().enumerate() {
            nodes.push((format!("lib/modules/{n:02}-{name}.ko"), Node::Program(bytes)));
        }
        initramfs::build(&nodes)
    }
}

fn is_kernel(path: &str) -> bool {
    path.starts_with("boot/vmlinuz-")
}

/// Modules that those among `files` need beyond `names`.
fn needed(files: &deb::Files, names: &[String]) -> Result<BTreeSet<String>, String> {
    let mut more = BTreeSet::new();
    for (path, bytes) in files.iter().filter(|(path, _)| modules::name(path).is_some()) {
        let module = modules::unpack(path, bytes.clone()).map_err(|error| format!("{path}: {error}"))?;
        let needs = modules::depends(&module).map_err(|error| format!("{path}: {error}"))?;
        more.extend(needs.into_iter().filter(|name| !names.contains(name)));
    }
    Ok(more)
}

fn ordered_modules(files: deb::Files, wanted: &[String]) -> Result<deb::Files, String> {
    let find = |name: &str| {
        let found = files.iter().find(|(path, _)| modules::name(path).as_deref() == Some(name));
        let (path, bytes) = found.ok_or_else(|| format!("this kernel has no module {name}"))?;
        modules::unpack(path, bytes.clone()).map_err(|error| format!("{path}: {error}"))
    };
    let order = modules::order(wanted, |name| {
        modules::depends(&find(name)?).map_err(|error| format!("{name}: {error}"))
    })?;
    order.into_iter().map(|name| find(&name).map(|bytes| (name, bytes))).collect()
}
