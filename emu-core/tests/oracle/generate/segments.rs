//! Segments of a case: bases that lead somewhere else than the address says and yet to the sandbox, and selectors to load.

use super::Maker;
use crate::case::{Bits, CPU_NUMBER, DATA, Segments, State, USER_CS_32, USER_CS_64, USER_DS};
use crate::rng::Rng;
use iced_x86::{Code, Instruction, Mnemonic, OpCodeOperandKind, OpKind, Register};

const FS: usize = 0;
const GS: usize = 1;

impl Segments {
    /// Flat ones in most cases; FS and GS with bases.
    pub(super) fn random(bits: Bits, rng: &mut Rng) -> Self {
        let mut selector = || if rng.percent(95) { USER_DS } else { 0 };
        let selectors = [selector(), USER_DS, selector(), selector(), selector()];
        Self { selectors, bases: [FS, GS].map(|_| base(bits, rng)) }
    }
}

/// A base from which no address of 32 bits reaches what the host's process keeps outside of the sandbox.
fn base(bits: Bits, rng: &mut Rng) -> u64 {
    let near = rng.below(1 << 28);
    let any = match rng.below(8) {
        0 => 0,
        1 => DATA - rng.below(0x8000),
        2 => near.wrapping_neg(),
        3 => 0x10_0000_0000 + near * 16,
        4 => 0xffff_8000_0000_0000 | rng.next() >> 17,
        5 => near & !0xf,
        _ => near,
    };
    any & bits.mask()
}

/// A selector to load or to look at: of the entries that every Linux has alike, of none, of the LDT, which is none.
pub(super) fn selector(rng: &mut Rng) -> u16 {
    match rng.below(4) {
        0 | 1 => USER_DS,
        2 => rng.pick(&[0, 1, 2, 3, 4, 7, 0x2f]),
        _ => rng.pick(&[
            USER_CS_32,
            USER_CS_64,
            USER_DS - 1,
            USER_DS - 3,
            CPU_NUMBER,
            0x10,
            0x18,
            0x1b,
            0x3b,
            0xfff8,
        ]),
    }
}

/// Where a memory operand's segment begins.
pub(super) fn base_of(insn: &Instruction, state: &State) -> u64 {
    match insn.memory_segment() {
        Register::FS => state.segments.bases[FS],
        Register::GS => state.segments.bases[GS],
        _ => 0,
    }
}

/// Whether an instruction takes its operand for a selector.
pub(super) fn takes_selector(insn: &Instruction) -> bool {
    let looks = matches!(insn.mnemonic(), Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw);
    looks || insn.op_code().op0_kind() == OpCodeOperandKind::seg_reg
}

/// The segment register that an instruction loads with a pointer, or from the stack.
fn loaded(code: Code) -> Option<Register> {
    match code.mnemonic() {
        Mnemonic::Les => Some(Register::ES),
        Mnemonic::Lss => Some(Register::SS),
        Mnemonic::Lds => Some(Register::DS),
        Mnemonic::Lfs => Some(Register::FS),
        Mnemonic::Lgs => Some(Register::GS),
        Mnemonic::Pop => match code.op_code().op0_kind() {
            OpCodeOperandKind::es => Some(Register::ES),
            OpCodeOperandKind::ss => Some(Register::SS),
            OpCodeOperandKind::ds => Some(Register::DS),
            OpCodeOperandKind::fs => Some(Register::FS),
            OpCodeOperandKind::gs => Some(Register::GS),
            _ => None,
        },
        _ => None,
    }
}

/// The segment register that an instruction may change: itself, or its base.
fn changed(insn: &Instruction) -> Option<Register> {
    match insn.mnemonic() {
        Mnemonic::Wrfsbase => Some(Register::FS),
        Mnemonic::Wrgsbase => Some(Register::GS),
        _ if insn.op_code().op0_kind() == OpCodeOperandKind::seg_reg => Some(insn.op0_register()),
        _ => loaded(insn.code()),
    }
}

impl Maker<'_> {
    /// A selector where one is taken from, and a base for WRFSBASE that memory can be found with.
    pub(super) fn aim_selector(&mut self) {
        let (insn, selector) = (self.insn, selector(self.rng));
        if takes_selector(&insn) {
            let source = if insn.op_count() == 1 { 0 } else { 1 };
            if insn.op_kind(source) == OpKind::Register {
                let full = insn.op_register(source).full_register().number();
                self.state.gprs[full] = self.rng.next() & !0xffff | u64::from(selector);
            }
        }
        if insn.mnemonic() == Mnemonic::Pop && loaded(insn.code()).is_some() {
            self.put(self.state.gprs[super::RSP], &selector.to_le_bytes());
        }
        if matches!(insn.mnemonic(), Mnemonic::Wrfsbase | Mnemonic::Wrgsbase) && self.rng.percent(80) {
            let number = insn.op0_register().full_register().number();
            self.state.gprs[number] = base(self.bits, self.rng);
        }
    }

    /// What a memory operand holds, if it is a selector or ends with one.
    pub(super) fn selector_in_memory(&mut self) -> Option<Vec<u8>> {
        let selector = selector(self.rng).to_le_bytes();
        if takes_selector(&self.insn) {
            return Some(selector.to_vec());
        }
        loaded(self.insn.code())?;
        let offset = self.rng.value().to_le_bytes();
        Some([&offset[..self.insn.memory_size().size() - 2], &selector].concat())
    }
}

/// What is known of the bases while instructions are put behind each other.
#[derive(Clone, Copy)]
pub(super) struct Known([Option<u64>; 2]);

impl Known {
    /// At the start.
    pub(super) fn at_first(state: &State) -> Self {
        Self(state.segments.bases.map(Some))
    }

    /// Behind an instruction; `registers` are those that it began with, if they are known.
    pub(super) fn follow(&mut self, insn: &Instruction, registers: Option<&[u64; 16]>) {
        let which = match changed(insn) {
            Some(Register::FS) => FS,
            Some(Register::GS) => GS,
            _ => return,
        };
        let writes_base = matches!(insn.mnemonic(), Mnemonic::Wrfsbase | Mnemonic::Wrgsbase);
        let source = insn.op0_register();
        self.0[which] = registers.filter(|_| writes_base).map(|registers| {
            let value = registers[source.full_register().number()];
            if source.size() == 4 { value & 0xffff_ffff } else { value }
        });
    }

    /// The state for a follower of which only the bases count; `None` if its address is not known.
    pub(super) fn place(&self, insn: &Instruction, state: &mut State) -> Option<()> {
        state.segments.bases = self.0.map(Option::unwrap_or_default);
        let which = match insn.memory_segment() {
            Register::FS => FS,
            Register::GS => GS,
            _ => return Some(()),
        };
        self.0[which].map(|_| ())
    }
}
