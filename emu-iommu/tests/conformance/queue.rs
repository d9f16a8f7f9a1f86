//! 6.5.2: the invalidation queue: head and tail, waits, order, and the errors that stop it.

use crate::unit::*;
use emu_core::Gpa;
use emu_iommu::spec::register::*;
use emu_iommu::testing::{irte, remappable};

/// Submits a good descriptor, `raw`, and a wait: the queue stops at `raw` with `code`, and nothing after it is done.
fn stops(raw: [u64; 2], code: u64) {
    let mut unit = Unit::translating();
    unit.submit(&[CONTEXT_GLOBAL, raw, wait(1)]);
    assert_eq!((unit.conditions(), unit.read(IQERCD) & 0xf), (IQE, code), "{raw:#x?}");
    assert_eq!((unit.read(IQH), unit.waited()), (0x10, 0), "{raw:#x?}");
}

/// Each of these bits, set alone in an otherwise good descriptor, stops the queue as reserved.
fn reserved([low, high]: [u64; 2], bits: &[(u64, std::ops::RangeInclusive<u32>)]) {
    let mut unit = Unit::translating();
    unit.submit(&[[low, high]]);
    assert_eq!(unit.conditions(), 0, "good without");
    for (half, range) in bits {
        for bit in range.clone() {
            let set = |word, value: u64| if *half == word { value | 1 << bit } else { value };
            stops([set(0, low), set(1, high)], 4);
        }
    }
}

/// A stopped queue: one bad descriptor at its start.
fn stopped() -> Unit {
    let mut unit = Unit::translating();
    unit.submit(&[[0, 0]]);
    assert_eq!(unit.conditions(), IQE);
    unit
}

/// Started, with a queue of `size` pages at 4 MiB that is full of waits, each writing its number.
fn large_queue(qs: u64) -> (Unit, u64) {
    let mut unit = Unit::new();
    let (queue, bytes) = (Gpa(0x40_0000), 0x1000 << qs);
    unit.write(IQA, queue.0 | qs);
    unit.command(QIE);
    for at in (0..bytes).step_by(16) {
        let [low, high] = wait((at / 16) as u32);
        unit.mem.write_u64(queue.plus(at), low).unwrap();
        unit.mem.write_u64(queue.plus(at + 8), high).unwrap();
    }
    (unit, bytes)
}

rule!("6.5.2", nothing_is_fetched_while_head_is_tail, {
    let mut unit = Unit::translating();
    unit.place(0, wait(9));
    unit.write(IQT, 0);
    assert_eq!((unit.waited(), unit.read(IQH)), (0, 0));
});
rule!("6.5.2", moving_the_tail_starts_what_lies_before_it, {
    let mut unit = Unit::translating();
    for n in 0..4 {
        unit.place(16 * n, wait(n as u32 + 1));
    }
    unit.write(IQT, 0x20);
    assert_eq!((unit.waited(), unit.read(IQH)), (2, 0x20));
});
rule!("6.5.2", the_head_follows_to_the_tail, {
    let mut unit = Unit::translating();
    unit.submit(&[CONTEXT_GLOBAL, IOTLB_GLOBAL, wait(1)]);
    assert_eq!((unit.read(IQH), unit.read(IQT)), (0x30, 0x30));
});
rule!("6.5.2", the_head_wraps_at_the_end_of_the_queue, {
    let mut unit = Unit::translating();
    for n in 0..600 {
        unit.submit(&[wait(n)]);
        assert_eq!(unit.waited(), n);
    }
    assert_eq!(unit.read(IQH), 600 % 256 * 16);
});
rule!("6.5.2", a_batch_may_wrap, {
    let mut unit = Unit::translating();
    for _ in 0..255 {
        unit.submit(&[CONTEXT_GLOBAL]);
    }
    unit.submit(&[wait(1), wait(2), wait(3)]);
    assert_eq!((unit.waited(), unit.read(IQH)), (3, 0x20));
});
rule!("6.5.2", a_full_queue_is_one_descriptor_short, {
    // Head equal to tail is empty, so 255 of 256 places can wait at once.
    let mut unit = Unit::translating();
    let batch: Vec<_> = (0..255).map(wait).collect();
    unit.submit(&batch);
    assert_eq!((unit.waited(), unit.read(IQH)), (254, 255 * 16));
});
rule!("6.5.2", nothing_is_fetched_while_the_queue_is_off, {
    let mut unit = Unit::translating();
    unit.command(TE);
    unit.place(0, wait(9));
    unit.write(IQT, 0x10);
    assert_eq!((unit.waited(), unit.read(IQH)), (0, 0));
});
rule!("6.5.2", switching_on_starts_what_waits, {
    let mut unit = Unit::translating();
    unit.command(TE);
    unit.place(0, wait(9));
    unit.write(IQT, 0x10);
    unit.command(TE | QIE);
    assert_eq!((unit.waited(), unit.read(IQH)), (9, 0x10));
});
rule!("10.4.21", switching_off_resets_the_head, {
    let mut unit = Unit::translating();
    unit.submit(&[wait(1), wait(2)]);
    unit.command(TE);
    assert_eq!(unit.read(IQH), 0);
});
rule!("10.4.23", qs_0_is_a_page_of_256_descriptors, {
    let (mut unit, bytes) = large_queue(0);
    unit.write(IQT, bytes - 16);
    assert_eq!((unit.waited(), unit.read(IQH)), (254, bytes - 16));
});
rule!("10.4.23", each_step_of_qs_doubles_the_queue, {
    for qs in 1..=7 {
        let (mut unit, bytes) = large_queue(qs);
        unit.write(IQT, bytes - 16);
        assert_eq!(u64::from(unit.waited()), bytes / 16 - 2, "QS {qs}");
        unit.write(IQT, 0);
        assert_eq!(u64::from(unit.waited()), bytes / 16 - 1, "QS {qs}");
    }
});

rule!("6.5.2.8", a_wait_writes_its_status, {
    let mut unit = Unit::translating();
    unit.submit(&[wait(0xdead_beef)]);
    assert_eq!(unit.waited(), 0xdead_beef);
});
rule!("6.5.2.8", a_status_is_a_dword_and_no_more, {
    let mut unit = Unit::translating();
    unit.mem.write_u64(STATUS, u64::MAX).unwrap();
    unit.submit(&[wait(0)]);
    assert_eq!(unit.mem.read_u64(STATUS), Ok(u64::MAX << 32));
});
rule!("6.5.2.8", a_wait_without_sw_writes_nothing, {
    let mut unit = Unit::translating();
    let [low, high] = wait(7);
    unit.submit(&[[low & !(1 << 5), high]]);
    assert_eq!((unit.waited(), unit.read(IQH)), (0, 0x10));
});
rule!("6.5.2.8", a_wait_without_if_is_no_event, {
    let mut unit = Unit::translating();
    unit.submit(&[wait(7)]);
    assert_eq!((unit.read(ICS), unit.read(IECTL)), (0, 1 << 31));
});
rule!("6.5.2.8", a_wait_may_write_and_interrupt, {
    let mut unit = Unit::translating();
    let [low, high] = wait(7);
    unit.submit(&[[low | 1 << 4, high]]);
    assert_eq!((unit.waited(), unit.read(ICS)), (7, 1));
});
rule!("6.5.2.8", a_wait_writes_when_all_before_it_is_done, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.submit(&[IOTLB_GLOBAL, wait(1)]);
    assert_eq!((unit.waited(), unit.vtd.iotlb_entries().count()), (1, 0));
});
rule!("6.5.2.8", a_status_may_lie_over_4_gib, {
    let mut unit = Unit::translating();
    // No memory there: the write is lost, and that is no error of the queue.
    unit.submit(&[[1 << 5 | 5, NOWHERE], wait(3)]);
    assert_eq!((unit.conditions(), unit.waited()), (0, 3));
});
rule!("6.5.2.11", a_fence_holds_what_follows_until_it_is_done, {
    let mut unit = Unit::translating();
    let [low, high] = wait(1);
    unit.submit(&[[low | 1 << 6, high], wait(2)]);
    assert_eq!((unit.waited(), unit.read(IQH)), (2, 0x20));
});
rule!("6.5.2.11", waits_complete_in_order, {
    let mut unit = Unit::translating();
    let other = STATUS.plus(0x100);
    unit.submit(&[wait(1), [2 << 32 | 1 << 5 | 5, other.0], wait(3)]);
    assert_eq!((unit.waited(), unit.mem.read_u32(other)), (3, Ok(2)));
});

rule!("6.5.2.10", type_0_is_no_descriptor, stops([0, 0], 3));
rule!("6.5.2.10", device_tlb_descriptors_need_device_tlbs, stops([0x3, 0], 3));
rule!("6.5.2.10", descriptor_types_of_scalable_mode_are_none_in_legacy_mode, {
    for kind in [6, 7, 8] {
        stops([kind, 0], 3);
    }
});
rule!("6.5.2.10", unknown_types_are_no_descriptors, {
    for kind in 10..=15 {
        stops([kind, 0], 3);
    }
});
rule!("6.5.2.10", the_upper_bits_of_the_type_count, {
    for bit in 9..=11 {
        stops([CONTEXT_GLOBAL[0] | 1 << bit, 0], 3);
    }
});
rule!("6.5.2.10", interrupt_descriptors_need_ir, {
    let mut unit = Unit::translating_with(|config| {
        config.interrupt_remapping = false;
        config.eim = false;
    });
    unit.submit(&[IEC_GLOBAL]);
    assert_eq!((unit.conditions(), unit.read(IQERCD) & 0xf), (IQE, 3));
});
rule!("6.5.2.1", context_descriptor_granularity_0_is_reserved, stops([0x01, 0], 4));
rule!("6.5.2.3", iotlb_descriptor_granularity_0_is_reserved, stops([0x02, 0], 4));
rule!("6.5.2.1", context_descriptor_reserved_bits_are_checked, {
    reserved(CONTEXT_GLOBAL, &[(0, 6..=8), (0, 12..=15), (0, 50..=63), (1, 0..=63)]);
});
rule!("6.5.2.3", iotlb_descriptor_reserved_bits_are_checked, {
    reserved(iotlb_pages(DOMAIN, IOVA, 0), &[(0, 8..=8), (0, 12..=15), (0, 32..=63), (1, 7..=11)]);
});
rule!("6.5.2.7", iec_descriptor_reserved_bits_are_checked, {
    reserved(IEC_GLOBAL, &[(0, 5..=8), (0, 12..=26), (0, 48..=63), (1, 0..=63)]);
});
rule!("6.5.2.8", wait_descriptor_reserved_bits_are_checked, {
    // PD, bit 7, is reserved without page requests.
    reserved(wait(1), &[(0, 7..=8), (0, 12..=31), (1, 0..=1)]);
});
rule!("6.5.2.3", a_mask_beyond_mamv_stops_the_queue, stops(iotlb_pages(DOMAIN, 0, 19), 4));
rule!("6.5.2.7", an_index_mask_beyond_mhmv_stops_the_queue, stops(iec_index(0, 16), 4));
rule!("6.5.2.10", a_tail_beyond_the_queue_stops_it, {
    let mut unit = Unit::translating();
    unit.place(0, wait(1));
    unit.write(IQT, 0x1000);
    assert_eq!((unit.conditions(), unit.read(IQERCD) & 0xf), (IQE, 1));
    assert_eq!((unit.read(IQH), unit.waited()), (0, 0));
});
rule!("6.5.2.10", a_descriptor_in_no_memory_stops_the_queue, {
    let mut unit = Unit::translating();
    unit.command(TE);
    unit.write(IQA, NOWHERE);
    unit.command(TE | QIE);
    assert_eq!(unit.conditions(), 0, "nothing has been asked for");
    unit.write(IQT, 0x10);
    assert_eq!((unit.conditions(), unit.read(IQERCD) & 0xf), (IQE, 2));
});
rule!("10.4.22", a_tail_is_of_a_whole_descriptor, {
    let mut unit = Unit::translating();
    unit.place(0, wait(6));
    unit.write(IQT, 0x1f);
    assert_eq!((unit.read(IQT), unit.read(IQH), unit.waited()), (0x10, 0x10, 6));
});
rule!("6.5.2.10", a_stopped_queue_fetches_nothing, {
    let mut unit = stopped();
    unit.submit(&[wait(1)]);
    assert_eq!((unit.waited(), unit.read(IQH), unit.read(IQT)), (0, 0, 0x20));
});
rule!("6.5.2.10", a_mended_queue_goes_on_when_iqe_is_cleared, {
    let mut unit = stopped();
    unit.submit(&[wait(1)]);
    unit.place(0, CONTEXT_GLOBAL);
    assert_eq!(unit.waited(), 0);
    unit.write(FSTS, u64::from(IQE));
    assert_eq!((unit.conditions(), unit.waited(), unit.read(IQH)), (0, 1, 0x20));
});
rule!("6.5.2.10", a_queue_that_is_not_mended_stops_again, {
    let mut unit = stopped();
    unit.write(FSTS, u64::from(IQE));
    assert_eq!((unit.conditions(), unit.read(IQH)), (IQE, 0));
});
rule!("6.5.2.10", an_error_is_a_fault_event, {
    let mut unit = stopped();
    assert_eq!(unit.read(FECTL), 1 << 31 | 1 << 30);
});
rule!("6.5.2.10", errors_do_not_stop_translation, {
    let mut unit = stopped();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("10.4.29", the_error_is_told_until_it_is_cleared, {
    let mut unit = stopped();
    assert_eq!(unit.read(IQERCD) & 0xf, 3);
    unit.place(0, CONTEXT_GLOBAL);
    unit.write(FSTS, u64::from(IQE));
    assert_eq!(unit.read(IQERCD) & 0xf, 0);
});
rule!("10.4.9", ite_and_ice_are_of_device_tlbs_alone, {
    // Whatever goes wrong in the queue of a unit without them, it is IQE.
    for raw in [[0; 2], [0x3, 0], [0x12, 1 << 7], [0x11, 1]] {
        let mut unit = Unit::translating();
        unit.submit(&[raw]);
        assert_eq!(unit.read(FSTS) as u32 & (ITE | ICE | IQE), IQE);
    }
});

/// The entry at index 9 changes behind the unit's back; `descriptor` shows the new one, unless the old one `stays`.
fn entry(descriptor: [u64; 2], stays: bool) {
    let mut unit = Unit::remapping();
    unit.irte(9, irte(0x31, 1));
    let ask = |unit: &mut Unit| unit.interrupt(NIC, remappable(9)).unwrap().vector;
    assert_eq!(ask(&mut unit), 0x31);
    unit.irte(9, irte(0x77, 1));
    assert_eq!(ask(&mut unit), 0x31, "stale");
    unit.submit(&[descriptor]);
    assert_eq!(ask(&mut unit), if stays { 0x31 } else { 0x77 });
}

rule!("6.5.2.7", queued_global_invalidates_all_interrupt_entries, entry(IEC_GLOBAL, false));
rule!("6.5.2.7", queued_index_invalidates_its_entry, entry(iec_index(9, 0), false));
rule!("6.5.2.7", queued_index_leaves_other_entries, entry(iec_index(8, 0), true));
rule!("6.5.2.7", queued_index_mask_covers_two_to_its_power, {
    for mask in 1..=15 {
        entry(iec_index(9 ^ 1 << (mask - 1), mask), false);
    }
    for mask in 0..15 {
        entry(iec_index(9 ^ 1 << mask, mask), true);
    }
});
rule!("6.5.2.7", queued_global_does_not_look_at_the_index, entry([IEC_GLOBAL[0] | 0x1234 << 32, 0], false));
rule!("6.5.2.7", translations_and_contexts_are_other_caches, {
    entry(IOTLB_GLOBAL, true);
    entry(CONTEXT_GLOBAL, true);
});
