//! The real-time clock and its 128 bytes of CMOS RAM: Motorola MC146818 data sheet, "Register A" to "Register D" and
//! table 3 (time base and update cycles). Bytes beyond register D have the IBM PC AT's meanings.

/// Index port, bits 6:0 index, bit 7 NMI disable (IBM PC AT Technical Reference).
pub const INDEX: u16 = 0x70;
/// Data port.
pub const DATA: u16 = 0x71;
/// Bit 7 of the index port: NMI is kept from the processor.
pub const NMI_DISABLE: u8 = 1 << 7;

/// Bytes.
pub const SIZE: usize = 128;
/// The registers that hold the time, in the order in which the state keeps them: seconds, minutes, hours, day of the
/// week, day of the month, month, year, century.
pub const TIME: [u8; 8] = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32];
/// Seconds alarm; [`ALARM_ANY`] matches all.
pub const ALARM_SECONDS: u8 = 0x01;
/// Minutes alarm.
pub const ALARM_MINUTES: u8 = 0x03;
/// Hours alarm.
pub const ALARM_HOURS: u8 = 0x05;
/// An alarm byte with both these bits set matches everything.
pub const ALARM_ANY: u8 = 0xc0;

/// Register A: update in progress, divider, rate.
pub const A: u8 = 0x0a;
/// Register B: modes and interrupt enables.
pub const B: u8 = 0x0b;
/// Register C: interrupt flags; a read clears them.
pub const C: u8 = 0x0c;
/// Register D: bit 7, RAM and time are valid.
pub const D: u8 = 0x0d;

/// A: update in progress, RO.
pub const A_UPDATING: u8 = 1 << 7;
/// A: both bits set hold the divider in reset.
pub const A_DIVIDER_RESET: u8 = 0x60;
/// A: periodic rate.
pub const A_RATE: u8 = 0x0f;

/// B: no updates; time may be set.
pub const B_SET: u8 = 1 << 7;
/// B: square wave output, which is not connected.
pub const B_SQUARE_WAVE: u8 = 1 << 3;
/// B: binary, not BCD.
pub const B_BINARY: u8 = 1 << 2;
/// B: 24 hours, not 12.
pub const B_24_HOURS: u8 = 1 << 1;

/// B's enable and C's flag: periodic.
pub const PERIODIC: u8 = 1 << 6;
/// B's enable and C's flag: alarm.
pub const ALARM: u8 = 1 << 5;
/// B's enable and C's flag: update ended.
pub const UPDATE: u8 = 1 << 4;
/// C: some enabled flag is set.
pub const C_IRQ: u8 = 1 << 7;

/// Time base, in Hz.
pub const HZ: u64 = 32_768;
/// Ticks before the end of an update during which [`A_UPDATING`] is set: 244 us of warning and 1,984 us of update.
pub const UPDATE_TICKS: u64 = 8 + 65;
/// After the divider's reset the first update comes in half a second.
pub const RESET_LEAD: u32 = 16_384;

/// The name of a byte of CMOS.
#[must_use]
pub fn register_name(index: u8) -> Option<&'static str> {
    match index {
        0x00 => Some("SECONDS"),
        ALARM_SECONDS => Some("ALARM_SECONDS"),
        0x02 => Some("MINUTES"),
        ALARM_MINUTES => Some("ALARM_MINUTES"),
        0x04 => Some("HOURS"),
        ALARM_HOURS => Some("ALARM_HOURS"),
        0x06 => Some("DAY_OF_WEEK"),
        0x07 => Some("DAY_OF_MONTH"),
        0x08 => Some("MONTH"),
        0x09 => Some("YEAR"),
        A => Some("A"),
        B => Some("B"),
        C => Some("C"),
        D => Some("D"),
        0x0f => Some("SHUTDOWN_CODE"),
        0x32 => Some("CENTURY"),
        _ => None,
    }
}

/// The bytes that tell firmware and kernels of a PC AT how much RAM there is: base and extended memory (0x15-0x18,
/// 0x30-0x31), memory above 16 MiB (0x34-0x35) and above 4 GiB (0x5b-0x5d), with the checksum of 0x10-0x2d. `low` is
/// where RAM below 4 GiB ends, `high` how much lies above, in bytes.
#[must_use]
pub fn memory_presets(low: u64, high: u64) -> Vec<(u8, u8)> {
    let extended = (low.saturating_sub(1 << 20) >> 10).min(0xffff).to_le_bytes();
    let above_16m = (low.saturating_sub(16 << 20) >> 16).min(0xffff).to_le_bytes();
    let above_4g = (high >> 16).min(0xff_ffff).to_le_bytes();
    let base = 640_u64.to_le_bytes();
    let mut bytes = vec![(0x15, base[0]), (0x16, base[1]), (0x17, extended[0]), (0x18, extended[1])];
    let sum: u16 = bytes.iter().map(|(_, byte)| u16::from(*byte)).sum();
    let [check_low, check_high] = sum.to_le_bytes();
    bytes.extend([
        (0x2e, check_high),
        (0x2f, check_low),
        (0x30, extended[0]),
        (0x31, extended[1]),
        (0x34, above_16m[0]),
        (0x35, above_16m[1]),
        (0x5b, above_4g[0]),
        (0x5c, above_4g[1]),
        (0x5d, above_4g[2]),
    ]);
    bytes
}
