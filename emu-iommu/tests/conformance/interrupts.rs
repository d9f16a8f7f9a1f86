//! 5.1, 6.4, 9.10: interrupt requests in both formats, remap table entries bit by bit, who may use them, and the cache.

use crate::unit::*;
use emu_core::{Bdf, DeliveryMode, DestinationMode, Interrupt, Msi, TriggerMode};
use emu_iommu::spec::register::*;
use emu_iommu::testing::{from_source, irte, remappable};
use std::ops::RangeInclusive;

/// Vector 0x31 to APIC 5.
const TOLD: Interrupt = Interrupt {
    vector: 0x31,
    mode: DeliveryMode::Fixed,
    trigger: TriggerMode::Edge,
    dest_mode: DestinationMode::Physical,
    dest: 5,
};
const GOOD: [u64; 2] = irte(0x31, 5);
const COMPATIBLE: Msi = Msi { address: 0xfee0_5000, data: 0x31 };

/// The entry at index 9 makes of a request for it what is expected: an interrupt, or a recorded fault.
fn entry(raw: [u64; 2], expected: Result<Interrupt, u8>) {
    let mut unit = Unit::remapping();
    unit.irte(9, raw);
    let found = unit.interrupt(NIC, remappable(9));
    assert_eq!(found, expected.map_err(|reason| vec![reason]), "{raw:#x?}");
}

/// Each bit of half a good entry, set alone.
fn bits(half: usize, range: RangeInclusive<u32>, expected: Result<Interrupt, u8>) {
    for bit in range {
        let mut raw = GOOD;
        raw[half] |= 1 << bit;
        entry(raw, expected);
    }
}

fn with_mode(field: u64, mode: DeliveryMode) {
    entry([GOOD[0] | field << 5, 0], Ok(Interrupt { mode, ..TOLD }));
}

/// A good entry whose upper half is `high` lets `sources` pass and refuses `others`.
fn sources(high: u64, sources: &[Bdf], others: &[Bdf]) {
    for (list, passes) in [(sources, true), (others, false)] {
        for source in list {
            let mut unit = Unit::remapping();
            unit.irte(9, [GOOD[0], high]);
            let expected = if passes { Ok(TOLD) } else { Err(vec![0x26]) };
            assert_eq!(unit.interrupt(*source, remappable(9)), expected, "{source:?}");
        }
    }
}

/// SVT 1 with qualifier `sq` for [`NIC`].
fn qualified(sq: u64) -> u64 {
    from_source(NIC) | sq << 16
}

/// [`NIC`] with function bits turned over.
const fn function(bits: u16) -> Bdf {
    Bdf(NIC.0 ^ bits)
}

/// SVT 2: the buses from `first` to `last`.
const fn buses(first: u64, last: u64) -> u64 {
    2 << 18 | first << 8 | last
}

/// What a unit whose table has `2^(s+1)` entries makes of a request for `index`: whether it is in the table.
fn in_table(s: u64, index: u16) -> bool {
    let mut unit = Unit::remapping();
    let base = unit.interrupt_table().0;
    unit.write(IRTA, base | s);
    unit.command(TE | QIE | IRE | SIRTP);
    match unit.interrupt(NIC, remappable(index)) {
        Err(reasons) if reasons == [0x21] => false,
        // Absent: it was looked up.
        Err(reasons) if reasons == [0x22] => true,
        other => panic!("{other:?}"),
    }
}

rule!("5.1.2.1", a_compatible_request_is_blocked, {
    let mut unit = Unit::remapping();
    assert_eq!(unit.interrupt(NIC, COMPATIBLE), Err(vec![0x25]));
});
rule!("5.1.2.1", a_compatible_request_passes_with_cfis, {
    let mut unit = Unit::remapping();
    unit.command(TE | QIE | IRE | CFI);
    assert_eq!(unit.interrupt(NIC, COMPATIBLE), Ok(TOLD));
});
rule!("5.1.2.1", a_compatible_request_is_blocked_again_without_cfis, {
    let mut unit = Unit::remapping();
    unit.command(TE | QIE | IRE | CFI);
    unit.command(TE | QIE | IRE);
    assert_eq!(unit.interrupt(NIC, COMPATIBLE), Err(vec![0x25]));
});
rule!("5.1.2.1", a_compatible_request_is_always_blocked_in_extended_mode, {
    let mut unit = Unit::remapping_with(1 << 11, |_| {});
    unit.command(TE | QIE | IRE | CFI);
    assert_eq!(unit.interrupt(NIC, COMPATIBLE), Err(vec![0x25]));
});
rule!("5.1.2.1", a_compatible_request_passes_without_remapping, {
    let mut unit = Unit::translating();
    assert_eq!(unit.interrupt(NIC, COMPATIBLE), Ok(TOLD));
});
rule!("5.1.2.1", a_compatible_request_looks_up_nothing, {
    let mut unit = Unit::remapping();
    unit.command(TE | QIE | IRE | CFI);
    unit.interrupt(NIC, COMPATIBLE).unwrap();
    assert_eq!(unit.vtd.stats().interrupt_misses, 0);
});
rule!("5.1.2.2", a_remappable_request_names_an_entry_by_handle, {
    let mut unit = Unit::remapping();
    unit.irte(0xff, GOOD);
    assert_eq!(unit.interrupt(NIC, Msi { address: 0xfee0_0010 | 0xff << 5, data: 0 }), Ok(TOLD));
});
rule!("5.1.2.2", handle_bit_15_is_address_bit_2, {
    let mut unit = Unit::remapping();
    unit.irte(0, GOOD);
    let far = unit.interrupt(NIC, Msi { address: 0xfee0_0014, data: 0 });
    assert_eq!((far, unit.record(0)[0] >> 48), (Err(vec![0x21]), 0x8000));
});
rule!("5.1.2.2", a_subhandle_is_added_with_shv, {
    let mut unit = Unit::remapping();
    unit.irte(16, GOOD);
    assert_eq!(unit.interrupt(NIC, Msi { address: 0xfee0_0018 | 10 << 5, data: 6 }), Ok(TOLD));
});
rule!("5.1.2.2", the_data_is_ignored_without_shv, {
    let mut unit = Unit::remapping();
    unit.irte(10, GOOD);
    assert_eq!(unit.interrupt(NIC, Msi { address: 0xfee0_0010 | 10 << 5, data: 0xffff_ffff }), Ok(TOLD));
});
rule!("5.1.2.2", address_bits_1_and_0_do_not_matter, {
    let mut unit = Unit::remapping();
    unit.irte(10, GOOD);
    assert_eq!(unit.interrupt(NIC, Msi { address: 0xfee0_0013 | 10 << 5, data: 0 }), Ok(TOLD));
});
rule!("5.1.4.1", reserved_data_with_shv_is_fault_20, {
    for bit in 16..32 {
        let mut unit = Unit::remapping();
        unit.irte(10, GOOD);
        let msi = Msi { address: 0xfee0_0018 | 10 << 5, data: 1 << bit };
        assert_eq!(unit.interrupt(NIC, msi), Err(vec![0x20]), "bit {bit}");
    }
});
rule!("5.1.4.1", an_index_beyond_the_table_is_fault_21, {
    let mut unit = Unit::remapping();
    assert_eq!(unit.interrupt(NIC, remappable(0x100)), Err(vec![0x21]));
    assert_eq!(unit.vtd.stats().interrupt_misses, 0);
});
rule!("5.1.4.1", a_sum_beyond_16_bits_does_not_wrap, {
    let mut unit = Unit::remapping();
    unit.irte(0, GOOD);
    let msi = Msi { address: 0xfee0_001c | 0x7fff << 5, data: 1 };
    assert_eq!(unit.interrupt(NIC, msi), Err(vec![0x21]));
});
rule!("5.1.4.1", an_absent_entry_is_fault_22, entry([GOOD[0] & !1, 0], Err(0x22)));
rule!("5.1.4.1", an_absent_entry_is_not_checked_further, entry([!3, u64::MAX], Err(0x22)));
rule!("5.1.4.1", an_unreadable_entry_is_fault_23, {
    let mut unit = Unit::remapping();
    unit.write(IRTA, NOWHERE | 7);
    unit.command(TE | QIE | IRE | SIRTP);
    assert_eq!(unit.interrupt(NIC, remappable(3)), Err(vec![0x23]));
});
rule!("5.1.3", the_table_has_two_to_s_plus_one_entries, {
    for s in 0..8 {
        let size = 2u16 << s;
        assert!(in_table(s, size - 1), "S {s}");
        assert!(!in_table(s, size), "S {s}");
    }
});
rule!("5.1.3", entries_are_16_bytes_apart, {
    let mut unit = Unit::remapping();
    for index in 0..256 {
        unit.irte(index, irte(index as u8, 5));
    }
    for index in 0..256 {
        let told = unit.interrupt(NIC, remappable(index)).unwrap();
        assert_eq!(u16::from(told.vector), index);
    }
});

rule!("9.10", bits_14_to_12_of_an_entry_are_reserved, bits(0, 12..=14, Err(0x24)));
rule!("9.10", the_posted_mode_is_reserved_without_pi, bits(0, 15..=15, Err(0x24)));
rule!("9.10", bits_11_to_8_of_an_entry_are_software_s, bits(0, 8..=11, Ok(TOLD)));
rule!("9.10", bits_31_to_24_of_an_entry_are_reserved, bits(0, 24..=31, Err(0x24)));
rule!("9.10", destination_bits_7_to_0_are_reserved_in_xapic_mode, bits(0, 32..=39, Err(0x24)));
rule!("9.10", destination_bits_31_to_16_are_reserved_in_xapic_mode, bits(0, 48..=63, Err(0x24)));
rule!("9.10", bits_127_to_84_of_an_entry_are_reserved, bits(1, 20..=63, Err(0x24)));
rule!("9.10", source_validation_3_is_reserved, entry([GOOD[0], 3 << 18], Err(0x24)));
rule!("9.10", delivery_mode_3_is_reserved, entry([GOOD[0] | 3 << 5, 0], Err(0x24)));
rule!("9.10", delivery_mode_6_is_reserved, entry([GOOD[0] | 6 << 5, 0], Err(0x24)));
rule!("9.10", delivery_mode_0_is_fixed, with_mode(0, DeliveryMode::Fixed));
rule!("9.10", delivery_mode_1_is_lowest_priority, with_mode(1, DeliveryMode::LowestPriority));
rule!("9.10", delivery_mode_2_is_smi, with_mode(2, DeliveryMode::Smi));
rule!("9.10", delivery_mode_4_is_nmi, with_mode(4, DeliveryMode::Nmi));
rule!("9.10", delivery_mode_5_is_init, with_mode(5, DeliveryMode::Init));
rule!("9.10", delivery_mode_7_is_extint, with_mode(7, DeliveryMode::ExtInt));
rule!("9.10", every_vector_can_be_told, {
    for vector in 0..=255 {
        entry(irte(vector, 5), Ok(Interrupt { vector, ..TOLD }));
    }
});
rule!("9.10", tm_makes_it_level_triggered, {
    entry([GOOD[0] | 1 << 4, 0], Ok(Interrupt { trigger: TriggerMode::Level, ..TOLD }));
});
rule!("9.10", dm_makes_it_logical, {
    entry([GOOD[0] | 1 << 2, 0], Ok(Interrupt { dest_mode: DestinationMode::Logical, ..TOLD }));
});
rule!("9.10", rh_is_a_hint, entry([GOOD[0] | 1 << 3, 0], Ok(TOLD)));
rule!("9.10", xapic_destinations_are_bits_47_to_40, {
    for dest in [0, 1, 0x7f, 0xff] {
        entry(irte(0x31, dest), Ok(Interrupt { dest: dest.into(), ..TOLD }));
    }
});
rule!("9.10", extended_destinations_are_bits_63_to_32, {
    for dest in [0u64, 5, 0x1_0000, 0xffff_ffff] {
        let mut unit = Unit::remapping_with(1 << 11, |_| {});
        unit.irte(0, [0x31 << 16 | 1 | dest << 32, 0]);
        let told = unit.interrupt(NIC, remappable(0));
        assert_eq!(told, Ok(Interrupt { dest: dest as u32, ..TOLD }));
    }
});
rule!("9.10", extended_mode_begins_with_sirtp, {
    let mut unit = Unit::remapping();
    unit.irte(0, [0x31 << 16 | 1 | 5 << 32, 0]);
    let irta = unit.read(IRTA);
    unit.write(IRTA, irta | 1 << 11);
    assert_eq!(unit.interrupt(NIC, remappable(0)), Err(vec![0x24]));
    unit.command(TE | QIE | IRE | SIRTP);
    assert_eq!(unit.interrupt(NIC, remappable(0)), Ok(TOLD));
});
rule!("9.10", the_request_s_own_vector_and_destination_are_replaced, {
    let mut unit = Unit::remapping();
    unit.irte(0, GOOD);
    assert_eq!(unit.interrupt(NIC, Msi { address: 0xfee0_0010, data: 0xc077 }), Ok(TOLD));
});

rule!("9.10", svt_0_lets_anybody_pass, sources(0, &[NIC, Bdf(0), Bdf(0xffff)], &[]));
rule!("9.10", svt_0_does_not_look_at_sid_and_sq, sources(0x3_1234, &[NIC, Bdf(0xffff)], &[]));
rule!("9.10", svt_1_sq_0_compares_all_16_bits, {
    let others: Vec<Bdf> = (0..16).map(|bit| Bdf(NIC.0 ^ 1 << bit)).collect();
    sources(qualified(0), &[NIC], &others);
});
rule!("9.10", svt_1_sq_1_leaves_out_bit_2, {
    sources(qualified(1), &[NIC, function(4)], &[function(1), function(2), function(6), function(8)]);
});
rule!("9.10", svt_1_sq_2_leaves_out_bits_2_and_1, {
    sources(qualified(2), &[NIC, function(2), function(4), function(6)], &[function(1), function(8)]);
});
rule!("9.10", svt_1_sq_3_leaves_out_the_function, {
    let all: Vec<Bdf> = (0..8).map(function).collect();
    sources(qualified(3), &all, &[function(8), Bdf(NIC.0 ^ 0x100)]);
});
rule!("9.10", svt_2_takes_a_range_of_buses, {
    let inside = [Bdf::new(2, 0, 0), Bdf::new(3, 31, 7), Bdf::new(5, 1, 1)];
    let outside = [Bdf::new(1, 31, 7), Bdf::new(6, 0, 0), NIC];
    sources(buses(2, 5), &inside, &outside);
});
rule!("9.10", svt_2_takes_a_single_bus, {
    sources(buses(4, 4), &[Bdf::new(4, 0, 0)], &[Bdf::new(3, 0, 0), Bdf::new(5, 0, 0)]);
});
rule!("9.10", svt_2_does_not_look_at_sq, {
    sources(buses(4, 4) | 3 << 16, &[Bdf::new(4, 0, 0)], &[Bdf::new(5, 0, 0)]);
});
rule!("9.10", svt_2_of_a_reversed_range_lets_nobody_pass, {
    sources(buses(5, 2), &[], &[Bdf::new(2, 0, 0), Bdf::new(3, 0, 0), Bdf::new(5, 0, 0)]);
});
rule!("5.1.4.1", a_wrong_source_is_fault_26, entry([GOOD[0], from_source(Bdf(0xffff))], Err(0x26)));
rule!("5.1.4.1", reserved_bits_are_found_before_the_source, {
    entry([GOOD[0] | 1 << 12, from_source(Bdf(0xffff))], Err(0x24));
});

rule!("6.4", an_interrupt_entry_answers_until_it_is_invalidated, {
    let mut unit = Unit::remapping();
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
    unit.irte(9, [0, 0]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
    unit.submit(&[iec_index(9, 0)]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x22]));
});
rule!("6.4", a_source_is_checked_against_the_cached_entry, {
    let mut unit = Unit::remapping();
    unit.irte(9, [GOOD[0], from_source(NIC)]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(function(1), remappable(9)), Err(vec![0x26]));
});
rule!("6.4", requests_of_other_devices_share_an_entry, {
    let mut unit = Unit::remapping();
    unit.irte(9, GOOD);
    unit.interrupt(NIC, remappable(9)).unwrap();
    unit.interrupt(function(1), remappable(9)).unwrap();
    let stats = unit.vtd.stats();
    assert_eq!((stats.interrupt_hits, stats.interrupt_misses), (1, 1));
});
rule!("6.4", an_index_is_checked_before_the_cache, {
    let mut unit = Unit::remapping();
    unit.irte(0x80, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(0x80)), Ok(TOLD));
    let base = unit.interrupt_table().0;
    unit.write(IRTA, base | 5);
    unit.command(TE | QIE | IRE | SIRTP);
    assert_eq!(unit.interrupt(NIC, remappable(0x80)), Err(vec![0x21]), "64 entries");
});
rule!("6.1", without_cm_an_absent_interrupt_entry_is_looked_up_again, {
    let mut unit = Unit::remapping();
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x22]));
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
});
rule!("6.1", without_cm_a_malformed_interrupt_entry_is_looked_up_again, {
    let mut unit = Unit::remapping();
    unit.irte(9, [GOOD[0] | 1 << 12, 0]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x24]));
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
});
rule!("6.1", with_cm_an_absent_interrupt_entry_is_remembered, {
    let mut unit = Unit::remapping_with(0, caching);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x22]));
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x22]));
    unit.submit(&[iec_index(9, 0)]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
});
rule!("6.1", with_cm_a_malformed_interrupt_entry_is_remembered, {
    let mut unit = Unit::remapping_with(0, caching);
    unit.irte(9, [GOOD[0] | 1 << 12, 0]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x24]));
    unit.irte(9, GOOD);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![0x24]));
    unit.submit(&[IEC_GLOBAL]);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(TOLD));
});
