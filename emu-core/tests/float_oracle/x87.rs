//! Programs of the x87 unit: FRSTOR, an instruction, FNSAVE.

use crate::area::Program;

/// Fields of FNSAVE's image (SDM vol. 1, figure 8-9), and what else is in the area.
pub(crate) const CONTROL: usize = 0;
pub(crate) const STATUS: usize = 4;
pub(crate) const TAGS: usize = 8;
pub(crate) const STACK: usize = 28;
/// The instruction's operand in memory.
pub(crate) const OPERAND: usize = 112;
/// SF, ZF, AF, PF, CF as LAHF has them.
pub(crate) const FLAGS: usize = 126;

/// `frstor [rdi]; mov ah, [rdi+126]; sahf`
const LOAD: [u8; 6] = [0xdd, 0x27, 0x8a, 0x67, 126, 0x9e];
/// `lahf; mov [rdi+126], ah; fnsave [rdi]`
const STORE: [u8; 6] = [0x9f, 0x88, 0x67, 126, 0xdd, 0x37];

/// A program around an instruction.
pub(crate) fn program(insn: &[u8]) -> Option<Program> {
    Program::new(&LOAD, insn, &STORE)
}
