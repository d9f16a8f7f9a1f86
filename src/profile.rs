//! Machines as people meet them: named, and laid over whatever machine a scenario describes. Each changes what it is about and
//! leaves the rest; docs/platforms.md says who has such machines.

use crate::dmar::{Mistake, PciPath, Reserved, Scope, Unit};
use crate::machine::layout;
use crate::scenario::{Place, Scenario};
use crate::units::Bytes;
use clap::ValueEnum;
use emu_core::mem::LOW_RAM_END;
use emu_iommu::{IommuConfig, ScalableConfig};
use serde::{Deserialize, Serialize};

/// A platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(deny_unknown_fields)]
pub enum Profile {
    /// As the scenario says
    #[default]
    Standard,
    /// 39 bits of device addresses, tables of 3 levels
    #[value(name = "39-bit")]
    Bits39,
    /// 48 bits, tables of 4 levels alone
    #[value(name = "48-bit")]
    Bits48,
    /// Scalable mode beside legacy mode
    Scalable,
    /// The unit of QEMU: caching mode, 39 bits, no x2APIC destinations, one fault record, nothing snooped
    Qemu,
    /// Setting table pointers leaves caches as they are
    ExplicitInvalidation,
    /// Setting table pointers invalidates
    ImpliedInvalidation,
    /// No invalidation queue, and so no interrupt remapping
    NoQueue,
    /// No interrupt remapping
    NoInterruptRemapping,
    /// Firmware asks not to use x2APIC
    X2apicOptOut,
    /// Memory is reserved for the network card
    Rmrr,
    /// The network card has a unit of its own
    TwoUnits,
    /// The network card stands behind a bridge to conventional PCI
    Bridge,
    /// No VT-d at all
    NoVtd,
    /// Firmware's mistake: memory reserved for the card is free in the memory map
    BadRmrr,
    /// Firmware's mistake: the unit is said to be at address 0
    BadUnitAtZero,
    /// Firmware's mistake: nothing answers where the unit is said to be
    BadUnitSilent,
    /// Firmware's mistake: the card's own unit names a device that there is not
    BadScope,
    /// Firmware's mistake: the I/O APIC is in no unit's scope
    BadIoapic,
}

/// Memory that a card keeps, and how far below the end of low memory it begins.
const RESERVED_LEN: u64 = 0x4_0000;
const RESERVED_BELOW_END: u64 = 0x20_0000;

impl Profile {
    /// All there are.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As the command line calls it.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Makes the scenario's machine such a one.
    pub fn apply(self, scenario: &mut Scenario) {
        let dmar = &mut scenario.dmar;
        match self {
            Self::Standard => {}
            Self::Rmrr => reserve_for_card(scenario),
            Self::BadRmrr => {
                dmar.mistakes.push(Mistake::ReservedIsFree);
                reserve_for_card(scenario);
            }
            Self::TwoUnits => own_unit_for_card(scenario),
            Self::BadScope => {
                dmar.mistakes.push(Mistake::WrongEndpoint);
                own_unit_for_card(scenario);
            }
            Self::Bridge => scenario.nic.place = Place::BehindBridge,
            Self::NoVtd => {
                scenario.iommu = None;
                dmar.units.clear();
            }
            Self::X2apicOptOut => dmar.x2apic_opt_out = true,
            Self::BadUnitAtZero => dmar.mistakes.push(Mistake::UnitAtZero),
            Self::BadUnitSilent => dmar.mistakes.push(Mistake::UnitSilent),
            Self::BadIoapic => dmar.mistakes.push(Mistake::NoIoapic),
            Self::Bits39
            | Self::Bits48
            | Self::Scalable
            | Self::Qemu
            | Self::ExplicitInvalidation
            | Self::ImpliedInvalidation
            | Self::NoQueue
            | Self::NoInterruptRemapping => {
                let own = dmar.units.iter_mut().map(|unit| &mut unit.iommu);
                scenario.iommu.iter_mut().chain(own).for_each(|iommu| self.change(iommu));
            }
        }
    }

    /// What it is for a unit.
    fn change(self, iommu: &mut IommuConfig) {
        match self {
            Self::Bits39 => (iommu.address_bits, iommu.levels) = (39, vec![3]),
            Self::Bits48 => (iommu.address_bits, iommu.levels) = (48, vec![4]),
            Self::Scalable => iommu.scalable = Some(ScalableConfig::default()),
            Self::ExplicitInvalidation => iommu.implied_invalidation = false,
            Self::ImpliedInvalidation => iommu.implied_invalidation = true,
            Self::NoInterruptRemapping => (iommu.interrupt_remapping, iommu.eim) = (false, false),
            Self::NoQueue => {
                (iommu.interrupt_remapping, iommu.eim) = (false, false);
                (iommu.queued_invalidation, iommu.scalable) = (false, None);
            }
            Self::Qemu => {
                (iommu.address_bits, iommu.levels) = (39, vec![3]);
                (iommu.caching_mode, iommu.eim, iommu.scalable) = (true, false, None);
                (iommu.coherent, iommu.snoop_control, iommu.fault_records) = (false, false, 1);
            }
            _ => {}
        }
    }
}

/// The way to the network card.
fn card(scenario: &Scenario) -> PciPath {
    match scenario.nic.place {
        Place::Root => PciPath::to(layout::NIC),
        Place::BehindBridge => PciPath::to(layout::BRIDGE).then(layout::NIC_DEVICE, 0),
    }
}

fn reserve_for_card(scenario: &mut Scenario) {
    let end = scenario.memory.0.min(LOW_RAM_END);
    let base = end.saturating_sub(RESERVED_BELOW_END) & !0xfff;
    let scope = vec![Scope::Endpoint(card(scenario))];
    scenario.dmar.reserved.push(Reserved { base, len: Bytes(RESERVED_LEN), scope });
}

fn own_unit_for_card(scenario: &mut Scenario) {
    let iommu = scenario.iommu.clone().unwrap_or_default();
    let scope = vec![Scope::Endpoint(card(scenario))];
    scenario.dmar.units.push(Unit { iommu, scope });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn every_platform_can_be_built() {
        for profile in Profile::all() {
            let scenario = Scenario { platform: *profile, ..Scenario::default() };
            let machine = Machine::new(scenario).unwrap();
            assert_eq!(machine.scenario().platform, Profile::Standard, "what it is made of is written out");
        }
    }

    #[test]
    fn a_platform_is_named_alike_in_scenarios_and_on_the_command_line() {
        let names: Vec<_> = Profile::all().iter().map(|profile| profile.name()).collect();
        assert!(names.iter().all(|name| !name.is_empty()));
        assert_eq!(ron::from_str::<Profile>("TwoUnits"), Ok(Profile::TwoUnits));
        assert_eq!(Profile::from_str("two-units", false), Ok(Profile::TwoUnits));
    }
}
