//! Debug registers: breakpoints on instructions and data, single steps. SDM vol. 3B, 18.2 and 18.3.

use super::at;
use super::part::{Part, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{dr0, dr6, dr7, dword_ptr, eax, ecx};

const BS: u32 = 1 << 14;
const DB: u8 = 1;

pub(super) fn stage(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x2a, "debug traps")?;
    // An instruction: a fault, with B0.
    let insn = part.mark();
    let address = part.address(insn);
    code! { part.a => mov(eax, address); mov(dr0, eax); xor(eax, eax); mov(dr6, eax); mov(eax, 0x402); mov(dr7, eax); }
    let expected = part.expect()?;
    code! { part.a => nop(); }
    part.set(insn)?;
    code! { part.a => nop(); }
    part.raised_anywhere(&expected, DB, 0)?;
    part.word_is(at::FAULT_IP, address)?;
    status(part, 1)?;
    // A dword that is written: a trap, behind the instruction. Reading it is none.
    let behind = part.mark();
    let address = part.address(behind);
    code! { part.a => mov(eax, at::SCRATCH); mov(dr0, eax); mov(eax, 0x402 | 0xd_0000); mov(dr7, eax); mov(eax, dword_ptr(at::SCRATCH)); }
    let expected = part.expect()?;
    code! { part.a => mov(dword_ptr(at::SCRATCH), 0x4321); }
    part.set(behind)?;
    code! { part.a => nop(); }
    part.raised_anywhere(&expected, DB, 0)?;
    part.word_is(at::FAULT_IP, address)?;
    part.word_is(at::SCRATCH, 0x4321)?;
    status(part, 1)?;
    code! { part.a => mov(eax, 0x400); mov(dr7, eax); }
    // TF, set by POPF, traps behind the instruction after that.
    let behind = part.mark();
    let address = part.address(behind);
    let expected = part.expect()?;
    code! { part.a => push(0x102); popfd(); mov(ecx, 1); }
    part.set(behind)?;
    code! { part.a => mov(ecx, 2); }
    part.raised_anywhere(&expected, DB, 0)?;
    part.word_is(at::FAULT_IP, address)?;
    status(part, BS)
}

/// DR6 says why, and is cleared by hand.
fn status(part: &mut Part, bits: u32) -> Result<(), IcedError> {
    code! { part.a => mov(eax, dr6); and(eax, 0xe00f); }
    part.eax_is(bits)?;
    code! { part.a => xor(eax, eax); mov(dr6, eax); }
    Ok(())
}
