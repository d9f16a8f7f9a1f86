//! Fault records, overflow, and the message that reports them.

use super::*;
use crate::spec::fault::*;
use emu_core::{DeliveryMode, DestinationMode, TriggerMode};

/// FEADDR and FEDATA as Linux writes them, and what they mean.
const MESSAGE: (u64, u64) = (0xfee0_1004, 0x21);
const INTERRUPT: Interrupt = Interrupt {
    vector: 0x21,
    mode: DeliveryMode::Fixed,
    trigger: TriggerMode::Edge,
    dest_mode: DestinationMode::Logical,
    dest: 1,
};

fn listening(config: IommuConfig) -> Rig {
    let mut rig = Rig::started(config);
    rig.write(FEADDR, MESSAGE.0);
    rig.write(FEDATA, MESSAGE.1);
    rig.write(FECTL, 0);
    rig
}

/// A fault of function `n` of an absent device.
fn fault(rig: &mut Rig, n: u8) {
    assert_eq!(rig.dma(Bdf::new(0, 9, n), 0x1234_5678, n & 1 != 0), Err(ROOT_NOT_PRESENT));
}

#[test]
fn a_record_says_who_where_why_and_how() {
    let mut rig = listening(IommuConfig::default());
    fault(&mut rig, 0);
    fault(&mut rig, 1);
    let read = |rig: &mut Rig, at| rig.vtd.read(&mut rig.fabric.env(), &mut rig.mem, at, Width::B8).unwrap();
    assert_eq!(read(&mut rig, FRCD), 0x1234_5000);
    assert_eq!(read(&mut rig, FRCD + 8), 1 << 63 | 1 << 62 | 1 << 32 | 0x48);
    assert_eq!(read(&mut rig, FRCD + 24), 1 << 63 | 1 << 32 | 0x49);
    // F goes by writing it in a qword as well, nothing else does, and no other bit can be written.
    let mut write = |at, value| {
        rig.vtd.write(&mut rig.fabric.env(), &mut rig.mem, at, Width::B8, value).unwrap();
    };
    write(FRCD, u64::MAX);
    write(FRCD + 8, u64::MAX >> 1);
    write(FRCD + 24, 1 << 63);
    assert_eq!(read(&mut rig, FRCD), 0x1234_5000);
    assert_eq!(read(&mut rig, FRCD + 8) >> 63, 1);
    assert_eq!(read(&mut rig, FRCD + 24) >> 63, 0);
}

#[test]
fn the_first_fault_is_an_event_and_the_next_is_none_until_all_are_served() {
    let mut rig = listening(IommuConfig::default());
    fault(&mut rig, 0);
    assert_eq!(rig.interrupts(), [INTERRUPT]);
    fault(&mut rig, 1);
    assert_eq!(rig.interrupts(), []);
    assert_eq!(rig.read(FSTS), u64::from(PPF));
    let served = [0, 1].map(|n| (Bdf::new(0, 9, n), ROOT_NOT_PRESENT));
    assert_eq!(rig.take_faults(), served);
    assert_eq!(rig.read(FSTS) & 0xff, 0);
    fault(&mut rig, 2);
    assert_eq!(rig.interrupts(), [INTERRUPT]);
    assert_eq!(rig.read(FSTS), u64::from(PPF | 2 << FRI_SHIFT));
}

#[test]
fn fri_names_the_oldest_pending_record_when_the_records_have_wrapped() {
    let mut rig = listening(IommuConfig { fault_records: 3, ..Default::default() });
    for n in 0..3 {
        fault(&mut rig, n);
    }
    for record in [0, 1] {
        let mut env = rig.fabric.env();
        rig.vtd.write(&mut env, &mut rig.mem, FRCD + 16 * record + 12, Width::B4, 1 << 31).unwrap();
    }
    fault(&mut rig, 4);
    assert_eq!(rig.read(FSTS) >> FRI_SHIFT, 2);
    let oldest_first = [2, 4].map(|n| (Bdf::new(0, 9, n), ROOT_NOT_PRESENT));
    assert_eq!(rig.take_faults(), oldest_first);
}

#[test]
fn the_message_is_caused_by_its_fault_and_the_fault_by_its_lookup() {
    let mut rig = listening(IommuConfig::default());
    fault(&mut rig, 0);
    let (_, cause) = rig.fabric.signals.pop().unwrap();
    let records = rig.records();
    let by_id = |id| records.iter().find(|record| record.id == id).unwrap();
    let report = by_id(cause.unwrap());
    assert!(matches!(report.event, TraceEvent::RemapFault { reason: ROOT_NOT_PRESENT, recorded: true, .. }));
    assert!(matches!(by_id(report.cause.unwrap()).event, TraceEvent::ContextLookup { hit: false, .. }));
}

#[test]
fn a_masked_event_waits_and_a_served_one_is_forgotten() {
    let mut rig = listening(IommuConfig::default());
    rig.write(FECTL, u64::from(IM));
    fault(&mut rig, 0);
    assert_eq!((rig.interrupts(), rig.read(FECTL)), (vec![], u64::from(IM | IP)));
    rig.write(FECTL, 0);
    assert_eq!((rig.interrupts(), rig.read(FECTL)), (vec![INTERRUPT], 0));
    rig.take_faults();
    rig.write(FECTL, u64::from(IM));
    fault(&mut rig, 1);
    rig.take_faults();
    assert_eq!(rig.read(FECTL), u64::from(IM), "served before it could leave");
    rig.write(FECTL, 0);
    assert_eq!(rig.interrupts(), []);
}

#[test]
fn after_reset_the_event_is_masked() {
    let mut rig = Rig::new(IommuConfig::default());
    assert_eq!((rig.read(FECTL), rig.read(IECTL)), (u64::from(IM), u64::from(IM)));
}

#[test]
fn full_records_overflow_and_nothing_is_recorded_until_that_is_cleared() {
    for records in [1, 3, 224] {
        let mut rig = listening(IommuConfig { fault_records: records, ..Default::default() });
        for n in 0..records {
            fault(&mut rig, (n % 8) as u8);
        }
        assert_eq!(rig.read(FSTS) & 0xff, u64::from(PPF));
        rig.interrupts();
        rig.records();
        fault(&mut rig, 7);
        assert_eq!(rig.read(FSTS) & 0xff, u64::from(PPF | PFO));
        assert_eq!(rig.interrupts(), []);
        let lost = |event: &TraceEvent| matches!(event, TraceEvent::RemapFault { recorded: false, .. });
        assert!(rig.events().iter().any(lost));
        assert_eq!(rig.take_faults().len(), records.into());
        fault(&mut rig, 7);
        assert_eq!(rig.read(FSTS) & 0xff, u64::from(PFO), "suspended");
        rig.write(FSTS, u64::from(PFO));
        fault(&mut rig, 5);
        assert_eq!(rig.take_faults(), [(Bdf::new(0, 9, 5), ROOT_NOT_PRESENT)]);
        assert_eq!(rig.interrupts(), [INTERRUPT]);
        assert_eq!(rig.vtd.stats().faults, u64::from(records) + 3);
    }
}

#[test]
fn a_device_with_fault_processing_disabled_is_refused_in_silence() {
    let [mut rig, mut cached] = [(), ()].map(|()| {
        let mut rig = listening(IommuConfig::default());
        let domain = rig.domain(1, 4);
        rig.tables
            .context(&mut rig.mem, NIC, {
                let [low, high] = domain.context();
                [low | 2, high]
            })
            .unwrap();
        rig.map(&domain, 0x1000, 0x5000, Rights::R);
        rig
    });
    assert_eq!(rig.put(0x2000), Err(WRITE));
    assert_eq!(rig.put(1 << 50), Err(ADDRESS_WIDTH));
    assert_eq!(cached.get(0x1000), Ok(0x5000));
    assert_eq!(cached.put(0x1000), Err(WRITE));
    for rig in [&mut rig, &mut cached] {
        assert_eq!((rig.read(FSTS) & 0xff, rig.interrupts()), (0, vec![]));
        assert!(rig.vtd.stats().faults > 0);
    }
    // An entry that is not present, or malformed, is silent too; a missing root is not.
    for (entry, reason) in
        [([2, 0], CONTEXT_NOT_PRESENT), ([3, 0], CONTEXT_INVALID), ([0x13, 1], CONTEXT_RESERVED)]
    {
        let mut rig = listening(IommuConfig { caching_mode: true, ..Default::default() });
        rig.tables.context(&mut rig.mem, NIC, entry).unwrap();
        assert_eq!((rig.get(0), rig.get(0)), (Err(reason), Err(reason)));
        assert_eq!((rig.read(FSTS) & 0xff, rig.interrupts()), (0, vec![]));
    }
}

#[test]
fn destinations_of_32_bits_use_the_upper_address() {
    for (eim, dest) in [(true, 0x12_3401), (false, 1)] {
        let mut rig = listening(IommuConfig { eim, ..Default::default() });
        rig.write(FEUADDR, 0x12_34ff);
        // The trigger mode in the data is of no concern: these events are edges.
        rig.write(FEDATA, MESSAGE.1 | 1 << 15);
        fault(&mut rig, 0);
        assert_eq!(rig.interrupts(), [Interrupt { dest, ..INTERRUPT }]);
    }
}

#[test]
fn a_message_that_is_no_interrupt_sends_nothing() {
    // A reserved delivery mode, then an address that nobody has set.
    for (register, value) in [(FEDATA, 0x321), (FEADDR, 0)] {
        let mut rig = listening(IommuConfig::default());
        rig.write(register, value);
        fault(&mut rig, 0);
        assert_eq!(rig.interrupts(), []);
        assert_eq!(rig.read(FECTL), 0);
    }
}
