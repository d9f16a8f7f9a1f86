//! Interrupt requests in both formats, source validation, destinations, staleness.

use super::*;
use crate::spec::fault::*;
use crate::testing::{from_source, irte, remappable};
use emu_core::{DeliveryMode, DestinationMode, TriggerMode};

const FIXED: Interrupt = Interrupt {
    vector: 0x31,
    mode: DeliveryMode::Fixed,
    trigger: TriggerMode::Edge,
    dest_mode: DestinationMode::Physical,
    dest: 5,
};
const GOOD: [u64; 2] = irte(0x31, 5);

/// A unit that remaps interrupts by a table of 256 entries.
struct Remapper {
    rig: Rig,
    table: Gpa,
}

impl Remapper {
    fn new(config: IommuConfig, irta: u64) -> Self {
        let mut rig = Rig::started(config);
        let table = rig.tables.interrupt_table(&mut rig.mem, 0).unwrap();
        rig.write(IRTA, table.0 | 7 | irta);
        rig.write(GCMD, u64::from(TE | QIE | SIRTP));
        rig.write(GCMD, u64::from(TE | QIE | IRE));
        Self { rig, table }
    }

    fn entry(&mut self, index: u64, [low, high]: [u64; 2]) {
        self.rig.mem.write_u64(self.table.plus(index * 16), low).unwrap();
        self.rig.mem.write_u64(self.table.plus(index * 16 + 8), high).unwrap();
    }

    fn remap(&mut self, msi: Msi) -> Result<Interrupt, Vec<(Bdf, u8)>> {
        let found = self.rig.remap(NIC, msi);
        let faults = self.rig.take_faults();
        match found {
            Some(interrupt) => {
                assert_eq!(faults, []);
                Ok(interrupt)
            }
            None => Err(faults),
        }
    }
}

/// The entry at index 9 of a fresh unit, asked for by [`NIC`].
fn check(entry: [u64; 2], expected: Result<Interrupt, u8>) {
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    remapper.entry(9, entry);
    let found = remapper.remap(remappable(9));
    assert_eq!(found, expected.map_err(|reason| vec![(NIC, reason)]), "{entry:#x?}");
}

#[test]
fn an_entry_says_what_the_local_apics_are_told() {
    let [low, high] = GOOD;
    let cases = [
        (0, FIXED),
        (1 << 2, Interrupt { dest_mode: DestinationMode::Logical, ..FIXED }),
        (1 << 3, FIXED),
        (1 << 4, Interrupt { trigger: TriggerMode::Level, ..FIXED }),
        (1 << 5, Interrupt { mode: DeliveryMode::LowestPriority, ..FIXED }),
        (2 << 5, Interrupt { mode: DeliveryMode::Smi, ..FIXED }),
        (4 << 5, Interrupt { mode: DeliveryMode::Nmi, ..FIXED }),
        (5 << 5, Interrupt { mode: DeliveryMode::Init, ..FIXED }),
        (7 << 5, Interrupt { mode: DeliveryMode::ExtInt, ..FIXED }),
        (0xf << 8, FIXED),
    ];
    for (bits, interrupt) in cases {
        check([low | bits, high], Ok(interrupt));
    }
}

#[test]
fn reserved_bits_and_absence_are_faults() {
    let [low, high] = GOOD;
    check([low & !1, high], Err(IRTE_NOT_PRESENT));
    for bit in [12, 13, 14, 15, 24, 31, 32, 39, 48, 63] {
        check([low | 1 << bit, high], Err(IRTE_RESERVED));
    }
    for bit in [20, 40, 63] {
        check([low, high | 1 << bit], Err(IRTE_RESERVED));
    }
    for mode in [3, 6] {
        check([low | mode << 5, high], Err(IRTE_RESERVED));
    }
    check([low, 3 << 18], Err(IRTE_RESERVED));
}

#[test]
fn the_source_is_validated_as_the_entry_asks() {
    let [low, _] = GOOD;
    let function = |n| Bdf(NIC.0 ^ n);
    let bus = |first: u64, last: u64| 2 << 18 | first << 8 | last;
    let cases = [
        (0, true),
        (u64::from(OTHER.0), true),
        (from_source(NIC), true),
        (from_source(OTHER), false),
        (from_source(function(4)), false),
        (from_source(function(4)) | 1 << 16, true),
        (from_source(function(6)) | 1 << 16, false),
        (from_source(function(6)) | 2 << 16, true),
        (from_source(function(1)) | 2 << 16, false),
        (from_source(function(7)) | 3 << 16, true),
        (from_source(function(8)) | 3 << 16, false),
        (bus(0, 0), true),
        (bus(0, 9), true),
        (bus(1, 9), false),
        (bus(9, 0), false),
    ];
    for (high, passes) in cases {
        check([low, high], if passes { Ok(FIXED) } else { Err(SOURCE) });
    }
}

#[test]
fn an_entry_with_fault_processing_disabled_is_silent_about_itself() {
    for entry in [[2, 0], [GOOD[0] | 2 | 1 << 12, 0], [GOOD[0] | 2, from_source(OTHER)]] {
        let mut remapper = Remapper::new(IommuConfig::default(), 0);
        remapper.entry(0, entry);
        assert_eq!(remapper.remap(remappable(0)), Err(vec![]));
        assert_eq!(remapper.rig.vtd.stats().faults, 1);
    }
}

#[test]
fn the_request_names_an_index_by_handle_and_subhandle() {
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    remapper.entry(16, GOOD);
    remapper.entry(0xff, GOOD);
    let shv = |index: u64, data| Msi { address: 0xfee0_0018 | index << 5, data };
    // As Linux makes them.
    assert_eq!(remapper.remap(Msi { address: 0xfee0_0218, data: 0 }), Ok(FIXED));
    assert_eq!(remapper.remap(shv(10, 6)), Ok(FIXED));
    assert_eq!(remapper.remap(remappable(16)), Ok(FIXED));
    // Without SHV the data is not looked at: an I/O APIC's has a vector in it.
    assert_eq!(remapper.remap(Msi { data: 0x80b1, ..remappable(16) }), Ok(FIXED));
    assert_eq!(remapper.remap(remappable(0xff)), Ok(FIXED));
    let refused = |reason| Err(vec![(NIC, reason)]);
    assert_eq!(remapper.remap(shv(10, 1 << 16 | 6)), refused(REQUEST_RESERVED));
    assert_eq!(remapper.remap(remappable(0x100)), refused(INDEX));
    assert_eq!(remapper.remap(remappable(0xffff)), refused(INDEX));
    assert_eq!(remapper.remap(shv(0x7fff, 0xffff)), refused(INDEX));
    remapper.rig.write(IRTA, NOWHERE | 0xf);
    remapper.rig.write(GCMD, u64::from(TE | QIE | IRE | SIRTP));
    assert_eq!(remapper.remap(remappable(0xffff)), refused(IRTE_FETCH));
    assert_eq!(remapper.remap(Msi { address: 0xfee0_0018 | 0x7fff << 5 | 4, data: 1 }), refused(INDEX));
}

#[test]
fn the_fault_record_holds_the_index() {
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    assert_eq!(remapper.rig.remap(NIC, remappable(0x42)), None);
    let rig = &mut remapper.rig;
    let mut half = |at| rig.vtd.read(&mut rig.fabric.env(), &mut rig.mem, at, Width::B8).unwrap();
    assert_eq!(half(FRCD), 0x42 << 48);
    assert_eq!(half(FRCD + 8), 1 << 63 | 0x22 << 32 | u64::from(NIC.0));
}

#[test]
fn compatibility_requests_pass_only_where_they_are_let() {
    let msi = Msi { address: 0xfee0_5000, data: 0x31 };
    let refused = || Err(vec![(NIC, COMPATIBILITY)]);
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    assert_eq!(remapper.remap(msi), refused());
    remapper.rig.write(GCMD, u64::from(TE | QIE | IRE | CFI));
    assert_eq!(remapper.remap(msi), Ok(FIXED));
    remapper.rig.write(GCMD, u64::from(TE | QIE));
    assert_eq!(remapper.remap(msi), Ok(FIXED), "remapping is off");
    let mut extended = Remapper::new(IommuConfig::default(), IRTA_EIME);
    extended.rig.write(GCMD, u64::from(TE | QIE | IRE | CFI));
    assert_eq!(extended.remap(msi), refused());
}

#[test]
fn extended_mode_has_destinations_of_32_bits() {
    let wide = [GOOD[0] & 0xffff_ffff | 0x1234_5678 << 32, 0];
    let mut remapper = Remapper::new(IommuConfig::default(), IRTA_EIME);
    remapper.entry(0, wide);
    assert_eq!(remapper.remap(remappable(0)), Ok(Interrupt { dest: 0x1234_5678, ..FIXED }));
    // A unit without EIM has no such mode.
    let mut plain = Remapper::new(IommuConfig { eim: false, ..Default::default() }, IRTA_EIME);
    assert_eq!(plain.rig.read(IRTA) & IRTA_EIME, 0);
    plain.entry(0, GOOD);
    assert_eq!(plain.remap(remappable(0)), Ok(FIXED));
    plain.entry(1, wide);
    assert_eq!(plain.remap(remappable(1)), Err(vec![(NIC, IRTE_RESERVED)]));
}

#[test]
fn an_entry_is_stale_until_it_is_invalidated() {
    let index = |index: u64, mask: u64| [index << 32 | mask << 27 | 0x14, 0];
    let cases = [
        ([0x4, 0], true),
        (index(9, 0), true),
        (index(8, 0), false),
        (index(8, 1), true),
        (index(10, 1), false),
        (index(0, 4), true),
        (index(16, 4), false),
        (index(0, 15), true),
        ([0x11, 0], false),
        ([0x12, 0], false),
    ];
    for (descriptor, drops) in cases {
        let mut remapper = Remapper::new(IommuConfig::default(), 0);
        remapper.entry(9, GOOD);
        assert_eq!(remapper.remap(remappable(9)), Ok(FIXED));
        remapper.entry(9, irte(0x77, 5));
        assert_eq!(remapper.remap(remappable(9)), Ok(FIXED), "stale");
        remapper.rig.submit(&[descriptor]);
        let expected = if drops { Interrupt { vector: 0x77, ..FIXED } } else { FIXED };
        assert_eq!(remapper.remap(remappable(9)), Ok(expected), "{descriptor:#x?}");
        let stats = remapper.rig.vtd.stats();
        assert_eq!(stats.interrupt_hits + stats.interrupt_misses, 3);
    }
}

#[test]
fn only_caching_mode_remembers_an_absent_entry() {
    for caching_mode in [false, true] {
        let mut remapper = Remapper::new(IommuConfig { caching_mode, ..Default::default() }, 0);
        assert_eq!(remapper.remap(remappable(9)), Err(vec![(NIC, IRTE_NOT_PRESENT)]));
        remapper.entry(9, GOOD);
        let found = remapper.remap(remappable(9));
        assert_eq!(found.is_err(), caching_mode);
        assert_eq!(remapper.rig.vtd.interrupt_entries().count(), 1);
    }
}

#[test]
fn the_trace_shows_the_entry_and_what_it_led_to() {
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    remapper.entry(9, [GOOD[0], from_source(OTHER)]);
    remapper.rig.records();
    assert!(remapper.remap(remappable(9)).is_err());
    let records = remapper.rig.records();
    let lookup =
        |hit| TraceEvent::IrteLookup { bdf: NIC, index: 9, hit, entry: [GOOD[0], from_source(OTHER)] };
    assert_eq!(records[0].event, lookup(false));
    assert_eq!(records[1].cause, Some(records[0].id));
    let fault = TraceEvent::RemapFault { bdf: NIC, address: 9, reason: SOURCE, write: true, recorded: true };
    assert_eq!(records[1].event, fault);
    // A refusal by source is of the request, not of the entry, which is cached.
    assert!(remapper.remap(remappable(9)).is_err());
    assert_eq!(remapper.rig.events()[0], lookup(true));
}

#[test]
fn a_miss_costs_a_read_and_a_hit_does_not() {
    let mut remapper = Remapper::new(IommuConfig::default(), 0);
    remapper.entry(9, GOOD);
    let rig = &mut remapper.rig;
    let timing = rig.vtd.config().timing;
    for reads in [1, 0] {
        let (_, latency) = rig.vtd.remap(&mut rig.fabric.env(), &mut rig.mem, NIC, remappable(9)).unwrap();
        assert_eq!(latency.0 / 1000, timing.interrupt + reads * timing.walk_read);
    }
}
