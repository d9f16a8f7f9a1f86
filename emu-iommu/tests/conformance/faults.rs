//! 7.1, 7.2, 9.9, 10.4.9, 10.4.14: which faults are recorded, what a record holds, and how records fill and empty.

use crate::unit::*;
use emu_core::Bdf;
use emu_iommu::IommuConfig;
use emu_iommu::spec::register::*;
use emu_iommu::testing::{Rights, irte, remappable};

/// A fault of some absent device: its bus has no root entry.
fn refuse(unit: &mut Unit, device: u8) {
    assert_eq!(unit.dma(Bdf::new(9, device, 0), 0x1234_5678, false), Err(1));
}

fn records(count: u16) -> impl Fn(&mut IommuConfig) {
    move |config| config.fault_records = count
}

/// With FPD set in the context entry and tables changed by `spoil`, a request is refused in silence.
fn silent(spoil: impl Fn(&mut Unit), iova: u64, reason: u8) {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 1 << 1);
    spoil(&mut unit);
    assert_eq!(unit.get(iova), Err(reason));
    assert_eq!((unit.conditions(), unit.record(0)), (0, [0; 2]));
    assert_eq!(unit.vtd.stats().faults, 1, "counted all the same");
}

/// The same, where FPD does not reach.
fn loud(spoil: impl Fn(&mut Unit), reason: u8) {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 1 << 1);
    spoil(&mut unit);
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(reason), vec![reason]));
}

rule!("9.9", a_record_holds_the_source, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0x1f);
    assert_eq!(unit.faults()[0].source, Bdf::new(9, 0x1f, 0));
});
rule!("9.9", a_record_holds_the_page_of_the_address, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA + 0x5fff), Err(6));
    assert_eq!(unit.faults()[0].info, IOVA + 0x5000);
});
rule!("9.9", a_record_holds_all_64_bits_of_the_page, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(0xfedc_ba98_7654_3210), Err(4));
    assert_eq!(unit.faults()[0].info, 0xfedc_ba98_7654_3000);
});
rule!("9.9", a_record_holds_the_reason, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 3 << 2);
    assert_eq!(unit.get(IOVA), Err(3));
    assert_eq!(unit.record(0)[1] >> 32 & 0xff, 3);
});
rule!("9.9", a_record_tells_reads_from_writes, {
    let mut unit = Unit::translating();
    unit.entry(0, |_| 0);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (Err(6), Err(5)));
    let reads: Vec<bool> = unit.faults().iter().map(|fault| fault.read).collect();
    assert_eq!(reads, [true, false]);
});
rule!("9.9", a_record_of_a_plain_request_has_no_pasid_and_no_address_type, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0);
    // PV, AT, T2, EXE, PRIV, PP and the PASID.
    assert_eq!(unit.record(0)[1] & !(1 << 63 | 1 << 62 | 0xff << 32 | 0xffff), 0);
});
rule!("9.9", a_record_of_an_interrupt_holds_its_index, {
    let mut unit = Unit::remapping();
    assert_eq!(unit.interrupt(Bdf::new(1, 2, 3), remappable(0x42)), Err(vec![0x22]));
    assert_eq!(unit.record(0)[0], 0x42 << 48);
    assert_eq!(unit.record(0)[1] & 0xffff, u64::from(Bdf::new(1, 2, 3).0));
});

rule!("7.2.1", faults_fill_the_records_in_order, {
    let mut unit = Unit::translating();
    for device in 0..8 {
        refuse(&mut unit, device);
        assert_eq!(unit.record(device.into())[1] as u16, Bdf::new(9, device, 0).0);
    }
});
rule!("7.2.1", the_records_are_a_ring, {
    let mut unit = Unit::translating_with(records(3));
    for device in 0..7 {
        refuse(&mut unit, device);
        unit.clear_record(u64::from(device) % 3);
    }
    assert_eq!(unit.record(0)[1] as u16, Bdf::new(9, 6, 0).0);
});
rule!("7.2.1", a_full_ring_overflows, {
    for count in [1, 8, 224] {
        let mut unit = Unit::translating_with(records(count));
        for _ in 0..count {
            refuse(&mut unit, 1);
        }
        assert_eq!(unit.conditions(), PPF);
        refuse(&mut unit, 2);
        assert_eq!(unit.conditions(), PPF | PFO);
    }
});
rule!("7.2.1", an_overflowing_fault_overwrites_nothing, {
    let mut unit = Unit::translating_with(records(2));
    for device in 0..3 {
        refuse(&mut unit, device);
    }
    let sources: Vec<Bdf> = unit.faults().iter().map(|fault| fault.source).collect();
    assert_eq!(sources, [Bdf::new(9, 0, 0), Bdf::new(9, 1, 0)]);
});
rule!("7.2.1", nothing_is_recorded_while_pfo_stands, {
    let mut unit = Unit::translating_with(records(1));
    refuse(&mut unit, 0);
    refuse(&mut unit, 1);
    unit.clear_record(0);
    refuse(&mut unit, 2);
    assert_eq!((unit.conditions(), unit.faults()), (PFO, vec![]));
});
rule!("7.2.1", recording_goes_on_when_pfo_is_cleared, {
    let mut unit = Unit::translating_with(records(1));
    refuse(&mut unit, 0);
    refuse(&mut unit, 1);
    unit.clear_record(0);
    unit.write(FSTS, u64::from(PFO));
    refuse(&mut unit, 3);
    assert_eq!(unit.faults()[0].source, Bdf::new(9, 3, 0));
});
rule!("7.2.1", clearing_pfo_alone_overflows_again, {
    let mut unit = Unit::translating_with(records(1));
    refuse(&mut unit, 0);
    refuse(&mut unit, 1);
    unit.write(FSTS, u64::from(PFO));
    assert_eq!(unit.conditions(), PPF);
    refuse(&mut unit, 2);
    assert_eq!(unit.conditions(), PPF | PFO);
});
rule!("7.2.1", a_refused_request_is_refused_whether_recorded_or_not, {
    let mut unit = Unit::translating_with(records(1));
    for _ in 0..5 {
        refuse(&mut unit, 0);
    }
    assert_eq!(unit.vtd.stats().faults, 5);
});

rule!("10.4.9", ppf_is_set_while_any_record_is_pending, {
    let mut unit = Unit::translating();
    assert_eq!(unit.conditions(), 0);
    refuse(&mut unit, 0);
    refuse(&mut unit, 1);
    unit.clear_record(0);
    assert_eq!(unit.conditions(), PPF);
    unit.clear_record(1);
    assert_eq!(unit.conditions(), 0);
});
rule!("10.4.9", ppf_is_not_cleared_by_writing_it, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0);
    unit.write(FSTS, u64::MAX);
    assert_eq!(unit.conditions(), PPF);
});
rule!("10.4.9", pfo_is_cleared_by_writing_one, {
    let mut unit = Unit::translating_with(records(1));
    refuse(&mut unit, 0);
    refuse(&mut unit, 0);
    unit.write(FSTS, 0);
    assert_eq!(unit.conditions(), PPF | PFO, "zero clears nothing");
    unit.write(FSTS, u64::from(PFO));
    assert_eq!(unit.conditions(), PPF);
});
rule!("10.4.9", fri_is_the_first_pending_record, {
    let mut unit = Unit::translating();
    for device in 0..3 {
        refuse(&mut unit, device);
        assert_eq!(unit.read(FSTS) >> 8 & 0xff, 0);
    }
    unit.clear_record(0);
    assert_eq!(unit.read(FSTS) >> 8 & 0xff, 1);
});
rule!("10.4.9", fri_follows_the_ring, {
    let mut unit = Unit::translating_with(records(3));
    for device in 0..3 {
        refuse(&mut unit, device);
    }
    unit.clear_record(0);
    unit.clear_record(1);
    refuse(&mut unit, 3);
    assert_eq!(unit.read(FSTS) >> 8 & 0xff, 2, "the oldest, though record 0 is pending too");
});
rule!("10.4.9", fault_status_reserved_bits_read_as_zero, {
    let mut unit = Unit::translating_with(records(1));
    refuse(&mut unit, 0);
    refuse(&mut unit, 0);
    unit.submit(&[[0, 0]]);
    assert_eq!(unit.read(FSTS) as u32 & !(PFO | PPF | IQE | 0xff << 8), 0);
});
rule!("10.4.14", f_is_cleared_by_writing_one, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0);
    unit.write32(FRCD + 12, 0x7fff_ffff);
    assert_eq!(unit.record(0)[1] >> 63, 1, "not by anything else");
    unit.write32(FRCD + 12, 1 << 31);
    assert_eq!(unit.record(0)[1] >> 63, 0);
});
rule!("10.4.14", the_rest_of_a_record_is_read_only, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0);
    let [low, high] = unit.record(0);
    for at in (0..16).step_by(4) {
        unit.write32(FRCD + at, 0xffff_ffff);
    }
    assert_eq!(unit.record(0), [low, high & !(1 << 63)]);
});
rule!("10.4.14", clearing_a_record_leaves_the_others, {
    let mut unit = Unit::translating();
    refuse(&mut unit, 0);
    refuse(&mut unit, 1);
    unit.clear_record(0);
    assert_eq!(unit.record(1)[1] >> 63, 1);
});

rule!("7.1", fpd_silences_an_absent_context, {
    silent(|unit| unit.context(0, |entry| entry & !1), IOVA, 2);
});
rule!("7.1", fpd_silences_an_invalid_context, {
    silent(|unit| unit.context(0, |entry| entry | 3 << 2), IOVA, 3);
});
rule!("7.1", fpd_silences_reserved_bits_of_a_context, {
    silent(|unit| unit.context(0, |entry| entry | 1 << 4), IOVA, 0xb);
});
rule!("7.1", fpd_silences_an_address_too_wide, silent(|_| {}, 1 << 50, 4));
rule!("7.1", fpd_silences_a_refused_read, silent(|_| {}, IOVA + 0x1000, 6));
rule!("7.1", fpd_silences_a_refused_write, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 1 << 1);
    unit.entry(0, |entry| entry & !2);
    assert_eq!((unit.put(IOVA), unit.conditions()), (Err(5), 0));
});
rule!("7.1", fpd_silences_an_unreadable_table, {
    silent(|unit| unit.entry(1, |_| NOWHERE | 3), IOVA, 7);
});
rule!("7.1", fpd_silences_reserved_bits_of_a_page, {
    silent(|unit| unit.entry(0, |entry| entry | 1 << 62), IOVA, 0xc);
});
rule!("7.1", fpd_silences_a_page_in_the_interrupt_range, {
    silent(|unit| unit.entry(0, |_| 0xfee0_0003), IOVA, 0xe);
});
rule!("7.1", fpd_is_as_cached_as_its_entry, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 1 << 1);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.context(0, |entry| entry & !2);
    assert_eq!((unit.get(0), unit.conditions()), (Err(6), 0));
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!((unit.get(0), unit.conditions()), (Err(6), PPF));
});
rule!("7.1", fpd_does_not_silence_an_absent_root, loud(|unit| unit.root(0, |entry| entry & !1), 1));
rule!("7.1", fpd_does_not_silence_reserved_bits_of_a_root, loud(|unit| unit.root(0, |entry| entry | 2), 0xa));
rule!("7.1", fpd_does_not_silence_an_unreadable_context, loud(|unit| unit.root(0, |_| NOWHERE | 1), 9));
rule!("7.1", a_refused_request_moves_nothing_into_the_iotlb, {
    let mut unit = Unit::translating();
    unit.entry(0, |entry| entry & !2);
    assert_eq!(unit.put(IOVA), Err(5));
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});

/// With FPD set in the interrupt entry, a request is refused in silence.
fn silent_interrupt(entry: [u64; 2]) {
    let mut unit = Unit::remapping();
    unit.irte(0, [entry[0] | 1 << 1, entry[1]]);
    assert_eq!(unit.interrupt(NIC, remappable(0)), Err(vec![]));
    assert_eq!(unit.vtd.stats().faults, 1);
}

rule!("7.1", fpd_silences_an_absent_interrupt_entry, silent_interrupt([0, 0]));
rule!("7.1", fpd_silences_reserved_bits_of_an_interrupt_entry, {
    silent_interrupt([irte(0x31, 1)[0] | 1 << 12, 0]);
});
rule!("7.1", fpd_silences_a_wrong_source, silent_interrupt([irte(0x31, 1)[0], 1 << 18 | 0xffff]));
rule!("7.1", a_large_page_s_faults_name_the_page_that_was_asked_for, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x1f_ffff;
    unit.map_in(unit.domain, first, 0x40_0000, 1, Rights::R);
    assert_eq!(unit.put(first + 0x12_3456), Err(5));
    assert_eq!(unit.faults()[0].info, first + 0x12_3000);
});
