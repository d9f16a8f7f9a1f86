//! `glassbox guest debian` with packages made here and an apt that is a script: what is fetched when, what is kept, and what
//! is said when it can't be had. With Debian's own packages, by name, since that needs apt and the network:
//! `cargo test --test guest_packages -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use glassbox::guests::{Flavour, Recipe, debian};
use glassbox::machine::Machine;
use glassbox::scenario::Scenario;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const IMAGE: &str = "linux-image-6.1.0-99-amd64";

/// A host: its apt, the packages that apt has, the user's cache.
struct Host(TempDir);

/// Answers what the real ones do as far as it is read, from files beside it. `apt-get` writes half of a package and fails if
/// there is a file `broken`.
const APT_CACHE: &str = r#"#!/bin/sh
here=${0%/bin/*}
case $1 in
depends) printf '%s\n  Depends: linux-image-6.1.0-99-amd64\n' "$2" ;;
policy) printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$2" "$(cat "$here/$2.version")" ;;
esac
"#;
const APT_GET: &str = r#"#!/bin/sh
here=${0%/bin/*}
package=$(echo "$3" | sed 's/=/_/; s/:/%3a/')_amd64.deb
echo "$3" >>"$here/log"
if [ -e "$here/broken" ]; then
    head -c 100 "$here/packages/$package" >"$package"
    echo 'E: Failed to fetch: Connection timed out' >&2
    exit 100
fi
cp "$here/packages/$package" .
"#;

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        for (name, text) in [("apt-cache", APT_CACHE), ("apt-get", APT_GET)] {
            let path = host.write(&format!("bin/{name}"), text.as_bytes());
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        host.has_kernel(
            "6.1.7-1",
            &[("net/card", "phy-core,mii"), ("phy-core", "mii"), ("mii", ""), ("e1000", "")],
        );
        host.has("busybox-static", "1:1.35.0-4", &[("bin/busybox", b"a shell")]);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Lets apt have this package.
    fn has(&self, name: &str, version: &str, files: &[(&str, &[u8])]) -> PathBuf {
        self.write(&format!("{name}.version"), version.as_bytes());
        self.write(&format!("packages/{name}_{}_amd64.deb", version.replace(':', "%3a")), &package(files))
    }

    fn has_kernel(&self, version: &str, modules: &[(&str, &str)]) -> PathBuf {
        let kernel = format!("kernel {version}");
        let modules: Vec<_> = modules
            .iter()
            .map(|(path, needs)| (format!("lib/modules/6.1/kernel/{path}.ko"), module(needs)))
            .collect();
        let mut files = vec![("boot/vmlinuz-6.1", kernel.as_bytes())];
        files.extend(modules.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
        self.has(IMAGE, version, &files)
    }

    /// Runs `glassbox guest debian` on a host with apt, or without.
    fn run(&self, apt: bool, args: &[&str]) -> Output {
        let path = if apt { format!("{}:/usr/bin:/bin", self.path("bin").display()) } else { String::new() };
        Command::new(env!("CARGO_BIN_EXE_glassbox"))
            .args(["guest", "debian"])
            .args(args)
            .env("PATH", path)
            .env("GLASSBOX_CACHE", self.path("cache"))
            .output()
            .unwrap()
    }

    /// The kernel and the initial RAM disk that a run which must succeed has made.
    fn made(&self, apt: bool, args: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let output = self.run(apt, args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let file = |option: &str| {
            fs::read(text.lines().find_map(|line| line.strip_prefix(option)).unwrap().trim()).unwrap()
        };
        (file("--kernel"), file("--initrd"))
    }

    /// What a run that must fail says.
    fn refused(&self, apt: bool, args: &[&str]) -> String {
        let output = self.run(apt, args);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    }

    /// What apt was asked to download.
    fn downloads(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// A Debian package with these files.
fn package(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("./{path}"), *bytes).unwrap();
    }
    let mut data = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    data.write_all(&archive.into_inner().unwrap()).unwrap();
    let mut package = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", b"2.0\n".to_vec()), ("data.tar.xz", data.finish().unwrap())] {
        let header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        package.append(&header, bytes.as_slice()).unwrap();
    }
    package.into_inner().unwrap()
}

/// A kernel module as far as its needs go: an ELF file with nothing but `.modinfo`.
fn module(needs: &str) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let info = format!("license=GPL\0depends={needs}\0name=x\0");
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    // Relocatable, x86-64, version 1; sizes of headers, three sections, the last one has their names.
    for (at, value) in [(16, 1_u16), (18, 62), (20, 1), (52, 64), (58, 64), (60, 3), (62, 2)] {
        elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    elf.extend([info.as_bytes(), NAMES].concat());
    let sections = elf.len() as u64;
    elf[40..48].copy_from_slice(&sections.to_le_bytes());
    let (info_len, names_len) = (info.len() as u64, NAMES.len() as u64);
    for (name, kind, at, len) in
        [(0_u32, 0_u32, 0, 0), (1, 1, 64, info_len), (10, 3, 64 + info_len, names_len)]
    {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&at.to_le_bytes());
        header[32..40].copy_from_slice(&len.to_le_bytes());
        elf.extend(header);
    }
    elf
}

/// Names in an initial RAM disk, and what is in them.
fn contents(initrd: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = initrd;
    let mut found = Vec::new();
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return found;
        }
        let name = reader.entry().name().to_owned();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        found.push((name, bytes));
        rest = reader.finish().unwrap();
    }
}

fn modules(initrd: &[u8]) -> Vec<String> {
    let names = contents(initrd).into_iter().map(|(name, _)| name);
    names.filter_map(|name| name.strip_prefix("lib/modules/").map(str::to_owned)).collect()
}

#[test]
fn a_guest_is_made_once_and_then_found_without_apt() {
    let host = Host::new();
    let (kernel, initrd) = host.made(true, &[]);
    assert_eq!(kernel, b"kernel 6.1.7-1");
    assert!(contents(&initrd).contains(&("bin/busybox".to_owned(), b"a shell".to_vec())));
    assert_eq!(modules(&initrd), ["00-e1000.ko"]);
    assert_eq!(host.downloads(), [format!("{IMAGE}=6.1.7-1"), "busybox-static=1:1.35.0-4".to_owned()]);
    assert_eq!(host.made(false, &[]), (kernel.clone(), initrd.clone()));
    // With other modules it is another RAM disk, made of the packages that are there.
    assert_eq!(modules(&host.made(false, &["--modules", "mii"]).1), ["00-mii.ko"]);
    assert_eq!(host.downloads().len(), 2);
    // Elsewhere it is the same again, to the byte.
    assert_eq!(Host::new().made(true, &[]), (kernel, initrd));
}

#[test]
fn modules_are_numbered_behind_what_they_need() {
    let (_, initrd) = Host::new().made(true, &["--modules", "card,e1000"]);
    assert_eq!(modules(&initrd), ["00-mii.ko", "01-phy_core.ko", "02-card.ko", "03-e1000.ko"]);
}

#[test]
fn a_module_that_is_missing_is_named() {
    let host = Host::new();
    host.has_kernel("6.1.7-1", &[("e1000", "absent")]);
    let said = host.refused(true, &[]);
    assert!(said.contains("6.1.7-1_amd64.deb: lib/modules: ") && said.contains("absent"), "{said}");
}

#[test]
fn half_a_download_is_never_taken_for_a_package() {
    let host = Host::new();
    host.write("broken", b"");
    let said = host.refused(true, &[]);
    assert!(said.contains("Connection timed out") && said.contains("--kernel-deb"), "{said}");
    assert_eq!(fs::read_dir(host.path("cache")).unwrap().count(), 0);
    fs::remove_file(host.path("broken")).unwrap();
    assert_eq!(host.made(true, &[]).0, b"kernel 6.1.7-1");
}

#[test]
fn newer_packages_are_taken_when_they_are_wanted() {
    let host = Host::new();
    host.made(true, &[]);
    host.has_kernel("6.1.8-1", &[("e1000", "")]);
    assert_eq!(host.made(true, &[]).0, b"kernel 6.1.7-1");
    assert_eq!(host.made(true, &["--update"]).0, b"kernel 6.1.8-1");
    assert_eq!(host.made(false, &[]).0, b"kernel 6.1.8-1");
    // An update that fails changes nothing.
    host.refused(false, &["--update"]);
    assert_eq!(host.made(false, &[]).0, b"kernel 6.1.8-1");
}

#[test]
fn packages_can_be_brought_to_a_host_without_apt() {
    let host = Host::new();
    let said = host.refused(false, &[]);
    for words in ["apt-cache", "--kernel-deb", "--busybox-deb", "--kernel FILE", "--initrd FILE", "--append"]
    {
        assert!(said.contains(words), "`{said}` does not say {words}");
    }
    let kernel = host.path(&format!("packages/{IMAGE}_6.1.7-1_amd64.deb"));
    let busybox = host.path("packages/busybox-static_1%3a1.35.0-4_amd64.deb");
    let bring = |kernel: &Path| {
        let args = ["--kernel-deb", kernel.to_str().unwrap(), "--busybox-deb", busybox.to_str().unwrap()];
        args.map(str::to_owned)
    };
    let whole = fs::read(&kernel).unwrap();
    let cut = host.write(&format!("cut/{IMAGE}_6.1.7-1_amd64.deb"), &whole[..whole.len() - 60]);
    let said = host.refused(false, &bring(&cut).each_ref().map(String::as_str));
    assert!(said.contains("6.1.7-1_amd64.deb: data.tar.xz: "), "{said}");
    assert_eq!(fs::read_dir(host.path("cache")).unwrap().count(), 0);
    let brought = host.made(false, &bring(&kernel).each_ref().map(String::as_str));
    assert_eq!(host.made(false, &[]), brought);
    assert_eq!(Host::new().made(true, &[]), brought);
}

#[test]
#[ignore = "needs apt and the network"]
fn debians_own_packages_make_a_guest() {
    let cache = TempDir::new().unwrap();
    for flavour in [Flavour::Amd64, Flavour::Cloud, Flavour::Rt] {
        let recipe = Recipe { flavour, ..Recipe::default() };
        let made = debian::prepare(&recipe, Some(cache.path()), |_| ()).unwrap();
        let kernel = fs::read(&made.kernel).unwrap();
        assert_eq!(&kernel[0x202..0x206], b"HdrS", "{}", made.version);
        let files = contents(&fs::read(&made.initrd).unwrap());
        let busybox = files.iter().find(|(name, _)| name == "bin/busybox").unwrap();
        assert_eq!(&busybox.1[..4], b"\x7fELF");
        let drivers = files.iter().filter(|(name, _)| name.ends_with("e1000.ko")).count();
        assert_eq!(drivers, recipe.modules().len(), "{}", made.version);
        let again = debian::prepare(&recipe, Some(cache.path()), |what| panic!("{what}"));
        assert_eq!(again.unwrap(), made);
    }
}

#[test]
#[ignore = "needs apt and the network, and boots Debian"]
fn debians_stack_answers_fragments_and_refuses_what_nobody_serves() {
    let mut scenario = Scenario::load("traces/debian-stack.ron").unwrap();
    scenario.prepare(|_| ()).unwrap();
    let outcome = common::finish(Machine::new(scenario).unwrap());
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    assert!(outcome.serial.contains("glassbox: eth0 received 54 frames, 22014 bytes, 0 errors, 0 dropped"));
    let sent = emu_net::read_capture("sent.pcapng", &outcome.capture).unwrap();
    let packets: Vec<_> = sent
        .frames
        .iter()
        .filter_map(|frame| etherparse::SlicedPacket::from_ethernet(&frame.bytes).ok())
        .collect();
    let count = |test: fn(&etherparse::SlicedPacket<'_>) -> bool| {
        packets.iter().filter(|packet| test(packet)).count()
    };
    // A ping of 1473 bytes comes back in two fragments, one of 4000 in three, a datagram of 3000 in three.
    assert_eq!(count(|packet| packet.is_ip_payload_fragmented()), 8);
    let refused = |packet: &etherparse::SlicedPacket<'_>| match &packet.transport {
        Some(etherparse::TransportSlice::Icmpv4(icmp)) => icmp.type_u8() == 3 && icmp.code_u8() == 3,
        Some(etherparse::TransportSlice::Tcp(tcp)) => tcp.rst(),
        _ => false,
    };
    assert_eq!(count(refused), 2);
}
