//! Remappable interrupt requests and interrupt remap table entries: VT-d specification, 5.1.2, 5.1.5, 9.10; those for posted
//! interrupts are in [`super::posted`].

/// Bytes of an entry.
pub const IRTE_LEN: u64 = 16;

/// Request address: remappable format.
pub const REQUEST_REMAPPABLE: u64 = 1 << 4;
/// Request address: SHV, the data holds a subhandle.
pub const REQUEST_SHV: u64 = 1 << 3;
/// Request address: handle bit 15.
pub const REQUEST_HANDLE_15: u64 = 1 << 2;
/// Request address: handle bits 14:0 from here on.
pub const REQUEST_HANDLE_SHIFT: u32 = 5;
/// Request data: reserved when SHV is set.
pub const REQUEST_DATA_RESERVED: u32 = 0xffff_0000;

/// Present.
pub const P: u64 = 1;
/// Fault processing disabled.
pub const FPD: u64 = 1 << 1;
/// Logical destination mode.
pub const DM: u64 = 1 << 2;
/// Redirection hint.
pub const RH: u64 = 1 << 3;
/// Level triggered.
pub const TM: u64 = 1 << 4;
/// Delivery mode 7:5.
pub const DLM_SHIFT: u32 = 5;
/// Vector 23:16.
pub const VECTOR_SHIFT: u32 = 16;
/// Destination 63:32.
pub const DST_SHIFT: u32 = 32;
/// IM: the entry is of the posted format; reserved without CAP.PI.
pub const IM: u64 = 1 << 15;
/// Low half: reserved, with [`IM`], which is another format's; 11:8 are software's.
pub const RESERVED_LOW: u64 = 0xff00_f000;
/// Low half: what else is reserved of the destination unless EIME: 8-bit ids are in its bits 15:8.
pub const RESERVED_DST: u64 = 0xffff_00ff << DST_SHIFT;
/// High half: reserved.
pub const RESERVED_HIGH: u64 = !0xf_ffff;
/// High half: source id 15:0.
pub const SID: u64 = 0xffff;
/// High half: source-id qualifier 17:16.
pub const SQ_SHIFT: u32 = 16;
/// High half: source validation type 19:18.
pub const SVT_SHIFT: u32 = 18;
/// Source validation: none.
pub const SVT_NONE: u64 = 0;
/// Source validation: SID under SQ.
pub const SVT_SID: u64 = 1;
/// Source validation: the bus lies between SID 15:8 and 7:0.
pub const SVT_BUS: u64 = 2;
