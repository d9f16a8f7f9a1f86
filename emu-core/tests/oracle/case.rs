//! A case: one instruction or a few, the state they start in and the memory they may touch; and what became of them.
//!
//! The sandbox lies at the same linear addresses in this process and in the guest: two pages of code, full of INT3
//! around the instruction; two pages of data, then one that may only be read; nothing else near them.

use iced_x86::{Instruction, Mnemonic};

/// Linear address of the code pages.
pub(crate) const CODE: u64 = 0x1000_0000;
/// Their length.
pub(crate) const CODE_LEN: usize = 0x2000;
/// Linear address of the data pages.
pub(crate) const DATA: u64 = 0x1001_0000;
/// Length of those that may be written.
pub(crate) const WRITABLE_LEN: usize = 0x2000;
/// Length of the one behind them that may only be read.
pub(crate) const READ_ONLY_LEN: usize = 0x1000;
/// The exception behind an instruction with TF.
pub(crate) const SINGLE_STEP: u8 = 1;
/// The exception of INT3.
pub(crate) const BREAKPOINT: u8 = 3;
/// Fills the code pages: whatever the instruction does, what follows it ends the case.
pub(crate) const INT3: u8 = 0xcc;

/// What the page that may only be read holds.
pub(crate) fn read_only_bytes() -> Vec<u8> {
    (0..READ_ONLY_LEN).map(|n| (n * 7) as u8 ^ (n >> 8) as u8).collect()
}

/// The mode that a case runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    /// Compatibility mode with a 32-bit code segment.
    B32,
    /// 64-bit mode.
    B64,
}

impl Bits {
    /// For the decoder.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::B32 => 32,
            Self::B64 => 64,
        }
    }

    /// What of a register exists.
    pub(crate) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.number())
    }

    /// How many general registers.
    pub(crate) fn registers(self) -> usize {
        match self {
            Self::B32 => 8,
            Self::B64 => 16,
        }
    }
}

/// Linux's selectors for programs: data, 32-bit code, 64-bit code.
pub(crate) const USER_DS: u16 = 0x2b;
pub(crate) const USER_CS_32: u16 = 0x23;
/// And of the segment whose limit is the processor's number.
pub(crate) const CPU_NUMBER: u16 = 0x7b;
pub(crate) const USER_CS_64: u16 = 0x33;

/// The segment registers that a program may change, and the bases that count in 64-bit mode too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    /// ES, SS, DS, FS, GS.
    pub(crate) selectors: [u16; 5],
    /// Of FS and GS.
    pub(crate) bases: [u64; 2],
}

impl Segments {
    /// All flat.
    pub(crate) const FLAT: Self = Self { selectors: [USER_DS; 5], bases: [0; 2] };
}

/// What a program sees of the x87 unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct X87State {
    pub(crate) control: u16,
    pub(crate) status: u16,
    /// A bit for each physical register that is not empty.
    pub(crate) valid: u8,
    /// ST(0) to ST(7), 80 bits each.
    pub(crate) st: [u128; 8],
    /// Of the last instruction that computed: its opcode's last eleven bits, its address, and its operand's.
    pub(crate) last: (u16, u64, u64),
}

impl X87State {
    /// After FNINIT.
    pub(crate) const INIT: Self = Self { control: 0x37f, status: 0, valid: 0, st: [0; 8], last: (0, 0, 0) };
}

/// What a program sees of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15.
    pub(crate) gprs: [u64; 16],
    /// RIP.
    pub(crate) rip: u64,
    /// RFLAGS.
    pub(crate) rflags: u64,
    /// YMM0-15, the lower halves first.
    pub(crate) ymm: [[u128; 2]; 16],
    /// MXCSR.
    pub(crate) mxcsr: u32,
    pub(crate) x87: X87State,
    pub(crate) segments: Segments,
}

impl State {
    /// At an instruction, with nothing in the registers.
    pub(crate) const fn blank(rip: u64) -> Self {
        Self {
            gprs: [0; 16],
            rip,
            // IF and the bit that is always set.
            rflags: 0x202,
            ymm: [[0; 2]; 16],
            mxcsr: 0x1f80,
            x87: X87State::INIT,
            segments: Segments::FLAT,
        }
    }
}

/// Code to try.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Of 64-bit mode, or of a 32-bit segment.
    pub(crate) bits: Bits,
    /// Before it; RIP is where it lies.
    pub(crate) state: State,
    /// Its bytes: one instruction or several.
    pub(crate) code: Vec<u8>,
    /// The writable data pages.
    pub(crate) memory: Vec<u8>,
}

/// A case with what is known of its instructions.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// What is run.
    pub(crate) case: Case,
    /// Its instructions, in order.
    pub(crate) insns: Vec<Instruction>,
    /// Flags that are undefined behind each of them.
    pub(crate) undefined: Vec<u64>,
}

impl Trial {
    /// The x87 instruction for which another only waits; else that one.
    pub(crate) fn computing<'a>(&'a self, insn: &'a Instruction) -> &'a Instruction {
        if insn.mnemonic() == Mnemonic::Wait { &self.insns[0] } else { insn }
    }

    /// The instruction at which an outcome ended, and the flags that are undefined there: those behind the last one if all were done.
    pub(crate) fn end(&self, outcome: &Outcome) -> (&Instruction, u64) {
        let at = self.insns.iter().position(|insn| insn.ip() == outcome.state.rip);
        let before = |at: usize| if at == 0 { 0 } else { self.undefined[at - 1] };
        match at {
            Some(at) if outcome.vector == SINGLE_STEP => (&self.insns[at.saturating_sub(1)], before(at)),
            Some(at) if outcome.vector != BREAKPOINT => (&self.insns[at], before(at)),
            _ => (&self.insns[self.insns.len() - 1], self.undefined[self.undefined.len() - 1]),
        }
    }
}

/// How it ended: always with an exception, that of the INT3 behind it if nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Registers as the exception left them.
    pub(crate) state: State,
    /// The exception.
    pub(crate) vector: u8,
    /// Its error code; 0 if it has none.
    pub(crate) error: u32,
    /// CR2; 0 unless it is a page fault.
    pub(crate) cr2: u64,
    /// The writable data pages.
    pub(crate) memory: Vec<u8>,
}
