//! The local APIC in xAPIC mode.
//!
//! Intel SDM Vol. 3A, chapter 11: Table 11-1 (register map), 11.4.4 (IA32_APIC_BASE), 11.5.1 (local vector
//! table), 11.5.4 (timer), 11.9 (spurious interrupt).

use crate::cpu::{rdmsr, wrmsr};
use crate::idt::{SPURIOUS_VECTOR, TIMER_VECTOR};
use crate::mem::Mmio;

const IA32_APIC_BASE: u32 = 0x1b;
const APIC_GLOBAL_ENABLE: u64 = 1 << 11;

const REGISTERS: Mmio = Mmio::new(0xfee0_0000);
const ID: u64 = 0x20;
const TASK_PRIORITY: u64 = 0x80;
const END_OF_INTERRUPT: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const SPURIOUS_APIC_ENABLE: u32 = 1 << 8;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_LINT1: u64 = 0x360;
const LVT_ERROR: u64 = 0x370;
const LVT_MASKED: u32 = 1 << 16;
const TIMER_INITIAL_COUNT: u64 = 0x380;
const TIMER_CURRENT_COUNT: u64 = 0x390;
const TIMER_DIVIDE: u64 = 0x3e0;
const TIMER_DIVIDE_BY_16: u32 = 0b0011;

/// The timer's clock is divided by this.
pub const TIMER_DIVISOR: u64 = 16;

/// Enables the APIC, with nothing but the timer's vector set up.
pub fn init() {
    wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | APIC_GLOBAL_ENABLE);
    REGISTERS.write32(TASK_PRIORITY, 0);
    REGISTERS.write32(SPURIOUS, SPURIOUS_APIC_ENABLE | u32::from(SPURIOUS_VECTOR));
    for entry in [LVT_LINT0, LVT_LINT1, LVT_ERROR] {
        REGISTERS.write32(entry, LVT_MASKED);
    }
    REGISTERS.write32(TIMER_DIVIDE, TIMER_DIVIDE_BY_16);
    // One-shot mode is the field's zero.
    REGISTERS.write32(LVT_TIMER, u32::from(TIMER_VECTOR));
}

/// This CPU's APIC id, the destination of every interrupt.
pub fn id() -> u8 {
    (REGISTERS.read32(ID) >> 24) as u8
}

/// Tells the APIC that the interrupt in service is done.
pub fn end_of_interrupt() {
    REGISTERS.write32(END_OF_INTERRUPT, 0);
}

/// Starts the timer, or stops it with a count of 0.
pub fn start_timer(count: u32) {
    REGISTERS.write32(TIMER_INITIAL_COUNT, count);
}

/// What is left of the timer's count.
pub fn timer_count() -> u32 {
    REGISTERS.read32(TIMER_CURRENT_COUNT)
}
