//! Walks of every shape, and each way they end in a fault.

use super::*;
use crate::spec::fault::*;

/// A way to spoil a working mapping, and what then comes of a read and of a write.
struct Case {
    name: &'static str,
    config: fn(&mut IommuConfig),
    spoil: fn(&mut Rig, &Domain),
    read: Result<u64, u8>,
    write: Result<u64, u8>,
}

const IOVA: u64 = 0x12_3000;

/// The common beginning: [`IOVA`] leads to 0x5000, readable and writable, by 4 levels.
fn check(case: &Case) {
    for (write, expected) in [(false, case.read), (true, case.write)] {
        let mut config = IommuConfig::default();
        (case.config)(&mut config);
        let levels = if config.address_bits == 39 { 3 } else { 4 };
        let (mut rig, domain) = Rig::with_nic(config, levels);
        rig.map(&domain, IOVA, 0x5000, Rights::Rw);
        (case.spoil)(&mut rig, &domain);
        assert_eq!(rig.dma(NIC, IOVA + 0x123, write), expected.map(|gpa| gpa + 0x123), "{}", case.name);
        let recorded = rig.take_faults();
        let faults: Vec<_> = expected.err().map(|reason| (NIC, reason)).into_iter().collect();
        assert_eq!(recorded, faults, "{}", case.name);
    }
}

fn context(rig: &mut Rig, change: impl FnOnce(&mut [u64; 2])) {
    let gpa = rig.tables.context_gpa(&mut rig.mem, NIC).unwrap();
    let mut entry = [rig.mem.read_u64(gpa).unwrap(), rig.mem.read_u64(gpa.plus(8)).unwrap()];
    change(&mut entry);
    rig.tables.context(&mut rig.mem, NIC, entry).unwrap();
}

fn root(rig: &mut Rig, half: u64, change: impl FnOnce(u64) -> u64) {
    let gpa = rig.tables.root().plus(half * 8);
    let entry = rig.mem.read_u64(gpa).unwrap();
    rig.mem.write_u64(gpa, change(entry)).unwrap();
}

fn paging(rig: &mut Rig, domain: &Domain, level: u8, change: impl FnOnce(u64) -> u64) {
    let gpa = rig.tables.entry_gpa(&mut rig.mem, domain, Iova(IOVA), level).unwrap();
    let entry = rig.mem.read_u64(gpa).unwrap();
    rig.mem.write_u64(gpa, change(entry)).unwrap();
}

const fn case(
    name: &'static str,
    spoil: fn(&mut Rig, &Domain),
    read: Result<u64, u8>,
    write: Result<u64, u8>,
) -> Case {
    Case { name, config: |_| {}, spoil, read, write }
}

const fn fails(name: &'static str, spoil: fn(&mut Rig, &Domain), reason: u8) -> Case {
    case(name, spoil, Err(reason), Err(reason))
}

#[test]
fn requests_end_with_the_reason_of_the_entry_that_refuses_them() {
    let cases = [
        case("untouched", |_, _| {}, Ok(0x5000), Ok(0x5000)),
        fails("root not present", |rig, _| root(rig, 0, |entry| entry & !1), ROOT_NOT_PRESENT),
        fails("root not present is all that counts", |rig, _| root(rig, 0, |_| 0xffe), ROOT_NOT_PRESENT),
        fails("root reserved, low", |rig, _| root(rig, 0, |entry| entry | 2), ROOT_RESERVED),
        fails("root reserved, wide", |rig, _| root(rig, 0, |entry| entry | 1 << 48), ROOT_RESERVED),
        fails("root reserved, high", |rig, _| root(rig, 1, |_| 1), ROOT_RESERVED),
        fails("context table nowhere", |rig, _| root(rig, 0, |_| NOWHERE | 1), CONTEXT_FETCH),
        fails("context not present", |rig, _| context(rig, |c| c[0] &= !1), CONTEXT_NOT_PRESENT),
        fails("context reserved, low", |rig, _| context(rig, |c| c[0] |= 1 << 4), CONTEXT_RESERVED),
        fails("context reserved, wide", |rig, _| context(rig, |c| c[0] |= 1 << 48), CONTEXT_RESERVED),
        fails("context reserved, bit 71", |rig, _| context(rig, |c| c[1] |= 1 << 7), CONTEXT_RESERVED),
        fails("context reserved, high", |rig, _| context(rig, |c| c[1] |= 1 << 24), CONTEXT_RESERVED),
        case("software's bits", |rig, _| context(rig, |c| c[1] |= 0xf << 3), Ok(0x5000), Ok(0x5000)),
        fails("translation type 1", |rig, _| context(rig, |c| c[0] |= 1 << 2), CONTEXT_INVALID),
        fails("translation type 3", |rig, _| context(rig, |c| c[0] |= 3 << 2), CONTEXT_INVALID),
        fails("30-bit tables", |rig, _| context(rig, |c| c[1] &= !7), CONTEXT_INVALID),
        fails("57-bit tables", |rig, _| context(rig, |c| c[1] = c[1] & !7 | 3), CONTEXT_INVALID),
        fails("tables nowhere", |rig, _| context(rig, |c| c[0] = NOWHERE | 1), PAGING_FETCH),
        fails("reserved, wide", |rig, d| paging(rig, d, 0, |entry| entry | 1 << 48), PAGING_RESERVED),
        fails("reserved, transient", |rig, d| paging(rig, d, 0, |entry| entry | 1 << 62), PAGING_RESERVED),
        fails("reserved, top PS", |rig, d| paging(rig, d, 3, |entry| entry | 1 << 7), PAGING_RESERVED),
        fails("reserved, snoop", |rig, d| paging(rig, d, 1, |entry| entry | 1 << 11), PAGING_RESERVED),
        fails("odd 2 MiB page", |rig, d| paging(rig, d, 1, |_| 0x1000 | 0x83), PAGING_RESERVED),
        fails("odd 1 GiB page", |rig, d| paging(rig, d, 2, |_| 0x20_0000 | 0x83), PAGING_RESERVED),
    ];
    cases.iter().for_each(check);
}

#[test]
fn permissions_are_those_of_all_levels_together() {
    let rights = |level: u8, bits: u64| {
        move |rig: &mut Rig, d: &Domain| {
            paging(rig, d, level, |entry| entry & !3 | bits);
        }
    };
    let cases = [
        (0, 0, Err(READ), Err(WRITE)),
        (0, 1, Ok(0x5000), Err(WRITE)),
        (0, 2, Err(READ), Ok(0x5000)),
        (1, 0, Err(READ), Err(WRITE)),
        (1, 1, Ok(0x5000), Err(WRITE)),
        (2, 2, Err(READ), Ok(0x5000)),
        (3, 1, Ok(0x5000), Err(WRITE)),
        (3, 0, Err(READ), Err(WRITE)),
    ];
    for (level, bits, read, write) in cases {
        for (is_write, expected) in [(false, read), (true, write)] {
            let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
            rig.map(&domain, IOVA, 0x5000, Rights::Rw);
            rights(level, bits)(&mut rig, &domain);
            assert_eq!(rig.dma(NIC, IOVA, is_write), expected, "level {level}, bits {bits}");
        }
    }
    // What the first access leaves in the IOTLB must not say more than the tables do.
    for (level, bits, read, write) in cases {
        let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
        rig.map(&domain, IOVA, 0x5000, Rights::Rw);
        rights(level, bits)(&mut rig, &domain);
        let found = [rig.get(IOVA), rig.put(IOVA), rig.get(IOVA)];
        assert_eq!(found, [read, write, read], "level {level}, bits {bits}");
    }
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, IOVA, 0x5000, Rights::Rw);
    rights(1, 1)(&mut rig, &domain);
    rights(0, 2)(&mut rig, &domain);
    assert_eq!((rig.get(IOVA), rig.put(IOVA)), (Err(READ), Err(WRITE)));
}

#[test]
fn ignored_bits_of_a_paging_entry_are_ignored() {
    // Execute, memory type, accessed, dirty, snoop, software's, bit 63; PS of a 4 KiB page.
    let ignored = 1 << 2 | 0xf << 3 | 1 << 7 | 3 << 8 | 1 << 10 | 1 << 11 | 0x3ff << 52 | 1 << 63;
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, IOVA, 0x5000 | ignored, Rights::Rw);
    assert_eq!(rig.put(IOVA), Ok(0x5000));
}

#[test]
fn capabilities_decide_what_is_reserved() {
    fn narrow(config: &mut IommuConfig) {
        config.address_bits = 39;
    }
    fn no_superpages(config: &mut IommuConfig) {
        config.superpages = false;
    }
    fn no_snoop_control(config: &mut IommuConfig) {
        config.snoop_control = false;
    }
    fn no_pass_through(config: &mut IommuConfig) {
        config.pass_through = false;
    }
    let spoilt = |config, spoil, reason| Case {
        name: "capability",
        config,
        spoil,
        read: Err(reason),
        write: Err(reason),
    };
    let cases = [
        spoilt(narrow, |rig, _| root(rig, 0, |entry| entry | 1 << 39), ROOT_RESERVED),
        spoilt(narrow, |rig, _| context(rig, |c| c[0] |= 1 << 39), CONTEXT_RESERVED),
        spoilt(narrow, |rig, _| context(rig, |c| c[1] = c[1] & !7 | 2), CONTEXT_INVALID),
        spoilt(narrow, |rig, d| paging(rig, d, 0, |entry| entry | 1 << 39), PAGING_RESERVED),
        spoilt(no_superpages, |rig, d| paging(rig, d, 1, |_| 0x20_0083), PAGING_RESERVED),
        spoilt(no_superpages, |rig, d| paging(rig, d, 2, |_| 0x83), PAGING_RESERVED),
        spoilt(no_snoop_control, |rig, d| paging(rig, d, 0, |entry| entry | 1 << 11), PAGING_RESERVED),
        spoilt(no_snoop_control, |rig, d| paging(rig, d, 1, |_| 0x20_0883), PAGING_RESERVED),
        spoilt(no_pass_through, |rig, _| context(rig, |c| c[0] |= 2 << 2), CONTEXT_INVALID),
    ];
    cases.iter().for_each(check);
}

#[test]
fn an_address_beyond_the_tables_or_the_unit_is_refused() {
    for (bits, levels, last) in [(48, 4, 1 << 48), (48, 3, 1 << 39), (39, 3, 1u64 << 39)] {
        let config = IommuConfig { address_bits: bits, ..IommuConfig::default() };
        let (mut rig, domain) = Rig::with_nic(config, levels);
        rig.map(&domain, last - 0x1000, 0x5000, Rights::Rw);
        assert_eq!(rig.get(last - 1), Ok(0x5fff), "{bits} bits, {levels} levels");
        assert_eq!(rig.get(last), Err(ADDRESS_WIDTH), "{bits} bits, {levels} levels");
        assert_eq!(rig.put(u64::MAX), Err(ADDRESS_WIDTH), "{bits} bits, {levels} levels");
    }
}

#[test]
fn tables_in_no_memory_can_not_be_fetched() {
    let mut rig = Rig::started(IommuConfig::default());
    rig.write(RTADDR, NOWHERE);
    rig.write(GCMD, u64::from(TE | SRTP | QIE));
    assert_eq!(rig.get(0), Err(ROOT_FETCH));
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, IOVA, 0x5000, Rights::Rw);
    for level in 1..4 {
        paging(&mut rig, &domain, level, |_| NOWHERE | 3);
        assert_eq!(rig.get(IOVA), Err(PAGING_FETCH));
    }
}

#[test]
fn superpages_reach_to_their_own_end() {
    for (level, size) in [(0, 4096), (1, 2 << 20), (2, 1u64 << 30)] {
        for levels in [3, 4] {
            let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), levels);
            rig.map_large(&domain, size, 2 * size, level, Rights::Rw);
            for offset in [0, 0x123, size - 1] {
                // The first finds it in the tables, the others in the IOTLB.
                let mut env = rig.fabric.env();
                let iova = Iova(size + offset);
                let found = rig.vtd.translate(&mut env, &mut rig.mem, NIC, iova, true).unwrap();
                assert_eq!((found.gpa.0, found.page_len_left), (2 * size + offset, size - offset));
            }
            assert_eq!((rig.vtd.stats().iotlb_misses, rig.vtd.stats().iotlb_hits), (1, 2));
            assert_eq!(rig.get(2 * size), Err(READ));
        }
    }
}

#[test]
fn switched_off_or_passing_through_addresses_are_what_they_are() {
    let mut rig = Rig::new(IommuConfig::default());
    let mut env = rig.fabric.env();
    let found = rig.vtd.translate(&mut env, &mut rig.mem, NIC, Iova(0x1_2345), true).unwrap();
    assert_eq!((found.gpa.0, found.page_len_left), (0x1_2345, 0xcbb));
    assert!(rig.records().is_empty());

    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    let [low, high] = domain.context();
    // What would be the tables' address is ignored.
    rig.tables.context(&mut rig.mem, NIC, [low | 2 << 2 | 0xfff << 52, high]).unwrap();
    assert_eq!(rig.get(0x1_2345), Ok(0x1_2345));
    assert_eq!(rig.get(1 << 48), Err(ADDRESS_WIDTH));
    assert_eq!((rig.vtd.stats().iotlb_misses, rig.vtd.stats().context_hits), (0, 1));
}

#[test]
fn the_interrupt_range_is_never_translated() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, 0xfee0_0000, 0x5000, Rights::Rw);
    assert_eq!(rig.put(0xfee0_0000), Ok(0xfee0_0000));
    assert_eq!(rig.put(0xfeef_fffc), Ok(0xfeef_fffc));
    assert_eq!(rig.put(0xfef0_0000), Err(WRITE));
    assert_eq!(rig.get(0xfee0_0000), Err(INTERRUPT_ADDRESS));
    assert_eq!(rig.take_faults(), [(NIC, WRITE), (NIC, INTERRUPT_ADDRESS)]);
}

#[test]
fn nothing_is_translated_into_the_interrupt_range() {
    // A page's level and place, an offset in it, and whether what is there can be reached.
    let cases = [
        (0, 0xfedf_f000, 0xfff, true),
        (0, 0xfee0_0000, 0, false),
        (0, 0xfeef_f000, 0xfff, false),
        (0, 0xfef0_0000, 0, true),
        (1, 0xfee0_0000, 0xf_ffff, false),
        (1, 0xfee0_0000, 0x10_0000, true),
        (2, 0xc000_0000, 0x3edf_ffff, true),
        (2, 0xc000_0000, 0x3ee0_0000, false),
        (2, 0xc000_0000, 0x3ef0_0000, true),
    ];
    for (level, gpa, offset, reached) in cases {
        let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
        let base = 1 << 39;
        rig.map_large(&domain, base, gpa, level, Rights::Rw);
        let expected = if reached { Ok(gpa + offset) } else { Err(INTERRUPT_ADDRESS) };
        assert_eq!(rig.put(base + offset), expected, "{gpa:#x} + {offset:#x}, walked");
        // A large page that is also somewhere else is then in the IOTLB.
        let elsewhere = if level == 1 { 0x1f_f000 } else { 0 };
        let cached = rig.get(base + elsewhere).is_ok();
        assert_eq!(rig.get(base + offset), expected, "{gpa:#x} + {offset:#x}, cached: {cached}");
        assert_eq!(rig.vtd.iotlb_entries().count(), usize::from(cached));
    }
}

#[test]
fn a_large_page_is_good_up_to_the_interrupt_range() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map_large(&domain, 0x4000_0000, 0xc000_0000, 2, Rights::Rw);
    for (offset, left) in [(0x3edf_fff0, 0x10), (0, 0x3ee0_0000), (0x3ef0_0000, 0x110_0000)] {
        let (mut env, iova) = (rig.fabric.env(), Iova(0x4000_0000 + offset));
        let found = rig.vtd.translate(&mut env, &mut rig.mem, NIC, iova, false).unwrap();
        assert_eq!((found.gpa.0, found.page_len_left), (0xc000_0000 + offset, left));
    }
}

#[test]
fn a_miss_causes_its_walk_and_costs_its_reads() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, IOVA, 0x5000, Rights::Rw);
    rig.records();
    let timing = rig.vtd.config().timing;
    let latency = |rig: &mut Rig| {
        let mut env = rig.fabric.env();
        rig.vtd.translate(&mut env, &mut rig.mem, NIC, Iova(IOVA), true).unwrap().latency.0 / 1000
    };
    assert_eq!(latency(&mut rig), timing.context + timing.hit + 6 * timing.walk_read);
    let records = rig.records();
    let shape: Vec<_> = records
        .iter()
        .map(|record| {
            let cause = record.cause.map(|cause| cause.0 - records[0].id.0);
            match record.event {
                TraceEvent::ContextLookup { hit: false, .. } => (cause, 10),
                TraceEvent::WalkStep { level, .. } => (cause, level),
                TraceEvent::IotlbMiss { domain: 1, .. } => (cause, 11),
                TraceEvent::IotlbInsert { page_shift, .. } => (cause, page_shift),
                _ => panic!("{record:?}"),
            }
        })
        .collect();
    let expected = [
        (None, 10),
        (Some(0), 6),
        (Some(0), 5),
        (None, 11),
        (Some(3), 3),
        (Some(3), 2),
        (Some(3), 1),
        (Some(3), 0),
        (Some(3), 12),
    ];
    assert_eq!(shape, expected);
    assert_eq!(latency(&mut rig), timing.context + timing.hit);
    assert!(matches!(
        rig.events()[..],
        [
            TraceEvent::ContextLookup { hit: true, domain: 1, .. },
            TraceEvent::IotlbHit { gpa: Gpa(0x5000), .. }
        ]
    ));
}
