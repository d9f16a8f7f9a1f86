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

/// The posted-interrupt descriptor could not be read or written.
pub const DESCRIPTOR_ACCESS: u8 = 0x27;
/// Reserved bits in a posted-interrupt descriptor.
pub const DESCRIPTOR_RESERVED: u8 = 0x28;

/// Scalable mode: RTADDR names no kind of root table.
pub const BAD_ROOT_POINTER: u8 = 0x30;
/// A request with PASID while the root table is legacy mode's.
pub const PASID_IN_LEGACY: u8 = 0x31;
/// Scalable mode: the root entry could not be read.
pub const SM_ROOT_FETCH: u8 = 0x38;
/// Scalable mode: half of the root entry not present.
pub const SM_ROOT_NOT_PRESENT: u8 = 0x39;
/// Scalable mode: reserved bits in a root entry.
pub const SM_ROOT_RESERVED: u8 = 0x3a;
/// Scalable mode: the context entry could not be read.
pub const SM_CONTEXT_FETCH: u8 = 0x40;
/// Scalable mode: context entry not present.
pub const SM_CONTEXT_NOT_PRESENT: u8 = 0x41;
/// Scalable mode: reserved bits in a context entry.
pub const SM_CONTEXT_RESERVED: u8 = 0x42;
/// A request with PASID of a device whose context entry does not allow any.
pub const PASID_NOT_ENABLED: u8 = 0x45;
/// A PASID beyond the directory.
pub const PASID_TOO_LARGE: u8 = 0x46;
/// The PASID for requests without one lies beyond the directory.
pub const SM_RID_PASID: u8 = 0x48;
/// The PASID directory entry could not be read.
pub const DIRECTORY_FETCH: u8 = 0x50;
/// PASID directory entry not present.
pub const DIRECTORY_NOT_PRESENT: u8 = 0x51;
/// Reserved bits in a PASID directory entry.
pub const DIRECTORY_RESERVED: u8 = 0x52;
/// The PASID table entry could not be read.
pub const PASID_FETCH: u8 = 0x58;
/// PASID table entry not present.
pub const PASID_NOT_PRESENT: u8 = 0x59;
/// Reserved bits in a PASID table entry.
pub const PASID_RESERVED: u8 = 0x5a;
/// PASID table entry programmed wrongly.
pub const PASID_INVALID: u8 = 0x5b;
/// A request for execution, and ERE is clear.
pub const NO_EXECUTION: u8 = 0x5c;
/// A privileged request, and SRE is clear.
pub const NO_PRIVILEGE: u8 = 0x5d;
/// A first-stage entry could not be read.
pub const FIRST_FETCH: u8 = 0x70;
/// First-stage entry not present.
pub const FIRST_NOT_PRESENT: u8 = 0x71;
/// Reserved bits in a first-stage entry.
pub const FIRST_RESERVED: u8 = 0x72;
/// The topmost first-stage entry could not be read.
pub const FIRST_TOP_FETCH: u8 = 0x73;
/// A first-stage address beyond what the second stage translates.
pub const NESTED_TOO_WIDE: u8 = 0x74;
/// The second stage does not let the topmost first-stage entry be read.
pub const NESTED_TOP_READ: u8 = 0x75;
/// The second stage does not let a first-stage entry be read.
pub const NESTED_READ: u8 = 0x76;
/// The second stage does not let a first-stage entry's bits be written.
pub const NESTED_WRITE: u8 = 0x77;
/// Scalable mode: a second-stage entry could not be read.
pub const SECOND_FETCH: u8 = 0x78;
/// Scalable mode: second-stage entry neither readable nor writable.
pub const SECOND_NOT_PRESENT: u8 = 0x79;
/// Scalable mode: reserved bits in a second-stage entry.
pub const SECOND_RESERVED: u8 = 0x7a;
/// Scalable mode: the topmost second-stage entry could not be read.
pub const SECOND_TOP_FETCH: u8 = 0x7b;
/// A second-stage accessed or dirty bit is due, and walks are not snooped.
pub const SECOND_NOT_SNOOPED: u8 = 0x7c;
/// Address not canonical.
pub const NOT_CANONICAL: u8 = 0x80;
/// A request without privilege for a page that is not user's.
pub const PRIVILEGE: u8 = 0x81;
/// No execute permission.
pub const EXECUTE: u8 = 0x82;
/// Scalable mode: an address passed through lies beyond the unit's width.
pub const SM_PASSED_TOO_WIDE: u8 = 0x83;
/// Scalable mode: address beyond the second stage's width.
pub const SM_TOO_WIDE: u8 = 0x84;
/// Scalable mode: no write permission.
pub const SM_WRITE: u8 = 0x85;
/// Scalable mode: no read permission.
pub const SM_READ: u8 = 0x86;
/// Scalable mode: the address, as asked for or as translated, is one of interrupt messages.
pub const SM_INTERRUPT_ADDRESS: u8 = 0x87;
/// A first-stage accessed or dirty bit is due, and walks are not snooped.
pub const FIRST_NOT_SNOOPED: u8 = 0x90;
/// A first-stage accessed or dirty bit could not be written.
pub const FIRST_UPDATE: u8 = 0x91;

/// What the refusals of a translation are called, which depends on the mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Reasons {
    /// No write permission.
    pub write: u8,
    /// No read permission.
    pub read: u8,
    /// A second-stage entry that allows nothing; `None` where that is a lack of the permission asked for.
    pub absent: Option<u8>,
    /// The topmost second-stage entry could not be read.
    pub fetch_top: u8,
    /// Another second-stage entry could not be read.
    pub fetch: u8,
    /// Reserved bits in a second-stage entry.
    pub reserved: u8,
    /// Beyond the second stage's width.
    pub too_wide: u8,
    /// Beyond the width of what is passed through.
    pub too_wide_passing: u8,
    /// An address of interrupt messages.
    pub interrupt: u8,
}

impl Reasons {
    /// Legacy mode's.
    pub const LEGACY: Self = Self {
        write: WRITE,
        read: READ,
        absent: None,
        fetch_top: PAGING_FETCH,
        fetch: PAGING_FETCH,
        reserved: PAGING_RESERVED,
        too_wide: ADDRESS_WIDTH,
        too_wide_passing: ADDRESS_WIDTH,
        interrupt: INTERRUPT_ADDRESS,
    };

    /// Scalable mode's.
    pub const SCALABLE: Self = Self {
        write: SM_WRITE,
        read: SM_READ,
        absent: Some(SECOND_NOT_PRESENT),
        fetch_top: SECOND_TOP_FETCH,
        fetch: SECOND_FETCH,
        reserved: SECOND_RESERVED,
        too_wide: SM_TOO_WIDE,
        too_wide_passing: SM_PASSED_TOO_WIDE,
        interrupt: SM_INTERRUPT_ADDRESS,
    };

    /// The permission that an access lacks.
    #[must_use]
    pub const fn permission(&self, write: bool) -> u8 {
        if write { self.write } else { self.read }
    }
}

/// Fault record, high half: F, RW1C.
pub const RECORD_F: u64 = 1 << 63;
/// Fault record, high half: T1, a read.
pub const RECORD_READ: u64 = 1 << 62;
/// Fault record, high half: fault reason 39:32.
pub const RECORD_REASON_SHIFT: u32 = 32;
/// Fault record, high half: PASID value 59:40.
pub const RECORD_PASID_SHIFT: u32 = 40;
/// Fault record, high half: PP, there was a PASID.
pub const RECORD_HAS_PASID: u64 = 1 << 31;
/// Fault record, high half: EXE, execution was asked for.
pub const RECORD_EXECUTE: u64 = 1 << 30;
/// Fault record, high half: PRIV, with privilege.
pub const RECORD_PRIVILEGED: u64 = 1 << 29;
/// Fault record, low half of an interrupt's: index 63:48.
pub const RECORD_INDEX_SHIFT: u32 = 48;

/// Whether a reason is one of interrupt requests; the others are of DMA.
#[must_use]
pub const fn is_interrupt_reason(reason: u8) -> bool {
    reason >> 4 == 2
}

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
        DESCRIPTOR_ACCESS => "posted-interrupt descriptor not accessible",
        DESCRIPTOR_RESERVED => "reserved bits set in posted-interrupt descriptor",
        BAD_ROOT_POINTER => "root table address register names no mode",
        PASID_IN_LEGACY => "request with PASID in legacy mode",
        SM_ROOT_FETCH => "root entry not readable",
        SM_ROOT_NOT_PRESENT => "root entry not present",
        SM_ROOT_RESERVED => "reserved bits set in root entry",
        SM_CONTEXT_FETCH => "context entry not readable",
        SM_CONTEXT_NOT_PRESENT => "context entry not present",
        SM_CONTEXT_RESERVED => "reserved bits set in context entry",
        PASID_NOT_ENABLED => "requests with PASID not enabled in context entry",
        PASID_TOO_LARGE => "PASID beyond the directory",
        SM_RID_PASID => "RID_PASID beyond the directory",
        DIRECTORY_FETCH => "PASID directory entry not readable",
        DIRECTORY_NOT_PRESENT => "PASID directory entry not present",
        DIRECTORY_RESERVED => "reserved bits set in PASID directory entry",
        PASID_FETCH => "PASID table entry not readable",
        PASID_NOT_PRESENT => "PASID table entry not present",
        PASID_RESERVED => "reserved bits set in PASID table entry",
        PASID_INVALID => "PASID table entry invalid",
        NO_EXECUTION => "requests for execution not enabled in PASID table entry",
        NO_PRIVILEGE => "privileged requests not enabled in PASID table entry",
        FIRST_FETCH => "first-stage paging entry not readable",
        FIRST_NOT_PRESENT => "first-stage paging entry not present",
        FIRST_RESERVED => "reserved bits set in first-stage paging entry",
        FIRST_TOP_FETCH => "topmost first-stage paging entry not readable",
        NESTED_TOO_WIDE => "first-stage address beyond the second stage's width",
        NESTED_TOP_READ => "second stage forbids reading the topmost first-stage entry",
        NESTED_READ => "second stage forbids reading a first-stage entry",
        NESTED_WRITE => "second stage forbids writing a first-stage entry",
        SECOND_FETCH => "second-stage paging entry not readable",
        SECOND_NOT_PRESENT => "second-stage paging entry not present",
        SECOND_RESERVED => "reserved bits set in second-stage paging entry",
        SECOND_TOP_FETCH => "topmost second-stage paging entry not readable",
        SECOND_NOT_SNOOPED => "second-stage bit to be set without snooping",
        NOT_CANONICAL => "address not canonical",
        PRIVILEGE => "page only for privileged requests",
        EXECUTE => "no execute permission",
        SM_PASSED_TOO_WIDE => "address beyond the unit's width",
        SM_TOO_WIDE => "address beyond the second stage's width",
        SM_WRITE => "no write permission",
        SM_READ => "no read permission",
        SM_INTERRUPT_ADDRESS => "address in the interrupt range",
        FIRST_NOT_SNOOPED => "first-stage bit to be set without snooping",
        FIRST_UPDATE => "first-stage bit not writable",
        _ => "unknown reason",
    }
}
