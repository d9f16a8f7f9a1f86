//! Who makes room, policy by policy.

use super::*;
use crate::cache::Cache;
use crate::{Geometry, IotlbConfig, Policy};

/// Fills and touches one set of 4 ways; digits below 10 insert that entry, tens look up entry n - 10. Answers the
/// entries evicted, in order.
fn evicted(policy: Policy, steps: &[u8]) -> Vec<u8> {
    let mut cache = Cache::new(Geometry { sets: 1, ways: 4, policy });
    let mut gone = Vec::new();
    for step in steps {
        if *step >= 10 {
            assert_eq!(cache.find(0, |entry| *entry == step - 10), Some(step - 10));
        } else {
            gone.extend(cache.insert(0, *step, |entry| entry == step).evicted);
        }
    }
    assert!(cache.is_valid(Geometry { sets: 1, ways: 4, policy }, |_, _| true));
    gone
}

#[test]
fn each_policy_has_its_own_idea_of_who_goes() {
    let fill = [0, 1, 2, 3];
    let after = |policy, more: &[u8]| evicted(policy, &[&fill, more].concat());
    assert_eq!(after(Policy::Lru, &[10, 4, 5]), [1, 2]);
    assert_eq!(after(Policy::Lru, &[12, 11, 10, 4]), [3]);
    assert_eq!(after(Policy::Fifo, &[10, 4, 5]), [0, 1]);
    // The tree: 3 came last, so it points to the lower half, and there to 0; a look at 0 turns both away from it.
    assert_eq!(after(Policy::PseudoLru, &[4]), [0]);
    assert_eq!(after(Policy::PseudoLru, &[10, 4]), [2]);
    assert_eq!(after(Policy::PseudoLru, &[10, 12, 4]), [1]);
}

#[test]
fn an_entry_that_is_there_is_replaced_in_its_place() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::PseudoLru, Policy::Random(1)] {
        assert_eq!(evicted(policy, &[0, 1, 2, 3, 3, 2, 1, 0]), [0u8; 0], "{policy:?}");
    }
}

#[test]
fn random_replacement_is_the_same_in_every_run_and_spares_nobody() {
    let run = |seed| {
        let steps: Vec<u8> = (0..10).cycle().take(400).collect();
        evicted(Policy::Random(seed), &steps)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let gone = run(0);
    assert!((0..10).all(|entry| gone.contains(&entry)), "{gone:?}");
}

#[test]
fn pages_share_a_set_and_evict_each_other() {
    let iotlb = IotlbConfig { sets: 4, ways: 2, policy: Policy::Lru };
    let (mut rig, domain) = Rig::with_nic(IommuConfig { iotlb, ..Default::default() }, 4);
    for page in 0..16 {
        rig.map(&domain, page << 12, (page + 16) << 12, Rights::Rw);
    }
    for page in [0, 4, 1] {
        rig.get(page << 12).unwrap();
    }
    rig.get(0).unwrap();
    assert_eq!(rig.vtd.stats().iotlb_evictions, 0);
    rig.records();
    rig.get(8 << 12).unwrap();
    assert_eq!(rig.vtd.stats().iotlb_evictions, 1);
    // Domain 1 turns set 0 into set 1.
    let wanted = TraceEvent::IotlbEvict { domain: 1, iova: Iova(4 << 12), set: 1, way: 1 };
    assert!(rig.events().contains(&wanted));
    let cached: Vec<_> = rig
        .vtd
        .iotlb_entries()
        .map(|cached| (cached.set, cached.way, cached.age, cached.entry.iova.0 >> 12))
        .collect();
    assert_eq!(cached, [(0, 0, 2, 1), (1, 0, 1, 0), (1, 1, 0, 8)]);
    assert_eq!(rig.vtd.context_entries().count(), 1);
}

#[test]
fn domains_do_not_share_translations_but_devices_of_a_domain_do() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.attach(OTHER, &domain);
    let third = Bdf::new(2, 0, 2);
    let apart = rig.domain(2, 4);
    rig.attach(third, &apart);
    rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
    rig.map(&apart, 0x1000, 0x6000, Rights::Rw);
    let found = [NIC, OTHER, third].map(|bdf| rig.dma(bdf, 0x1000, true));
    assert_eq!(found, [Ok(0x5000), Ok(0x5000), Ok(0x6000)]);
    assert_eq!((rig.vtd.stats().iotlb_hits, rig.vtd.stats().iotlb_misses), (1, 2));
}
