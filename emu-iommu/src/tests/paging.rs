//! The paging-structure caches: how far they shorten a walk, who makes room, and what each invalidation leaves in them.

use super::*;
use crate::{PagingCacheConfig, Policy};
use emu_core::VirtDuration;

const PAGE: u64 = 0x40_0020_3000 & ((1 << 38) - 1);

fn with_caches(pml4: u16, pdpt: u16, pd: u16) -> IommuConfig {
    let paging_caches = PagingCacheConfig { pml5: 0, pml4, pdpt, pd, policy: Policy::Lru };
    IommuConfig { paging_caches, ..IommuConfig::default() }
}

/// Entries that a request for `iova` reads.
fn reads(rig: &mut Rig, iova: u64) -> u64 {
    let before = rig.vtd.stats().walk_reads;
    rig.get(iova).unwrap();
    rig.vtd.stats().walk_reads - before
}

/// Maps `PAGE` and neighbours in each distance: the same table, directory, pointer table, none.
fn mapped(config: IommuConfig) -> (Rig, Domain, [u64; 4]) {
    let (mut rig, domain) = Rig::with_nic(config, 4);
    let pages = [PAGE + 0x1000, PAGE + (1 << 21), PAGE + (1 << 30), PAGE + (1 << 39)];
    for (index, page) in [PAGE].into_iter().chain(pages).enumerate() {
        rig.map(&domain, page, 0x5000 + 0x1000 * index as u64, Rights::Rw);
    }
    (rig, domain, pages)
}

#[test]
fn a_walk_begins_at_the_lowest_table_that_is_known() {
    for (config, expected) in [
        (with_caches(0, 0, 0), [4, 4, 4, 4]),
        (with_caches(4, 0, 0), [3, 3, 3, 4]),
        (with_caches(4, 4, 0), [2, 2, 3, 4]),
        (with_caches(0, 0, 4), [1, 4, 4, 4]),
        (with_caches(4, 4, 4), [1, 2, 3, 4]),
    ] {
        let (mut rig, _, pages) = mapped(config.clone());
        assert_eq!(reads(&mut rig, PAGE), 6, "root, context, four levels");
        assert_eq!(pages.map(|page| reads(&mut rig, page)), expected, "{config:?}");
        let stats = rig.vtd.stats();
        let short = expected.iter().filter(|reads| **reads < 4).count() as u64;
        let lookups = if rig.vtd.state().paging.exist() { 5 } else { 0 };
        assert_eq!((stats.paging_hits, stats.paging_misses), (short, lookups - short));
        assert_eq!(rig.vtd.paging_entries().count() == 0, lookups == 0);
    }
}

#[test]
fn three_levels_do_not_use_what_four_have_cached() {
    let (mut rig, four) = Rig::with_nic(with_caches(4, 4, 4), 4);
    rig.map(&four, PAGE, 0x5000, Rights::Rw);
    let three = rig.domain(1, 3);
    rig.attach(OTHER, &three);
    rig.map(&three, PAGE + 0x1000, 0x6000, Rights::Rw);
    assert_eq!(rig.get(PAGE), Ok(0x5000));
    rig.submit(&[[0x12, 0]]);
    assert_eq!(rig.dma(OTHER, PAGE + 0x1000, false), Ok(0x6000));
    assert!(rig.vtd.paging_entries().all(|(level, _)| level < 3), "no PML4 entry in a table of 39 bits");
}

#[test]
fn hits_cost_less_and_are_told() {
    let (mut rig, ..) = mapped(with_caches(4, 4, 4));
    rig.get(PAGE).unwrap();
    rig.records();
    let mut env = rig.fabric.env();
    let found = rig.vtd.translate(&mut env, &mut rig.mem, NIC, Iova(PAGE + 0x1000), false).unwrap();
    assert_eq!(found.latency, VirtDuration::from_ns(5 + 5 + 2 + 80));
    let events = rig.events();
    let TraceEvent::PagingHit { domain: 1, iova, level: 1, .. } = events[2] else { panic!("{events:?}") };
    assert_eq!(iova, Iova(PAGE & !0x1f_ffff));
    assert!(matches!(events[3], TraceEvent::WalkStep { level: 0, .. }));
    assert!(matches!(events[4], TraceEvent::IotlbInsert { .. }), "nothing new was learned but the page");
}

#[test]
fn a_full_cache_makes_room() {
    let (mut rig, _, pages) = mapped(with_caches(0, 0, 2));
    for page in [PAGE, pages[1], pages[2]] {
        rig.get(page).unwrap();
    }
    assert_eq!(rig.vtd.stats().paging_evictions, 1);
    let evicted = TraceEvent::PagingEvict { domain: 1, iova: Iova(PAGE & !0x1f_ffff), level: 1, way: 0 };
    assert!(rig.events().contains(&evicted));
    let kept: Vec<_> = rig.vtd.paging_entries().map(|(_, cached)| cached.entry.iova.0).collect();
    assert_eq!(kept, [pages[2] & !0x1f_ffff, pages[1] & !0x1f_ffff]);
}

#[test]
fn rights_that_the_entries_above_refuse_stay_refused() {
    let (mut rig, domain, _) = mapped(with_caches(0, 0, 4));
    let directory = rig.tables.entry_gpa(&mut rig.mem, &domain, Iova(PAGE), 1).unwrap();
    let entry = rig.mem.read_u64(directory).unwrap();
    rig.mem.write_u64(directory, entry & !2).unwrap();
    rig.get(PAGE).unwrap();
    assert_eq!(rig.put(PAGE + 0x1000), Err(5));
    // The entry allows writing again, but the cache has it as it was.
    rig.mem.write_u64(directory, entry).unwrap();
    assert_eq!(rig.put(PAGE + 0x1000), Err(5));
    rig.submit(&[[0x1_0022, 0]]);
    assert_eq!(rig.put(PAGE + 0x1000), Ok(0x6000));
}

/// A table of 4 KiB pages is exchanged for another behind the unit's back, then `descriptor` is given.
fn check_stale(descriptor: [u64; 2], stale: bool) {
    let (mut rig, domain, _) = mapped(with_caches(4, 4, 4));
    rig.get(PAGE).unwrap();
    let directory = rig.tables.entry_gpa(&mut rig.mem, &domain, Iova(PAGE), 1).unwrap();
    let table = rig.tables.page(&mut rig.mem).unwrap();
    rig.mem.write_u64(directory, table.0 | 3).unwrap();
    rig.map(&domain, PAGE + 0x1000, 0x9000, Rights::Rw);
    rig.submit(&[descriptor]);
    let expected = if stale { 0x6000 } else { 0x9000 };
    assert_eq!(rig.get(PAGE + 0x1000), Ok(expected), "{descriptor:x?}");
}

#[test]
fn a_table_that_was_freed_answers_until_its_entry_is_invalidated() {
    const IH: u64 = 1 << 6;
    for (descriptor, stale) in [
        ([0x12, 0], false),
        ([0x1_0022, 0], false),
        ([0x2_0022, 0], true),
        ([0x1_0032, PAGE], false),
        // Any page below the entry names it, but not with the hint that only leaves have changed.
        ([0x1_0032, PAGE & !0x1f_ffff], false),
        ([0x1_0032, PAGE | IH], true),
        ([0x1_0032, PAGE | IH | 18], true),
        ([0x2_0032, PAGE], true),
        ([0x1_0032, PAGE + (1 << 21)], true),
        ([0x1_0032, (PAGE + (1 << 21)) | 10], true),
        ([0x1_0032, (PAGE + (1 << 21)) | 11], false),
        // The context cache is another matter.
        ([0x11, 0], true),
    ] {
        check_stale(descriptor, stale);
    }
}

#[test]
fn invalidations_of_translations_are_told_for_both_kinds_of_cache() {
    let (mut rig, ..) = mapped(with_caches(4, 4, 4));
    rig.get(PAGE).unwrap();
    rig.records();
    rig.submit(&[[0x1_0032, PAGE]]);
    let dropped: Vec<_> = rig
        .events()
        .into_iter()
        .filter_map(|event| match event {
            TraceEvent::Invalidate { cache, dropped, .. } => Some((cache, dropped)),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, [(IommuCache::Iotlb, 1), (IommuCache::PagingStructure, 3)]);
}

#[test]
fn what_is_cached_is_explained() {
    let (mut rig, domain, _) = mapped(with_caches(0, 0, 4));
    rig.get(PAGE).unwrap();
    let directory = rig.tables.entry_gpa(&mut rig.mem, &domain, Iova(PAGE), 1).unwrap();
    let entry = rig.mem.read_u64(directory).unwrap();
    rig.mem.write_u64(directory, entry + 0x8000).unwrap();
    let lines: Vec<_> =
        rig.vtd.walk_explain(&rig.mem, NIC, Iova(PAGE)).into_iter().map(|line| line.text).collect();
    let wanted = format!("PDE cache: stale, read write, to {}", Gpa(entry & !0xfff));
    assert!(lines.contains(&wanted), "{lines:#?}");
}

#[test]
fn context_and_interrupt_entries_make_room_by_their_own_policy() {
    let config = |policy| IommuConfig {
        context_cache: crate::CacheConfig { sets: 1, ways: 2, policy },
        ..IommuConfig::default()
    };
    for (policy, survivors) in [(Policy::Lru, [3, 1]), (Policy::Fifo, [3, 2])] {
        let (mut rig, domain) = Rig::with_nic(config(policy), 4);
        rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
        for function in [1, 2, 1, 3] {
            let bdf = Bdf::new(0, 4, function);
            rig.attach(bdf, &domain);
            rig.dma(bdf, 0x1000, false).unwrap();
        }
        let mut kept: Vec<_> =
            rig.vtd.context_entries().map(|cached| cached.entry.source.0 as u8 & 7).collect();
        kept.sort_unstable();
        let mut survivors = survivors;
        survivors.sort_unstable();
        assert_eq!(kept, survivors, "{policy:?}");
        assert_eq!(rig.vtd.stats().context_evictions, 1);
        assert!(rig.events().iter().any(|event| matches!(event, TraceEvent::ContextEvict { .. })));
    }
}

#[test]
fn a_cache_of_no_sense_is_refused() {
    let refused =
        |paging_caches| Vtd::new(IommuConfig { paging_caches, ..IommuConfig::default() }).unwrap_err();
    let none = PagingCacheConfig::default();
    assert!(matches!(
        refused(PagingCacheConfig { pd: 65, ..none }),
        crate::ConfigError::Cache { cache: "paging_caches", ways: 65, .. }
    ));
    assert_eq!(
        refused(PagingCacheConfig { pdpt: 3, policy: Policy::PseudoLru, ..none }),
        crate::ConfigError::PseudoLru { cache: "paging_caches", ways: 3 }
    );
}
