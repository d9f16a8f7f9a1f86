//! Descriptors of the invalidation queue: VT-d specification, 6.5.2; error codes: IQERCD register.

/// Bytes of a descriptor; with IQA.DW of twice as many, of which the upper half is reserved in all of this unit's.
pub const DESCRIPTOR_LEN: u64 = 16;

/// Type: bits 3:0, and 6:4 of it in bits 11:9.
pub const TYPE: u64 = 0xe0f;
/// Context-cache invalidation.
pub const CONTEXT: u64 = 1;
/// IOTLB invalidation.
pub const IOTLB: u64 = 2;
/// Interrupt-entry-cache invalidation.
pub const INTERRUPT: u64 = 4;
/// Invalidation wait.
pub const WAIT: u64 = 5;
/// PASID-based IOTLB invalidation; scalable mode's.
pub const PASID_IOTLB: u64 = 6;
/// PASID-cache invalidation; scalable mode's.
pub const PASID_CACHE: u64 = 7;

/// Context-cache and IOTLB: granularity 5:4.
pub const G_SHIFT: u32 = 4;
/// Granularity: everything.
pub const G_GLOBAL: u64 = 1;
/// Granularity: a domain.
pub const G_DOMAIN: u64 = 2;
/// Granularity: a device of a domain, or pages of it.
pub const G_SELECTIVE: u64 = 3;
/// PASID cache, granularity: a domain.
pub const PC_DOMAIN: u64 = 0;
/// PASID cache, granularity: a PASID of a domain.
pub const PC_PASID: u64 = 1;
/// PASID cache, granularity: everything.
pub const PC_GLOBAL: u64 = 3;
/// PASID-based IOTLB, granularity: a PASID.
pub const PI_PASID: u64 = 2;
/// PASID-based IOTLB, granularity: pages of it.
pub const PI_PAGES: u64 = 3;
/// PASID-based: PASID 51:32.
pub const PASID_SHIFT: u32 = 32;
/// Domain 31:16.
pub const DOMAIN_SHIFT: u32 = 16;
/// Context-cache: source id 47:32.
pub const SOURCE_SHIFT: u32 = 32;
/// Context-cache: function mask 49:48.
pub const FM_SHIFT: u32 = 48;
/// IOTLB, high half (and IVA register): address mask 5:0.
pub const AM: u64 = 0x3f;
/// IOTLB, high half (and IVA register): invalidation hint.
pub const IH: u64 = 1 << 6;
/// IOTLB, high half (and IVA register): address.
pub const ADDRESS: u64 = !0xfff;
/// Interrupt entries: index-selective, else global.
pub const IEC_SELECTIVE: u64 = 1 << 4;
/// Interrupt entries: index mask 31:27.
pub const IEC_MASK_SHIFT: u32 = 27;
/// Interrupt entries: index 47:32.
pub const IEC_INDEX_SHIFT: u32 = 32;
/// Wait: interrupt when done.
pub const WAIT_IF: u64 = 1 << 4;
/// Wait: write the status.
pub const WAIT_SW: u64 = 1 << 5;
/// Wait: status data 63:32.
pub const WAIT_DATA_SHIFT: u32 = 32;
/// Wait, high half: status address.
pub const WAIT_ADDRESS: u64 = !3;

/// Reserved bits of each type, low and high half. Wait's FN is of no consequence here: descriptors complete in order.
pub const RESERVED: [(u64, [u64; 2]); 6] = [
    (CONTEXT, [0xfffc_0000_0000_f1c0, u64::MAX]),
    (IOTLB, [0xffff_ffff_0000_f100, 0xf80]),
    (INTERRUPT, [0xffff_0000_07ff_f1e0, u64::MAX]),
    (WAIT, [0xffff_f180, 3]),
    (PASID_IOTLB, [0xfff0_0000_0000_f1c0, 0xf80]),
    (PASID_CACHE, [0xfff0_0000_0000_f1c0, u64::MAX]),
];

/// Why the queue stopped, as IQERCD.IQEI says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The tail points beyond the queue.
    Tail = 1,
    /// The descriptor could not be read.
    Fetch = 2,
    /// No such descriptor type, or not a capability of this unit.
    Type = 3,
    /// Reserved bits or a reserved granularity or mask.
    Reserved = 4,
    /// IQA's width of descriptors is not one that the unit has, or not that of the mode in use.
    Width = 5,
    /// The tail is not a multiple of a 32-byte descriptor's length.
    Alignment = 6,
}

impl QueueError {
    /// The IQERCD value in words.
    #[must_use]
    pub const fn text(code: u64) -> &'static str {
        match code & 0xf {
            0 => "",
            1 => "tail beyond the queue",
            2 => "descriptor not readable",
            3 => "descriptor type unknown",
            4 => "reserved bits in descriptor",
            5 => "descriptor width not supported",
            6 => "tail within a descriptor",
            _ => "unknown",
        }
    }
}
