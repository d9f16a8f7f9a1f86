//! Capabilities that a scenario can switch: what the registers then say, and what the unit then does.

use super::*;
use crate::ConfigError;
use crate::spec::fault::{ADDRESS_WIDTH, CONTEXT_INVALID, CONTEXT_RESERVED};

/// The bits of CAP that `change` of the default unit changes.
fn changed(change: impl Fn(&mut IommuConfig)) -> u64 {
    let mut config = IommuConfig::default();
    change(&mut config);
    Rig::new(IommuConfig::default()).read(CAP) ^ Rig::new(config).read(CAP)
}

#[test]
fn each_switch_changes_its_own_bits() {
    let old_mamv = 18 << 48;
    for (name, bits, difference) in [
        ("ND", changed(|config| config.domain_bits = 4), 6),
        ("ND", changed(|config| config.domain_bits = 8), 6 ^ 2),
        ("RWBF", changed(|config| config.write_buffer_flush = true), 1 << 4),
        ("PLMR", changed(|config| config.protected_low = true), 1 << 5),
        ("PHMR", changed(|config| config.protected_high = true), 1 << 6),
        ("CM", changed(|config| config.caching_mode = true), 1 << 7),
        ("SAGAW, MGAW", changed(|config| config.address_bits = 57), 1 << 11 | (47 ^ 56) << 16),
        ("SAGAW, MGAW", changed(|config| config.address_bits = 39), 1 << 10 | (47 ^ 38) << 16),
        ("SAGAW", changed(|config| config.levels = vec![4]), 1 << 9),
        ("SAGAW", changed(|config| config.levels = vec![5, 4]), 1 << 9 | 1 << 11),
        ("PSI, MAMV", changed(|config| config.page_selective = false), 1 << 39 | old_mamv),
        ("ESRTPS, ESIRTPS", changed(|config| config.implied_invalidation = true), 3 << 62),
        ("SLLPS", changed(|config| config.superpages = false), 3 << 34),
    ] {
        assert_eq!(bits, difference, "{name}");
    }
    let mut rig = Rig::new(IommuConfig { coherent: false, ..IommuConfig::default() });
    assert_eq!(rig.read(ECAP) & 1, 0);
}

#[test]
fn switches_of_no_sense_are_refused() {
    let refused = |change: fn(&mut IommuConfig)| {
        let mut config = IommuConfig::default();
        change(&mut config);
        Vtd::new(config).unwrap_err()
    };
    assert_eq!(refused(|config| config.levels = vec![4, 6]), ConfigError::Levels(6));
    for bits in [0, 3, 5, 15, 18] {
        let config = IommuConfig { domain_bits: bits, ..IommuConfig::default() };
        assert_eq!(Vtd::new(config).unwrap_err(), ConfigError::DomainBits(bits));
    }
}

#[test]
fn only_tables_that_the_unit_says_it_walks_are_walked() {
    let iova = 0x12_3456_7000;
    for (address_bits, levels, walked) in [
        (39, vec![], [true, false, false]),
        (48, vec![], [true, true, false]),
        (57, vec![], [true, true, true]),
        (48, vec![4], [false, true, false]),
        (57, vec![4, 5], [false, true, true]),
        (39, vec![3, 4], [true, true, false]),
    ] {
        for (levels_here, walked) in (3..).zip(walked) {
            let config = IommuConfig { address_bits, levels: levels.clone(), ..IommuConfig::default() };
            let (mut rig, domain) = Rig::with_nic(config, levels_here);
            rig.map(&domain, iova, 0x5000, Rights::Rw);
            let expected = if walked { Ok(0x5000) } else { Err(CONTEXT_INVALID) };
            assert_eq!(rig.get(iova), expected, "{address_bits} bits, {levels:?}, {levels_here} levels");
        }
    }
}

#[test]
fn five_levels_reach_to_57_bits_and_no_further() {
    let iova = (1 << 57) - 0x1000;
    let (mut rig, domain) = Rig::with_nic(IommuConfig { address_bits: 57, ..IommuConfig::default() }, 5);
    rig.map(&domain, iova, 0x5000, Rights::Rw);
    rig.map(&domain, 0x1000, 0x6000, Rights::Rw);
    assert_eq!(rig.get(iova), Ok(0x5000));
    assert_eq!(rig.get(0x1000), Ok(0x6000));
    assert_eq!(rig.get(1 << 57), Err(ADDRESS_WIDTH));
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, NIC, 9).len(), 2);
}

#[test]
fn wide_tables_do_not_reach_beyond_the_units_own_width() {
    let config = IommuConfig { address_bits: 39, levels: vec![4], ..IommuConfig::default() };
    let (mut rig, domain) = Rig::with_nic(config, 4);
    rig.map(&domain, 1 << 39, 0x5000, Rights::Rw);
    rig.map(&domain, (1 << 39) - 0x1000, 0x6000, Rights::Rw);
    assert_eq!(rig.get(1 << 39), Err(ADDRESS_WIDTH));
    assert_eq!(rig.get((1 << 39) - 0x1000), Ok(0x6000));
}

#[test]
fn domain_ids_that_the_unit_has_not_are_reserved() {
    let config = IommuConfig { domain_bits: 8, ..IommuConfig::default() };
    for (domain, expected) in [(0xff, Ok(0x5000)), (0x100, Err(CONTEXT_RESERVED))] {
        let mut rig = Rig::started(config.clone());
        let domain = rig.domain(domain, 4);
        rig.attach(NIC, &domain);
        rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
        assert_eq!(rig.get(0x1000), expected);
    }
}

#[test]
fn without_page_selection_the_whole_domain_is_forgotten() {
    let base = IommuConfig { page_selective: false, ..IommuConfig::default() };
    let by_register =
        IommuConfig { queued_invalidation: false, interrupt_remapping: false, eim: false, ..base.clone() };
    for (config, queued) in [(base, true), (by_register, false)] {
        let (mut rig, domain) = Rig::with_nic(config, 4);
        for page in [0x1000, 0x8000] {
            rig.map(&domain, page, 0x5000, Rights::Rw);
            rig.get(page).unwrap();
        }
        if queued {
            rig.submit(&[[0x1_0032, 0x1000]]);
        } else {
            rig.write(IVA, 0x1000);
            rig.write(IOTLB, 1 << 63 | 3 << 60 | 1 << 32);
            assert_eq!(rig.read(IOTLB) >> 57 & 3, 2, "done by domain");
        }
        assert_eq!(rig.vtd.iotlb_entries().count(), 0);
    }
}

#[test]
fn the_write_buffer_is_flushed_at_once() {
    for write_buffer_flush in [false, true] {
        let mut rig = Rig::started(IommuConfig { write_buffer_flush, ..IommuConfig::default() });
        let before = rig.read(GSTS);
        rig.write(GCMD, before | u64::from(WBF));
        assert_eq!(rig.read(GSTS), before);
    }
}

#[test]
fn taking_tables_over_forgets_what_came_from_the_old_ones_where_that_is_implied() {
    for implied_invalidation in [false, true] {
        let config = IommuConfig { implied_invalidation, ..IommuConfig::default() };
        let (mut rig, domain) = Rig::with_nic(config, 4);
        rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
        rig.get(0x1000).unwrap();
        rig.write(IRTA, 0x20_0000);
        rig.write(GCMD, u64::from(TE | QIE | SIRTP));
        rig.write(GCMD, u64::from(TE | QIE | IRE));
        rig.mem.write_u64(Gpa(0x20_0000), crate::testing::irte(0x30, 1)[0]).unwrap();
        assert!(rig.remap(NIC, crate::testing::remappable(0)).is_some());
        let cached = |rig: &Rig| {
            let vtd = &rig.vtd;
            [vtd.context_entries().count(), vtd.iotlb_entries().count(), vtd.interrupt_entries().count()]
        };
        assert_eq!(cached(&rig), [1; 3]);
        rig.write(GCMD, u64::from(TE | QIE | IRE | SRTP));
        let left = if implied_invalidation { [0, 0, 1] } else { [1; 3] };
        assert_eq!(cached(&rig), left);
        rig.write(GCMD, u64::from(TE | QIE | IRE | SIRTP));
        assert_eq!(cached(&rig)[2], usize::from(!implied_invalidation));
    }
}
