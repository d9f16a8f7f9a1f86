//! The local APIC as kernels set it up and as the manual's rules say.

use super::spec::*;
use super::*;
use emu_core::device::Signal;
use emu_core::testing::FakeFabric;
use emu_core::trace::TraceEvent;
use emu_core::{
    DeliveryMode, DestinationMode, Interrupt, IoError, TriggerMode, VirtDuration, VirtTime, Width,
};

const TIMER_HZ: u64 = 25_000_000;
const TSC_HZ: u64 = 2_000_000_000;

struct Board {
    fabric: FakeFabric,
    chip: Lapic,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes a register of the page.
    W(u16, u32),
    /// Reads a register of the page and compares.
    R(u16, u32),
    /// Writes an MSR; whether it is accepted.
    Wm(u32, u64, bool),
    /// Reads an MSR; `None` is #GP.
    Rm(u32, Option<u64>),
    /// A fixed interrupt comes in, edge-triggered.
    Edge(u8),
    /// A fixed interrupt comes in, level-triggered.
    Level(u8),
    /// The vector that the processor would take.
    Pending(Option<u8>),
    /// The processor acknowledges and gets this.
    Ack(u8),
    /// CR8 is loaded.
    Cr8(u64),
    /// Time passes, in nanoseconds.
    Wait(u64),
    /// A LINT pin changes.
    Lint(usize, bool),
    /// What waits besides.
    Waiting(Option<Request>),
    /// The signals raised since the last look.
    Signals(&'static [Signal]),
}
use Step::{Ack, Cr8, Edge, Level, Lint, Pending, R, Rm, Signals, W, Wait, Wm};

const X2APIC: u32 = MSR_X2APIC_FIRST;

const fn fixed(vector: u8, trigger: TriggerMode) -> Interrupt {
    Interrupt { vector, mode: DeliveryMode::Fixed, trigger, dest_mode: DestinationMode::Physical, dest: 0 }
}

const fn with_mode(mode: DeliveryMode) -> Interrupt {
    Interrupt { mode, ..fixed(0, TriggerMode::Edge) }
}

impl Board {
    fn new() -> Self {
        let mut board =
            Self { fabric: FakeFabric::new(0), chip: Lapic::new(Config::new(0, TIMER_HZ, TSC_HZ)) };
        board.run(&[W(SVR, SVR_ENABLE | 0xff)]);
        board
    }

    fn accept(&mut self, interrupt: Interrupt) -> bool {
        self.chip.accept(&mut self.fabric.env(), &interrupt)
    }

    fn wait(&mut self, ns: u64) {
        let until = self.fabric.now.after(VirtDuration::from_ns(ns));
        while let Some(event) = self.fabric.next_event(until) {
            self.chip.on_event(&mut self.fabric.env(), event.token);
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            let at = format!("step {number}: {step:?}");
            let env = &mut self.fabric.env();
            match *step {
                W(register, value) => {
                    self.chip.write(env, register.into(), Width::B4, value.into()).unwrap();
                }
                R(register, value) => {
                    assert_eq!(self.chip.read(env, register.into(), Width::B4), Ok(value.into()), "{at}");
                }
                Wm(msr, value, ok) => assert_eq!(self.chip.msr_write(env, msr, value).is_ok(), ok, "{at}"),
                Rm(msr, value) => assert_eq!(self.chip.msr_read(env, msr).ok(), value, "{at}"),
                Edge(vector) => drop(self.accept(fixed(vector, TriggerMode::Edge))),
                Level(vector) => drop(self.accept(fixed(vector, TriggerMode::Level))),
                Pending(vector) => assert_eq!(self.chip.pending(), vector, "{at}"),
                Ack(vector) => assert_eq!(self.chip.acknowledge(env).0, vector, "{at}"),
                Cr8(value) => self.chip.set_cr8(env, value),
                Wait(ns) => self.wait(ns),
                Lint(pin, high) => self.chip.set_lint(env, pin, high),
                Step::Waiting(request) => assert_eq!(self.chip.request(), request, "{at}"),
                Signals(signals) => assert_eq!(self.fabric.take_signals(), signals, "{at}"),
            }
        }
    }
}

fn check(steps: &[Step]) {
    Board::new().run(steps);
}

#[test]
fn reset_state_is_the_manuals() {
    let mut board = Board { fabric: FakeFabric::new(0), chip: Lapic::new(Config::new(0, TIMER_HZ, TSC_HZ)) };
    board.run(&[
        Rm(MSR_APIC_BASE, Some(0xfee0_0900)),
        R(ID, 0),
        R(VERSION, 0x0106_0015),
        R(SVR, 0xff),
        R(DFR, u32::MAX),
        R(LVT_LINT0, LVT_MASKED),
        Edge(0x40),
        Pending(None),
        // While software-disabled the mask can't be cleared.
        W(LVT_TIMER, 0x30),
        R(LVT_TIMER, LVT_MASKED | 0x30),
    ]);
}

#[test]
fn higher_class_interrupts_a_handler_and_equal_class_waits() {
    check(&[
        Edge(0x45),
        Pending(Some(0x45)),
        Ack(0x45),
        R(PPR, 0x40),
        Edge(0x4f),
        Pending(None),
        Edge(0x51),
        Pending(Some(0x51)),
        Ack(0x51),
        R(ISR + 0x20, 1 << 5 | 1 << 17),
        W(EOI, 0),
        R(PPR, 0x40),
        W(EOI, 0),
        Pending(Some(0x4f)),
        Ack(0x4f),
        W(EOI, 0),
        Pending(None),
    ]);
}

#[test]
fn task_priority_masks_its_class_and_below_and_is_cr8() {
    check(&[
        Cr8(4),
        R(TPR, 0x40),
        Edge(0x4f),
        Pending(None),
        W(TPR, 0x3f),
        R(PPR, 0x3f),
        Pending(Some(0x4f)),
        Cr8(15),
        Edge(0xff),
        Pending(None),
    ]);
    let mut board = Board::new();
    board.run(&[W(TPR, 0x57)]);
    assert_eq!(board.chip.cr8(), 5);
}

#[test]
fn acknowledge_with_nothing_deliverable_gives_the_spurious_vector_and_enters_nothing() {
    check(&[W(SVR, SVR_ENABLE | 0xef), Edge(0x31), Cr8(3), Ack(0xef), R(PPR, 0x30), Cr8(0), Ack(0x31)]);
}

#[test]
fn only_level_interrupts_broadcast_their_end() {
    check(&[
        Level(0x61),
        R(TMR + 0x30, 2),
        Ack(0x61),
        W(EOI, 0),
        Signals(&[Signal::Eoi { vector: 0x61 }]),
        Edge(0x61),
        R(TMR + 0x30, 0),
        Ack(0x61),
        W(EOI, 0),
        Signals(&[]),
        // Suppressed by SVR bit 12.
        W(SVR, SVR_ENABLE | SVR_SUPPRESS_EOI | 0xff),
        Level(0x61),
        Ack(0x61),
        W(EOI, 0),
        Signals(&[]),
        W(EOI, 0),
    ]);
}

#[test]
fn one_vector_is_in_service_and_requested_at_once_but_requested_once_only() {
    check(&[Edge(0x70), Ack(0x70), Edge(0x70), Edge(0x70), W(EOI, 0), Ack(0x70), W(EOI, 0), Pending(None)]);
}

#[test]
fn vectors_below_sixteen_are_errors_that_the_error_entry_reports_once() {
    check(&[
        W(LVT_ERROR, 0xfe),
        Edge(5),
        Pending(Some(0xfe)),
        Ack(0xfe),
        R(ESR, 0),
        W(ESR, 0),
        R(ESR, ERROR_RECEIVE_VECTOR),
        W(ICR, 8),
        Signals(&[]),
        W(ESR, 0),
        R(ESR, ERROR_SEND_VECTOR),
        W(ESR, 0),
        R(ESR, 0),
        // An error entry that is itself wrong goes no further.
        W(LVT_ERROR, 3),
        Edge(5),
        W(ESR, 0),
        R(ESR, ERROR_RECEIVE_VECTOR),
    ]);
}

#[test]
fn reserved_registers_of_the_page_are_errors_and_odd_accesses_are_refused() {
    let mut board = Board::new();
    for (offset, width, error) in [
        (0x84, Width::B4, IoError::NoRegister),
        (0x40, Width::B4, IoError::NoRegister),
        (0x400, Width::B4, IoError::NoRegister),
        (0x80, Width::B1, IoError::Width),
        (0x81, Width::B4, IoError::Misaligned),
    ] {
        assert_eq!(board.chip.read(&mut board.fabric.env(), offset, width), Err(error), "{offset:#x}");
    }
    board.run(&[W(ESR, 0), R(ESR, ERROR_REGISTER)]);
}

#[test]
fn one_shot_counts_down_at_the_divided_rate_and_fires_once() {
    // Divide by 16: 1.5625 MHz, 640 ns a count.
    check(&[
        W(DIVIDE, 3),
        W(LVT_TIMER, 0xec),
        W(INITIAL_COUNT, 1000),
        Wait(640 * 400),
        R(CURRENT_COUNT, 600),
        Wait(640 * 599),
        R(CURRENT_COUNT, 1),
        Pending(None),
        Wait(640),
        R(CURRENT_COUNT, 0),
        Ack(0xec),
        W(EOI, 0),
        Wait(1_000_000_000),
        Pending(None),
        R(INITIAL_COUNT, 1000),
    ]);
}

#[test]
fn linux_calibration_sees_the_count_fall_while_masked() {
    // calibrate_APIC_clock: divide by 16, periodic, masked, a count that does not run out; then 100 ms.
    check(&[
        W(DIVIDE, 3),
        W(LVT_TIMER, LVT_MASKED | LVT_TIMER_PERIODIC | 0xec),
        W(INITIAL_COUNT, u32::MAX),
        R(CURRENT_COUNT, u32::MAX),
        Wait(100_000_000),
        R(CURRENT_COUNT, u32::MAX - 156_250),
    ]);
}

#[test]
fn periodic_reloads_without_drift() {
    let mut board = Board::new();
    // 3 counts of 40 ns, an odd number of picoseconds a tick would show as drift after a while.
    board.run(&[W(DIVIDE, 0xb), W(LVT_TIMER, LVT_TIMER_PERIODIC | 0x40), W(INITIAL_COUNT, 3)]);
    for _ in 0..1000 {
        board.run(&[Pending(None), Wait(119), Pending(None), Wait(1), Ack(0x40), W(EOI, 0)]);
    }
    board.run(&[W(INITIAL_COUNT, 0), Wait(10_000), Pending(None), R(CURRENT_COUNT, 0)]);
    assert_eq!(board.fabric.events.next_due(), VirtTime::NEVER);
}

#[test]
fn changing_divider_or_mode_goes_on_from_the_count() {
    check(&[
        W(DIVIDE, 0xb),
        W(LVT_TIMER, 0x40),
        W(INITIAL_COUNT, 100),
        Wait(40 * 50),
        W(DIVIDE, 0),
        R(CURRENT_COUNT, 50),
        Wait(80 * 20),
        R(CURRENT_COUNT, 30),
        W(LVT_TIMER, LVT_TIMER_PERIODIC | 0x40),
        Wait(80 * 30),
        R(CURRENT_COUNT, 100),
        Ack(0x40),
        W(EOI, 0),
        Wait(80 * 100),
        Ack(0x40),
    ]);
}

#[test]
fn tsc_deadline_fires_at_its_instant_and_reads_zero_after() {
    // 2 GHz: 1000 ns are 2000 ticks.
    check(&[
        W(LVT_TIMER, LVT_TIMER_DEADLINE | 0x30),
        Wm(MSR_TSC_DEADLINE, 2000, true),
        Rm(MSR_TSC_DEADLINE, Some(2000)),
        W(INITIAL_COUNT, 7),
        R(CURRENT_COUNT, 0),
        Wait(999),
        Pending(None),
        Wait(1),
        Ack(0x30),
        W(EOI, 0),
        Rm(MSR_TSC_DEADLINE, Some(0)),
        // The past fires at once.
        Wm(MSR_TSC_DEADLINE, 1, true),
        Ack(0x30),
        W(EOI, 0),
        // Zero disarms, and so does a change of mode.
        Wm(MSR_TSC_DEADLINE, 10_000, true),
        Wm(MSR_TSC_DEADLINE, 0, true),
        Wait(10_000),
        Pending(None),
        Wm(MSR_TSC_DEADLINE, 100_000, true),
        W(LVT_TIMER, 0x30),
        Rm(MSR_TSC_DEADLINE, Some(0)),
        Wm(MSR_TSC_DEADLINE, 100_000, true),
        Rm(MSR_TSC_DEADLINE, Some(0)),
        Wait(100_000),
        Pending(None),
    ]);
}

#[test]
fn tsc_deadline_follows_the_adjusted_tsc() {
    let mut board = Board::new();
    board.run(&[W(LVT_TIMER, LVT_TIMER_DEADLINE | 0x30), Wm(MSR_TSC_DEADLINE, 20_000, true)]);
    board.chip.set_tsc_offset(&mut board.fabric.env(), 18_000);
    board.run(&[Wait(999), Pending(None), Wait(1), Ack(0x30)]);
    board.chip.set_tsc_offset(&mut board.fabric.env(), 0_u64.wrapping_sub(2000));
    board.run(&[W(EOI, 0), Wm(MSR_TSC_DEADLINE, 2000, true), Wait(999), Pending(None), Wait(1), Ack(0x30)]);
}

#[test]
fn base_transitions_follow_the_manuals_figure() {
    const XAPIC: u64 = BASE_DEFAULT | BASE_EN;
    const X2: u64 = XAPIC | BASE_EXTD;
    let cases: [(u64, u64, bool); 10] = [
        (XAPIC, XAPIC, true),
        (XAPIC, X2, true),
        (XAPIC, BASE_DEFAULT, true),
        (XAPIC, BASE_DEFAULT | BASE_EXTD, false),
        (X2, XAPIC, false),
        (X2, BASE_DEFAULT | BASE_EXTD, false),
        (X2, BASE_DEFAULT, true),
        (BASE_DEFAULT, X2, false),
        (BASE_DEFAULT, XAPIC, true),
        (XAPIC, XAPIC | 1, false),
    ];
    for (from, to, ok) in cases {
        let mut board = Board::new();
        let after = if ok { to } else { from } | BASE_BSP;
        board.run(&[
            Wm(MSR_APIC_BASE, from, true),
            Wm(MSR_APIC_BASE, to, ok),
            Rm(MSR_APIC_BASE, Some(after)),
        ]);
    }
    check(&[Wm(MSR_APIC_BASE, XAPIC | 1 << 39, false), Wm(MSR_APIC_BASE, XAPIC | 1 << 38, true)]);
}

#[test]
fn switching_off_forgets_and_passes_the_pins_through() {
    let mut board = Board::new();
    board.run(&[
        W(TPR, 0x20),
        Edge(0x44),
        Wm(MSR_APIC_BASE, BASE_DEFAULT, true),
        Pending(None),
        Lint(0, true),
        Lint(1, true),
        Step::Waiting(Some(Request::Nmi)),
    ]);
    assert!(board.chip.ext_int_pending());
    assert!(!board.accept(fixed(0x44, TriggerMode::Edge)));
    assert_eq!(board.chip.read(&mut board.fabric.env(), TPR.into(), Width::B4), Err(IoError::NoRegister));
    board.run(&[Wm(MSR_APIC_BASE, BASE_DEFAULT | BASE_EN, true), R(TPR, 0), R(SVR, 0xff)]);
}

/// A processor's APIC in x2APIC mode.
fn x2apic(id: u32) -> Board {
    let config = Config { id, ..Config::new(0, TIMER_HZ, TSC_HZ) };
    let mut board = Board { fabric: FakeFabric::new(0), chip: Lapic::new(config) };
    board.run(&[Wm(MSR_APIC_BASE, BASE_DEFAULT | BASE_EN | BASE_EXTD, true), Wm(X2APIC + 0xf, 0x1ff, true)]);
    board
}

#[test]
fn x2apic_registers_are_msrs_and_misuse_is_gp() {
    let mut board = x2apic(0x23);
    board.run(&[
        Rm(X2APIC + 2, Some(0x23)),
        Rm(X2APIC + 3, Some(0x0106_0015)),
        Rm(X2APIC + 0xd, Some(0x0002_0008)),
        Wm(X2APIC + 2, 0, false),
        Wm(X2APIC + 0xd, 0, false),
        Wm(X2APIC + 8, 0x100, false),
        Wm(X2APIC + 8, 0x20, true),
        Rm(X2APIC + 8, Some(0x20)),
        Rm(X2APIC + 9, None),
        Rm(X2APIC + 0xb, None),
        Wm(X2APIC + 0xb, 1, false),
        Wm(X2APIC + 0xb, 0, true),
        Rm(X2APIC + 0xe, None),
        Wm(X2APIC + 0xe, 0, false),
        Wm(X2APIC + 0x28, 1, false),
        Wm(X2APIC + 0x28, 0, true),
        Rm(X2APIC + 0x31, None),
        Wm(X2APIC + 0x31, 0, false),
        Rm(X2APIC + 0x3f, None),
        Wm(X2APIC + 0x32, 1 << 20, false),
        Wm(X2APIC + 0x39, 1, false),
        Rm(X2APIC + 0xff, None),
        Rm(0x900, None),
    ]);
    // The page does not answer, and in xAPIC mode the MSRs do not.
    assert_eq!(board.chip.read(&mut board.fabric.env(), TPR.into(), Width::B4), Err(IoError::NoRegister));
    check(&[Rm(X2APIC + 8, None), Wm(X2APIC + 8, 0, false)]);
}

#[test]
fn x2apic_icr_is_one_write_of_sixty_four_bits() {
    const FIXED: Interrupt = Interrupt {
        vector: 0xfd,
        mode: DeliveryMode::Fixed,
        trigger: TriggerMode::Edge,
        dest_mode: DestinationMode::Physical,
        dest: 0x1234_5678,
    };
    let mut board = x2apic(0x101);
    board.run(&[
        Wm(X2APIC + 0x30, 0x1234_5678_0000_00fd, true),
        Signals(&[Signal::Ipi { from: 0, interrupt: FIXED, shorthand: 0 }]),
        Rm(X2APIC + 0x30, Some(0x1234_5678_0000_00fd)),
        Wm(X2APIC + 0x30, 1 << 20, false),
        Wm(X2APIC + 0x3f, 0xfb, true),
        Signals(&[Signal::Ipi {
            from: 0,
            interrupt: Interrupt { vector: 0xfb, dest: 0x101, ..FIXED },
            shorthand: 1,
        }]),
    ]);
}

#[test]
fn xapic_icr_sends_when_its_low_half_is_written() {
    const INIT: Interrupt = Interrupt {
        vector: 0,
        mode: DeliveryMode::Init,
        trigger: TriggerMode::Edge,
        dest_mode: DestinationMode::Physical,
        dest: 3,
    };
    const START: Interrupt = Interrupt { vector: 0x9a, mode: DeliveryMode::StartUp, ..INIT };
    const ALL: Interrupt =
        Interrupt { vector: 0x40, mode: DeliveryMode::Fixed, dest_mode: DestinationMode::Logical, ..INIT };
    // As Linux wakes a processor: INIT, its de-assertion, start-up.
    check(&[
        W(ICR_HIGH, 3 << 24),
        Signals(&[]),
        W(ICR, 0xc500),
        W(ICR, 0x8500),
        W(ICR, 0x069a),
        Signals(&[
            Signal::Ipi { from: 0, interrupt: INIT, shorthand: 0 },
            Signal::Ipi { from: 0, interrupt: START, shorthand: 0 },
        ]),
        R(ICR, 0x069a),
        W(ICR, 0x000c_0840),
        Signals(&[Signal::Ipi { from: 0, interrupt: ALL, shorthand: 3 }]),
        // Reserved delivery modes are not sent.
        W(ICR, 0x0340),
        W(ICR, 0x0740),
        Signals(&[]),
    ]);
}

#[test]
fn requests_wait_for_the_processor_by_priority() {
    let mut board = Board::new();
    let start = Interrupt { vector: 0x9a, ..with_mode(DeliveryMode::StartUp) };
    for interrupt in
        [with_mode(DeliveryMode::Nmi), with_mode(DeliveryMode::Smi), start, with_mode(DeliveryMode::Init)]
    {
        assert!(board.accept(interrupt));
    }
    board.run(&[W(TPR, 0x30)]);
    for request in [Request::Init, Request::StartUp(0x9a), Request::Smi, Request::Nmi] {
        assert_eq!(board.chip.request(), Some(request));
        assert!(board.chip.take_request(&mut board.fabric.env(), request).is_some());
    }
    assert_eq!(board.chip.request(), None);
    // INIT has reset the registers.
    board.run(&[R(TPR, 0), R(SVR, 0xff), Rm(MSR_APIC_BASE, Some(0xfee0_0900))]);
}

#[test]
fn a_software_disabled_apic_takes_nmi_and_init_but_nothing_maskable() {
    let mut board = Board::new();
    board.run(&[Edge(0x50), W(SVR, 0xff)]);
    assert!(!board.accept(fixed(0x51, TriggerMode::Edge)));
    assert!(board.accept(with_mode(DeliveryMode::Nmi)));
    // What was pending stays.
    board.run(&[Pending(Some(0x50)), R(LVT_ERROR, LVT_MASKED)]);
}

#[test]
fn virtual_wire_passes_the_8259_and_nmi() {
    let mut board = Board::new();
    board.chip.set_virtual_wire();
    board.run(&[Lint(0, true), Pending(None)]);
    assert!(board.chip.ext_int_pending());
    board.run(&[Lint(0, false), Lint(1, true), Step::Waiting(Some(Request::Nmi))]);
    assert!(!board.chip.ext_int_pending());
    board.run(&[W(LVT_LINT0, LVT_MASKED | 0x700), Lint(0, true)]);
    assert!(!board.chip.ext_int_pending());
    board.accept(with_mode(DeliveryMode::ExtInt));
    assert!(board.chip.ext_int_pending());
    assert!(board.chip.acknowledge_ext_int().is_some());
    assert!(!board.chip.ext_int_pending());
}

#[test]
fn level_triggered_lint_interrupts_again_until_its_line_falls() {
    check(&[
        W(LVT_LINT0, LVT_LEVEL | 0x60),
        Lint(0, true),
        R(LVT_LINT0, LVT_LEVEL | LVT_REMOTE_IRR | 0x60),
        Ack(0x60),
        W(EOI, 0),
        Ack(0x60),
        Lint(0, false),
        W(EOI, 0),
        R(LVT_LINT0, LVT_LEVEL | 0x60),
        Pending(None),
        // Fixed and edge: once a rise.
        W(LVT_LINT1, 0x61),
        Lint(1, true),
        Lint(1, true),
        Ack(0x61),
        W(EOI, 0),
        Pending(None),
    ]);
}

/// Four APICs; the first two in clusters or flat as `dfr` says, ids 0 to 3.
fn four(logical: [u32; 4], dfr: u32) -> Vec<Lapic> {
    let mut fabric = FakeFabric::new(0);
    (0..4)
        .map(|index: u8| {
            let mut lapic = Lapic::new(Config::new(index, TIMER_HZ, TSC_HZ));
            let env = &mut fabric.env();
            lapic.write(env, SVR.into(), Width::B4, 0x1ff).unwrap();
            lapic.write(env, DFR.into(), Width::B4, dfr.into()).unwrap();
            let ldr = logical[usize::from(index)] << 24;
            lapic.write(env, LDR.into(), Width::B4, ldr.into()).unwrap();
            lapic
        })
        .collect()
}

#[test]
fn destinations_are_matched_physically_logically_and_by_shorthand() {
    use DestinationMode::{Logical, Physical};
    const FLAT: u32 = u32::MAX;
    const CLUSTER: u32 = 0;
    let cases: [(u32, DestinationMode, u32, u8, &[usize]); 12] = [
        (FLAT, Physical, 2, 0, &[2]),
        (FLAT, Physical, 9, 0, &[]),
        (FLAT, Physical, 0xff, 0, &[0, 1, 2, 3]),
        (FLAT, Logical, 0b0101, 0, &[0, 2]),
        (FLAT, Logical, 0xff, 0, &[0, 1, 2, 3]),
        (CLUSTER, Logical, 0x13, 0, &[0, 1]),
        (CLUSTER, Logical, 0x2f, 0, &[2, 3]),
        (CLUSTER, Logical, 0xf1, 0, &[0, 2]),
        (CLUSTER, Logical, 0x31, 0, &[]),
        (FLAT, Physical, 9, 1, &[1]),
        (FLAT, Physical, 9, 2, &[0, 1, 2, 3]),
        (FLAT, Physical, 9, 3, &[0, 2, 3]),
    ];
    for (dfr, dest_mode, dest, shorthand, expected) in cases {
        let logical = if dfr == FLAT { [1, 2, 4, 8] } else { [0x11, 0x12, 0x21, 0x22] };
        let lapics = four(logical, dfr);
        let interrupt = Interrupt { dest, dest_mode, ..fixed(0x40, TriggerMode::Edge) };
        let got: Vec<usize> = destinations(&lapics, 1, &interrupt, shorthand).collect();
        assert_eq!(got, expected, "{dest:#x} {dest_mode:?} shorthand {shorthand}");
    }
}

#[test]
fn x2apic_destinations_have_thirty_two_bits_and_clusters_of_sixteen() {
    use DestinationMode::{Logical, Physical};
    for (id, dest, mode, meant) in [
        (0x123, 0x123, Physical, true),
        (0x123, 0x23, Physical, false),
        (0x123, u32::MAX, Physical, true),
        (0x123, 0x0012_0008, Logical, true),
        (0x123, 0x0012_0004, Logical, false),
        (0x123, 0x0002_0008, Logical, false),
        (0x003, 0x0000_000f, Logical, true),
        (0x003, u32::MAX, Logical, true),
    ] {
        assert_eq!(x2apic(id).chip.matches(dest, mode), meant, "{id:#x} {dest:#x} {mode:?}");
    }
}

#[test]
fn lowest_priority_goes_to_the_least_busy_and_first_among_equals() {
    let mut lapics = four([1, 2, 4, 8], u32::MAX);
    let mut fabric = FakeFabric::new(0);
    let interrupt = Interrupt {
        mode: DeliveryMode::LowestPriority,
        dest_mode: DestinationMode::Logical,
        dest: 0xf,
        ..fixed(0x40, TriggerMode::Edge)
    };
    let winner = |lapics: &[Lapic]| destinations(lapics, 0, &interrupt, 0).collect::<Vec<_>>();
    assert_eq!(winner(&lapics), [0]);
    lapics[0].set_cr8(&mut fabric.env(), 3);
    assert_eq!(winner(&lapics), [1]);
    lapics[1].accept(&mut fabric.env(), &fixed(0x80, TriggerMode::Edge));
    assert_eq!(winner(&lapics), [2]);
    lapics[2].write(&mut fabric.env(), SVR.into(), Width::B4, 0xff).unwrap();
    assert_eq!(winner(&lapics), [3]);
}

#[test]
fn the_chain_of_causes_leads_from_the_message_to_the_acknowledge() {
    let mut board = Board::new();
    let sent = board.fabric.tracer.emit(Slot::Pit, TraceEvent::Reset);
    board.fabric.tracer.set_cause(Some(sent));
    board.accept(fixed(0x55, TriggerMode::Level));
    board.fabric.tracer.set_cause(None);
    let (vector, cause) = board.chip.acknowledge(&mut board.fabric.env());
    let records = board.fabric.records();
    let [_, accept, irr, isr] = records.as_slice() else { panic!("{records:?}") };
    assert!(matches!(accept.event, TraceEvent::LapicAccept { .. }));
    assert_eq!(accept.cause, Some(sent));
    assert_eq!(irr.event, TraceEvent::LapicIrr { vector: 0x55, trigger: TriggerMode::Level });
    assert_eq!(irr.cause, Some(accept.id));
    assert_eq!(isr.event, TraceEvent::LapicIsr { vector: 0x55 });
    assert_eq!(isr.cause, Some(irr.id));
    assert_eq!((vector, cause), (0x55, Some(isr.id)));
    board.run(&[W(EOI, 0)]);
    assert_eq!(board.fabric.records()[0].event, TraceEvent::LapicEoi { vector: 0x55, broadcast: true });
}

#[test]
fn registers_are_shown_in_words() {
    let mut board = Board::new();
    board.run(&[Edge(0x45), Edge(0x51), W(LVT_TIMER, LVT_TIMER_PERIODIC | 0x40)]);
    let shown: Vec<_> = board.chip.registers(board.fabric.now).collect();
    for (name, words) in [
        ("IA32_APIC_BASE", "XApic"),
        ("IRR2", "0x45 0x51"),
        ("LVT_TIMER", "vector 0x40, periodic"),
        ("LVT_LINT0", "vector 0x00, Fixed, masked"),
        ("SVR", "enabled"),
    ] {
        let register = shown.iter().find(|register| register.name == name).unwrap();
        assert_eq!(register.meaning, words, "{name}");
    }
}

#[test]
fn state_survives_ron_and_nonsense_is_refused() {
    let mut board = Board::new();
    board.run(&[
        W(LVT_TIMER, LVT_TIMER_PERIODIC | 0x40),
        W(INITIAL_COUNT, 1000),
        Edge(0x33),
        Level(0x99),
        Ack(0x99),
        Wait(100),
    ]);
    let text = ron::to_string(board.chip.state()).unwrap();
    let mut other = Lapic::new(*board.chip.config());
    other.restore(ron::from_str(&text).unwrap()).unwrap();
    assert_eq!(other, board.chip);
    let good = board.chip.state().clone();
    for bad in [
        LapicState { base: BASE_EXTD | BASE_BSP, ..good.clone() },
        LapicState { base: BASE_DEFAULT | BASE_EN, ..good.clone() },
        LapicState { irr: [1, 0, 0, 0], ..good.clone() },
        LapicState { lvt: [u32::MAX; 7], ..good.clone() },
        LapicState { svr: 1 << 20, ..good.clone() },
        LapicState { irr: [0; 4], ..good },
    ] {
        assert!(other.restore(bad).is_err());
    }
}
