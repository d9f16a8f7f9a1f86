//! What each descriptor names of translations by PASID, and how wide descriptors are queued.

use super::*;
use crate::Space;
use crate::spec::descriptor::QueueError;

const OTHER_PASID: u32 = 9;

/// Translations of every kind: by PASID [`RID`] and [`OTHER_PASID`] in domain 1, nested in domain 2, second-stage in domain 2,
/// a PASID's in domain 3. Answers what is left of them after `descriptor`.
fn left(descriptor: [u64; 2]) -> Vec<(u16, Space)> {
    let mut unit = Scalable::new();
    let first = unit.first_stage(4);
    let second = unit.rig.domain(2, 3);
    unit.rig.map_large(&second, 0, 0, 2, Rights::Rw);
    unit.rig.map(&second, IOVA, FRAME, Rights::Rw);
    unit.pasid(RID, PasidMaker::new(1).first(first.0, 4));
    unit.pasid(OTHER_PASID, PasidMaker::new(1).first(first.0, 4));
    unit.pasid(10, PasidMaker::new(2).first(first.0, 4).second(second.table, 3));
    unit.pasid(11, PasidMaker::new(2).second(second.table, 3));
    unit.pasid(12, PasidMaker::new(3).first(first.0, 4));
    for pasid in [RID, OTHER_PASID, 10, 11, 12] {
        assert_eq!(unit.ask(plain(pasid), IOVA, true), Ok(FRAME), "PASID {pasid}");
    }
    assert_eq!(kinds(&unit), ALL);
    unit.submit(&[descriptor]);
    kinds(&unit)
}

const ALL: [(u16, Space); 5] = [
    (1, Space::First(RID)),
    (1, Space::First(OTHER_PASID)),
    (2, Space::Nested(10)),
    (2, Space::Second),
    (3, Space::First(12)),
];

fn kinds(unit: &Scalable) -> Vec<(u16, Space)> {
    let mut all: Vec<_> =
        unit.rig.vtd.iotlb_entries().map(|cached| (cached.entry.domain, cached.entry.space)).collect();
    all.sort_by_key(|kind| ALL.iter().position(|known| known == kind));
    all
}

#[test]
fn descriptors_name_what_they_say_and_nothing_else() {
    let by_pasid = |g: u64, domain: u64, pasid: u32, address| {
        [6 | g << 4 | domain << 16 | u64::from(pasid) << 32, address]
    };
    for (descriptor, gone) in [
        ([0x12, 0], vec![0, 1, 2, 3, 4]),
        ([1 << 16 | 0x22, 0], vec![0, 1]),
        ([2 << 16 | 0x22, 0], vec![2, 3]),
        // Pages of a domain are the second stage's; of what is nested all goes.
        ([1 << 16 | 0x32, IOVA], vec![]),
        ([2 << 16 | 0x32, IOVA], vec![2, 3]),
        ([2 << 16 | 0x32, IOVA + 0x1000], vec![2]),
        (by_pasid(2, 1, RID, 0), vec![0]),
        (by_pasid(2, 3, RID, 0), vec![]),
        (by_pasid(2, 2, 10, 0), vec![2]),
        (by_pasid(2, 2, 11, 0), vec![]),
        (by_pasid(3, 1, OTHER_PASID, IOVA), vec![1]),
        (by_pasid(3, 1, OTHER_PASID, IOVA + 0x1000), vec![]),
        (by_pasid(3, 1, OTHER_PASID, (IOVA + 0x1000) | 1), vec![1]),
        (by_pasid(3, 2, 10, IOVA | 1 << 6), vec![2]),
        // PASID and context caches are other matters.
        ([0x37, 0], vec![]),
        ([0x11, 0], vec![]),
    ] {
        let expected: Vec<_> =
            (0..ALL.len()).filter(|index| !gone.contains(index)).map(|index| ALL[index]).collect();
        assert_eq!(left(descriptor), expected, "{descriptor:x?}");
    }
}

#[test]
fn a_pasid_entry_is_stale_until_its_cache_entry_is_invalidated() {
    let pasid = u64::from(RID) << 32;
    for (descriptor, drops) in [
        ([0x37, 0], true),
        ([1 << 16 | 0x07, 0], true),
        ([2 << 16 | 0x07, 0], false),
        ([pasid | 1 << 16 | 0x17, 0], true),
        ([pasid | 2 << 16 | 0x17, 0], false),
        ([(pasid + (1 << 32)) | 1 << 16 | 0x17, 0], false),
        ([0x12, 0], false),
        ([0x11, 0], false),
    ] {
        let (mut unit, _) = Scalable::first();
        assert_eq!(unit.get(IOVA), Ok(FRAME));
        unit.pasid(RID, PasidMaker::new(2).pass_through());
        assert_eq!(unit.get(IOVA), Ok(FRAME), "stale");
        unit.submit(&[descriptor]);
        assert_eq!(unit.get(IOVA), Ok(if drops { IOVA } else { FRAME }), "{descriptor:x?}");
    }
}

#[test]
fn context_entries_of_scalable_mode_have_no_domain() {
    let device = u64::from(NIC.0) << 32;
    for (descriptor, drops) in [
        ([0x11, 0], true),
        ([7 << 16 | 0x21, 0], true),
        ([device | 7 << 16 | 0x31, 0], true),
        ([(device + (1 << 32)) | 0x31, 0], false),
        ([(device + (1 << 32)) | 3 << 48 | 0x31, 0], true),
        ([0x37, 0], false),
    ] {
        let (mut unit, _) = Scalable::first();
        unit.get(IOVA).unwrap();
        unit.submit(&[descriptor]);
        assert_eq!(unit.rig.vtd.context_entries().count(), usize::from(!drops), "{descriptor:x?}");
    }
}

#[test]
fn hints_spare_the_paging_structure_caches() {
    let paging_caches =
        crate::PagingCacheConfig { pml5: 4, pml4: 4, pdpt: 4, pd: 4, policy: crate::Policy::Lru };
    for (descriptor, kept) in [
        ([6 | 3 << 4 | 1 << 16 | u64::from(RID) << 32, IOVA | 1 << 6], 4),
        ([6 | 3 << 4 | 1 << 16 | u64::from(RID) << 32, IOVA], 0),
        ([6 | 3 << 4 | 1 << 16 | u64::from(RID) << 32, IOVA + (1 << 21)], 1),
        ([6 | 2 << 4 | 1 << 16 | u64::from(RID) << 32, 0], 0),
        ([6 | 2 << 4 | 1 << 16 | 77 << 32, 0], 4),
    ] {
        let mut unit = Scalable::with(IommuConfig { paging_caches, ..config(|_| {}) });
        let table = unit.first_stage(5);
        unit.pasid(RID, PasidMaker::new(1).first(table.0, 5));
        unit.get(IOVA).unwrap();
        assert_eq!(unit.rig.vtd.paging_entries().count(), 4);
        unit.submit(&[descriptor]);
        assert_eq!(unit.rig.vtd.paging_entries().count(), kept, "{descriptor:x?}");
    }
}

/// What stops the queue, as IQERCD says.
fn error(iqa: u64, root: u64, config: IommuConfig, descriptor: [u64; 4], tail: u64) -> u64 {
    let mut rig = Rig::new(config);
    rig.write(IQA, QUEUE.0 | iqa);
    rig.write(RTADDR, root);
    rig.write(GCMD, u64::from(QIE | SRTP));
    for (index, qword) in (0..).zip(descriptor) {
        rig.mem.write_u64(QUEUE.plus(index * 8), qword).unwrap();
    }
    rig.write(IQT, tail);
    rig.read(IQERCD)
}

#[test]
fn descriptors_are_as_wide_as_the_mode_wants() {
    const DW: u64 = 1 << 11;
    let new = || config(|_| {});
    let scalable = 0x10_0000 | SCALABLE_ROOT;
    let (global, pasid) = ([0x12, 0, 0, 0], [0x37, 0, 0, 0]);
    for (iqa, root, config, descriptor, tail, expected) in [
        (DW, scalable, new(), global, 32, None),
        (DW, scalable, new(), pasid, 32, None),
        (DW, 0x10_0000, new(), global, 32, None),
        (0, 0x10_0000, new(), global, 16, None),
        (0, 0x10_0000, new(), pasid, 16, None),
        (0, scalable, new(), global, 16, Some(QueueError::Width)),
        (DW, 0x10_0000, IommuConfig::default(), global, 32, Some(QueueError::Width)),
        (0, 0x10_0000, IommuConfig::default(), pasid, 16, Some(QueueError::Type)),
        (0, 0x10_0000, IommuConfig::default(), [0x26, 0, 0, 0], 16, Some(QueueError::Type)),
        (DW, scalable, new(), global, 16, Some(QueueError::Alignment)),
        (DW, scalable, new(), [0x12, 0, 1, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x12, 0, 0, 1 << 63], 32, Some(QueueError::Reserved)),
        // Reserved granularities, bits and masks.
        (DW, scalable, new(), [0x27, 0, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x06, 0, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x16, 0, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x37, 1, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x37 | 1 << 52, 0, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x36, 1 << 7, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x36, 19, 0, 0], 32, Some(QueueError::Reserved)),
        (DW, scalable, new(), [0x36 | 1 << 6, 0, 0, 0], 32, Some(QueueError::Reserved)),
        // Device TLBs and page requests are not there.
        (DW, scalable, new(), [0x03, 0, 0, 0], 32, Some(QueueError::Type)),
        (DW, scalable, new(), [0x08, 0, 0, 0], 32, Some(QueueError::Type)),
        (DW, scalable, new(), [0x09, 0, 0, 0], 32, Some(QueueError::Type)),
    ] {
        let expected = expected.map_or(0, |error| error as u64);
        assert_eq!(error(iqa, root, config, descriptor, tail), expected, "{descriptor:x?}");
    }
}

#[test]
fn a_queue_of_wide_descriptors_wraps() {
    let (mut unit, _) = Scalable::first();
    for _ in 0..200 {
        unit.submit(&[[0x12, 0], [0x37, 0], [0x25 | 7 << 32, STATUS.0]]);
        assert_eq!(unit.rig.mem.read_u32(STATUS), Ok(7));
    }
    assert_eq!(unit.rig.vtd.stats().invalidations, 400);
}
