//! What the first bytes of a fuzzed program mean, and where things lie in its memory.
//!
//! Every byte string is a program: what is missing reads as zero, and no value is refused. The bytes after the header are
//! code.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0 | [`Mode`], modulo their number |
//! | 1 | bit 0: CPL 3; bit 1: the interrupt is an NMI; bit 2: breakpoints on the first code and data bytes |
//! | 2-5 | control bits: CR0 in 0-7, CR4 in 8-23, EFER in 24-27 (see `world.rs`) |
//! | 6-9 | RFLAGS |
//! | 10-11 | offset of the code in its page |
//! | 12-13 | instructions until the interrupt, plus one; 0 for none |
//! | 14 | its vector |
//! | 15 | XORed into the direction of segments: bit 0 makes DS expand down, bit 1 makes it read-only, bit 2 halves CS |
//! | 16-23 | seed of data and of page permissions |
//! | 24-31 | seed of cuts |
//! | 32-47 | the general registers: kind in bits 7-5, detail in bits 4-0 |
//! | 48-55 | seed of vector registers and of random general ones |

/// Bytes before the code.
pub const HEADER_LEN: usize = 56;

/// What the processor is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Real,
    Protected16,
    Protected32,
    /// 32-bit, tables of two levels.
    Paged,
    /// 32-bit, tables of three levels.
    Pae,
    Virtual8086,
    Compatibility,
    Long,
}

impl Mode {
    /// 64-bit mode takes a share like the others together.
    const ALL: [Self; 12] = [
        Self::Real,
        Self::Protected16,
        Self::Protected32,
        Self::Paged,
        Self::Pae,
        Self::Virtual8086,
        Self::Compatibility,
        Self::Long,
        Self::Long,
        Self::Long,
        Self::Long,
        Self::Long,
    ];

    pub(super) fn is_long(self) -> bool {
        matches!(self, Self::Compatibility | Self::Long)
    }

    /// Segments are based where their part of memory is, offsets have 16 bits.
    pub(super) fn is_16_bit(self) -> bool {
        matches!(self, Self::Real | Self::Protected16 | Self::Virtual8086)
    }
}

/// Where what lies. All of memory is 1 MiB; what is above is a device's.
pub(super) mod at {
    /// Tables: the 4-level root, then PDPT, directory, table; the 32-bit directory and table; the PAE root.
    pub(in super::super) const PML4: u64 = 0x1000;
    pub(in super::super) const PDPT: u64 = 0x2000;
    pub(in super::super) const DIRECTORY: u64 = 0x3000;
    pub(in super::super) const TABLE: u64 = 0x4000;
    pub(in super::super) const DIRECTORY32: u64 = 0x5000;
    pub(in super::super) const TABLE32: u64 = 0x6000;
    pub(in super::super) const PDPT_PAE: u64 = 0x7000;
    pub(in super::super) const GDT: u64 = 0x8000;
    pub(in super::super) const IDT: u64 = 0x9000;
    pub(in super::super) const TSS: u64 = 0xa000;
    /// A second task: switching to it starts the program anew.
    pub(in super::super) const TASK: u64 = 0xb000;
    pub(in super::super) const HANDLERS: u64 = 0xd000;
    pub(in super::super) const HANDLER_LEN: u64 = 16;
    pub(in super::super) const CODE: u64 = 0x1_0000;
    pub(in super::super) const DATA: u64 = 0x2_0000;
    pub(in super::super) const DATA_LEN: u64 = 0x1_0000;
    /// Segment of the stack, and the stack's top in it.
    pub(in super::super) const STACK: u64 = 0x3_0000;
    pub(in super::super) const TOP: u64 = 0x8000;
    pub(in super::super) const INNER_STACK: u64 = 0x4_8000;
    /// Registers of a device.
    pub(in super::super) const DEVICE: u64 = 0x20_0000;
    pub(in super::super) const END: u64 = 0x10_0000;
}

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    pub(super) mode: Mode,
    pub(super) user: bool,
    pub(super) breakpoints: bool,
    pub(super) control: u32,
    pub(super) rflags: u32,
    pub(super) code: u64,
    pub(super) interrupt_at: u64,
    pub(super) nmi: bool,
    pub(super) vector: u8,
    pub(super) segments: u8,
    pub(super) data_seed: u64,
    pub(super) cut_seed: u64,
    pub(super) gprs: [u8; 16],
    pub(super) register_seed: u64,
}

impl Header {
    /// From the first bytes of a program.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut header = [0; HEADER_LEN];
        let len = bytes.len().min(HEADER_LEN);
        header[..len].copy_from_slice(&bytes[..len]);
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let qword = |at: usize| u64::from(dword(at)) | u64::from(dword(at + 4)) << 32;
        let mut gprs = [0; 16];
        gprs.copy_from_slice(&header[32..48]);
        Self {
            mode: Mode::ALL[usize::from(header[0]) % Mode::ALL.len()],
            user: header[1] & 1 != 0,
            nmi: header[1] & 2 != 0,
            breakpoints: header[1] & 4 != 0,
            control: dword(2),
            rflags: dword(6),
            code: at::CODE + u64::from(word(10) & 0xfff),
            interrupt_at: u64::from(word(12)).checked_sub(1).unwrap_or(u64::MAX),
            vector: header[14],
            segments: header[15],
            data_seed: qword(16),
            cut_seed: qword(24),
            gprs,
            register_seed: qword(48),
        }
    }
}
