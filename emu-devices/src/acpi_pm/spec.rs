//! ACPI fixed hardware as an I/O controller hub has it: Intel ICH9 data sheet (order 316972), 13.8.3 (power management
//! registers) and 13.7 (processor interface); bit meanings are ACPI 6.5, 4.8.3. Ports are absolute numbers; those of
//! the block are `pm_base` plus the offsets here.

/// PM1 status, 16 bits, RW1C.
pub const PM1_STATUS: u16 = 0x00;
/// PM1 enable, 16 bits, RW.
pub const PM1_ENABLE: u16 = 0x02;
/// PM1 control, 32 bits, RW.
pub const PM1_CONTROL: u16 = 0x04;
/// PM timer, 32 bits, RO.
pub const TIMER: u16 = 0x08;
/// General-purpose event status, 64 bits, RW1C. No source is connected, so 0.
pub const GPE0_STATUS: u16 = 0x20;
/// General-purpose event enable, 64 bits, RW.
pub const GPE0_ENABLE: u16 = 0x28;
/// Bytes of the block.
pub const BLOCK: u16 = 0x30;

/// SMI command: where an OS asks firmware for ACPI mode, RW.
pub const SMI_COMMAND: u16 = 0xb2;
/// Scratch beside it, RW.
pub const SMI_DATA: u16 = 0xb3;
/// Reset control, RW. Byte accesses only: dwords at 0xCF8 are PCI configuration.
pub const RESET: u16 = 0xcf9;

/// PM timer, in Hz.
pub const TIMER_HZ: u64 = 3_579_545;

/// Status and enable: the timer's most significant bit changed.
pub const TIMER_EVENT: u16 = 1 << 0;
/// Status: bus master activity.
pub const BUS_MASTER: u16 = 1 << 4;
/// Status and enable: firmware releases the global lock.
pub const GLOBAL: u16 = 1 << 5;
/// Status and enable: the power button.
pub const POWER_BUTTON: u16 = 1 << 8;
/// Status and enable: the clock's alarm.
pub const RTC_EVENT: u16 = 1 << 10;
/// Status: a sleep has ended.
pub const WAKE: u16 = 1 << 15;
/// Status bits that exist.
pub const STATUS_VALID: u16 = TIMER_EVENT | BUS_MASTER | GLOBAL | POWER_BUTTON | RTC_EVENT | WAKE;
/// Enable bits that exist.
pub const ENABLE_VALID: u16 = TIMER_EVENT | GLOBAL | POWER_BUTTON | RTC_EVENT;

/// Control: events are SCIs: ACPI mode.
pub const SCI_ENABLE: u16 = 1 << 0;
/// Control: bus master requests wake processors.
pub const BUS_MASTER_RELOAD: u16 = 1 << 1;
/// Control: sleep type, bits 12:10.
pub const SLEEP_TYPE: u16 = 7 << 10;
/// Control: enter that sleep, WO.
pub const SLEEP_ENABLE: u16 = 1 << 13;
/// Control bits that are kept.
pub const CONTROL_KEPT: u16 = SCI_ENABLE | BUS_MASTER_RELOAD | SLEEP_TYPE;

/// Reset control: hard reset, not of the processor only.
pub const RESET_SYSTEM: u8 = 1 << 1;
/// Reset control: a rise resets.
pub const RESET_CPU: u8 = 1 << 2;
/// Reset control: with power cycle.
pub const RESET_FULL: u8 = 1 << 3;

/// The name of a register of the block by offset.
#[must_use]
pub fn block_register_name(offset: u16) -> Option<&'static str> {
    match offset {
        0x00..0x02 => Some("PM1_STS"),
        0x02..0x04 => Some("PM1_EN"),
        0x04..0x08 => Some("PM1_CNT"),
        0x08..0x0c => Some("PM_TMR"),
        0x20..0x28 => Some("GPE0_STS"),
        0x28..0x30 => Some("GPE0_EN"),
        _ => None,
    }
}

/// The name of a port outside the block.
#[must_use]
pub fn register_name(port: u16) -> Option<&'static str> {
    match port {
        SMI_COMMAND => Some("SMI_CMD"),
        SMI_DATA => Some("SMI_DATA"),
        RESET => Some("RST_CNT"),
        _ => None,
    }
}
