//! Scalable mode's root, context, PASID directory and PASID table entries, and first-stage paging entries: VT-d specification,
//! 9.2, 9.4 to 9.7.

/// RTADDR.TTM 11:10: which kind of root table.
pub const TTM: u64 = 3 << 10;
/// TTM: legacy mode.
pub const TTM_LEGACY: u64 = 0;
/// TTM: scalable mode.
pub const TTM_SCALABLE: u64 = 1 << 10;

/// Bytes of a context entry.
pub const CONTEXT_LEN: u64 = 32;
/// Devices and functions of each of a bus's two context tables.
pub const CONTEXTS: u64 = 128;
/// Context entry: the device has a TLB of its own; reserved without ECAP.DT.
pub const CONTEXT_DTE: u64 = 1 << 2;
/// Context entry: requests may carry a PASID.
pub const CONTEXT_PASIDE: u64 = 1 << 3;
/// Context entry: page requests; reserved without ECAP.PRS.
pub const CONTEXT_PRE: u64 = 1 << 4;
/// Context entry: reserved below the pointer.
pub const CONTEXT_RESERVED: u64 = 0x1e0;
/// Context entry: the PASID directory has 2^(PDTS+7) entries, 11:9.
pub const CONTEXT_PDTS_SHIFT: u32 = 9;
/// Context entry, second qword: PASID of requests without one, 19:0.
pub const CONTEXT_RID_PASID: u64 = 0xf_ffff;
/// Context entry, second qword: such requests are privileged.
pub const CONTEXT_RID_PRIV: u64 = 1 << 20;

/// A PASID's bits.
pub const PASID: u32 = 0xf_ffff;
/// Bits of a PASID that choose in a PASID table; those above choose in the directory.
pub const PASID_TABLE_BITS: u32 = 6;
/// Bytes of a directory entry.
pub const DIRECTORY_LEN: u64 = 8;
/// Directory entry: reserved below the pointer.
pub const DIRECTORY_RESERVED: u64 = 0xffc;
/// Bytes of a PASID table entry.
pub const PASID_LEN: u64 = 64;

/// Directory and PASID table entry: fault processing disabled.
pub const PASID_FPD: u64 = 1 << 1;
/// PASID table entry: address width of the second stage, 4:2, as in legacy mode's context entries.
pub const PASID_AW_SHIFT: u32 = 2;
/// PASID table entry: translation type, 8:6.
pub const PASID_PGTT_SHIFT: u32 = 6;
/// Translation type: first stage.
pub const PGTT_FIRST: u64 = 1;
/// Translation type: second stage.
pub const PGTT_SECOND: u64 = 2;
/// Translation type: first stage, whose addresses the second translates.
pub const PGTT_NESTED: u64 = 3;
/// Translation type: untranslated.
pub const PGTT_PASS_THROUGH: u64 = 4;
/// PASID table entry: the second stage's accessed and dirty bits are kept.
pub const PASID_SSADE: u64 = 1 << 9;
/// PASID table entry, first qword: reserved below the pointer.
pub const PASID_RESERVED_0: u64 = 0xc20;
/// PASID table entry, second qword: walks are snooped.
pub const PASID_PWSNP: u64 = 1 << 23;
/// PASID table entry, second qword: pages are snooped; reserved without ECAP.SC.
pub const PASID_PGSNP: u64 = 1 << 24;
/// PASID table entry, second qword: reserved without memory types.
pub const PASID_RESERVED_1: u64 = !0x1ff_ffff | 0x7f_0000;
/// PASID table entry, third qword: privileged requests pass.
pub const PASID_SRE: u64 = 1;
/// PASID table entry, third qword: requests for execution pass.
pub const PASID_ERE: u64 = 1 << 1;
/// PASID table entry, third qword: levels of the first stage, 3:2: 0 is four, 1 is five.
pub const PASID_FSPM_SHIFT: u32 = 2;
/// PASID table entry, third qword: privileged writes heed read-only pages.
pub const PASID_WPE: u64 = 1 << 4;
/// PASID table entry, third qword: XD counts.
pub const PASID_NXE: u64 = 1 << 5;
/// PASID table entry, third qword: privileged requests may not execute what is user's.
pub const PASID_SMEP: u64 = 1 << 6;
/// PASID table entry, third qword: reserved below the pointer; bit 7, extended accessed, without ECAP.EAFS.
pub const PASID_RESERVED_2: u64 = 0xf80;

/// First-stage entry: present.
pub const FS_P: u64 = 1;
/// First-stage entry: writable.
pub const FS_RW: u64 = 1 << 1;
/// First-stage entry: user's.
pub const FS_US: u64 = 1 << 2;
/// First-stage entry: accessed.
pub const FS_A: u64 = 1 << 5;
/// First-stage entry: written to.
pub const FS_D: u64 = 1 << 6;
/// First-stage entry: large page.
pub const FS_PS: u64 = 1 << 7;
/// First-stage entry: not to be executed.
pub const FS_XD: u64 = 1 << 63;
