//! Debian's own kernel with a small user space: busybox, our init and an echo service, and whatever else a scenario asks for. Made from
//! Debian 12's packages, which the host's apt downloads; nothing of them is shipped.
//!
//! The cache holds the packages as they came, what was made from each version of them, and for each flavour a record of the
//! versions in use. While there is a record apt is not asked, so a guest stays the same, offline too, until an update is wanted.

use super::deb;
use super::extras::Extras;
use super::initramfs::{self, Node};
use super::{GuestError, apt, cache, modules};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    fn modules(self) -> Vec<String> {
        match self {
            Self::Amd64 | Self::Rt => vec!["e1000".to_owned()],
            Self::Cloud => Vec::new(),
        }
    }
}

/// What a guest is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// Which kernel.
    pub flavour: Flavour,
    /// Kernel modules to load; by default those for the machine's devices.
    pub modules: Option<Vec<String>>,
    /// Further packages, by name, whose files are put into the guest. What they depend on has to be named as well.
    pub packages: Vec<String>,
    /// Files of the host's, by their path in the guest.
    pub files: BTreeMap<String, PathBuf>,
}

impl Recipe {
    /// The modules to load.
    #[must_use]
    pub fn modules(&self) -> Vec<String> {
        self.modules.clone().unwrap_or_else(|| self.flavour.modules())
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
    /// Versions of other packages that a guest was made with.
    #[serde(default)]
    others: BTreeMap<String, String>,
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
        Ok(Self { image, version, tools: apt::candidate(TOOLS)?, others: BTreeMap::new() })
    }

    /// Adds the newest versions of packages that have none yet.
    fn complete(mut self, recipe: &Recipe) -> Result<Self, GuestError> {
        for package in &recipe.packages {
            if !self.others.contains_key(package) {
                self.others.insert(package.clone(), apt::candidate(package)?);
            }
        }
        Ok(self)
    }

    /// Where the guest is kept. What goes into the RAM disk beside the kernel's modules is told by its name.
    fn guest(&self, recipe: &Recipe, extras: &Extras, folder: &Path) -> Debian {
        let Self { image, version, tools, others } = self;
        let mut ours = blake3::Hasher::new();
        ours.update(INIT).update(ECHO).update(tools.as_bytes()).update(recipe.modules().join(",").as_bytes());
        for package in &recipe.packages {
            let version = others.get(package).map_or("", String::as_str);
            ours.update(package.as_bytes()).update(b" ").update(version.as_bytes()).update(b"\n");
        }
        extras.add_to(&mut ours);
        Debian {
            kernel: folder.join(format!("{image}_{version}.vmlinuz")),
            initrd: folder.join(format!("{image}_{version}_{}.initrd", &ours.finalize().to_hex()[..16])),
            version: format!("{image} {version}"),
        }
    }
}

/// Makes the guest, or finds it made before. `told` hears what takes long.
pub fn prepare(recipe: &Recipe, folder: Option<&Path>, told: impl FnMut(&str)) -> Result<Debian, GuestError> {
    let folder = cache::folder(folder)?;
    let chosen = Chosen::load(recipe.flavour, &folder).map_or_else(|| Chosen::newest(recipe.flavour), Ok)?;
    make(&chosen.complete(recipe)?, recipe, &folder, told)
}

/// As [`prepare`], of the newest packages that apt knows.
pub fn update(recipe: &Recipe, folder: Option<&Path>, told: impl FnMut(&str)) -> Result<Debian, GuestError> {
    make(&Chosen::newest(recipe.flavour)?.complete(recipe)?, recipe, &cache::folder(folder)?, told)
}

/// As [`prepare`], of packages that somebody has brought: the kernel's and busybox-static's, under the names that Debian
/// gives them.
pub fn bring(
    recipe: &Recipe,
    folder: Option<&Path>,
    packages: [&Path; 2],
    told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let folder = cache::folder(folder)?;
    let [(image, version), (_, tools)] = [deb::identity(packages[0])?, deb::identity(packages[1])?];
    // What can't be taken apart is not kept.
    Parts::take(packages[0], packages[1], &recipe.modules())?;
    for package in packages {
        let bytes = std::fs::read(package).map_err(GuestError::file(package))?;
        cache::write(&folder.join(package.file_name().unwrap_or_default()), &bytes)?;
    }
    let chosen = Chosen { image, version, tools, others: BTreeMap::new() };
    make(&chosen.complete(recipe)?, recipe, &folder, told)
}

/// Makes the guest of packages in `folder`; those that are not there are downloaded. The record comes last.
fn make(
    chosen: &Chosen,
    recipe: &Recipe,
    folder: &Path,
    mut told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let Chosen { image, version, tools, others } = chosen;
    let mut extras = Extras::read(&recipe.files)?;
    let guest = chosen.guest(recipe, &extras, folder);
    if !guest.kernel.is_file() || !guest.initrd.is_file() {
        let mut package = |name: &str, version: &str| {
            apt::download(name, version, folder, || told(&format!("downloading {name} {version}")))
        };
        let kernel_package = package(image, version)?;
        let tools_package = package(TOOLS, tools)?;
        for (name, version) in others.iter().filter(|(name, _)| recipe.packages.contains(name)) {
            extras.unpack(&package(name, version)?)?;
        }
        told(&format!("unpacking {image}"));
        let parts = Parts::take(&kernel_package, &tools_package, &recipe.modules())?;
        cache::write(&guest.kernel, &parts.kernel)?;
        let initrd = parts.initramfs(&extras).map_err(GuestError::file(&guest.initrd))?;
        cache::write(&guest.initrd, &initrd)?;
    }
    if Chosen::load(recipe.flavour, folder).as_ref() != Some(chosen) {
        chosen.save(recipe.flavour, folder)?;
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

    fn initramfs(&self, extras: &Extras) -> std::io::Result<Vec<u8>> {
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
        extras.add_nodes(&mut nodes);
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
