//! Gates and privilege: level 3 and back, what it may not do, call gates that copy parameters, interrupt and trap gates. SDM vol. 3A, 5.8
//! and 6.12.

use super::at;
use super::part::{Mark, Part, code};
use super::protected::{flat, to_kernel, to_user};
use super::tables::sel;
use iced_x86::IcedError;
use iced_x86::code_asm::{ax, ds, dword_ptr, eax, ebx, es, esp, word_ptr};

const GP: u8 = 13;
const IF: u32 = 0x200;

/// What the call gate leads to: records its stack, then returns over the two parameters.
pub(super) fn target(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    code! { part.a => mov(eax, u32::from(sel::DATA32)); mov(ds, ax); mov(es, ax); mov(dword_ptr(at::SCRATCH + 0x18), esp); }
    for slot in 0..6u32 {
        code! { part.a => mov(eax, dword_ptr(esp + slot * 4)); mov(dword_ptr(at::SCRATCH + slot * 4), eax); }
    }
    part.a.retf_1(8)?;
    Ok(here)
}

/// #GP's gate as it is in the ROM.
pub(super) fn restore_general_protection(part: &mut Part, stub: Mark) -> Result<(), IcedError> {
    let stub = part.address(stub);
    let low = u32::from(sel::CODE32) << 16 | stub & 0xffff;
    code! { part.a => mov(dword_ptr(at::IDT + 13 * 8), low); mov(dword_ptr(at::IDT + 13 * 8 + 4), stub & 0xffff_0000 | 0x8e00); }
    Ok(())
}

pub(super) fn stage(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x23, "gates and privilege")?;
    let fail = part.fail;
    code! { part.a => mov(eax, u32::from(sel::TASK_A)); ltr(ax); test(word_ptr(at::GDT + u32::from(sel::TASK_A) + 4), 0x200); jz(fail); }
    // What level 3 may not do: CLI, HLT, MOV CR0, LGDT, LMSW, INVLPG, CLTS, port 81h, and a gate that is not for it.
    for (insn, error) in [
        (&[0xfa][..], 0),
        (&[0xf4], 0),
        (&[0x0f, 0x20, 0xc0], 0),
        (&[0x0f, 0x01, 0x15, 0, 7, 0, 0], 0),
        (&[0x0f, 0x01, 0xf0], 0),
        (&[0x0f, 0x01, 0x38], 0),
        (&[0x0f, 0x06], 0),
        (&[0xe4, 0x81], 0),
        (&[0xcd, 0x21], 0x21 * 8 + 2),
        (&[0x9a, 0, 0, 0, 0, 8, 0], 8),
        (&[0x8e, 0xdb], 0x10),
    ] {
        // EBX is the flat data segment of level 0, for the last.
        part.a.mov(ebx, u32::from(sel::DATA32))?;
        let expected = to_user(part, 0)?;
        part.raw(insn)?;
        part.raised_anywhere(&expected, GP, error)?;
        part.word_is(at::FAULT_CS, u32::from(sel::USER_CODE32))?;
    }
    // Port 80h is in the map.
    let expected = to_user(part, 0)?;
    part.raw(&[0xe4, 0x80])?;
    to_kernel(part, &expected)?;
    part.word_is(at::FAULT_SP, at::STACK3)?;
    part.word_is(at::HANDLER_SP, at::STACK0 - 28)?;
    // POPF at level 3 changes neither IOPL nor IF.
    let expected = to_user(part, 0)?;
    code! { part.a => push(0x3202); popfd(); pushfd(); pop(dword_ptr(at::SCRATCH)); }
    to_kernel(part, &expected)?;
    part.word_is(at::SCRATCH, 2)?;
    call_gate(part)?;
    // An interrupt gate clears IF, a trap gate does not. Both clear TF and NT.
    for (insn, vector, flags) in [(&[0xcd, 0x20][..], 0x20, 0u32), (&[0xcc], 3, IF)] {
        let expected = part.expect()?;
        part.a.sti()?;
        part.raw(insn)?;
        part.raised_anywhere(&expected, vector, 0)?;
        code! { part.a => cli(); mov(eax, dword_ptr(at::HANDLER_FLAGS)); and(eax, IF); }
        part.eax_is(flags)?;
        code! { part.a => mov(eax, dword_ptr(at::FAULT_FLAGS)); and(eax, IF); }
        part.eax_is(IF)?;
    }
    flat(part)
}

/// CALL through a gate from level 3: another stack, two parameters copied, and back over them.
fn call_gate(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    let expected = to_user(part, 0)?;
    let back = part.mark();
    code! { part.a => push(0x1111); push(0x2222); }
    part.raw(&[0x9a, 0, 0, 0, 0, sel::CALL_GATE as u8, 0])?;
    part.set(back)?;
    code! { part.a => mov(ebx, esp); }
    to_kernel(part, &expected)?;
    code! { part.a => cmp(ebx, at::STACK3); jne(fail); }
    let frame = [
        part.address(back),
        u32::from(sel::USER_CODE32),
        0x2222,
        0x1111,
        at::STACK3 - 8,
        u32::from(sel::USER_DATA),
    ];
    for (slot, value) in (0..).zip(frame) {
        part.word_is(at::SCRATCH + slot * 4, value)?;
    }
    part.word_is(at::SCRATCH + 0x18, at::STACK0 - 24)
}
