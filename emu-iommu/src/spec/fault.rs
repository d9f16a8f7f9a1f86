//! Fault reasons: VT-d specification, 7.1.3 and appendix "Fault reason encodings".

/// Root entry not present.
pub const ROOT_NOT_PRESENT: u8 = 0x1;
/// Context entry not present.
pub const CONTEXT_NOT_PRESENT: u8 = 0x2;
/// Context entry programmed wrongly.
pub const CONTEXT_INVALID: u8 = 0x3;
/// Address beyond the guest address width.
pub const ADDRESS_WIDTH: u8 = 0x4;
/// No write permission.
pub const WRITE: u8 = 0x5;
/// No read permission.
pub const READ: u8 = 0x6;
/// A paging entry could not be read.
pub const PAGING_FETCH: u8 = 0x7;
/// The root entry could not be read.
pub const ROOT_FETCH: u8 = 0x8;
/// The context entry could not be read.
pub const CONTEXT_FETCH: u8 = 0x9;
/// Reserved bits in a root entry.
pub const ROOT_RESERVED: u8 = 0xa;
/// Reserved bits in a context entry.
pub const CONTEXT_RESERVED: u8 = 0xb;
/// Reserved bits in a paging entry.
pub const PAGING_RESERVED: u8 = 0xc;

/// The address, as asked for or as translated, is one of interrupt messages (3.14).
pub const INTERRUPT_ADDRESS: u8 = 0xe;
/// Reserved bits in a remappable interrupt request.
pub const REQUEST_RESERVED: u8 = 0x20;
/// Interrupt index beyond the table.
pub const INDEX: u8 = 0x21;
/// Interrupt entry not present.
pub const IRTE_NOT_PRESENT: u8 = 0x22;
/// The interrupt entry could not be read.
pub const IRTE_FETCH: u8 = 0x23;
/// Reserved bits in an interrupt entry.
pub const IRTE_RESERVED: u8 = 0x24;
/// Compatibility-format interrupt blocked.
pub const COMPATIBILITY: u8 = 0x25;
/// The interrupt's source is not the one its entry allows.
pub const SOURCE: u8 = 0x26;

/// Fault record, high half: F, RW1C.
pub const RECORD_F: u64 = 1 << 63;
/// Fault record, high half: T1, a read.
pub const RECORD_READ: u64 = 1 << 62;
/// Fault record, high half: fault reason 39:32.
pub const RECORD_REASON_SHIFT: u32 = 32;
/// Fault record, low half of an interrupt's: index 63:48.
pub const RECORD_INDEX_SHIFT: u32 = 48;

/// The reason in words.
#[must_use]
pub const fn fault_reason_text(reason: u8) -> &'static str {
    match reason {
        0 => "no fault",
        ROOT_NOT_PRESENT => "root entry not present",
        CONTEXT_NOT_PRESENT => "context entry not present",
        CONTEXT_INVALID => "context entry invalid",
        ADDRESS_WIDTH => "address beyond the guest address width",
        WRITE => "no write permission",
        READ => "no read permission",
        PAGING_FETCH => "paging entry not readable",
        ROOT_FETCH => "root entry not readable",
        CONTEXT_FETCH => "context entry not readable",
        ROOT_RESERVED => "reserved bits set in root entry",
        CONTEXT_RESERVED => "reserved bits set in context entry",
        PAGING_RESERVED => "reserved bits set in paging entry",
        0xd => "translation request blocked",
        INTERRUPT_ADDRESS => "address in the interrupt range",
        REQUEST_RESERVED => "reserved bits set in interrupt request",
        INDEX => "interrupt index beyond the table",
        IRTE_NOT_PRESENT => "interrupt entry not present",
        IRTE_FETCH => "interrupt entry not readable",
        IRTE_RESERVED => "reserved bits set in interrupt entry",
        COMPATIBILITY => "compatibility-format interrupt blocked",
        SOURCE => "interrupt source not allowed",
        _ => "unknown reason",
    }
}
