//! Segments in 32-bit protected mode: what may be loaded, limits, expand-down, and the instructions that ask. SDM vol. 3A, chapters 3
//! and 5.

use super::at;
use super::model::ZF;
use super::part::{Part, code};
use super::tables::sel;
use iced_x86::IcedError;
use iced_x86::code_asm::{ax, byte_ptr, cx, ds, dword_ptr, eax, ebp, ecx, edx, es, fs, gs, ss};

const GP: u8 = 13;
const NP: u8 = 11;
const SS: u8 = 12;

pub(super) fn stages(part: &mut Part) -> Result<(), IcedError> {
    loads(part)?;
    limits(part)?;
    questions(part)
}

/// MOV to DS and SS, LLDT, LTR and far jumps: vector and error code.
fn loads(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x21, "32-bit protected mode: segment loads and limits")?;
    code! { part.a => xor(eax, eax); lldt(ax); }
    for (selector, vector) in [
        (sel::EXECUTE_ONLY, GP),
        (sel::ABSENT, NP),
        (sel::BEYOND, GP),
        (sel::TASK_B, GP),
        (sel::CALL_GATE, GP),
        (4, GP),
    ] {
        part.a.mov(eax, u32::from(selector))?;
        let expected = part.expect()?;
        part.a.mov(ds, ax)?;
        part.raised(expected, vector, u32::from(selector))?;
    }
    for (selector, vector, error) in [
        (0, GP, 0),
        (3, GP, 0),
        (sel::DATA32 | 3, GP, sel::DATA32),
        (sel::USER_DATA, GP, sel::USER_DATA & !3),
        (sel::CODE32, GP, sel::CODE32),
        (sel::READ_ONLY, GP, sel::READ_ONLY),
        (sel::ABSENT, SS, sel::ABSENT),
    ] {
        part.a.mov(eax, u32::from(selector))?;
        let expected = part.expect()?;
        part.a.mov(ss, ax)?;
        part.raised(expected, vector, u32::from(error))?;
    }
    // lldt, ltr
    for (selector, insn, vector) in
        [(sel::DATA32, 0xd0, GP), (sel::TASK_B, 0xd0, GP), (sel::LDT, 0xd8, GP), (sel::BEYOND, 0xd8, GP)]
    {
        part.a.mov(eax, u32::from(selector))?;
        let expected = part.expect()?;
        part.raw(&[0x0f, 0x00, insn])?;
        part.raised(expected, vector, u32::from(selector))?;
    }
    for (selector, vector) in
        [(sel::DATA32, GP), (sel::ABSENT_CODE, NP), (sel::USER_CODE32 & !3, GP), (0, GP)]
    {
        let expected = part.expect()?;
        part.jump_far(selector, 0)?;
        part.raised(expected, vector, u32::from(selector))?;
    }
    // Conforming code may be read from with any RPL.
    part.check()?;
    code! { part.a => mov(eax, u32::from(sel::CONFORMING | 3)); mov(es, ax); mov(eax, dword_ptr(at::VALUES + 8).es()); }
    part.eax_is(1)?;
    // The local table: loaded, its first segment is like DATA32; a second one there is not.
    part.check()?;
    code! { part.a => mov(eax, u32::from(sel::LDT)); lldt(ax); mov(eax, 4); mov(es, ax); mov(dword_ptr(at::SCRATCH).es(), 0x77); }
    part.word_is(at::SCRATCH, 0x77)?;
    part.a.mov(eax, 0xc)?;
    let expected = part.expect()?;
    part.a.mov(es, ax)?;
    part.raised(expected, GP, 0xc)
}

fn limits(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    part.check()?;
    code! { part.a => mov(eax, u32::from(sel::READ_ONLY)); mov(fs, ax); mov(eax, dword_ptr(at::VALUES + 8).fs()); }
    part.eax_is(1)?;
    let expected = part.expect()?;
    part.a.mov(dword_ptr(at::SCRATCH).fs(), eax)?;
    part.raised(expected, GP, 0)?;
    // Bytes 0 to 10h: a dword fits up to 0Dh.
    part.check()?;
    code! { part.a => mov(eax, u32::from(sel::SMALL)); mov(fs, ax); mov(dword_ptr(0x9010), 0xaa); cmp(byte_ptr(0x10).fs(), 0xaa); jne(fail); mov(eax, dword_ptr(0xd).fs()); }
    for (offset, width) in [(0xeu32, 4), (0x11, 1), (0xffff_ffff, 1), (0xffff_fffd, 4)] {
        part.a.mov(edx, offset)?;
        let expected = part.expect()?;
        if width == 4 {
            part.a.mov(eax, dword_ptr(edx).fs())?;
        } else {
            part.a.mov(byte_ptr(edx).fs(), iced_x86::code_asm::al)?;
        }
        part.raised(expected, GP, 0)?;
    }
    // Downwards: what the limit names is outside, up to the segment's 64 KiB or 4 GiB. Upwards in pages: the last byte of the last page.
    for (selector, inside, outside) in [
        (sel::DOWN, &[0x1000u32, 0x2_0000][..], &[0xfffu32, 0][..]),
        (sel::DOWN16, &[0x1000, 0xfffc], &[0xfff, 0xfffd, 0x1_0000]),
        (sel::DOWN_PAGES, &[0x2000, 0x2_0000], &[0x1fff, 0]),
        (sel::PAGES, &[0, 0x1ffc], &[0x1ffd, 0x2000]),
    ] {
        part.check()?;
        code! { part.a => mov(eax, u32::from(selector)); mov(fs, ax); }
        for offset in inside {
            code! { part.a => mov(edx, *offset); mov(eax, dword_ptr(edx).fs()); }
        }
        for offset in outside {
            part.a.mov(edx, *offset)?;
            let expected = part.expect()?;
            part.a.mov(eax, dword_ptr(edx).fs())?;
            part.raised(expected, GP, 0)?;
        }
    }
    // The same as the stack: #SS.
    code! { part.a => mov(eax, u32::from(sel::DOWN_PAGES)); mov(ss, ax); mov(ebp, 0x1ffe); }
    let expected = part.expect()?;
    part.a.mov(eax, dword_ptr(ebp))?;
    part.raised(expected, SS, 0)?;
    // A jump beyond the end of 16-bit code: at the jump.
    let expected = part.expect()?;
    part.jump_far(sel::CODE16, 0x1_0000)?;
    part.raised(expected, GP, 0)?;
    // Null: loaded without a fault, used with one. Code is not written to.
    code! { part.a => xor(eax, eax); mov(gs, ax); }
    let expected = part.expect()?;
    part.a.mov(eax, dword_ptr(0).gs())?;
    part.raised(expected, GP, 0)?;
    let expected = part.expect()?;
    part.a.mov(byte_ptr(0).cs(), iced_x86::code_asm::al)?;
    part.raised(expected, GP, 0)
}

/// LAR, LSL, VERR, VERW, ARPL.
fn questions(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x22, "LAR, LSL, VERR, VERW, ARPL")?;
    let fail = part.fail;
    let zf = |part: &mut Part, set: bool| if set { part.a.jne(fail) } else { part.a.je(fail) };
    for (selector, rights) in [
        (sel::DATA32, Some(0xc0_9300)),
        (sel::ABSENT, Some(0xc0_1200)),
        (sel::CALL_GATE, Some(0x00_ec00)),
        (sel::TASK_GATE, Some(0x00_8500)),
        (sel::LDT, Some(0x00_8200)),
        (0, None),
        (sel::BEYOND, None),
        (sel::USER_CODE32 & !3 | 3, Some(0xc0_fb00)),
        (sel::DATA32 | 3, None),
    ] {
        part.check()?;
        code! { part.a => mov(ecx, u32::from(selector)); mov(eax, 0x5a5a_5a5a); }
        part.raw(&[0x0f, 0x02, 0xc1])?;
        zf(part, rights.is_some())?;
        if let Some(rights) = rights {
            // Accessed bits come and go as segments are loaded; the four bits where a limit would be are open.
            code! { part.a => and(eax, 0xf0_fe00); }
            part.eax_is(rights & 0xf0_fe00)?;
        } else {
            part.eax_is(0x5a5a_5a5a)?;
        }
    }
    for (selector, limit) in [
        (sel::DATA32, Some(u32::MAX)),
        (sel::SMALL, Some(0x10)),
        (sel::TASK_B, Some(0x67)),
        (sel::CALL_GATE, None),
        (sel::TASK_GATE, None),
    ] {
        part.check()?;
        code! { part.a => mov(ecx, u32::from(selector)); mov(eax, 0x5a5a_5a5a); }
        part.raw(&[0x0f, 0x03, 0xc1])?;
        zf(part, limit.is_some())?;
        part.eax_is(limit.unwrap_or(0x5a5a_5a5a))?;
    }
    for (selector, read, write) in [
        (sel::DATA32, true, true),
        (sel::READ_ONLY, true, false),
        (sel::EXECUTE_ONLY, false, false),
        (sel::CODE32, true, false),
        (sel::DATA32 | 3, false, false),
        (sel::TASK_B, false, false),
        (0, false, false),
    ] {
        part.check()?;
        part.a.mov(eax, u32::from(selector))?;
        part.raw(&[0x0f, 0x00, 0xe0])?;
        zf(part, read)?;
        part.raw(&[0x0f, 0x00, 0xe8])?;
        zf(part, write)?;
    }
    part.check()?;
    code! { part.a => mov(eax, 0x1234_0010); mov(ecx, 3); arpl(ax, cx); jne(fail); }
    part.eax_is(0x1234_0013)?;
    code! { part.a => mov(ecx, 2); arpl(ax, cx); je(fail); pushfd(); pop(ecx); test(ecx, ZF); jnz(fail); }
    part.eax_is(0x1234_0013)
}
