//! Registers and descriptors of the 82540EM, as far as the guest uses them.
//!
//! Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453): chapter 13
//! (registers), 3.2.3 and 3.3.3 (descriptors). What the 82574 does otherwise: Intel 82574 GbE Controller
//! Family Datasheet, chapter 10.

/// Device Control (13.4.1).
pub const CTRL: u64 = 0x0000;
/// Detect speed automatically; set link up; reset.
pub const CTRL_ASDE: u32 = 1 << 5;
pub const CTRL_SLU: u32 = 1 << 6;
pub const CTRL_RST: u32 = 1 << 26;
/// Bits that must be clear for the link to come up by itself: link reset, inverted loss of signal, forced
/// speed, forced duplex, PHY reset.
pub const CTRL_FORCING: u32 = 1 << 3 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 31;

/// Device Status (13.4.2): link up.
pub const STATUS: u64 = 0x0008;
pub const STATUS_LU: u32 = 1 << 1;

/// EEPROM Read (13.4.4): start, done (another bit in the 82574), where address and data lie.
pub const EERD: u64 = 0x0014;
pub const EERD_START: u32 = 1 << 0;
pub const EERD_DONE_82540: u32 = 1 << 4;
pub const EERD_ADDRESS_SHIFT_82540: u32 = 8;
pub const EERD_DONE_82574: u32 = 1 << 1;
pub const EERD_ADDRESS_SHIFT_82574: u32 = 2;
pub const EERD_DATA_SHIFT: u32 = 16;

/// Interrupt Cause Read, Mask Set, Mask Clear (13.4.17, 13.4.20, 13.4.21).
pub const ICR: u64 = 0x00c0;
pub const IMS: u64 = 0x00d0;
pub const IMC: u64 = 0x00d8;
/// Transmit descriptor written back; link status change; receive descriptors running out; receive overrun;
/// receive timer.
pub const CAUSE_TXDW: u32 = 1 << 0;
pub const CAUSE_LSC: u32 = 1 << 2;
pub const CAUSE_RXDMT0: u32 = 1 << 4;
pub const CAUSE_RXO: u32 = 1 << 6;
pub const CAUSE_RXT0: u32 = 1 << 7;

/// Receive Control (13.4.22): enable, accept broadcast, strip the CRC; buffers of 2048 bytes are the size
/// field's zero.
pub const RCTL: u64 = 0x0100;
pub const RCTL_EN: u32 = 1 << 1;
pub const RCTL_BAM: u32 = 1 << 15;
pub const RCTL_SECRC: u32 = 1 << 26;

/// Transmit Control (13.4.33): enable, pad short packets, collision threshold 15, collision distance 64 (full
/// duplex).
pub const TCTL: u64 = 0x0400;
pub const TCTL_EN: u32 = 1 << 1;
pub const TCTL_PSP: u32 = 1 << 3;
pub const TCTL_CT: u32 = 0x0f << 4;
pub const TCTL_COLD: u32 = 0x40 << 12;
/// Transmit Inter Packet Gap (13.4.34), with the values it recommends.
pub const TIPG: u64 = 0x0410;
pub const TIPG_DEFAULT: u32 = 10 | 8 << 10 | 6 << 20;

/// Receive descriptor ring (13.4.25 to 13.4.29) and delay timer (13.4.30).
pub const RDBAL: u64 = 0x2800;
pub const RDBAH: u64 = 0x2804;
pub const RDLEN: u64 = 0x2808;
pub const RDH: u64 = 0x2810;
pub const RDT: u64 = 0x2818;
pub const RDTR: u64 = 0x2820;
/// Transmit descriptor ring (13.4.35 to 13.4.39).
pub const TDBAL: u64 = 0x3800;
pub const TDBAH: u64 = 0x3804;
pub const TDLEN: u64 = 0x3808;
pub const TDH: u64 = 0x3810;
pub const TDT: u64 = 0x3818;

/// Missed Packets Count (13.7.4), cleared by reading.
pub const MPC: u64 = 0x4010;

/// Multicast Table Array (13.5.1), 128 words.
pub const MTA: u64 = 0x5200;
pub const MTA_WORDS: u64 = 128;
/// Receive Address 0 (13.5.2, 13.5.3); address valid.
pub const RAL0: u64 = 0x5400;
pub const RAH0: u64 = 0x5404;
pub const RAH_AV: u32 = 1 << 31;

/// Bytes of a descriptor of either kind, which has two 64-bit words; the first is the buffer's address.
pub const DESCRIPTOR_SIZE: usize = 16;

/// Receive descriptor, second word (3.2.3): length, status, errors.
pub const RX_LENGTH_MASK: u64 = 0xffff;
pub const RX_DONE: u64 = 1 << 32;
pub const RX_END_OF_PACKET: u64 = 1 << 33;
/// CRC error, symbol error, sequence error, and data error; the checksum errors are not asked for.
pub const RX_ERRORS: u64 = (1 << 0 | 1 << 1 | 1 << 2 | 1 << 7) << 40;

/// Legacy transmit descriptor, second word (3.3.3): end of packet, insert CRC, report status; done.
pub const TX_END_OF_PACKET: u64 = 1 << 24;
pub const TX_INSERT_CRC: u64 = 1 << 25;
pub const TX_REPORT_STATUS: u64 = 1 << 27;
pub const TX_DONE: u64 = 1 << 32;
