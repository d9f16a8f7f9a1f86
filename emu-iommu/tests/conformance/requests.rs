//! 3.4, 3.7, 3.14, 7.1: how a request finds its way through the tables, and what stops it.

use crate::unit::*;
use emu_core::{Bdf, Gpa, Iova};
use emu_iommu::spec::register::*;
use emu_iommu::testing::Rights;

/// Rights of the entries from the top down to the page; then what a read and a write come to.
fn rights(entries: [u64; 4], read: Result<u64, u8>, write: Result<u64, u8>) {
    for (is_write, expected) in [(false, read), (true, write)] {
        let mut unit = Unit::translating();
        for (level, rights) in (0..4).rev().zip(entries) {
            unit.entry(level, |entry| entry & !3 | rights);
        }
        assert_eq!(unit.dma(NIC, IOVA, is_write), expected);
    }
}

/// A device of its own, in a domain of its own, at the page's address.
fn neighbour(unit: &mut Unit, bdf: Bdf, gpa: u64) {
    let domain = unit.new_domain(2, 4);
    unit.attach(bdf, &domain);
    unit.map_in(domain, IOVA, gpa, 0, Rights::Rw);
}

const GOOD: Result<u64, u8> = Ok(FRAME);

rule!("3.4.1", the_bus_chooses_the_root_entry, {
    let mut unit = Unit::translating();
    let other = Bdf::new(0x80, 3, 0);
    neighbour(&mut unit, other, MOVED);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (GOOD, Ok(MOVED)));
});
rule!("3.4.1", the_device_chooses_the_context_entry, {
    let mut unit = Unit::translating();
    let other = Bdf::new(0, 4, 0);
    neighbour(&mut unit, other, MOVED);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (GOOD, Ok(MOVED)));
});
rule!("3.4.1", the_function_chooses_the_context_entry, {
    let mut unit = Unit::translating();
    let other = Bdf::new(0, 3, 7);
    neighbour(&mut unit, other, MOVED);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (GOOD, Ok(MOVED)));
});
rule!("3.4.1", the_last_bus_and_function_have_entries_too, {
    let mut unit = Unit::translating();
    let last = Bdf(0xffff);
    neighbour(&mut unit, last, MOVED);
    assert_eq!(unit.dma(last, IOVA, false), Ok(MOVED));
});
rule!("3.4.2", devices_of_a_domain_share_its_translations, {
    let mut unit = Unit::translating();
    let other = Bdf::new(0, 4, 0);
    let domain = unit.domain;
    unit.attach(other, &domain);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (GOOD, GOOD));
    assert_eq!(unit.vtd.iotlb_entries().count(), 1);
});
rule!("3.4.2", domains_do_not_share_translations, {
    let mut unit = Unit::translating();
    let other = Bdf::new(0, 4, 0);
    neighbour(&mut unit, other, MOVED);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (GOOD, Ok(MOVED)));
    assert_eq!(unit.vtd.iotlb_entries().count(), 2);
});
rule!("3.4.2", an_unreadable_root_entry_is_fault_8, {
    let mut unit = Unit::translating();
    unit.write(RTADDR, NOWHERE);
    unit.command(TE | QIE | SRTP);
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(8), vec![8]));
});
rule!("3.4.2", an_unreadable_context_entry_is_fault_9, {
    let mut unit = Unit::translating();
    unit.root(0, |_| NOWHERE | 1);
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(9), vec![9]));
});
rule!("3.4.2", a_root_entry_that_is_absent_is_fault_1, {
    let mut unit = Unit::translating();
    assert_eq!((unit.dma(Bdf::new(7, 0, 0), IOVA, false), unit.reasons()), (Err(1), vec![1]));
});
rule!("3.4.2", a_context_entry_that_is_absent_is_fault_2, {
    let mut unit = Unit::translating();
    assert_eq!((unit.dma(Bdf::new(0, 9, 0), IOVA, false), unit.reasons()), (Err(2), vec![2]));
});

rule!("3.7", each_level_is_indexed_by_nine_bits, {
    // Addresses that differ in one index bit only lie in different frames.
    let mut unit = Unit::translating();
    for (n, bit) in (12..48).enumerate() {
        let frame = 0x100_0000 + 0x1000 * n as u64;
        unit.map(IOVA ^ 1 << bit, frame, Rights::Rw);
        assert_eq!(unit.get(IOVA ^ 1 << bit), Ok(frame), "bit {bit}");
    }
    assert_eq!(unit.get(IOVA), GOOD);
});
rule!("3.7", the_lowest_bits_are_the_place_in_the_page, {
    let mut unit = Unit::translating();
    for offset in [0, 1, 0x800, 0xfff] {
        assert_eq!(unit.get(IOVA + offset), Ok(FRAME + offset));
    }
});
rule!("3.7", a_2_mib_page_keeps_21_bits, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x1f_ffff;
    unit.map_large(first, 0x40_0000, 1);
    for offset in [0, 0xfff, 0x1000, 0x1f_ffff] {
        assert_eq!(unit.get(first + offset), Ok(0x40_0000 + offset));
    }
});
rule!("3.7", a_1_gib_page_keeps_30_bits, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x3fff_ffff;
    unit.map_large(first, 0x8000_0000, 2);
    for offset in [0, 0x20_0000, 0x3fff_ffff] {
        assert_eq!(unit.get(first + offset), Ok(0x8000_0000 + offset));
    }
});
rule!("3.7", a_2_mib_page_ends_the_walk_a_level_early, {
    let mut unit = Unit::translating();
    unit.map_large(IOVA & !0x1f_ffff, 0x40_0000, 1);
    unit.get(IOVA).unwrap();
    assert_eq!(unit.vtd.stats().walk_reads, 2 + 3);
});
rule!("3.7", a_1_gib_page_ends_the_walk_two_levels_early, {
    let mut unit = Unit::translating();
    unit.map_large(IOVA & !0x3fff_ffff, 0x8000_0000, 2);
    unit.get(IOVA).unwrap();
    assert_eq!(unit.vtd.stats().walk_reads, 2 + 2);
});
rule!("3.7", the_answer_is_good_to_the_end_of_the_page_and_no_further, {
    let mut unit = Unit::translating();
    let mut reach = |iova| {
        let mut env = unit.fabric.env();
        unit.vtd.translate(&mut env, &mut unit.mem, NIC, Iova(iova), false).unwrap().page_len_left
    };
    assert_eq!([reach(IOVA), reach(IOVA + 0xfff)], [0x1000, 1]);
});
rule!("3.7", an_unreadable_paging_entry_is_fault_7, {
    for level in 1..4 {
        let mut unit = Unit::translating();
        unit.entry(level, |_| NOWHERE | 3);
        assert_eq!((unit.get(IOVA), unit.reasons()), (Err(7), vec![7]), "level {level}");
    }
});
rule!("3.7", an_unreadable_topmost_table_is_fault_7, {
    let mut unit = Unit::translating();
    unit.context(0, |_| NOWHERE | 1);
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(7), vec![7]));
});
rule!("3.7", a_page_need_not_lie_in_memory, {
    // What is behind a translation is not the unit's concern: a peer's BAR, or nothing.
    let mut unit = Unit::translating();
    unit.entry(0, |_| NOWHERE | 3);
    assert_eq!(unit.get(IOVA + 5), Ok(NOWHERE + 5));
});

rule!("3.7.1", an_address_beyond_4_levels_is_fault_4, {
    let mut unit = Unit::translating();
    assert_eq!((unit.get(1 << 48), unit.reasons()), (Err(4), vec![4]));
    assert_eq!((unit.put(u64::MAX), unit.reasons()), (Err(4), vec![4]));
});
rule!("3.7.1", the_last_address_of_4_levels_is_looked_up, {
    let mut unit = Unit::translating();
    unit.map((1 << 48) - 0x1000, MOVED, Rights::Rw);
    assert_eq!(unit.get((1 << 48) - 1), Ok(MOVED + 0xfff));
});
rule!("3.7.1", an_address_beyond_3_levels_is_fault_4, {
    let mut unit = Unit::translating();
    let domain = unit.new_domain(2, 3);
    unit.attach(NIC, &domain);
    assert_eq!((unit.get(1 << 39), unit.reasons()), (Err(4), vec![4]));
    assert_eq!((unit.get((1 << 39) - 1), unit.reasons()), (Err(6), vec![6]));
});
rule!("3.7.1", an_address_beyond_the_width_is_not_cut_off, {
    // IOVA with a bit above the width would otherwise hit the entry of IOVA.
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), GOOD);
    assert_eq!(unit.get(IOVA | 1 << 48), Err(4));
});
rule!("3.7.1", pass_through_is_bound_by_the_width_too, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 2 << 2);
    assert_eq!((unit.get((1 << 48) - 1), unit.get(1 << 48)), (Ok((1 << 48) - 1), Err(4)));
});

rule!("3.7.2", a_readable_page_can_be_read, rights([3, 3, 3, 1], GOOD, Err(5)));
rule!("3.7.2", a_writable_page_can_be_written, rights([3, 3, 3, 2], Err(6), GOOD));
rule!("3.7.2", a_page_of_both_rights_can_be_both, rights([3, 3, 3, 3], GOOD, GOOD));
rule!("3.7.2", rights_of_the_sl_pde_bind_the_page, rights([3, 3, 1, 3], GOOD, Err(5)));
rule!("3.7.2", rights_of_the_sl_pdpe_bind_the_page, rights([3, 1, 3, 3], GOOD, Err(5)));
rule!("3.7.2", rights_of_the_sl_pml4e_bind_the_page, rights([1, 3, 3, 3], GOOD, Err(5)));
rule!("3.7.2", write_alone_binds_at_every_level, {
    rights([3, 3, 2, 3], Err(6), GOOD);
    rights([3, 2, 3, 3], Err(6), GOOD);
    rights([2, 3, 3, 3], Err(6), GOOD);
});
rule!("3.7.2", rights_are_those_that_all_levels_give, rights([3, 1, 3, 2], Err(6), Err(5)));
rule!("3.7.2", rights_are_cached_as_all_levels_gave_them, {
    let mut unit = Unit::translating();
    unit.entry(2, |entry| entry & !2);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (GOOD, Err(5)));
});
rule!("3.7.2", a_large_page_has_rights_of_its_own, {
    let mut unit = Unit::translating();
    unit.map_large(IOVA & !0x1f_ffff, 0x40_0000, 1);
    unit.entry(1, |entry| entry & !2);
    assert!(unit.get(IOVA).is_ok());
    assert_eq!(unit.put(IOVA), Err(5));
});
rule!("3.7.2", pass_through_has_no_rights_to_check, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 2 << 2);
    assert_eq!((unit.get(0x7777), unit.put(0x7777)), (Ok(0x7777), Ok(0x7777)));
});
rule!("3.7.2", the_tables_rights_do_not_change_by_use, {
    // Accessed and dirty bits of second-level entries are another capability's.
    let mut unit = Unit::translating();
    let entries = |unit: &mut Unit| {
        [0, 1, 2, 3].map(|level| {
            let domain = unit.domain;
            let at = unit.tables.entry_gpa(&mut unit.mem, &domain, Iova(IOVA), level).unwrap();
            unit.mem.read_u64(at).unwrap()
        })
    };
    let before = entries(&mut unit);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (GOOD, GOOD));
    assert_eq!(entries(&mut unit), before);
});

rule!("3.14", a_write_to_the_interrupt_range_is_not_translated, {
    let mut unit = Unit::translating();
    for at in [0xfee0_0000, 0xfee1_2340, 0xfeef_fffc] {
        unit.map(at & !0xfff, FRAME, Rights::Rw);
        assert_eq!(unit.put(at), Ok(at));
    }
    assert_eq!(unit.vtd.stats().iotlb_misses, 0);
});
rule!("3.14", a_read_of_the_interrupt_range_is_a_fault, {
    let mut unit = Unit::translating();
    for at in [0xfee0_0000, 0xfeef_ffff] {
        unit.map(at & !0xfff, FRAME, Rights::Rw);
        assert_eq!((unit.get(at), unit.reasons()), (Err(0xe), vec![0xe]));
    }
});
rule!("3.14", the_pages_around_the_interrupt_range_are_translated, {
    let mut unit = Unit::translating();
    for at in [0xfedf_f000, 0xfef0_0000] {
        unit.map(at, FRAME, Rights::Rw);
        assert_eq!(unit.put(at), GOOD);
    }
});
rule!("3.14", no_page_may_lead_into_the_interrupt_range, {
    for at in [0xfee0_0000, 0xfeef_f000] {
        let mut unit = Unit::translating();
        unit.entry(0, |_| at | 3);
        assert_eq!((unit.put(IOVA), unit.reasons()), (Err(0xe), vec![0xe]));
    }
});
rule!("3.14", a_large_page_may_not_lead_there_by_its_offset, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x1f_ffff;
    unit.map_large(first, 0xfee0_0000, 1);
    // The range is the first half of these 2 MiB.
    assert_eq!(unit.put(first + 0x10_0000), Ok(0xfef0_0000));
    assert_eq!(unit.put(first + 0xf_ffff), Err(0xe));
});
rule!("3.14", a_page_before_the_range_is_good_only_up_to_it, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x3fff_ffff;
    unit.map_large(first, 0xc000_0000, 2);
    let mut env = unit.fabric.env();
    let iova = Iova(first + 0x3edf_ff00);
    let found = unit.vtd.translate(&mut env, &mut unit.mem, NIC, iova, false).unwrap();
    assert_eq!((found.gpa, found.page_len_left), (Gpa(0xfedf_ff00), 0x100));
});
