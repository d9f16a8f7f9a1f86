//! The DMAR table: the remapping units, whose they are, and memory that devices keep. VT-d specification, chapter 8.
//!
//! Structures stand in the order of their types (8.3), the unit of everybody after those of their own (8.4). Mistakes that the
//! scenario asks for are made here and nowhere else.

use crate::dmar::{Dmar, Integrated, Mistake, PciPath, Reserved, RootPorts, Scope};
use crate::machine::layout;
use acpi_tables::sdt::Sdt;
use emu_iommu::IommuConfig;

/// DMAR flags (8.1): interrupts can be remapped.
const INTR_REMAP: u8 = 1 << 0;
/// DMAR flags: x2APIC is not to be used.
const X2APIC_OPT_OUT: u8 = 1 << 1;
/// DMAR flags: firmware kept DMA away until now.
const DMA_CTRL_OPT_IN: u8 = 1 << 2;
/// DRHD flags (8.4): the unit is for every PCI device that no other is for.
const INCLUDE_ALL: u8 = 1 << 0;
/// ATSR flags (8.6).
const ALL_PORTS: u8 = 1 << 0;
/// SATC flags (8.9).
const ATC_REQUIRED: u8 = 1 << 0;

/// Structure types (8.3).
const DRHD: u16 = 0;
const RMRR: u16 = 1;
const ATSR: u16 = 2;
const SATC: u16 = 5;

/// Device scope types (8.4.1).
const ENDPOINT: u8 = 1;
const BRIDGE: u8 = 2;
const IOAPIC: u8 = 3;

/// A page where nothing answers: all ones can be read there.
const SILENT: u64 = 0xfed8_0000;
/// What a mistaken scope has differently in its last device number.
const WRONG: u8 = 0x08;

/// What the table is written from.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The unit of everybody.
    pub iommu: Option<&'a IommuConfig>,
    /// The rest.
    pub dmar: &'a Dmar,
}

impl Described<'_> {
    /// Whether there is anything to be described.
    #[must_use]
    pub fn has_units(&self) -> bool {
        self.units().next().is_some()
    }

    fn units(&self) -> impl Iterator<Item = &IommuConfig> {
        self.iommu.into_iter().chain(self.dmar.units.iter().map(|unit| &unit.iommu))
    }

    fn is_mistaken(&self, mistake: Mistake) -> bool {
        self.dmar.mistakes.contains(&mistake)
    }

    fn flags(&self) -> u8 {
        let when = |on, bit| if on { bit } else { 0 };
        when(self.units().all(|unit| unit.interrupt_remapping), INTR_REMAP)
            | when(self.dmar.x2apic_opt_out, X2APIC_OPT_OUT)
            | when(self.dmar.dma_control_opt_in, DMA_CTRL_OPT_IN)
    }

    /// The table.
    pub(super) fn table(&self, oem: [u8; 6], oem_table: [u8; 8], ioapic_id: u8) -> Sdt {
        let bits = self.units().map(IommuConfig::host_bits).max().unwrap_or(48);
        let mut table = Sdt::new(*b"DMAR", 48, 1, oem, oem_table, 1);
        table.write_u8(36, bits - 1);
        table.write_u8(37, self.flags());
        let scopes = Scopes { ioapic_id, wrong: self.is_mistaken(Mistake::WrongEndpoint) };
        for structure in self.structures(&scopes) {
            table.append_slice(&structure);
        }
        table
    }

    fn structures(&self, scopes: &Scopes) -> Vec<Vec<u8>> {
        let Dmar { units: own, reserved, ats, satc, .. } = self.dmar;
        let first_own = u8::from(self.iommu.is_some());
        let mut all: Vec<_> = (first_own..)
            .zip(own)
            .map(|(number, unit)| drhd(0, self.registers(number), &self.told(&unit.scope), scopes))
            .collect();
        if self.iommu.is_some() {
            let is_taken = own.iter().any(|unit| unit.scope.contains(&Scope::Ioapic));
            let ioapic = if is_taken { Vec::new() } else { vec![Scope::Ioapic] };
            all.push(drhd(INCLUDE_ALL, self.registers(0), &self.told(&ioapic), scopes));
        }
        all.extend(reserved.iter().map(|region| rmrr(region, scopes)));
        all.extend(ats.iter().map(|ports| atsr(ports, scopes)));
        all.extend(satc.iter().map(|devices| integrated(devices, scopes)));
        all
    }

    /// Where a unit's registers are said to be.
    fn registers(&self, number: u8) -> u64 {
        match number {
            0 if self.is_mistaken(Mistake::UnitAtZero) => 0,
            0 if self.is_mistaken(Mistake::UnitSilent) => SILENT,
            number => layout::vtd(number).0,
        }
    }

    /// What is told of a unit's scope.
    fn told(&self, scope: &[Scope]) -> Vec<Scope> {
        let hides = self.is_mistaken(Mistake::NoIoapic);
        scope.iter().filter(|scope| !hides || **scope != Scope::Ioapic).cloned().collect()
    }
}

/// How device scopes are written.
struct Scopes {
    ioapic_id: u8,
    wrong: bool,
}

impl Scopes {
    fn bytes(&self, scopes: &[Scope]) -> Vec<u8> {
        scopes.iter().flat_map(|scope| self.one(scope)).collect()
    }

    /// A device scope structure (8.4.1): kind, length, two bytes reserved, enumeration id, bus and path.
    fn one(&self, scope: &Scope) -> Vec<u8> {
        let written = |kind, id, bus, hops: &[[u8; 2]]| {
            let len = 6 + 2 * hops.len() as u8;
            [&[kind, len, 0, 0, id, bus], hops.as_flattened()].concat()
        };
        match scope {
            Scope::Endpoint(path) => written(ENDPOINT, 0, 0, &self.hops(path)),
            Scope::Bridge(path) => written(BRIDGE, 0, 0, &path.hops().collect::<Vec<_>>()),
            Scope::Ioapic => {
                let source = layout::IOAPIC_SOURCE;
                written(IOAPIC, self.ioapic_id, source.bus(), &[[source.device(), source.function()]])
            }
        }
    }

    fn hops(&self, path: &PciPath) -> Vec<[u8; 2]> {
        let mut hops: Vec<_> = path.hops().collect();
        if let Some([device, _]) = hops.last_mut().filter(|_| self.wrong) {
            *device ^= WRONG;
        }
        hops
    }
}

/// A structure with its type and length in front.
fn structure(kind: u16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let len = 4 + body.len() as u16;
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), &body].concat()
}

/// Flags, size (one page), segment, registers.
fn drhd(flags: u8, registers: u64, scope: &[Scope], scopes: &Scopes) -> Vec<u8> {
    structure(DRHD, &[&[flags, 0, 0, 0], &registers.to_le_bytes(), &scopes.bytes(scope)])
}

/// Segment, first and last address.
fn rmrr(region: &Reserved, scopes: &Scopes) -> Vec<u8> {
    let (base, last) = (region.base.to_le_bytes(), (region.end() - 1).to_le_bytes());
    structure(RMRR, &[&[0; 4], &base, &last, &scopes.bytes(&region.scope)])
}

fn atsr(ports: &RootPorts, scopes: &Scopes) -> Vec<u8> {
    let flags = if ports.all { ALL_PORTS } else { 0 };
    structure(ATSR, &[&[flags, 0, 0, 0], &scopes.bytes(&ports.scope)])
}

fn integrated(devices: &Integrated, scopes: &Scopes) -> Vec<u8> {
    let flags = if devices.atc_required { ATC_REQUIRED } else { 0 };
    structure(SATC, &[&[flags, 0, 0, 0], &scopes.bytes(&devices.scope)])
}
