//! Staleness: what was cached serves on until the right invalidation comes, by register or by queue.

use super::*;
use crate::spec::fault::*;

const PAGE: u64 = 0x20_0000;

/// How each invalidation is asked for.
#[derive(Clone, Copy, Debug)]
enum By {
    /// CCMD or IOTLB, with IVA.
    Register { offset: u64, value: u64, iva: u64 },
    /// A descriptor.
    Queue([u64; 2]),
}

fn config(by: By) -> IommuConfig {
    let queued = matches!(by, By::Queue(_));
    IommuConfig {
        queued_invalidation: queued,
        interrupt_remapping: queued,
        eim: queued,
        ..Default::default()
    }
}

fn ask(rig: &mut Rig, by: By) {
    match by {
        By::Register { offset, value, iva } => {
            rig.write(IVA, iva);
            rig.write(offset, value | 1 << 63);
            assert_eq!(rig.read(offset) >> 63, 0, "done at once");
        }
        By::Queue(descriptor) => {
            rig.submit(&[descriptor]);
            assert_eq!(rig.read(IQH), rig.read(IQT));
        }
    }
}

/// A translation of page `PAGE` in domain 1, moved from 0x5000 to 0x6000 behind the unit's back.
fn check_iotlb(by: By, drops: bool) {
    let (mut rig, domain) = Rig::with_nic(config(by), 4);
    rig.map(&domain, PAGE, 0x5000, Rights::Rw);
    assert_eq!(rig.get(PAGE), Ok(0x5000));
    rig.map(&domain, PAGE, 0x6000, Rights::Rw);
    assert_eq!(rig.get(PAGE), Ok(0x5000), "stale");
    rig.records();
    ask(&mut rig, by);
    let expected = u32::from(drops);
    assert!(
        rig.events()
            .iter()
            .any(|event| matches!(event, TraceEvent::Invalidate { dropped, .. } if *dropped == expected)),
        "{by:?}"
    );
    assert_eq!(rig.get(PAGE), Ok(if drops { 0x6000 } else { 0x5000 }), "{by:?}");
}

/// A context entry of [`NIC`], in domain 1, changed for one of domain 2.
fn check_context(by: By, drops: bool) {
    let (mut rig, domain) = Rig::with_nic(config(by), 4);
    rig.map(&domain, PAGE, 0x5000, Rights::Rw);
    assert_eq!(rig.get(PAGE), Ok(0x5000));
    let other = rig.domain(2, 3);
    rig.map(&other, PAGE, 0x6000, Rights::Rw);
    rig.attach(NIC, &other);
    assert_eq!(rig.get(PAGE), Ok(0x5000), "stale");
    ask(&mut rig, by);
    assert_eq!(rig.get(PAGE), Ok(if drops { 0x6000 } else { 0x5000 }), "{by:?}");
}

#[test]
fn a_translation_is_stale_until_its_iotlb_entry_is_invalidated() {
    let register = |granularity: u64, domain: u64, iva| By::Register {
        offset: IOTLB,
        value: granularity << 60 | domain << 32,
        iva,
    };
    let queue =
        |granularity: u64, domain: u64, address| By::Queue([granularity << 4 | domain << 16 | 2, address]);
    for (by, drops) in [
        (register(1, 0, 0), true),
        (register(2, 1, 0), true),
        (register(2, 2, 0), false),
        (register(3, 1, PAGE), true),
        (register(3, 2, PAGE), false),
        (register(3, 1, PAGE + 0x1000), false),
        (register(3, 1, (PAGE + 0x7000) | 3), true),
        (register(3, 1, (PAGE + 0x8000) | 3), false),
        (queue(1, 0, 0), true),
        (queue(2, 1, 0), true),
        (queue(2, 2, 0), false),
        (queue(3, 1, PAGE), true),
        (queue(3, 1, PAGE | 1 << 6), true),
        (queue(3, 2, PAGE), false),
        (queue(3, 1, PAGE + 0x1000), false),
        // Linux names ranges by addresses that are not multiples of them.
        (queue(3, 1, (PAGE + 0xbb000) | 10), true),
        (queue(3, 1, (PAGE - 0x1000) | 9), false),
        (queue(3, 1, (PAGE - 0x1000) | 18), true),
    ] {
        check_iotlb(by, drops);
    }
}

#[test]
fn a_context_is_stale_until_its_cache_entry_is_invalidated() {
    let sid = u64::from(NIC.0);
    let register = |granularity: u64, fm: u64, sid: u64, domain: u64| By::Register {
        offset: CCMD,
        value: granularity << 61 | fm << 32 | sid << 16 | domain,
        iva: 0,
    };
    let queue = |granularity: u64, fm: u64, sid: u64, domain: u64| {
        By::Queue([fm << 48 | sid << 32 | domain << 16 | granularity << 4 | 1, 0])
    };
    for make in [&register as &dyn Fn(u64, u64, u64, u64) -> By, &queue] {
        for (by, drops) in [
            (make(1, 0, 0, 0), true),
            (make(2, 0, 0, 1), true),
            (make(2, 0, 0, 2), false),
            (make(3, 0, sid, 1), true),
            (make(3, 0, sid, 2), false),
            (make(3, 0, sid | 4, 1), false),
            (make(3, 1, sid | 4, 1), true),
            (make(3, 1, sid | 2, 1), false),
            (make(3, 2, sid | 6, 1), true),
            (make(3, 2, sid | 1, 1), false),
            (make(3, 3, sid | 7, 1), true),
            (make(3, 3, sid | 8 << 3, 1), false),
        ] {
            check_context(by, drops);
        }
    }
}

#[test]
fn any_page_of_a_superpage_invalidates_it() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map_large(&domain, PAGE, 0x40_0000, 1, Rights::Rw);
    assert_eq!(rig.get(PAGE + 0x1_2345), Ok(0x41_2345));
    rig.map_large(&domain, PAGE, 0x60_0000, 1, Rights::Rw);
    rig.submit(&[[3 << 4 | 1 << 16 | 2, PAGE + 0x20_0000]]);
    assert_eq!(rig.get(PAGE), Ok(0x40_0000));
    rig.submit(&[[3 << 4 | 1 << 16 | 2, PAGE + 0x1f_f000]]);
    assert_eq!(rig.get(PAGE), Ok(0x60_0000));
}

#[test]
fn registers_tell_the_actual_granularity_and_refuse_while_the_queue_is_on() {
    let config = IommuConfig { interrupt_remapping: false, eim: false, ..Default::default() };
    let (mut rig, _) = Rig::with_nic(config, 4);
    let before = rig.vtd.stats().invalidations;
    rig.write(CCMD, 1 << 63 | 1 << 61);
    rig.write(IOTLB, 1 << 63 | 2 << 60 | 1 << 32);
    assert_eq!((rig.read(CCMD) >> 59 & 3, rig.read(IOTLB) >> 57 & 3), (0, 0));
    assert_eq!(rig.vtd.stats().invalidations, before);
    rig.write(GCMD, u64::from(TE));
    for granularity in 0..4 {
        rig.write(CCMD, 1 << 63 | granularity << 61);
        rig.write(IOTLB, 1 << 63 | granularity << 60 | 1 << 32);
        assert_eq!((rig.read(CCMD) >> 59 & 3, rig.read(IOTLB) >> 57 & 3), (granularity, granularity));
    }
    // An address mask beyond CAP.MAMV.
    rig.write(IVA, 19);
    rig.write(IOTLB, 1 << 63 | 3 << 60 | 1 << 32);
    assert_eq!(rig.read(IOTLB) >> 57 & 3, 0);
}

#[test]
fn half_a_command_register_starts_nothing_until_its_upper_half_is_written() {
    let config = IommuConfig {
        queued_invalidation: false,
        interrupt_remapping: false,
        eim: false,
        ..Default::default()
    };
    let (mut rig, _) = Rig::with_nic(config, 4);
    let write = |rig: &mut Rig, offset, value| {
        rig.vtd.write(&mut rig.fabric.env(), &mut rig.mem, offset, Width::B4, value).unwrap();
        settle(&mut rig.vtd, &mut rig.fabric, &mut rig.mem);
        rig.vtd.stats().invalidations
    };
    assert_eq!(write(&mut rig, CCMD, 0x18_0001), 0);
    assert_eq!(write(&mut rig, CCMD + 4, 1 << 31 | 3 << 29), 1);
    assert_eq!(write(&mut rig, IOTLB, 0), 1);
    assert_eq!(write(&mut rig, IOTLB + 4, 1 << 31 | 2 << 28 | 1), 2);
}

#[test]
fn new_tables_are_not_looked_at_while_old_entries_serve() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, PAGE, 0x5000, Rights::R);
    assert_eq!(rig.get(PAGE), Ok(0x5000));
    rig.unmap(&domain, PAGE);
    let fresh = VtdTables::new(&mut rig.mem, Gpa(0x80_0000)).unwrap();
    rig.write(RTADDR, fresh.root().0);
    rig.write(GCMD, u64::from(TE | QIE | SRTP));
    assert_eq!(rig.get(PAGE), Ok(0x5000), "a new root invalidates nothing");
    rig.write(GCMD, u64::from(QIE));
    rig.write(GCMD, u64::from(TE | QIE));
    assert_eq!(rig.get(PAGE), Ok(0x5000), "nor does switching off and on");
    assert_eq!(rig.put(PAGE), Err(WRITE), "nor are rights looked up again");
    rig.submit(&[[0x11, 0]]);
    assert_eq!(rig.get(PAGE), Err(ROOT_NOT_PRESENT));
}

#[test]
fn only_caching_mode_remembers_what_was_not_there() {
    for caching_mode in [false, true] {
        let config = IommuConfig { caching_mode, ..Default::default() };
        let (mut rig, domain) = Rig::with_nic(config, 4);
        assert_eq!((rig.get(PAGE), rig.put(PAGE)), (Err(READ), Err(WRITE)));
        rig.map(&domain, PAGE, 0x5000, Rights::Rw);
        assert_eq!(rig.get(PAGE), if caching_mode { Err(READ) } else { Ok(0x5000) });
        rig.submit(&[[3 << 4 | 1 << 16 | 2, PAGE]]);
        assert_eq!(rig.get(PAGE), Ok(0x5000));

        assert_eq!(rig.dma(OTHER, PAGE, true), Err(ROOT_NOT_PRESENT));
        rig.attach(OTHER, &domain);
        let expected = if caching_mode { Err(ROOT_NOT_PRESENT) } else { Ok(0x5000) };
        assert_eq!(rig.dma(OTHER, PAGE, true), expected);
        // What is not there is known as domain 0.
        rig.submit(&[[u64::from(OTHER.0) << 32 | 0x31, 0]]);
        assert_eq!(rig.dma(OTHER, PAGE, true), Ok(0x5000));
    }
}

#[test]
fn a_faulty_context_is_of_domain_0_whatever_it_says() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig { caching_mode: true, ..Default::default() }, 4);
    rig.map(&domain, PAGE, 0x5000, Rights::Rw);
    let [low, high] = domain.context();
    // Not present, its faults not to be recorded.
    rig.tables.context(&mut rig.mem, NIC, [low & !1 | 2, high]).unwrap();
    assert_eq!(rig.get(PAGE), Err(CONTEXT_NOT_PRESENT));
    rig.attach(NIC, &domain);
    for (invalidated, expected) in [(1, Err(CONTEXT_NOT_PRESENT)), (0, Ok(0x5000))] {
        rig.submit(&[[u64::from(NIC.0) << 32 | invalidated << 16 | 0x31, 0]]);
        assert_eq!(rig.get(PAGE), expected);
    }
}

#[test]
fn a_refused_write_is_not_remembered_against_reads() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig { caching_mode: true, ..Default::default() }, 4);
    rig.map(&domain, PAGE, 0x5000, Rights::R);
    assert_eq!([rig.put(PAGE), rig.get(PAGE), rig.put(PAGE)], [Err(WRITE), Ok(0x5000), Err(WRITE)]);
}
