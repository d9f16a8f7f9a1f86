//! Registers of the local APIC: Intel SDM vol. 3A, chapter 12 (table 12-1 for xAPIC offsets, table 12-6 for x2APIC MSRs).
//!
//! One offset names a register in both modes: the xAPIC address is the page plus the offset, the x2APIC MSR is
//! `0x800 + offset / 16`.

/// IA32_APIC_BASE (12.4.4 and figure 12-26).
pub const MSR_APIC_BASE: u32 = 0x1b;
/// IA32_TSC_DEADLINE (12.5.4.1).
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// First x2APIC MSR.
pub const MSR_X2APIC_FIRST: u32 = 0x800;
/// Last x2APIC MSR.
pub const MSR_X2APIC_LAST: u32 = 0x8ff;

/// IA32_APIC_BASE: this is the bootstrap processor.
pub const BASE_BSP: u64 = 1 << 8;
/// IA32_APIC_BASE: x2APIC mode.
pub const BASE_EXTD: u64 = 1 << 10;
/// IA32_APIC_BASE: enabled at all.
pub const BASE_EN: u64 = 1 << 11;
/// Where the page lies after reset.
pub const BASE_DEFAULT: u64 = 0xfee0_0000;

/// Local APIC id (12.4.6), RO. xAPIC: bits 31:24; x2APIC: all 32.
pub const ID: u16 = 0x020;
/// Version (12.4.8), RO.
pub const VERSION: u16 = 0x030;
/// Task priority (12.8.3.1), RW.
pub const TPR: u16 = 0x080;
/// Arbitration priority (12.6.2.4), RO, xAPIC only.
pub const APR: u16 = 0x090;
/// Processor priority (12.8.3.1), RO.
pub const PPR: u16 = 0x0a0;
/// End of interrupt (12.8.5), WO.
pub const EOI: u16 = 0x0b0;
/// Remote read, RO, xAPIC only; always 0: no remote reads exist since the Pentium 4.
pub const RRR: u16 = 0x0c0;
/// Logical destination (12.6.2.2 and 12.12.10.1), RW in xAPIC, RO in x2APIC.
pub const LDR: u16 = 0x0d0;
/// Destination format (12.6.2.2), RW, xAPIC only.
pub const DFR: u16 = 0x0e0;
/// Spurious-interrupt vector (12.9), RW.
pub const SVR: u16 = 0x0f0;
/// In-service, 8 registers (12.8.4), RO.
pub const ISR: u16 = 0x100;
/// Trigger mode, 8 registers (12.8.4), RO.
pub const TMR: u16 = 0x180;
/// Interrupt request, 8 registers (12.8.4), RO.
pub const IRR: u16 = 0x200;
/// Error status (12.5.3), write latches, then read.
pub const ESR: u16 = 0x280;
/// LVT corrected machine-check (12.5.1), RW.
pub const LVT_CMCI: u16 = 0x2f0;
/// Interrupt command, low half, or all 64 bits in x2APIC (12.6.1), RW.
pub const ICR: u16 = 0x300;
/// Interrupt command, high half, RW, xAPIC only.
pub const ICR_HIGH: u16 = 0x310;
/// LVT timer (12.5.1), RW.
pub const LVT_TIMER: u16 = 0x320;
/// LVT thermal sensor, RW.
pub const LVT_THERMAL: u16 = 0x330;
/// LVT performance counters, RW.
pub const LVT_PERF: u16 = 0x340;
/// LVT LINT0, RW.
pub const LVT_LINT0: u16 = 0x350;
/// LVT LINT1, RW.
pub const LVT_LINT1: u16 = 0x360;
/// LVT error, RW.
pub const LVT_ERROR: u16 = 0x370;
/// Timer initial count (12.5.4), RW.
pub const INITIAL_COUNT: u16 = 0x380;
/// Timer current count, RO.
pub const CURRENT_COUNT: u16 = 0x390;
/// Timer divide configuration, RW.
pub const DIVIDE: u16 = 0x3e0;
/// Self IPI (12.12.11), WO, x2APIC only.
pub const SELF_IPI: u16 = 0x3f0;

/// Version field: an integrated APIC, 12.4.8.
pub const VERSION_NUMBER: u32 = 0x15;
/// Version: index of the last LVT entry, bits 23:16.
pub const VERSION_MAX_LVT: u32 = 6 << 16;
/// Version: SVR bit 12 works.
pub const VERSION_EOI_SUPPRESSION: u32 = 1 << 24;

/// SVR: software enable.
pub const SVR_ENABLE: u32 = 1 << 8;
/// SVR: focus processor checking off; kept, without effect since the Pentium 4.
pub const SVR_FOCUS: u32 = 1 << 9;
/// SVR: no EOI broadcast.
pub const SVR_SUPPRESS_EOI: u32 = 1 << 12;

/// ESR: an IPI with a vector below 16 was asked for.
pub const ERROR_SEND_VECTOR: u32 = 1 << 5;
/// ESR: an interrupt with a vector below 16 came in.
pub const ERROR_RECEIVE_VECTOR: u32 = 1 << 6;
/// ESR: a reserved register was accessed in xAPIC mode.
pub const ERROR_REGISTER: u32 = 1 << 7;

/// LVT: delivery status, RO; deliveries are instant here, so always 0.
pub const LVT_STATUS: u32 = 1 << 12;
/// LVT LINT0 and LINT1: input is active low.
pub const LVT_LOW_ACTIVE: u32 = 1 << 13;
/// LVT LINT0 and LINT1: remote IRR, RO.
pub const LVT_REMOTE_IRR: u32 = 1 << 14;
/// LVT LINT0 and LINT1: level triggered.
pub const LVT_LEVEL: u32 = 1 << 15;
/// LVT: masked.
pub const LVT_MASKED: u32 = 1 << 16;
/// LVT timer: mode field (table 12-2).
pub const LVT_TIMER_MODE: u32 = 3 << 17;
/// LVT timer: periodic.
pub const LVT_TIMER_PERIODIC: u32 = 1 << 17;
/// LVT timer: TSC-deadline.
pub const LVT_TIMER_DEADLINE: u32 = 2 << 17;

/// ICR: logical destination.
pub const ICR_LOGICAL: u64 = 1 << 11;
/// ICR: level assert.
pub const ICR_ASSERT: u64 = 1 << 14;
/// ICR: trigger mode level.
pub const ICR_LEVEL: u64 = 1 << 15;
/// ICR bits that exist, apart from the destination. Bit 12, delivery status, reads 0.
pub const ICR_VALID: u64 = 0x000c_cfff;

/// Vectors below this are reserved by the architecture.
pub const FIRST_VECTOR: u8 = 16;

/// The entries of the local vector table (12.5.1, figure 12-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lvt {
    /// Corrected machine-check.
    Cmci,
    /// Timer.
    Timer,
    /// Thermal sensor.
    Thermal,
    /// Performance counters.
    Perf,
    /// The LINT0 pin: the 8259 pair.
    Lint0,
    /// The LINT1 pin: NMI.
    Lint1,
    /// The APIC's own errors.
    Error,
}

impl Lvt {
    /// All, in the order that the state stores them.
    pub const ALL: [Self; 7] =
        [Self::Cmci, Self::Timer, Self::Thermal, Self::Perf, Self::Lint0, Self::Lint1, Self::Error];

    /// The entry at a register offset.
    #[must_use]
    pub fn at(offset: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.offset() == offset)
    }

    /// Its register.
    #[must_use]
    pub const fn offset(self) -> u16 {
        match self {
            Self::Cmci => LVT_CMCI,
            Self::Timer => LVT_TIMER,
            Self::Thermal => LVT_THERMAL,
            Self::Perf => LVT_PERF,
            Self::Lint0 => LVT_LINT0,
            Self::Lint1 => LVT_LINT1,
            Self::Error => LVT_ERROR,
        }
    }

    /// The bits that exist, read-only ones included.
    #[must_use]
    pub const fn valid(self) -> u32 {
        match self {
            Self::Timer => 0x0007_10ff,
            Self::Cmci | Self::Thermal | Self::Perf => 0x0001_17ff,
            Self::Lint0 | Self::Lint1 => 0x0001_f7ff,
            Self::Error => 0x0001_10ff,
        }
    }

    /// The bits that software can't change.
    #[must_use]
    pub const fn read_only(self) -> u32 {
        match self {
            Self::Lint0 | Self::Lint1 => LVT_STATUS | LVT_REMOTE_IRR,
            Self::Cmci | Self::Timer | Self::Thermal | Self::Perf | Self::Error => LVT_STATUS,
        }
    }
}

const ISR_NAMES: [&str; 8] = ["ISR0", "ISR1", "ISR2", "ISR3", "ISR4", "ISR5", "ISR6", "ISR7"];
const TMR_NAMES: [&str; 8] = ["TMR0", "TMR1", "TMR2", "TMR3", "TMR4", "TMR5", "TMR6", "TMR7"];
const IRR_NAMES: [&str; 8] = ["IRR0", "IRR1", "IRR2", "IRR3", "IRR4", "IRR5", "IRR6", "IRR7"];

/// Every register in ascending order.
pub const REGISTERS: [u16; 48] = [
    ID,
    VERSION,
    TPR,
    APR,
    PPR,
    EOI,
    RRR,
    LDR,
    DFR,
    SVR,
    0x100,
    0x110,
    0x120,
    0x130,
    0x140,
    0x150,
    0x160,
    0x170,
    0x180,
    0x190,
    0x1a0,
    0x1b0,
    0x1c0,
    0x1d0,
    0x1e0,
    0x1f0,
    0x200,
    0x210,
    0x220,
    0x230,
    0x240,
    0x250,
    0x260,
    0x270,
    ESR,
    LVT_CMCI,
    ICR,
    ICR_HIGH,
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PERF,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    INITIAL_COUNT,
    CURRENT_COUNT,
    DIVIDE,
    SELF_IPI,
];

/// The manual's name for the register at an offset of the page.
#[must_use]
pub fn register_name(offset: u64) -> Option<&'static str> {
    let register = u16::try_from(offset & !0xf).ok()?;
    let bank = |names: &'static [&'static str; 8]| names.get(usize::from(register >> 4 & 7)).copied();
    match register {
        ID => Some("ID"),
        VERSION => Some("VERSION"),
        TPR => Some("TPR"),
        APR => Some("APR"),
        PPR => Some("PPR"),
        EOI => Some("EOI"),
        RRR => Some("RRR"),
        LDR => Some("LDR"),
        DFR => Some("DFR"),
        SVR => Some("SVR"),
        0x100..=0x170 => bank(&ISR_NAMES),
        0x180..=0x1f0 => bank(&TMR_NAMES),
        0x200..=0x270 => bank(&IRR_NAMES),
        ESR => Some("ESR"),
        LVT_CMCI => Some("LVT_CMCI"),
        ICR => Some("ICR"),
        ICR_HIGH => Some("ICR_HIGH"),
        LVT_TIMER => Some("LVT_TIMER"),
        LVT_THERMAL => Some("LVT_THERMAL"),
        LVT_PERF => Some("LVT_PERF"),
        LVT_LINT0 => Some("LVT_LINT0"),
        LVT_LINT1 => Some("LVT_LINT1"),
        LVT_ERROR => Some("LVT_ERROR"),
        INITIAL_COUNT => Some("INITIAL_COUNT"),
        CURRENT_COUNT => Some("CURRENT_COUNT"),
        DIVIDE => Some("DIVIDE"),
        SELF_IPI => Some("SELF_IPI"),
        _ => None,
    }
}
