//! What the command line changes in a scenario. QEMU's spellings are understood too.

use crate::error::Error;
use crate::firmware::LinuxBoot;
use crate::profile::Profile;
use crate::scenario::{Guest, Network, Scenario};
use crate::units::Bytes;
use clap::Args;
use emu_core::cpu::Tier;
use std::path::{Path, PathBuf};

/// Changes to a scenario.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Overrides {
    /// Boot this kernel: PVH, ELF, Multiboot or Linux bzImage
    #[arg(long, value_name = "FILE", conflicts_with = "rom")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk, or Multiboot module
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// How to start a bzImage
    #[arg(long, value_name = "HOW")]
    boot: Option<LinuxBoot>,
    /// Kernel command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,
    /// Guest memory, 512M for instance
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Replay this capture towards the card
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Start from this ROM image at the reset vector
    #[arg(long, value_name = "FILE")]
    rom: Option<PathBuf>,
    /// How to execute: step, one instruction at a time; interp, block by block; jit, hot blocks compiled. Only the time it takes
    /// tells them apart
    #[arg(long, value_name = "TIER")]
    engine: Option<Tier>,
    /// Make the machine one of the named platforms
    #[arg(long, value_name = "NAME")]
    platform: Option<Profile>,
}

impl Overrides {
    /// Whether they say what runs in the machine: then no scenario is needed.
    pub(super) fn name_a_guest(&self) -> bool {
        self.kernel.is_some() || self.rom.is_some()
    }

    /// Applies them. Paths on the command line are relative to where the command runs.
    pub(super) fn apply(self, scenario: &mut Scenario) -> Result<(), Error> {
        if let Some(kernel) = self.kernel {
            let initrd = self.initrd.map(|initrd| absolute(&initrd)).transpose()?;
            scenario.guest = Guest::Kernel { kernel: absolute(&kernel)?, initrd };
        }
        if let Some(rom) = self.rom {
            scenario.guest = Guest::Rom { image: absolute(&rom)? };
        }
        if let Some(boot) = self.boot {
            scenario.boot = boot;
        }
        if let Some(append) = self.append {
            scenario.append = append;
        }
        if let Some(memory) = self.memory {
            scenario.memory = memory;
        }
        if let Some(engine) = self.engine {
            scenario.engine = engine;
        }
        if let Some(platform) = self.platform {
            scenario.platform = platform;
        }
        if let Some(pcap) = self.pcap {
            let replaced = absolute(&pcap)?;
            match &mut scenario.network {
                Network::Replay { pcap, .. } | Network::Converse { pcap, .. } => *pcap = replaced,
                Network::Null | Network::Loopback | Network::Peer { .. } => {
                    scenario.network = Network::replay(replaced)
                }
            }
        }
        Ok(())
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::file(path))
}
