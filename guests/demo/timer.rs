//! Waiting: a one-shot alarm by LAPIC timer interrupts.
//!
//! The timer's frequency comes from the command line, else from CPUID leaf 0x15 (the core crystal clock, SDM
//! Vol. 3A, 11.5.4), else it is measured against the 8254's channel 2 (Intel 8254 data sheet: control word
//! format, mode 0).

use crate::cpu::{inb, outb};
use crate::mem::Shared;
use crate::{fail, lapic, log};
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicBool, Ordering};

const PIT_HZ: u64 = 1_193_182;
const PIT_CHANNEL_2: u16 = 0x42;
const PIT_CONTROL: u16 = 0x43;
/// Channel 2, low byte then high byte, mode 0 (interrupt on terminal count), binary.
const PIT_CHANNEL_2_ONE_SHOT: u8 = 0b1011_0000;
/// Port 0x61 of the PC: channel 2's gate, the speaker, channel 2's output.
const SYSTEM_CONTROL: u16 = 0x61;
const GATE_2: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT_2: u8 = 1 << 5;
/// About 5 ms: long enough for an error below 0.1 % where a port read takes a microsecond or two.
const PIT_TICKS: u16 = 5966;
/// A 8254 that does not count must not stop the guest.
const MAX_POLLS: u32 = 50_000_000;

const LEAF_TIME: u32 = 0x15;

static COUNTS_PER_MS: Shared<u64> = Shared::new(0);
static EXPIRED: AtomicBool = AtomicBool::new(false);

/// Finds out how fast the timer counts.
pub fn init(lapic_hz: Option<u64>) {
    let (hz, source) = match (lapic_hz, crystal_hz()) {
        (Some(hz), _) => (hz, "the command line"),
        (None, Some(hz)) => (hz, "CPUID leaf 0x15"),
        (None, None) => (measured_hz(), "the 8254"),
    };
    let counts = hz / lapic::TIMER_DIVISOR / 1000;
    if counts == 0 {
        fail!(Timer, "timer: no way to tell how fast the LAPIC timer counts; try lapic-hz=");
    }
    log!("timer: LAPIC timer at {hz} Hz, told by {source}");
    COUNTS_PER_MS.set(counts);
}

fn crystal_hz() -> Option<u64> {
    if __cpuid(0).eax < LEAF_TIME {
        return None;
    }
    let hz = u64::from(__cpuid(LEAF_TIME).ecx);
    (hz != 0).then_some(hz)
}

fn measured_hz() -> u64 {
    let control = inb(SYSTEM_CONTROL) & !(GATE_2 | SPEAKER);
    outb(SYSTEM_CONTROL, control | GATE_2);
    outb(PIT_CONTROL, PIT_CHANNEL_2_ONE_SHOT);
    outb(PIT_CHANNEL_2, PIT_TICKS as u8);
    outb(PIT_CHANNEL_2, (PIT_TICKS >> 8) as u8);
    lapic::start_timer(u32::MAX);
    let reached = (0..MAX_POLLS).any(|_| inb(SYSTEM_CONTROL) & OUTPUT_2 != 0);
    let counted = u64::from(u32::MAX - lapic::timer_count());
    lapic::start_timer(0);
    outb(SYSTEM_CONTROL, control);
    if reached { counted * lapic::TIMER_DIVISOR * PIT_HZ / u64::from(PIT_TICKS) } else { 0 }
}

/// Sets the alarm anew, `ms` from now; 0 turns it off.
pub fn start_ms(ms: u32) {
    EXPIRED.store(false, Ordering::Relaxed);
    lapic::start_timer((u64::from(ms) * COUNTS_PER_MS.get()).min(u64::from(u32::MAX)) as u32);
}

/// Whether the alarm has rung since it was set.
pub fn expired() -> bool {
    EXPIRED.load(Ordering::Relaxed)
}

/// The handler of `idt::TIMER_VECTOR`.
pub fn handle_interrupt() {
    EXPIRED.store(true, Ordering::Relaxed);
}
