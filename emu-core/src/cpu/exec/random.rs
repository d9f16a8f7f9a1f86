//! RDRAND and RDSEED. A deterministic machine has no entropy: the numbers follow from the scenario's seed and from how many
//! were drawn. SDM vol. 1, 7.3.17; vol. 2B.

use super::Exec;
use crate::cpu::Cpu;
use crate::cpu::flags::{Flags, bit};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    matches!(code.mnemonic(), Mnemonic::Rdrand | Mnemonic::Rdseed).then_some(|cpu, _, insn| {
        draw(cpu, insn);
        Ok(())
    })
}

/// CF says that there is a number, as there always is.
fn draw(cpu: &mut Cpu, insn: &Instruction) {
    cpu.drawn += 1;
    let value = mixed(cpu.config.seed, cpu.drawn);
    cpu.set_reg(insn.op0_register(), value);
    cpu.flags = Flags::from_bits(bit::CF);
}

/// The `n`-th number of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(seed: u64, n: u64) -> u64 {
    let value = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
