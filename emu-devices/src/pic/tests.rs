//! The pair as BIOSes and kernels program it.

use super::spec::*;
use super::*;
use emu_core::testing::FakeFabric;
use emu_core::{IoError, Width};

struct Board {
    fabric: FakeFabric,
    chip: Pic,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes a port.
    W(u16, u8),
    /// Reads a port and compares.
    R(u16, u8),
    /// A line changes.
    Pin(u8, bool),
    /// The INTR changes since the last look.
    Intr(&'static [bool]),
    /// The processor acknowledges and gets this vector.
    Ack(u8),
}
use Step::{Ack, Intr, Pin, R, W};

impl Board {
    fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            let at = format!("step {number}: {step:?}");
            let env = &mut self.fabric.env();
            match *step {
                W(port, value) => self.chip.write(env, port, Width::B1, value.into()).unwrap(),
                R(port, value) => {
                    assert_eq!(self.chip.read(env, port, Width::B1), Ok(value.into()), "{at}");
                }
                Pin(irq, high) => self.chip.set_pin(env, irq, high),
                Ack(vector) => assert_eq!(self.chip.acknowledge(env).0, vector, "{at}"),
                Intr(expected) => {
                    let got: Vec<bool> = self
                        .fabric
                        .take_signals()
                        .into_iter()
                        .map(|signal| match signal {
                            Signal::PicIntr { high } => high,
                            other => panic!("{other:?}"),
                        })
                        .collect();
                    assert_eq!(got, expected, "{at}");
                }
            }
        }
    }
}

/// As Linux's init_8259A with `icw4`: vectors 0x30 and 0x38, nothing masked.
fn initialized(icw4: u8) -> Board {
    let mut board = Board { fabric: FakeFabric::new(0), chip: Pic::new() };
    board.run(&[
        W(MASTER_DATA, 0xff),
        W(MASTER_COMMAND, 0x11),
        W(MASTER_DATA, 0x30),
        W(MASTER_DATA, 1 << CASCADE),
        W(MASTER_DATA, icw4),
        W(SLAVE_COMMAND, 0x11),
        W(SLAVE_DATA, 0x38),
        W(SLAVE_DATA, CASCADE),
        W(SLAVE_DATA, icw4 & !ICW4_AUTO_EOI),
        W(MASTER_DATA, 0),
        W(SLAVE_DATA, 0),
        Intr(&[]),
    ]);
    board
}

fn check(steps: &[Step]) {
    initialized(1).run(steps);
}

const EOI: u8 = 0x20;

#[test]
fn linux_probe_reads_the_mask_back() {
    let mut board = Board { fabric: FakeFabric::new(0), chip: Pic::new() };
    board.run(&[R(MASTER_DATA, 0xff), W(SLAVE_DATA, 0xff), W(MASTER_DATA, 0xfb), R(MASTER_DATA, 0xfb)]);
}

#[test]
fn an_edge_interrupts_once_and_lower_priorities_wait_for_the_eoi() {
    check(&[
        Pin(4, true),
        Intr(&[true]),
        R(MASTER_COMMAND, 0x10),
        Ack(0x34),
        Intr(&[false]),
        R(MASTER_COMMAND, 0),
        Pin(5, true),
        Intr(&[]),
        Pin(1, true),
        Intr(&[true]),
        Ack(0x31),
        W(MASTER_COMMAND, EOI),
        Intr(&[false]),
        W(MASTER_COMMAND, EOI),
        Intr(&[true]),
        Ack(0x35),
        W(MASTER_COMMAND, 0x60 | 5),
        Intr(&[false]),
        W(MASTER_COMMAND, 0x0b),
        R(MASTER_COMMAND, 0),
    ]);
}

#[test]
fn slave_interrupts_come_through_input_two_and_need_both_ends() {
    check(&[
        Pin(8, true),
        Intr(&[true]),
        Ack(0x38),
        W(MASTER_COMMAND, 0x0b),
        R(MASTER_COMMAND, 1 << CASCADE),
        Pin(12, true),
        W(SLAVE_COMMAND, EOI),
        // The slave asks again, but the master still serves input 2.
        Intr(&[false]),
        W(MASTER_COMMAND, EOI),
        Intr(&[true]),
        Ack(0x3c),
    ]);
}

#[test]
fn special_fully_nested_mode_lets_the_slaves_more_urgent_input_through() {
    let mut board = initialized(1 | ICW4_FULLY_NESTED);
    board.run(&[Pin(12, true), Ack(0x3c), Intr(&[true, false]), Pin(9, true), Intr(&[true]), Ack(0x39)]);
    // In fully nested mode it has to wait.
    check(&[Pin(12, true), Ack(0x3c), Intr(&[true, false]), Pin(9, true), Intr(&[])]);
}

#[test]
fn a_request_that_goes_away_becomes_the_spurious_vector_and_no_service() {
    check(&[
        Pin(3, true),
        Pin(3, false),
        Intr(&[true, false]),
        Ack(0x37),
        W(MASTER_COMMAND, 0x0b),
        R(MASTER_COMMAND, 0),
    ]);
    // At the slave: its spurious input 7, while the master serves input 2.
    let mut board = initialized(1);
    board.run(&[Pin(10, true), Pin(10, false), Intr(&[true, false])]);
    board.run(&[Ack(0x37)]);
}

#[test]
fn the_slaves_spurious_vector_leaves_the_master_in_service() {
    let mut board = initialized(1);
    board.run(&[Pin(10, true), Intr(&[true])]);
    // The line falls between the master's answer and the slave's: the master still sees its input 2 high.
    board.chip.state.slave.set_line(2, false, None);
    board.run(&[Ack(0x3f), W(MASTER_COMMAND, 0x0b), R(MASTER_COMMAND, 1 << CASCADE)]);
}

#[test]
fn elcr_makes_an_input_follow_its_line() {
    check(&[
        W(MASTER_ELCR, 0xff),
        R(MASTER_ELCR, 0xf8),
        W(SLAVE_ELCR, 0xff),
        R(SLAVE_ELCR, 0xde),
        Pin(11, true),
        Intr(&[true]),
        Ack(0x3b),
        W(SLAVE_COMMAND, EOI),
        W(MASTER_COMMAND, EOI),
        Intr(&[false, true]),
        Ack(0x3b),
        Pin(11, false),
        W(SLAVE_COMMAND, EOI),
        W(MASTER_COMMAND, EOI),
        Intr(&[false]),
    ]);
}

#[test]
fn masked_requests_wait_and_show_in_irr() {
    check(&[
        W(MASTER_DATA, 0x10),
        Pin(4, true),
        Intr(&[]),
        R(MASTER_COMMAND, 0x10),
        W(MASTER_DATA, 0),
        Intr(&[true]),
        W(MASTER_DATA, 0x10),
        Intr(&[false]),
    ]);
}

#[test]
fn automatic_eoi_serves_nothing_and_can_rotate() {
    let mut board = initialized(1 | ICW4_AUTO_EOI);
    board.run(&[Pin(3, true), Ack(0x33), Pin(5, true), Intr(&[true, false, true]), Ack(0x35)]);
    board.run(&[W(MASTER_COMMAND, 0x0b), R(MASTER_COMMAND, 0), W(MASTER_COMMAND, 0x80)]);
    // Served last, ranked last: 1 after 0 in turn, 0 only after everyone else.
    board.run(&[Pin(0, true), Ack(0x30), Pin(0, false), Pin(0, true), Pin(1, true), Ack(0x31), Ack(0x30)]);
}

#[test]
fn a_slave_with_automatic_eoi_asks_again_at_once() {
    let mut board = initialized(1 | ICW4_AUTO_EOI);
    board.run(&[W(SLAVE_COMMAND, 0x11), W(SLAVE_DATA, 0x38), W(SLAVE_DATA, CASCADE), W(SLAVE_DATA, 3)]);
    board.run(&[W(SLAVE_DATA, 0), Pin(9, true), Pin(10, true), Ack(0x39), Ack(0x3a), Intr(&[true, false])]);
}

#[test]
fn rotation_commands_move_the_lowest_priority() {
    check(&[
        W(MASTER_COMMAND, 0xc0 | 4),
        Pin(4, true),
        Pin(5, true),
        Ack(0x35),
        // Rotate on non-specific EOI: 5 becomes the lowest, 6 the highest.
        W(MASTER_COMMAND, 0xa0),
        Pin(6, true),
        Ack(0x36),
        W(MASTER_COMMAND, 0xe0 | 6),
        Ack(0x34),
    ]);
}

#[test]
fn special_mask_mode_lets_lower_priorities_through_a_masked_service() {
    check(&[
        Pin(1, true),
        Ack(0x31),
        Pin(6, true),
        W(MASTER_DATA, 0x02),
        Intr(&[true, false]),
        W(MASTER_COMMAND, 0x68),
        Intr(&[true]),
        Ack(0x36),
        // The non-specific EOI passes over the masked one.
        W(MASTER_COMMAND, EOI),
        W(MASTER_COMMAND, 0x0b),
        R(MASTER_COMMAND, 0x02),
        W(MASTER_COMMAND, 0x48),
        W(MASTER_COMMAND, EOI),
        R(MASTER_COMMAND, 0),
    ]);
}

#[test]
fn poll_acknowledges_by_reading() {
    check(&[
        W(MASTER_COMMAND, 0x0c),
        R(MASTER_COMMAND, 0),
        Pin(6, true),
        W(MASTER_COMMAND, 0x0c),
        R(MASTER_COMMAND, 0x86),
        Intr(&[true, false]),
        // One poll, one answer: then IRR again.
        R(MASTER_COMMAND, 0),
        W(MASTER_COMMAND, 0x0b),
        R(MASTER_COMMAND, 0x40),
    ]);
}

#[test]
fn initialization_forgets_edges_and_masks() {
    check(&[
        Pin(3, true),
        W(MASTER_DATA, 0xff),
        W(MASTER_COMMAND, 0x13),
        R(MASTER_COMMAND, 0),
        W(MASTER_DATA, 0x47),
        W(MASTER_DATA, 1),
        R(MASTER_DATA, 0),
        Intr(&[true, false]),
        Pin(3, false),
        Pin(3, true),
        Ack(0x43),
    ]);
}

#[test]
fn lines_that_do_not_exist_and_odd_accesses_are_refused() {
    let mut board = initialized(1);
    board.run(&[Pin(2, true), Pin(16, true), Pin(255, true), Intr(&[])]);
    assert_eq!(board.chip.read(&mut board.fabric.env(), 0x22, Width::B1), Err(IoError::NoRegister));
    assert_eq!(board.chip.read(&mut board.fabric.env(), 0x20, Width::B2), Err(IoError::Width));
}

#[test]
fn the_acknowledge_names_who_raised_the_line() {
    let mut board = initialized(1);
    let pin = board.fabric.tracer.emit(Slot::Rtc, TraceEvent::Reset);
    board.fabric.tracer.set_cause(Some(pin));
    board.run(&[Pin(8, true)]);
    board.fabric.tracer.set_cause(None);
    assert_eq!(board.chip.acknowledge(&mut board.fabric.env()), (0x38, Some(pin)));
    let records = board.fabric.records();
    let intr = records.iter().find(|r| r.event == TraceEvent::PicIntr { high: true }).unwrap();
    assert_eq!(intr.cause, Some(pin));
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut board = initialized(1);
    board.run(&[Pin(8, true), Ack(0x38), Pin(3, true), W(MASTER_COMMAND, 0x11)]);
    let text = ron::to_string(board.chip.state()).unwrap();
    let mut other = Pic::new();
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, board.chip);
    let good = board.chip.state().clone();
    let mut bad = good.clone();
    bad.master.lowest = 8;
    assert!(other.restore(bad).is_err());
    let mut bad = good;
    bad.slave.elcr = 1;
    assert!(other.restore(bad).is_err());
}
