//! Entries, edges, levels and their ends, seen from the message side.

use super::irq::message;
use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::trace::TraceEvent;
use emu_core::{DeliveryMode, DestinationMode, Interrupt, IoError, Msi, TriggerMode, Width};

const BDF: Bdf = Bdf::new(0xf0, 0x1f, 0);

struct Board {
    fabric: FakeFabric,
    chip: Ioapic,
}

impl Board {
    fn new() -> Self {
        let config = Config { id: 2, bdf: BDF, low_active_wires: Config::PCI_PINS };
        Self { fabric: FakeFabric::new(0), chip: Ioapic::new(config) }
    }

    fn write(&mut self, index: u8, value: u32) {
        self.chip.write(&mut self.fabric.env(), IOREGSEL, Width::B4, index.into()).unwrap();
        self.chip.write(&mut self.fabric.env(), IOWIN, Width::B4, value.into()).unwrap();
    }

    fn read(&mut self, index: u8) -> u32 {
        self.chip.write(&mut self.fabric.env(), IOREGSEL, Width::B4, index.into()).unwrap();
        self.chip.read(&mut self.fabric.env(), IOWIN, Width::B4).unwrap() as u32
    }

    fn entry(&mut self, pin: u8, rte: u64) {
        self.write(REDIRECTION + 2 * pin + 1, (rte >> 32) as u32);
        self.write(REDIRECTION + 2 * pin, rte as u32);
    }

    fn step(&mut self, step: Step) -> usize {
        match step {
            Step::Pin(pin, asserted) => self.chip.set_pin(&mut self.fabric.env(), pin, asserted),
            Step::Eoi(vector) => self.chip.eoi(&mut self.fabric.env(), vector),
            Step::DirectedEoi(vector) => {
                self.chip.write(&mut self.fabric.env(), EOI, Width::B4, vector.into()).unwrap();
            }
            Step::Entry(pin, rte) => self.entry(pin, rte),
        }
        self.fabric.take_signals().len()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pin(u8, bool),
    Eoi(u8),
    DirectedEoi(u8),
    Entry(u8, u64),
}

/// Runs steps, each with the number of messages it must send.
fn check(steps: &[(Step, usize)]) {
    let mut board = Board::new();
    for (number, (step, messages)) in steps.iter().enumerate() {
        assert_eq!(board.step(*step), *messages, "step {number}: {step:?}");
    }
}

const LEVEL_LOW: u64 = RTE_LEVEL | RTE_LOW_ACTIVE;

#[test]
fn level_interrupt_is_sent_once_and_again_after_its_eoi_while_asserted() {
    check(&[
        (Step::Entry(16, LEVEL_LOW | 0x31), 0),
        (Step::Pin(16, true), 1),
        (Step::Pin(16, false), 0),
        (Step::Pin(16, true), 0),
        (Step::Eoi(0x30), 0),
        (Step::Eoi(0x31), 1),
        (Step::Pin(16, false), 0),
        (Step::Eoi(0x31), 0),
        (Step::Eoi(0x31), 0),
    ]);
}

#[test]
fn directed_eoi_ends_an_entry_that_holds_its_pin_number_as_linux_writes_under_remapping() {
    let remappable = LEVEL_LOW | RTE_REMAPPABLE | 5 << 49 | 0x15;
    check(&[
        (Step::Entry(21, remappable), 0),
        (Step::Pin(21, true), 1),
        (Step::Eoi(0x22), 0),
        (Step::DirectedEoi(0x15), 1),
        (Step::Pin(21, false), 0),
        (Step::DirectedEoi(0x15), 0),
        (Step::Pin(21, true), 1),
    ]);
}

#[test]
fn changing_an_entry_under_an_asserted_line_follows_the_line() {
    check(&[
        (Step::Entry(17, LEVEL_LOW | RTE_MASKED | 0x41), 0),
        (Step::Pin(17, true), 0),
        (Step::Entry(17, LEVEL_LOW | 0x41), 1),
        // Without the EOI register software flips to edge and back, which forgets the remote IRR.
        (Step::Entry(17, RTE_LOW_ACTIVE | RTE_MASKED | 0x41), 0),
        (Step::Entry(17, LEVEL_LOW | RTE_MASKED | 0x41), 0),
        (Step::Entry(17, LEVEL_LOW | 0x41), 1),
    ]);
}

#[test]
fn edges_are_sent_each_and_lost_while_masked() {
    check(&[
        (Step::Entry(4, 0x24), 0),
        (Step::Pin(4, true), 1),
        (Step::Pin(4, true), 0),
        (Step::Pin(4, false), 0),
        (Step::Pin(4, true), 1),
        (Step::Entry(4, RTE_MASKED | 0x24), 0),
        (Step::Pin(4, false), 0),
        (Step::Pin(4, true), 0),
        (Step::Entry(4, 0x24), 0),
        (Step::Eoi(0x24), 0),
    ]);
}

#[test]
fn polarity_that_disagrees_with_the_wire_is_asserted_at_rest() {
    check(&[(Step::Entry(16, RTE_LEVEL | 0x31), 1), (Step::Pin(16, true), 0), (Step::Eoi(0x31), 0)]);
    check(&[(Step::Entry(9, LEVEL_LOW | 0x39), 1)]);
}

#[test]
fn pins_that_do_not_exist_are_ignored() {
    check(&[(Step::Pin(24, true), 0), (Step::Pin(255, true), 0)]);
}

#[test]
fn compatibility_entry_becomes_the_message_that_local_apics_decode() {
    let rte = 0x0300_0000_0000_0000 | RTE_LOGICAL | 1 << 8 | RTE_LEVEL | 0x51;
    let msi = message(rte);
    assert_eq!(msi, Msi { address: 0xfee0_300c, data: 0xc151 });
    assert_eq!(
        Interrupt::from_compatibility(msi),
        Some(Interrupt {
            vector: 0x51,
            mode: DeliveryMode::LowestPriority,
            trigger: TriggerMode::Level,
            dest_mode: DestinationMode::Logical,
            dest: 3,
        })
    );
}

#[test]
fn remappable_entry_carries_its_index_and_vector() {
    // As Xen programs pin 21: index 0x15, level, real vector 0xa8.
    assert_eq!(message(0x002b_0000_0000_80a8), Msi { address: 0xfee0_02b0, data: 0xc0a8 });
    // Index bit 15 travels in entry bit 11 and address bit 2.
    assert_eq!(
        message(RTE_REMAPPABLE | 0x7fff << 49 | RTE_LOGICAL),
        Msi { address: 0xfeef_fff4, data: 0x4000 }
    );
}

#[test]
fn the_message_comes_from_the_ioapics_own_requester_and_names_the_entry_as_cause() {
    let mut board = Board::new();
    board.entry(16, LEVEL_LOW | 0x31);
    board.chip.set_pin(&mut board.fabric.env(), 16, true);
    let records = board.fabric.records();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert!(matches!(record.event, TraceEvent::IoapicRte { pin: 16, sent: true, .. }));
    let (signal, cause) = board.fabric.signals.pop().unwrap();
    assert!(matches!(signal, Signal::Msi { source: BDF, .. }));
    assert_eq!(cause, Some(record.id));
}

#[test]
fn registers_read_as_a_driver_probes_them() {
    let mut board = Board::new();
    assert_eq!(board.read(VERSION), 0x0017_0020);
    assert_eq!(board.read(ID), 2 << 24);
    assert_eq!(board.read(BOOT), 1);
    assert_eq!(board.read(REDIRECTION), 0x0001_0000);
    board.write(ID, u32::MAX);
    assert_eq!(board.read(ID), 0xf << 24);
    board.entry(3, u64::MAX);
    assert_eq!(board.read(REDIRECTION + 6), 0x0001_afff);
    assert_eq!(board.read(REDIRECTION + 7), 0xffff_0000);
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let mut board = Board::new();
    for (offset, width, error) in [
        (IOWIN, Width::B1, IoError::Width),
        (IOREGSEL, Width::B8, IoError::Width),
        (0x14, Width::B4, IoError::Misaligned),
        (0x20, Width::B4, IoError::NoRegister),
        (0x1000, Width::B4, IoError::NoRegister),
    ] {
        assert_eq!(board.chip.read(&mut board.fabric.env(), offset, width), Err(error), "{offset:#x}");
    }
    board.chip.write(&mut board.fabric.env(), IOREGSEL, Width::B1, 0x77).unwrap();
    assert_eq!(board.chip.read(&mut board.fabric.env(), IOWIN, Width::B4), Err(IoError::NoRegister));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut board = Board::new();
    board.entry(16, LEVEL_LOW | 0x31);
    board.step(Step::Pin(16, true));
    let text = ron::to_string(board.chip.state()).unwrap();
    let mut other = Board::new();
    other.chip.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other.chip, board.chip);
    assert_eq!(other.step(Step::Eoi(0x31)), 1);
    let good = board.chip.state().clone();
    for bad in [
        IoapicState { asserted: 1 << 24, ..good.clone() },
        IoapicState { id: 16, ..good.clone() },
        IoapicState { entries: [1 << 20; PINS], ..good },
    ] {
        assert!(other.chip.restore(bad).is_err());
    }
}
