//! What a scenario says of DMA remapping beyond the one unit of [`crate::scenario::Scenario::iommu`]: further units and whose
//! they are, reserved memory, and what firmware tells of it all, rightly or wrongly.
//!
//! VT-d specification, chapter 8. The board is built from it ([`crate::machine`]), the DMAR table is written from it
//! ([`crate::firmware::acpi`]); where firmware is mistaken the two differ.

use crate::units::Bytes;
use emu_core::{Bdf, Gpa, PAGE_SIZE};
use emu_iommu::IommuConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Units in all that a machine has room for.
pub const UNITS_MAX: usize = 8;

/// DMA remapping as the platform has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dmar {
    /// Units of their own for what they name. Everything else is left to the scenario's `iommu`.
    pub units: Vec<Unit>,
    /// Memory that devices go on using while an operating system takes over (RMRR, 8.5).
    pub reserved: Vec<Reserved>,
    /// Root ports below which devices may have a TLB of their own (ATSR, 8.6).
    pub ats: Option<RootPorts>,
    /// Devices of the chipset with a TLB of their own (SATC, 8.9).
    pub satc: Vec<Integrated>,
    /// Firmware asks not to use x2APIC (8.1, flags bit 1).
    pub x2apic_opt_out: bool,
    /// Firmware has kept DMA away from itself, and asks the system to go on so (8.1, flags bit 2).
    pub dma_control_opt_in: bool,
    /// What firmware gets wrong.
    pub mistakes: Vec<Mistake>,
}

/// A unit of its own (DRHD, 8.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unit {
    /// What it can do.
    pub iommu: IommuConfig,
    /// Who is behind it.
    pub scope: Vec<Scope>,
}

/// Who is meant (device scope, 8.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Scope {
    /// A function at the end of a path.
    Endpoint(PciPath),
    /// A bridge with everything behind it.
    Bridge(PciPath),
    /// The I/O APIC.
    Ioapic,
}

/// Memory reserved for devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    /// First address, of a page.
    pub base: u64,
    /// Bytes, whole pages.
    pub len: Bytes,
    /// Who uses it.
    pub scope: Vec<Scope>,
}

impl Reserved {
    /// One behind its last address.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.len.0)
    }
}

/// Root ports that carry translated requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RootPorts {
    /// All that there are.
    pub all: bool,
    /// These.
    pub scope: Vec<Scope>,
}

/// Devices of the chipset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Integrated {
    /// They do not work right without their TLB.
    pub atc_required: bool,
    /// Which.
    pub scope: Vec<Scope>,
}

/// A usual mistake of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Mistake {
    /// Reserved regions are free memory in the memory map.
    ReservedIsFree,
    /// The first unit's registers are said to be at address 0.
    UnitAtZero,
    /// The first unit's registers are said to be where nothing answers: reads give all ones.
    UnitSilent,
    /// Endpoints of device scopes are named by functions that there are not.
    WrongEndpoint,
    /// The I/O APIC is in no unit's scope.
    NoIoapic,
}

/// A way down from bus 0 to a function: device and function on each bus. `00:1e.0/02.0` is device 2 behind the bridge at
/// 00:1e.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciPath {
    /// On bus 0.
    first: Bdf,
    /// On the buses behind it; the bus number is not known before it is given out.
    rest: Vec<Bdf>,
}

/// Hops of a path at most.
const HOPS_MAX: usize = 4;

impl PciPath {
    /// A function on bus 0.
    #[must_use]
    pub const fn to(function: Bdf) -> Self {
        Self { first: function, rest: Vec::new() }
    }

    /// Further down, on the bus behind.
    #[must_use]
    pub fn then(mut self, device: u8, function: u8) -> Self {
        self.rest.push(Bdf::new(0, device, function));
        self
    }

    /// The function on bus 0 that it leads to or through.
    #[must_use]
    pub const fn first(&self) -> Bdf {
        self.first
    }

    /// Whether it ends on bus 0.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.rest.is_empty()
    }

    /// Device and function of every hop.
    pub fn hops(&self) -> impl Iterator<Item = [u8; 2]> + '_ {
        std::iter::once(&self.first).chain(&self.rest).map(|hop| [hop.device(), hop.function()])
    }
}

impl FromStr for PciPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not of the form 00:1e.0/02.0, from bus 0 down");
        let hops = text.strip_prefix("00:").ok_or_else(refuse)?;
        let hop = |hop: &str| {
            let (device, function) = hop.split_once('.')?;
            let part = |digits, max| u8::from_str_radix(digits, 16).ok().filter(|value| *value <= max);
            Some(Bdf::new(0, part(device, 31)?, part(function, 7)?))
        };
        let hops: Option<Vec<Bdf>> = hops.split('/').map(hop).collect();
        match hops.as_deref() {
            Some([first, rest @ ..]) if rest.len() < HOPS_MAX => {
                Ok(Self { first: *first, rest: rest.to_vec() })
            }
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for PciPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for PciPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest.iter().try_for_each(|hop| write!(f, "/{:02x}.{}", hop.device(), hop.function()))
    }
}

impl From<PciPath> for String {
    fn from(path: PciPath) -> Self {
        path.to_string()
    }
}

impl Dmar {
    /// Says what can't be built, if anything: `ram` lists memory, first and one behind the last address.
    pub fn check(&self, default_unit: bool, ram: &[(Gpa, Gpa)]) -> Result<(), String> {
        let units = self.units.len() + usize::from(default_unit);
        if units > UNITS_MAX {
            return Err(format!("{units} units; there is room for {UNITS_MAX}"));
        }
        let named: Vec<&Scope> = self.units.iter().flat_map(|unit| &unit.scope).collect();
        if self.units.iter().any(|unit| unit.scope.is_empty()) {
            return Err("a unit of its own is for nobody: its scope is empty".to_owned());
        }
        for (index, scope) in named.iter().enumerate() {
            if named[..index].contains(scope) {
                return Err(format!("two units are for {scope}"));
            }
        }
        self.check_reserved(ram)
    }

    fn check_reserved(&self, ram: &[(Gpa, Gpa)]) -> Result<(), String> {
        for (index, region) in self.reserved.iter().enumerate() {
            let Reserved { base, len, .. } = *region;
            let refuse = |why| Err(format!("reserved memory {base:#x}, {len}: {why}"));
            if len.0 == 0 || !base.is_multiple_of(PAGE_SIZE) || !len.0.is_multiple_of(PAGE_SIZE) {
                return refuse("not whole pages");
            }
            if !ram.iter().any(|(start, end)| (start.0..end.0).contains(&base) && region.end() <= end.0) {
                return refuse("there is no memory");
            }
            if base < MIB {
                return refuse("below 1 MiB is firmware's own place");
            }
            let others = &self.reserved[..index];
            if others.iter().any(|other| base < other.end() && other.base < region.end()) {
                return refuse("overlaps another");
            }
        }
        Ok(())
    }

    /// What the memory map calls reserved.
    pub fn reserved_in_map(&self) -> impl Iterator<Item = &Reserved> {
        let told = !self.mistakes.contains(&Mistake::ReservedIsFree);
        self.reserved.iter().filter(move |_| told)
    }
}

const MIB: u64 = 1 << 20;

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(path) => write!(f, "{path}"),
            Self::Bridge(path) => write!(f, "what is behind {path}"),
            Self::Ioapic => f.write_str("the I/O APIC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for text in ["00:02.0", "00:1e.0/02.0", "00:1c.3/00.0/1f.7"] {
            assert_eq!(text.parse::<PciPath>().unwrap().to_string(), text);
        }
        for text in
            ["", "02.0", "01:02.0", "00:20.0", "00:02.8", "00:02", "00:02.0/", "00:1.0/2.0/3.0/4.0/5.0"]
        {
            assert!(text.parse::<PciPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        let ram = [(Gpa(0), Gpa(64 * MIB))];
        let region = |base, len| Reserved { base, len: Bytes(len), scope: Vec::new() };
        let nic = || Unit { scope: vec![Scope::Endpoint("00:02.0".parse().unwrap())], ..Unit::default() };
        let reserved = |regions: &[Reserved]| Dmar { reserved: regions.to_vec(), ..Dmar::default() };
        let units = |units| Dmar { units, ..Dmar::default() };
        for (dmar, word) in [
            (units(vec![Unit::default()]), "for nobody"),
            (units(vec![nic(), nic()]), "two units are for 00:02.0"),
            (units(vec![nic(); 8]), "room for 8"),
            (reserved(&[region(0x1000, 0x1000)]), "firmware's own"),
            (reserved(&[region(2 * MIB, 0)]), "whole pages"),
            (reserved(&[region(2 * MIB + 1, 0x1000)]), "whole pages"),
            (reserved(&[region(63 * MIB, 2 * MIB)]), "no memory"),
            (reserved(&[region(2 * MIB, MIB), region(2 * MIB + 0x1000, MIB)]), "overlaps"),
        ] {
            let error = dmar.check(true, &ram).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        reserved(&[region(2 * MIB, MIB), region(3 * MIB, MIB)]).check(true, &ram).unwrap();
        units(vec![nic()]).check(false, &ram).unwrap();
    }
}
