//! VT-d's registers and the formats of its tables, as far as the guest uses them.
//!
//! Intel Virtualization Technology for Directed I/O, Architecture Specification, revision 4.1: chapter 11
//! (registers), chapter 9 (tables), 6.5.2 (invalidation queue), 7 (faults).

/// Version Register (11.4.1).
pub const VER: u64 = 0x00;

/// Capability Register (11.4.2).
pub const CAP: u64 = 0x08;
/// Write buffers must be flushed by command.
pub const CAP_RWBF: u64 = 1 << 4;
/// Supported Adjusted Guest Address Widths: 3-level tables for 39 bits.
pub const CAP_SAGAW_39: u64 = 1 << 9;
/// 4-level tables for 48 bits.
pub const CAP_SAGAW_48: u64 = 1 << 10;
/// Where the fault records begin, in units of 16 bytes.
pub const CAP_FRO_SHIFT: u32 = 24;
pub const CAP_FRO_MASK: u64 = 0x3ff;
/// Page-selective invalidation.
pub const CAP_PSI: u64 = 1 << 39;
/// Number of fault records minus one.
pub const CAP_NFR_SHIFT: u32 = 40;
pub const CAP_NFR_MASK: u64 = 0xff;
/// Invalidations can drain writes, and reads.
pub const CAP_DWD: u64 = 1 << 54;
pub const CAP_DRD: u64 = 1 << 55;

/// Extended Capability Register (11.4.3).
pub const ECAP: u64 = 0x10;
/// The unit looks into caches when it reads tables.
pub const ECAP_C: u64 = 1 << 0;
/// Queued invalidation.
pub const ECAP_QI: u64 = 1 << 1;
/// Interrupt remapping.
pub const ECAP_IR: u64 = 1 << 3;

/// Global Command and Status Registers (11.4.4.1, 11.4.4.2): the same bits in both.
pub const GCMD: u64 = 0x18;
pub const GSTS: u64 = 0x1c;
/// Set Interrupt Remap Table Pointer.
pub const GCMD_SIRTP: u32 = 1 << 24;
/// Interrupt Remapping Enable.
pub const GCMD_IRE: u32 = 1 << 25;
/// Queued Invalidation Enable.
pub const GCMD_QIE: u32 = 1 << 26;
/// Write Buffer Flush.
pub const GCMD_WBF: u32 = 1 << 27;
/// Set Root Table Pointer.
pub const GCMD_SRTP: u32 = 1 << 30;
/// Translation Enable.
pub const GCMD_TE: u32 = 1 << 31;
/// The status bits that are no one-shot commands: what a new command must repeat (11.4.4.1).
pub const GSTS_PERSISTENT: u32 = 0x96ff_ffff;

/// Root Table Address Register (11.4.5).
pub const RTADDR: u64 = 0x20;

/// Fault Status Register (11.4.7.1).
pub const FSTS: u64 = 0x34;
/// Faults were lost.
pub const FSTS_PFO: u32 = 1 << 0;
/// A record is pending.
pub const FSTS_PPF: u32 = 1 << 1;
/// The invalidation queue met a bad descriptor, a failed completion, or a time-out.
pub const FSTS_IQE: u32 = 1 << 4;
pub const FSTS_ICE: u32 = 1 << 5;
pub const FSTS_ITE: u32 = 1 << 6;
/// The index of the first pending record.
pub const FSTS_FRI_SHIFT: u32 = 8;
pub const FSTS_FRI_MASK: u32 = 0xff;

/// Fault Event Control Register (11.4.7.2); its bit 31 masks the interrupt.
pub const FECTL: u64 = 0x38;
/// Fault Event Data, Address and Upper Address Registers (11.4.7.3 to 11.4.7.5).
pub const FEDATA: u64 = 0x3c;
pub const FEADDR: u64 = 0x40;
pub const FEUADDR: u64 = 0x44;

/// Fault Recording Registers (11.4.7.6), 16 bytes each from CAP.FRO on.
pub const FRCD_SIZE: u64 = 16;
/// The record's upper half, as two 32-bit words: source id; and reason, type and the F bit.
pub const FRCD_SOURCE: u64 = 8;
pub const FRCD_STATUS: u64 = 12;
/// A fault is recorded; writing 1 frees the record.
pub const FRCD_F: u32 = 1 << 31;
/// Type T1: the request was a read.
pub const FRCD_READ: u32 = 1 << 30;
pub const FRCD_REASON_MASK: u32 = 0xff;

/// Invalidation Queue Tail and Address Registers (11.4.9.2, 11.4.9.3); descriptors of 16 bytes, a page of 256
/// of them.
pub const IQT: u64 = 0x88;
pub const IQA: u64 = 0x90;

/// Interrupt Remapping Table Address Register (11.4.10): the size field X stands for 2^(X+1) entries.
pub const IRTA: u64 = 0xb8;

/// Root entry (9.1) and context entry (9.3), low words: present.
pub const ENTRY_PRESENT: u64 = 1 << 0;
/// Context entry, high word: address width, 1 for 3 levels, 2 for 4.
pub const CONTEXT_AW_3_LEVEL: u64 = 1;
pub const CONTEXT_AW_4_LEVEL: u64 = 2;
/// Context entry, high word: domain id.
pub const CONTEXT_DID_SHIFT: u32 = 8;

/// Second-stage paging entries (9.8): read, write.
pub const SECOND_LEVEL_READ: u64 = 1 << 0;
pub const SECOND_LEVEL_WRITE: u64 = 1 << 1;
pub const SECOND_LEVEL_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Invalidation descriptors (6.5.2.1 to 6.5.2.8): types.
pub const INVALIDATE_CONTEXT: u64 = 1;
pub const INVALIDATE_IOTLB: u64 = 2;
pub const INVALIDATE_INTERRUPT_ENTRIES: u64 = 4;
pub const INVALIDATION_WAIT: u64 = 5;
/// Granularity of context-cache and IOTLB descriptors.
pub const GRANULARITY_GLOBAL: u64 = 1 << 4;
pub const GRANULARITY_DOMAIN: u64 = 2 << 4;
pub const GRANULARITY_PAGE: u64 = 3 << 4;
/// IOTLB descriptor: drain writes, drain reads, domain id.
pub const IOTLB_DRAIN_WRITES: u64 = 1 << 6;
pub const IOTLB_DRAIN_READS: u64 = 1 << 7;
pub const IOTLB_DID_SHIFT: u32 = 16;
/// Wait descriptor: write the status data; where the data begin.
pub const WAIT_STATUS_WRITE: u64 = 1 << 5;
pub const WAIT_DATA_SHIFT: u32 = 32;

/// Interrupt remap table entry (9.10), low word: present, level triggered, vector, destination in xAPIC mode.
pub const IRTE_PRESENT: u64 = 1 << 0;
pub const IRTE_LEVEL: u64 = 1 << 4;
pub const IRTE_VECTOR_SHIFT: u32 = 16;
pub const IRTE_XAPIC_DESTINATION_SHIFT: u32 = 40;
/// High word: verify all 16 bits of the source id (SVT = 01, SQ = 00).
pub const IRTE_VERIFY_SOURCE: u64 = 1 << 18;

/// A remappable MSI address (5.1.5.2): the fixed part with the format bit, where the handle lies.
pub const MSI_REMAPPABLE: u32 = 0xfee0_0010;
pub const MSI_HANDLE_LOW_SHIFT: u32 = 5;
pub const MSI_HANDLE_BIT_15: u32 = 1 << 2;
/// A compatibility format MSI address (SDM Vol. 3A, 11.11.1): where the destination lies.
pub const MSI_COMPATIBILITY: u32 = 0xfee0_0000;
pub const MSI_DESTINATION_SHIFT: u32 = 12;
