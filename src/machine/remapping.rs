//! The VT-d units of the board, and which of them stands before whom.
//!
//! The wiring is the board's, not software's: a request or message goes to the unit that its sender is wired to, whatever the
//! DMAR table says. Without a unit of its own a sender has the one that is for everybody, if there is one.

use super::layout;
use crate::dmar::{Dmar, PciPath, Scope};
use emu_core::{Bdf, Slot};
use emu_iommu::{ConfigError, IommuConfig, Stats, Vtd};
use std::ops::RangeInclusive;

/// A wire from a sender to its unit.
#[derive(Clone, Debug)]
struct Wire {
    scope: Scope,
    unit: usize,
}

/// The units.
#[derive(Debug, Default)]
pub(super) struct Remapping {
    units: Vec<Vtd>,
    wires: Vec<Wire>,
    /// The unit of everybody else.
    default: Option<usize>,
    /// The bridge and the buses behind it, as it is programmed now.
    behind: Option<(Bdf, RangeInclusive<u8>)>,
}

impl Remapping {
    /// The unit of everybody, if there is one, is number 0; those of their own follow.
    pub(super) fn new(default: Option<&IommuConfig>, dmar: &Dmar) -> Result<Self, ConfigError> {
        let own = dmar.units.iter().map(|unit| &unit.iommu);
        let configs = default.into_iter().chain(own);
        let units: Result<Vec<Vtd>, _> =
            (0..).zip(configs).map(|(number, config)| Vtd::numbered(number, config.clone())).collect();
        let first_own = usize::from(default.is_some());
        let wires = dmar.units.iter().enumerate().flat_map(|(index, unit)| {
            let wire = move |scope: &Scope| Wire { scope: scope.clone(), unit: first_own + index };
            unit.scope.iter().map(wire)
        });
        let (wires, default) = (wires.collect(), default.map(|_| 0));
        Ok(Self { units: units?, wires, default, behind: None })
    }

    /// All units, by number.
    pub(super) fn units(&self) -> &[Vtd] {
        &self.units
    }

    /// All units, to be restored.
    pub(super) fn units_mut(&mut self) -> &mut [Vtd] {
        &mut self.units
    }

    /// The unit of that number.
    pub(super) fn unit(&mut self, number: u8) -> Option<&mut Vtd> {
        self.units.get_mut(usize::from(number))
    }

    /// Which unit stands before `source`, a requester id.
    pub(super) fn number_for(&self, source: Bdf) -> Option<u8> {
        let own = self.wires.iter().find(|wire| self.leads_from(&wire.scope, source)).map(|wire| wire.unit);
        own.or(self.default).and_then(|unit| u8::try_from(unit).ok())
    }

    /// The same with the unit.
    pub(super) fn unit_for(&mut self, source: Bdf) -> Option<&mut Vtd> {
        let number = self.number_for(source)?;
        self.unit(number)
    }

    /// In whose name the way of `source` to memory is traced.
    pub(super) fn slot_for(&self, source: Bdf) -> Slot {
        Slot::Iommu(self.number_for(source).unwrap_or(0))
    }

    /// Bridge and buses behind it from now on.
    pub(super) fn set_behind(&mut self, behind: Option<(Bdf, RangeInclusive<u8>)>) {
        self.behind = behind;
    }

    fn leads_from(&self, scope: &Scope, source: Bdf) -> bool {
        match scope {
            Scope::Ioapic => source == layout::IOAPIC_SOURCE,
            Scope::Endpoint(path) if path.is_direct() => source == path.first(),
            // Whoever sits behind a bridge to conventional PCI asks in the bridge's name.
            Scope::Endpoint(path) => self.is_behind(path, source),
            Scope::Bridge(path) => source == path.first() || self.is_behind(path, source),
        }
    }

    fn is_behind(&self, path: &PciPath, source: Bdf) -> bool {
        self.behind
            .as_ref()
            .is_some_and(|(bridge, buses)| *bridge == path.first() && buses.contains(&source.bus()))
    }

    /// Something that units count, of all together.
    pub(super) fn total(&self, count: impl Fn(&Stats) -> u64) -> u64 {
        self.units.iter().map(|unit| count(&unit.stats())).fold(0, u64::saturating_add)
    }
}
