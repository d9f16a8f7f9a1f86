//! What takes its time: descriptors of the queue and commands by register, to the nanosecond.

use super::*;
use crate::Timing;
use emu_core::VirtTime;

const GLOBAL_IOTLB: [u64; 2] = [0xd2, 0];
const IOVA: u64 = 0x23_4567_8000;

fn wait(data: u32) -> [u64; 2] {
    [u64::from(data) << 32 | 0x25, STATUS.0]
}

const TIMING: Timing = Timing {
    hit: 0,
    walk_read: 0,
    context: 0,
    interrupt: 0,
    pasid: 0,
    paging: 0,
    descriptor: 10,
    invalidation: 100,
    status_write: 7,
};

fn config(timing: Timing) -> IommuConfig {
    IommuConfig { timing, ..Default::default() }
}

fn without_queue(timing: Timing) -> IommuConfig {
    IommuConfig { queued_invalidation: false, interrupt_remapping: false, eim: false, ..config(timing) }
}

impl Rig {
    /// Puts descriptors at the beginning of the queue and moves the tail, without waiting.
    fn begin(&mut self, descriptors: &[[u64; 2]]) {
        for (at, [low, high]) in (0..).step_by(16).zip(descriptors) {
            self.mem.write_u64(QUEUE.plus(at), *low).unwrap();
            self.mem.write_u64(QUEUE.plus(at + 8), *high).unwrap();
        }
        self.start(IQT, 16 * descriptors.len() as u64);
    }

    /// Lets so much time go by since the beginning, in nanoseconds.
    fn at(&mut self, ns: u64) {
        let until = VirtTime::ZERO.after(emu_core::VirtDuration::from_ns(ns));
        while let Some(event) = self.fabric.next_event(until) {
            self.vtd.on_event(&mut self.fabric.env(), &mut self.mem, event.token);
        }
    }

    fn waited(&self) -> u32 {
        self.mem.read_u32(STATUS).unwrap()
    }
}

/// A unit with a page cached that is mapped no more.
fn stale(config: IommuConfig) -> Rig {
    let (mut rig, domain) = Rig::with_nic(config, 4);
    rig.map(&domain, IOVA, 0x5000, Rights::Rw);
    assert_eq!(rig.get(IOVA), Ok(0x5000));
    rig.unmap(&domain, IOVA);
    rig
}

#[test]
fn each_descriptor_is_fetched_carried_out_and_then_the_head_goes_on() {
    let mut rig = stale(config(TIMING));
    rig.begin(&[GLOBAL_IOTLB, wait(2)]);
    // Fetched at 10, done at 110; fetched at 120, written at 127.
    let steps =
        [(0, 0, Ok(0x5000), 0), (109, 0, Ok(0x5000), 0), (110, 0x10, Err(6), 0), (126, 0x10, Err(6), 0)];
    for (ns, head, found, status) in steps {
        rig.at(ns);
        assert_eq!((rig.read(IQH), rig.get(IOVA), rig.waited()), (head, found, status), "{ns} ns");
    }
    rig.at(127);
    assert_eq!((rig.read(IQH), rig.waited()), (0x20, 2));
    assert_eq!(rig.fabric.events.next_due(), VirtTime::NEVER);
}

#[test]
fn a_tail_that_moves_on_meanwhile_disturbs_nothing() {
    let mut rig = Rig::started(config(TIMING));
    rig.begin(&[wait(1)]);
    rig.at(5);
    rig.begin(&[wait(1), wait(2)]);
    rig.at(17);
    assert_eq!((rig.read(IQH), rig.waited()), (0x10, 1));
    rig.at(34);
    assert_eq!((rig.read(IQH), rig.waited()), (0x20, 2));
}

#[test]
fn a_queue_that_is_switched_off_forgets_what_it_was_at() {
    let mut rig = Rig::started(config(TIMING));
    rig.begin(&[wait(1)]);
    rig.at(12);
    rig.start(GCMD, u64::from(TE));
    rig.start(GCMD, u64::from(TE | QIE));
    // The old event comes at 17; the descriptor was fetched anew at 22.
    rig.at(28);
    assert_eq!(rig.waited(), 0);
    rig.at(29);
    assert_eq!((rig.read(IQH), rig.waited()), (0x10, 1));
}

#[test]
fn a_reset_forgets_what_the_queue_was_at() {
    let mut rig = Rig::started(config(TIMING));
    rig.begin(&[wait(1)]);
    rig.vtd.reset();
    rig.at(1000);
    assert_eq!((rig.waited(), rig.read(IQH)), (0, 0));
}

#[test]
fn a_saved_unit_goes_on_with_its_descriptor() {
    let mut rig = stale(config(TIMING));
    rig.begin(&[GLOBAL_IOTLB, wait(2)]);
    rig.at(50);
    let saved = rig.vtd.state().clone();
    rig.vtd = Vtd::new(config(TIMING)).unwrap();
    rig.vtd.restore(saved).unwrap();
    rig.at(127);
    assert_eq!((rig.get(IOVA), rig.waited()), (Err(6), 2));
}

#[test]
fn a_unit_that_takes_no_time_is_done_when_the_tail_is_written() {
    let none = Timing { descriptor: 0, invalidation: 0, status_write: 0, ..TIMING };
    let mut rig = stale(config(none));
    rig.begin(&[GLOBAL_IOTLB, wait(2)]);
    assert_eq!((rig.read(IQH), rig.get(IOVA), rig.waited()), (0x20, Err(6), 2));
    assert_eq!(rig.fabric.events.next_due(), VirtTime::NEVER);
}

#[test]
fn a_command_by_register_is_busy_until_it_is_done() {
    let mut rig = stale(without_queue(TIMING));
    for (register, busy, granularity) in
        [(CCMD, 1 << 63 | 1 << 61, 1 << 59), (IOTLB, 1 << 63 | 1 << 60, 1 << 57)]
    {
        rig.start(register, busy);
        // A write meanwhile is lost.
        rig.start(register, 1 << 63);
        let begun = rig.fabric.now;
        assert_eq!(rig.read(register), busy);
        assert_eq!(rig.get(IOVA), Ok(0x5000));
        rig.at(begun.0 / 1000 + 99);
        assert_eq!(rig.read(register) >> 63, 1, "{register:#x}");
        rig.at(begun.0 / 1000 + 100);
        assert_eq!(rig.read(register), busy & !(1 << 63) | granularity);
    }
    assert_eq!(rig.get(IOVA), Err(6));
}

#[test]
fn an_invalidation_of_a_page_takes_what_was_measured() {
    let mut rig = Rig::started(IommuConfig::default());
    rig.begin(&[[1 << 16 | 0x32, IOVA], wait(2)]);
    rig.at(639);
    assert_eq!(rig.waited(), 0);
    rig.at(640);
    assert_eq!(rig.waited(), 2);
}
