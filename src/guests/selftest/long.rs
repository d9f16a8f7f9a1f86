//! Long mode: into it, 64-bit arithmetic, canonical addresses, interrupt stacks, SYSCALL and SYSRET, compatibility mode, and out of it.
//! SDM vol. 3A, 9.8.5, and vol. 1, 3.3.7.

use super::model::{CF, Width};
use super::part::{Mark, Part, code};
use super::tables::sel;
use super::{at, forms, products, shifts, sums};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    ax, cl, cr0, cr3, cr4, cx, ds, dword_ptr, eax, ebx, ecx, edi, edx, esp, fword_ptr, qword_ptr, r8, r9,
    r11, rax, rbp, rbx, rcx, rdx, rsp, ss,
};

const PG: u32 = 1 << 31;
const PAE: u32 = 1 << 5;
const EFER: u32 = 0xc000_0080;
const SCE: u32 = 1;
const LME: u32 = 1 << 8;
const LMA: u32 = 1 << 10;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const FMASK: u32 = 0xc000_0084;
/// Pointers for far jumps, and what LEAVE is told to do.
const POINTER: u32 = at::SCRATCH + 0x30;
const RETURN: u32 = at::SCRATCH + 0x38;

/// From 32-bit code: tables of four levels for the first MiBs, and the jump.
pub(super) fn enter(part: &mut Part) -> Result<(), IcedError> {
    code! { part.a => mov(edi, at::PML4); xor(eax, eax); mov(ecx, 0x3000 / 4); }
    part.a.rep().stosd()?;
    code! { part.a =>
        mov(dword_ptr(at::PML4), at::PDPT | 7); mov(dword_ptr(at::PDPT), at::DIRECTORY64 | 7);
        mov(dword_ptr(at::DIRECTORY64), 0x87);
        mov(eax, cr4); or(eax, PAE); mov(cr4, eax); mov(eax, at::PML4); mov(cr3, eax);
        mov(ecx, EFER); rdmsr(); or(eax, LME); wrmsr();
        mov(eax, cr0); or(eax, PG); mov(cr0, eax);
    }
    // LMA has followed, and this is compatibility mode.
    part.stage(0x30, "into long mode")?;
    part.check()?;
    code! { part.a => mov(ecx, EFER); rdmsr(); and(eax, LMA); }
    part.eax_is(LMA)?;
    part.jump_far(sel::CODE64, at::CODE64_BASE)
}

/// 64-bit code; answers where its handlers are.
pub(super) fn build(part: &mut Part) -> Result<Vec<u32>, IcedError> {
    let begin = part.mark();
    let start = part.label(begin);
    part.a.jmp(start)?;
    let stubs = handlers(part)?;
    let entry = syscall_entry(part)?;
    part.set(begin)?;
    code! { part.a => mov(esp, at::STACK); mov(eax, u32::from(sel::DATA32)); mov(ss, ax); lidt(fword_ptr(u64::from(at::IDTR64))); mov(eax, u32::from(sel::TASK64)); ltr(ax); }
    part.stage(0x31, "64-bit mode: arithmetic, shifts, products")?;
    sums::arithmetic(part)?;
    shifts::by_cl(part, &[Width(32), Width(64)])?;
    products::products(part, &[Width(32), Width(64)])?;
    registers(part)?;
    forms::wide(part)?;
    canonical(part)?;
    system_calls(part, entry)?;
    compatibility(part)?;
    // Down again.
    code! { part.a => mov(edi, 1); }
    leave(part)?;
    Ok(stubs.iter().map(|stub| part.address(*stub)).collect())
}

fn handlers(part: &mut Part) -> Result<Vec<Mark>, IcedError> {
    let common = part.mark();
    let (all, fail) = (part.label(common), part.fail);
    let mut stubs = Vec::new();
    for vector in 0..at::VECTORS {
        stubs.push(part.here()?);
        if !matches!(vector, 8 | 10..=14 | 17) {
            part.a.push(0)?;
        }
        code! { part.a => push(vector as i32); jmp(all); }
    }
    part.set(common)?;
    code! { part.a => cld(); mov(qword_ptr(at::HANDLER_SP), rsp); pushfq(); pop(qword_ptr(at::HANDLER_FLAGS)); }
    for place in [at::VECTOR, at::ERROR, at::FAULT_IP, at::FAULT_CS, at::FAULT_FLAGS, at::FAULT_SP] {
        part.a.pop(qword_ptr(place))?;
    }
    code! { part.a => mov(eax, dword_ptr(at::RESUME)); test(eax, eax); jz(fail); mov(esp, dword_ptr(at::SAVED_SP)); jmp(rax); }
    Ok(stubs)
}

/// What REX reaches, and what 32-bit results do to upper halves.
fn registers(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    part.check()?;
    code! { part.a =>
        mov(rax, -1i64); mov(rbx, rax); add(ebx, 0); shr(rbx, 31); cmp(ebx, 1); jne(fail);
        mov(r8, rax); shr(r8, 8); mov(r9, r8); imul_2(r9, r8); cmp(r9, r9); jne(fail);
        mov(ebx, 0x8000_0000u32); movsxd(rbx, ebx); sar(rbx, 63); cmp(rbx, rax); jne(fail);
    }
    // 63 is a count, 64 is none; RCL goes through 65 bits.
    part.check()?;
    code! { part.a => mov(eax, 1); shl(rax, 63); mov(rbx, rax); mov(ecx, 64); shl(rax, cl); cmp(rax, rbx); jne(fail);
        stc(); rcl(rax, 1); jnc(fail); cmp(rax, 1); jne(fail); mov(ecx, 63); rcr(rax, cl);
    }
    // From 1 with carry set by CMP's absence: RCR by 63 of 65 bits is RCL by 2.
    part.check()?;
    code! { part.a => mov(eax, 5); clc(); rcl(rax, 2); mov(rdx, rax); mov(eax, 5); clc(); mov(ecx, 63); rcr(rax, cl); cmp(rax, rdx); jne(fail); }
    // 128 bits.
    part.check()?;
    code! { part.a => mov(rax, -1i64); mov(rcx, rax); mul(rcx); cmp(rax, 1); jne(fail); cmp(rdx, -2); jne(fail); div(rcx); cmp(rax, rcx); jne(fail); test(rdx, rdx); jnz(fail); }
    code! { part.a => mov(edx, 1); xor(eax, eax); mov(ecx, 1); }
    let expected = part.expect()?;
    part.a.div(rcx)?;
    part.raised(expected, 0, 0)
}

fn canonical(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x32, "canonical addresses, interrupt stacks")?;
    for address in [0x8000_0000_0000u64, 0xffff_7fff_ffff_ffff] {
        code! { part.a => mov(rax, address); mov(rbp, address); }
        let expected = part.expect()?;
        part.a.mov(ebx, dword_ptr(rax))?;
        part.raised(expected, 13, 0)?;
        code! { part.a => mov(rbp, address); }
        let expected = part.expect()?;
        part.a.mov(ebx, dword_ptr(rbp))?;
        part.raised(expected, 12, 0)?;
    }
    code! { part.a => mov(rax, 0xffff_8000_0000_0000u64); }
    let expected = part.expect()?;
    part.a.mov(ebx, dword_ptr(rax))?;
    part.raised(expected, 14, 0)?;
    // Gone in 64-bit mode: PUSH ES, DAA, BOUND's opcode, LES's.
    for insn in [&[0x06][..], &[0x27], &[0x60], &[0xce], &[0xd4, 10], &[0x9a, 0, 0, 0, 0, 8, 0]] {
        let expected = part.expect()?;
        part.raw(insn)?;
        part.raised(expected, 6, 0)?;
    }
    // The breakpoint's gate names IST1; the other takes this stack, aligned.
    let expected = part.expect()?;
    part.raw(&[0xcc])?;
    part.raised_anywhere(&expected, 3, 0)?;
    part.word_is(at::HANDLER_SP, at::STACK_B - 56)?;
    part.a.mov(esp, at::STACK - 4)?;
    let expected = part.expect()?;
    part.raw(&[0xcd, 0x20])?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    part.word_is(at::HANDLER_SP, at::STACK - 16 - 56)?;
    part.word_is(at::FAULT_SP, at::STACK - 4)?;
    part.a.mov(esp, at::STACK)?;
    Ok(())
}

/// What SYSCALL leads to: records, and back.
fn syscall_entry(part: &mut Part) -> Result<Mark, IcedError> {
    let here = part.here()?;
    code! { part.a =>
        mov(qword_ptr(at::SCRATCH), rcx); mov(qword_ptr(at::SCRATCH + 8), r11);
        mov(eax, iced_x86::code_asm::cs); mov(dword_ptr(at::SCRATCH + 0x10), eax);
        pushfq(); pop(rax); mov(dword_ptr(at::SCRATCH + 0x14), eax); stc();
    }
    part.raw(&[0x48, 0x0f, 0x07])?;
    Ok(here)
}

fn system_calls(part: &mut Part, entry: Mark) -> Result<(), IcedError> {
    part.stage(0x33, "SYSCALL and SYSRET")?;
    let expected = part.expect()?;
    part.raw(&[0x0f, 0x05])?;
    part.raised(expected, 6, 0)?;
    let target = part.address(entry);
    for (msr, high, low) in [
        (STAR, u32::from(sel::USER_CODE32) << 16 | u32::from(sel::CODE64), 0),
        (LSTAR, 0, target),
        (FMASK, 0, CF),
    ] {
        code! { part.a => mov(ecx, msr); mov(edx, high); mov(eax, low); wrmsr(); }
    }
    code! { part.a => mov(ecx, EFER); rdmsr(); or(eax, SCE); wrmsr(); }
    let (inside, behind) = (part.mark(), part.mark());
    let (target, back) = (part.address(inside), part.address(behind));
    let expected = part.expect()?;
    code! { part.a =>
        push(u32::from(sel::USER_DATA) as i32); push(at::STACK3 as i32); push((CF | 2) as i32);
        push(u32::from(sel::USER_CODE64) as i32); push(target as i32); iretq();
    }
    part.set(inside)?;
    part.raw(&[0x0f, 0x05])?;
    part.set(behind)?;
    code! { part.a => mov(eax, ss); mov(dword_ptr(at::SCRATCH + 0x18), eax); }
    part.raw(&[0xcd, 0x20])?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    part.word_is(at::SCRATCH, back)?;
    part.word_is(at::SCRATCH + 8, CF | 2)?;
    part.word_is(at::SCRATCH + 0x10, u32::from(sel::CODE64))?;
    part.word_is(at::SCRATCH + 0x14, 2)?;
    part.word_is(at::SCRATCH + 0x18, u32::from(sel::USER_DATA))?;
    part.word_is(at::FAULT_CS, u32::from(sel::USER_CODE64))?;
    part.word_is(at::FAULT_FLAGS, CF | 2)?;
    part.word_is(at::FAULT_SP, at::STACK3)?;
    part.word_is(at::HANDLER_SP, at::STACK0 - 56)?;
    compatible_return(part)?;
    // HLT is not for level 3 here either.
    let inside = part.mark();
    let target = part.address(inside);
    let expected = part.expect()?;
    code! { part.a =>
        push(u32::from(sel::USER_DATA) as i32); push(at::STACK3 as i32); push(2);
        push(u32::from(sel::USER_CODE64) as i32); push(target as i32); iretq();
    }
    part.set(inside)?;
    part.a.hlt()?;
    part.raised_anywhere(&expected, 13, 0)
}

/// SYSRET without REX.W, to compatibility mode. Around the call the code is the same in both modes.
fn compatible_return(part: &mut Part) -> Result<(), IcedError> {
    let (entry, inside) = (part.mark(), part.mark());
    let (gate, target) = (part.address(entry), part.address(inside));
    code! { part.a => mov(ecx, LSTAR); xor(edx, edx); mov(eax, gate); wrmsr(); }
    let expected = part.expect()?;
    code! { part.a =>
        push(u32::from(sel::USER_DATA) as i32); push(at::STACK3 as i32); push(2);
        push(u32::from(sel::USER_CODE64) as i32); push(target as i32); iretq();
    }
    part.set(entry)?;
    part.raw(&[0x0f, 0x07])?;
    part.set(inside)?;
    // SYSCALL, INT 20h
    part.raw(&[0x0f, 0x05, 0xcd, 0x20])?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    part.word_is(at::FAULT_CS, u32::from(sel::USER_CODE32))?;
    part.word_is(at::FAULT_IP, target + 4)?;
    code! { part.a => mov(eax, dword_ptr(at::HANDLER_SP)); }
    part.eax_is(at::STACK0 - 56)
}

/// To the 32-bit code at LEAVE, by a far jump through memory.
fn leave(part: &mut Part) -> Result<(), IcedError> {
    code! { part.a => mov(dword_ptr(POINTER), at::LEAVE_BASE); mov(dword_ptr(POINTER + 4), u32::from(sel::CODE32)); }
    part.raw(&[0xff, 0x2c, 0x25])?;
    part.raw(&POINTER.to_le_bytes())
}

fn compatibility(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x34, "compatibility mode")?;
    part.check()?;
    let back = part.mark();
    let target = part.address(back);
    code! { part.a => mov(dword_ptr(RETURN), target); mov(dword_ptr(RETURN + 4), u32::from(sel::CODE64)); xor(edi, edi); mov(rax, -1i64); mov(esp, at::STACK); mov(ecx, u32::from(sel::DATA32)); mov(ss, cx); mov(ds, cx); }
    leave(part)?;
    part.set(back)?;
    // There 40h is INC EAX, and PUSH takes four bytes.
    part.eax_is(1)?;
    part.register_is(esp, at::STACK - 4)?;
    part.a.mov(esp, at::STACK)?;
    Ok(())
}

/// 32-bit code in long mode: EDI 0 asks for a look around and the way back, 1 for the way out of long mode.
pub(super) fn build_leave(part: &mut Part) -> Result<(), IcedError> {
    let out = part.mark();
    let down = part.label(out);
    code! { part.a => test(edi, edi); jnz(down); inc(eax); inc(eax); push(eax); }
    part.raw(&[0xff, 0x2d])?;
    part.raw(&RETURN.to_le_bytes())?;
    part.set(out)?;
    code! { part.a =>
        mov(eax, cr0); and(eax, !PG); mov(cr0, eax); mov(ecx, EFER); rdmsr(); and(eax, !(LME | SCE)); wrmsr();
        mov(eax, cr4); and(eax, !PAE); mov(cr4, eax);
    }
    part.jump_far(sel::CODE16, at::BACK_BASE)
}
