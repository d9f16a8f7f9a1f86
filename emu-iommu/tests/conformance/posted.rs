//! 5.2, 9.11, 9.12: interrupts posted to a descriptor in memory, bit by bit, and who is notified.

use crate::unit::*;
use emu_core::{Bdf, DeliveryMode, DestinationMode, Gpa, Interrupt, TriggerMode};
use emu_iommu::spec::register::*;
use emu_iommu::testing::{from_source, remappable};
use std::ops::RangeInclusive;

/// The descriptor.
const AT: u64 = 0x7_0040;
/// Entry: posts vector 0x91 to it.
const GOOD: [u64; 2] = [(AT & 0xffff_ffc0) << 32 | 0x91 << 16 | 1 << 15 | 1, 0];
const URG: u64 = 1 << 14;
/// Control qword of a descriptor: notifies APIC 5 by vector 0x31.
const CONTROL: u64 = 5 << 40 | 0x31 << 16;
const ON: u64 = 1;
const SN: u64 = 1 << 1;
const NOTIFIED: Interrupt = Interrupt {
    vector: 0x31,
    mode: DeliveryMode::Fixed,
    trigger: TriggerMode::Edge,
    dest_mode: DestinationMode::Physical,
    dest: 5,
};

fn posting(config: &mut emu_iommu::IommuConfig) {
    config.posted_interrupts = true;
}

/// A unit whose entry at index 9 is `entry`, and a descriptor with this control qword.
fn unit_with(entry: [u64; 2], control: u64) -> Unit {
    let mut unit = Unit::remapping_with(0, posting);
    unit.irte(9, entry);
    unit.mem.write_u64(Gpa(AT + 32), control).unwrap();
    unit
}

fn descriptor(unit: &Unit) -> [u64; 8] {
    std::array::from_fn(|index| unit.mem.read_u64(Gpa(AT + 8 * index as u64)).unwrap())
}

/// What the descriptor is once vector 0x91 is posted.
fn posted(control: u64) -> [u64; 8] {
    [0, 0, 1 << (0x91 - 0x80), 0, control, 0, 0, 0]
}

/// A request posts, and is told as `notified` or not at all; then the control qword is `after`.
fn posts(entry: [u64; 2], control: u64, notified: Option<Interrupt>, after: u64) {
    let mut unit = unit_with(entry, control);
    assert_eq!(unit.interrupt(NIC, remappable(9)), notified.ok_or(vec![]), "{control:#x}");
    assert_eq!(descriptor(&unit), posted(after), "{control:#x}");
}

/// A request is refused, and changes nothing.
fn refuses(mut unit: Unit, reason: u8) {
    let before = descriptor(&unit);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![reason]));
    assert_eq!(descriptor(&unit), before);
}

/// Each bit of half the entry, set alone, is refused.
fn reserved(half: usize, range: RangeInclusive<u32>) {
    for bit in range {
        let mut entry = GOOD;
        entry[half] |= 1 << bit;
        refuses(unit_with(entry, CONTROL), 0x24);
    }
}

/// Each bit of a qword of the descriptor, set alone, is refused.
fn descriptor_reserved(qword: u64, range: RangeInclusive<u32>) {
    for bit in range {
        let mut unit = unit_with(GOOD, CONTROL);
        let at = Gpa(AT + 8 * qword);
        let old = unit.mem.read_u64(at).unwrap();
        unit.mem.write_u64(at, old | 1 << bit).unwrap();
        refuses(unit, 0x28);
    }
}

rule!("10.4.2", pi_says_whether_interrupts_can_be_posted, {
    assert_eq!(Unit::remapping().read(CAP) >> 59 & 1, 0);
    assert_eq!(Unit::remapping_with(0, posting).read(CAP) >> 59 & 1, 1);
});
rule!("5.2.1", im_makes_an_entry_post, posts(GOOD, CONTROL, Some(NOTIFIED), CONTROL | ON));
rule!("5.2.1", entries_of_both_formats_live_in_one_table, {
    let mut unit = unit_with(GOOD, CONTROL);
    unit.irte(8, emu_iommu::testing::irte(0x77, 3));
    let remapped = unit.interrupt(NIC, remappable(8)).unwrap();
    assert_eq!((remapped.vector, remapped.dest), (0x77, 3));
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(NOTIFIED));
});
rule!("5.2.1", a_cached_entry_posts_until_it_is_invalidated, {
    let mut unit = unit_with(GOOD, CONTROL | SN);
    unit.interrupt(NIC, remappable(9)).unwrap_err();
    unit.irte(9, emu_iommu::testing::irte(0x77, 3));
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![]), "posted");
    unit.submit(&[iec_index(9, 0)]);
    assert_eq!(unit.interrupt(NIC, remappable(9)).unwrap().vector, 0x77);
});
rule!("5.2.1", the_descriptor_is_not_cached, {
    let mut unit = unit_with(GOOD, CONTROL);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(NOTIFIED));
    unit.mem.write_u64(Gpa(AT + 32), 6 << 40 | 0x32 << 16).unwrap();
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(Interrupt { vector: 0x32, dest: 6, ..NOTIFIED }));
});
rule!("5.2.2", every_vector_has_its_bit, {
    for vector in 0..=255u64 {
        let mut unit = unit_with([GOOD[0] & !(0xff << 16) | vector << 16, 0], CONTROL | SN);
        unit.interrupt(NIC, remappable(9)).unwrap_err();
        let mut expected = [0, 0, 0, 0, CONTROL | SN, 0, 0, 0];
        expected[vector as usize / 64] = 1 << (vector % 64);
        assert_eq!(descriptor(&unit), expected);
    }
});
rule!("5.2.2", bits_that_are_posted_already_stay, {
    let mut unit = unit_with(GOOD, CONTROL);
    unit.mem.write_u64(Gpa(AT), 1 << 63).unwrap();
    unit.mem.write_u64(Gpa(AT + 24), 1).unwrap();
    unit.interrupt(NIC, remappable(9)).unwrap();
    assert_eq!(descriptor(&unit)[..4], [1 << 63, 0, 1 << 17, 1]);
});
rule!("5.2.3", a_notification_is_outstanding_until_software_clears_on, {
    let mut unit = unit_with(GOOD, CONTROL);
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(NOTIFIED));
    assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![]));
    unit.mem.write_u64(Gpa(AT + 32), CONTROL).unwrap();
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(NOTIFIED));
});
rule!("5.2.3", with_on_nobody_is_notified, posts(GOOD, CONTROL | ON, None, CONTROL | ON));
rule!("5.2.3", with_sn_nobody_is_notified, posts(GOOD, CONTROL | SN, None, CONTROL | SN));
rule!("5.2.3", an_urgent_request_overrides_sn, {
    posts([GOOD[0] | URG, 0], CONTROL | SN, Some(NOTIFIED), CONTROL | SN | ON);
});
rule!("5.2.3", an_urgent_request_does_not_override_on, {
    posts([GOOD[0] | URG, 0], CONTROL | SN | ON, None, CONTROL | SN | ON);
});
rule!("5.2.3", an_urgent_request_without_sn_is_as_any, {
    posts([GOOD[0] | URG, 0], CONTROL, Some(NOTIFIED), CONTROL | ON);
});
rule!("5.2.3", the_source_is_checked_before_anything_is_posted, {
    refuses(unit_with([GOOD[0], from_source(Bdf(0xffff))], CONTROL), 0x26);
});
rule!("5.2.3", the_source_that_is_allowed_posts, {
    posts([GOOD[0], from_source(NIC)], CONTROL, Some(NOTIFIED), CONTROL | ON);
});
rule!("5.2.3", a_request_that_posts_is_counted, {
    let mut unit = unit_with(GOOD, CONTROL);
    unit.interrupt(NIC, remappable(9)).unwrap();
    unit.interrupt(NIC, remappable(9)).unwrap_err();
    assert_eq!(unit.vtd.stats().posted, 2);
});

rule!("9.11", bits_7_to_2_of_a_posting_entry_are_reserved, reserved(0, 2..=7));
rule!("9.11", bits_13_and_12_of_a_posting_entry_are_reserved, reserved(0, 12..=13));
rule!("9.11", bits_37_to_24_of_a_posting_entry_are_reserved, reserved(0, 24..=37));
rule!("9.11", bits_95_to_84_of_a_posting_entry_are_reserved, reserved(1, 20..=31));
rule!("9.11", source_validation_3_of_a_posting_entry_is_reserved, {
    refuses(unit_with([GOOD[0], 3 << 18], CONTROL), 0x24);
});
rule!("9.11", bits_11_to_8_of_a_posting_entry_are_software_s, {
    posts([GOOD[0] | 0xf00, 0], CONTROL, Some(NOTIFIED), CONTROL | ON);
});
rule!("9.11", an_absent_posting_entry_is_fault_22, refuses(unit_with([GOOD[0] & !1, 0], CONTROL), 0x22));
rule!("9.11", the_descriptor_address_has_64_bits, {
    // Memory ends before it.
    refuses(unit_with([GOOD[0], 1 << 32], CONTROL), 0x27);
    refuses(unit_with([GOOD[0], 1 << 63], CONTROL), 0x27);
});
rule!("9.11", a_descriptor_without_memory_is_fault_27, {
    refuses(unit_with([GOOD[0] | 0x8000_0000 << 32, 0], CONTROL), 0x27);
});
rule!("9.11", fpd_of_a_posting_entry_keeps_its_faults_unrecorded, {
    for control in [CONTROL | 1 << 2, CONTROL] {
        let far = if control == CONTROL { 1 << 32 } else { 0 };
        let mut unit = unit_with([GOOD[0] | 2, far], control);
        assert_eq!(unit.interrupt(NIC, remappable(9)), Err(vec![]));
        assert_eq!(unit.vtd.stats().faults, 1);
    }
});

rule!("9.12", bits_271_to_258_of_a_descriptor_are_reserved, descriptor_reserved(4, 2..=15));
rule!("9.12", bits_287_to_280_of_a_descriptor_are_reserved, descriptor_reserved(4, 24..=31));
rule!("9.12", bits_511_to_320_of_a_descriptor_are_reserved, {
    (5..8).for_each(|qword| descriptor_reserved(qword, 0..=63));
});
rule!("9.12", ndst_has_8_bits_in_xapic_mode, {
    descriptor_reserved(4, 32..=39);
    descriptor_reserved(4, 48..=63);
});
rule!("9.12", ndst_has_32_bits_in_extended_mode, {
    let mut unit = Unit::remapping_with(1 << 11, posting);
    unit.irte(9, GOOD);
    unit.mem.write_u64(Gpa(AT + 32), 0x1234_5678 << 32 | 0x31 << 16).unwrap();
    assert_eq!(unit.interrupt(NIC, remappable(9)), Ok(Interrupt { dest: 0x1234_5678, ..NOTIFIED }));
});
rule!("9.12", nv_is_any_vector, {
    for vector in 0..=255u8 {
        let control = CONTROL & !(0xff << 16) | u64::from(vector) << 16;
        posts(GOOD, control, Some(Interrupt { vector, ..NOTIFIED }), control | ON);
    }
});
