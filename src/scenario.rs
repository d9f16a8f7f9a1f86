//! A scenario: everything that decides a run, in one RON file. Two runs of one scenario are the same run.
//!
//! Paths are relative to the scenario's own file. What is left out has the default that is documented here.

use crate::dmar::Dmar;
use crate::error::Error;
use crate::firmware::LinuxBoot;
use crate::guests::{Flavour, Recipe, debian, packaged, selftest};
use crate::profile::Profile;
use crate::units::{Bytes, Span};
use emu_core::VirtDuration;
use emu_core::cpu::{CpuConfig, Tier};
use emu_iommu::IommuConfig;
use emu_net::converse::ConverseConfig;
use emu_net::layer::{Impairment, Way};
use emu_net::peer::PeerConfig;
use emu_net::{Pacing, ReplayConfig};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// One line for people.
    pub title: String,
    /// What runs in the machine.
    pub guest: Guest,
    /// Laid over the machine that the rest describes.
    pub platform: Profile,
    /// How it is started if it is a Linux bzImage.
    pub boot: LinuxBoot,
    /// Its command line, if it takes one.
    pub append: String,
    /// Guest RAM.
    pub memory: Bytes,
    /// The date at power-on, in seconds since 1970 (UTC).
    pub date: i64,
    /// The processor.
    pub cpu: CpuConfig,
    /// The VT-d unit; `None` for a machine without one.
    pub iommu: Option<IommuConfig>,
    /// Further units, reserved memory, and what firmware says of it all.
    pub dmar: Dmar,
    /// The network card.
    pub nic: Nic,
    /// What hangs at its cable.
    pub network: Network,
    /// What lies between the two, from the far end to the card.
    pub wire: Vec<Layer>,
    /// What buses cost.
    pub timing: BusTiming,
    /// How the run is expected to end.
    pub expect: Expect,
    /// When to give up.
    pub limits: Limits,
    /// Where the scenario's paths start: its own folder.
    #[serde(skip)]
    pub base: PathBuf,
    /// Which tier of the processor's engine executes. Decides nothing of the run, so it is not part of a scenario's file.
    #[serde(skip)]
    pub engine: Tier,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            title: String::new(),
            guest: Guest::Demo,
            platform: Profile::default(),
            boot: LinuxBoot::default(),
            append: String::new(),
            memory: Bytes(64 << 20),
            date: 1_767_225_600,
            cpu: CpuConfig::default(),
            iommu: Some(IommuConfig::default()),
            dmar: Dmar::default(),
            nic: Nic::default(),
            network: Network::Null,
            wire: Vec::new(),
            timing: BusTiming::default(),
            expect: Expect::default(),
            limits: Limits::default(),
            base: PathBuf::new(),
            engine: Tier::default(),
        }
    }
}

/// What runs in the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Guest {
    /// The demo guest that is built into this program.
    Demo,
    /// A kernel in a format that names itself: ELF with a PVH note, plain ELF, Multiboot, Linux bzImage.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Initial RAM disk, or the first Multiboot module.
        #[serde(default)]
        initrd: Option<PathBuf>,
    },
    /// Debian's own kernel with a small user space, made from packages on first use.
    Debian {
        /// Which of its kernels.
        #[serde(default)]
        flavour: Flavour,
        /// Kernel modules to load; by default those for the machine's devices.
        #[serde(default)]
        modules: Option<Vec<String>>,
        /// Further packages whose files are put into the guest. What they depend on has to be named as well.
        #[serde(default)]
        packages: Vec<String>,
        /// Files of the host's, by their paths in the guest.
        #[serde(default)]
        files: BTreeMap<String, PathBuf>,
    },
    /// A kernel that is a file of a Debian package, fetched on first use.
    Packaged {
        /// The package.
        package: String,
        /// The file in it, without a leading `/`.
        path: String,
    },
    /// A flat binary.
    Flat {
        /// The file.
        image: PathBuf,
        /// Where it is put, and where it starts.
        at: u64,
        /// The mode it starts in.
        #[serde(default)]
        mode: crate::firmware::FlatMode,
    },
    /// A ROM image that ends at 4 GiB; the processor starts at its reset vector.
    Rom {
        /// The file.
        image: PathBuf,
    },
}

/// The network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nic {
    /// Its address, as in its EEPROM.
    pub mac: String,
    /// Whether its pin can be masked through the PCI command register, as since PCI 2.3; without, VFIO and Xen mask the whole
    /// interrupt instead and do not let it be shared.
    pub intx_masking: bool,
    /// Where it stands.
    pub place: Place,
}

/// Where a card stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Place {
    /// On the root bus, at 00:02.0.
    #[default]
    Root,
    /// Behind a bridge from PCI Express to conventional PCI, at 00:1e.0: device 2 of its bus.
    BehindBridge,
}

impl Default for Nic {
    fn default() -> Self {
        Self { mac: "52:54:00:12:34:56".to_owned(), intx_masking: true, place: Place::Root }
    }
}

impl Nic {
    /// The address as bytes.
    pub fn mac(&self) -> Result<[u8; 6], Error> {
        let refuse = || Error::Config { part: "nic", reason: format!("`{}` is no MAC address", self.mac) };
        let mut mac = [0; 6];
        let mut parts = self.mac.split(':');
        for byte in &mut mac {
            *byte = parts.next().and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(refuse)?;
        }
        if parts.next().is_some() || mac[0] & 1 != 0 { Err(refuse()) } else { Ok(mac) }
    }
}

/// What hangs at the card's cable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Network {
    /// Nothing answers; what the card sends is captured.
    Null,
    /// Whatever the card sends comes back.
    Loopback,
    /// A capture is replayed towards the card.
    Replay {
        /// The capture.
        pcap: PathBuf,
        /// When frames arrive.
        #[serde(default)]
        pacing: Pacing,
        /// When the first one arrives.
        #[serde(default = "default_start")]
        start: Span,
        /// What is changed in them, and how often they are played.
        #[serde(default)]
        options: ReplayConfig,
    },
    /// One side of every conversation of a capture is played against the guest.
    Converse {
        /// The capture.
        pcap: PathBuf,
        /// When the first one begins.
        #[serde(default = "default_start")]
        start: Span,
        /// Who plays whom.
        #[serde(default)]
        options: ConverseConfig,
    },
    /// A host that answers ARP, ping, DHCP and DNS, and serves files by TFTP and HTTP.
    Peer {
        /// Who it is.
        #[serde(default)]
        options: PeerConfig,
        /// What it serves: names and files.
        #[serde(default)]
        files: BTreeMap<String, PathBuf>,
    },
}

/// Something between the card and the far end of its cable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Layer {
    /// Lets frames pass that an expression describes.
    Filter {
        /// The expression, as tcpdump has them.
        pass: String,
        /// Which frames it is asked about.
        #[serde(default)]
        way: Way,
    },
    /// Changes addresses and ports on the way to the guest, and back on the way from it.
    Rewrite {
        /// MAC addresses.
        #[serde(default)]
        macs: BTreeMap<String, String>,
        /// IP addresses.
        #[serde(default)]
        ips: BTreeMap<IpAddr, IpAddr>,
        /// TCP and UDP ports.
        #[serde(default)]
        ports: BTreeMap<u16, u16>,
    },
    /// Loses, doubles, delays, reorders and damages frames.
    Impair {
        /// Where the dice start.
        #[serde(default)]
        seed: u64,
        /// Frames to the guest.
        #[serde(default)]
        to_guest: Impairment,
        /// Frames from the guest.
        #[serde(default)]
        from_guest: Impairment,
    },
    /// Writes down what passes here, both ways, as pcapng.
    Capture {
        /// The file.
        file: PathBuf,
    },
}

impl Network {
    /// A capture as it was captured.
    #[must_use]
    pub fn replay(pcap: PathBuf) -> Self {
        Self::Replay {
            pcap,
            pacing: Pacing::default(),
            start: default_start(),
            options: ReplayConfig::default(),
        }
    }
}

fn default_start() -> Span {
    Span(VirtDuration::from_ms(10))
}

/// What accesses cost beyond the instruction itself. Rough figures for a PC with a conventional PCI bus; they make
/// virtual time plausible and give everything an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusTiming {
    /// A processor's read of a PCI device's register: request, device, and answer on a 33 MHz bus.
    pub mmio_read: Span,
    /// A posted write to one.
    pub mmio_write: Span,
    /// Registers inside the processor package or chipset: local APIC, I/O APIC, VT-d.
    pub chipset: Span,
    /// A port access on the LPC bus: 1 us is what delay loops on port 0x80 count on.
    pub port: Span,
    /// A configuration access.
    pub config: Span,
    /// A character on the serial line. Far faster than any real one, so that a talkative boot is not what takes the time.
    pub serial_character: Span,
    /// PCI 2.3, 33 MHz: arbitration, address phase and turnaround of one bus-master transaction, 8 clocks.
    pub dma_setup: Span,
    /// One data phase of 4 bytes, 30 ns.
    pub dma_dword: Span,
}

impl Default for BusTiming {
    fn default() -> Self {
        let ns = |n| Span(VirtDuration::from_ns(n));
        Self {
            mmio_read: ns(500),
            mmio_write: ns(100),
            chipset: ns(20),
            port: ns(1000),
            config: ns(600),
            serial_character: ns(1000),
            dma_setup: ns(240),
            dma_dword: ns(30),
        }
    }
}

/// How a run is expected to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The guest's own end.
    pub end: Ending,
    /// DMA remapping faults, if their number is known.
    pub dmar_faults: Option<u64>,
    /// Every ARP, ping and UDP echo request to this address is answered.
    pub answers_for: Option<Ipv4Addr>,
    /// So many conversations of a capture are played to their end.
    pub conversations: Option<u64>,
}

/// A guest's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Ending {
    /// Power-off, an exit status of success at the debug-exit port, or nothing left to do.
    #[default]
    Clean,
    /// A certain status at the debug-exit port.
    Status(u32),
}

/// When to give up: then the run ends with exit code 124.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Instructions.
    pub insns: Option<u64>,
    /// Virtual time.
    pub time: Option<Span>,
}

/// The scenarios that are built in: name and text. Their captures are in [`builtin_file`].
pub const BUILTIN: [(&str, &str); 9] = [
    ("demo", include_str!("../traces/demo.ron")),
    ("demo-wrong-map", include_str!("../traces/demo-wrong-map.ron")),
    ("demo-stale", include_str!("../traces/demo-stale.ron")),
    ("demo-spoofed", include_str!("../traces/demo-spoofed.ron")),
    ("debian", include_str!("../traces/debian.ron")),
    ("debian-dhcp", include_str!("../traces/debian-dhcp.ron")),
    ("ipxe", include_str!("../traces/ipxe.ron")),
    ("memtest", include_str!("../traces/memtest.ron")),
    ("selftest", include_str!("../traces/selftest.ron")),
];

/// A capture or image that is built in, by the name that built-in scenarios use.
fn builtin_file(path: &Path) -> Option<Cow<'static, [u8]>> {
    match path.to_str()? {
        "demo-requests.pcap" => Some(Cow::Borrowed(include_bytes!("../traces/demo-requests.pcap"))),
        "debian-dhcp.pcap" => Some(Cow::Borrowed(include_bytes!("../traces/debian-dhcp.pcap"))),
        "selftest.rom" => selftest::image(&selftest::Variant::default()).ok().map(Cow::Owned),
        _ => None,
    }
}

impl Scenario {
    /// A machine for a guest that the command line names: the defaults, with memory enough for a Linux distribution.
    #[must_use]
    pub fn bare() -> Self {
        Self { memory: Bytes(512 << 20), ..Self::default() }
    }

    /// A built-in scenario by name, else a file.
    pub fn load(name: &str) -> Result<Self, Error> {
        if let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text, Path::new(name), PathBuf::new());
        }
        let path = Path::new(name);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !name.contains(['/', '.']) => {
                let known = BUILTIN.map(|(name, _)| name).join(", ");
                return Err(Error::NoScenario { name: name.to_owned(), known });
            }
            Err(source) => return Err(Error::File { path: path.to_owned(), source }),
        };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&text, path, base)
    }

    fn parse(text: &str, path: &Path, base: PathBuf) -> Result<Self, Error> {
        let options =
            ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let mut scenario: Self = options
            .from_str(text)
            .map_err(|error| Error::Scenario { path: path.to_owned(), place: error.to_string() })?;
        scenario.base = base;
        Ok(scenario)
    }

    /// Makes a guest that is made from packages, or finds it made before: then the scenario names a kernel like any other.
    /// `told` hears what takes long.
    pub fn prepare(&mut self, told: impl FnMut(&str)) -> Result<(), Error> {
        if let Guest::Packaged { package, path } = &self.guest {
            let kernel = packaged::prepare(package, path, None, told)?;
            self.guest = Guest::Kernel { kernel, initrd: None };
            return Ok(());
        }
        if let Guest::Debian { flavour, modules, packages, files } = &self.guest {
            let recipe = Recipe {
                flavour: *flavour,
                modules: modules.clone(),
                packages: packages.clone(),
                files: files.iter().map(|(path, from)| (path.clone(), self.base.join(from))).collect(),
            };
            let made = debian::prepare(&recipe, None, told)?;
            self.guest = Guest::Kernel { kernel: made.kernel, initrd: Some(made.initrd) };
        }
        Ok(())
    }

    /// Writes out what the platform makes of the machine.
    pub(crate) fn settle(&mut self) {
        std::mem::take(&mut self.platform).apply(self);
    }

    /// The files that a run reads.
    pub fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        let mut inputs = match &mut self.guest {
            Guest::Demo | Guest::Packaged { .. } => Vec::new(),
            Guest::Kernel { kernel, initrd } => std::iter::once(kernel).chain(initrd).collect(),
            Guest::Debian { files, .. } => files.values_mut().collect(),
            Guest::Flat { image, .. } | Guest::Rom { image } => vec![image],
        };
        match &mut self.network {
            Network::Null | Network::Loopback => {}
            Network::Replay { pcap, .. } | Network::Converse { pcap, .. } => inputs.push(pcap),
            Network::Peer { files, .. } => inputs.extend(files.values_mut()),
        }
        inputs
    }

    /// Reads a file that the scenario names.
    pub fn read(&self, path: &Path) -> Result<Cow<'static, [u8]>, Error> {
        if self.base.as_os_str().is_empty()
            && let Some(bytes) = builtin_file(path)
        {
            return Ok(bytes);
        }
        let path = self.base.join(path);
        std::fs::read(&path).map(Cow::Owned).map_err(Error::file(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_scenario_is_valid() {
        for (name, _) in BUILTIN {
            let scenario = Scenario::load(name).unwrap();
            assert!(!scenario.title.is_empty(), "{name}");
            scenario.nic.mac().unwrap();
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let error = Scenario::parse("(\n  titel: \"x\",\n)", Path::new("s.ron"), PathBuf::new()).unwrap_err();
        assert!(error.to_string().starts_with("s.ron:2:"), "{error}");
        assert!(error.to_string().contains("titel"), "{error}");
    }

    #[test]
    fn a_guest_of_packages_is_asked_for_with_what_it_needs() {
        let parse = |text| Scenario::parse(text, Path::new("s.ron"), PathBuf::new()).unwrap().guest;
        let debian =
            |packages, files| Guest::Debian { flavour: Flavour::Amd64, modules: None, packages, files };
        assert_eq!(parse("(guest: Debian())"), debian(Vec::new(), BTreeMap::new()));
        assert_eq!(
            parse("(guest: Debian(packages: [\"zstd\"], files: {\"bin/x\": \"x\"}))"),
            debian(vec!["zstd".to_owned()], [("bin/x".to_owned(), PathBuf::from("x"))].into())
        );
    }

    #[test]
    fn a_scenario_survives_being_written() {
        let scenario = Scenario { title: "x".to_owned(), ..Scenario::default() };
        let text = ron::to_string(&scenario).unwrap();
        assert_eq!(Scenario::parse(&text, Path::new("s.ron"), PathBuf::new()).unwrap(), scenario);
    }
}
