//! One fuzzer for all chips: nonsense accesses, signals and jumps of time, from fixed seeds.
//!
//! No chip may panic, pile up events, or come into a state that it would not take back from a snapshot.

use crate::acpi_pm::{self, AcpiPm};
use crate::debug_port::DebugPort;
use crate::ioapic::{self, Ioapic};
use crate::kbc::Kbc;
use crate::lapic::{self, Lapic};
use crate::pic::Pic;
use crate::pit::Pit;
use crate::rtc::{self, Rtc};
use crate::uart::{self, Pace, Uart};
use emu_core::device::Env;
use emu_core::testing::FakeFabric;
use emu_core::{
    Bdf, DeliveryMode, DestinationMode, Event, Interrupt, TriggerMode, VirtDuration, VirtTime, Width,
};

/// Pseudo-random numbers: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn width(&mut self, usual: Width) -> Width {
        match self.below(20) {
            0 => Width::B1,
            1 => Width::B2,
            2 => Width::B4,
            3 => Width::B8,
            _ => usual,
        }
    }

    /// Small, full of bits, one bit, or anything.
    fn value(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(16),
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => self.below(256),
            _ => self.roll(),
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A chip as the fuzzer sees it.
trait Target {
    /// Does something at random.
    fn poke(&mut self, env: &mut Env<'_>, dice: &mut Dice);
    /// What it asked to be told.
    fn on_event(&mut self, env: &mut Env<'_>, event: Event);
    /// Takes its own state back.
    fn take_back(&mut self);
}

macro_rules! target {
    ($chip:ty, events: $events:expr, poke: $poke:expr) => {
        impl Target for $chip {
            fn poke(&mut self, env: &mut Env<'_>, dice: &mut Dice) {
                let poke: fn(&mut $chip, &mut Env<'_>, &mut Dice) = $poke;
                poke(self, env, dice);
            }
            fn on_event(&mut self, env: &mut Env<'_>, event: Event) {
                let told: fn(&mut $chip, &mut Env<'_>, u32) = $events;
                told(self, env, event.token);
            }
            fn take_back(&mut self) {
                let state = self.state().clone();
                let text = ron::to_string(&state).unwrap();
                self.restore(ron::from_str(&text).unwrap()).unwrap();
                assert_eq!(*self.state(), state);
            }
        }
    };
}

/// What a nonsense access answers does not matter.
fn ignore<T>(_: T) {}

fn no_events<T>(_: &mut T, _: &mut Env<'_>, _: u32) {}

/// Reads or writes a port.
macro_rules! port_access {
    ($chip:expr, $env:expr, $dice:expr, $ports:expr) => {{
        let (port, width) = ($dice.pick($ports), $dice.width(Width::B1));
        if $dice.coin() {
            ignore($chip.read($env, port, width));
        } else {
            ignore($chip.write($env, port, width, $dice.value()));
        }
    }};
}

target!(Lapic, events: Lapic::on_event, poke: |chip, env, dice| {
    let register = dice.below(0x41) << 4;
    let offset = if dice.below(30) == 0 { dice.value() } else { register };
    match dice.below(12) {
        0..3 => ignore(chip.write(env, offset, dice.width(Width::B4), dice.value())),
        3 => ignore(chip.read(env, offset, dice.width(Width::B4))),
        4 => ignore(chip.msr_write(env, 0x800 + (register >> 4) as u32, dice.value())),
        5 => ignore(chip.msr_read(env, 0x800 + (register >> 4) as u32)),
        6 => ignore(chip.msr_write(env, dice.pick(&[0x6e0, 0x6e0, 0x6e0, 0x80f, 0x1b]), dice.value())),
        7 => {
            let mode = DeliveryMode::from_bits(dice.below(8) as u8).unwrap_or(DeliveryMode::Fixed);
            let trigger = if dice.coin() { TriggerMode::Level } else { TriggerMode::Edge };
            let dest_mode = DestinationMode::Logical;
            let interrupt = Interrupt { vector: dice.value() as u8, mode, trigger, dest_mode, dest: 1 };
            chip.accept(env, &interrupt);
            lapic::destinations(std::slice::from_ref(chip), 0, &interrupt, dice.value() as u8).count();
        }
        8 => ignore(chip.acknowledge(env)),
        9 => chip.set_lint(env, dice.below(3) as usize, dice.coin()),
        10 => {
            if let Some(request) = chip.request() {
                chip.take_request(env, request);
            }
            if dice.coin() {
                let on = lapic::spec::BASE_DEFAULT | dice.pick(&[0, 0x800, 0xc00]);
                ignore(chip.msr_write(env, lapic::spec::MSR_APIC_BASE, on));
            }
        }
        _ => {
            chip.set_tsc_offset(env, dice.value());
            chip.set_cr8(env, dice.below(16));
        }
    }
    chip.registers(env.now).count();
});

target!(Ioapic, events: no_events, poke: |chip, env, dice| {
    match dice.below(6) {
        0 | 1 => {
            let index = dice.below(0x42);
            ignore(chip.write(env, ioapic::spec::IOREGSEL, Width::B4, index));
            ignore(chip.write(env, ioapic::spec::IOWIN, dice.width(Width::B4), dice.value()));
        }
        2 => ignore(chip.read(env, dice.pick(&[0, 0x10, 0x40, 0x13, 0x999, u64::MAX]), dice.width(Width::B4))),
        3 => ignore(chip.write(env, ioapic::spec::EOI, Width::B4, dice.below(256))),
        4 => chip.eoi(env, dice.value() as u8),
        _ => chip.set_pin(env, dice.below(26) as u8, dice.coin()),
    }
    chip.registers().count();
});

target!(Pic, events: no_events, poke: |chip, env, dice| {
    match dice.below(4) {
        0 | 1 => port_access!(chip, env, dice, &[0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x4d2]),
        2 => chip.set_pin(env, dice.below(18) as u8, dice.coin()),
        _ => ignore(chip.acknowledge(env)),
    }
    chip.registers().count();
});

target!(Pit, events: Pit::on_event, poke: |chip, env, dice| {
    port_access!(chip, env, dice, &[0x40, 0x40, 0x41, 0x42, 0x42, 0x43, 0x43, 0x44, 0x61]);
    chip.registers(env.now).count();
});

target!(Uart, events: Uart::on_event, poke: |chip, env, dice| {
    match dice.below(12) {
        0 => chip.push_input(env, b"some input"),
        1 => chip.set_modem_lines(env, dice.value() as u8),
        2 => ignore(chip.take_output()),
        _ => port_access!(chip, env, dice, &[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, u16::MAX]),
    }
    chip.registers().count();
});

target!(Rtc, events: Rtc::on_event, poke: |chip, env, dice| {
    match dice.below(10) {
        0 => chip.reset(env),
        1 => port_access!(chip, env, dice, &[0x70, 0x71, 0x72]),
        _ => {
            let index = if dice.coin() { dice.below(16) } else { dice.pick(&[0x0a, 0x0b, 0x0c, 0x32, 0x7f]) };
            ignore(chip.write(env, rtc::spec::INDEX, Width::B1, index));
            port_access!(chip, env, dice, &[0x71]);
        }
    }
    chip.registers(env.now).count();
});

target!(AcpiPm, events: AcpiPm::on_event, poke: |chip, env, dice| {
    let port = 0x5fe + dice.below(0x36) as u16;
    match dice.below(8) {
        0 => chip.press_power_button(env),
        1 => port_access!(chip, env, dice, &[0xb2, 0xb3, 0xcf9, 0, u16::MAX]),
        2..5 => ignore(chip.read(env, port, dice.width(Width::B4))),
        _ => ignore(chip.write(env, port, dice.width(Width::B2), dice.value())),
    }
    chip.registers(env.now).count();
});

target!(Kbc, events: no_events, poke: |chip, env, dice| {
    port_access!(chip, env, dice, &[0x60, 0x64, 0x92, 0x61]);
    chip.registers().count();
});

target!(DebugPort, events: no_events, poke: |chip, env, dice| {
    port_access!(chip, env, dice, &[0xf4, 0xe9, 0x8900, 0x80, 0xf5, 0]);
    ignore(chip.take_output());
    chip.registers().count();
});

/// Steps for each seed.
const STEPS: u32 = 20_000;
/// More events than any chip has kinds of.
const PENDING_MAX: usize = 4;

/// Pokes a chip and lets time go by in steps from picoseconds to an hour.
fn fuzz(make: impl Fn() -> Box<dyn Target>) {
    for seed in 1..=4 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut fabric = FakeFabric::new(0);
        let mut chip = make();
        for step in 0..STEPS {
            chip.poke(&mut fabric.env(), &mut dice);
            let pending = fabric.events.iter().count();
            assert!(pending <= PENDING_MAX, "seed {seed}, step {step}: {pending} events");
            let span = VirtDuration(dice.roll() >> dice.below(64).max(12));
            let until = fabric.now.after(span).min(VirtTime(u64::MAX / 2));
            // Fast timers would go on for ever: the rest of their events come late.
            for _ in 0..16 {
                let Some(event) = fabric.next_event(until) else { break };
                chip.on_event(&mut fabric.env(), event);
            }
            fabric.now = fabric.now.max(until);
            if step % 64 == 0 {
                chip.take_back();
                ignore((fabric.take_signals(), fabric.records()));
            }
        }
    }
}

#[test]
fn lapic_survives_nonsense() {
    fuzz(|| Box::new(Lapic::new(lapic::Config::new(0, 25_000_000, 2_000_000_000))));
}

#[test]
fn ioapic_survives_nonsense() {
    let config = ioapic::Config { id: 1, bdf: Bdf::new(0xf0, 0x1f, 0), low_active_wires: 0xff_0000 };
    fuzz(move || Box::new(Ioapic::new(config)));
}

#[test]
fn pic_survives_nonsense() {
    fuzz(|| Box::new(Pic::new()));
}

#[test]
fn pit_survives_nonsense() {
    fuzz(|| Box::new(Pit::new()));
}

#[test]
fn uart_survives_nonsense() {
    fuzz(|| Box::new(Uart::new(uart::Config { index: 0, pace: Pace::Baud })));
    let pace = Pace::Fixed(VirtDuration::ZERO);
    fuzz(move || Box::new(Uart::new(uart::Config { index: 0, pace })));
}

#[test]
fn rtc_survives_nonsense() {
    for date in [0, i64::MIN, i64::MAX] {
        fuzz(move || Box::new(Rtc::new(&rtc::Config { date, presets: vec![(0xff, 1), (0, 1)] })));
    }
}

#[test]
fn acpi_pm_survives_nonsense() {
    fuzz(|| Box::new(AcpiPm::new(acpi_pm::Config::default())));
}

#[test]
fn kbc_survives_nonsense() {
    fuzz(|| Box::new(Kbc::new()));
}

#[test]
fn debug_port_survives_nonsense() {
    fuzz(|| Box::new(DebugPort::new()));
}
