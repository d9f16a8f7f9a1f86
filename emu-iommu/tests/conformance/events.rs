//! 7.3, 6.5.2.9, 10.4.10 to 10.4.13, 10.4.24 to 10.4.28: the two messages that the unit itself sends.

use crate::unit::*;
use emu_core::{DeliveryMode, DestinationMode, TriggerMode};
use emu_iommu::IommuConfig;
use emu_iommu::spec::register::*;

/// Control, data, address and upper address of an event, and a way to bring it about and to serve it.
#[derive(Clone, Copy)]
struct Event {
    control: u64,
    data: u64,
    address: u64,
    upper: u64,
    occur: fn(&mut Unit),
    serve: fn(&mut Unit),
}

/// A fault is recorded.
const FAULT: Event = Event {
    control: FECTL,
    data: FEDATA,
    address: FEADDR,
    upper: FEUADDR,
    occur: |unit| assert_eq!(unit.get(0), Err(6)),
    serve: |unit| assert!(!unit.faults().is_empty()),
};

/// A wait with IF is done.
const COMPLETION: Event = Event {
    control: IECTL,
    data: IEDATA,
    address: IEADDR,
    upper: IEUADDR,
    occur: |unit| unit.submit(&[WAIT_INTERRUPT]),
    serve: |unit| unit.write(ICS, 1),
};

const MASKED: u64 = 1 << 31;
const PENDING: u64 = 1 << 30;

/// The event goes to APIC 5 as vector 0x41, and is not masked.
fn listening_with(event: Event, change: impl Fn(&mut IommuConfig)) -> Unit {
    let mut unit = Unit::translating_with(change);
    unit.write(event.address, 0xfee0_5000);
    unit.write(event.data, 0x41);
    unit.write(event.control, 0);
    unit
}

fn listening(event: Event) -> Unit {
    listening_with(event, |_| {})
}

fn is_sent_once(event: Event) {
    let mut unit = listening(event);
    (event.occur)(&mut unit);
    let sent = unit.messages();
    assert_eq!((sent.len(), sent[0].vector, sent[0].dest), (1, 0x41, 5));
    assert_eq!((sent[0].mode, sent[0].trigger), (DeliveryMode::Fixed, TriggerMode::Edge));
    assert_eq!(unit.read(event.control), 0, "nothing is left pending");
}

fn waits_while_masked(event: Event) {
    let mut unit = listening(event);
    unit.write(event.control, MASKED);
    (event.occur)(&mut unit);
    assert_eq!((unit.messages(), unit.read(event.control)), (vec![], MASKED | PENDING));
    unit.write(event.control, 0);
    assert_eq!((unit.messages().len(), unit.read(event.control)), (1, 0));
}

fn is_withdrawn_when_served(event: Event) {
    let mut unit = listening(event);
    unit.write(event.control, MASKED);
    (event.occur)(&mut unit);
    (event.serve)(&mut unit);
    assert_eq!(unit.read(event.control), MASKED);
    unit.write(event.control, 0);
    assert_eq!(unit.messages(), []);
}

fn comes_again_only_when_served(event: Event) {
    let mut unit = listening(event);
    (event.occur)(&mut unit);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages().len(), 1);
    (event.serve)(&mut unit);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages().len(), 1);
}

fn pending_is_read_only(event: Event) {
    let mut unit = listening(event);
    unit.write(event.control, MASKED);
    (event.occur)(&mut unit);
    unit.write(event.control, MASKED | PENDING);
    assert_eq!(unit.read(event.control), MASKED | PENDING, "not cleared by writing one");
    unit.write(event.control, MASKED);
    assert_eq!(unit.read(event.control), MASKED | PENDING, "nor by writing zero");
}

fn logical_destination(event: Event) {
    let mut unit = listening(event);
    unit.write(event.address, 0xfee0_500c);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages()[0].dest_mode, DestinationMode::Logical);
}

fn delivery_mode(event: Event) {
    let mut unit = listening(event);
    unit.write(event.data, 0x441);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages()[0].mode, DeliveryMode::Nmi);
}

fn upper_address(event: Event) {
    let mut unit = listening(event);
    unit.write(event.upper, 0x12_3400);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages()[0].dest, 0x12_3405);
}

fn upper_address_without_eim(event: Event) {
    let mut unit = listening_with(event, |config| config.eim = false);
    unit.write(event.upper, 0x12_3400);
    (event.occur)(&mut unit);
    assert_eq!(unit.messages()[0].dest, 5);
}

fn is_not_remapped(event: Event) {
    let mut unit = Unit::remapping();
    unit.write(event.address, 0xfee0_5000);
    unit.write(event.data, 0x41);
    unit.write(event.control, 0);
    (event.occur)(&mut unit);
    assert_eq!((unit.messages()[0].vector, unit.vtd.stats().interrupt_misses), (0x41, 0));
}

rule!("7.3", a_fault_event_is_sent_once, is_sent_once(FAULT));
rule!("10.4.10", a_masked_fault_event_waits, waits_while_masked(FAULT));
rule!("10.4.10", a_served_fault_event_is_withdrawn, is_withdrawn_when_served(FAULT));
rule!("7.3", a_fault_event_comes_again_only_when_served, comes_again_only_when_served(FAULT));
rule!("10.4.10", fault_event_pending_is_read_only, pending_is_read_only(FAULT));
rule!("10.4.12", a_fault_event_may_be_logical, logical_destination(FAULT));
rule!("10.4.11", a_fault_event_has_the_delivery_mode_of_its_data, delivery_mode(FAULT));
rule!("10.4.13", a_fault_event_has_a_wide_destination_with_eim, upper_address(FAULT));
rule!("10.4.13", a_fault_event_has_a_narrow_destination_without_eim, upper_address_without_eim(FAULT));
rule!("7.3", a_fault_event_is_not_remapped, is_not_remapped(FAULT));
rule!("7.3", an_overflow_is_no_new_event_while_faults_pend, {
    let mut unit = listening_with(FAULT, |config| config.fault_records = 1);
    for _ in 0..3 {
        assert_eq!(unit.get(0), Err(6));
    }
    assert_eq!((unit.conditions(), unit.messages().len()), (PPF | PFO, 1));
});
rule!("7.3", a_queue_error_is_a_fault_event, {
    let mut unit = listening(FAULT);
    unit.submit(&[[0, 0]]);
    assert_eq!((unit.conditions(), unit.messages().len()), (IQE, 1));
});
rule!("7.3", a_queue_error_is_no_new_event_while_faults_pend, {
    let mut unit = listening(FAULT);
    assert_eq!(unit.get(0), Err(6));
    unit.submit(&[[0, 0]]);
    assert_eq!((unit.conditions(), unit.messages().len()), (PPF | IQE, 1));
});
rule!("7.3", a_fault_is_no_new_event_while_a_queue_error_stands, {
    let mut unit = listening(FAULT);
    unit.submit(&[[0, 0]]);
    assert_eq!(unit.get(0), Err(6));
    assert_eq!(unit.messages().len(), 1);
});
rule!("10.4.10", a_fault_event_waits_until_all_conditions_are_served, {
    let mut unit = listening(FAULT);
    unit.write(FECTL, MASKED);
    assert_eq!(unit.get(0), Err(6));
    assert_eq!(unit.put(0), Err(5));
    unit.clear_record(0);
    assert_eq!(unit.read(FECTL), MASKED | PENDING);
    unit.clear_record(1);
    assert_eq!(unit.read(FECTL), MASKED);
});
rule!("7.3", a_silent_fault_is_no_event, {
    let mut unit = listening(FAULT);
    unit.context(0, |entry| entry | 1 << 1);
    assert_eq!((unit.get(0), unit.messages()), (Err(6), vec![]));
});
rule!("7.3", an_interrupt_that_is_refused_is_a_fault_event, {
    let mut unit = Unit::remapping();
    unit.write(FEADDR, 0xfee0_5000);
    unit.write(FEDATA, 0x41);
    unit.write(FECTL, 0);
    assert_eq!(unit.interrupt(NIC, emu_iommu::testing::remappable(3)), Err(vec![0x22]));
    assert_eq!(unit.messages().len(), 1);
});

rule!("6.5.2.9", a_completion_event_is_sent_once, is_sent_once(COMPLETION));
rule!("10.4.25", a_masked_completion_event_waits, waits_while_masked(COMPLETION));
rule!("10.4.25", a_served_completion_event_is_withdrawn, is_withdrawn_when_served(COMPLETION));
rule!("6.5.2.9", a_completion_event_comes_again_only_when_served, comes_again_only_when_served(COMPLETION));
rule!("10.4.25", completion_event_pending_is_read_only, pending_is_read_only(COMPLETION));
rule!("10.4.27", a_completion_event_may_be_logical, logical_destination(COMPLETION));
rule!("10.4.26", a_completion_event_has_the_delivery_mode_of_its_data, delivery_mode(COMPLETION));
rule!("10.4.28", a_completion_event_has_a_wide_destination_with_eim, upper_address(COMPLETION));
rule!("10.4.28", a_completion_event_has_a_narrow_destination_without_eim, {
    upper_address_without_eim(COMPLETION);
});
rule!("6.5.2.9", a_completion_event_is_not_remapped, is_not_remapped(COMPLETION));
rule!("10.4.24", iwc_is_cleared_by_writing_one, {
    let mut unit = listening(COMPLETION);
    unit.submit(&[WAIT_INTERRUPT]);
    unit.write(ICS, 0);
    assert_eq!(unit.read(ICS), 1);
    unit.write(ICS, 1);
    assert_eq!(unit.read(ICS), 0);
});
rule!("10.4.24", iwc_stands_until_it_is_cleared, {
    let mut unit = listening(COMPLETION);
    unit.submit(&[WAIT_INTERRUPT, CONTEXT_GLOBAL, wait(1)]);
    assert_eq!((unit.read(ICS), unit.waited()), (1, 1));
});
rule!("6.5.2.9", a_completion_is_no_fault_event, {
    let mut unit = listening(FAULT);
    unit.submit(&[WAIT_INTERRUPT]);
    assert_eq!((unit.conditions(), unit.messages(), unit.read(ICS)), (0, vec![], 1));
});
