//! Causes, mask, pin, message, throttling, and the chain of causes behind each.

use super::*;
use emu_core::device::Signal;
use emu_core::{Iova, Msi};

fn levels(bench: &mut Bench) -> Vec<bool> {
    bench
        .fabric
        .take_signals()
        .into_iter()
        .filter_map(|signal| match signal {
            Signal::Pin { slot: NIC, pin: INTA, high } => Some(high),
            _ => None,
        })
        .collect()
}

#[test]
fn a_masked_cause_waits_for_its_mask_and_reading_clears_it() {
    let mut bench = Bench::running();
    bench.write(ICS, ICR_RXT0);
    assert!(!bench.pin());
    bench.write(IMS, ICR_LSC);
    assert!(!bench.pin());
    bench.write(IMS, ICR_RXT0);
    assert!(bench.pin());
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & 8, 8);
    assert_eq!(bench.read(IMS), ICR_LSC | ICR_RXT0);
    bench.write(IMC, ICR_RXT0);
    assert!(!bench.pin(), "the mask withdraws it");
    bench.write(IMS, ICR_RXT0);
    assert_eq!(bench.read(ICR), ICR_RXT0);
    assert_eq!(bench.read(ICR), 0);
    assert!(!bench.pin());
    assert_eq!(levels(&mut bench), [true, false, true, false]);
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & 8, 0);
}

#[test]
fn writing_ones_to_icr_clears_those_causes() {
    let mut bench = Bench::running();
    bench.write(ICS, ICR_RXT0 | ICR_TXDW | ICR_LSC);
    bench.write(ICR, ICR_TXDW | ICR_LSC);
    assert_eq!(bench.read(ICR), ICR_RXT0);
}

#[test]
fn intx_disable_keeps_the_pin_low_but_not_the_status_bit() {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_LSC);
    bench.config_write(pci::COMMAND, Width::B2, 0x407);
    bench.write(ICS, ICR_LSC);
    assert!(!bench.pin());
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & 8, 8);
    bench.config_write(pci::COMMAND, Width::B2, 7);
    assert!(bench.pin());
}

#[test]
fn without_intx_masking_the_bits_are_not_there() {
    let mut bench = Bench::with(E1000Config { intx_masking: false, ..E1000Config::with_mac(MAC) });
    bench.config_write(pci::COMMAND, Width::B2, 0x407);
    assert_eq!(bench.config_read(pci::COMMAND, Width::B2), 7, "this is how Linux finds out");
    bench.write(IMS, ICR_LSC);
    bench.write(ICS, ICR_LSC);
    assert!(bench.pin());
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & 8, 0);
}

#[test]
fn msi_replaces_the_pin_with_one_message_per_assertion() {
    let mut bench = Bench::running();
    bench.config_write(0xf4, Width::B4, 0xfee0_0000);
    bench.config_write(0xfc, Width::B2, 0x41);
    bench.config_write(0xf2, Width::B2, 1);
    bench.write(IMS, ICR_LSC | ICR_RXT0);
    bench.write(ICS, ICR_LSC);
    bench.write(ICS, ICR_RXT0);
    bench.read(ICR);
    bench.write(ICS, ICR_LSC);
    let message = Signal::Msi { source: BDF, msi: Msi { address: 0xfee0_0000, data: 0x41 } };
    assert_eq!(bench.fabric.take_signals(), [message, message]);
    assert!(!bench.pin());
}

#[test]
fn throttling_holds_the_next_interrupt_back_to_the_nanosecond() {
    let mut bench = Bench::running();
    bench.write(ITR, 195);
    bench.write(IMS, ICR_RXT0);
    let start = bench.fabric.now;
    bench.write(ICS, ICR_RXT0);
    assert!(bench.pin(), "the first one is not delayed");
    bench.read(ICR);
    bench.run(VirtDuration::from_us(10));
    bench.write(ICS, ICR_RXT0);
    assert!(!bench.pin());
    let rest = VirtDuration::from_ns(195 * 256 - 10_000 - 1);
    bench.run(rest);
    assert!(!bench.pin());
    bench.run(VirtDuration::from_ns(1));
    assert!(bench.pin());
    assert_eq!(bench.fabric.now.since(start), VirtDuration::from_ns(195 * 256));
    bench.read(ICR);
    bench.write(ICS, ICR_RXT0);
    assert!(!bench.pin());
    bench.write(ITR, 0);
    assert!(bench.pin(), "switching throttling off lets it through");
}

#[test]
fn the_pin_is_blamed_on_the_oldest_cause_that_is_unmasked() {
    let mut bench = Bench::running();
    bench.write(ICS, ICR_TXDW);
    bench.write(ICS, ICR_RXT0);
    bench.write(ICS, ICR_LSC);
    bench.write(IMS, ICR_RXT0 | ICR_LSC);
    let records = bench.fabric.records();
    let blamed = find(&records, |event| match event {
        TraceEvent::NicCause { causes: ICR_RXT0, .. } => Some(()),
        _ => None,
    });
    let pins = find(&records, |event| matches!(event, TraceEvent::PinLevel { high: true, .. }).then_some(()));
    assert_eq!(pins.len(), 1);
    assert_eq!(pins[0].0.cause, Some(blamed[0].0.id));
}

/// Follows causes back to the first and names them on the way.
fn chain(records: &[TraceRecord], mut id: RecordId) -> Vec<&'static str> {
    let mut names = Vec::new();
    loop {
        let Some(record) = records.iter().find(|record| record.id == id) else { return names };
        names.push(match record.event {
            TraceEvent::FrameIn { .. } => "frame in",
            TraceEvent::FrameFilter { .. } => "filter",
            TraceEvent::DescUse { .. } => "use",
            TraceEvent::DescFetch { .. } => "fetch",
            TraceEvent::DescWriteBack { .. } => "write-back",
            TraceEvent::NicCause { .. } => "cause",
            TraceEvent::PinLevel { .. } => "pin",
            TraceEvent::MsiSent { .. } => "msi",
            TraceEvent::MmioWrite { .. } => "register",
            TraceEvent::DmaRead { .. } => "read",
            TraceEvent::DmaWrite { .. } => "write",
            TraceEvent::FrameOut { .. } => "frame out",
            TraceEvent::FrameDelivered { .. } => "delivered",
            _ => "other",
        });
        let Some(cause) = record.cause else { return names };
        id = cause;
    }
}

fn last(records: &[TraceRecord], pick: impl Fn(&TraceEvent) -> bool) -> RecordId {
    records.iter().rev().find(|record| pick(&record.event)).expect("such a record").id
}

#[test]
fn a_received_frame_is_one_chain_from_wire_to_pin() {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_RXT0);
    let doorbell = bench.write(RDT, RING - 1);
    bench.settle();
    let fetches = bench.fabric.records();
    let first = find(&fetches, |event| match event {
        TraceEvent::DescFetch { index: 0, .. } => Some(()),
        _ => None,
    })[0]
        .0;
    assert_eq!(first.cause, Some(doorbell));
    bench.frame_in(&frame(MAC, 0x0800, 100));
    bench.settle();
    let records = bench.fabric.records();
    let back = |pick: fn(&TraceEvent) -> bool| chain(&records, last(&records, pick));
    let expected = ["pin", "cause", "write-back", "use", "filter", "frame in"];
    assert_eq!(back(|e| matches!(e, TraceEvent::PinLevel { high: true, .. })), expected);
    let delivered = back(|e| matches!(e, TraceEvent::FrameDelivered { .. }));
    assert_eq!(delivered, ["delivered", "write-back", "use", "filter", "frame in"]);
    let data = back(|e| matches!(e, TraceEvent::DmaWrite { len: 100, .. }));
    assert_eq!(data, ["write", "use", "filter", "frame in"]);
    let status = back(|e| matches!(e, TraceEvent::DmaWrite { len: 16, .. }));
    assert_eq!(status, ["write", "write-back", "use", "filter", "frame in"]);
    let used = find(&records, |event| match event {
        TraceEvent::DescUse { packet: 0, index: 0, fetch } => Some(*fetch),
        _ => None,
    });
    assert_eq!(used[0].1, first.id, "the use names the fetch");
}

#[test]
fn a_sent_frame_is_one_chain_from_doorbell_to_message() {
    let mut bench = Bench::running();
    bench.config_write(0xf4, Width::B4, 0xfee0_0000);
    bench.config_write(0xf2, Width::B2, 1);
    bench.write(IMS, ICR_TXDW);
    let command = u64::from(TXD_EOP | TXD_IFCS | TXD_RS) << 24;
    for index in 0..2 {
        bench.set_desc(TX_RING, index, [TX_BUFFERS, command | 100]);
    }
    bench.write(TDT, 1);
    let second = bench.write(TDT, 2);
    bench.settle();
    let records = bench.fabric.records();
    let msi = last(&records, |e| matches!(e, TraceEvent::MsiSent { .. }));
    assert_eq!(chain(&records, msi), ["msi", "cause", "write-back", "fetch", "register"]);
    let out = last(&records, |e| matches!(e, TraceEvent::FrameOut { packet: 1, .. }));
    assert_eq!(chain(&records, out), ["frame out", "fetch", "register"]);
    let read = last(&records, |e| matches!(e, TraceEvent::DmaRead { iova: Iova(TX_BUFFERS), .. }));
    assert_eq!(chain(&records, read), ["read", "fetch", "register"]);
    let fetch = find(&records, |event| match event {
        TraceEvent::DescFetch { index: 1, .. } => Some(()),
        _ => None,
    });
    assert_eq!(fetch[0].0.cause, Some(second), "each descriptor has its own doorbell");
}

#[test]
fn causes_have_names() {
    assert_eq!(icr_names(ICR_TXDW | ICR_RXT0 | 1 << 5), "TXDW RXT0");
}
