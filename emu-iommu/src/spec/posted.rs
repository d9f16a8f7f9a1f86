//! Posted interrupts: entries of the posted format and the descriptor they post to: VT-d specification, 5.2, 9.11, 9.12.

/// Entry, low half: reserved; 11:8 are software's.
pub const RESERVED_LOW: u64 = 0x3f_ff00_30fc;
/// Entry, low half: URG, a notification is due even where the descriptor suppresses it.
pub const URG: u64 = 1 << 14;
/// Entry, low half: descriptor address 31:6, in bits 63:38.
pub const PDA_LOW: u64 = 0xffff_ffc0_0000_0000;
/// Entry, low half: by how much that is too high.
pub const PDA_SHIFT: u32 = 32;
/// Entry, high half: reserved.
pub const RESERVED_HIGH: u64 = 0xfff0_0000;
/// Entry, high half: descriptor address 63:32.
pub const PDA_HIGH: u64 = 0xffff_ffff_0000_0000;

/// Bytes of a descriptor, which is one cache line.
pub const DESCRIPTOR_LEN: usize = 64;
/// Qwords of PIR, one bit a vector, which it begins with.
pub const PIR_QWORDS: usize = 4;
/// The qword after PIR: ON, a notification is outstanding.
pub const ON: u64 = 1;
/// SN: none is sent unless it is urgent.
pub const SN: u64 = 1 << 1;
/// NV 23:16: the notification's vector.
pub const NV_SHIFT: u32 = 16;
/// NDST 63:32: its destination; unless EIME an 8-bit id in bits 15:8 of that.
pub const NDST_SHIFT: u32 = 32;
/// Reserved of that qword.
pub const CONTROL_RESERVED: u64 = 0xff00_fffc;
/// What else is reserved of NDST unless EIME.
pub const NDST_RESERVED: u64 = 0xffff_00ff << NDST_SHIFT;
