//! Root, context and second-level paging entries: VT-d specification, 9.1, 9.3, 9.8 and 3.7.

/// Bytes of a root and of a context entry.
pub const ENTRY_LEN: u64 = 16;
/// Bytes of a paging entry.
pub const PTE_LEN: u64 = 8;

/// Root and context entry: present.
pub const PRESENT: u64 = 1;
/// Root entry, low half: reserved below the pointer.
pub const ROOT_RESERVED: u64 = 0xffe;
/// Context entry: fault processing disabled.
pub const CONTEXT_FPD: u64 = 1 << 1;
/// Context entry: translation type 3:2.
pub const CONTEXT_TT_SHIFT: u32 = 2;
/// Translation type: through the second-level tables.
pub const TT_TRANSLATE: u64 = 0;
/// Translation type: untranslated, addresses are host addresses already.
pub const TT_PASS_THROUGH: u64 = 2;
/// Context entry, low half: reserved below the pointer.
pub const CONTEXT_RESERVED_LOW: u64 = 0xff0;
/// Context entry, high half: reserved; 6:3 are software's, 23:8 the domain.
pub const CONTEXT_RESERVED_HIGH: u64 = !0xff_ff7f;
/// Context entry, high half: address width 2:0.
pub const CONTEXT_AW: u64 = 7;
/// Context entry, high half: domain 23:8.
pub const CONTEXT_DOMAIN_SHIFT: u32 = 8;
/// Address width: 3-level tables, 39 bits.
pub const AW_39: u64 = 1;
/// Address width: 4-level tables, 48 bits.
pub const AW_48: u64 = 2;
/// Address width: 5-level tables, 57 bits.
pub const AW_57: u64 = 3;

/// Paging entry: read.
pub const PTE_R: u64 = 1;
/// Paging entry: write.
pub const PTE_W: u64 = 1 << 1;
/// Paging entry: large page, at the second and third level.
pub const PTE_PS: u64 = 1 << 7;
/// Paging entry: accessed, where a PASID entry's SSADE has it kept.
pub const PTE_A: u64 = 1 << 8;
/// Paging entry: dirty, likewise.
pub const PTE_D: u64 = 1 << 9;
/// Paging entry: snoop, in leaves only.
pub const PTE_SNP: u64 = 1 << 11;
/// Paging entry: transient mapping; reserved without device TLBs.
pub const PTE_TM: u64 = 1 << 62;
/// Pointers of every kind of entry before the host address width cuts them.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The addresses that are interrupt messages when written (3.14): never remapped, nor may anything be remapped to them.
pub const INTERRUPT_RANGE: std::ops::RangeInclusive<u64> = 0xfee0_0000..=0xfeef_ffff;
