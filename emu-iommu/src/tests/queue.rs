//! The queue as such: order, wrapping, completion, errors and going on after them.

use super::*;
use crate::spec::descriptor::QueueError;
use emu_core::trace::{Granularity, IommuCache};

const GLOBAL_CONTEXT: [u64; 2] = [0x11, 0];
const GLOBAL_IOTLB: [u64; 2] = [0xd2, 0];

fn wait(data: u32) -> [u64; 2] {
    [u64::from(data) << 32 | 0x25, STATUS.0]
}

#[test]
fn descriptors_complete_in_order_and_the_wait_says_so() {
    let mut rig = Rig::started(IommuConfig::default());
    rig.records();
    rig.submit(&[GLOBAL_CONTEXT, GLOBAL_IOTLB, wait(2)]);
    assert_eq!(rig.mem.read_u32(STATUS), Ok(2));
    assert_eq!((rig.read(IQH), rig.read(IQT)), (0x30, 0x30));
    let records = rig.records();
    let first = records[0].id.0;
    let shape: Vec<_> =
        records.iter().map(|record| (record.cause.map(|cause| cause.0 - first), record.event)).collect();
    let global = |cache| TraceEvent::Invalidate { cache, what: Granularity::Global, dropped: 0 };
    let fetched = |index, raw| TraceEvent::QueueDescriptor { index, raw };
    let expected = [
        (None, fetched(0, GLOBAL_CONTEXT)),
        (Some(0), global(IommuCache::Context)),
        (None, fetched(1, GLOBAL_IOTLB)),
        (Some(2), global(IommuCache::Iotlb)),
        (None, fetched(2, wait(2))),
        (Some(4), TraceEvent::QueueStatus { gpa: STATUS, data: 2 }),
    ];
    assert_eq!(shape, expected);
}

#[test]
fn the_queue_wraps_and_switching_it_off_rewinds_it() {
    let mut rig = Rig::started(IommuConfig::default());
    for round in 0..1000 {
        rig.submit(&[wait(round)]);
        assert_eq!(rig.mem.read_u32(STATUS), Ok(round));
    }
    assert_eq!(rig.read(IQH), 1000 % 256 * 16);
    rig.write(GCMD, u64::from(TE));
    assert_eq!(rig.read(IQH), 0);
    // What the tail says is carried out when the queue is switched on.
    rig.mem.write_u64(QUEUE, wait(77)[0]).unwrap();
    rig.write(IQT, 0x10);
    assert_eq!(rig.mem.read_u32(STATUS), Ok(999));
    rig.write(GCMD, u64::from(TE | QIE));
    assert_eq!(rig.mem.read_u32(STATUS), Ok(77));
}

#[test]
fn a_larger_queue_has_more_descriptors() {
    let mut rig = Rig::new(IommuConfig::default());
    let queue = Gpa(0x40_0000);
    rig.write(IQA, queue.0 | 3);
    rig.write(GCMD, u64::from(QIE));
    for index in 0..2047 {
        rig.mem.write_u64(queue.plus(index * 16), wait(index as u32)[0]).unwrap();
        rig.mem.write_u64(queue.plus(index * 16 + 8), STATUS.0).unwrap();
    }
    rig.write(IQT, 2047 * 16);
    assert_eq!((rig.read(IQH), rig.mem.read_u32(STATUS)), (2047 * 16, Ok(2046)));
    rig.write(IQT, 2048 * 16);
    assert_eq!(rig.read(IQERCD), QueueError::Tail as u64);
}

#[test]
fn a_bad_descriptor_stops_the_queue_until_it_is_replaced() {
    let bad: &[([u64; 2], QueueError)] = &[
        ([0x0, 0], QueueError::Type),
        ([0x3, 0], QueueError::Type),
        ([0x6, 0], QueueError::Type),
        ([0x9, 0], QueueError::Type),
        ([0x211, 0], QueueError::Type),
        ([0x01, 0], QueueError::Reserved),
        ([0x11 | 1 << 6, 0], QueueError::Reserved),
        ([0x11, 1], QueueError::Reserved),
        ([0x02, 0], QueueError::Reserved),
        ([0x12 | 1 << 12, 0], QueueError::Reserved),
        ([0x12 | 1 << 40, 0], QueueError::Reserved),
        ([0x32, 19], QueueError::Reserved),
        ([0x32, 1 << 7], QueueError::Reserved),
        ([0x14 | 16 << 27, 0], QueueError::Reserved),
        ([0x4 | 1 << 20, 0], QueueError::Reserved),
        ([0x4, 1], QueueError::Reserved),
        ([0x25 | 1 << 7, 0], QueueError::Reserved),
        ([0x25, 1], QueueError::Reserved),
    ];
    for (raw, error) in bad {
        let mut rig = Rig::started(IommuConfig::default());
        rig.write(FEADDR, 0xfee0_0000);
        rig.write(FEDATA, 0x30);
        rig.write(FECTL, 0);
        rig.submit(&[GLOBAL_CONTEXT, *raw, wait(1)]);
        assert_eq!(rig.read(IQH), 0x10, "{raw:#x?}");
        assert_eq!(rig.read(FSTS) & 0xff, u64::from(IQE), "{raw:#x?}");
        assert_eq!(rig.read(IQERCD), *error as u64, "{raw:#x?}");
        assert_eq!(rig.interrupts().len(), 1, "{raw:#x?}");
        rig.submit(&[wait(2)]);
        assert_eq!(rig.mem.read_u32(STATUS), Ok(0), "nothing is fetched while it stands");
        // As Linux does: the bad one becomes a wait, then the queue goes on.
        rig.mem.write_u64(QUEUE.plus(0x10), 0x25 | 9 << 32).unwrap();
        rig.mem.write_u64(QUEUE.plus(0x18), STATUS.0).unwrap();
        rig.write(FSTS, u64::from(IQE));
        assert_eq!((rig.read(FSTS) & 0xff, rig.read(IQERCD)), (0, 0));
        assert_eq!((rig.read(IQH), rig.mem.read_u32(STATUS)), (0x40, Ok(2)));
    }
}

#[test]
fn a_queue_in_no_memory_or_of_unknown_shape_stops_too() {
    for (iqa, error) in [(NOWHERE, QueueError::Fetch), (QUEUE.0 | IQA_DW, QueueError::Width)] {
        let mut rig = Rig::new(IommuConfig::default());
        rig.write(IQA, iqa);
        rig.write(GCMD, u64::from(QIE));
        assert_eq!(rig.read(FSTS) & 0xff, 0);
        rig.write(IQT, 0x20);
        assert_eq!((rig.read(IQERCD), rig.read(FSTS) & 0xff), (error as u64, u64::from(IQE)));
        // It stops again as often as software lets it go.
        rig.write(FSTS, u64::from(IQE));
        assert_eq!(rig.read(FSTS) & 0xff, u64::from(IQE));
    }
}

#[test]
fn interrupt_entries_can_not_be_invalidated_by_a_unit_without_them() {
    let mut rig = Rig::started(IommuConfig { interrupt_remapping: false, eim: false, ..Default::default() });
    rig.submit(&[[0x4, 0]]);
    assert_eq!(rig.read(IQERCD), QueueError::Type as u64);
}

#[test]
fn completion_is_an_event_of_its_own() {
    let mut rig = Rig::started(IommuConfig::default());
    rig.write(IEADDR, 0xfee0_2000);
    rig.write(IEDATA, 0x44);
    let done = [0x5 | 1 << 4, 0];
    rig.submit(&[done]);
    assert_eq!((rig.read(ICS), rig.read(IECTL)), (1, u64::from(IM | IP)));
    rig.write(IECTL, 0);
    let sent = rig.interrupts();
    assert_eq!((sent.len(), sent[0].vector, sent[0].dest), (1, 0x44, 2));
    rig.submit(&[done]);
    assert_eq!(rig.interrupts(), [], "no new condition while IWC stands");
    rig.write(ICS, 1);
    rig.submit(&[done]);
    assert_eq!((rig.interrupts().len(), rig.read(ICS)), (1, 1));
    // Served while masked: nothing is left to send.
    rig.write(ICS, 1);
    rig.write(IECTL, u64::from(IM));
    rig.submit(&[done]);
    rig.write(ICS, 1);
    assert_eq!(rig.read(IECTL), u64::from(IM));
}

#[test]
fn a_status_write_to_nowhere_is_lost_and_a_fence_changes_nothing() {
    let mut rig = Rig::started(IommuConfig::default());
    rig.submit(&[[0x25 | 1 << 6, NOWHERE], wait(3)]);
    assert_eq!((rig.read(FSTS) & 0xff, rig.mem.read_u32(STATUS)), (0, Ok(3)));
}
