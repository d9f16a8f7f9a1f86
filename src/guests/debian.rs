//! Debian's own kernel with a small user space: busybox, our init and an echo service. Made from Debian 12's packages, which the
//! host's apt downloads; nothing of them is shipped.

use super::deb;
use super::initramfs::{self, Node};
use super::{GuestError, apt, cache, modules};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The first program: brings the network up, serves, waits, counts, switches off. guests/debian/README.md tells its options.
const INIT: &[u8] = include_bytes!("../../guests/debian/init");
/// The UDP echo service, a Linux program without a library; `build.rs` compiles it.
const ECHO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/debian-echo"));

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

/// Makes the guest, or finds it made before. `told` hears what takes long.
pub fn prepare(
    flavour: Flavour,
    wanted: &[String],
    folder: Option<&Path>,
    mut told: impl FnMut(&str),
) -> Result<Debian, GuestError> {
    let folder = cache::folder(folder)?;
    let image = apt::dependency(flavour.package(), "linux-image-")?;
    let version = apt::candidate(&image)?;
    let tools = apt::candidate("busybox-static")?;
    // The init and the service are ours and change with the program, so the RAM disk's name tells of them as well.
    let mut ours = blake3::Hasher::new();
    ours.update(INIT).update(ECHO).update(tools.as_bytes()).update(wanted.join(",").as_bytes());
    let kernel = folder.join(format!("{image}_{version}.vmlinuz"));
    let initrd = folder.join(format!("{image}_{version}_{}.initrd", &ours.finalize().to_hex()[..16]));
    if !kernel.is_file() || !initrd.is_file() {
        told(&format!("downloading {image} {version} and busybox-static {tools}"));
        let kernel_package = apt::download(&image, &version, &folder)?;
        let tools_package = apt::download("busybox-static", &tools, &folder)?;
        told(&format!("unpacking {image}"));
        let parts = Parts::take(&kernel_package, &tools_package, wanted)?;
        cache::write(&kernel, &parts.kernel)?;
        cache::write(&initrd, &parts.initramfs().map_err(GuestError::file(&initrd))?)?;
    }
    Ok(Debian { kernel, initrd, version: format!("{image} {version}") })
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
        let mut files = deb::extract(kernel_package, |path| {
            path.starts_with("boot/vmlinuz-") || modules::name(path).is_some()
        })?;
        let at = files.iter().position(|(path, _)| path.starts_with("boot/vmlinuz-"));
        let kernel = files.swap_remove(at.ok_or_else(|| missing(kernel_package, "boot/vmlinuz-*"))?).1;
        let modules = ordered_modules(files, wanted).map_err(|reason| GuestError::Package {
            path: kernel_package.to_owned(),
            place: "lib/modules".to_owned(),
            reason,
        })?;
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
