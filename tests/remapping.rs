//! Machines with several VT-d units: who goes through which.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, run_changed};
use emu_core::Slot;
use emu_core::trace::TraceEvent;
use glassbox::dmar::{Scope, Unit};

/// The demo on a machine with a unit of its own for `scope`; the guest drives the unit at `registers`.
fn demo(registers: u64, scope: &[&str], ioapic: bool) -> Outcome {
    run_changed("demo", |scenario| {
        let endpoint = |path: &&str| Scope::Endpoint(path.parse().unwrap());
        let ioapic = ioapic.then_some(Scope::Ioapic);
        let scope = scope.iter().map(endpoint).chain(ioapic).collect();
        scenario.dmar.units = vec![Unit { scope, ..Unit::default() }];
        scenario.append += &format!(" vtd={registers:#x}");
    })
}

/// Units that looked a context entry up, and those that looked an interrupt entry up.
fn asked(outcome: &Outcome) -> [Vec<Slot>; 2] {
    let units = |test: fn(&TraceEvent) -> bool| {
        let mut units: Vec<Slot> = outcome.events(test).iter().map(|record| record.source).collect();
        units.sort();
        units.dedup();
        units
    };
    [
        units(|event| matches!(event, TraceEvent::ContextLookup { .. })),
        units(|event| matches!(event, TraceEvent::IrteLookup { .. })),
    ]
}

#[test]
fn a_device_goes_through_the_unit_that_it_is_wired_to() {
    let own = demo(0xfed9_1000, &["00:02.0"], true);
    assert!(own.broken.is_empty(), "{:?}\n{}", own.broken, own.serial);
    assert_eq!(asked(&own), [vec![Slot::Iommu(1)], vec![Slot::Iommu(1)]]);
    // A unit for somebody else changes nothing for the card.
    let other = demo(0xfed9_0000, &["00:03.0"], false);
    assert!(other.broken.is_empty(), "{:?}\n{}", other.broken, other.serial);
    assert_eq!(asked(&other), [vec![Slot::Iommu(0)], vec![Slot::Iommu(0)]]);
}

#[test]
fn a_unit_that_nobody_drives_translates_nothing() {
    // The guest prepares the unit of everybody, but the card is wired to another: its addresses mean memory.
    let outcome = demo(0xfed9_0000, &["00:02.0"], false);
    assert!(!outcome.broken.is_empty());
    let untranslated = outcome.events(|event| {
        matches!(event, TraceEvent::DmaRead { iova, gpa, .. } if iova.0 == gpa.0)
            || matches!(event, TraceEvent::DmaBlocked { reason: 0, .. })
    });
    assert!(!untranslated.is_empty());
    assert!(untranslated.iter().all(|record| record.source == Slot::Iommu(1)));
    assert_eq!(asked(&outcome)[0], []);
}
