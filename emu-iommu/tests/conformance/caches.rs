//! Chapter 6: what is cached, how long it answers, and what each invalidation takes away.

use crate::unit::*;
use emu_core::Bdf;
use emu_iommu::spec::register::*;
use emu_iommu::testing::Rights;
use emu_iommu::{IotlbConfig, Policy};

/// How an invalidation is asked for.
#[derive(Clone, Copy)]
enum By {
    /// CCMD.
    Context(u64),
    /// IOTLB, with IVA.
    Iotlb(u64, u64),
    /// A descriptor.
    Queue([u64; 2]),
}

fn fresh(by: By) -> Unit {
    match by {
        By::Queue(_) => Unit::translating(),
        By::Context(_) | By::Iotlb(..) => Unit::by_register(),
    }
}

fn ask(unit: &mut Unit, by: By) {
    let at = match by {
        By::Queue(descriptor) => return unit.submit(&[descriptor]),
        By::Context(command) => {
            unit.write(CCMD, 1 << 63 | command);
            CCMD
        }
        By::Iotlb(command, address) => {
            unit.write(IVA, address);
            unit.write(IOTLB, 1 << 63 | command);
            IOTLB
        }
    };
    assert_eq!(unit.read(at) >> 63, 0, "software waits for this bit");
}

/// [`IOVA`] moves to [`MOVED`]: the old translation answers until `by`, and after it only if it `stays`.
fn page(by: By, stays: bool) {
    let mut unit = fresh(by);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| MOVED | 3);
    assert_eq!(unit.get(IOVA), Ok(FRAME), "stale");
    ask(&mut unit, by);
    assert_eq!(unit.get(IOVA), Ok(if stays { FRAME } else { MOVED }));
}

/// The device moves to domain 2, where the page is at [`MOVED`]: the same for its context entry.
fn context(by: By, stays: bool) {
    let mut unit = fresh(by);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    let other = unit.new_domain(2, 4);
    unit.map_in(other, IOVA, MOVED, 0, Rights::Rw);
    unit.attach(NIC, &other);
    assert_eq!(unit.get(IOVA), Ok(FRAME), "stale");
    ask(&mut unit, by);
    assert_eq!(unit.get(IOVA), Ok(if stays { FRAME } else { MOVED }));
}

/// CCMD: granularity, function mask, source, domain.
const fn ccmd(g: u64, mask: u64, source: Bdf, domain: u64) -> By {
    By::Context(g << 61 | mask << 32 | (source.0 as u64) << 16 | domain)
}

/// IOTLB: granularity and domain.
const fn iotlb(g: u64, domain: u64, address: u64) -> By {
    By::Iotlb(g << 60 | domain << 32, address)
}

/// [`NIC`] with function bits turned over.
const fn function(bits: u16) -> Bdf {
    Bdf(NIC.0 ^ bits)
}

const NOBODY: Bdf = Bdf(0);
const D: u64 = DOMAIN as u64;

rule!("6.2.2", a_context_entry_answers_until_it_is_invalidated, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.context(0, |_| 0);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Err(2));
});
rule!("6.2.2", a_root_entry_is_not_read_again_for_a_cached_context, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.root(0, |_| 0);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Err(1));
});
rule!("6.2.2", a_context_entry_is_tagged_by_its_source, {
    let mut unit = Unit::translating();
    let domain = unit.domain;
    unit.attach(function(1), &domain);
    assert_eq!((unit.get(IOVA), unit.dma(function(1), IOVA, false)), (Ok(FRAME), Ok(FRAME)));
    assert_eq!(unit.vtd.context_entries().count(), 2);
});
rule!("6.2.4", a_translation_answers_until_it_is_invalidated, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| 0);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (Ok(FRAME), Ok(FRAME)));
    unit.submit(&[iotlb_pages(DOMAIN, IOVA, 0)]);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (Err(6), Err(5)));
});
rule!("6.2.4", a_translation_answers_for_every_byte_of_its_page, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| 0);
    assert_eq!(unit.get(IOVA + 0xfff), Ok(FRAME + 0xfff));
});
rule!("6.2.4", a_translation_is_tagged_by_its_domain, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.context(1, |entry| entry & 0xff | 2 << 8);
    unit.entry(0, |_| MOVED | 3);
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(MOVED), "domain 2 has nothing cached");
    unit.context(1, |entry| entry & 0xff | D << 8);
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(FRAME), "domain 1 still has");
});
rule!("6.2.4", a_large_page_is_one_translation, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x1f_ffff;
    unit.map_large(first, 0x40_0000, 1);
    for page in 0..512 {
        assert_eq!(unit.get(first + (page << 12)), Ok(0x40_0000 + (page << 12)));
    }
    assert_eq!((unit.vtd.iotlb_entries().count(), unit.vtd.stats().iotlb_misses), (1, 1));
});
rule!("6.2.4", rights_are_stale_too, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |entry| entry & !2);
    assert_eq!(unit.put(IOVA), Ok(FRAME));
    unit.submit(&[iotlb_pages(DOMAIN, IOVA, 0)]);
    assert_eq!(unit.put(IOVA), Err(5));
});
rule!("6.2.4", a_translation_is_kept_when_its_context_is_invalidated, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| MOVED | 3);
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.2.4", a_context_is_kept_when_its_translations_are_invalidated, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.context(0, |_| 0);
    unit.submit(&[IOTLB_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.2.4", hardware_may_forget_to_make_room, {
    let one = IotlbConfig { sets: 1, ways: 1, policy: Policy::Lru };
    let mut unit = Unit::translating_with(|config| config.iotlb = one);
    unit.map(IOVA + 0x1000, FRAME, Rights::Rw);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| MOVED | 3);
    assert_eq!(unit.get(IOVA + 0x1000), Ok(FRAME));
    assert_eq!(unit.get(IOVA), Ok(MOVED));
});
rule!("6.2.4", pass_through_fills_no_translation, {
    let mut unit = Unit::translating();
    unit.context(0, |entry| entry | 2 << 2);
    assert_eq!(unit.get(IOVA), Ok(IOVA));
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});

rule!("6.1", without_cm_an_absent_page_is_looked_up_again, {
    let mut unit = Unit::translating();
    unit.entry(0, |_| 0);
    assert_eq!(unit.get(IOVA), Err(6));
    unit.entry(0, |_| FRAME | 3);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", without_cm_a_malformed_page_is_looked_up_again, {
    let mut unit = Unit::translating();
    unit.entry(0, |entry| entry | 1 << 62);
    assert_eq!(unit.get(IOVA), Err(0xc));
    unit.entry(0, |_| FRAME | 3);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", without_cm_an_absent_context_is_looked_up_again, {
    let mut unit = Unit::translating();
    let domain = unit.domain;
    unit.context(0, |_| 0);
    assert_eq!(unit.get(IOVA), Err(2));
    unit.attach(NIC, &domain);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", without_cm_an_absent_root_is_looked_up_again, {
    let mut unit = Unit::translating();
    unit.root(0, |entry| entry & !1);
    assert_eq!(unit.get(IOVA), Err(1));
    unit.root(0, |entry| entry | 1);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_an_absent_page_is_remembered, {
    let mut unit = Unit::translating_with(caching);
    unit.entry(0, |_| 0);
    assert_eq!(unit.get(IOVA), Err(6));
    unit.entry(0, |_| FRAME | 3);
    assert_eq!((unit.get(IOVA), unit.put(IOVA)), (Err(6), Err(5)));
    unit.submit(&[iotlb_pages(DOMAIN, IOVA, 0)]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_an_absent_page_is_of_its_domain, {
    let mut unit = Unit::translating_with(caching);
    unit.entry(0, |_| 0);
    assert_eq!(unit.get(IOVA), Err(6));
    unit.entry(0, |_| FRAME | 3);
    unit.submit(&[iotlb_pages(0, IOVA, 0), iotlb_domain(2)]);
    assert_eq!(unit.get(IOVA), Err(6));
    unit.submit(&[iotlb_domain(DOMAIN)]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_a_malformed_page_is_remembered, {
    let mut unit = Unit::translating_with(caching);
    unit.entry(0, |entry| entry | 1 << 62);
    assert_eq!(unit.get(IOVA), Err(0xc));
    unit.entry(0, |_| FRAME | 3);
    assert_eq!(unit.get(IOVA), Err(0xc));
    unit.submit(&[IOTLB_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_an_absent_context_is_remembered_as_domain_0, {
    let mut unit = Unit::translating_with(caching);
    let domain = unit.domain;
    unit.context(0, |_| 0);
    assert_eq!(unit.get(IOVA), Err(2));
    unit.attach(NIC, &domain);
    unit.submit(&[context_device(DOMAIN, NIC, 0)]);
    assert_eq!(unit.get(IOVA), Err(2));
    unit.submit(&[context_device(0, NIC, 0)]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_a_malformed_context_is_remembered_as_domain_0, {
    let mut unit = Unit::translating_with(caching);
    let domain = unit.domain;
    unit.context(0, |entry| entry | 1 << 4);
    assert_eq!(unit.get(IOVA), Err(0xb));
    unit.attach(NIC, &domain);
    unit.submit(&[context_domain(DOMAIN)]);
    assert_eq!(unit.get(IOVA), Err(0xb));
    unit.submit(&[context_domain(0)]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_an_absent_root_is_remembered, {
    let mut unit = Unit::translating_with(caching);
    unit.root(0, |entry| entry & !1);
    assert_eq!(unit.get(IOVA), Err(1));
    unit.root(0, |entry| entry | 1);
    assert_eq!(unit.get(IOVA), Err(1));
    unit.submit(&[CONTEXT_GLOBAL]);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("6.1", with_cm_every_remembered_fault_is_recorded_again, {
    let mut unit = Unit::translating_with(caching);
    unit.context(0, |_| 0);
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(2), vec![2]));
    assert_eq!((unit.get(IOVA), unit.reasons()), (Err(2), vec![2]));
});

rule!("6.5.1.1", register_global_invalidates_all_contexts, context(ccmd(1, 0, NOBODY, 0), false));
rule!("6.5.1.1", register_domain_invalidates_its_contexts, context(ccmd(2, 0, NOBODY, D), false));
rule!("6.5.1.1", register_domain_leaves_other_domains_contexts, context(ccmd(2, 0, NOBODY, 2), true));
rule!("6.5.1.1", register_device_invalidates_its_context, context(ccmd(3, 0, NIC, D), false));
rule!("6.5.1.1", register_device_leaves_other_devices, context(ccmd(3, 0, Bdf(NIC.0 ^ 8), D), true));
rule!("6.5.1.1", register_device_leaves_other_functions, context(ccmd(3, 0, function(4), D), true));
rule!("6.5.1.1", register_device_is_also_of_a_domain, context(ccmd(3, 0, NIC, 2), true));
rule!("6.5.1.1", register_function_mask_1_leaves_out_bit_2, {
    context(ccmd(3, 1, function(4), D), false);
    context(ccmd(3, 1, function(2), D), true);
});
rule!("6.5.1.1", register_function_mask_2_leaves_out_bits_2_and_1, {
    context(ccmd(3, 2, function(6), D), false);
    context(ccmd(3, 2, function(1), D), true);
});
rule!("6.5.1.1", register_function_mask_3_leaves_out_the_function, {
    context(ccmd(3, 3, function(7), D), false);
    context(ccmd(3, 3, function(8), D), true);
});
rule!("6.5.1.1", register_granularity_0_is_reserved_for_contexts, {
    context(ccmd(0, 0, NIC, D), true);
    let mut unit = Unit::by_register();
    unit.write(CCMD, 1 << 63);
    assert_eq!(unit.read(CCMD) >> 59 & 3, 0, "refused");
});
rule!("10.4.7", context_command_tells_the_granularity_it_used, {
    let mut unit = Unit::by_register();
    for granularity in 1..=3 {
        unit.write(CCMD, 1 << 63 | granularity << 61 | u64::from(NIC.0) << 16 | D);
        assert_eq!(unit.read(CCMD) >> 59 & 3, granularity);
    }
});
rule!("10.4.7", context_command_is_refused_while_the_queue_is_on, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.write(CCMD, 1 << 63 | 1 << 61);
    assert_eq!((unit.read(CCMD) >> 59 & 3, unit.vtd.context_entries().count()), (0, 1));
});

rule!("6.5.1.2", register_global_invalidates_all_translations, page(iotlb(1, 0, 0), false));
rule!("6.5.1.2", register_domain_invalidates_its_translations, page(iotlb(2, D, 0), false));
rule!("6.5.1.2", register_domain_leaves_other_domains_translations, page(iotlb(2, 2, 0), true));
rule!("6.5.1.2", register_page_invalidates_its_translation, page(iotlb(3, D, IOVA), false));
rule!("6.5.1.2", register_page_leaves_other_pages, page(iotlb(3, D, IOVA ^ 0x1000), true));
rule!("6.5.1.2", register_page_is_also_of_a_domain, page(iotlb(3, 2, IOVA), true));
rule!("6.5.1.2", register_mask_covers_two_to_its_power, {
    page(iotlb(3, D, IOVA & !0x7fff | 3), false);
    page(iotlb(3, D, IOVA ^ 0x7000 | 3), false);
    page(iotlb(3, D, IOVA ^ 0x8000 | 3), true);
});
rule!("6.5.1.2", register_hint_still_invalidates_the_leaf, page(iotlb(3, D, IOVA | 1 << 6), false));
rule!("6.5.1.2", register_mask_beyond_mamv_is_refused, {
    page(iotlb(3, D, IOVA | 19), true);
    let mut unit = Unit::by_register();
    unit.write(IVA, 19);
    unit.write(IOTLB, 1 << 63 | 3 << 60 | D << 32);
    assert_eq!(unit.read(IOTLB) >> 57 & 3, 0);
});
rule!("6.5.1.2", register_granularity_0_is_reserved_for_translations, {
    page(iotlb(0, D, IOVA), true);
    let mut unit = Unit::by_register();
    unit.write(IOTLB, 1 << 63);
    assert_eq!(unit.read(IOTLB) >> 57 & 3, 0, "refused");
});
rule!("6.5.1.2", draining_is_done_when_the_invalidation_is, {
    // Requests are whole before the next begins: there is never one to wait for.
    page(By::Iotlb(1 << 60 | 3 << 48, 0), false);
});
rule!("10.4.8.1", iotlb_command_tells_the_granularity_it_used, {
    let mut unit = Unit::by_register();
    for granularity in 1..=3 {
        unit.write(IOTLB, 1 << 63 | granularity << 60 | D << 32);
        assert_eq!(unit.read(IOTLB) >> 57 & 3, granularity);
    }
});
rule!("10.4.8.1", iotlb_command_is_refused_while_the_queue_is_on, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.write(IOTLB, 1 << 63 | 1 << 60);
    assert_eq!((unit.read(IOTLB) >> 57 & 3, unit.vtd.iotlb_entries().count()), (0, 1));
});

rule!("6.5.2.1", queued_global_invalidates_all_contexts, context(By::Queue(CONTEXT_GLOBAL), false));
rule!("6.5.2.1", queued_domain_invalidates_its_contexts, context(By::Queue(context_domain(DOMAIN)), false));
rule!("6.5.2.1", queued_domain_leaves_other_domains_contexts, context(By::Queue(context_domain(2)), true));
rule!("6.5.2.1", queued_device_invalidates_its_context, {
    context(By::Queue(context_device(DOMAIN, NIC, 0)), false);
});
rule!("6.5.2.1", queued_device_leaves_other_devices, {
    context(By::Queue(context_device(DOMAIN, Bdf(NIC.0 ^ 8), 0)), true);
});
rule!("6.5.2.1", queued_device_leaves_other_functions, {
    context(By::Queue(context_device(DOMAIN, function(4), 0)), true);
});
rule!("6.5.2.1", queued_device_is_also_of_a_domain, context(By::Queue(context_device(2, NIC, 0)), true));
rule!("6.5.2.1", queued_function_mask_1_leaves_out_bit_2, {
    context(By::Queue(context_device(DOMAIN, function(4), 1)), false);
    context(By::Queue(context_device(DOMAIN, function(2), 1)), true);
});
rule!("6.5.2.1", queued_function_mask_2_leaves_out_bits_2_and_1, {
    context(By::Queue(context_device(DOMAIN, function(6), 2)), false);
    context(By::Queue(context_device(DOMAIN, function(1), 2)), true);
});
rule!("6.5.2.1", queued_function_mask_3_leaves_out_the_function, {
    context(By::Queue(context_device(DOMAIN, function(7), 3)), false);
    context(By::Queue(context_device(DOMAIN, function(8), 3)), true);
});

rule!("6.5.2.3", queued_global_invalidates_all_translations, page(By::Queue(IOTLB_GLOBAL), false));
rule!("6.5.2.3", queued_domain_invalidates_its_translations, page(By::Queue(iotlb_domain(DOMAIN)), false));
rule!("6.5.2.3", queued_domain_leaves_other_domains_translations, page(By::Queue(iotlb_domain(2)), true));
rule!("6.5.2.3", queued_page_invalidates_its_translation, {
    page(By::Queue(iotlb_pages(DOMAIN, IOVA, 0)), false);
});
rule!("6.5.2.3", queued_page_leaves_other_pages, {
    page(By::Queue(iotlb_pages(DOMAIN, IOVA ^ 0x1000, 0)), true);
});
rule!("6.5.2.3", queued_page_is_also_of_a_domain, page(By::Queue(iotlb_pages(2, IOVA, 0)), true));
rule!("6.5.2.3", queued_hint_still_invalidates_the_leaf, {
    page(By::Queue(iotlb_pages(DOMAIN, IOVA | 1 << 6, 0)), false);
});
rule!("6.5.2.3", queued_mask_covers_two_to_its_power, {
    for mask in 0..=18 {
        let far = IOVA ^ 0x800 << mask & !0xfff;
        page(By::Queue(iotlb_pages(DOMAIN, far, mask)), false);
        page(By::Queue(iotlb_pages(DOMAIN, IOVA ^ 0x1000 << mask, mask)), true);
    }
});
rule!("6.5.2.3", queued_address_bits_below_the_mask_do_not_matter, {
    page(By::Queue(iotlb_pages(DOMAIN, IOVA ^ 0xf_f000, 8)), false);
});
rule!("6.5.2.3", queued_drain_bits_are_taken, {
    let [low, high] = iotlb_pages(DOMAIN, IOVA, 0);
    page(By::Queue([low | 3 << 6, high]), false);
});
rule!("6.5.2.3", any_page_of_a_large_one_invalidates_it, {
    for offset in [0, 0x1000, 0x1f_f000] {
        let mut unit = Unit::translating();
        let first = IOVA & !0x1f_ffff;
        unit.map_large(first, 0x40_0000, 1);
        assert_eq!(unit.get(first), Ok(0x40_0000));
        unit.map_large(first, 0x60_0000, 1);
        unit.submit(&[iotlb_pages(DOMAIN, first + offset, 0)]);
        assert_eq!(unit.get(first), Ok(0x60_0000), "{offset:#x}");
    }
});
rule!("6.5.2.3", no_page_beside_a_large_one_invalidates_it, {
    let mut unit = Unit::translating();
    let first = IOVA & !0x1f_ffff;
    unit.map_large(first, 0x40_0000, 1);
    assert_eq!(unit.get(first), Ok(0x40_0000));
    unit.map_large(first, 0x60_0000, 1);
    let sides = [first - 0x1000, first + 0x20_0000].map(|at| iotlb_pages(DOMAIN, at, 0));
    unit.submit(&sides);
    assert_eq!(unit.get(first), Ok(0x40_0000));
});
rule!("6.5.2.3", a_domain_loses_all_its_pages_at_once, {
    let mut unit = Unit::translating();
    for page in 0..32 {
        unit.map(IOVA + (page << 12), FRAME, Rights::Rw);
        unit.get(IOVA + (page << 12)).unwrap();
    }
    assert!(unit.vtd.iotlb_entries().count() > 16);
    unit.submit(&[iotlb_domain(DOMAIN)]);
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});
