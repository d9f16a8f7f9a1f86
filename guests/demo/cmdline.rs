//! The command line: words `key=value`, in any order. README.md lists them for users.

use crate::console::Console;
use crate::net::Ipv4;
use crate::pci::Bdf;
use crate::{fail, log};

/// What the guest is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Answer requests.
    Normal,
    /// Map one buffer wrongly, see the fault, repair it.
    WrongMap,
    /// Change a mapping and leave the old one in the IOTLB.
    Stale,
}

/// How a buffer is mapped wrongly in `Mode::WrongMap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// A receive buffer that is not mapped at all.
    RxUnmapped,
    /// A receive buffer that the device may only read.
    RxReadOnly,
    /// A transmit buffer that is not mapped at all.
    TxUnmapped,
}

/// How the NIC's interrupts travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Irq {
    /// The INTA# pin, through the IOAPIC.
    Intx,
    /// Message signalled.
    Msi,
}

/// Everything that the command line can say.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// `mode=`
    pub mode: Mode,
    /// `wrong=`
    pub wrong: Wrong,
    /// `index=`: the buffer that the mode's experiment is made with.
    pub index: Option<usize>,
    /// `irq=`
    pub irq: Irq,
    /// `vtd=`: base of the registers, or none for a machine without translation.
    pub vtd: Option<u64>,
    /// `ir=`: whether interrupts are remapped, too.
    pub interrupt_remapping: bool,
    /// `ioapic-sid=`: the requester id of the IOAPIC's messages.
    pub ioapic_sid: Bdf,
    /// `nic-gsi=`: the NIC's IOAPIC pin, where PCI's interrupt line register does not tell it.
    pub nic_gsi: Option<u8>,
    /// `ip=`
    pub ip: Ipv4,
    /// `rx-ring=`: descriptors in the receive ring.
    pub rx_ring: Option<usize>,
    /// `idle-ms=`: the run ends after so long without a frame; 0 means never.
    pub idle_ms: u32,
    /// `link-ms=`: how long to wait for the link.
    pub link_ms: u32,
    /// `lapic-hz=`: what the LAPIC timer counts, where nothing tells it.
    pub lapic_hz: Option<u64>,
    /// `console=`
    pub console: Console,
    /// `log=frames`: one line for every frame.
    pub log_frames: bool,
}

impl Config {
    const DEFAULT: Self = Self {
        mode: Mode::Normal,
        wrong: Wrong::RxUnmapped,
        index: None,
        irq: Irq::Intx,
        vtd: Some(0xfed9_0000),
        interrupt_remapping: true,
        ioapic_sid: Bdf::new(0xf0, 0x1f, 0),
        nic_gsi: None,
        ip: Ipv4([192, 0, 2, 2]),
        rx_ring: None,
        idle_ms: 20,
        link_ms: 5_000,
        lapic_hz: None,
        console: Console::Serial,
        log_frames: false,
    };

    /// Reads the command line; a value that makes no sense ends the guest.
    pub fn parse(line: &str) -> Self {
        let mut config = Self::DEFAULT;
        for word in line.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=') else {
                log!("demo: ignoring `{word}` on the command line");
                continue;
            };
            if config.set(key, value).is_none() {
                fail!(Usage, "demo: bad value in `{word}` on the command line");
            }
        }
        config
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "mode" => {
                self.mode = pick(
                    value,
                    &[("normal", Mode::Normal), ("wrong-map", Mode::WrongMap), ("stale", Mode::Stale)],
                )?
            }
            "wrong" => {
                self.wrong = pick(
                    value,
                    &[
                        ("rx-unmapped", Wrong::RxUnmapped),
                        ("rx-readonly", Wrong::RxReadOnly),
                        ("tx-unmapped", Wrong::TxUnmapped),
                    ],
                )?
            }
            "index" => self.index = Some(number(value)?.try_into().ok()?),
            "irq" => self.irq = pick(value, &[("intx", Irq::Intx), ("msi", Irq::Msi)])?,
            "vtd" => self.vtd = if value == "off" { None } else { Some(number(value)?) },
            "ir" => self.interrupt_remapping = pick(value, &[("on", true), ("off", false)])?,
            "ioapic-sid" => self.ioapic_sid = Bdf::parse(value)?,
            "nic-gsi" => self.nic_gsi = Some(number(value)?.try_into().ok()?),
            "ip" => self.ip = Ipv4::parse(value)?,
            "rx-ring" => self.rx_ring = Some(number(value)?.try_into().ok()?),
            "idle-ms" => self.idle_ms = number(value)?.try_into().ok()?,
            "link-ms" => self.link_ms = number(value)?.try_into().ok()?,
            "lapic-hz" => self.lapic_hz = Some(number(value)?),
            "console" => {
                self.console = pick(
                    value,
                    &[
                        ("serial", Console::Serial),
                        ("debug", Console::Debug),
                        ("both", Console::Both),
                        ("none", Console::None),
                    ],
                )?
            }
            "log" => self.log_frames = pick(value, &[("frames", true), ("brief", false)])?,
            _ => log!("demo: ignoring `{key}={value}` on the command line"),
        }
        Some(())
    }
}

fn pick<T: Copy>(value: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice)
}

/// A decimal number, or a hexadecimal one after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
