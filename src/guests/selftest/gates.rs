//! Gates and privilege: level 3 and back, what it may not do, call gates that copy parameters, interrupt and trap gates. SDM vol. 3A, 5.8
//! and 6.12.

use super::at;
use super::part::{Mark, Part, code};
use super::protected::{flat, to_kernel, to_user};
use super::tables::{sel, tss};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    ax, cs, ds, dword_ptr, eax, ebx, ecx, edi, edx, es, esi, esp, fs, gs, ss, word_ptr,
};

const TS: u8 = 10;
const NP: u8 = 11;
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

/// What the 16-bit call gate leads to: its frame is of words.
pub(super) fn target16(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    code! { part.a => mov(eax, u32::from(sel::DATA32)); mov(ds, ax); mov(dword_ptr(at::SCRATCH + 0x18), esp); }
    for slot in 0..3u32 {
        code! { part.a => mov(eax, dword_ptr(esp + slot * 4)); mov(dword_ptr(at::SCRATCH + slot * 4), eax); }
    }
    // Its return address is cut off to 16 bits: back by the gate for everybody.
    part.raw(&[0xcd, 0x20])?;
    Ok(here)
}

/// What the gate to level 1 leads to: records CS, SS and ESP, and returns.
pub(super) fn target_ring1(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    code! { part.a =>
        mov(eax, cs); mov(dword_ptr(at::SCRATCH), eax); mov(eax, ss); mov(dword_ptr(at::SCRATCH + 4), eax);
        mov(dword_ptr(at::SCRATCH + 8), esp); retf();
    }
    Ok(here)
}

/// #GP's gate as it is in the ROM.
pub(super) fn restore_general_protection(part: &mut Part, stub: Mark) -> Result<(), IcedError> {
    let stub = part.address(stub);
    let low = u32::from(sel::CODE32) << 16 | stub & 0xffff;
    code! { part.a => mov(dword_ptr(at::IDT + 13 * 8), low); mov(dword_ptr(at::IDT + 13 * 8 + 4), stub & 0xffff_0000 | 0x8e00); }
    Ok(())
}

pub(super) fn stages(part: &mut Part) -> Result<(), IcedError> {
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
    flat(part)?;
    rings(part)
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

/// A far CALL's or JMP's bytes; the offset is of no account.
fn far(opcode: u8, selector: u16) -> Vec<u8> {
    [&[opcode, 0, 0, 0, 0], &selector.to_le_bytes()[..]].concat()
}

const CALL: u8 = 0x9a;
const JMP: u8 = 0xea;

/// Level 1, gates that may not be used, returns outwards, conforming code.
fn rings(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x24, "call gates and returns between levels")?;
    to_level1(part)?;
    refused(part)?;
    outwards(part)?;
    // To conforming code from level 3: it runs there.
    let (conforming, over) = (part.mark(), part.mark());
    let behind = part.label(over);
    let target = part.address(conforming);
    let expected = to_user(part, 0)?;
    part.raw(&[&[CALL][..], &target.to_le_bytes(), &sel::CONFORMING.to_le_bytes()].concat())?;
    part.a.jmp(behind)?;
    part.set(conforming)?;
    code! { part.a => mov(ebx, cs); retf(); }
    part.set(over)?;
    to_kernel(part, &expected)?;
    part.register_is(ebx, u32::from(sel::CONFORMING | 3))?;
    // At level 0 the gate changes no stack and copies nothing.
    part.check()?;
    flat(part)?;
    let back = part.mark();
    code! { part.a => mov(esp, at::STACK); push(0x1111); push(0x2222); }
    part.raw(&far(CALL, sel::CALL_GATE))?;
    part.set(back)?;
    part.register_is(esp, at::STACK)?;
    for (slot, value) in (0..).zip([part.address(back), u32::from(sel::CODE32), 0x2222, 0x1111]) {
        part.word_is(at::SCRATCH + slot * 4, value)?;
    }
    part.word_is(at::SCRATCH + 0x18, at::STACK - 16)?;
    gate16(part)
}

/// From level 3 to level 1 and back; and with stacks for level 1 that are none.
fn to_level1(part: &mut Part) -> Result<(), IcedError> {
    let expected = to_user(part, 0)?;
    part.raw(&far(CALL, sel::GATE_RING1))?;
    code! { part.a => mov(ebx, esp); }
    to_kernel(part, &expected)?;
    part.register_is(ebx, at::STACK3)?;
    part.word_is(at::SCRATCH, u32::from(sel::CODE_RING1))?;
    part.word_is(at::SCRATCH + 4, u32::from(sel::DATA_RING1))?;
    part.word_is(at::SCRATCH + 8, at::STACK1 - 16)?;
    // Null, beyond the table, of level 3, not writable.
    for selector in [0, sel::BEYOND, sel::USER_DATA, sel::CODE_RING1] {
        flat(part)?;
        part.a.mov(dword_ptr(at::TASK_A + tss::SS1), u32::from(selector))?;
        let expected = to_user(part, 0)?;
        part.raw(&far(CALL, sel::GATE_RING1))?;
        part.raised_anywhere(&expected, TS, u32::from(selector & !3))?;
    }
    part.a.mov(dword_ptr(at::TASK_A + tss::SS1), u32::from(sel::DATA_RING1))
}

/// What level 3 can't do with gates and returns.
fn refused(part: &mut Part) -> Result<(), IcedError> {
    let code = sel::CODE32;
    for (insn, vector, selector) in [
        (far(CALL, sel::ABSENT_GATE), NP, sel::ABSENT_GATE),
        (far(CALL, sel::KERNEL_GATE), GP, sel::KERNEL_GATE),
        // JMP does not change levels.
        (far(JMP, sel::CALL_GATE), GP, code),
        (far(JMP, sel::CODE_RING1), GP, sel::CODE_RING1 & !3),
        (far(JMP, sel::TASK_B), GP, sel::TASK_B),
        (far(JMP, sel::TASK_GATE), GP, sel::TASK_GATE),
        (far(CALL, 0), GP, 0),
    ] {
        let expected = to_user(part, 0)?;
        part.raw(&insn)?;
        part.raised_anywhere(&expected, vector, u32::from(selector))?;
    }
    // Returns inwards, by RETF and IRET.
    for insn in [0xcb, 0xcf] {
        let expected = to_user(part, 0)?;
        code! { part.a => push(2); push(i32::from(code)); push(0); }
        part.raw(&[insn])?;
        part.raised_anywhere(&expected, GP, u32::from(code))?;
    }
    Ok(())
}

/// RETF to level 3 releases parameters on both stacks, and clears segment registers that level 3 may not have.
fn outwards(part: &mut Part) -> Result<(), IcedError> {
    flat(part)?;
    let expected = part.expect()?;
    let inside = part.mark();
    let target = part.address(inside);
    code! { part.a =>
        mov(eax, u32::from(sel::USER_DATA)); mov(es, ax); mov(eax, u32::from(sel::CONFORMING)); mov(fs, ax);
        mov(eax, u32::from(sel::DATA_RING1)); mov(gs, ax);
        push(i32::from(sel::USER_DATA)); push(at::STACK3 as i32 - 16); push(0x1111); push(0x2222);
        push(i32::from(sel::USER_CODE32)); push(target as i32); retf_1(8);
    }
    part.set(inside)?;
    code! { part.a => mov(ebx, ds); mov(ecx, es); mov(edx, fs); mov(esi, gs); mov(edi, esp); }
    to_kernel(part, &expected)?;
    for (register, value) in [
        (ebx, 0),
        (ecx, u32::from(sel::USER_DATA)),
        (edx, u32::from(sel::CONFORMING)),
        (esi, 0),
        (edi, at::STACK3 - 8),
    ] {
        part.register_is(register, value)?;
    }
    Ok(())
}

/// The gate of 16 bits from level 3: a frame of words, one of them copied.
fn gate16(part: &mut Part) -> Result<(), IcedError> {
    let expected = to_user(part, 0)?;
    let back = part.mark();
    part.raw(&[0x66, 0x68, 0x33, 0x33])?;
    part.raw(&far(CALL, sel::GATE16))?;
    part.set(back)?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    part.word_is(at::SCRATCH, u32::from(sel::USER_CODE32) << 16 | part.address(back) & 0xffff)?;
    part.word_is(at::SCRATCH + 4, (at::STACK3 - 2) << 16 | 0x3333)?;
    code! { part.a => movzx(eax, word_ptr(at::SCRATCH + 8)); }
    part.eax_is(u32::from(sel::USER_DATA))?;
    part.word_is(at::SCRATCH + 0x18, at::STACK0 - 10)?;
    part.word_is(at::FAULT_CS, u32::from(sel::CODE_ROM))?;
    flat(part)
}
