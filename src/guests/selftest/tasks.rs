//! Hardware tasks by JMP, CALL, IRET and task gates, with busy and NT bits, TS and #NM; virtual-8086 mode with IOPL and the map of
//! ports. SDM vol. 3A, chapter 8, and 21.2.

use super::at;
use super::part::{Mark, Part, code};
use super::protected::flat;
use super::tables::{sel, tss};
use iced_x86::IcedError;
use iced_x86::code_asm::{al, ax, bx, byte_ptr, cr0, dr6, dword_ptr, dx, eax, ebx, ecx, esp, word_ptr};

const TS: u8 = 10;
const GP: u8 = 13;
const NT: u32 = 0x4000;
const VM: u32 = 0x2_0000;
const IOPL3: u32 = 0x3000;
/// Descriptor bytes of the two task states, and their busy bits.
const BUSY: u32 = 2;
const KIND_A: u32 = at::GDT + sel::TASK_A as u32 + 5;
const KIND_B: u32 = at::GDT + sel::TASK_B as u32 + 5;

/// Offsets of the pieces of virtual-8086 code.
pub(super) struct Vm86 {
    pieces: Vec<Piece>,
}

/// A piece, the flags it starts with, and how it ends.
struct Piece {
    at: Mark,
    offset: u32,
    flags: u32,
    vector: u8,
    error: u32,
}

/// The second task: records NT, TS and its stack; goes back by IRET if it is nested, else by JMP.
pub(super) fn body(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    let nested = part.mark();
    let back = part.label(nested);
    code! { part.a =>
        pushfd(); pop(ebx); mov(dword_ptr(at::SCRATCH), ebx); mov(dword_ptr(at::SCRATCH + 4), esp);
        mov(eax, cr0); mov(dword_ptr(at::SCRATCH + 8), eax);
        movzx(eax, byte_ptr(KIND_A)); mov(dword_ptr(at::SCRATCH + 12), eax);
        movzx(eax, byte_ptr(KIND_B)); mov(dword_ptr(at::SCRATCH + 16), eax);
        clts(); test(ebx, NT); jnz(back);
    }
    part.jump_far(sel::TASK_A, 0)?;
    part.set(nested)?;
    part.a.iretd()?;
    Ok(here)
}

/// The second task of 16 bits: records AX and BX, and goes back.
pub(super) fn body16(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    code! { part.a => mov(word_ptr(at::SCRATCH), ax); mov(word_ptr(at::SCRATCH + 2), bx); clts(); iretd(); }
    Ok(here)
}

pub(super) fn stages(part: &mut Part, vm86: &Vm86) -> Result<(), IcedError> {
    part.stage(0x28, "task switches")?;
    flat(part)?;
    let entry = part.mark();
    code! { part.a => mov(eax, dword_ptr(at::TASK_B + tss::EIP)); mov(dword_ptr(at::SCRATCH + 0x20), eax); }
    part.set(entry)?;
    let jump = [0xea, 0, 0, 0, 0, sel::TASK_B as u8, 0];
    let call = [0x9a, 0, 0, 0, 0, sel::TASK_B as u8, 0];
    let gate = [0x9a, 0, 0, 0, 0, sel::TASK_GATE as u8, 0];
    for (insn, nested) in [(&jump[..], false), (&call, true), (&gate, true), (&[0xcd, 0x22], true)] {
        switch(part, insn, nested)?;
    }
    // To oneself, who is busy; to a state that is too short; JMP to what is no task.
    for (selector, vector) in [(sel::TASK_A, GP), (sel::SHORT_TASK, TS)] {
        let expected = part.expect()?;
        part.jump_far(selector, 0)?;
        part.raised(expected, vector, u32::from(selector))?;
    }
    // A nested return to a task that is not busy.
    let expected = part.expect()?;
    code! { part.a => mov(word_ptr(at::TASK_A), u32::from(sel::TASK_B)); push(NT as i32 | 2); popfd(); iretd(); }
    part.raised_anywhere(&expected, TS, u32::from(sel::TASK_B))?;
    code! { part.a => push(2); popfd(); }
    in_the_new_task(part)?;
    // A task of 16 bits.
    part.check()?;
    part.raw(&[0x9a, 0, 0, 0, 0, sel::TASK16 as u8, (sel::TASK16 >> 8) as u8])?;
    part.word_is(at::SCRATCH, 0x5678_1234)?;
    code! { part.a => movzx(eax, word_ptr(at::TASK16)); }
    part.eax_is(u32::from(sel::TASK_A))?;
    // TS: the next x87 instruction is #NM, until CLTS. WAIT only with MP.
    code! { part.a => mov(eax, cr0); or(eax, 8); and(eax, !6); mov(cr0, eax); wait(); }
    for insn in [&[0xd9, 0xd0][..], &[0x9b]] {
        let expected = part.expect()?;
        part.raw(insn)?;
        part.raised(expected, 7, 0)?;
        code! { part.a => mov(eax, cr0); or(eax, 2); mov(cr0, eax); }
    }
    part.check()?;
    code! { part.a => clts(); fninit(); }
    virtual_8086(part, vm86)
}

/// What comes after the switch is raised in the new task: a segment that it can't have, and its trap bit.
fn in_the_new_task(part: &mut Part) -> Result<(), IcedError> {
    let ds = tss::SEGMENTS + 12;
    let body = at::SCRATCH + 0x20;
    for (place, value, before, vector) in [
        (ds, u32::from(sel::BEYOND), u32::from(sel::DATA32), TS),
        (ds, u32::from(sel::ABSENT), u32::from(sel::DATA32), 11),
        (tss::TRAP, 1 | 0x68 << 16, 0x68 << 16, 1),
    ] {
        let after = part.mark();
        let resume = part.address(after);
        code! { part.a =>
            mov(eax, dword_ptr(body)); mov(dword_ptr(at::TASK_B + tss::EIP), eax); mov(dword_ptr(at::TASK_B + tss::ESP), at::STACK_B);
            mov(dword_ptr(at::TASK_B + place), value);
        }
        let expected = part.expect()?;
        part.jump_far(sel::TASK_B, 0)?;
        let error = if vector == 1 { 0 } else { value };
        part.raised_anywhere(&expected, vector, error)?;
        code! { part.a => mov(eax, dword_ptr(at::FAULT_IP)); sub(eax, dword_ptr(body)); }
        part.eax_is(0)?;
        code! { part.a => str(eax); }
        part.eax_is(u32::from(sel::TASK_B))?;
        // And back, to here; unless the switch raised nothing, on a machine for which that is left out.
        let back = part.label(after);
        code! { part.a => cmp(eax, u32::from(sel::TASK_B)); jne(back); mov(dword_ptr(at::TASK_A + tss::EIP), resume); }
        part.jump_far(sel::TASK_A, 0)?;
        part.set(after)?;
        code! { part.a => mov(dword_ptr(at::TASK_B + place), before); clts(); }
    }
    code! { part.a => mov(eax, dr6); and(eax, 0x8000); }
    part.eax_is(0x8000)?;
    code! { part.a => xor(eax, eax); mov(dr6, eax); }
    Ok(())
}

/// One switch to the second task and back.
fn switch(part: &mut Part, insn: &[u8], nested: bool) -> Result<(), IcedError> {
    let fail = part.fail;
    part.check()?;
    // The second task ended behind its IRET or JMP: it begins anew.
    code! { part.a =>
        mov(eax, dword_ptr(at::SCRATCH + 0x20)); mov(dword_ptr(at::TASK_B + tss::EIP), eax);
        mov(dword_ptr(at::TASK_B + tss::ESP), at::STACK_B); mov(ecx, 0x1234_5678); mov(dword_ptr(at::SCRATCH), 0);
    }
    let insn_mark = part.here()?;
    part.raw(insn)?;
    let insn_len = insn.len() as u32;
    // Registers are those of before; the state that was left has them, and the address behind the instruction.
    code! { part.a => cmp(ecx, 0x1234_5678); jne(fail); pushfd(); pop(eax); and(eax, NT); }
    part.eax_is(0)?;
    let behind = part.address(insn_mark) + insn_len;
    part.word_is(at::TASK_A + tss::EIP, behind)?;
    part.word_is(at::TASK_A + 0x2c, 0x1234_5678)?;
    code! { part.a => mov(eax, dword_ptr(at::SCRATCH)); and(eax, NT); }
    part.eax_is(if nested { NT } else { 0 })?;
    part.word_is(at::SCRATCH + 4, at::STACK_B)?;
    code! { part.a => mov(eax, dword_ptr(at::SCRATCH + 8)); and(eax, 8); }
    part.eax_is(8)?;
    part.word_is(at::SCRATCH + 12, if nested { 0x89 | BUSY } else { 0x89 })?;
    part.word_is(at::SCRATCH + 16, 0x89 | BUSY)?;
    if nested {
        code! { part.a => movzx(eax, word_ptr(at::TASK_B)); }
        part.eax_is(u32::from(sel::TASK_A))?;
    }
    code! { part.a => movzx(eax, byte_ptr(KIND_A)); }
    part.eax_is(0x89 | BUSY)?;
    code! { part.a => movzx(eax, byte_ptr(KIND_B)); }
    part.eax_is(0x89)?;
    part.a.clts()?;
    Ok(())
}

/// Virtual-8086 code, each piece with how it ends.
pub(super) fn build_vm86(part: &mut Part) -> Result<Vm86, IcedError> {
    let mut pieces = Vec::new();
    // Segments are paragraphs; the way out is the gate for everybody, which takes IOPL 3.
    let at = part.here()?;
    code! { part.a =>
        mov(ax, 0x1234); mov(word_ptr(0x560), ax); mov(ax, iced_x86::code_asm::cs); mov(word_ptr(0x562), ax); pushf(); pop(ax);
        mov(word_ptr(0x564), ax);
    }
    part.raw(&[0xcd, 0x20])?;
    pieces.push(Piece { at, offset: 0, flags: IOPL3, vector: 0x20, error: 0 });
    // With IOPL 0 what would touch IF is #GP(0): CLI, STI, PUSHF, POPF, INT n, IRET.
    for insn in [&[0xfa][..], &[0xfb], &[0x9c], &[0x9d], &[0xcd, 0x20], &[0xcf]] {
        let at = part.here()?;
        part.raw(insn)?;
        pieces.push(Piece { at, offset: 0, flags: 0, vector: GP, error: 0 });
    }
    // Privileged whatever IOPL says; a port that the map forbids; one that it does not.
    for insn in [&[0xf4][..], &[0x0f, 0x20, 0xc0], &[0xe4, 0x81]] {
        let at = part.here()?;
        part.raw(insn)?;
        pieces.push(Piece { at, offset: 0, flags: IOPL3, vector: GP, error: 0 });
    }
    let at = part.here()?;
    code! { part.a => mov(dx, 0x80); in_(al, dx); }
    part.raw(&[0xcd, 0x20])?;
    pieces.push(Piece { at, offset: 0, flags: IOPL3, vector: 0x20, error: 0 });
    // Not an instruction here; a word across the limit.
    let at = part.here()?;
    part.raw(&[0x0f, 0x00, 0xd0])?;
    pieces.push(Piece { at, offset: 0, flags: IOPL3, vector: 6, error: 0 });
    let at = part.here()?;
    part.raw(&[0xa1, 0xff, 0xff])?;
    pieces.push(Piece { at, offset: 0, flags: IOPL3, vector: GP, error: 0 });
    for piece in &mut pieces {
        piece.offset = part.address(piece.at);
    }
    Ok(Vm86 { pieces })
}

fn virtual_8086(part: &mut Part, vm86: &Vm86) -> Result<(), IcedError> {
    part.stage(0x29, "virtual-8086 mode")?;
    for piece in &vm86.pieces {
        let expected = part.expect()?;
        for value in [0, 0, 0, 0, 0, 0xc000, VM | piece.flags | 2, 0xf000, piece.offset] {
            part.a.push(value as i32)?;
        }
        part.a.iretd()?;
        part.raised_anywhere(&expected, piece.vector, piece.error)?;
        part.word_is(at::FAULT_CS, 0xf000)?;
        // Four more segments on the stack than from level 3.
        part.word_is(at::HANDLER_SP, at::STACK0 - 28 - 16)?;
        code! { part.a => mov(eax, dword_ptr(at::FAULT_FLAGS)); and(eax, VM); }
        part.eax_is(VM)?;
        if piece.vector != 0x20 {
            part.word_is(at::FAULT_IP, piece.offset)?;
        }
    }
    part.word_is(at::SCRATCH, 0xf000_1234)?;
    flat(part)
}
